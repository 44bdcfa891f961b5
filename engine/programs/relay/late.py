"""A payment that was asked for between the answer to a call and its acknowledgement, which it has to wait for.

The vendor's client sends ``pay`` when ``answer`` has its result; the far end's ACK may come after that.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.errors import PayError
from engine.programs.actions.protocol import Action

__all__ = ("LateAction",)


class LateAction:
    """An ``Action`` that makes another one when it begins, and is that one from then on."""

    def __init__(self, make: Callable[[], Action], *, never: Callable[[str], None]) -> None:
        """``make`` may raise ``PayError``. ``never`` is told once when nothing is made, with why (empty: stopped)."""
        self._make: Callable[[], Action] | None = make
        self._never = never
        self._action: Action | None = None

    @property
    def wants_digits(self) -> bool:
        """As the other one."""
        return self._action is not None and self._action.wants_digits

    def start(self, now: float) -> None:
        """Make the other one and begin it."""
        make, self._make = self._make, None
        if make is None:
            return
        try:
            self._action = make()
        except PayError as error:
            self._never(str(error))
            return
        self._action.start(now)

    def digit(self, code: int, now: float) -> None:
        """Take a key."""
        if self._action is not None:
            self._action.digit(code, now)

    def digit_ended(self, now: float) -> None:
        """Note that the last key was let go."""
        if self._action is not None:
            self._action.digit_ended(now)

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from."""
        if self._action is not None:
            self._action.count_digit(source)

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Note that a playlist is over."""
        if self._action is not None:
            self._action.play_finished(token, by_digit, now)

    def stop(self, now: float) -> None:
        """End it."""
        self._end()
        if self._action is not None:
            self._action.stop(now)

    def hang_up(self, now: float) -> None:
        """The call is over."""
        self._end()
        if self._action is not None:
            self._action.hang_up(now)

    async def done(self) -> None:
        """Wait for the other one."""
        if self._action is not None:
            await self._action.done()

    def _end(self) -> None:
        if self._make is not None:
            self._make = None
            self._never("")
