"""What the doubles of gateways share: an HTTP/1.1 server on loopback, one request a connection, and misbehaviour."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Self

import h11

__all__ = ("HttpDouble", "Received", "read_request", "reset", "send_forever")


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = field(repr=False)


class HttpDouble(ABC):
    """A server; use as ``async with``."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        self.received = asyncio.Event()
        "Set with the first whole request."
        self._tls = tls
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self._port}"

    @abstractmethod
    async def _serve(
        self, http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, received: Received
    ) -> None:
        """Answer one request, or not."""

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            http = h11.Connection(h11.SERVER)
            if (received := await read_request(http, reader)) is not None:
                self.received.set()
                await self._serve(http, reader, writer, received)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()
            with contextlib.suppress(Exception):
                await writer.wait_closed()


async def read_request(http: h11.Connection, reader: asyncio.StreamReader) -> Received | None:
    """Return the next request; None when the client goes before it is whole."""
    head, body = None, b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(65536)
            http.receive_data(data)
            if not data:
                return None
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
            return Received(method=head.method.decode(), target=head.target.decode(), headers=headers, body=body)
        else:
            return None


async def send_forever(writer: asyncio.StreamWriter, data: bytes, *, pause_s: float = 0.0) -> None:
    """Send the same without end, until the client is gone: which is only noticed when the loop gets its turn."""
    while True:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(pause_s)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
