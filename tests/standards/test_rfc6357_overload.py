"""RFC 6357: a server with more calls than it can serve serves as many as it can, each in time, and recovers at once.

The server is simulated: one queue, one worker, a clock of the test's. A call costs the INVITE, an ACK and a BYE; a
refused one costs its refusal and the ACK to it.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from itertools import count

import pytest

from sip.overload import RETRY_AFTER_S, OverloadController
from tests.support.sip_pair import entropy_of

INVITE_S = 0.002
ACK_S = 0.0002
BYE_S = 0.0004
REFUSAL_S = 0.00002
STRAY_S = 0.00006
CAPACITY = 1 / (INVITE_S + ACK_S + BYE_S)
"Calls a second."
ROUND_TRIP_S = 0.02
TALK_S = 0.5
TARGET_S = 0.02
BOUND_S = 2 * TARGET_S


@dataclass
class Server:
    """A queue of messages with their arrival; ``probe_s``: delays are measured so often instead of for each message."""

    seed: int = 1
    probe_s: float = 0.0
    now: float = 0.0
    served: list[tuple[float, float]] = field(default_factory=list)
    "Of each call that was taken: when its INVITE came, and how long it waited."
    refused: list[float] = field(default_factory=list)
    in_dialog_waits: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.controller = OverloadController(target_s=TARGET_S, entropy=entropy_of("overload"))
        self._arrivals: list[tuple[float, int, str]] = []
        self._ticket = count()
        self._random = random.Random(self.seed)
        self._next_probe = 0.0

    def offer(self, rate: float, begin: float, end: float) -> None:
        """Let INVITEs come at random, ``rate`` a second on average."""
        at = begin
        while (at := at + self._random.expovariate(rate)) < end:
            self._arrive("INVITE", at)

    def burst(self, size: int, at: float) -> None:
        for _ in range(size):
            self._arrive("INVITE", at)

    def _arrive(self, kind: str, at: float) -> None:
        heapq.heappush(self._arrivals, (at, next(self._ticket), kind))

    def run(self) -> None:
        # The order of arrival is the order of service, and what is served last comes later than what waits now.
        while self._arrivals:
            at, _, kind = heapq.heappop(self._arrivals)
            self.now = max(self.now, at)
            waited = self.now - at
            if not self.probe_s:
                self.controller.observe_delay(waited, self.now)
            elif self.now >= self._next_probe:
                self.controller.observe_delay(waited, self.now)
                self._next_probe = self.now + self.probe_s
            self.now += self._serve(kind, at, waited)

    def _serve(self, kind: str, at: float, waited: float) -> float:
        if kind != "INVITE":
            if kind != "stray":
                self.in_dialog_waits.append(waited)
            return {"ACK": ACK_S, "BYE": BYE_S, "stray": STRAY_S}[kind]
        if self.controller.must_refuse(self.now):
            self.refused.append(at)
            self._arrive("stray", self.now + ROUND_TRIP_S)
            return REFUSAL_S
        self.served.append((at, waited))
        self._arrive("ACK", self.now + INVITE_S + ROUND_TRIP_S)
        self._arrive("BYE", self.now + INVITE_S + TALK_S)
        return INVITE_S

    def goodput(self, begin: float, end: float) -> float:
        """Calls taken a second, as a share of the capacity."""
        return sum(begin <= at < end for at, _ in self.served) / (end - begin) / CAPACITY


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_below_capacity_nobody_is_refused(load: float) -> None:
    server = Server()
    server.offer(load * CAPACITY, 0, 20)
    server.run()
    assert len(server.refused) <= len(server.served) / 1000
    assert server.goodput(2, 20) == pytest.approx(load, rel=0.05)


@pytest.mark.parametrize("load", [1.2, 2.0, 3.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_above_capacity_the_server_stays_busy_with_calls_that_it_serves_in_time(load: float, seed: int) -> None:
    server = Server(seed=seed)
    server.offer(load * CAPACITY, 0, 20)
    server.run()
    assert server.goodput(2, 20) >= 0.9
    waits = [waited for _, waited in server.served]
    assert max(waits) <= BOUND_S
    assert percentile(waits, 0.99) + INVITE_S < 0.05  # what a caller waits for the 200
    assert max(server.in_dialog_waits) < 0.05


def test_goodput_does_not_swing() -> None:
    server = Server()
    server.offer(2 * CAPACITY, 0, 20)
    server.run()
    assert all(0.8 < server.goodput(second / 2, second / 2 + 0.5) < 1.2 for second in range(4, 40))


def test_a_delay_that_is_only_known_now_and_then_suffices() -> None:
    server = Server(probe_s=0.01)
    server.offer(3 * CAPACITY, 0, 20)
    server.run()
    assert server.goodput(2, 20) >= 0.85
    assert max(waited for _, waited in server.served) <= 3 * BOUND_S


def test_when_the_load_goes_calls_are_taken_again_within_a_second() -> None:
    server = Server()
    server.offer(3 * CAPACITY, 0, 10)
    server.offer(0.5 * CAPACITY, 10, 20)
    server.run()
    assert not [at for at in server.refused if at >= 11]
    assert server.goodput(11, 20) == pytest.approx(0.5, rel=0.1)


def test_a_burst_is_served_as_far_as_the_bound_goes_and_the_next_call_at_once() -> None:
    server = Server()
    server.offer(0.3 * CAPACITY, 0, 5)
    server.burst(500, 5.0)
    server.offer(0.3 * CAPACITY, 6.0, 10)
    server.run()
    of_burst = [waited for at, waited in server.served if at == 5.0]
    assert len(of_burst) >= 0.8 * BOUND_S / INVITE_S / 2
    assert max(of_burst) <= BOUND_S
    assert not [at for at in server.refused if at > 6.0]


def test_one_late_message_is_no_overload() -> None:
    controller = OverloadController(target_s=TARGET_S, entropy=entropy_of("one"))
    controller.observe_delay(0.03, 100.0)
    assert not controller.must_refuse(100.0)
    assert not controller.is_overloaded(100.0)


def test_a_lasting_delay_is_and_it_fades_when_nothing_comes() -> None:
    controller = OverloadController(target_s=TARGET_S, entropy=entropy_of("lasting"))
    for tick in range(100):
        controller.observe_delay(0.03, 100.0 + tick * 0.005)
    assert controller.must_refuse(100.5)
    assert controller.is_overloaded(100.5)
    assert not controller.must_refuse(100.6)
    assert not controller.is_overloaded(100.7)


def test_those_who_were_refused_together_do_not_come_back_together() -> None:
    controller = OverloadController(entropy=entropy_of("spread"))
    drawn = [controller.retry_after_s() for _ in range(2000)]
    shortest, longest = RETRY_AFTER_S
    assert set(drawn) == set(range(shortest, longest + 1))
    assert max(map(drawn.count, set(drawn))) < 300
