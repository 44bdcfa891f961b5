"""What keeps a caller's keys from all who hear the call while they are captured: the mask on, recordings held.

Laws:

1. It is put on before the first key can count, and stays on until the entry is over, the last key was let go and a tail
   has passed. It never comes off while a key is held.
2. Who goes on keying after an entry that ended by its length, a card number in one go with what follows it, is covered
   for as long as that lasts: each further key starts the longer tail again.
3. A call has one of these, whoever captures: the end of one entry must not uncover the beginning of the next.
4. When the call is over it stays as it is: what waits in the mask's line is not let out.

Time is an input, and timers are the caller's: ``now`` gives the loop's clock, ``call_at`` its timers.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Protocol

from engine.errors import MediaError
from engine.log import fields
from engine.program import CallControl

__all__ = ("LONGEST_PRESS_S", "RUN_ON_S", "TAIL_S", "CallAt", "LineCover", "Timer")

log = logging.getLogger("engine.programs.cover")

TAIL_S = 0.3
"""Seconds that the cover stays on after the last key was let go.

The mask's line holds 60 ms, and the end of a tone may be told 40 ms late (`domain.md` C); where a key comes as an event
and as a tone, the tone lags the event by the jitter buffer, 200 ms at most.
"""
RUN_ON_S = 1.0
"""Seconds after the last key of an entry that ended by its length: whoever keys on does so within them.

No longer: the caller may speak now, and where packets are lost the mask takes speech for keys.
"""
LONGEST_PRESS_S = 30.0
"A press whose end never came is over then, as for ``engine.media.digits``."
RETRY_S = 1.0
"Wait before the mask is taken off again when the media plane did not do it."


class Timer(Protocol):
    """What `CallAt` returns: ``asyncio.TimerHandle``."""

    def cancel(self) -> None:
        """Do not fire."""


CallAt = Callable[[float, Callable[[], None]], Timer]
"Calls something at a time of the loop's clock: ``loop.call_at``."


class LineCover:
    """The cover of one call, which it holds weakly."""

    def __init__(self, call: CallControl, *, now: Callable[[], float], call_at: CallAt) -> None:
        self._call: CallControl = call if isinstance(call, weakref.ProxyType) else weakref.proxy(call)
        self._call_id = call.facts.call_id
        self._now = now
        self._call_at = call_at
        self._is_on = False
        self._wanted = False
        self._closed = False
        self._pressed_at: float | None = None
        "When the key that is held was pressed."
        self._quiet_since = 0.0
        self._tail_s = TAIL_S
        self._timer: Timer | None = None

    @property
    def is_on(self) -> bool:
        """Whether keys are covered now."""
        return self._is_on

    def put_on(self) -> None:
        """Cover all keys from now on; ``MediaError`` when that cannot be, and then nothing may be asked for."""
        self._wanted = True
        self._stop_timer()
        if self._is_on or self._closed:
            return
        self._call.hold_recording()
        try:
            self._call.mask(True)
        except MediaError:
            self._wanted = False
            self._call.release_recording()
            raise
        self._is_on = True
        log.debug("keys are covered", extra=fields(call=self._call_id))

    def take_off(self, tail_s: float = TAIL_S) -> None:
        """Let keys pass once none is held and none was for ``tail_s``; without effect when that was said already."""
        if not self._wanted:
            return
        self._wanted = False
        self._tail_s = tail_s
        self._quiet_since = self._now()
        self._arm()

    def key(self, *, is_held: bool) -> None:
        """Note a key; ``is_held``: its end will be told."""
        if not self._is_on:
            return
        self._quiet_since = self._now()
        self._pressed_at = self._quiet_since if is_held else None
        if not self._wanted:
            self._tail_s = RUN_ON_S
        self._arm()

    def key_ended(self) -> None:
        """Note that the last key was let go."""
        if self._is_on:
            self._pressed_at = None
            self._quiet_since = self._now()
            self._arm()

    def close(self) -> None:
        """The call is over: nothing is taken off any more."""
        self._closed = True
        self._stop_timer()

    def _arm(self) -> None:
        self._stop_timer()
        if self._wanted or self._closed or not self._is_on:
            return
        since = self._quiet_since if self._pressed_at is None else self._pressed_at + LONGEST_PRESS_S
        self._timer = self._call_at(since + self._tail_s, self._off)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _off(self) -> None:
        self._timer = None
        try:
            self._call.mask(False)
        except MediaError as error:
            log.warning("the mask stays on: %s", error, extra=fields(call=self._call_id))
            self._timer = self._call_at(self._now() + RETRY_S, self._off)
            return
        self._is_on = False
        self._pressed_at = None
        self._call.release_recording()
        log.debug("keys pass again", extra=fields(call=self._call_id))
