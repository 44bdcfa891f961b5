"""One connection of SIP: TCP, with TLS or WebSocket or both above it; octets become messages and keep-alives.

The connection knows nothing of SIP beyond the framing. Its owner is told of each message and of its end, once. No
peer holds up the others: of what it sends a burst is taken in one turn of the loop, nothing while it does not read what
it is sent, and it is closed when it does not read for ``UNREAD_S`` or more than ``MAX_UNSENT`` waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl
from collections import deque
from contextlib import suppress
from typing import Protocol, cast

from engine.log import fields
from engine.net.tls import TlsLayer
from engine.net.websocket import WebSocketLayer
from sip.address import Address
from sip.framing import Framed, FramingError, KeepAlive, StreamFramer, refusal

__all__ = ("StreamConnection", "StreamOwner", "where_it_failed")

log = logging.getLogger("engine.net.stream")

MAX_UNSENT = 512 * 1024
"Octets that may wait for a peer to read; a second of a proxy's traffic at 500 calls a second."
BURST = 64
BURST_OCTETS = 64 * 1024
"Messages, and octets of them, that are taken from one connection in one turn of the loop: some milliseconds of work."
UNREAD_S = 30.0
"How long a peer may leave unread what it was sent."
MESSAGE_S = 32.0
"How long one message may take (64*T1 of RFC 3261 §17.1.1.2), and the first one of a connection that was taken."
HANDSHAKE_S = 10.0
"How long the handshakes of TLS and WebSocket may take on a connection that was taken."
PONG_S = 10.0
"RFC 5626 §4.4.1: a ping that is not answered for so long is the end of the flow."
UNACKNOWLEDGED_S = 30
"TCP gives up a peer that acknowledges nothing for so long (RFC 5482): retransmission alone takes a quarter of an hour."
LINGER_S = 2.0
"""How long a connection that ends may take: what was sent leaves, and after a refusal the peer may read it. Closing at
once what still has octets to be read would reset the connection, and the refusal would be lost."""
PING = b"\r\n\r\n"
PONG = b"\r\n"


class StreamOwner(Protocol):
    """Who a connection works for."""

    def connection_opened(self, connection: StreamConnection) -> bool:
        """Take a connection, or refuse it: then it is cut off."""

    def message_received(self, connection: StreamConnection, data: bytes) -> None:
        """Take a message."""

    def flush(self) -> None:
        """Send what the messages so far brought about."""

    def connection_closed(self, connection: StreamConnection) -> None:
        """Learn that a connection is gone; comes once for each that was opened."""


class StreamConnection(asyncio.Protocol):
    """A connection that we took (``listener`` above 0 in ``peer``) or opened."""

    def __init__(
        self,
        owner: StreamOwner,
        peer: Address,
        *,
        tls: ssl.SSLContext | None = None,
        websocket: WebSocketLayer | None = None,
    ) -> None:
        self.peer = peer
        "Where messages come from; of a connection that we took host and port are known once it is opened."
        self.targets: set[Address] = set()
        "The addresses of requests that went here because it was the connection to them."
        self.error = ""
        "Why it ended, for the log; nothing that the peer sent."
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._context = tls
        self._tls: TlsLayer | None = None
        self._websocket = websocket
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._is_owned = False
        self._is_established = False
        self._is_ending = False
        self._has_spoken = False
        self._answers_pings = False
        self._opened_at = self._heard_at = self._loop.time()
        self._message_at: float | None = None
        self._pinged_at: float | None = None
        self._next_ping_at: float | None = None
        self._linger_until: float | None = None
        self._items: deque[Framed] = deque()
        "What came and was not taken yet."
        self._is_paused = False
        self._works_soon = False
        self._choked_at: float | None = None
        self._waiting: list[bytes] = []
        self._unsent = 0
        self.ready: asyncio.Future[bool] = self._loop.create_future()
        "True once established, False when it ended before."
        self.closed: asyncio.Future[None] = self._loop.create_future()

    # -- asyncio's callbacks -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and begin the handshake (asyncio's callback)."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        if self.peer.listener:
            name = transport.get_extra_info("peername")
            if not name:  # the peer was gone before we looked
                self._transport.abort()
                return
            self.peer = self.peer._replace(host=name[0], port=name[1])
        if self._is_ending or not self._owner.connection_opened(self):
            self._transport.abort()
            return
        self._is_owned = True
        sock = transport.get_extra_info("socket")
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_S * 1000)
        with _Guard(self):
            if self._context is not None:
                host = "" if self.peer.listener else (self.peer.name or self.peer.host)
                self._tls = TlsLayer(self._context, server_side=bool(self.peer.listener), host=host)
            self._advance()

    def data_received(self, data: bytes) -> None:
        """Take octets (asyncio's callback)."""
        if self._is_ending:
            return
        with _Guard(self):
            self._receive(data)

    def eof_received(self) -> bool | None:
        """Close when the peer sends no more (asyncio's callback)."""
        if not self._is_ending:
            self._owner.flush()  # who asks and closes still reads the answers
            if self._transport is not None:
                self.close("the peer closed")
        return False

    def pause_writing(self) -> None:
        """Take nothing more from a peer that does not read (asyncio's callback)."""
        self._choked_at = self._loop.time()

    def resume_writing(self) -> None:
        """Go on (asyncio's callback)."""
        self._choked_at = None
        if self._items:
            self._work_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner (asyncio's callback)."""
        self._end(f"the connection broke: {exc.strerror}" if isinstance(exc, OSError) else "the peer closed")
        if not self.closed.done():
            self.closed.set_result(None)
        if self._is_owned:
            self._is_owned = False
            self._owner.connection_closed(self)

    # -- for the owner -------------------------------------------------------------------------------------------

    @property
    def is_usable(self) -> bool:
        """Whether what is sent may still arrive."""
        return not self._is_ending

    @property
    def peer_names(self) -> tuple[str, ...]:
        """Names in the peer's verified certificate; none without one."""
        return self._tls.peer_names if self._tls is not None else ()

    def send(self, data: bytes) -> bool:
        """Send a message, once the handshakes are over; False when it cannot be, and the connection ends."""
        if self._is_ending:
            return False
        if not self._is_established:
            self._unsent += len(data)
            if self._unsent > MAX_UNSENT:
                self.abort("too much waits for the handshake")
                return False
            self._waiting.append(data)
            return True
        with _Guard(self):
            self._write(data)
        return not self._is_ending

    def tend(self, now: float, *, idle_s: float, ping_s: float | None) -> None:
        """Look at the clock: end what takes too long, ping when it is time (``ping_s`` None: never)."""
        if self._linger_until is not None:
            if now >= self._linger_until and self._transport is not None:
                self._transport.abort()
            return
        if self._is_ending:
            return
        is_late = self._message_at is not None and now - self._message_at >= MESSAGE_S
        if not self._is_established and self.peer.listener and now - self._opened_at >= HANDSHAKE_S:
            self.abort("the handshake takes too long")
        elif is_late or (not self._has_spoken and self.peer.listener and now - self._opened_at >= MESSAGE_S):
            self.abort("a message takes too long")
        elif self._choked_at is not None and now - self._choked_at >= UNREAD_S:
            self.abort("the peer does not read")
        elif now - self._heard_at >= idle_s:
            self.close("it is idle")
        elif self._pinged_at is not None and now - self._pinged_at >= PONG_S:
            self._pinged_at = None
            # Many do not know these pings and only ignore them; who answered once and no more is gone.
            if self._answers_pings and now - self._heard_at >= PONG_S:
                self.abort("a ping was not answered")
        elif self._is_established and ping_s is not None and self._pings(ping_s):
            self._ping(now, ping_s)

    def close(self, reason: str) -> None:
        """End the connection in good order; what was sent leaves first."""
        if self._is_ending:
            return
        self._end(reason)
        self._linger_until = self._loop.time() + LINGER_S  # a peer that does not read would keep it for ever
        assert self._transport is not None
        with suppress(ssl.SSLError):
            if self._websocket is not None and self._is_established:
                self._websocket.close()
                self._pump()
            if self._tls is not None and self._tls.is_established:
                self._tls.close()
            self._pump()
        self._transport.close()

    def abort(self, reason: str) -> None:
        """End the connection at once; what was not sent yet is lost."""
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    # -- inside --------------------------------------------------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        if self._tls is not None:
            data = self._tls.receive(data)
        items: list[Framed] = []
        if self._websocket is None:
            items = self._framer.receive(data) if data else []
            within = self._framer.is_within_message
        else:
            if data:
                items += [_keepalive(message) or message for message in self._websocket.receive(data)]
            within = self._websocket.is_within_message
        if not within:
            self._message_at = None
        elif items or self._message_at is None:
            self._message_at = self._heard_at
        self._advance()
        self._items += items
        self._work()

    def _work(self) -> None:
        """Take a burst of what came; read on when nothing is left of it."""
        octets = 0
        for _ in range(BURST):
            if not self._items or self._choked_at is not None or octets > BURST_OCTETS or self._is_ending:
                break
            item = self._items.popleft()
            octets += len(item) if isinstance(item, bytes) else 0
            self._take(item)
        if self._is_ending:
            self._items.clear()
            return
        self._pause(bool(self._items))
        if self._items:
            if self._choked_at is None:
                self._work_soon()
        elif self._tls is not None and self._tls.is_over:
            self._owner.flush()
            self.close("the peer closed")
        elif self._websocket is not None and self._websocket.is_over:
            self._pump()
            self._linger("the WebSocket is closed")

    def _work_soon(self) -> None:
        if not self._works_soon:
            self._works_soon = True
            self._loop.call_soon(self._on_turn)

    def _on_turn(self) -> None:
        self._works_soon = False
        if not self._is_ending:
            with _Guard(self):
                self._work()

    def _pause(self, wanted: bool) -> None:
        if wanted == self._is_paused or self._transport is None or self._transport.is_closing():
            return
        self._is_paused = wanted
        if wanted:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _take(self, item: Framed) -> None:
        if isinstance(item, bytes):
            self._has_spoken = True
            self._owner.message_received(self, item)
        elif item is KeepAlive.PING:
            self._has_spoken = True
            self._write(PONG)
        elif item is KeepAlive.PONG:
            self._pinged_at, self._answers_pings = None, True
        elif isinstance(item, FramingError):
            self._owner.flush()  # the answers to what came before
            answer = refusal(item, self.peer)
            if answer is None:
                self.close(item.reason)
                return
            self._write(answer)
            self._linger(item.reason)

    def _advance(self) -> None:
        """Send what the layers have to say; once they are through, what waited for it."""
        self._pump()
        if self._is_established or self._is_ending:
            return
        if self._tls is not None and not self._tls.is_established:
            return
        if self._websocket is not None and not self._websocket.is_established:
            return
        self._is_established = True
        if not self.ready.done():
            self.ready.set_result(True)
        waiting, self._waiting, self._unsent = self._waiting, [], 0
        for data in waiting:
            self._write(data)

    def _write(self, data: bytes) -> None:
        if self._websocket is not None:
            self._websocket.send(data)
        elif self._tls is not None:
            self._tls.send(data)
        else:
            self._put(data)
            return
        self._pump()

    def _pump(self) -> None:
        if self._websocket is not None:
            data = self._websocket.data_to_send()
            if self._tls is None:
                self._put(data)
            elif data:
                self._tls.send(data)
        if self._tls is not None:
            self._put(self._tls.data_to_send())

    def _put(self, data: bytes) -> None:
        assert self._transport is not None
        if not data or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_UNSENT:
            self.abort("the peer does not read")

    def _ping(self, now: float, ping_s: float) -> None:
        wait_s = ping_s * random.uniform(0.8, 1.0)  # RFC 5626 §4.4.1: not all connections at once
        if self._next_ping_at is None:
            self._next_ping_at = now + wait_s
        elif now >= self._next_ping_at and self._pinged_at is None:
            self._next_ping_at, self._pinged_at = now + wait_s, now
            self._framer.expect_pong()
            with _Guard(self):
                self._write(PING)

    def _pings(self, ping_s: float | None) -> bool:
        return ping_s is not None and not self.peer.listener and self._websocket is None

    def _linger(self, reason: str) -> None:
        """Send no more, let the peer read what it was sent, and close when it does."""
        if self._is_ending:
            return
        self._end(reason)
        self._linger_until = self._loop.time() + LINGER_S
        self._pause(False)
        assert self._transport is not None
        if self._tls is not None:
            self._tls.close()
            self._put(self._tls.data_to_send())
        with suppress(OSError):
            self._transport.write_eof()

    def _end(self, reason: str) -> None:
        if self._is_ending:
            return
        self._is_ending = True
        self.error = reason
        if not self.ready.done():
            self.ready.set_result(False)


class _Guard:
    """Ends a connection whose octets cannot be handled; the log gets the place, never the content."""

    def __init__(self, connection: StreamConnection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        """End the connection when something was raised."""
        connection = self._connection
        if not isinstance(error, Exception):
            return False
        if isinstance(error, ssl.SSLError):
            reason = getattr(error, "verify_message", "") or error.reason or "it failed"
            with suppress(ssl.SSLError):
                connection._pump()  # the alert
            connection.close(f"TLS: {reason}")
            return True
        log.error(
            "a connection is dropped: its octets could not be handled",
            extra=fields(transport=connection.peer.transport, error=where_it_failed(error)),
        )
        connection.abort("internal error")
        return True


def where_it_failed(error: BaseException) -> str:
    """Return kind and place of an error for a log: its text could repeat what a peer sent."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}"


def _keepalive(message: bytes) -> KeepAlive | None:
    """Return what a WebSocket message of line ends alone means (RFC 7118 §6)."""
    if message == PING:
        return KeepAlive.PING
    return KeepAlive.PONG if message == PONG else None
