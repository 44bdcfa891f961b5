"""An endpoint on real sockets of loopback, without an engine, and raw peers for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import trustme
import uvloop

from engine.config import split_listen
from engine.net.listen import BoundListener, bind_listeners
from engine.net.tls import TlsFiles
from engine.net.transports import ConnectionLimits, SipTransports
from sip.address import Address, Listener, Transport
from sip.endpoint import Endpoint, EndpointConfig
from sip.events import Event, SessionId
from sip.message import Request, Response
from sip.parser import parse_message
from sip.uri import NameAddr, Uri
from tests.support.sip_pair import offer_of
from tests.support.sources import OpenNetworks

__all__ = ("LOOPS", "Certificates", "Datagrams", "Server", "Sockets", "Stream", "listening", "options", "run")

WAIT_S = 10.0
LOOPS = ("asyncio", "uvloop")


def run(loop: str, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test on a loop of that kind, for a bounded time."""

    async def bounded() -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                await test()
        finally:
            opened, Stream.opened[:] = list(Stream.opened), []
            for stream in opened:
                with contextlib.suppress(AttributeError):  # CPython 3.11.2: of a TLS transport that is closed already
                    stream.writer.transport.abort()
            for _ in range(3):  # a transport is closed a turn of the loop after it was told to
                await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
        runner.run(bounded())


def options(
    *, via: str = "TCP 127.0.0.1:5060", branch: str = "z9hG4bK1", length: str = "Content-Length: 0\r\n"
) -> bytes:
    """Return an OPTIONS request, as a peer's octets."""
    return (
        "OPTIONS sip:pay@127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/{via};branch={branch};rport\r\n"
        "From: <sip:peer@127.0.0.1>;tag=1\r\n"
        "To: <sip:pay@127.0.0.1>\r\n"
        f"Call-ID: {branch}@127.0.0.1\r\n"
        "CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n"
        f"{length}\r\n"
    ).encode()


@dataclass
class Sockets:
    """The endpoint under test with its sockets."""

    endpoint: Endpoint
    transports: SipTransports
    listeners: list[BoundListener]
    events: list[Event]
    _news: asyncio.Event

    def port(self, transport: Transport) -> int:
        return next(one.port for one in self.listeners if one.transport is transport)

    def call(self, next_hop: Address, **headers: str) -> SessionId:
        """Call somebody; the octets of the INVITE leave at once."""
        session = self.endpoint.invite(
            Uri(user="peer", host="127.0.0.1"),
            next_hop=next_hop,
            from_=NameAddr(uri=Uri(user="pay", host="127.0.0.1")),
            offer=offer_of(Address("127.0.0.1", 5060)),
            now=asyncio.get_running_loop().time(),
            headers=tuple(headers.items()),
        )
        self.transports.flush()
        return session

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    async def event(self, kind: type[Any]) -> Any:
        """Wait for an event of that kind."""
        while not (found := [event for event in self.events if isinstance(event, kind)]):
            self._news.clear()
            await self._news.wait()
        return found[0]


class Certificates:
    """An authority of our own, and files for those it vouches for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.authorities = str(directory / "authorities.pem")
        self.authority.cert_pem.write_to_path(self.authorities)

    def issue(self, name: str, *identities: str, common_name: str | None = None) -> tuple[str, str]:
        """Write certificate and key for ``identities``; return their paths."""
        made = self.authority.issue_cert(*identities, common_name=common_name)
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        certificate.write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
        made.private_key_pem.write_to_path(str(key))
        return str(certificate), str(key)

    def client(self, certificate: tuple[str, str] | None = None) -> ssl.SSLContext:
        """Return a peer's context that trusts this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.authorities)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context


@asynccontextmanager
async def listening(
    *listen: str,
    tls: TlsFiles | None = None,
    limits: ConnectionLimits | None = None,
    origins: Sequence[str] = (),
    allow: Sequence[str] = ("127.0.0.0/8", "::1/128"),
) -> AsyncIterator[Sockets]:
    """Open an endpoint on ``listen``, such as ``tls:127.0.0.1:0``."""
    wanted = [address for text in listen or ("127.0.0.1:0",) for address in split_listen(text)]
    bound = bind_listeners(wanted, next_free=False)
    endpoint = Endpoint(
        EndpointConfig(
            listeners=tuple(Listener(id=one.id, transport=one.transport, host=one.host, port=one.port) for one in bound)
        ),
        entropy=os.urandom,
    )
    events: list[Event] = []
    sockets: Sockets | None = None

    def on_event(event: Event) -> None:
        assert sockets is not None
        sockets.on_event(event)

    transports = SipTransports(endpoint, OpenNetworks(allow), on_event, tls=tls, limits=limits, origins=origins)
    sockets = Sockets(endpoint, transports, bound, events, asyncio.Event())
    try:
        await transports.open(bound)
        yield sockets
    finally:
        await transports.close()
        for listener in bound:
            listener.close()


class Stream:
    """A peer's end of a connection; ``run`` closes what a test leaves open."""

    opened: ClassVar[list[Stream]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.opened.append(self)

    @classmethod
    async def to(
        cls, port: int, *, tls: ssl.SSLContext | None = None, name: str = "localhost", host: str = "127.0.0.1"
    ) -> Stream:
        reader, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=name if tls else None)
        return cls(reader, writer)

    async def message(self) -> Request | Response:
        """Wait for the next message."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        message = parse_message(head.replace(b"Content-Length", b"X-Length"))
        length = int(message.headers.get("X-Length") or 0)
        return parse_message(head + await self.reader.readexactly(length))

    async def response(self) -> Response:
        message = await self.message()
        assert isinstance(message, Response)
        return message

    async def request(self) -> Request:
        message = await self.message()
        assert isinstance(message, Request)
        return message

    async def ask(self, data: bytes | None = None) -> Response:
        """Send a request; return the answer."""
        self.writer.write(data or options())
        return await self.response()

    async def end(self) -> bytes:
        """Wait until the other side closes; return what came before."""
        try:
            return await self.reader.read()
        except (ConnectionError, ssl.SSLError):
            return b""

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (ConnectionError, ssl.SSLError):
            pass


class Server:
    """A peer that takes connections."""

    def __init__(self) -> None:
        self.taken: asyncio.Queue[Stream] = asyncio.Queue()
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Server]:
        self = cls()
        streams: list[Stream] = []

        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            stream = Stream(reader, writer)
            streams.append(stream)
            self.taken.put_nowait(stream)

        server = await asyncio.start_server(take, "127.0.0.1", port, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for stream in streams:
                await stream.close()

    def address(self, transport: Transport = Transport.TCP, name: str = "") -> Address:
        return Address("127.0.0.1", self.port, transport, name=name)


class Datagrams(asyncio.DatagramProtocol):
    """A peer's UDP socket."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.transport: asyncio.DatagramTransport

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[Datagrams]:
        transport, peer = await asyncio.get_running_loop().create_datagram_endpoint(cls, local_addr=(host, port))
        try:
            yield peer
        finally:
            transport.close()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.queue.put_nowait(data)

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])

    def send(self, data: bytes, port: int, host: str = "127.0.0.1") -> None:
        self.transport.sendto(data, (host, port))
