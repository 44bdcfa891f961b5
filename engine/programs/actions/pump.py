"""Between an interpreter and a call, whatever the dialect: carries commands out, tells what came of them.

Laws:

- Each command with a token is answered once, unless it was stopped or the call is over: an action that breaks down, a
  document that cannot be had and an interpreter that fails are answers too, and none of them ends more than this call.
- A hang-up ends requests and waits. What was begun comes to its own end: a payment at its connector waits for the
  answer, a webhook still leaves. Nothing of that is told to the document.
- Keys go to what runs and wants them. While a payment runs nobody else hears them; when nothing wants them they are
  nobody's, and kept for nobody: they may be the rest of a card number.

What holds of every feeder is said in ``engine.programs.feeder``.
"""

from __future__ import annotations

import asyncio
import logging
import math
import weakref
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, Protocol, TypeVar

from engine.program import CallControl
from engine.programs.actions.protocol import Action
from engine.programs.context import ProgramContext
from engine.programs.feeder import Commanding, Feeder, Timed

__all__ = ("Pump", "Pumped")

C = TypeVar("C")
"A command of the dialect."
C_co = TypeVar("C_co", covariant=True)
W = TypeVar("W")
"What an action carries out."


class Pumped(Commanding[C_co], Protocol[C_co]):
    """What of an interpreter a pump knows."""

    def ended(self, token: int, outcome: Mapping[str, Any], now: float, /) -> None:
        """Take the outcome of what was begun."""

    def hang_up(self, now: float, /) -> None:
        """Note that the call is over."""


T = TypeVar("T", bound=Pumped[Any])
"An interpreter of the dialect."


class Pump(Feeder[C, T], Generic[C, W, T]):
    """One interpreter on one call, until the call of ``finished``, which comes once; a dialect's run derives from it.

    A dialect says what its commands mean (`_carry_out`), which work is a payment (`_is_payment`), and what the outcome
    of one is that cannot be carried out (`_failed`).
    """

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
        """Take the call, or a proxy of it, as a `Feeder` does."""
        super().__init__(interpreter, call, context, finished, timed=timed, log=log)
        self._actions: dict[int, Action] = {}
        "That run, by token."
        self._begun: dict[int, W] = {}
        "What the actions carry out, where it is a work of the dialect."
        self._beside: dict[str, Action] = {}
        "Recordings beside the document, by name, the last one last."
        self._leaving: list[Action] = []
        "That are over, and still waited for."
        self._fetches: dict[int, asyncio.Task[None]] = {}
        self._waits: dict[int, asyncio.TimerHandle | None] = {}
        "None: until the call ends."

    # -- what a dialect says -------------------------------------------------------------------------------------

    def _is_payment(self, work: W) -> bool:
        """Return whether keys go to this alone."""
        raise NotImplementedError

    def _failed(self, work: W, error: Exception) -> Mapping[str, Any]:
        """Return the outcome of what could not begin, or broke down; log it without a text that repeats values."""
        raise NotImplementedError

    # -- what happens on the call --------------------------------------------------------------------------------

    def digit(self, code: int, now: float) -> None:
        """Take a key (RFC 4733 event code)."""
        for action in self._listening():
            self._guarded(action.digit, code, now)

    def digit_ended(self, now: float) -> None:
        """Note that the last key was let go."""
        for action in self._all():
            self._guarded(action.digit_ended, now)

    def count_digit(self, source: str) -> None:
        """Count a key by where it came from."""
        for action in self._listening():
            self._guarded(action.count_digit, source)

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Note that a playlist is over."""
        for action in self._all():
            self._guarded(action.play_finished, token, by_digit, now)

    def hang_up(self, now: float) -> None:
        """Note that the call is over: what runs comes to its end, nothing else happens."""
        if self._hung_up:
            return
        self._hung_up = True
        self._end_actions(lambda action: action.hang_up, now)
        self._tell(self._interpreter.hang_up, now)
        self._close()

    def stop(self, now: float) -> None:
        """Give the document up: what runs is stopped, ``finished`` is not called any more."""
        self._finished = None
        if self._hung_up:
            return
        self._hung_up = True
        self._end_actions(lambda action: action.stop, now)
        self._close()

    async def done(self) -> None:
        """Wait until all that was begun on the call is written."""
        while self._actions or self._beside or self._tasks:
            running = [*self._actions.values(), *self._beside.values()]
            for action in running:
                self._leave(action)
            if self._tasks:
                await asyncio.wait(self._tasks)
            self._forget(running)
        self._close()

    # -- the document's end --------------------------------------------------------------------------------------

    def _end(self, reason: str) -> None:
        """The document is over."""
        self._close()
        self._finish(reason)

    def _close(self) -> None:
        """Let the interpreter hear nothing more, and nothing happen by itself."""
        self._closed = True
        for task in self._fetches.values():
            task.cancel()
        self._fetches.clear()
        for handle in self._waits.values():
            if handle is not None:
                handle.cancel()
        self._waits.clear()
        self._arm()

    # -- requests and waits --------------------------------------------------------------------------------------

    def _fetch_by(self, token: int, request: Coroutine[object, object, None]) -> None:
        """Run a request; it asks `_is_wanted` before it tells what came of it."""
        self._fetches[token] = self._await(request)

    def _is_wanted(self, token: int) -> bool:
        """Return, once, whether a request was not given up."""
        return self._fetches.pop(token, None) is not None

    def _wait_for(self, token: int, seconds: float) -> None:
        me = weakref.proxy(self)
        self._waits[token] = None
        if math.isfinite(seconds):
            loop = asyncio.get_running_loop()
            self._waits[token] = loop.call_later(max(0.0, seconds), lambda: me._waited(token))

    def _waited(self, token: int) -> None:
        if token in self._waits:
            del self._waits[token]
            self._tell(self._interpreter.ended, token, {}, self._context.now())

    def _give_up(self, token: int, now: float) -> None:
        """Give up what runs under a token, whatever it is."""
        if (action := self._actions.pop(token, None)) is not None:
            self._begun.pop(token, None)
            self._leave(action)
            self._guarded(action.stop, now)
        elif (task := self._fetches.pop(token, None)) is not None:
            task.cancel()
        elif (handle := self._waits.pop(token, None)) is not None:
            handle.cancel()

    # -- what takes time -----------------------------------------------------------------------------------------

    def _begin(self, token: int, work: W, make: Callable[[Callable[[Mapping[str, Any]], None]], Action]) -> None:
        """Begin a work by the action that ``make`` returns of what takes its outcome."""
        me = weakref.proxy(self)
        try:
            action = make(lambda outcome: me._ended(token, outcome))
        except Exception as error:
            outcome = self._failed(work, error)
            self._guarded(self._interpreter.ended, token, outcome, self._context.now())
            return
        self._begun[token] = work
        self._start(token, action)

    def _start(self, token: int, action: Action) -> None:
        self._actions[token] = action
        try:
            action.start(self._context.now())
        except Exception as error:
            self._failure("a method cannot begin", error)
            work = self._begun.get(token)
            self._ended(token, {} if work is None else self._failed(work, error))

    def _ended(self, token: int, outcome: Mapping[str, Any]) -> None:
        if (action := self._actions.pop(token, None)) is None:
            return  # stopped, or it said so before
        self._begun.pop(token, None)
        self._leave(action)
        if not self._hung_up:
            self._tell(self._interpreter.ended, token, outcome, self._context.now())

    # -- who hears what ------------------------------------------------------------------------------------------

    def _listening(self) -> list[Action]:
        """Return to whom a key goes: to the payment alone while there is one."""
        payments = [self._actions[token] for token, work in self._begun.items() if self._is_payment(work)]
        candidates = payments or [*self._actions.values(), *self._beside.values()]
        return [action for action in candidates if action.wants_digits]

    def _all(self) -> list[Action]:
        return list(dict.fromkeys((*self._actions.values(), *self._beside.values(), *self._leaving)))

    def _end_actions(self, how: Callable[[Action], Callable[[float], object]], now: float) -> None:
        for action in (*self._actions.values(), *self._beside.values()):
            self._guarded(how(action), now)

    def _beside_ended(self, name: str) -> None:
        if (action := self._beside.pop(name, None)) is not None:
            self._leave(action)

    def _forget(self, actions: list[Action]) -> None:
        """Forget what came to its end without a word."""
        for token in [token for token, action in self._actions.items() if action in actions]:
            del self._actions[token]
            self._begun.pop(token, None)
        for name in [name for name, action in self._beside.items() if action in actions]:
            del self._beside[name]

    def _leave(self, action: Action) -> None:
        """Have an action waited for; it hears of its playlists until then."""
        self._leaving.append(action)
        self._await(self._see_off(action))

    async def _see_off(self, action: Action) -> None:
        try:
            await action.done()
        except Exception as error:
            self._failure("a method does not end", error)
        finally:
            self._leaving.remove(action)
