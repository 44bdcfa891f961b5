"""Something that takes time on a call: a dialect's program makes it, hands it what happens, and is told its states.

Laws: the methods are called on the event loop and return at once; what takes time is a task that `done` waits for. An
action holds its call by ``weakref.proxy``. Its hook is called from within any method, also from `start`, and not after
its last state; it must not hold the program.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ("Action",)


class Action(Protocol):
    """One of them."""

    @property
    def wants_digits(self) -> bool:
        """Whether keys are for this action: the program hands them to it, and to nobody else."""

    def start(self, now: float) -> None:
        """Begin. ``now`` is the loop's clock, as everywhere here."""

    def digit(self, code: int, now: float) -> None:
        """Take a key that was pressed (RFC 4733 event code)."""

    def digit_ended(self, now: float) -> None:
        """Note that the last key was let go."""

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from."""

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Note that a playlist is over; those of others are to be passed over."""

    def stop(self, now: float) -> None:
        """Come to an end because the application wants it; the last state is told."""

    def hang_up(self, now: float) -> None:
        """Come to an end because the call is over; the last state is told."""

    async def done(self) -> None:
        """Wait until all that is owed is written; more than one may wait, and more than once."""
