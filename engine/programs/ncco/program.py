"""An NCCO application's call: the program that has its NCCO interpreted and carries it out.

A call in asks for its NCCO while it rings, and is answered by the first action that is heard, listens or records; a
call out begins when it is answered, and so does a call that is handed on. The end of the NCCO is the end of the call: a
call in that still rings is refused, with 500 when there is no NCCO that can be run, with 603 when it does nothing.
"""

from __future__ import annotations

import asyncio

from engine.config import Config, NccoApp
from engine.dialects.ncco.actions import EventTarget
from engine.dialects.ncco.commands import Source
from engine.dialects.ncco.errors import NccoError
from engine.dialects.ncco.interpreter import Interpreter
from engine.dialects.ncco.reading import read_ncco
from engine.errors import ConfigError, ProgramError
from engine.program import CallControl, CallState, Transfer
from engine.programs.actions.keying import KeyingAction
from engine.programs.context import ProgramContext
from engine.programs.ncco.run import NccoRun
from engine.programs.ncco.works import Works
from engine.programs.weak import held_weakly, weakly

__all__ = ("MAX_LENGTH_S", "NccoProgram", "check_nccos", "program_of", "source_of")

MAX_LENGTH_S = 7200.0
"How long a call lasts at most where nobody said how long, as the vendor has it."
_REFUSALS = {"error": 500}
"How a call that rings is refused, by why its NCCO ended; 603 for one that ended without answering it."


def check_nccos(config: Config) -> None:
    """Raise ``ConfigError`` for an NCCO of the configuration that cannot be run."""
    for name, app in config.apps.items():
        if not isinstance(app, NccoApp) or not app.ncco:
            continue
        try:
            read_ncco(app.ncco.encode(), max_bytes=config.vonage.max_document_kb * 1024)
        except NccoError as error:
            raise ConfigError(str(error), where=f"app.{name}.ncco", remedy="correct the NCCO") from None


def source_of(app: NccoApp) -> Source:
    """Return where an application's NCCOs come from."""
    return Source(
        answer=EventTarget(url=app.answer_url, method=app.answer_method) if app.answer_url else None,
        text=app.ncco.encode(),
        fallback=EventTarget(url=app.fallback_url, method=app.fallback_method) if app.fallback_url else None,
    )


def program_of(name: str, app: NccoApp, call: CallControl, context: ProgramContext) -> NccoProgram:
    """Return the program of a call that a route gives to an application, or that another program hands on to it."""
    return NccoProgram(call, source_of(app), context, app=name)


class NccoProgram:
    """``engine.program.Program`` of one call."""

    def __init__(
        self,
        call: CallControl,
        source: Source,
        context: ProgramContext,
        *,
        app: str,
        event: EventTarget | None = None,
        length_s: float | None = None,
        dtmf_answer: str = "",
    ) -> None:
        """``app`` names the application; ``event`` is where its states are told, None: the application's event URL.

        ``length_s`` ends the call so long after its answer, at `MAX_LENGTH_S` else. ``dtmf_answer`` is keyed first,
        before anything of the NCCO: 0-9 * #, and ``p`` for half a second.
        """
        self.label = app
        self._call = held_weakly(call)
        self._call_id = call.facts.call_id
        self._context = context
        if context.ncco is None:
            raise ConfigError("there is no application of this kind", where=f"app.{app}", remedy="name one")
        self._legs = context.ncco
        self._leg = self._legs.watch(call.facts, app=app, event=event)
        self._run = self._made(source)
        self._begun = self._over = False
        self._keys = dtmf_answer.lower().replace("p", "w")
        self._keying: KeyingAction | None = None
        self._answered_at: float | None = None
        self._limit_s = MAX_LENGTH_S if length_s is None else length_s
        self._limit: asyncio.TimerHandle | None = None

    def _made(self, source: Source) -> NccoRun:
        return NccoRun(
            Interpreter(source, max_bytes=self._context.config.vonage.max_document_kb * 1024),
            self._call,
            self._context,
            Works(self._call, self._context, leg=self._leg, legs=self._legs),
            weakly(self._finished),
            leg=self._leg,
            legs=self._legs,
            answer=weakly(self._answer),
        )

    # -- Program -------------------------------------------------------------------------------------------------

    def offered(self, now: float) -> None:
        """Ask for the NCCO while the call rings; it says whether the call is answered."""
        self._begun = True
        self._run.begin(now)

    def start(self, now: float) -> None:
        """Both sides hear each other: a call out, and one that was handed on, begins now."""
        if self._over or self._answered_at is not None:
            return
        self._answered_at = now
        self._arm()
        self._run.answered(now)
        if self._begun:
            return
        if self._keys:
            self._keying = KeyingAction(self._keys, self._call, self._context, on_done=weakly(self._keyed))
            self._keying.start(now)
        else:
            self._begin(now)

    def digit(self, code: int, now: float) -> None:
        """Take a key (RFC 4733 event code)."""
        self._run.digit(code, now)

    def digit_ended(self, now: float) -> None:
        """Note that the last key was let go."""
        self._run.digit_ended(now)

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from."""
        self._run.count_digit(source)

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        """Note that a playlist is over."""
        self._run.play_finished(token, interrupted_by_digit, now)

    def hang_up(self, now: float) -> None:
        """The call is over: what became of its actions is still told."""
        if not self._over:
            self._over = True
            self._arm()
            self._legs.hung_up(self._call_id)
        if self._keying is not None:
            self._keying.hang_up(now)
        self._run.hang_up(now)

    async def done(self) -> None:
        """Wait until all actions are over and what they tell is on its way."""
        await self._run.done()

    # -- what REST wants -----------------------------------------------------------------------------------------

    def transfer(self, wanted: Source | Transfer) -> bool:
        """Go on with another NCCO and return True; raise ``ProgramError`` when the call is over.

        A payment that is at its connector ends by the answer, and its webhook leaves all the same. A transfer that the
        call's peer wants (``engine.program.TakesTransfers``) is declined: it would be a call at the operator's cost.
        """
        if isinstance(wanted, Transfer):
            return False
        self.redirect(wanted)
        return True

    def redirect(self, source: object) -> None:
        """Go on with another NCCO; raise ``ProgramError`` when the call is over, or for another dialect's document."""
        if not isinstance(source, Source):
            raise ProgramError("what runs on the call takes NCCOs only")
        if self._over or self._call.state is CallState.ENDED:
            raise ProgramError("the call is over")
        now = self._context.now()
        if self._begun:
            self._run.replace(source, now)
            return
        self._run = self._made(source)
        if self._answered_at is not None:  # keys are being sent: it begins behind them
            self._run.answered(now)

    def limit(self, seconds: float) -> None:
        """End the call when it has lasted so long since its answer."""
        self._limit_s = seconds
        self._arm()

    # -- inside --------------------------------------------------------------------------------------------------

    def _keyed(self) -> None:
        if not self._over:
            self._begin(self._context.now())

    def _begin(self, now: float) -> None:
        self._begun = True
        self._run.begin(now)

    def _answer(self) -> None:
        if self._call.state is CallState.RINGING and self._call.facts.direction == "in":
            self._call.answer()

    def _arm(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        if not self._over and self._answered_at is not None:
            at = self._answered_at + self._limit_s
            self._limit = asyncio.get_running_loop().call_at(at, weakly(self._too_long))

    def _too_long(self) -> None:
        self._limit = None
        self._call.hang_up("time limit")

    def _finished(self, reason: str) -> None:
        if self._over:
            return
        if self._call.state is CallState.RINGING and self._call.facts.direction == "in":
            self._call.reject(_REFUSALS.get(reason, 603))
        else:
            self._call.hang_up("")
