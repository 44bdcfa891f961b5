"""An action on a call (``engine.programs.actions.protocol.Action``), as a double."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

__all__ = ("FakeAction",)


class FakeAction:
    """An action that a test ends."""

    def __init__(self, ended: Callable[..., None]) -> None:
        self.ended = ended
        self.happened: list[Any] = []
        self.over = asyncio.Event()
        self.wants_digits = False
        self.fails_at = ""
        self.ends_at: dict[str, Any] = {}

    def _happens(self, what: str, *more: Any) -> None:
        self.happened.append((what, *more) if more else what)
        if what == self.fails_at:
            raise RuntimeError("a fault")
        if what in self.ends_at:
            self.end(self.ends_at[what])

    def end(self, *outcome: Any) -> None:
        self.over.set()
        self.ended(*outcome)

    def start(self, now: float) -> None:
        self._happens("start")

    def digit(self, code: int, now: float) -> None:
        self._happens("digit", code)

    def digit_ended(self, now: float) -> None:
        self._happens("digit_ended")

    def count_digit(self, source: str) -> None:
        self._happens("count_digit", source)

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        self._happens("play_finished", token)

    def stop(self, now: float) -> None:
        self._happens("stop")
        self.over.set()

    def hang_up(self, now: float) -> None:
        self._happens("hang_up")
        self.over.set()

    async def done(self) -> None:
        await self.over.wait()
