"""Listening for keys beside whatever else runs on a call: ``calling.detect`` of type ``digit``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.dialects.signalwire.digits import KEYS
from engine.programs.weak import weakly

__all__ = ("FINISHED", "DigitDetection")

FINISHED = "finished"


class DigitDetection:
    """An ``Action`` that takes no key from anybody; its program shows it those that may be shown."""

    def __init__(self, digits: str, *, timeout_s: float, on_event: Callable[[str], None]) -> None:
        """``on_event`` takes each key of ``digits``, and `FINISHED` at the end, once."""
        self._digits = digits
        self._timeout_s = timeout_s
        self._on_event: Callable[[str], None] | None = on_event
        self._timer: asyncio.TimerHandle | None = None

    @property
    def wants_digits(self) -> bool:
        """Never: it only listens."""
        return False

    def start(self, now: float) -> None:
        """Begin to listen."""
        if self._on_event is not None:
            self._timer = asyncio.get_running_loop().call_at(now + self._timeout_s, weakly(self._end))

    def digit(self, code: int, now: float) -> None:
        """Tell a key, if it is one of those."""
        if self._timer is not None and self._on_event is not None and 0 <= code < len(KEYS):
            key = KEYS[code]
            if key in self._digits:
                self._on_event(key)

    def digit_ended(self, now: float) -> None:
        """Nothing."""

    def count_digit(self, source: str) -> None:
        """Nothing."""

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Nothing."""

    def stop(self, now: float) -> None:
        """Listen no more."""
        self._end()

    def hang_up(self, now: float) -> None:
        """Listen no more."""
        self._end()

    async def done(self) -> None:
        """Nothing is owed."""

    def _end(self) -> None:
        tell, self._on_event = self._on_event, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if tell is not None:
            tell(FINISHED)
