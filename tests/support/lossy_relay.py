"""A UDP relay between two SIP programs that loses, doubles and reorders datagrams, for machines without ``tc netem``.

It rewrites nothing. It has two sockets: peers send to ``front``; the target (the engine) sees everything come from
``back`` and answers there, because the Via asks for that (RFC 3581). Requests in a dialog pass through it too:

* the peer's, when the peer keeps sending to ``front`` whatever the target's Contact says (SIPp does);
* the target's, when the peer names ``back`` in its Contact (SIPp: ``-key contact HOST:PORT``, ``<sip:x@[contact]>``).

One relay serves one peer socket: what comes to ``back`` goes to whoever sent to ``front`` last.
Chance is drawn from a seed, one draw for each datagram of a direction, so that a run can be repeated as far as the
programs send the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from tests.support.wire import Fate

__all__ = ("Counts", "Faults", "LossyRelay", "running_relay")

OVERTAKEN_BY = 2
"A late datagram waits until so many others of its direction have passed ..."
LATEST_S = 0.03
"... or for so long."

HostPort = tuple[str, int]
Choose = Callable[[int, bytes], Fate]
"Says the fate of a datagram by its number (from 0, both directions together) and content."


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Shares of datagrams, 0 to 1, in each direction."""

    loss: float = 0.0
    duplicates: float = 0.0
    reorder: float = 0.0
    seed: int = 1

    def chooser(self) -> Choose:
        """Return fates drawn from the seed."""
        random = Random(self.seed)

        def choose(_number: int, _data: bytes) -> Fate:
            drawn = random.random()
            for share, fate in ((self.loss, Fate.LOSE), (self.duplicates, Fate.DOUBLE), (self.reorder, Fate.LATE)):
                if drawn < share:
                    return fate
                drawn -= share
            return Fate.PASS

        return choose


@dataclass(slots=True)
class Counts:
    """What became of the datagrams that came in."""

    received: int = 0
    lost: int = 0
    doubled: int = 0
    late: int = 0


@dataclass(slots=True)
class _Late:
    datagram: bytes
    others_left: int = OVERTAKEN_BY


@dataclass(slots=True)
class _Direction:
    send: Callable[[bytes], None]
    waiting: list[_Late] = field(default_factory=list)

    def forward(self, data: bytes) -> None:
        """Send a datagram, then what it has overtaken."""
        self.send(data)
        for late in self.waiting:
            late.others_left -= 1
        for late in [late for late in self.waiting if late.others_left <= 0]:
            self.release(late)

    def release(self, late: _Late) -> None:
        """Send a late datagram, once."""
        if late in self.waiting:
            self.waiting.remove(late)
            self.send(late.datagram)


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, receive: Callable[[bytes, HostPort], None]) -> None:
        self.receive = receive
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self.receive(data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        """Let an ICMP error be: the other end may be gone already."""

    def send(self, data: bytes, to: HostPort) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.sendto(data, to)


class LossyRelay:
    """One relay; made by ``running_relay``."""

    def __init__(self, target: HostPort, choose: Choose) -> None:
        self._target = target
        self._choose = choose
        self._peer: HostPort | None = None
        self._loop = asyncio.get_running_loop()
        self._front = _Socket(self._from_peer)
        self._back = _Socket(self._from_target)
        self._to_target = _Direction(lambda data: self._back.send(data, self._target))
        self._to_peer = _Direction(self._send_to_peer)
        self.counts = Counts()
        self.front: HostPort = ("", 0)
        "Where peers send to."
        self.back: HostPort = ("", 0)
        "Where the target sees them; what their Contact names."

    async def open(self) -> None:
        """Bind both sockets on loopback."""
        for socket in (self._front, self._back):
            await self._loop.create_datagram_endpoint(lambda socket=socket: socket, local_addr=("127.0.0.1", 0))  # type: ignore[misc]
        self.front, self.back = self._name(self._front), self._name(self._back)

    def close(self) -> None:
        """Close both sockets."""
        for socket in (self._front, self._back):
            if socket.transport is not None:
                socket.transport.close()

    @staticmethod
    def _name(socket: _Socket) -> HostPort:
        assert socket.transport is not None
        name = socket.transport.get_extra_info("sockname")
        return str(name[0]), int(name[1])

    def _from_peer(self, data: bytes, source: HostPort) -> None:
        self._peer = source
        self._carry(data, self._to_target)

    def _from_target(self, data: bytes, _source: HostPort) -> None:
        self._carry(data, self._to_peer)

    def _send_to_peer(self, data: bytes) -> None:
        if self._peer is not None:
            self._front.send(data, self._peer)

    def _carry(self, data: bytes, direction: _Direction) -> None:
        fate = self._choose(self.counts.received, data)
        self.counts.received += 1
        match fate:
            case Fate.LOSE:
                self.counts.lost += 1
            case Fate.DOUBLE:
                self.counts.doubled += 1
                direction.forward(data)
                direction.forward(data)
            case Fate.LATE:
                self.counts.late += 1
                late = _Late(data)
                direction.waiting.append(late)
                self._loop.call_later(LATEST_S, direction.release, late)
            case _:
                direction.forward(data)


@asynccontextmanager
async def running_relay(target: HostPort, choose: Choose) -> AsyncIterator[LossyRelay]:
    """Run a relay to ``target``; ``choose`` is ``Faults(...).chooser()`` or a plan of one's own."""
    relay = LossyRelay(target, choose)
    await relay.open()
    try:
        yield relay
    finally:
        relay.close()
        await asyncio.sleep(0)  # asyncio closes the sockets in its next round
