"""How fast documents may follow each other: an endless ``<Redirect>`` ends the call, not the engine."""

from __future__ import annotations

from collections import deque

__all__ = ("BURST", "BURST_S", "MAX_IN_A_ROW", "WORTH_S", "Pace")

MAX_IN_A_ROW = 64
"Documents of which none did anything for the caller, who pressed no key either."
BURST = 30
BURST_S = 3.0
"`BURST` documents within this time are too many, whatever they did: ten a second."
WORTH_S = 0.5
"A verb that took so long did something for the caller."


class Pace:
    """Counts documents."""

    __slots__ = ("_in_a_row", "_times")

    def __init__(self) -> None:
        self._in_a_row = 0
        self._times: deque[float] = deque(maxlen=BURST)

    def allows(self, now: float) -> bool:
        """Count a document that is about to be fetched or run; return whether it may."""
        self._in_a_row += 1
        too_fast = len(self._times) == BURST and now - self._times[0] < BURST_S
        self._times.append(now)
        return self._in_a_row <= MAX_IN_A_ROW and not too_fast

    def note(self, took_s: float) -> None:
        """Note that a verb took so long."""
        if took_s >= WORTH_S:
            self._in_a_row = 0

    def restart(self) -> None:
        """Note that the caller or the operator did something: what follows is no loop."""
        self._in_a_row = 0
