"""What a RELAY client has begun on one call: plays, entries, recordings, payments ... by their ``control_id``.

Laws:

- One thing is said at a time: what speaks waits until what spoke before it is over, so that a greeting is heard to its
  end though the client did not wait for it. What is without end gives way at once.
- Nothing begins before both sides hear each other.
- While a payment runs keys are for it alone, and afterwards for nobody until the line was `QUIET_S` without one: they
  may be the rest of a card number.
- Each thing ends once; one that breaks down ends too, and nothing else with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from engine.log import fields
from engine.programs.actions.protocol import Action
from engine.programs.weak import weakly

__all__ = ("Kind", "Running", "Work")

log = logging.getLogger("engine.programs.relay")

MAX_WORKS = 64
"On one call at a time."
QUIET_S = 1.0
Kind = Literal["play", "collect", "record", "send_digits", "detect", "connect", "refer", "pay"]


@dataclass(slots=True, eq=False, kw_only=True)
class Work:
    """One of them."""

    kind: Kind
    control_id: str
    "Unique on the call; what clients give no name has one that no client can give."
    action: Action
    breaks: Callable[[], None]
    "Tells the client that it is over because of a fault."
    speaks: bool = False
    "Whether it waits for what speaks before it."
    is_endless: bool = False
    "Whether it goes on until it is stopped."
    is_begun: bool = field(default=False, init=False)


class Running:
    """All of one call."""

    def __init__(self, call_id: str, *, now: Callable[[], float], idle: Callable[[], None]) -> None:
        """``idle`` is called when the last one is over; it must not hold the program."""
        self._call_id = call_id
        self._now = now
        self._idle = idle
        self._works: dict[str, Work] = {}
        "In the order in which they were asked for."
        self._waiting: deque[Work] = deque()
        "For their turn to speak."
        self._speaking: Work | None = None
        self._is_up = False
        self._quiet_until = 0.0
        self._leaving: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._works)

    def find(self, control_id: str, kind: Kind) -> Work | None:
        """Return what runs by that name."""
        work = self._works.get(control_id)
        return work if work is not None and work.kind == kind else None

    def has(self, control_id: str) -> bool:
        """Whether a name is taken."""
        return control_id in self._works

    def has_kind(self, kind: Kind) -> bool:
        """Whether there is one of a kind."""
        return any(work.kind == kind for work in self._works.values())

    @property
    def is_full(self) -> bool:
        """Whether no more can begin."""
        return len(self._works) >= MAX_WORKS

    # -- beginning and end of each -------------------------------------------------------------------------------

    def add(self, work: Work) -> None:
        """Begin it, or let it wait for its turn."""
        self._works[work.control_id] = work
        if not self._is_up:
            return
        if work.speaks and (self._speaking is not None or self._waiting):
            self._waiting.append(work)
            self._make_room()
        else:
            self._begin(work)

    def up(self, now: float) -> None:
        """Both sides hear each other: begin what waits for that."""
        self._is_up = True
        works = [*self._works.values()]
        self._waiting.extend(work for work in works if work.speaks)
        for work in works:
            if not work.speaks and work.control_id in self._works:
                self._begin(work)
        self._next()

    def spoken(self, control_id: str) -> None:
        """Note that something says no more, though it goes on: what waits may speak."""
        if self._speaking is not None and self._speaking.control_id == control_id:
            self._speaking = None
            self._soon()

    def over(self, control_id: str) -> bool:
        """Note that something has come to its end; return False when it had already."""
        work = self._works.pop(control_id, None)
        if work is None:
            return False
        if work.kind == "pay":
            self._quiet_until = self._now() + QUIET_S
        task = asyncio.get_running_loop().create_task(work.action.done())
        self._leaving.add(task)
        task.add_done_callback(self._left)
        if work in self._waiting:
            self._waiting.remove(work)
        if self._speaking is work:
            self._speaking = None
            self._soon()
        if not self._works:
            self._idle()
        return True

    def _left(self, task: asyncio.Task[None]) -> None:
        self._leaving.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("something on a call broke down", extra=self._fields(error))

    def _begin(self, work: Work) -> None:
        work.is_begun = True
        if work.speaks:
            self._speaking = work
        self._guarded(work, work.action.start, self._now())

    def _soon(self) -> None:
        # Not within what has just ended: it may not be through with the call.
        asyncio.get_running_loop().call_soon(weakly(self._next))

    def _next(self) -> None:
        if self._speaking is None and self._waiting:
            self._begin(self._waiting.popleft())
            if self._waiting:
                self._make_room()

    def _make_room(self) -> None:
        """End what is without end, for something waits behind it."""
        speaking = self._speaking
        if speaking is not None and speaking.is_endless:
            self._guarded(speaking, speaking.action.stop, self._now())

    # -- what happens on the call --------------------------------------------------------------------------------

    def _payment(self) -> Work | None:
        return next((work for work in self._works.values() if work.kind == "pay" and work.is_begun), None)

    def _taker(self) -> Work | None:
        """Return whose keys are: a payment's, else the latest one's that wants any."""
        if (payment := self._payment()) is not None:
            return payment
        works = [work for work in self._works.values() if work.is_begun and work.action.wants_digits]
        return works[-1] if works else None

    def passes_over(self, now: float) -> bool:
        """Whether a key that comes now is nobody's: it may be the rest of a card number, and more may follow."""
        if now >= self._quiet_until:
            return False
        self._quiet_until = now + QUIET_S
        return True

    def digit(self, code: int, now: float) -> None:
        """Take a key (RFC 4733 event code)."""
        if self._payment() is None:
            if self.passes_over(now):
                return
            for work in [work for work in self._works.values() if work.kind == "detect"]:
                self._guarded(work, work.action.digit, code, now)
        if (taker := self._taker()) is not None:
            self._guarded(taker, taker.action.digit, code, now)

    def digit_ended(self, now: float) -> None:
        """Note that the last key was let go."""
        for work in [*self._works.values()]:
            self._guarded(work, work.action.digit_ended, now)

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from."""
        if (taker := self._taker()) is not None:
            self._guarded(taker, taker.action.count_digit, source)

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Note that a playlist is over."""
        for work in [*self._works.values()]:
            if work.is_begun:
                self._guarded(work, work.action.play_finished, token, by_digit, now)

    def stop(self, now: float) -> None:
        """End everything for an application that is gone or hands the call on; payments first."""
        for work in self._payments_first():
            self._guarded(work, work.action.stop, now)

    def hang_up(self, now: float) -> None:
        """The call is over: end everything, payments first."""
        self._waiting.clear()
        for work in self._payments_first():
            self._guarded(work, work.action.hang_up, now)

    def _payments_first(self) -> list[Work]:
        return sorted(self._works.values(), key=lambda work: work.kind != "pay")

    async def done(self) -> None:
        """Wait until nothing is owed any more."""
        while self._works or self._leaving:
            for work in [*self._works.values()]:
                try:
                    await work.action.done()
                except Exception as error:
                    self._broke(work, error)
                else:
                    self._break(work)  # of no effect on one that told its end
            if self._leaving:
                await asyncio.wait(self._leaving)

    def _guarded(self, work: Work, method: Callable[..., None], *arguments: object) -> None:
        """Let one thing act; a fault of it ends it, and nothing else."""
        try:
            method(*arguments)
        except Exception as error:
            self._broke(work, error)

    def _broke(self, work: Work, error: Exception) -> None:
        # No text of the exception: it may hold a key.
        log.error("something on a call broke down", extra=self._fields(error, what=work.kind))
        self._break(work)

    def _break(self, work: Work) -> None:
        if work.control_id in self._works:
            work.breaks()
            self.over(work.control_id)

    def _fields(self, error: BaseException, **more: str) -> dict[str, Mapping[str, object]]:
        return fields(call=self._call_id, error=type(error).__name__, **more)
