"""Runs NCCOs on a call, sans-IO (`dialects.md` §6).

Fed with what happened and the time (monotonic seconds), it answers with commands, taken with ``next_command()`` after
each input. What each input does, by state; what is not in the table does nothing there, but that `answered` is noted
wherever it is::

                  IDLE     FETCHING    ANSWERING  RUNNING   OVER
    start         begin
    fetched                run, or go on
    fetch_failed           end, or go on
    answered                           go on
    ended                                         go on, or ask
    replace       (noted)  begin       begin      begin
    hang_up       finish   finish      finish     finish

*begin*: ask for the NCCO of the source, or run the text in it. *run*: action by action; the first one that is no
``notify`` answers the call and waits until it is up. *ask*: what was keyed, and how a synchronous ``connect`` came out,
goes to its event URL, as a ``notify`` does, and a JSON list in the answer takes the place of the NCCO.

What is wrong, and what follows::

    the NCCO that the call begins with, or is transferred to, cannot be had or is none    told, the end
    an event URL cannot be asked                                                          warned, go on
    ... its answer is a list, but no NCCO                                                 told, go on
    bargeIn, and what follows what is heard is no input                                   told, heard without it
    too many NCCOs or actions, all in all or while hardly any time passes                 told, the end

Promises: `Finished` comes exactly once and last; one token at most is open; no input raises; NCCOs that lead to each
other for ever end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, assert_never

from engine.dialects.ncco import actions
from engine.dialects.ncco.actions import (
    Connect,
    Conversation,
    EventTarget,
    Input,
    Ncco,
    NccoAction,
    Notify,
    Pay,
    Record,
    Stream,
    Talk,
)
from engine.dialects.ncco.commands import (
    AnswerCall,
    Asking,
    Begin,
    BeginRecording,
    Command,
    FetchNcco,
    Finished,
    Outcome,
    Reason,
    Source,
    Stop,
    TellError,
    Wait,
    Warn,
    Work,
)
from engine.dialects.ncco.errors import NccoError
from engine.dialects.ncco.reading import read_ncco

__all__ = ("ANSWERABLE", "MAX_ACTIONS", "MAX_IN_A_ROW", "MAX_NCCOS", "NCCOS_A_SECOND", "Interpreter", "State")

MAX_NCCOS = 1000
"Of an interpreter, all in all."
MAX_ACTIONS = 10_000
"Of an interpreter, all in all."
MAX_IN_A_ROW = 64
"NCCOs while no time passes: a notify that is answered by itself."
NCCOS_A_SECOND = 4
"So many more as time passes."
ANSWERABLE = frozenset({"timeout", "failed", "rejected", "unanswered", "busy"})
"States of the side that a synchronous `Connect` calls whose event may be answered with an NCCO."
_MAX_BYTES = 1024 * 1024
_MAX_REASON_CHARS = 200


class State(Enum):
    """What an interpreter waits for."""

    IDLE = auto()
    FETCHING = auto()
    ANSWERING = auto()
    RUNNING = auto()
    "Something that was begun, or a time."
    OVER = auto()


@dataclass(frozen=True, slots=True)
class _Running:
    """The NCCO that is run."""

    actions: Ncco
    base_url: str = field(default="", repr=False)
    "Where it came from; empty: it came inline."


class Interpreter:
    """One call's way through its NCCOs.

    A call of which `answered` was told before `start` is up from the beginning. ``max_bytes``: of one NCCO.
    """

    def __init__(self, source: Source, *, max_bytes: int = _MAX_BYTES) -> None:
        self._source = source
        self._max_bytes = max_bytes
        self._commands: deque[Command] = deque()
        self._state = State.IDLE
        self._is_up = False
        self._answer_sent = False
        self._ncco = _Running(())
        self._at = 0
        "Which action is next."
        self._plainly_to = 0
        "Before which action ``bargeIn`` is passed over: no input follows."
        self._token = 0
        "Of what is open; 0: nothing."
        self._asking: Asking = "answer"
        self._work: Work | None = None
        self._n_tokens = self._n_nccos = self._n_actions = 0
        self._n_in_a_row = 0.0
        self._counted_at = 0.0

    # -- inputs --------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin; once."""
        if self._state is State.IDLE:
            self._begin_source(now)

    def answered(self, now: float) -> None:
        """Note that the call is up; also before `start`."""
        self._is_up = True
        if self._state is State.ANSWERING:
            self._go_on()

    def fetched(self, token: int, body: bytes, url: str, now: float) -> None:
        """Take the answer to a `FetchNcco`; ``url`` is where it came from, after redirections."""
        if not self._closes(token, State.FETCHING):
            return
        if self._asking == "answer":
            self._run(body, url, now)
        elif _is_list(body):
            self._replace_by(body, url, now)
        else:
            self._go_on()

    def fetch_failed(self, token: int, reason: str, now: float) -> None:
        """Note that there is no answer to a `FetchNcco`; ``reason`` may be told and logged."""
        if not self._closes(token, State.FETCHING):
            return
        reason = reason[:_MAX_REASON_CHARS]
        if self._asking == "answer":
            self._give_up(f"The NCCO cannot be had: {reason}")
            return
        self._commands.append(Warn(where=f"[{self._at - 1}]", reason=f"the event URL gives no answer: {reason}"))
        self._go_on()

    def ended(self, token: int, outcome: Outcome, now: float) -> None:
        """Take what came of a `Begin` or a `Wait`; nothing of an `Input`: it could not be asked for."""
        if not self._closes(token, State.RUNNING):
            return
        match self._work:
            case Input() as entry if "digits" in outcome:
                self._ask("input", entry.event, _entered(entry, outcome))
            case Connect(synchronous=True) as connect if outcome.get("status") in ANSWERABLE:
                self._ask("connect", connect.event, {"status": outcome["status"]})
            case _:
                self._go_on()

    def replace(self, source: Source, now: float) -> None:
        """Run another NCCO instead of what is left of this one: what is open is stopped."""
        if self._state is State.OVER:
            return
        self._source = source
        if self._state is State.IDLE:
            return
        if self._token:
            self._commands.append(Stop(token=self._token))
            self._token = 0
        self._begin_source(now)

    def hang_up(self, now: float) -> None:
        """Note that the call has ended; what `Begin` began ends by itself."""
        if self._state is State.OVER:
            return
        if self._token and self._work is None:
            self._commands.append(Stop(token=self._token))
        self._finish("hung-up")

    # -- outputs -------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """What it waits for."""
        return self._state

    @property
    def is_over(self) -> bool:
        """Whether `Finished` was said, taken or not."""
        return self._state is State.OVER

    def next_command(self) -> Command | None:
        """Return the next thing to do, None when there is none."""
        return self._commands.popleft() if self._commands else None

    # -- NCCOs ---------------------------------------------------------------------------------------------------

    def _begin_source(self, now: float) -> None:
        self._ncco, self._at = _Running(()), 0
        if self._source.text:
            self._run(self._source.text, "", now)
        elif self._source.answer is not None:
            self._ask("answer", self._source.answer, {})
        else:
            self._give_up("There is no NCCO and no answer URL")

    def _run(self, body: bytes, url: str, now: float) -> None:
        """Run an NCCO; one that is in error is the end."""
        try:
            ncco = read_ncco(body, max_bytes=self._max_bytes)
        except NccoError as error:
            self._give_up(_syntax(error))
            return
        self._take(ncco, url, now)

    def _replace_by(self, body: bytes, url: str, now: float) -> None:
        """Run an NCCO instead of what is left; one that is in error is passed over."""
        try:
            ncco = read_ncco(body, max_bytes=self._max_bytes)
        except NccoError as error:
            self._commands.append(TellError(reason=_syntax(error)))
            self._go_on()
            return
        self._take(ncco, url, now)

    def _take(self, ncco: Ncco, url: str, now: float) -> None:
        passed = max(0.0, now - self._counted_at)
        self._n_in_a_row = max(0.0, self._n_in_a_row - passed * NCCOS_A_SECOND) + 1
        self._counted_at = now
        self._n_nccos += 1
        if self._n_nccos > MAX_NCCOS or self._n_in_a_row > MAX_IN_A_ROW:
            self._give_up("Too many NCCOs follow each other; look for a loop")
            return
        self._ncco, self._at, self._plainly_to = _Running(ncco, url), 0, 0
        self._go_on()

    # -- actions -------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Run actions until one takes time, or all are through."""
        self._state, self._work = State.RUNNING, None
        while not self._token and self._state is State.RUNNING:
            if self._at >= len(self._ncco.actions):
                self._finish("")
                return
            action = self._ncco.actions[self._at]
            if not self._is_up and not isinstance(action, Notify):
                self._answer()
                return
            self._n_actions += 1
            if self._n_actions > MAX_ACTIONS:
                self._give_up("Too many actions on one call; look for a loop")
                return
            self._do(action)

    def _answer(self) -> None:
        self._state = State.ANSWERING
        if not self._answer_sent:
            self._answer_sent = True
            self._commands.append(AnswerCall())

    def _do(self, action: NccoAction) -> None:
        at, self._at = self._at, self._at + 1
        match action:
            case Talk(barge_in=True) | Stream(barge_in=True) if at >= self._plainly_to:
                self._hear(at)
            case Talk() | Stream() | Input() | Conversation() | Connect() | Pay():
                self._begin(action)
            case Record():
                self._commands.append(BeginRecording(record=action, base_url=self._ncco.base_url))
            case actions.Wait():
                self._commands.append(Wait(token=self._open(), seconds=action.timeout_s))
            case Notify():
                self._ask("notify", action.event, action.payload)
            case _:
                assert_never(action)

    def _hear(self, first: int) -> None:
        """Let the caller's keys end what is heard from here on: they are those of the input that follows."""
        heard: list[Talk | Stream] = []
        for action in self._ncco.actions[first:]:
            if not isinstance(action, Talk | Stream):
                break
            heard.append(action)
        behind = first + len(heard)
        entry = self._ncco.actions[behind] if behind < len(self._ncco.actions) else None
        if isinstance(entry, Input):
            self._at = behind + 1
            self._begin(entry, tuple(heard))
            return
        error = NccoError(f"[{first}].bargeIn", "an input has to follow what is heard")
        self._commands.append(TellError(reason=_syntax(error)))
        self._plainly_to = behind
        self._begin(heard[0])

    def _begin(self, work: Work, heard_first: tuple[Talk | Stream, ...] = ()) -> None:
        token = self._open()
        self._work = work
        self._commands.append(Begin(token=token, work=work, heard_first=heard_first, base_url=self._ncco.base_url))

    def _ask(self, asking: Asking, target: EventTarget | None, members: Mapping[str, Any]) -> None:
        token = self._open()
        self._state, self._asking, self._work = State.FETCHING, asking, None
        self._commands.append(
            FetchNcco(
                token=token,
                asking=asking,
                target=target,
                members=members,
                base_url=self._ncco.base_url,
                fallback=self._source.fallback,
            )
        )

    # -- parts ---------------------------------------------------------------------------------------------------

    def _open(self) -> int:
        """Return a new token, whose answer is waited for."""
        self._n_tokens += 1
        self._state, self._token, self._work = State.RUNNING, self._n_tokens, None
        return self._token

    def _closes(self, token: int, state: State) -> bool:
        """Note that what is open has been answered, if it is this."""
        if self._state is not state or not token or token != self._token:
            return False
        self._token = 0
        return True

    def _give_up(self, reason: str) -> None:
        self._commands.append(TellError(reason=reason))
        self._finish("error")

    def _finish(self, reason: Reason) -> None:
        self._state, self._token, self._work = State.OVER, 0, None
        self._ncco = _Running(())
        self._commands.append(Finished(reason=reason))


def _entered(entry: Input, outcome: Outcome) -> dict[str, Any]:
    """Return what the event of an input tells."""
    digits, timed_out = outcome["digits"], bool(outcome.get("timed_out"))
    if entry.is_old:
        return {"dtmf": digits, "timed_out": timed_out}
    dtmf = {"digits": digits, "timed_out": timed_out}
    # Nobody listens; who asked for speech finds that nothing was said.
    return {"dtmf": dtmf, "speech": {}} if entry.wants_speech else {"dtmf": dtmf}


def _is_list(body: bytes) -> bool:
    """Return whether an answer is meant to be an NCCO: whether it begins as a JSON list does."""
    return body.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").startswith(b"[")


def _syntax(error: NccoError) -> str:
    return f"Syntax error in NCCO. {error}"
