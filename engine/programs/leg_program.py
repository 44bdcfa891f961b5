"""What runs on a call that ``<Dial>`` has placed: keys digits, plays its document, is connected, can be led away.

::

    place -> rings -> answered -> digits of the noun -> its document (whisper) -> ready: its owner connects it
                                                     any time: over, or redirected by REST: it leaves its owner

The owner is the verb that runs on the calling side. The two hold each other weakly and their calls by weak proxies: a
call that is over keeps nothing alive. A leg that was redirected is a call of its own: what its document does is no
business of the one who dialled it any more.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from dsp.dtmf import CODES
from engine.dialects.twiml.commands import Source
from engine.errors import ProgramError
from engine.program import CallControl, CallState, Program, Transfer
from engine.programs.weak import weakly

__all__ = ("LegOwner", "LegProgram", "MakeProgram", "MakeWhisper", "Redirectable", "Whisper", "keying")

KEY_S = 0.16
"How long a key takes that is sent: tone and pause (``Leg.send_digits``)."
WAIT_S = 0.5
"A ``w`` between keys."
MAX_KEYS = 64


class Redirectable(Program, Protocol):
    """A program that REST can lead elsewhere."""

    def redirect(self, source: Any) -> None:
        """Go on with another document, of the same dialect; raise ``ProgramError`` when the call is over."""


class Whisper(Protocol):
    """Runs a document that the called side hears before it is connected."""

    def begin(self, now: float) -> None:
        """Begin: ask for the document."""

    def answered(self, now: float) -> None:
        """Note that both sides hear each other."""

    def digit(self, code: int, now: float) -> None:
        """Take a key (RFC 4733 event code)."""

    def digit_ended(self, now: float) -> None:
        """Note that the last key was let go."""

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from."""

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        """Note that a playlist is over."""

    def stop(self, now: float) -> None:
        """End it: nothing more is told."""

    async def done(self) -> None:
        """Wait until all that it owes somebody is written."""


MakeProgram = Callable[[CallControl, Any], Redirectable]
"Makes what leads a call by a document: takes the call and a source of the dialect, `LegProgram`'s ``source_type``."
MakeWhisper = Callable[[CallControl, Callable[[bool], None]], Whisper]
"""Makes what runs a document that the called side hears before it is connected.

It says once, when the document is over, whether the called side is to be connected: not, where the document hangs up.
"""


class LegOwner(Protocol):
    """Who dialled: hears what becomes of each leg."""

    def leg_answered(self, leg: LegProgram) -> bool:
        """Note that somebody answered; return False when nobody is wanted any more, and the leg hangs up."""

    def leg_ready(self, leg: LegProgram) -> None:
        """Connect it: it was answered and has heard what it was to hear."""

    def leg_left(self, leg: LegProgram) -> None:
        """Note that a document of its own leads it now; it is told of no more."""

    def leg_over(self, leg: LegProgram) -> None:
        """Note that it is over: see `LegProgram.cause`."""

    def leg_transfer(self, leg: LegProgram, wanted: Transfer) -> bool:
        """Connect the caller with somebody else in its place; see ``engine.program.TakesTransfers``."""


def keying(text: str, *, at_most: int = MAX_KEYS) -> list[tuple[float, tuple[int, ...]]]:
    """Return what is keyed when, as (seconds from the beginning, codes), for keys with ``w`` for half a second.

    Other characters are passed over, and characters beyond ``at_most`` left out. The last entry has no keys: its time
    is the end.
    """
    at, begin, run = 0.0, 0.0, list[int]()
    parts: list[tuple[float, tuple[int, ...]]] = []
    for character in text[:at_most]:
        if character in "wW":
            if run:
                parts.append((begin, tuple(run)))
                run = []
            at += WAIT_S
        elif (code := CODES.get(character.upper())) is not None:
            begin = begin if run else at
            run.append(code)
            at += KEY_S
    if run:
        parts.append((begin, tuple(run)))
    return [*parts, (at, ())]


class LegProgram:
    """The program of one call that a verb placed; `run_on` is handed to ``Exchange.place``."""

    def __init__(
        self,
        owner: LegOwner,
        *,
        label: str,
        make_program: MakeProgram,
        source_type: type = Source,
        make_whisper: MakeWhisper | None = None,
        send_digits: str = "",
        on_call: Callable[[CallControl], None] = lambda call: None,
    ) -> None:
        """``source_type`` is what `redirect` takes; ``on_call`` hears of the call before anything happens on it."""
        self.label = label
        self.answered_at: float | None = None
        "Seconds of the loop's clock."
        self.call: CallControl
        self._reference: Callable[[], CallControl | None]
        self._owner: LegOwner | None = weakref.proxy(owner)
        self._make_program = make_program
        self._source_type = source_type
        self._make_whisper = make_whisper
        self._send_digits = send_digits
        self._on_call = on_call
        self._whisper: Whisper | None = None
        self._heard_all: list[Whisper] = []
        "Documents that are over and still waited for."
        self._program: Redirectable | None = None
        "What leads the call after a redirection."
        self._timers: list[asyncio.TimerHandle] = []
        self._limit_s: float | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._is_over = False

    def run_on(self, call: CallControl) -> LegProgram:
        """Take the call that was placed, and return the program."""
        self.call = weakref.proxy(call)
        self._reference = weakref.ref(call)
        self._on_call(call)
        return self

    @property
    def cause(self) -> str:
        """Why the call is over."""
        return self.call.cause

    def give_up(self, reason: str) -> None:
        """End the call for its owner, who is told no more."""
        self._owner = None
        self._stop_waiting()
        if not self._is_over:
            self.call.hang_up(reason)

    def leave_owner(self) -> None:
        """Tell the owner nothing more; the call goes on."""
        self._owner = None

    # -- engine.program.Program ----------------------------------------------------------------------------------

    def offered(self, now: float) -> None:
        """Nothing: a call out is not offered."""

    def start(self, now: float) -> None:
        """The called side answered."""
        self.answered_at = now
        self._arm()
        if self._program is not None:  # redirected while it rang
            self._program.start(now)
            return
        if self._owner is None or not self._owner.leg_answered(self):
            self.give_up("somebody else answered")
            return
        loop = asyncio.get_running_loop()
        for at, codes in keying(self._send_digits) if self._send_digits else [(0.0, ())]:
            if codes and at > 0.0:
                self._timers.append(loop.call_later(at, self.call.send_digits, codes))
            elif codes:
                self.call.send_digits(codes)
            elif at > 0.0:
                self._timers.append(loop.call_later(at, self._begin))
            else:
                self._begin()

    def digit(self, code: int, now: float) -> None:
        """Take a key of the called side: its document may ask for one. Bridged, the media plane passes it on."""
        if (program := self._led_by) is not None:
            program.digit(code, now)

    def digit_ended(self, now: float) -> None:
        """Note that the last key was let go."""
        if (program := self._led_by) is not None:
            program.digit_ended(now)

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from."""
        if (program := self._led_by) is not None:
            program.count_digit(source)

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        """Note that a playlist is over."""
        if (program := self._led_by) is not None:
            program.play_finished(token, interrupted_by_digit, now)

    def hang_up(self, now: float) -> None:
        """The call is over."""
        if self._program is not None:
            self._program.hang_up(now)
        if self._is_over:
            return
        self._is_over = True
        self._arm()
        self._stop_waiting()
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.leg_over(self)

    async def done(self) -> None:
        """Wait for what a document of its own still owes."""
        for whisper in self._heard_all:
            await whisper.done()
        if self._program is not None:
            await self._program.done()

    # -- beyond it -----------------------------------------------------------------------------------------------

    def redirect(self, source: object) -> None:
        """Lead the call by another document from now on (REST).

        Raise ``ProgramError`` when the call is over, and for a document of another dialect than its owner's.
        """
        if not isinstance(source, self._source_type):
            raise ProgramError("what runs on the call takes no documents of this kind")
        if self._program is not None:
            self._program.redirect(source)
            return
        call = self._reference()
        if self._is_over or call is None or call.state is CallState.ENDED:
            raise ProgramError("the call is over")
        self._stop_waiting()
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.leg_left(self)
        self._program = self._make_program(call, source)
        if self.answered_at is not None:
            self._program.start(asyncio.get_running_loop().time())

    def limit(self, seconds: float) -> None:
        """End the call when it has lasted so long since its answer (REST): at once if it has already."""
        self._limit_s = seconds
        self._arm()

    def _arm(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        if self._limit_s is not None and self.answered_at is not None and not self._is_over:
            at = self.answered_at + self._limit_s
            self._limit = asyncio.get_running_loop().call_at(at, weakly(self._too_long))

    def _too_long(self) -> None:
        self.call.hang_up("time limit")

    def transfer(self, wanted: Transfer) -> bool:
        """Follow a REFER of the called side, where its owner can."""
        return self._owner is not None and self._owner.leg_transfer(self, wanted)

    @property
    def _led_by(self) -> Redirectable | Whisper | None:
        return self._program if self._program is not None else self._whisper

    def _begin(self) -> None:
        """Digits are keyed: on to the document, or to be connected."""
        if self._make_whisper is None:
            self._ready()
            return
        now = asyncio.get_running_loop().time()
        self._whisper = whisper = self._make_whisper(self.call, weakly(self._heard))
        whisper.begin(now)
        whisper.answered(now)

    def _heard(self, wanted: bool) -> None:
        whisper, self._whisper = self._whisper, None
        if whisper is not None:
            self._heard_all.append(whisper)
        if wanted:
            self._ready()
        else:
            self.call.hang_up("")

    def _ready(self) -> None:
        if self._owner is not None:
            self._owner.leg_ready(self)

    def _stop_waiting(self) -> None:
        """Key nothing more, and end the document."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        whisper, self._whisper = self._whisper, None
        if whisper is not None:
            whisper.stop(asyncio.get_running_loop().time())
            self._heard_all.append(whisper)
