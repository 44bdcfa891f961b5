"""Runs TwiML documents on a call, sans-IO (`dialects.md` §4).

Fed with what happened and the time (monotonic seconds), it answers with commands, taken with ``next_command()`` after
each input. What each input does, by state; what is not in the table does nothing there::

              IDLE    FETCHING  ANSWERING  PAUSED  SPEAKING  PROMPTING  COLLECTING  RUNNING  ENDING
    start     begin
    fetched           run, fail                                                              go on
    answered  noted   noted     go on      noted   noted     noted      noted       noted
    spoken                                         go on     collect
    digit     kept    kept      kept       kept    kept      barge in   take it
    timer                                  go on                        submit
    ended                                                                           tell     tell
    redirect  begin   begin     begin      begin   begin     begin      begin       begin
    leave     finish  finish    finish     finish  finish    finish     finish      go on
    hang_up   finish  finish    finish     finish  finish    finish     finish      ENDING

*begin*: stop what runs, fetch the document of a source, or run the text in it. *run*: one verb after the other;
consecutive ``<Say>``, ``<Play>`` and ``<Pause>`` are one `Speak`; `Answer` before the first verb that needs it, so that
``<Reject>``, ``<Hangup>``, ``<Redirect>``, a ``<Pause>`` and a ``<Dial answerOnBridge>`` do not answer a ringing call.
*tell*: request the action with the outcome; its answer replaces the document. *fail*: the fallback URL, else an apology
and the end. PROMPTING and COLLECTING are a ``<Gather>``; without ``bargeIn`` a key is kept while it prompts. ``leave``
ends wait documents only, and a running ``<Enqueue>``. A request under way that tells an outcome goes on through
``redirect``, which ignores its answer, and through ``hang_up``, which waits for it in ENDING.

Promises: `Finished` comes exactly once and last; once the far end is gone nothing comes but requests that tell an
outcome, `Warn`, and `Finished`; a payment's outcome is requested whatever becomes of the call, unless its action is no
URL that may be; no command but `Fetch.parameters` holds a key; documents that follow each other without end are ended
(``engine.dialects.twiml.pace``).
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from enum import Enum, auto
from typing import assert_never

from engine.dialects.twiml.actions import action_of
from engine.dialects.twiml.commands import (
    Answer,
    Command,
    DialOut,
    Fetch,
    Finished,
    Parameters,
    Queue,
    Reason,
    Source,
    Speak,
    StartPay,
    StartRecord,
    Stop,
    Warn,
)
from engine.dialects.twiml.commands import Reject as RejectCall
from engine.dialects.twiml.document import parse
from engine.dialects.twiml.errors import HTTP_RETRIEVAL, SCHEMA_WARNING, TwimlError
from engine.dialects.twiml.keys import KEYS, Entry, TypeAhead
from engine.dialects.twiml.markup import MAX_DOCUMENT_BYTES
from engine.dialects.twiml.pace import Pace
from engine.dialects.twiml.request import Request, place_of, refusal_of
from engine.dialects.twiml.verbs import (
    Dial,
    Enqueue,
    Gather,
    Hangup,
    Leave,
    Method,
    Pause,
    Pay,
    Play,
    Record,
    Redirect,
    Reject,
    Say,
    Spoken,
    Verb,
)
from engine.dialects.urls import resolved, without_credentials

__all__ = ("APOLOGY", "Interpreter", "State")

APOLOGY = Say(text="Sorry, something went wrong. Goodbye.", language="en-US")
"What a caller hears when no document can be run."
_REJECT_STATUS = {"rejected": 603, "busy": 486}
_SPOKEN = (Say, Play, Pause)
_LONG = (Pay, Record, Dial, Enqueue)
_Long = Pay | Record | Dial | Enqueue
_Telling = Gather | _Long
_MAX_REASON_CHARS = 200
_NOT_WAITING: tuple[type, ...] = (Pay, Dial, Enqueue, Record, Reject)
_NOT_WHISPERED: tuple[type, ...] = (Pay, Dial, Enqueue, Record, Leave)


class State(Enum):
    """What an interpreter waits for."""

    IDLE = auto()
    FETCHING = auto()
    ANSWERING = auto()
    PAUSED = auto()
    "A ``<Pause>`` before the call is answered."
    SPEAKING = auto()
    PROMPTING = auto()
    "What is spoken in a ``<Gather>``."
    COLLECTING = auto()
    RUNNING = auto()
    "A long verb: Pay, Record, Dial, Enqueue."
    ENDING = auto()
    "The far end is gone; an outcome is still to come or to be told."
    OVER = auto()


class Interpreter:
    """One call's way through its documents.

    ``is_inbound``: the call rings at us and is answered by `Answer`. ``waiting``: it runs what a caller hears in a
    queue or before a conference, again and again until ``<Leave>``. ``whisper``: it runs what a called side hears
    before it is connected. Neither of them apologises. ``allow_insecure``: the action of a payment may be ``http:``
    (D-30). ``max_document``: bytes.
    """

    def __init__(
        self,
        source: Source,
        *,
        is_inbound: bool,
        allow_insecure: bool = False,
        waiting: bool = False,
        whisper: bool = False,
        max_document: int = MAX_DOCUMENT_BYTES,
    ) -> None:
        self._source = source
        self._allow_insecure = allow_insecure
        self._waiting = waiting
        self._whisper = whisper
        self._barred = _NOT_WAITING if waiting else _NOT_WHISPERED if whisper else ()
        self._max_document = max_document
        self._state = State.IDLE
        self._commands: deque[Command] = deque()
        self._is_up = not is_inbound
        self._answer_asked = self._is_up
        self._hung_up = False
        self._verbs: deque[Verb] = deque()
        self._base = ""
        self._end: Reason = ""
        self._n_tokens = 0
        self._running = 0
        self._request: Request | None = None
        self._outcomes: set[int] = set()
        "Requests that tell an outcome and that nothing follows from any more."
        self._passed_over: set[str] = set()
        self._verb: Verb | None = None
        self._began_at = 0.0
        self._deadline: float | None = None
        self._entry: Entry | None = None
        self._ahead = TypeAhead()
        self._pace = Pace()

    # -- inputs --------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Fetch the first document, or run the one that came inline. Once."""
        if self._state is State.IDLE:
            self._begin(now)

    def answered(self, now: float) -> None:
        """Note that both sides hear each other; also without `Answer`, where a verb has answered."""
        if not self._is_up:
            self._is_up = self._answer_asked = True
            if self._state is State.ANSWERING:
                self._go_on(now)

    def fetched(self, token: int, *, status: int, content_type: str, body: bytes, url: str, now: float) -> None:
        """Take the answer to a `Fetch`.

        ``url`` is where it came from in the end, after redirects, without the parameters that were added; empty: from
        where it was asked for.
        """
        request, refusal = self._taken(token), refusal_of(status)
        if request is None:
            self._outcome_told(token, refusal, now)
        elif refusal:
            self._fail(HTTP_RETRIEVAL, f"{refusal}{place_of(request.url)}", request, now)
        else:
            request = replace(request, url=resolved("", url) or request.url)
            if self._take_verbs(body, content_type, request, now):
                self._go_on(now)

    def fetch_failed(self, token: int, reason: str, now: float) -> None:
        """Note that a `Fetch` got no answer; ``reason`` for the log, without anything keyed."""
        what = f"the application gave no document ({reason[:_MAX_REASON_CHARS]})"
        request = self._taken(token)
        if request is None:
            self._outcome_told(token, what, now)
        else:
            self._fail(HTTP_RETRIEVAL, f"{what}{place_of(request.url)}", request, now)

    def digit(self, code: int, now: float) -> None:
        """Take a key by its RFC 4733 event code: 0 to 9, 10 for ``*``, 11 for ``#``; others are ignored."""
        if not 0 <= code < len(KEYS) or self._state in (State.RUNNING, State.ENDING, State.OVER):
            return
        if not self._ahead.hears(code, now):
            return
        self._pace.restart()
        if self._state is State.PROMPTING and isinstance(self._verb, Gather) and self._verb.barge_in:
            self._stop_running()
            self._press(code, now)
        elif self._state is State.COLLECTING:
            self._press(code, now)
        else:
            self._ahead.keep(code)

    def spoken(self, token: int, by_digit: bool, now: float) -> None:
        """Note that a `Speak` is over: to its end, or ended by a key (which `digit` tells of itself)."""
        if token != self._running:
            return
        if self._state is State.SPEAKING:
            self._running = 0
            self._pace.note(now - self._began_at)
            self._go_on(now)
        elif self._state is State.PROMPTING:
            self._running = 0
            self._collect(now)

    def ended(self, token: int, parameters: Parameters, now: float) -> None:
        """Take the outcome of a long verb, as the parameters of its action; none: there is nothing to tell."""
        verb = self._verb
        if token != self._running or self._state not in (State.RUNNING, State.ENDING) or not isinstance(verb, _LONG):
            return
        self._running, self._verb = 0, None
        self._pace.note(now - self._began_at)
        if isinstance(verb, Pay):
            self._ahead.deafen(now)
        if not parameters or not self._tell(verb, parameters, now, about=token):
            self._go_on(now)

    def redirect(self, source: Source, now: float) -> None:
        """Go on with another document, whatever runs; a fallback that it does not name stays."""
        if self._state in (State.ENDING, State.OVER):
            return
        self._give_up(now)
        if not source.fallback_url:
            kept = self._source
            source = replace(source, fallback_url=kept.fallback_url, fallback_method=kept.fallback_method)
        self._source = source
        self._end = ""
        self._pace.restart()
        self._begin(now)

    def leave(self, now: float) -> None:
        """Leave the queue: end a wait document, or go on behind the ``<Enqueue>``."""
        if self._state in (State.ENDING, State.OVER):
            return
        if self._waiting:
            self._give_up(now)
            self._finish("leave")
        elif isinstance(self._verb, Enqueue):
            self._stop_running()
            self._verb = None
            self._go_on(now)

    def hang_up(self, now: float) -> None:
        """Note that the far end is gone, or about to be."""
        if self._state in (State.ENDING, State.OVER):
            return
        self._hung_up = True
        if self._request is not None and self._request.about:
            self._outcomes.add(self._running)
        running, verb = (self._running, self._verb) if self._state is State.RUNNING else (0, None)
        self._forget()
        self._ahead.clear()
        self._running, self._verb, self._state = running, verb, State.ENDING
        self._go_on(now)

    def next_timer(self) -> float | None:
        """Return when to call `handle_timer`, in monotonic seconds; None: not at all."""
        return self._deadline

    def handle_timer(self, now: float) -> None:
        """Note that time has passed; early calls are harmless."""
        if self._deadline is None or now < self._deadline:
            return
        self._deadline = None
        self._pace.note(now - self._began_at)
        if self._state is State.COLLECTING:
            self._submit(now)
        elif self._state is State.PAUSED:
            self._go_on(now)

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

    # -- documents -----------------------------------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        """Fetch the document of the source, or run the text in it."""
        if self._load(now):
            self._go_on(now)

    def _load(self, now: float) -> bool:
        """Return whether there are verbs to go on with at once."""
        source = self._source
        if not source.text:
            self._base = ""
            self._fetch_document(source.url, source.method, now)
            return False
        if not self._pace.allows(now):
            self._loops()
            return False
        return self._take_verbs(source.text.encode("utf-8", "replace"), "", Request(), now)

    def _take_verbs(self, body: bytes, content_type: str, request: Request, now: float) -> bool:
        """Take a document in place of this one; return whether it can be run."""
        try:
            document = parse(body, content_type=content_type, max_bytes=self._max_document)
        except TwimlError as error:
            self._fail(error.code, f"{error}{place_of(request.url)}", request, now)
            return False
        for warning in document.warnings:
            self._warn(SCHEMA_WARNING, warning)
        self._base, self._verbs = request.url, deque(document.verbs)
        self._passed_over.clear()
        return True

    def _fetch_document(self, url: str, method: Method, now: float) -> None:
        """Fetch what replaces this document."""
        whole = resolved(self._base, url)
        if whole:
            self._fetch(whole, method, (), now)
        else:
            self._fail(HTTP_RETRIEVAL, "a document's URL is none; write an absolute http(s) URL", Request(), now)

    def _fetch(
        self,
        url: str,
        method: Method,
        parameters: Parameters,
        now: float,
        *,
        about: int = 0,
        is_fallback: bool = False,
        keeps_document: bool = False,
    ) -> None:
        may = self._pace.allows(now)
        if not may and not about:
            self._loops()
            return
        token = self._new_token()
        self._commands.append(Fetch(token=token, url=url, method=method, parameters=parameters, about=about))
        if self._hung_up:
            self._outcomes.add(token)
        elif may:
            self._state, self._running = State.FETCHING, token
            self._request = Request(url, about, is_fallback, keeps_document)
        else:
            self._loops()

    def _taken(self, token: int) -> Request | None:
        """Return the request whose answer is waited for, if it is this one."""
        if self._state is not State.FETCHING or token != self._running:
            return None
        request, self._request, self._running = self._request, None, 0
        return request

    def _outcome_told(self, token: int, fault: str, now: float) -> None:
        """Note the answer to a request that nothing follows from."""
        if token in self._outcomes and self._state is not State.OVER:
            self._outcomes.discard(token)
            if fault:
                self._warn(HTTP_RETRIEVAL, f"{fault}; an outcome was not told")
            if self._state is State.ENDING:
                self._go_on(now)

    def _fail(self, code: int, what: str, request: Request, now: float) -> None:
        """Go on when a document cannot be had or run."""
        self._warn(code, what)
        if request.keeps_document:
            self._go_on(now)
            return
        self._verbs.clear()
        fallback = resolved("", self._source.fallback_url)
        if fallback and not request.is_fallback:
            parameters = (("ErrorCode", str(code)), ("ErrorUrl", without_credentials(request.url)))
            self._fetch(fallback, self._source.fallback_method, parameters, now, is_fallback=True)
        elif self._waiting or self._whisper:
            self._finish("error")
        else:
            self._end = "error"
            self._verbs.append(APOLOGY)
            self._go_on(now)

    def _loops(self) -> None:
        self._warn(HTTP_RETRIEVAL, "documents follow each other without end; look for a <Redirect> or <Pay> to itself")
        self._finish("loop")

    # -- verbs ---------------------------------------------------------------------------------------------------

    def _go_on(self, now: float) -> None:
        """Run verbs until one takes its time; or end."""
        waits = False
        while not waits:
            if self._hung_up:
                if not self._running and not self._outcomes:
                    self._finish("hung-up")
                return
            if self._verbs:
                waits = self._step(self._verbs.popleft(), now)
            elif self._waiting:
                waits = not self._load(now)
            else:
                self._finish(self._end)
                return

    def _step(self, verb: Verb, now: float) -> bool:
        """Begin a verb; return whether the next one has to wait."""
        if isinstance(verb, self._barred):
            self._pass_over(f"<{type(verb).__name__}> is not taken here; it is passed over")
            return False
        match verb:
            case Hangup():
                self._finish("hangup")
            case Reject():
                return self._reject(verb)
            case Redirect():
                self._fetch_document(verb.url, verb.method, now)
            case Leave():
                if not self._waiting:
                    self._pass_over("<Leave> is taken in a queue only; it is passed over")
                    return False
                self._finish("leave")
            case Pause() if not self._answer_asked:
                self._state, self._began_at, self._deadline = State.PAUSED, now, now + verb.length_s
            case Dial() if verb.answer_on_bridge:
                self._run_long(verb, now)
            case _ if not self._is_up:
                self._verbs.appendleft(verb)
                if not self._answer_asked:
                    self._answer_asked = True
                    self._commands.append(Answer())
                self._state = State.ANSWERING
            case Say() | Play() | Pause():
                items: list[Spoken] = [verb]
                while self._verbs and isinstance(following := self._verbs[0], _SPOKEN):
                    items.append(following)
                    self._verbs.popleft()
                self._speak(tuple(items), State.SPEAKING, now, interruptible=False)
            case Gather():
                self._gather(verb, now)
            case _:
                self._run_long(verb, now)
        return True

    def _reject(self, verb: Reject) -> bool:
        if not self._whisper:
            if self._answer_asked:
                self._pass_over("<Reject> comes after the call was answered; put it first")
                return False
            self._commands.append(RejectCall(status=_REJECT_STATUS[verb.reason]))
        self._finish("rejected")
        return True

    def _speak(self, items: tuple[Spoken, ...], state: State, now: float, *, interruptible: bool) -> None:
        self._state, self._began_at, self._running = state, now, self._new_token()
        self._commands.append(Speak(token=self._running, items=items, interruptible=interruptible, base_url=self._base))

    def _run_long(self, verb: _Long, now: float) -> None:
        self._ahead.clear()
        self._state, self._began_at, self._verb = State.RUNNING, now, verb
        self._running = token = self._new_token()
        match verb:
            case Pay():
                self._commands.append(StartPay(token=token, pay=verb, base_url=self._base))
            case Record():
                self._commands.append(StartRecord(token=token, record=verb, base_url=self._base))
            case Dial():
                self._commands.append(DialOut(token=token, dial=verb, base_url=self._base))
            case Enqueue():
                self._commands.append(Queue(token=token, enqueue=verb, base_url=self._base))
            case _:
                assert_never(verb)

    def _tell(self, verb: _Telling, parameters: Parameters, now: float, *, about: int = 0) -> bool:
        """Request a verb's action with its outcome; return False when there is none to request."""
        action = action_of(verb, self._base, allow_insecure=self._allow_insecure)
        if action.warning is not None:
            self._commands.append(action.warning)
        if action.url:
            keeps = isinstance(verb, Pay)
            self._fetch(action.url, action.method, parameters, now, about=about, keeps_document=keeps)
        return bool(action.url)

    # -- keys ----------------------------------------------------------------------------------------------------

    def _gather(self, gather: Gather, now: float) -> None:
        self._verb, self._entry, self._began_at = gather, Entry(gather), now
        self._ahead.skip(gather.finish_on_key)
        if gather.spoken and not (gather.barge_in and self._ahead):
            self._speak(gather.spoken, State.PROMPTING, now, interruptible=gather.barge_in)
        else:
            self._collect(now)

    def _collect(self, now: float) -> None:
        """Begin to wait for keys, with those that were pressed ahead."""
        assert isinstance(self._verb, Gather)
        self._ahead.skip(self._verb.finish_on_key)
        self._wait_for_key(now)
        while self._state is State.COLLECTING and (code := self._ahead.take()) is not None:
            self._press(code, now)

    def _wait_for_key(self, now: float) -> None:
        assert isinstance(self._verb, Gather)
        self._state, self._deadline = State.COLLECTING, now + self._verb.timeout_s

    def _press(self, code: int, now: float) -> None:
        assert self._entry is not None
        self._wait_for_key(now)
        if self._entry.press(code):
            self._submit(now)

    def _submit(self, now: float) -> None:
        """Tell the application what was keyed, if anything was, or it wants to know all the same."""
        gather, entry = self._verb, self._entry
        assert isinstance(gather, Gather)
        assert entry is not None
        self._verb = self._entry = self._deadline = None
        self._pace.note(now - self._began_at)
        if entry.digits and not entry.finished_on:
            self._ahead.expect_late(gather.finish_on_key, now)
        parameters = (("Digits", entry.digits), ("FinishedOnKey", entry.finished_on))
        if not (entry.digits or gather.action_on_empty_result) or not self._tell(gather, parameters, now):
            self._go_on(now)

    # -- parts ---------------------------------------------------------------------------------------------------

    def _give_up(self, now: float) -> None:
        """Leave what runs, for something else."""
        if self._request is not None and self._request.about:
            self._outcomes.add(self._running)
        elif self._running:
            self._stop_running()
        if isinstance(self._verb, Pay):
            self._ahead.deafen(now)
        self._ahead.clear()
        self._forget()

    def _stop_running(self) -> None:
        self._commands.append(Stop(token=self._running))
        self._running = 0

    def _finish(self, reason: Reason) -> None:
        self._forget()
        self._ahead.clear()
        self._state = State.OVER
        self._commands.append(Finished(reason=reason))

    def _forget(self) -> None:
        self._running = 0
        self._request = self._verb = self._entry = self._deadline = None
        self._verbs.clear()

    def _new_token(self) -> int:
        self._n_tokens += 1
        return self._n_tokens

    def _pass_over(self, what: str) -> None:
        """Warn of a verb, once a document: a thousand of them may stand in it."""
        if what not in self._passed_over:
            self._passed_over.add(what)
            self._warn(SCHEMA_WARNING, what)

    def _warn(self, code: int, message: str) -> None:
        self._commands.append(Warn(code=code, message=message))
