"""The WebSocket of RELAY at ``/`` (RFC 6455; `dialects.md` §2.1), for the clients of ``engine.programs.relay.hub``.

Laws:

- Over TLS, or on a listener that only this machine reaches: a token must not cross a network in the clear (PCI DSS
  4.2.1). What is no upgrade is answered 426.
- Nobody waits for ever: the first frame has ``CONNECT_S``; a client that reads nothing for ``STALL_S``, or lets more
  than ``MAX_UNSENT`` wait, is dropped and may have its session restored.
- A source that showed wrong credentials too often is refused before its upgrade (`engine.api.auth`).
- No compression: it would let a few octets grow to many, and tell of a secret by a length.
- The contents of frames reach no log.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections import deque
from contextlib import suppress

from aiohttp import WSMsgType, hdrs, web

from engine.api.auth import SourceFailures
from engine.api.deps import ApiDeps
from engine.dialects.relay.frames import MAX_TEXT
from engine.log import fields
from engine.programs.relay.hub import ConnectionState, RelayConnection, RelayHub

__all__ = ("PATH", "RelayServer", "add_routes")

log = logging.getLogger("engine.api.relay")

PATH = "/"
CONNECT_S = 10.0
"How long ``signalwire.connect`` may take to come after the upgrade."
STALL_S = 20.0
"How long a client may read nothing while something waits for it."
CLOSE_S = 5.0
"How long a client may take to close when it was asked to."
MAX_UNSENT = 24 << 20
"Characters that may wait to be sent: more than the events of a restored session."
MAX_WAITING = 256
"Connections that have not shown right credentials."
AT_ONCE = 16
"Frames of one client that are taken, or sent, before the loop does something else."
AT_ONCE_CHARACTERS = 65_536
"Of such frames together."
UNSUPPORTED = 1003
POLICY = 1008
"Close codes of RFC 6455 §7.4.1."


class _Socket:
    """``RelayTransport`` over aiohttp: what is to be sent waits here for its turn."""

    def __init__(self, ws: web.WebSocketResponse, transport: asyncio.BaseTransport | None) -> None:
        self._ws = ws
        self._transport = transport
        self._texts: deque[str] = deque()
        self._size = 0
        self._closing: tuple[int, str] | None = None
        self._wake = asyncio.Event()

    def send(self, text: str) -> None:
        """Send a text, after those before it; drop the client when too much waits for it already."""
        if self._closing is not None:
            return
        self._texts.append(text)
        self._size += len(text)
        self._wake.set()
        if self._size > MAX_UNSENT:
            self.drop("too much waits to be sent")

    def close(self, code: int, reason: str) -> None:
        """Close when everything has been sent."""
        if self._closing is None:
            self._closing = (code, reason)
            self._wake.set()

    def drop(self, why: str) -> None:
        """Close at once."""
        log.warning("a RELAY connection is dropped: %s", why)
        self._closing = self._closing or (POLICY, why)
        self._texts.clear()
        self._size = 0
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()

    async def write(self) -> None:
        """Send what is to be sent, until it is to be closed; give up on a client that does not read."""
        n = 0
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                async with asyncio.timeout(None) as patience:
                    while self._texts:
                        patience.reschedule(asyncio.get_running_loop().time() + STALL_S)
                        text = self._texts.popleft()
                        self._size -= len(text)
                        await self._ws.send_str(text)
                        n += 1
                        if n % AT_ONCE == 0:
                            await asyncio.sleep(0)
                if self._closing is not None:
                    code, reason = self._closing
                    await self._ws.close(code=code, message=reason.encode())
                    return
        except TimeoutError:
            self.drop("it does not read")
        except (ConnectionError, RuntimeError):
            pass  # it is gone, which the reader hears too


class RelayServer:
    """Serves one hub."""

    def __init__(self, hub: RelayHub) -> None:
        self._hub = hub
        self._failures = SourceFailures()
        self._n_open = 0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer ``GET /``: a WebSocket for as long as it lasts; raise ``ApiError`` (429) for a source that guesses."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        source = request.remote or ""
        self._failures.check(source, asyncio.get_running_loop().time())
        ws = web.WebSocketResponse(timeout=CLOSE_S, compress=False, max_msg_size=MAX_TEXT)
        if not ws.can_prepare(request):
            return web.Response(status=400, text="the WebSocket handshake is not valid\n")
        self._n_open += 1
        try:
            await ws.prepare(request)
            return await self._serve(ws, request, source)
        finally:
            self._n_open -= 1

    async def _serve(self, ws: web.WebSocketResponse, request: web.Request, source: str) -> web.StreamResponse:
        socket = _Socket(ws, request.transport)
        connection = self._hub.open(socket, source)
        writer = asyncio.get_running_loop().create_task(socket.write())
        try:
            await self._read(ws, socket, connection, source)
        except ConnectionError:
            pass  # gone without a farewell
        finally:
            connection.lost()
            socket.close(POLICY, "")
            await _finish(writer)
        return ws

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get(hdrs.UPGRADE, "").strip().lower() != "websocket":
            return web.Response(
                status=426,
                text="RELAY clients connect here by WebSocket\n",
                headers={hdrs.UPGRADE: "websocket", hdrs.CONNECTION: "Upgrade"},
            )
        if not _is_private(request.transport):
            return web.Response(status=403, text="RELAY is served over TLS: connect to [api] tls_listen\n")
        if self._n_open - self._hub.n_clients >= MAX_WAITING:
            log.warning("a RELAY connection is refused: too many wait", extra=fields(source=request.remote))
            return web.Response(status=503, text="too many connections wait\n", headers={hdrs.RETRY_AFTER: "5"})
        return None

    async def _read(self, ws: web.WebSocketResponse, socket: _Socket, connection: RelayConnection, source: str) -> None:
        """Take frames until either side closes."""
        try:
            async with asyncio.timeout(CONNECT_S):
                message = await ws.receive()
        except TimeoutError:
            socket.close(POLICY, "signalwire.connect did not come")
            return
        now = asyncio.get_running_loop().time
        if self._failures.is_shut_out(source, now()):  # many may have been opened before the first was found wrong
            socket.close(POLICY, "too many wrong credentials")
            return
        n = taken = 0
        while True:
            if message.type is WSMsgType.BINARY:
                socket.close(UNSUPPORTED, "only text is taken")
                return
            if message.type is not WSMsgType.TEXT:
                return  # closed, or an error of the protocol for which it has been
            connection.received(message.data)
            if n == 0 and connection.state is ConnectionState.WRONG:
                self._failures.hold_against(source, now())
            elif n == 0 and connection.state is ConnectionState.OPEN:
                self._failures.clear(source)
            if connection.state is not ConnectionState.OPEN:
                return
            n += 1
            taken += len(message.data)
            if n % AT_ONCE == 0 or taken >= AT_ONCE_CHARACTERS:
                taken = 0
                await asyncio.sleep(0)
            message = await ws.receive()


async def _finish(writer: asyncio.Task[None]) -> None:
    """Let a writer send the last frames and close; never longer than it may take."""
    with suppress(TimeoutError):
        async with asyncio.timeout(STALL_S + CLOSE_S):
            await writer


def _is_private(transport: asyncio.BaseTransport | None) -> bool:
    """Whether a connection is encrypted, or came to an address of loopback."""
    if transport is None:
        return False
    if transport.get_extra_info("sslcontext") is not None:
        return True
    name = transport.get_extra_info("sockname")
    try:
        return ipaddress.ip_address(name[0].partition("%")[0]).is_loopback
    except (TypeError, ValueError, AttributeError, IndexError):
        return False


def add_routes(app: web.Application, _deps: ApiDeps, *, hub: RelayHub) -> None:
    """Add ``GET /``; bind ``hub`` with ``functools.partial`` (`engine.api.deps`)."""
    app.router.add_get(PATH, RelayServer(hub).serve, allow_head=False)
