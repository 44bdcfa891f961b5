"""Whole calls through one endpoint in memory: no socket, no engine, a clock that only moves on."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.load import signals
from sip.address import Address, Listener
from sip.endpoint import Endpoint, EndpointConfig
from sip.events import Event, InviteReceived
from sip.offer_answer import LocalCapabilities, answer

__all__ = ("MemoryLoad", "Open")

HERE = Address("192.0.2.2", 5060)
PEER = Address("192.0.2.1", 5060)
TARGET = f"sip:pay@{HERE.host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What an endpoint holds."""

    sessions: int
    dialogs: int
    transactions: int
    has_timer: bool


def _entropy() -> Callable[[int], bytes]:
    numbers = itertools.count()
    return lambda n: hashlib.shake_128(next(numbers).to_bytes(8, "big")).digest(n)


class MemoryLoad:
    """One endpoint that answers calls at ``rate`` a second of its own time; each ends before the next begins."""

    def __init__(self, rate: float) -> None:
        config = EndpointConfig(listeners=(Listener(id=1, host=HERE.host, port=HERE.port),), max_sessions=100_000)
        self._endpoint = Endpoint(config, entropy=_entropy())
        self._rate = rate
        self._number = 0
        self.completed = 0
        self._local = LocalCapabilities(address=HERE.host, rtp_port=4000, session_id=1, session_version=1)

    @property
    def now(self) -> float:
        """The endpoint's time, in seconds."""
        return self._number / self._rate

    def run(self, calls: int) -> float:
        """Place ``calls`` one after the other; return the CPU seconds of this process that they took, ours included."""
        began = time.process_time()
        for _ in range(calls):
            self._call()
        return time.process_time() - began

    def open(self) -> Open:
        """Return what the endpoint holds now."""
        found = self._endpoint.statistics
        return Open(
            sessions=found.sessions,
            dialogs=found.dialogs,
            transactions=found.transactions,
            has_timer=self._endpoint.next_timer() is not None,
        )

    def let_time_pass(self, seconds: float) -> None:
        """Let every timer fire that is due in this time."""
        self._number += int(seconds * self._rate)
        self._endpoint.handle_timer(self.now)
        self._endpoint.datagrams_to_send(self.now)

    def _give(self, data: bytes) -> tuple[list[bytes], list[Event]]:
        self._endpoint.receive_datagram(data, PEER, self.now)
        events = []
        while (event := self._endpoint.next_event()) is not None:
            events.append(event)
        return [sent for sent, _ in self._endpoint.datagrams_to_send(self.now)], events

    def _call(self) -> None:
        self._number += 1
        number, endpoint = self._number, self._endpoint
        if (due := endpoint.next_timer()) is not None and due <= self.now:
            endpoint.handle_timer(self.now)
        text = {"target": TARGET, "host": PEER.host, "port": PEER.port}
        _, events = self._give(signals.invite(number, rtp_port=4000, **text))  # type: ignore[arg-type]
        (invited,) = events
        assert isinstance(invited, InviteReceived)
        assert invited.offer is not None
        ours, _ = answer(invited.offer, self._local)
        endpoint.ring(invited.session, self.now)
        endpoint.answer(invited.session, ours, self.now)
        sent = [data for data, _ in endpoint.datagrams_to_send(self.now)]
        to_tag = signals.to_tag_of(sent[-1])
        self._give(signals.ack(number, to_tag, **text))  # type: ignore[arg-type]
        sent, _ = self._give(signals.bye(number, to_tag, **text))  # type: ignore[arg-type]
        self.completed += sent[-1].startswith(b"SIP/2.0 200 ")
