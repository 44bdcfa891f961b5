"""The transports of SIP (RFC 3261 §18): carries messages and time between one ``sip.Endpoint`` and its sockets.

The endpoint decides, this file waits. What comes from sources that are not allowed is dropped unread. What came in one
turn of the loop is answered in the next, all at once.

A message to an address with a flow goes on that connection. Without one it goes on the connection to the same
transport, host, port and TLS name (RFC 5923 §4), which is opened when there is none. Where the connection is gone, a
response opens another to where the Via says (§18.2.2), a request of ours opens another to a server that we had called,
and for every other request the endpoint learns that the network refused.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.errors import ConfigError
from engine.log import fields
from engine.metrics import DATAGRAMS_DROPPED
from engine.net.listen import BACKLOG, BoundListener
from engine.net.stream import StreamConnection, where_it_failed
from engine.net.tls import TlsFiles
from engine.net.udp import UdpSocket
from engine.net.websocket import WebSocketLayer
from sip.address import Address, Transport
from sip.endpoint import Endpoint
from sip.errors import ParseError
from sip.events import Event
from sip.parser import parse_message
from sip.stun import binding_response, is_stun

__all__ = ("ConnectionLimits", "SipTransports", "SourceGate")

log = logging.getLogger("engine.net.transports")

CONNECT_S = 4.0
"""How long TCP and TLS may take to a peer: a request above the MTU then still has time to go by UDP (§18.1.1), before
its transaction gives up after 32 s."""
TEND_S = 1.0
"How often connections are looked after."
CLOSE_S = 1.0
"How long connections may take to send what is left when all is closed."

Key = tuple[Transport, str, int, str]


class SourceGate(Protocol):
    """Who may send SIP here."""

    def admit_source(self, source: Address, now: float) -> bool:
        """Return whether what comes from ``source`` is worth reading."""

    def expect(self, host: str) -> None:
        """Learn that a request goes to ``host`` (an IP literal) as a datagram: its response comes by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Bounds of the connections. Times are seconds."""

    maximum: int = 1000
    "Taken and opened ones together."
    by_source: int = 100
    "Taken from one IP address."
    idle_s: float = 3600.0
    "A connection on which nothing came for so long is closed."
    ping_s: float | None = 120.0
    """At most so often, and at least 0.8 times, a keep-alive goes out on connections that we opened (RFC 5626 §4.4.1);
    None: never."""


class SipTransports:
    """All sockets and connections of one ``Endpoint``, driven by the running loop.

    ``on_event`` is called on the loop for each event of the endpoint. After any call into ``endpoint`` from outside,
    call ``flush()``: it sends what is due, delivers events and arms the timer. ``origins`` are the pages whose scripts
    may connect by WebSocket; empty: all.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        sources: SourceGate,
        on_event: Callable[[Event], None],
        *,
        tls: TlsFiles | None = None,
        limits: ConnectionLimits | None = None,
        origins: Sequence[str] = (),
    ) -> None:
        self.endpoint = endpoint
        self._sources = sources
        self._on_event = on_event
        self._tls = tls
        self._limits = limits or ConnectionLimits()
        self._origins = tuple(origins)
        self._loop = asyncio.get_running_loop()
        self._udp: dict[int, tuple[str, UdpSocket]] = {}
        self._local_hosts: dict[int, str] = {}
        self._servers: list[asyncio.Server] = []
        self._flow_numbers = itertools.count(1)
        self._flows: dict[int, StreamConnection] = {}
        self._by_key: dict[Key, StreamConnection] = {}
        self._by_source: Counter[str] = Counter()
        self._opening: dict[asyncio.Task[None], StreamConnection] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._tending: asyncio.TimerHandle | None = None
        self._flush_is_due = False
        self._flushing = False
        self._closed = False

    # -- life ----------------------------------------------------------------------------------------------------

    async def open(self, listeners: Sequence[BoundListener]) -> None:
        """Begin to receive on bound sockets, which belong to this object from here on."""
        for listener in listeners:
            if listener.transport.is_secure and (self._tls is None or self._tls.server is None):
                raise ConfigError(
                    f"{listener.transport} needs a certificate",
                    where="[sip] listen",
                    remedy="name certificate and key in [sip.tls]",
                )
            self._local_hosts[listener.id] = listener.host
            if listener.transport is Transport.UDP:
                socket = UdpSocket(self._datagrams_to(listener))
                socket.open(listener.sock)
                self._udp[listener.id] = (listener.host, socket)
            else:
                server = await self._loop.create_server(
                    self._connections_to(listener), sock=listener.sock, backlog=BACKLOG
                )
                self._servers.append(server)

    async def close(self) -> None:
        """Stop receiving, let connections send what is left, close all."""
        self._closed = True
        for timer in (self._timer, self._tending):
            if timer is not None:
                timer.cancel()
        for server in self._servers:
            server.close()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        connections = list(self._flows.values())
        for connection in connections:
            connection.close("the engine stops")
        if connections:
            _, late = await asyncio.wait([connection.closed for connection in connections], timeout=CLOSE_S)
            if late:
                for connection in connections:
                    connection.abort("the engine stops")
                await asyncio.wait([connection.closed for connection in connections], timeout=CLOSE_S)
        for _, socket in self._udp.values():
            socket.close()

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._flows)

    def peer_names(self, flow: int) -> tuple[str, ...]:
        """Names in the verified certificate of the peer on connection ``flow``: subjectAltName, then common name.

        Empty without a certificate, or when the connection is gone.
        """
        connection = self._flows.get(flow)
        return connection.peer_names if connection is not None else ()

    # -- what comes in -------------------------------------------------------------------------------------------

    def _datagrams_to(self, listener: BoundListener) -> Callable[[bytes, str, int, float], None]:
        def receive(data: bytes, host: str, port: int, waited_s: float) -> None:
            source, now = Address(host, port, Transport.UDP, listener.id), self._loop.time()
            if not self._sources.admit_source(source, now):
                DATAGRAMS_DROPPED.inc()
                return
            if is_stun(data):
                self._answer_stun(data, source)
                return
            self.endpoint.observe_delay(waited_s, now)
            self._pass_on(data, source)

        return receive

    def _connections_to(self, listener: BoundListener) -> Callable[[], StreamConnection]:
        def connect() -> StreamConnection:
            transport = listener.transport
            peer = Address("", 0, transport, listener.id, next(self._flow_numbers))
            is_websocket = transport in (Transport.WS, Transport.WSS)
            return StreamConnection(
                self,
                peer,
                tls=self._tls.server if transport.is_secure and self._tls is not None else None,
                websocket=WebSocketLayer(self._origins) if is_websocket else None,
            )

        return connect

    def connection_opened(self, connection: StreamConnection) -> bool:
        """Count a connection, or refuse it."""
        peer, limits = connection.peer, self._limits
        if self._closed:
            return False
        if peer.listener:
            if not self._sources.admit_source(peer, self._loop.time()):
                DATAGRAMS_DROPPED.inc()
                return False
            if len(self._flows) >= limits.maximum or self._by_source[peer.host] >= limits.by_source:
                log.warning("a connection is refused: there are too many", extra=fields(source=peer.host))
                return False
            self._by_source[peer.host] += 1
            if not peer.transport.is_secure:
                # Of TLS not: who called us has perhaps shown no certificate, and a request of ours wants one.
                self._by_key.setdefault(_key(peer), connection)
        self._flows[peer.flow] = connection
        if self._tending is None:
            self._tending = self._loop.call_later(TEND_S, self._on_tending)
        return True

    def message_received(self, connection: StreamConnection, data: bytes) -> None:
        """Pass a message on."""
        if connection.peer.listener and not self._sources.admit_source(connection.peer, self._loop.time()):
            DATAGRAMS_DROPPED.inc()
            connection.abort("the source is no longer allowed")
            return
        self._pass_on(data, connection.peer)

    def connection_closed(self, connection: StreamConnection) -> None:
        """Forget a connection and tell the endpoint, which may be waiting for an answer on it."""
        peer = connection.peer
        self._flows.pop(peer.flow, None)
        if peer.listener:
            self._by_source[peer.host] -= 1
            if self._by_source[peer.host] <= 0:
                del self._by_source[peer.host]
        self._forget_key(connection)
        if not self._closed:
            log.debug("a connection is closed", extra=fields(transport=peer.transport, reason=connection.error))
            self.endpoint.flow_closed(peer.flow, self._loop.time())
            self._report(connection.targets)
            self._flush_soon()

    def _pass_on(self, data: bytes, source: Address) -> None:
        try:
            self.endpoint.receive_datagram(data, source, self._loop.time())
        except Exception as error:
            # The endpoint promises not to raise; a fault of ours must still cost one message and not all calls.
            log.error("a message could not be handled", extra=fields(error=where_it_failed(error)))
        self._flush_soon()

    def _answer_stun(self, data: bytes, source: Address) -> None:
        answer = binding_response(data, source)
        if answer is not None:
            try:
                self._udp[source.listener][1].send(answer, source.host, source.port)
            except (OSError, ValueError) as error:
                log.debug("a STUN response could not be sent", extra=fields(error=error))

    # -- flush and time ------------------------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what is due, deliver events, arm the timer. Safe to call from within an event's handler."""
        if self._flushing or self._closed:
            return
        self._flushing = True
        self._flush_is_due = False
        try:
            while True:
                now = self._loop.time()
                for data, target in self.endpoint.datagrams_to_send(now):
                    self._send(data, target)
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

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.endpoint.next_timer()
        if due is not None:
            self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        try:
            self.endpoint.handle_timer(self._loop.time())
        except Exception as error:
            log.error("a timer could not be handled", extra=fields(error=where_it_failed(error)))
        self.flush()

    def _on_tending(self) -> None:
        self._tending = None
        self.tend(self._loop.time())
        if self._flows and not self._closed:
            self._tending = self._loop.call_later(TEND_S, self._on_tending)

    def tend(self, now: float) -> None:
        """Close connections that are idle or too slow and send keep-alives, as of ``now`` (seconds of the loop)."""
        limits = self._limits
        for connection in list(self._flows.values()):
            connection.tend(now, idle_s=limits.idle_s, ping_s=limits.ping_s)

    # -- what goes out -------------------------------------------------------------------------------------------

    def _send(self, data: bytes, target: Address) -> None:
        if target.transport is Transport.UDP:
            self._send_datagram(data, target)
        elif target.flow:
            connection = self._flows.get(target.flow)
            if connection is None or not connection.send(data):
                self._send_elsewhere(data, target)
        else:
            self._send_on_connection(data, target, target)

    def _send_datagram(self, data: bytes, target: Address) -> None:
        found = self._udp.get(target.listener)
        if found is None:
            same_family = (entry for entry in self._udp.values() if (":" in entry[0]) == (":" in target.host))
            found = next(same_family, None)
        try:
            if found is None:
                raise OSError("no UDP socket of that address family")
            if not data.startswith(b"SIP/2.0"):
                self._sources.expect(target.host)
            found[1].send(data, target.host, target.port)
        except (OSError, ValueError) as error:
            log.warning("a datagram could not be sent", extra=fields(host=target.host, error=error))
            self._report({target})

    def _send_elsewhere(self, data: bytes, target: Address) -> None:
        """Send what should have gone on a connection that is gone."""
        if data.startswith(b"SIP/"):
            again = _destination_of_response(data, target)
            if again is not None:
                self._send_on_connection(data, again, None)
        elif target.listener:
            self._report({target})  # it called us; the port it called from takes no calls
        else:
            self._send_on_connection(data, target, target)

    def _send_on_connection(self, data: bytes, target: Address, reported: Address | None) -> None:
        """Send on the connection to ``target``; ``reported`` is the address that the endpoint knows it by."""
        connection = self._by_key.get(_key(target))
        if connection is None or not connection.is_usable:
            connection = self._connect(target)
        if connection is None or not connection.send(data):
            if reported is not None:
                self._report({reported})
        elif reported is not None:
            connection.targets.add(reported)

    def _connect(self, target: Address) -> StreamConnection | None:
        """Begin to open a connection; None when that cannot be."""
        transport = target.transport
        if transport in (Transport.WS, Transport.WSS) or (transport.is_secure and self._tls is None):
            return None  # RFC 7118 §5: a WebSocket is opened by the client, and that is not us
        if len(self._flows) + len(self._opening) >= self._limits.maximum:
            log.warning("no connection is opened: there are too many", extra=fields(host=target.host))
            return None
        peer = target._replace(listener=0, flow=next(self._flow_numbers))
        context = self._tls.client if transport.is_secure and self._tls is not None else None
        connection = StreamConnection(self, peer, tls=context)
        self._by_key[_key(target)] = connection
        host = self._local_hosts.get(target.listener, "")
        is_bound = host not in ("", "0.0.0.0", "::") and (":" in host) == (":" in target.host)
        task = self._loop.create_task(self._open(connection, (host, 0) if is_bound else None))
        self._opening[task] = connection
        task.add_done_callback(self._opening.pop)
        return connection

    async def _open(self, connection: StreamConnection, local: tuple[str, int] | None) -> None:
        peer = connection.peer
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._loop.create_connection(lambda: connection, peer.host, peer.port, local_addr=local)
                established = await connection.ready
        except TimeoutError:
            established = False
            connection.abort(f"no connection within {CONNECT_S:g} s")
        except (OSError, ValueError) as error:
            established = False
            connection.abort(getattr(error, "strerror", None) or type(error).__name__)
        if established or self._closed:
            return
        log.warning(
            "a connection could not be opened",
            extra=fields(transport=peer.transport, host=peer.host, port=peer.port, reason=connection.error),
        )
        self._forget_key(connection)
        # Those whose protocol was up are reported when the protocol is told that it is down.
        self._report(connection.targets)

    def _report(self, targets: set[Address]) -> None:
        """Tell the endpoint that what went to ``targets`` did not arrive."""
        failed, now = list(targets), self._loop.time()
        targets.clear()
        for target in failed:
            self.endpoint.transport_error(target, now)
        if failed:
            self._flush_soon()

    def _forget_key(self, connection: StreamConnection) -> None:
        key = _key(connection.peer)
        if self._by_key.get(key) is connection:
            del self._by_key[key]


def _key(address: Address) -> Key:
    return (address.transport, address.host, address.port, address.name)


def _destination_of_response(data: bytes, target: Address) -> Address | None:
    """Return where a response goes whose connection is gone (§18.2.2): the host it came from, the port of the Via."""
    try:
        via = parse_message(data).via
    except ParseError:
        return None
    name = ""
    if target.transport.is_secure:
        try:
            ipaddress.ip_address(via.host)
        except ValueError:
            name = via.host  # what the certificate of who sent the request must show
    port = via.port or target.transport.default_port
    return target._replace(port=port, flow=0, name=name)
