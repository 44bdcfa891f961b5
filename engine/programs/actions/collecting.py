"""Collecting keys of a call, after something was said or at once.

Laws:

- Keys are taken from the beginning: one that comes while the prompt plays ends it and counts.
- The time for the first key runs once the prompt has ended, however it ended, and once the application wants it to run.
- What was keyed goes to the hooks alone, never into a log; ``on_key`` comes before ``on_result``, the end of the prompt
  before both where one key ends all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from engine.dialects.signalwire.digits import KEYS, Collected, DigitCollector, DigitRules, Ended
from engine.dialects.spoken import Spoken
from engine.program import CallControl
from engine.programs.actions.playing import PlayAction, PlayState
from engine.programs.context import ProgramContext
from engine.programs.weak import weakly

__all__ = ("CollectAction",)


class CollectAction:
    """An ``Action``: one entry, or with ``continuous`` one after the other."""

    def __init__(
        self,
        rules: DigitRules,
        call: CallControl,
        context: ProgramContext,
        *,
        on_result: Callable[[Collected], None],
        on_key: Callable[[str], None] = lambda digits: None,
        items: Sequence[Spoken] = (),
        volume_db: float = 0.0,
        on_play: Callable[[PlayState], None] = lambda state: None,
        start_timers: bool = True,
        continuous: bool = False,
        base_url: str = "",
    ) -> None:
        """``items`` are played first, and ``on_play`` hears how that goes.

        ``on_key`` takes what has been keyed so far, with each key that belongs to the entry. Without ``start_timers``
        the time for the first key waits for the method of that name. ``continuous``: a complete entry is told and the
        next one begins; no key in time, `stop` and the end of the call are the end all the same, see `is_over`.
        """
        self._rules = rules
        self._context = context
        self._on_result: Callable[[Collected], None] | None = on_result
        self._on_key = on_key
        self._on_play = on_play
        self._collector = DigitCollector(rules)
        self._timers_wanted = start_timers
        self._continuous = continuous
        self._timer: asyncio.TimerHandle | None = None
        self._play = (
            PlayAction(
                items,
                call,
                context,
                on_state=weakly(self._played),
                volume_db=volume_db,
                interruptible=True,
                base_url=base_url,
            )
            if items
            else None
        )

    @property
    def is_over(self) -> bool:
        """Whether the last result was told, or is being told."""
        return self._on_result is None

    @property
    def wants_digits(self) -> bool:
        """Until it is over."""
        return not self.is_over

    # -- Action --------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Play the prompt; without one begin to wait."""
        if self.is_over:
            return
        if self._play is not None:
            self._play.start(now)
        else:
            self._wait(now)

    def digit(self, code: int, now: float) -> None:
        """Take a key: it ends the prompt."""
        if self.is_over or not 0 <= code < len(KEYS):
            return
        before = self._collector.digits
        self._collector.digit(code, now)
        if self._play is not None:
            if self._collector.result is not None:
                self._play.stop(now)
            else:
                self._play.digit(code, now)
        if self._collector.digits != before:
            self._on_key(self._collector.digits)
        self._settle(now)

    def digit_ended(self, now: float) -> None:
        """Nothing."""

    def count_digit(self, source: str) -> None:
        """Nothing."""

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Note that a part of the prompt is over."""
        if self._play is not None:
            self._play.play_finished(token, by_digit, now)

    def stop(self, now: float) -> None:
        """End it as it stands."""
        self._stop(now)

    def hang_up(self, now: float) -> None:
        """Nobody keys any more."""
        self._stop(now)

    async def done(self) -> None:
        """Wait until nothing is rendered any more."""
        if self._play is not None:
            await self._play.done()

    # -- what an application may want meanwhile ------------------------------------------------------------------

    def start_timers(self, now: float) -> None:
        """Begin to wait for the first key, once the prompt has ended."""
        self._timers_wanted = True
        self._wait(now)

    def set_volume(self, volume_db: float) -> None:
        """Make the prompt louder or softer from now on, -40 to 40 dB."""
        if self._play is not None:
            self._play.set_volume(volume_db)

    # -- within --------------------------------------------------------------------------------------------------

    def _played(self, state: PlayState) -> None:
        self._on_play(state)
        if state in (PlayState.FINISHED, PlayState.ERROR):
            self._wait(self._context.now())

    def _wait(self, now: float) -> None:
        """Let the time for the first key run, where nothing stands against it."""
        if self.is_over or not self._timers_wanted or (self._play is not None and not self._play.is_over):
            return
        self._collector.start_timers(now)
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.is_over and (at := self._collector.next_timer()) is not None:
            self._timer = asyncio.get_running_loop().call_at(at, weakly(self._timed))

    def _timed(self) -> None:
        self._timer = None
        now = self._context.now()
        self._collector.handle_timer(now)
        self._settle(now)

    def _stop(self, now: float) -> None:
        if self.is_over:
            return
        self._collector.stop()
        self._settle(now)

    def _settle(self, now: float) -> None:
        """Tell a result, if there is one."""
        tell, result = self._on_result, self._collector.result
        if tell is None or result is None:
            self._arm()
            return
        if self._continuous and result.ended is Ended.DIGITS:
            self._collector = DigitCollector(self._rules)
            tell(result)
            self._wait(now)
            return
        self._on_result = None
        self._arm()
        if self._play is not None:
            self._play.stop(now)
        tell(result)
