"""Runs SWML documents on a call, sans-IO (`dialects.md` §3.6 to §3.8).

Fed with what happened and the time (monotonic seconds), it answers with commands, taken with ``next_command()`` after
each input. What each input does, by state; what is not in the table does nothing there, but that `answered`,
`call_changed` and `set_variables` are noted wherever it is::

                  IDLE     FETCHING    ANSWERING  RUNNING   BUSY
    start         begin
    fetched                run, fail
    fetch_failed           fail
    answered                           go on
    ended                                         go on
    handle_timer                                            go on
    hang_up       finish   finish      finish     finish    finish

*begin*: fetch the document of the source, or run the text in it. *run*: section ``main``, step by step, before the call
is answered; what speaks, listens or records answers it first. *fail*: the fallback URL, of the first document; else the
end. BUSY: many steps ran and hardly any time has passed; the timer is due at once, so that other calls have their turn.

What is wrong, and what follows. ``script_error`` is set and `Warn` told, once for each place, in every row::

    a document that cannot be had, read or checked: the first one        its fallback URL, else the end
    the same of execute, or of transfer                                  the end
    a step's parameter, once variables are put in                        the end
    ... of pay                                                           pay_result validation-error, go on (D-29)
    switch without a match                                               the end (a ``result`` without one: go on)
    an expression that cannot be evaluated: in ${}                       empty, go on
    ... in when                                                          false, go on
    ... in switch.variable                                               unset, as if nothing matched
    play without auto_answer before the call is answered                 passed over, go on
    a variable that does not fit (too large, too many, no name): by set  the end
    ... by what a method brought                                         not set, go on
    too many sections that call each other, or transfers                 the end
    too many steps, all in all or while hardly any time passes           the end

Promises: `Finished` comes exactly once and last; one token at most is open; no input raises; a document that goes
round in circles ends.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, assert_never

from engine.dialects.signalwire.pay import PayRefused
from engine.dialects.signalwire.pay_events import refused_variables
from engine.dialects.swml.arguments import arguments_of
from engine.dialects.swml.checking import read_document
from engine.dialects.swml.commands import (
    AnswerCall,
    Begin,
    BeginRecordCall,
    Command,
    EndRecordCall,
    FetchDocument,
    Finished,
    KeyDigits,
    Outcome,
    Reason,
    SendUserEvent,
    Source,
    Stop,
    Wait,
    Warn,
    Work,
)
from engine.dialects.swml.destinations import place_of
from engine.dialects.swml.errors import ScriptError, SwmlError
from engine.dialects.swml.expressions import UNDEFINED
from engine.dialects.swml.flow import MAIN, Choice, Ended, Flow, Script
from engine.dialects.swml.methods import (
    Answer,
    Arguments,
    Connect,
    Execute,
    Goto,
    Hangup,
    Label,
    Pay,
    Play,
    Prompt,
    Record,
    RecordCall,
    Request,
    Return,
    SendDigits,
    Set,
    SipRefer,
    Sleep,
    Step,
    StopRecordCall,
    Switch,
    Transfer,
    Unset,
    UserEvent,
)
from engine.dialects.swml.preparing import chosen, is_true, prepared
from engine.dialects.swml.variables import Scopes
from engine.dialects.urls import host_of, resolved

__all__ = (
    "MAX_STEPS",
    "MAX_STEPS_IN_A_ROW",
    "MAX_TRANSFERS",
    "STEPS_A_SECOND",
    "STEPS_A_TURN",
    "TURN_S",
    "Interpreter",
    "State",
)

MAX_STEPS = 100_000
"Of an interpreter, all in all."
MAX_STEPS_IN_A_ROW = 1000
"While no time passes."
STEPS_A_SECOND = 2000
"So many more as time passes: what is begun may be over at once, again and again."
STEPS_A_TURN = 50
"Before others have their turn."
TURN_S = 0.01
"What comes sooner belongs to the turn before it, unless the timer brings it."
MAX_TRANSFERS = 32
_DOCUMENT_STEPS = 25
"What reading a document counts as."
_MAX_REASON_CHARS = 200
_MAX_WARNINGS = 200
"Of an interpreter; more are not told, but for the one that ends it."


class State(Enum):
    """What an interpreter waits for."""

    IDLE = auto()
    FETCHING = auto()
    ANSWERING = auto()
    RUNNING = auto()
    "Something that was begun, a time, or keys that are sent."
    BUSY = auto()
    "Its next turn."
    OVER = auto()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A document that is asked for; ``by`` is the step's arguments, None of the first document."""

    url: str = field(repr=False)
    "Empty: it came inline."
    where: str = ""
    by: Execute | Transfer | None = None
    is_fallback: bool = False


class Interpreter:
    """One call's way through its documents.

    ``call`` and ``envs`` are the scopes of these names, ``params`` what the first section is called with, as documents
    that are fetched get them; ``max_document``: bytes. A call whose ``call_state`` is ``answered``, or of which
    `answered` was told before `start`, is up from the beginning.
    """

    def __init__(
        self,
        source: Source,
        *,
        call: Mapping[str, Any],
        envs: Mapping[str, str],
        max_document: int,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self.variables = Scopes(call=call, envs=envs, params=params or {})
        self._params = params or {}
        self._source = source
        self._max_document = max_document
        self._state = State.IDLE
        self._is_up = call.get("call_state") == "answered"
        self._flow = Flow()
        self._commands: deque[Command] = deque()
        self._n_tokens = 0
        self._running = 0
        "The token that is open; 0: none."
        self._is_work = False
        "Whether `Begin` began it."
        self._asked: _Asked | None = None
        self._connect: Connect | None = None
        "What `_running` began, when it is one."
        self._where = ""
        "The step that runs."
        self._again: Step | None = None
        "A step that waits until the call is answered."
        self._deadline: float | None = None
        self._n_steps = 0
        self._n_in_a_row = 0.0
        "Less what has been allowed since."
        self._n_this_turn = 0
        self._turn_at = -math.inf
        "When it began."
        self._n_transfers = 0
        self._warned: set[tuple[ScriptError, str]] = set()

    # -- inputs --------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Fetch the first document, or run the one that came inline. Once."""
        if self._state is not State.IDLE:
            return
        self._resume(now)
        source = self._source
        if source.text:
            self._take(source.text, source.content_type, _Asked(resolved("", source.url)))
        elif url := resolved("", source.url):
            self._fetch(_Asked(url), self._params, {})
        else:
            self._fail(SwmlError(ScriptError.PARSE_INTERNAL_ERROR, "", "the document's URL is none"), _Asked(""))
        self._go_on(now)

    def answered(self, now: float) -> None:
        """Note that both sides hear each other; also without `AnswerCall`, or before `start`."""
        self._is_up = True
        if self._state is State.ANSWERING:
            self._resume(now)
            self._go_on(now)

    def fetched(self, token: int, *, status: int, content_type: str, body: bytes | str, url: str, now: float) -> None:
        """Take the answer to a `FetchDocument`.

        ``url`` is where it came from in the end, after redirects; empty: from where it was asked for.
        """
        asked = self._asked_by(token, now)
        if asked is None:
            return
        if 200 <= status <= 299:
            self._take(body, content_type, replace(asked, url=resolved("", url) or asked.url))
        else:
            self._fail(_not_had(asked, f"HTTP {status}"), asked)
        self._go_on(now)

    def fetch_failed(self, token: int, reason: str, now: float) -> None:
        """Note that a `FetchDocument` got no answer; ``reason`` may be logged."""
        asked = self._asked_by(token, now)
        if asked is not None:
            self._fail(_not_had(asked, reason[:_MAX_REASON_CHARS]), asked)
            self._go_on(now)

    def ended(self, token: int, variables: Outcome, now: float) -> None:
        """Take what came of a `Begin`, `Wait` or `KeyDigits`: variables, whose names may have dots."""
        if self._state is not State.RUNNING or token != self._running:
            return
        connect, self._connect = self._connect, None
        self._resume(now)
        self._bring(variables)
        if connect is not None:
            try:
                self._after(connect)
            except SwmlError as error:
                self._fail(error)
        self._go_on(now)

    def set_variables(self, variables: Outcome, now: float) -> None:
        """Set what became known beside the document, as of a recording."""
        if self._state is not State.OVER:
            self._bring(variables)

    def call_changed(self, call: Mapping[str, Any]) -> None:
        """Take the call's new facts: the whole scope ``call``."""
        try:
            self.variables.call = call
        except SwmlError as error:
            self._warn(error.code, "call", error.reason)

    def hang_up(self, now: float) -> None:
        """Note that the call has ended; what `Begin` began ends by itself."""
        if self._state is State.OVER:
            return
        if self._running and not self._is_work:
            self._commands.append(Stop(token=self._running))
        self._finish("hung-up")

    def next_timer(self) -> float | None:
        """Return when to call `handle_timer`, in monotonic seconds, perhaps at once; None: not at all."""
        return self._deadline

    def handle_timer(self, now: float) -> None:
        """Note that time has passed; early calls are harmless."""
        if self._deadline is not None and now >= self._deadline:
            self._new_turn(now)
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

    def _fetch(self, asked: _Asked, params: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        self._asked = asked
        token = self._wait_in(State.FETCHING)
        sent = self.variables.snapshot()
        self._commands.append(FetchDocument(token=token, url=asked.url, vars=sent, params=params, meta=meta))

    def _asked_by(self, token: int, now: float) -> _Asked | None:
        """Return the request whose answer is waited for, if it is this one."""
        if self._state is not State.FETCHING or token != self._running:
            return None
        asked, self._asked = self._asked, None
        self._resume(now)
        self._new_turn(now)
        return asked

    def _take(self, text: bytes | str, content_type: str, asked: _Asked) -> None:
        """Run a document."""
        try:
            self._spend(_DOCUMENT_STEPS)
            document = read_document(text, content_type=content_type, max_bytes=self._max_document)
            self._go_to(Script(document, asked.url), MAIN, asked.by, asked.where)
        except SwmlError as error:
            self._fail(error, asked)

    def _go_to(self, script: Script, section: str, by: Execute | Transfer | None, where: str) -> None:
        """Run a section; raises `SwmlError` when too many call each other."""
        if isinstance(by, Execute):
            self._flow.call(script, section, by.params, by, where)
        else:
            self._flow.begin(script, section, self._params if by is None else by.params)
        self.variables.params = self._flow.params

    def _leave_for(self, by: Execute | Transfer, where: str) -> None:
        """Go where an execute or a transfer leads."""
        script = self._flow.script
        place = place_of(by.dest, script, where)
        if place.section:
            self._go_to(script, place.section, by, where)
        elif place.text:
            self._take(place.text, "", _Asked(script.base, where, by))
        else:
            self._fetch(_Asked(place.url, where, by), by.params, by.meta)

    def _transfer(self, transfer: Transfer, where: str) -> None:
        self._n_transfers += 1
        if self._n_transfers > MAX_TRANSFERS:
            raise SwmlError(
                ScriptError.TOO_MANY_TRANSFERS, where, f"more than {MAX_TRANSFERS} transfers; return, or end the call"
            )
        self._leave_for(transfer, where)

    # -- steps ---------------------------------------------------------------------------------------------------

    def _go_on(self, now: float) -> None:
        """Run steps until one takes time, the turn is over, or all is."""
        self._deadline = None
        while self._state is State.BUSY and self._n_this_turn < STEPS_A_TURN:
            try:
                self._advance()
            except SwmlError as error:
                self._fail(error)
        if self._state is State.BUSY:
            self._deadline = now

    def _spend(self, n_steps: int) -> None:
        """Count steps; raises `SwmlError` when there were too many."""
        self._n_steps += n_steps
        self._n_in_a_row += n_steps
        self._n_this_turn += n_steps
        if self._n_steps > MAX_STEPS or self._n_in_a_row > MAX_STEPS_IN_A_ROW:
            reason = "too many steps" if self._n_steps > MAX_STEPS else "too many steps in no time"
            raise SwmlError(ScriptError.METHOD_EXECUTE_FAILED, self._where, f"{reason}; look for a loop")

    def _advance(self) -> None:
        """Run the next step."""
        self._spend(1)
        step, self._again = self._again, None
        due = step or self._flow.next()
        match due:
            case Ended():
                self._return(due, UNDEFINED)
            case Step():
                self._where = due.path
                arguments = self._arguments(due)
                if arguments is None:
                    pass
                elif self._is_up or not _needs_answer(arguments):
                    self._run(arguments, due)
                else:
                    self._again = due
                    self._answer(None)
            case _:
                self._choose(due, "return_value")

    def _arguments(self, step: Step) -> Arguments | None:
        """Return what a step asks for; None: it cannot be done, but is passed over."""
        try:
            return arguments_of(step, prepared(step, self.variables, self._warn))
        except SwmlError as error:
            if step.method != "pay":
                raise
            self._warn(error.code, error.where or step.path, error.reason)
            self._bring(refused_variables(PayRefused("", error.reason)))
            return None

    def _run(self, arguments: Arguments, step: Step) -> None:
        match arguments:
            case Play() if not self._is_up:
                self._warn(
                    ScriptError.METHOD_EXECUTE_FAILED, step.path, "auto_answer is false and the call is not answered"
                )
            case Play() | Prompt() | Record() | Pay() | Request() | SipRefer():
                self._begin(arguments)
            case Connect():
                self._begin(arguments)
                self._connect = arguments
            case Answer():
                self._answer(arguments.max_duration_s)
            case Hangup():
                self._finish(arguments.reason)
            case Sleep():
                self._commands.append(Wait(token=self._wait_in(State.RUNNING), seconds=arguments.seconds))
            case SendDigits():
                self._commands.append(KeyDigits(token=self._wait_in(State.RUNNING), digits=arguments.digits))
            case RecordCall():
                self._commands.append(BeginRecordCall(record=arguments))
                self._end_turn()  # what follows sees the variables that it brings
            case StopRecordCall():
                self._commands.append(EndRecordCall(control_id=arguments.control_id))
                self._end_turn()
            case UserEvent():
                self._commands.append(SendUserEvent(event=arguments.event))
            case Set():
                for name, value in arguments.values.items():
                    self.variables.set(name, value)
            case Unset():
                for name in arguments.names:
                    self.variables.unset(name)
            case Label():
                pass
            case Goto():
                if not arguments.when or is_true(arguments.when, self.variables, step.path, self._warn):
                    self._flow.jump(arguments.label, arguments.max, step.path)
            case Switch():
                if not self._choose(arguments, arguments.variable):
                    raise SwmlError(
                        ScriptError.METHOD_NO_MATCHING_CONDITION, step.path, "no case matches; give it a default"
                    )
            case Execute():
                self._leave_for(arguments, step.path)
            case Transfer():
                self._transfer(arguments, step.path)
            case Return():
                self._return(self._flow.leave(), arguments.value)
            case tuple():
                self._choose(arguments, "")
            case _:
                assert_never(arguments)

    def _answer(self, max_duration_s: float | None) -> None:
        self._commands.append(AnswerCall(max_duration_s=max_duration_s))
        if not self._is_up:
            self._state = State.ANSWERING

    def _begin(self, work: Work) -> None:
        self._commands.append(Begin(token=self._wait_in(State.RUNNING), work=work, base_url=self._flow.script.base))
        self._is_work = True

    def _after(self, connect: Connect) -> None:
        """Go on behind a connect as it says."""
        if connect.transfer_after_bridge and self.variables.get("connect_result") == "connected":
            self._transfer(Transfer(dest=connect.transfer_after_bridge), self._where)
        elif connect.result is not None:
            self._choose(connect.result, "connect_result")

    def _choose(self, choice: Choice, unnamed: str) -> bool:
        """Go on with what a choice leads to; return whether there is anything."""
        steps = chosen(choice, self.variables, self._where, self._warn, unnamed=unnamed)
        if steps:
            self._flow.enter(steps)
        return steps is not None

    def _return(self, ended: Ended, value: Any) -> None:
        """Go on behind the execute whose section is through, or end."""
        caller = ended.caller
        if caller is None:
            self._finish("")
            return
        self.variables.params = self._flow.params
        if value is UNDEFINED:
            self.variables.unset("return_value")
        else:
            self.variables.set("return_value", value)
        self._flow.enter(caller.on_return, caller.result)

    # -- parts ---------------------------------------------------------------------------------------------------

    def _wait_in(self, state: State) -> int:
        """Return a new token, whose answer is waited for."""
        self._n_tokens += 1
        self._state, self._running, self._is_work = state, self._n_tokens, False
        return self._running

    def _resume(self, now: float) -> None:
        """Note that what was waited for has come, perhaps at once."""
        self._state, self._running = State.BUSY, 0
        if now - self._turn_at >= TURN_S:
            self._new_turn(now)

    def _new_turn(self, now: float) -> None:
        self._n_in_a_row = max(0.0, self._n_in_a_row - max(0.0, now - self._turn_at) * STEPS_A_SECOND)
        self._n_this_turn, self._turn_at = 0, now

    def _end_turn(self) -> None:
        """Let what was asked for be done before the next step."""
        self._n_this_turn = STEPS_A_TURN

    def _bring(self, variables: Outcome) -> None:
        """Set variables that a method brought, as far as they fit."""
        for name, value in variables.items():
            try:
                self.variables.set(name, value)
            except SwmlError as error:
                self._warn(error.code, self._where, error.reason)

    def _fail(self, error: SwmlError, asked: _Asked | None = None) -> None:
        """End by an error, or ask for the fallback when the first document is at fault."""
        where = error.where or (asked.where if asked is not None else "")
        from_ = f" (from {host_of(asked.url)})" if asked is not None and asked.url else ""
        self._tell(error.code, where, f"{error.reason}{from_}")
        is_first = asked is not None and asked.by is None and not asked.is_fallback
        fallback = resolved("", self._source.fallback_url) if is_first else ""
        if fallback:
            self._state = State.BUSY
            self._fetch(_Asked(fallback, is_fallback=True), self._params, {})
        else:
            self._finish("error")

    def _warn(self, code: ScriptError, where: str, reason: str) -> None:
        """Tell what is wrong, once for each place: a step may run a thousand times."""
        if (code, where) not in self._warned and len(self._warned) < _MAX_WARNINGS:
            self._warned.add((code, where))
            self._tell(code, where, reason)

    def _tell(self, code: ScriptError, where: str, reason: str) -> None:
        try:
            self.variables.set("script_error", code.value)
        except SwmlError:
            pass  # there is no room for it
        self._commands.append(Warn(code=code, where=where, reason=reason))

    def _finish(self, reason: Reason) -> None:
        self._state, self._running, self._deadline = State.OVER, 0, None
        self._asked = self._connect = self._again = None
        self._commands.append(Finished(reason=reason))


def _needs_answer(arguments: Arguments) -> bool:
    match arguments:
        case Play():
            return arguments.auto_answer
        case Connect():
            return not arguments.answer_on_bridge
        case Prompt() | Record() | RecordCall() | Pay() | SendDigits() | SipRefer():
            return True
        case _:
            return False


def _not_had(asked: _Asked, reason: str) -> SwmlError:
    code = ScriptError.PARSE_INTERNAL_ERROR if asked.by is None else ScriptError.METHOD_EXECUTE_FAILED
    return SwmlError(code, asked.where, f"the document cannot be had: {reason}")
