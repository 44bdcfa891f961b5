"""Keying digits towards the far end of a call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from engine.errors import MediaError
from engine.log import fields
from engine.program import CallControl
from engine.programs.context import ProgramContext
from engine.programs.leg_program import KEY_S, keying
from engine.programs.weak import held_weakly, weakly

__all__ = ("MAX_CHARACTERS", "KeyingAction")

log = logging.getLogger("engine.programs.actions")

MAX_CHARACTERS = 1000
"Of what is keyed; the rest is left out."
KEYS_AT_ONCE = 16
"So that the end comes soon when it is stopped."


class KeyingAction:
    """An ``Action``: 0-9 * # A-D, and ``w`` for half a second of silence; other characters are passed over."""

    def __init__(self, digits: str, call: CallControl, context: ProgramContext, *, on_done: Callable[[], None]) -> None:
        """``on_done`` is called once, when the last key was sent or it was ended before; see `is_complete`."""
        self.is_complete = False
        "Whether all was keyed."
        self._call = held_weakly(call)
        self._call_id = call.facts.call_id
        self._context = context
        self._on_done: Callable[[], None] | None = on_done
        self._parts = _pieces(digits)
        self._next = 0
        self._began = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_over(self) -> bool:
        """Whether the end was told."""
        return self._on_done is None

    @property
    def wants_digits(self) -> bool:
        """Never: keys of the far end are no concern of it."""
        return False

    def start(self, now: float) -> None:
        """Send the first keys."""
        self._began = now
        self._go_on()

    def digit(self, code: int, now: float) -> None:
        """Nothing."""

    def digit_ended(self, now: float) -> None:
        """Nothing."""

    def count_digit(self, source: str) -> None:
        """Nothing."""

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Nothing."""

    def stop(self, now: float) -> None:
        """Send no more; keys that were handed to the call are heard all the same."""
        self._end()

    def hang_up(self, now: float) -> None:
        """Send no more."""
        self._end()

    async def done(self) -> None:
        """Nothing is owed."""

    def _go_on(self) -> None:
        self._timer = None
        while not self.is_over:
            at, codes = self._parts[self._next]
            if self._context.now() < self._began + at:
                when = self._began + at
                self._timer = asyncio.get_running_loop().call_at(when, weakly(self._go_on))
                return
            if not codes:
                self.is_complete = True
                self._end()
                return
            self._next += 1
            try:
                self._call.send_digits(codes)
            except MediaError as error:
                log.warning("keys cannot be sent: %s", error, extra=fields(call=self._call_id))
                self._end()

    def _end(self) -> None:
        tell, self._on_done = self._on_done, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if tell is not None:
            tell()


def _pieces(digits: str) -> list[tuple[float, tuple[int, ...]]]:
    """Return what is keyed when, a few keys at a time; the last entry, which has none, is the end."""
    pieces: list[tuple[float, tuple[int, ...]]] = []
    for at, codes in keying(digits, at_most=MAX_CHARACTERS):
        for first in range(0, max(len(codes), 1), KEYS_AT_ONCE):
            pieces.append((at + first * KEY_S, codes[first : first + KEYS_AT_ONCE]))
    return pieces
