"""A network made of nothing: datagrams between addresses, lost, doubled, delayed and reordered by pattern."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable
from enum import StrEnum

from sip.address import Address


class Fate(StrEnum):
    PASS = "pass"
    LOSE = "lose"
    DOUBLE = "double"
    LATE = "late"  # overtaken by whatever is sent within the next LATE_S


DELAY_S = 0.01
LATE_S = 0.25


class Wire:
    """Carries datagrams with ``DELAY_S``. ``fates`` is applied to the datagrams in order, then everything passes."""

    def __init__(self, fates: Iterable[Fate] = ()) -> None:
        self.sent: list[tuple[float, Address, Address, bytes]] = []
        self._fates = iter(fates)
        self._flying: list[tuple[float, int, Address, Address, bytes]] = []
        self._order = itertools.count()

    def send(self, data: bytes, source: Address, destination: Address, now: float) -> None:
        self.sent.append((now, source, destination, data))
        fate = next(self._fates, Fate.PASS)
        if fate is Fate.LOSE:
            return
        delays = {Fate.PASS: (DELAY_S,), Fate.DOUBLE: (DELAY_S, DELAY_S), Fate.LATE: (LATE_S,)}[fate]
        for delay_s in delays:
            heapq.heappush(self._flying, (now + delay_s, next(self._order), source, destination, data))

    def next_at(self) -> float | None:
        return self._flying[0][0] if self._flying else None

    def arrivals(self, now: float) -> list[tuple[Address, Address, bytes]]:
        """Take what has arrived by ``now``: (source, destination, data)."""
        arrived = []
        while self._flying and self._flying[0][0] <= now:
            _, _, source, destination, data = heapq.heappop(self._flying)
            arrived.append((source, destination, data))
        return arrived
