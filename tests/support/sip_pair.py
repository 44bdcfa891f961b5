"""Two endpoints joined by a wire, and one endpoint with the test as its peer, both on a clock that the test moves."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from sip.address import Address, Listener
from sip.endpoint import Endpoint, EndpointConfig
from sip.events import Event, SessionId
from sip.message import Request, Response
from sip.offer_answer import LocalCapabilities, answer, make_offer
from sip.parser import parse_message
from sip.sdp import SessionDescription
from sip.uri import NameAddr, Uri
from tests.support.wire import Fate, Wire

E = TypeVar("E")

ALICE = Address("192.0.2.1", 5060)
BOB = Address("192.0.2.2", 5060)


def entropy_of(seed: str) -> Callable[[int], bytes]:
    """Entropy that can be repeated: the n-th draw of a seed is always the same."""
    counter = itertools.count()
    return lambda n: hashlib.shake_128(f"{seed}:{next(counter)}".encode()).digest(n)


def capabilities(address: Address, **changes: object) -> LocalCapabilities:
    fields: dict[str, object] = {"address": address.host, "rtp_port": 4000, "session_id": 1, "session_version": 1}
    return LocalCapabilities(**(fields | changes))  # type: ignore[arg-type]


def offer_of(address: Address) -> SessionDescription:
    return make_offer(capabilities(address))


def answer_of(address: Address, offer: SessionDescription) -> SessionDescription:
    return answer(offer, capabilities(address))[0]


def make_endpoint(address: Address, **changes: object) -> Endpoint:
    fields: dict[str, object] = {"listeners": (Listener(id=1, host=address.host, port=address.port),)}
    config = EndpointConfig(**(fields | changes))  # type: ignore[arg-type]
    return Endpoint(config, entropy=entropy_of(f"{address}"))


@dataclass
class Solo:
    """One endpoint whose peer is the test: what it sends is parsed and kept."""

    endpoint: Endpoint
    now: float = 1000.0
    sent: list[tuple[float, Request | Response, Address]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @classmethod
    def at(cls, address: Address = BOB, **changes: object) -> Solo:
        return cls(make_endpoint(address, **changes))

    def collect(self) -> None:
        for data, destination in self.endpoint.datagrams_to_send(self.now):
            self.sent.append((self.now, parse_message(data), destination))
        while (event := self.endpoint.next_event()) is not None:
            self.events.append(event)

    def receive(self, message: bytes | Request | Response, source: Address = ALICE) -> list[Request | Response]:
        """Give it a datagram; return what it sends at once."""
        before = len(self.sent)
        data = message if isinstance(message, bytes) else message.serialize()
        self.endpoint.receive_datagram(data, source, self.now)
        self.collect()
        return [message for _, message, _ in self.sent[before:]]

    def until(self, at: float) -> list[tuple[float, Request | Response]]:
        """Let time pass; return what is sent meanwhile, and when."""
        before = len(self.sent)
        while (due := self.endpoint.next_timer()) is not None and due <= at:
            self.now = max(due, self.now)
            self.endpoint.handle_timer(self.now)
            self.collect()
        self.now = at
        return [(when, message) for when, message, _ in self.sent[before:]]

    def next_request(self, limit_s: float = 4000.0) -> tuple[float, Request]:
        """Let time pass up to the next request it sends; return how long that took."""
        begin, before = self.now, len(self.sent)
        while (due := self.endpoint.next_timer()) is not None and due <= begin + limit_s:
            self.until(due)
            for _, message, _ in self.sent[before:]:
                if isinstance(message, Request):
                    return self.now - begin, message
        raise AssertionError("no request was sent")

    def after(self, seconds: float) -> list[tuple[float, Request | Response]]:
        return self.until(self.now + seconds)

    def take(self, kind: type[E]) -> E:
        """Return the one event of that kind and forget it."""
        found = [event for event in self.events if isinstance(event, kind)]
        assert len(found) == 1, f"{len(found)} events of {kind.__name__} in {self.events}"
        self.events = [event for event in self.events if event is not found[0]]
        return found[0]

    def last(self, kind: type[E]) -> E:
        """Return the last message that was sent, which must be a request or response as ``kind`` says."""
        message = self.sent[-1][1]
        assert isinstance(message, kind)
        return message

    def assert_nothing_left(self) -> None:
        statistics = self.endpoint.statistics
        assert (statistics.sessions, statistics.dialogs, statistics.transactions) == (0, 0, 0)
        assert self.endpoint.next_timer() is None


@dataclass
class Pair:
    """Alice calls, Bob answers, over a wire."""

    wire: Wire
    now: float = 0.0
    endpoints: dict[Address, Endpoint] = field(
        default_factory=lambda: {address: make_endpoint(address) for address in (ALICE, BOB)}
    )
    events: dict[Address, list[Event]] = field(default_factory=lambda: {ALICE: [], BOB: []})
    on_event: Callable[[Pair, Address, Event], None] | None = None

    @classmethod
    def over(cls, fates: Iterable[Fate] = (), on_event: Callable[[Pair, Address, Event], None] | None = None) -> Pair:
        return cls(Wire(fates), on_event=on_event)

    @property
    def alice(self) -> Endpoint:
        return self.endpoints[ALICE]

    @property
    def bob(self) -> Endpoint:
        return self.endpoints[BOB]

    def call(self) -> SessionId:
        session = self.alice.invite(
            Uri(user="pay", host=BOB.host),
            next_hop=BOB,
            from_=NameAddr(uri=Uri(user="alice", host=ALICE.host)),
            offer=offer_of(ALICE),
            now=self.now,
        )
        self.flush()
        return session

    def flush(self) -> None:
        moved = True
        while moved:
            moved = False
            for address, endpoint in self.endpoints.items():
                for data, destination in endpoint.datagrams_to_send(self.now):
                    self.wire.send(data, address, destination, self.now)
                while (event := endpoint.next_event()) is not None:
                    moved = True
                    self.events[address].append(event)
                    if self.on_event is not None:
                        self.on_event(self, address, event)

    def run(self, seconds: float) -> None:
        """Let time pass; datagrams arrive and timers fire in order."""
        end = self.now + seconds
        for _ in range(100_000):
            self.flush()
            due = [
                at for at in (self.wire.next_at(), *(e.next_timer() for e in self.endpoints.values())) if at is not None
            ]
            if not due or min(due) > end:
                break
            self.now = max(self.now, min(due))
            for source, destination, data in self.wire.arrivals(self.now):
                if destination in self.endpoints:
                    self.endpoints[destination].receive_datagram(data, source, self.now)
            for endpoint in self.endpoints.values():
                endpoint.handle_timer(self.now)
        self.now = end

    def of(self, address: Address, kind: type[E]) -> list[E]:
        return [event for event in self.events[address] if isinstance(event, kind)]

    def assert_nothing_left(self) -> None:
        for endpoint in self.endpoints.values():
            statistics = endpoint.statistics
            assert (statistics.sessions, statistics.dialogs, statistics.transactions) == (0, 0, 0)
            assert endpoint.next_timer() is None
