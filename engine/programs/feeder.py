"""Feeds an interpreter with what happens on a call, and has carried out what it wants, whatever the dialect.

Laws:

- An interpreter or a work of its document that fails ends this document, and nothing else. What is logged of the
  failure is its type and its place: its text may hold what a caller keyed.
- ``finished`` is called once, or not at all; a feeder that is closed tells its interpreter nothing more.
- A feeder holds its call by ``weakref.proxy``, and what it hands to others holds the feeder in the same way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, Protocol, TypeVar

from engine.log import fields, place_of
from engine.program import CallControl
from engine.programs.context import ProgramContext
from engine.programs.weak import held_weakly, weakly

__all__ = ("Commanding", "Feeder")

C = TypeVar("C")
"A command of the dialect."
C_co = TypeVar("C_co", covariant=True)


class Commanding(Protocol[C_co]):
    """What of an interpreter a feeder knows."""

    def next_command(self) -> C_co | None:
        """Return the next thing to do."""


class Timed(Protocol):
    """An interpreter that waits for times."""

    def next_timer(self) -> float | None:
        """Return when to call `handle_timer`."""

    def handle_timer(self, now: float) -> None:
        """Note that time has passed."""


T = TypeVar("T", bound=Commanding[Any])
"An interpreter of the dialect."


class Feeder(Generic[C, T]):
    """One interpreter on one call; a dialect says in `_carry_out` what its commands mean."""

    def __init__(
        self,
        interpreter: T,
        call: CallControl,
        context: ProgramContext,
        finished: Callable[[str], None],
        *,
        timed: Timed | None = None,
        log: logging.Logger,
    ) -> None:
        """Take the call, or a proxy of it; ``finished`` takes the reason of the end and must not hold the feeder.

        ``timed`` is the interpreter once more, where it waits for times.
        """
        self._interpreter = interpreter
        self._timed = timed
        self._facts = call.facts
        self._call = held_weakly(call)
        self._context = context
        self._finished: Callable[[str], None] | None = finished
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        "All that is under way."
        self._timer: asyncio.TimerHandle | None = None
        self._pumping = False
        self._held = False
        "Whether commands wait: for something that the interpreter does not wait for."
        self._hung_up = False
        self._closed = False
        "Whether the interpreter hears nothing more: it failed, or the document is over."

    # -- what a dialect says -------------------------------------------------------------------------------------

    def _carry_out(self, command: C) -> None:
        """Do what a command says."""
        raise NotImplementedError

    def _carried_out(self) -> None:
        """Do what is to be done when the interpreter wants nothing more for now."""

    # -- between the two -----------------------------------------------------------------------------------------

    def _tell(self, what: Callable[..., object], *arguments: object) -> None:
        """Give the interpreter an input and carry out what it wants."""
        if not self._closed:
            self._guarded(what, *arguments)
        self._pump()

    def _guarded(self, what: Callable[..., object], *arguments: object) -> None:
        """Do something of a work's or of the interpreter's."""
        try:
            what(*arguments)
        except Exception as error:
            self._broken(error)

    def _broken(self, error: Exception) -> None:
        self._failure("a document cannot go on", error)
        self._closed = True
        self._finish("error")

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        try:
            while not self._closed and not self._held and (command := self._interpreter.next_command()) is not None:
                self._carry_out(command)
        except Exception as error:
            self._broken(error)
        finally:
            self._pumping = False
        self._carried_out()
        self._arm()

    def _arm(self) -> None:
        """Set the interpreter's timer; also when nothing more is wanted of it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._timed is not None and not self._closed and (due := self._timed.next_timer()) is not None:
            self._timer = asyncio.get_running_loop().call_at(due, weakly(self._on_timer))

    def _on_timer(self) -> None:
        self._timer = None
        if self._timed is not None:
            self._tell(self._timed.handle_timer, self._context.now())

    def _finish(self, reason: str) -> None:
        finished, self._finished = self._finished, None
        if finished is not None:
            finished(reason)

    # -- what takes time, and what is said of it -----------------------------------------------------------------

    def _await(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _failure(self, what: str, error: Exception) -> None:
        told = self._fields(error=type(error).__name__, at=place_of(error))
        self._log.error(what, extra=told, stacklevel=2)

    def _fields(self, **more: object) -> dict[str, Mapping[str, object]]:
        return fields(call=self._facts.call_id, **more)
