"""A SWML document on a call: feeds the interpreter with what happens and carries out what it wants.

What holds of it is said in ``engine.programs.actions.pump``. Recordings beside the document hear keys as well, where
one ends them, but for those of a payment.
"""

from __future__ import annotations

import logging
import uuid
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

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
    SendUserEvent,
    Stop,
    Wait,
    Warn,
    Work,
)
from engine.dialects.swml.methods import Pay, RecordCall
from engine.errors import ProgramError
from engine.program import CallControl, CallState
from engine.programs.actions.protocol import Action
from engine.programs.actions.pump import Pump
from engine.programs.context import ProgramContext
from engine.programs.swml.fetching import call_object, fetch_document

__all__ = ("Interpreting", "MakesActions", "SwmlRun")

log = logging.getLogger("engine.programs.swml")

_Told = Callable[[Outcome], None]
MAX_RECORDINGS = 16
"Of one document at a time."


class Interpreting(Protocol):
    """What a run feeds, and takes commands from: ``engine.dialects.swml.interpreter.Interpreter``."""

    def start(self, now: float) -> None:
        """Begin: ask for the first document, or run the one that is there."""

    def answered(self, now: float) -> None:
        """Note that both sides hear each other."""

    def fetched(self, token: int, *, status: int, content_type: str, body: bytes, url: str, now: float) -> None:
        """Take an answer to `FetchDocument`."""

    def fetch_failed(self, token: int, reason: str, now: float) -> None:
        """Note that there is no answer to `FetchDocument`."""

    def ended(self, token: int, variables: Outcome, now: float) -> None:
        """Take the outcome of what was begun."""

    def set_variables(self, variables: Outcome, now: float) -> None:
        """Take what became of a recording that runs beside the document."""

    def call_changed(self, call: Mapping[str, Any]) -> None:
        """Take the scope ``call`` anew."""

    def hang_up(self, now: float) -> None:
        """Note that the call is over."""

    def next_timer(self) -> float | None:
        """Return when to call `handle_timer`."""

    def handle_timer(self, now: float) -> None:
        """Note that time has passed."""

    def next_command(self) -> Command | None:
        """Return the next thing to do."""


class MakesActions(Protocol):
    """What makes the actions of methods: ``engine.programs.swml.works.Works``."""

    def begin(self, work: Work, base_url: str, ended: _Told) -> Action:
        """Return the action of a method, not started; ``ProgramError`` when it cannot be.

        ``ended`` takes the variables of its end, once, from within any of its methods.
        """

    def key(self, digits: str, ended: _Told) -> Action:
        """Return what keys digits."""

    def record_call(self, command: RecordCall, tell: _Told, ended: Callable[[], None]) -> Action:
        """Return a recording beside the document; ``tell`` takes variables as they come, ``ended`` its end."""

    def failed(self, work: Work, error: Exception) -> Outcome:
        """Return the variables of a method that could not begin, or broke down."""


class SwmlRun(Pump[Command, Work, Interpreting]):
    """One interpreter on one call, from `begin` to the call of ``finished``, which comes once."""

    def __init__(
        self,
        interpreter: Interpreting,
        call: CallControl,
        context: ProgramContext,
        works: MakesActions,
        finished: Callable[[str], None],
        *,
        answer: Callable[[float | None], None],
        allow_insecure: bool = False,
    ) -> None:
        """Take the call, or a proxy of it.

        ``finished`` takes the reason of `Finished`, ``answer`` how long the call may last in seconds (None: as it was);
        neither must hold the run. ``allow_insecure`` admits http for documents.
        """
        super().__init__(interpreter, call, context, finished, timed=interpreter, log=log)
        self._works = works
        self._answer = answer
        self._allow_insecure = allow_insecure

    # -- what happens on the call --------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Ask for the first document, or run it."""
        self._tell(self._interpreter.start, now)

    def answered(self, now: float) -> None:
        """Note that both sides hear each other."""
        self._tell(self._interpreter.call_changed, self._scope(CallState.ANSWERED))
        self._tell(self._interpreter.answered, now)

    # -- Pump ----------------------------------------------------------------------------------------------------

    def _is_payment(self, work: Work) -> bool:
        return isinstance(work, Pay)

    def _failed(self, work: Work, error: Exception) -> Outcome:
        return self._works.failed(work, error)

    def _carry_out(self, command: Command) -> None:
        match command:
            case FetchDocument():
                self._fetch_by(command.token, self._fetch(command))
            case AnswerCall():
                self._answer(command.max_duration_s)
            case Begin():
                begin = self._works.begin
                self._begin(command.token, command.work, lambda ended: begin(command.work, command.base_url, ended))
            case Wait():
                self._wait_for(command.token, command.seconds)
            case BeginRecordCall():
                self._begin_recording(command.record)
            case EndRecordCall():
                self._end_recording(command.control_id)
            case KeyDigits():
                me, token = weakref.proxy(self), command.token
                self._start(token, self._works.key(command.digits, lambda found: me._ended(token, found)))
            case SendUserEvent():
                # What it says is the application's: keys may be in it.
                log.info("an event of a document: nobody watches", extra=self._fields())
            case Warn():
                log.warning(
                    "a document: %s",
                    command.reason,
                    extra=self._fields(code=command.code, where=command.where),
                )
            case Stop():
                self._give_up(command.token, self._context.now())
            case Finished():
                self._end(command.reason)

    def _scope(self, state: CallState) -> dict[str, Any]:
        return call_object(self._facts, state, self._context.config.signalwire)

    # -- documents -----------------------------------------------------------------------------------------------

    async def _fetch(self, command: FetchDocument) -> None:
        answer, reason = None, ""
        try:
            answer = await fetch_document(
                command,
                call=self._scope(self._call.state),
                context=self._context,
                allow_insecure=self._allow_insecure,
            )
        except ProgramError as error:
            reason = str(error)
        except Exception as error:
            self._failure("a request failed", error)
            reason = "internal error"
        if not self._is_wanted(command.token):
            return
        now = self._context.now()
        if answer is None:
            self._tell(self._interpreter.fetch_failed, command.token, reason, now)
            return
        log.debug("document", extra=self._fields(status=answer.status, bytes=len(answer.body)))
        found = answer

        def take() -> None:
            self._interpreter.fetched(
                command.token,
                status=found.status,
                content_type=found.content_type,
                body=found.body,
                url=found.url,
                now=now,
            )

        self._tell(take)

    # -- recordings ----------------------------------------------------------------------------------------------

    def _begin_recording(self, command: RecordCall) -> None:
        control_id = command.control_id or str(uuid.uuid4())
        if control_id in self._beside or len(self._beside) >= MAX_RECORDINGS:
            log.warning("record_call is passed over: it runs already", extra=self._fields())
            self._note({"record_call_result": "failed", "record_control_id": control_id})
            return
        me = weakref.proxy(self)
        command = replace(command, control_id=control_id)
        try:
            action = self._works.record_call(
                command, lambda found: me._note(found), lambda: me._beside_ended(control_id)
            )
        except Exception as error:
            self._failure("nothing is recorded", error)
            self._note({"record_call_result": "failed", "record_control_id": control_id})
            return
        self._beside[control_id] = action
        self._note({"record_control_id": control_id})
        try:
            action.start(self._context.now())
        except Exception as error:
            self._failure("nothing is recorded", error)
            self._beside_ended(control_id)
            self._note({"record_call_result": "failed"})

    def _end_recording(self, control_id: str) -> None:
        wanted = control_id or next(reversed(self._beside), "")
        action = self._beside.pop(wanted, None)
        self._note({"stop_record_call_result": "failed" if action is None else "success"})
        if action is not None:
            self._leave(action)
            self._guarded(action.stop, self._context.now())

    def _note(self, variables: Outcome) -> None:
        if not self._hung_up:
            self._tell(self._interpreter.set_variables, variables, self._context.now())
