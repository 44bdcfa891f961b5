"""An NCCO on a call: feeds the interpreter with what happens and carries out what it wants.

What holds of it is said in ``engine.programs.actions.pump``; of an NCCO besides:

- An action that cannot begin, or breaks down, is an error that the application is told; the next action follows.
- A recording runs beside the NCCO, one at a time, and goes on when another NCCO takes over. One that a key, silence or
  a time ends is waited for before the next action, as the vendor has it: what the caller says is a message, and what
  follows thanks for it.
- What another NCCO has stopped is still waited for: a payment at its connector ends by the answer, and is told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from engine.dialects.ncco.actions import Pay, Record
from engine.dialects.ncco.commands import (
    AnswerCall,
    Begin,
    BeginRecording,
    Command,
    FetchNcco,
    Finished,
    Outcome,
    Source,
    Stop,
    TellError,
    Wait,
    Warn,
    Work,
)
from engine.dialects.ncco.errors import NccoError
from engine.errors import ProgramError
from engine.program import CallControl
from engine.programs.actions.protocol import Action
from engine.programs.actions.pump import Pump, Pumped
from engine.programs.context import ProgramContext
from engine.programs.ncco.fetching import ask
from engine.programs.ncco.legs import Leg, NccoLegs
from engine.programs.weak import weakly

__all__ = ("Interpreting", "MakesActions", "NccoRun")

log = logging.getLogger("engine.programs.ncco")

_RECORDING = "record"
"Name of the one recording."


class Interpreting(Pumped[Command], Protocol):
    """What a run feeds, and takes commands from: ``engine.dialects.ncco.interpreter.Interpreter``."""

    def start(self, now: float) -> None:
        """Begin: ask for the first NCCO, or run the one that is there."""

    def answered(self, now: float) -> None:
        """Note that both sides hear each other."""

    def fetched(self, token: int, body: bytes, url: str, now: float) -> None:
        """Take an answer to `FetchNcco`."""

    def fetch_failed(self, token: int, reason: str, now: float) -> None:
        """Note that there is no answer to `FetchNcco`."""

    def replace(self, source: Source, now: float) -> None:
        """Go on with another NCCO; what runs is stopped."""


class MakesActions(Protocol):
    """What makes the actions of an NCCO: ``engine.programs.ncco.works.Works``."""

    def begin(self, command: Begin, ended: Callable[[Outcome], None]) -> Action:
        """Return the action of a work, not started; ``ProgramError`` when it cannot be.

        ``ended`` takes the outcome, once, from within any of its methods.
        """

    def record(self, record: Record, base_url: str, ended: Callable[[], None]) -> Action:
        """Return a recording beside the NCCO, not started; ``ended`` is called at its end."""


class NccoRun(Pump[Command, Work, Interpreting]):
    """One interpreter on one call, from `begin` to the call of ``finished``, which comes once."""

    def __init__(
        self,
        interpreter: Interpreting,
        call: CallControl,
        context: ProgramContext,
        works: MakesActions,
        finished: Callable[[str], None],
        *,
        leg: Leg,
        legs: NccoLegs,
        answer: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the call, or a proxy of it.

        ``finished`` takes the reason of `Finished`; ``answer`` answers a call that rings. Neither must hold the run.
        """
        super().__init__(interpreter, call, context, finished, log=log)
        self._works = works
        self._leg = leg
        self._legs = legs
        self._answer = answer

    # -- what happens on the call --------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Ask for the first NCCO, or run it."""
        self._tell(self._interpreter.start, now)

    def answered(self, now: float) -> None:
        """Note that both sides hear each other."""
        self._tell(self._interpreter.answered, now)

    def replace(self, source: Source, now: float) -> None:
        """Go on with another NCCO; raise ``ProgramError`` when there is nothing more to go on."""
        if self._closed or self._hung_up:
            raise ProgramError("the call is over")
        if self._held and (recording := self._beside.get(_RECORDING)) is not None:
            self._held = False
            self._beside_ended(_RECORDING)
            self._guarded(recording.stop, now)
        self._tell(self._interpreter.replace, source, now)

    # -- Pump ----------------------------------------------------------------------------------------------------

    def _is_payment(self, work: Work) -> bool:
        return isinstance(work, Pay)

    def _failed(self, work: Work, error: Exception) -> Outcome:
        name = type(work).__name__.lower()
        if isinstance(error, NccoError):
            self._error(f"Syntax error in NCCO. {error}" if error.where else f"{name}: {error}")
        else:
            # No text of the exception: it may hold what the NCCO says, or what was keyed.
            extra = self._fields(action=name, error=type(error).__name__)
            log.error("an action cannot be carried out", extra=extra)
            self._legs.tell_error(self._leg, f"{name}: it could not be carried out")
        return {}

    def _carry_out(self, command: Command) -> None:
        match command:
            case AnswerCall():
                self._answer()
            case FetchNcco():
                self._fetch_by(command.token, self._fetch(command))
            case Begin():
                begin = self._works.begin
                self._begin(command.token, command.work, lambda ended: begin(command, ended))
            case BeginRecording():
                self._begin_recording(command)
            case Wait():
                self._wait_for(command.token, command.seconds)
            case TellError():
                self._error(command.reason)
            case Warn():
                where = self._fields(where=command.where)
                log.warning("an NCCO: %s", command.reason, extra=where)
            case Stop():
                self._give_up(command.token, self._context.now())
            case Finished():
                self._end(command.reason)

    def _error(self, reason: str) -> None:
        log.warning("an NCCO cannot be run: %s", reason, extra=self._fields())
        self._legs.tell_error(self._leg, reason)

    async def _fetch(self, command: FetchNcco) -> None:
        answer, reason = None, ""
        try:
            answer = await ask(command, self._leg, self._context)
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
        else:
            self._tell(self._interpreter.fetched, command.token, answer.body, answer.url, now)

    def _begin_recording(self, command: BeginRecording) -> None:
        if self._beside:
            log.warning("record is passed over: it runs already", extra=self._fields())
            return
        try:
            action = self._works.record(command.record, command.base_url, weakly(self._recorded))
            self._beside[_RECORDING] = action
            record = command.record
            self._held = bool(record.end_on_key or record.end_on_silence_s or record.timeout_s)
            action.start(self._context.now())
        except Exception as error:
            # It is no work that the interpreter waits for: the NCCO goes on.
            self._failure("nothing is recorded", error)
            self._recorded()
            self._legs.tell_error(self._leg, "record: it could not be carried out")

    def _recorded(self) -> None:
        self._beside_ended(_RECORDING)
        self._held = False
        self._pump()
