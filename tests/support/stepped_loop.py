"""An event loop whose clock a test moves: timers are due when the test says so, and nothing waits."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

__all__ = ("SteppedLoop", "on_stepped_loop", "passes", "settled")

_P = ParamSpec("_P")
TURNS = 25
"Of the loop, for what happens at one moment: chains of tasks that wake each other."


class SteppedLoop(asyncio.SelectorEventLoop):
    """A loop at ``clock`` monotonic seconds."""

    clock = 1000.0

    def time(self) -> float:
        return self.clock

    def next_timer(self) -> float | None:
        """Return when the next timer is due; None: there is none."""
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        return min((timer.when() for timer in timers if not timer.cancelled()), default=None)


def on_stepped_loop(test: Callable[_P, Coroutine[Any, Any, None]]) -> Callable[_P, None]:
    """Run a test on a loop of its own whose clock stands still but for `passes`."""

    @functools.wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        with asyncio.Runner(loop_factory=SteppedLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


async def settled() -> None:
    """Let everything happen that happens now."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def passes(seconds: float) -> None:
    """Let time pass, from one timer to the next."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    until = loop.clock + seconds
    await settled()
    while (due := loop.next_timer()) is not None and due <= until:
        loop.clock = max(loop.clock, due)
        await settled()
    loop.clock = until
    await settled()
