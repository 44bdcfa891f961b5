"""Time in SIP: the timers' names and values, and the queue of those that run.

Timers A to M are RFC 3261 §17 (table 4) and RFC 6026 §7; the others belong to the core above the transactions.
Nothing here looks at a clock: deadlines are monotonic seconds that the caller passes in.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

__all__ = ("Timer", "TimerOwner", "TimerQueue", "TimerValues")

COMPACT_ABOVE = 64
"Entries in the heap below which dead ones are not worth a sweep."


class Timer(StrEnum):
    """Every timer of the SIP stack."""

    A = "A"  # INVITE retransmission
    B = "B"  # INVITE transaction timeout
    D = "D"  # absorb retransmitted 300-699
    E = "E"  # non-INVITE retransmission
    F = "F"  # non-INVITE transaction timeout
    G = "G"  # 300-699 retransmission
    H = "H"  # wait for the ACK of 300-699
    I = "I"  # absorb retransmitted ACK  # noqa: E741
    J = "J"  # absorb retransmitted non-INVITE requests
    K = "K"  # absorb retransmitted responses
    L = "L"  # RFC 6026: absorb retransmitted INVITE after 2xx
    M = "M"  # RFC 6026: take further 2xx
    ANSWER = "2xx"  # §13.3.1.4: the core retransmits its 2xx
    ANSWER_LIMIT = "2xx-limit"  # §13.3.1.4: no ACK for 64*T1
    PROGRESS = "progress"  # §13.3.1.1: a provisional every minute keeps proxies from giving up
    SETUP_LIMIT = "setup-limit"  # ours: how long a session may stay unanswered
    CANCEL_LIMIT = "cancel-limit"  # §9.1: no final response for 64*T1 after CANCEL
    PROVISIONAL = "1xx"  # RFC 3262 §3: a reliable provisional is repeated
    PROVISIONAL_LIMIT = "1xx-limit"  # RFC 3262 §3: no PRACK for 64*T1
    OFFER_RETRY = "offer-retry"  # §14.1: after 491
    OFFER_LIMIT = "offer-limit"  # ours: how long a re-INVITE may stay unanswered
    SESSION_REFRESH = "session-refresh"  # RFC 4028 §10: half of the interval
    SESSION_EXPIRES = "session-expires"  # RFC 4028 §10: a little before the interval is over
    TRY_LIMIT = "try-limit"  # RFC 3263 §4.3: how long a silent next hop is tried when another one is left
    SUBSCRIPTION = "subscription"  # RFC 3515: how long a REFER may stay undecided, and how long it is reported on
    REFRESH = "refresh"  # §10.2.4: a binding is renewed before it expires
    RETRY = "retry"  # ours: after a failed registration
    KEEPALIVE = "keepalive"  # RFC 5626 §4.4.1: line ends on an idle connection


RETRANSMISSIONS = frozenset({Timer.A, Timer.E, Timer.G})
ABSORBERS_BY_T4 = frozenset({Timer.I, Timer.K})
ZERO_WHEN_RELIABLE = frozenset({Timer.D, Timer.I, Timer.J, Timer.K})


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerValues:
    """T1, T2 and T4 (RFC 3261 §17.1.1.1, §17.1.2.2), in seconds, and what follows from them."""

    t1_s: float = 0.5
    t2_s: float = 4.0
    t4_s: float = 5.0

    @property
    def limit_s(self) -> float:
        """64*T1: how long a peer is tried (timers B, F, H, J, L, M, and the 2xx)."""
        return 64 * self.t1_s

    def first_s(self, timer: Timer, *, reliable: bool = False) -> float | None:
        """Return how long a transaction timer runs the first time; None when it does not run on this transport."""
        if timer in RETRANSMISSIONS:
            return None if reliable else self.t1_s
        if reliable and timer in ZERO_WHEN_RELIABLE:
            return 0.0
        if timer in ABSORBERS_BY_T4:
            return self.t4_s
        if timer is Timer.D:
            return max(32.0, self.limit_s)  # §17.1.1.2: at least 32 s over UDP, and not less than H of the other side
        return self.limit_s

    def doubled(self, interval_s: float) -> float:
        """Return the next interval of timers E and G and of the 2xx: doubled, at most T2."""
        return min(2 * interval_s, self.t2_s)


class TimerOwner(Protocol):
    """Whoever has timers in the queue."""

    def handle_timer(self, timer: Timer, now: float) -> None:
        """Take a timer that fired; it no longer runs."""


class TimerQueue:
    """The running timers, by deadline: a heap whose dead entries are dropped when they come up.

    An owner has at most one timer of each name; arming it again replaces it. A dead entry is two numbers: it keeps no
    owner in memory.
    """

    __slots__ = ("_heap", "_live", "_running", "_ticket")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._running: dict[int, tuple[TimerOwner, Timer]] = {}
        "By ticket."
        self._live: dict[TimerOwner, dict[Timer, int]] = {}
        self._ticket = 0

    def __len__(self) -> int:
        return len(self._running)

    def arm(self, owner: TimerOwner, timer: Timer, at_s: float) -> None:
        """Let ``timer`` fire at ``at_s``."""
        self._ticket = ticket = self._ticket + 1
        timers = self._live.get(owner)
        if timers is None:
            self._live[owner] = {timer: ticket}
        else:
            if timer in timers:
                del self._running[timers[timer]]
            timers[timer] = ticket
        self._running[ticket] = (owner, timer)
        heapq.heappush(self._heap, (at_s, ticket))
        if len(self._heap) > COMPACT_ABOVE and len(self._heap) > 4 * len(self._running):
            self._heap = [entry for entry in self._heap if entry[1] in self._running]
            heapq.heapify(self._heap)

    def is_armed(self, owner: TimerOwner, timer: Timer) -> bool:
        """Whether ``timer`` runs."""
        timers = self._live.get(owner)
        return timers is not None and timer in timers

    def disarm(self, owner: TimerOwner, timer: Timer) -> None:
        """Stop ``timer`` if it runs."""
        timers = self._live.get(owner)
        if timers is None or timer not in timers:
            return
        del self._running[timers.pop(timer)]
        if not timers:
            del self._live[owner]

    def disarm_all(self, owner: TimerOwner) -> None:
        """Stop every timer of ``owner``."""
        for ticket in self._live.pop(owner, {}).values():
            del self._running[ticket]

    def next_at(self) -> float | None:
        """Return the earliest deadline, None when no timer runs."""
        heap, running = self._heap, self._running
        while heap:
            if heap[0][1] in running:
                return heap[0][0]
            heapq.heappop(heap)
        return None

    def pop_due(self, now: float) -> tuple[TimerOwner, Timer] | None:
        """Take out the earliest timer that is due at ``now``, None when there is none."""
        due = self.next_at()
        if due is None or due > now:
            return None
        owner, timer = self._running[heapq.heappop(self._heap)[1]]
        self.disarm(owner, timer)
        return owner, timer
