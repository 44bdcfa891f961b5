"""SIP over UDP: its sockets, and who may send here."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, cast

from engine.errors import MediaError
from engine.log import fields

__all__ = ("NEXT_PORTS", "SourceFilter", "UdpSocket", "bind_udp")

log = logging.getLogger("engine.net.udp")

NEXT_PORTS = 50
"How many ports above the wanted one are tried."
RECEIVE_BUFFER = 1 << 20
"Bytes that the kernel may hold for us; a burst of INVITEs fits in."
FILTER_CACHE = 4096


class SourceFilter:
    """Tells whether a source address may send SIP here."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]
        self._known: dict[str, bool] = {}
        self._lent: Counter[str] = Counter()

    def allow(self, host: str) -> None:
        """Admit one more address, such as a registrar's."""
        self._networks.append(ipaddress.ip_network(host))
        self._known.clear()

    def lend(self, host: str) -> None:
        """Admit one more address until ``take_back``: that of somebody we call. Can be lent more than once."""
        self._lent[host] += 1

    def take_back(self, host: str) -> None:
        """End one ``lend``."""
        self._lent[host] -= 1
        if self._lent[host] <= 0:
            del self._lent[host]

    def admits(self, host: str) -> bool:
        """Return whether datagrams from ``host`` (an IP literal) are taken."""
        if host in self._lent:
            return True
        verdict = self._known.get(host)
        if verdict is None:
            address = ipaddress.ip_address(host.partition("%")[0])
            mapped = getattr(address, "ipv4_mapped", None)
            verdict = any((mapped or address) in network for network in self._networks)
            if len(self._known) >= FILTER_CACHE:
                self._known.clear()
            self._known[host] = verdict
        return verdict


def bind_udp(host: str, port: int, *, next_free: bool) -> socket.socket:
    """Return a bound, non-blocking UDP socket; raise ``MediaError`` that says why not and what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last: OSError | None = None
    for candidate in range(port, port + (NEXT_PORTS if next_free and port else 1)):
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if family == socket.AF_INET6:
                # Both families can be listened on side by side, and no peer shows up as an IPv4 address in IPv6.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((host, candidate))
        except OSError as error:
            sock.close()
            last = error
            continue
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        return sock
    reason = last.strerror if last else "no port left"
    raise MediaError(
        f"cannot listen on UDP {host}:{port}: {reason}; "
        "stop what uses the port (ss -ulpn shows it), set sip.listen to another, or set sip.next_free_port = true"
    )


class UdpSocket(asyncio.DatagramProtocol):
    """One UDP socket on the running loop: each datagram goes to ``receive`` with the host and port it came from.

    ``receive`` must not raise.
    """

    def __init__(self, receive: Callable[[bytes, str, int], None]) -> None:
        self._receive = receive
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = asyncio.get_running_loop().create_future()

    async def open(self, sock: socket.socket) -> None:
        """Begin to receive on ``sock``."""
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=sock)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio's callback)."""
        self._transport = cast("asyncio.DatagramTransport", transport)  # uvloop's is none by inheritance

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Pass a datagram on (asyncio's callback)."""
        self._receive(data, addr[0], addr[1])

    def error_received(self, exc: Exception) -> None:
        """Note what the kernel reports of a peer, such as an ICMP port unreachable (asyncio's callback)."""
        log.debug("the network reports an error", extra=fields(error=exc))

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the socket is closed (asyncio's callback)."""
        if not self._closed.done():
            self._closed.set_result(None)

    def send(self, data: bytes, host: str, port: int) -> None:
        """Send a datagram; raise ``OSError`` or ``ValueError`` when it cannot be."""
        assert self._transport is not None
        self._transport.sendto(data, (host, port))

    async def close(self) -> None:
        """Stop receiving; what was sent leaves first."""
        if self._transport is not None:
            self._transport.close()
            await self._closed
