"""Keeps what is keyed during a payment from recordings and from others on the line, whichever dialect asked for it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable

from engine.media.events import DigitSource
from engine.program import CallControl
from engine.programs.cover import RUN_ON_S, TAIL_S, LineCover

__all__ = ("QuietLine",)


class QuietLine:
    """The cover of one payment's line (``Companion``): recordings held, the mask on (`LineCover`).

    What is keyed between the end of the payment and what follows it may be the rest of a card number: with `take_keys`,
    or after `let_go`, it is taken and forgotten. A key may be down when that is over: others hear the caller again
    ``TAIL_S`` after it was let go.
    """

    def __init__(self, call: CallControl, *, now: Callable[[], float]) -> None:
        """``now`` gives the loop's clock."""
        self._call: CallControl = call if isinstance(call, weakref.ProxyType) else weakref.proxy(call)
        self._cover = LineCover(call, now=now, call_at=asyncio.get_running_loop().call_at)
        self._now = now
        self._takes_keys = False
        self._runs_on = False
        self._key_at: float | None = None
        self._source = ""

    @property
    def wants_digits(self) -> bool:
        """Whether keys are nobody's now."""
        return self._takes_keys or (self._runs_on and self._cover.is_on)

    def hold(self) -> None:
        """Begin, before the first question; ``MediaError`` when that cannot be, and then nothing may be asked."""
        self._cover.put_on()
        self._call.attach(self)

    def take_keys(self) -> None:
        """Take what is keyed from now on, until `release`."""
        self._takes_keys = True

    def release(self) -> None:
        """End it, as soon as no key is down any more."""
        self._takes_keys = False
        self._cover.take_off(TAIL_S)

    def let_go(self) -> None:
        """End it; of somebody who was keying a moment ago the keys that still follow are taken, and covered."""
        self._takes_keys = False
        self._runs_on = self._key_at is not None and self._now() - self._key_at < RUN_ON_S
        self._cover.take_off(RUN_ON_S if self._runs_on else TAIL_S)

    def digit(self, code: int, now: float) -> None:
        """Note that a key is down, whosever it is; no end is told of one that came as SIP INFO."""
        self._key_at = now
        self._cover.key(is_held=self._source != DigitSource.INFO)

    def digit_ended(self, now: float) -> None:
        """Note that the last key was let go."""
        self._cover.key_ended()

    def count_digit(self, source: str) -> None:
        """Note where the key that follows came from."""
        self._source = source

    def play_finished(self, token: int, interrupted_by_digit: bool, now: float) -> None:
        """Pass over prompts."""

    def hang_up(self, now: float) -> None:
        """The call is over: what is covered stays so."""
        self._takes_keys = self._runs_on = False
        self._cover.close()

    async def done(self) -> None:
        """Nothing is owed."""
