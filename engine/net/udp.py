"""SIP over UDP: carries datagrams and time between a ``sip.Endpoint`` and a socket on the asyncio loop.

The endpoint decides, this file waits. Datagrams from sources that are not allowed are dropped unread.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any, cast

from engine.errors import MediaError
from engine.log import fields
from engine.metrics import DATAGRAMS_DROPPED
from sip.address import Address
from sip.endpoint import Endpoint
from sip.events import Event

__all__ = ("SourceFilter", "UdpAgent", "bind_udp")

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

    def allow(self, host: str) -> None:
        """Admit one more address, such as a registrar's."""
        self._networks.append(ipaddress.ip_network(host))
        self._known.clear()

    def admits(self, host: str) -> bool:
        """Return whether datagrams from ``host`` (an IP literal) are taken."""
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


class UdpAgent(asyncio.DatagramProtocol):
    """One UDP socket and one ``Endpoint``, driven by the running loop.

    ``on_event`` is called on the loop for each event of the endpoint. After any call into ``endpoint`` from outside,
    call ``flush()``: it sends what is due, delivers events and arms the timer.
    """

    def __init__(self, endpoint: Endpoint, sources: SourceFilter, on_event: Callable[[Event], None]) -> None:
        self.endpoint = endpoint
        self._sources = sources
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._flushing = False
        self._closed = False

    async def open(self, sock: socket.socket) -> None:
        """Begin to receive on ``sock``."""
        await self._loop.create_datagram_endpoint(lambda: self, sock=sock)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio's callback)."""
        self._transport = cast("asyncio.DatagramTransport", transport)  # uvloop's is none by inheritance

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Pass an admitted datagram on (asyncio's callback)."""
        host, port = addr[0], addr[1]
        if not self._sources.admits(host):
            DATAGRAMS_DROPPED.inc()
            return
        self.endpoint.receive_datagram(data, Address(host, port), self._loop.time())
        self.flush()

    def error_received(self, exc: Exception) -> None:
        """Note what the kernel reports of a peer, such as an ICMP port unreachable (asyncio's callback)."""
        log.debug("the network reports an error", extra=fields(error=exc))

    def flush(self) -> None:
        """Send what is due, deliver events, arm the timer. Safe to call from within an event's handler."""
        if self._flushing or self._closed:
            return
        self._flushing = True
        try:
            while True:
                now = self._loop.time()
                self._send(now)
                event = self.endpoint.next_event()
                if event is None:
                    break
                try:
                    self._on_event(event)
                except Exception:
                    # One call's fault must not stop the others' signalling.
                    log.exception("an event could not be handled", extra=fields(event=type(event).__name__))
        finally:
            self._flushing = False
        self._arm()

    def _send(self, now: float) -> None:
        assert self._transport is not None
        for data, target in self.endpoint.datagrams_to_send(now):
            try:
                self._transport.sendto(data, (target.host, target.port))
            except (OSError, ValueError) as error:
                log.warning("a datagram could not be sent", extra=fields(host=target.host, error=error))
                self.endpoint.transport_error(target, now)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.endpoint.next_timer()
        if due is not None:
            self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.endpoint.handle_timer(self._loop.time())
        self.flush()

    def close(self) -> None:
        """Stop receiving; what waits to be sent has been sent by ``flush``."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()
