"""A proxy that leads the vendors' SDKs here without a change of their code (`dialects.md` §8).

``HTTPS_PROXY=http://ENGINE:PORT`` makes a client ask for a tunnel to its vendor's host (CONNECT, RFC 9110 §9.3.6); the
tunnel ends at the engine's own HTTPS listener, whose certificate must name that host (``paytone cert``). It ends
nowhere else: whatever other host is asked for is refused, so that this is no open proxy, and plain requests are not
forwarded. What flows through is TLS and not looked at.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
from contextlib import suppress

from engine.api.server import listen_on
from engine.log import fields

__all__ = ("ConnectProxy", "is_vendor", "tunnel_target")

log = logging.getLogger("engine.api.proxy")

HOSTS = re.compile(r"(?:[a-z0-9-]{1,63}\.){0,4}(?:twilio|signalwire|nexmo|vonage)\.com")
"Hosts of vendors whose interface is served here."
MAX_REQUEST = 8192
"Bytes of a request with its headers."
REQUEST_S = 10.0
IDLE_S = 300.0
"How long a tunnel may carry nothing in either direction."
MAX_TUNNELS = 256
LINGER_S = 1.0
BLOCK = 65536
_CONNECT = re.compile(rb"CONNECT ([!-~]{1,300}) HTTP/1\.[01]\r\n")


def is_vendor(host: str) -> bool:
    """Return whether a host name is one that is answered here."""
    return HOSTS.fullmatch(host.lower()) is not None


def tunnel_target(head: bytes) -> tuple[str, int]:
    """Return host and port that a request asks a tunnel to; raise ``ValueError`` when it is no CONNECT."""
    match = _CONNECT.match(head)
    if match is None:
        raise ValueError("no CONNECT")
    host, colon, port = match[1].decode("ascii").rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port):
        raise ValueError("no HOST:PORT")
    return host, int(port)


class ConnectProxy:
    """Listens at ``[api] proxy_listen``. Made by ``await ConnectProxy.start(...)``, given back by ``await stop()``."""

    def __init__(self, target: tuple[str, int]) -> None:
        host, port = target
        # A wildcard is where to listen, not where to connect to.
        self._target = ({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)
        self._tunnels: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.address: tuple[str, int]

    @classmethod
    async def start(cls, listen: str, target: tuple[str, int]) -> ConnectProxy:
        """Listen and lead to ``target``, the HTTPS listener; raise ``ConfigError`` when the address is no good."""
        proxy = cls(target)
        sock = listen_on(listen, "api.proxy_listen")
        host, port = sock.getsockname()[:2]
        proxy.address = (host, port)
        proxy._server = await asyncio.start_server(proxy._accept, sock=sock, limit=MAX_REQUEST)
        log.info("leading vendors' clients here", extra=fields(proxy=proxy.address, to=proxy._target))
        return proxy

    async def stop(self) -> None:
        """Take no more, and close the tunnels."""
        self._server.close()
        for task in self._tunnels:
            task.cancel()
        await asyncio.gather(*self._tunnels, return_exceptions=True)

    @property
    def n_tunnels(self) -> int:
        """How many connections there are."""
        return len(self._tunnels)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tunnels.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client, or our own listener, is gone: the tunnel with it
        except asyncio.CancelledError:
            pass  # of `stop`; the task belongs to the stream server, which would log it
        finally:
            self._tunnels.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tunnels) > MAX_TUNNELS:
            await _refuse(reader, writer, "503 Service Unavailable", "too many tunnels are open")
            return
        peer = writer.get_extra_info("peername")
        if not _is_near(peer[0] if peer else ""):
            await _refuse(reader, writer, "403 Forbidden", "only clients of own networks are led anywhere")
            return
        try:
            async with asyncio.timeout(REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            await _refuse(reader, writer, "431 Request Header Fields Too Large", "the request is too large")
            return
        try:
            host, port = tunnel_target(head)
        except ValueError:
            await _refuse(
                reader, writer, "405 Method Not Allowed", "only CONNECT HOST:443 is answered here", "Allow: CONNECT\r\n"
            )
            return
        if port != 443 or not is_vendor(host):
            log.info("a tunnel is refused: it leads elsewhere")
            await _refuse(
                reader,
                writer,
                "403 Forbidden",
                "paytone leads to its own interface only: port 443 of *.twilio.com, *.signalwire.com, *.nexmo.com and "
                "*.vonage.com",
            )
            return
        inner_reader, inner_writer = await asyncio.open_connection(*self._target)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _tunnel(reader, writer, inner_reader, inner_writer)
        finally:
            inner_writer.transport.abort()


async def _refuse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: str, why: str, header: str = ""
) -> None:
    body = f"{why}\n"
    writer.write(
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n{header}"
        f"Connection: close\r\n\r\n{body}".encode("ascii")
    )
    # What the client still sends is taken for a moment: a reset would take the answer from it.
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            await writer.drain()
            writer.write_eof()
            while await reader.read(BLOCK):
                pass


async def _tunnel(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    inner_reader: asyncio.StreamReader,
    inner_writer: asyncio.StreamWriter,
) -> None:
    """Carry octets both ways until either side has closed both, or nothing came for ``IDLE_S``."""
    loop = asyncio.get_running_loop()
    last = loop.time()

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        nonlocal last
        while block := await source.read(BLOCK):
            last = loop.time()
            sink.write(block)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()

    ways = [loop.create_task(carry(reader, inner_writer)), loop.create_task(carry(inner_reader, writer))]
    try:
        while True:
            done, waiting = await asyncio.wait(
                ways, timeout=max(0.1, last + IDLE_S - loop.time()), return_when=asyncio.FIRST_EXCEPTION
            )
            if not waiting or any(way.exception() for way in done) or loop.time() - last >= IDLE_S:
                return
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


def _is_near(host: str) -> bool:
    """Whether an address is of this machine or of a network that the world does not route to."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return not address.is_global
