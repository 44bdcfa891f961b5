"""A strict payment gateway on loopback, for tests: speaks the SignalWire wire and misbehaves by script.

Strict: whatever is not byte for byte as `dialects.md` §7.1 has it is refused with status 400 and listed in
``violations``. Idempotent: a transaction id is booked once, and a repeat gets the first answer. The script gives one
step per request, in order; when it is used up every request is answered properly. Steps:

* ``ok``, ``decline:CODE``: answered properly; ``no_id``: status 200 without an id
* ``status:N``, ``status:N:BODY``: this status, nothing booked
* ``http_500``, ``reset_before``, ``close``: nothing booked, and no proper answer
* ``http_500_after``, ``reset_after``, ``truncated``, ``oversized``, ``drip``: booked, and no proper answer
* ``silence``: booked, no answer until the client goes; ``hold``: booked, answered after ``release()``
* ``stolen_repeat``: refused as a duplicate
* ``head_flood``, ``informational_flood``: headers or 1xx answers without end
* ``raw:BYTES``: sent as they are (latin-1), then closed
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import h11

__all__ = ("BODY_KEYS", "TLS_FILES", "FakeGateway", "Received", "server_tls")

TLS_FILES = Path(__file__).parents[1] / "vectors" / "tls"
BODY_KEYS = (
    "transaction_id",
    "method",
    "cardnumber",
    "cvv",
    "postal_code",
    "description",
    "chargeAmount",
    "token_type",
    "expiry_month",
    "expiry_year",
    "currency_code",
)
DECLINED_NUMBERS = {
    "4000000000000002": "generic_decline",
    "4000000000009995": "insufficient_funds",
    "4000000000000069": "expired_card",
    "4000000000000127": "incorrect_cvc",
    "4000000000000119": "processing_error",
}


def server_tls() -> ssl.SSLContext:
    """Return a server's context with the test certificate for localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS_FILES / "localhost.pem", TLS_FILES / "localhost.key")
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = field(repr=False)


class FakeGateway:
    """The gateway; use as ``async with FakeGateway() as gateway``."""

    def __init__(self, script: Iterable[str] = (), *, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.requests: list[Received] = []
        self.violations: list[str] = []
        self.booked: dict[str, dict[str, Any]] = {}
        "Transaction id to the answer that it got."
        self.times_booked: dict[str, int] = {}
        "How often a charge was really carried out: 1 for each id, or money was taken twice."
        self.received = asyncio.Event()
        self._script = deque(script)
        self._tls = tls
        self._port = port
        self._release = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._answered: dict[str, tuple[int, dict[str, Any]]] = {}

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
    def url(self) -> str:
        """Where payments go."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}/pay"

    def release(self) -> None:
        """Answer the requests that are held."""
        self._release.set()

    def add(self, *steps: str) -> None:
        """Add steps to the script."""
        self._script.extend(steps)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()
            with contextlib.suppress(Exception):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER)
        received = await self._read(http, reader)
        if received is None:
            return
        self.requests.append(received)
        self.received.set()
        step, _, argument = (self._script.popleft() if self._script else "ok").partition(":")
        await getattr(self, f"_do_{step}")(http, reader, writer, received, argument)

    async def _read(self, http: h11.Connection, reader: asyncio.StreamReader) -> Received | None:
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
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
                return Received(method=head.method.decode(), target=head.target.decode(), headers=headers, body=body)
            else:
                return None

    # -- steps ---------------------------------------------------------------------------------------------------

    async def _do_ok(
        self, http: h11.Connection, _: object, writer: asyncio.StreamWriter, received: Received, code: str
    ) -> None:
        status, answer = self._book(received, code)
        await self._answer(http, writer, status, json.dumps(answer).encode())

    _do_decline = _do_ok

    async def _do_status(
        self, http: h11.Connection, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        status, _, body = argument.partition(":")
        await self._answer(http, writer, int(status), body.encode())

    async def _do_no_id(
        self, http: h11.Connection, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        await self._answer(http, writer, 200, b'{"charge_id":null,"error_code":null,"error_message":null}')

    async def _do_http_500(
        self, http: h11.Connection, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        await self._answer(http, writer, 500, b"oops")

    async def _do_http_500_after(
        self, http: h11.Connection, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        self._book(received, "")
        await self._answer(http, writer, 500, b"oops")

    async def _do_stolen_repeat(
        self, http: h11.Connection, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        answer = {"charge_id": None, "error_code": "duplicate_transaction", "error_message": "seen before"}
        await self._answer(http, writer, 400, json.dumps(answer).encode())

    async def _do_reset_before(
        self, http: object, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        _reset(writer)

    async def _do_reset_after(
        self, http: object, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        self._book(received, "")
        _reset(writer)

    async def _do_close(self, *_: object) -> None:
        return

    async def _do_silence(
        self, http: object, reader: asyncio.StreamReader, _: object, received: Received, argument: str
    ) -> None:
        self._book(received, "")
        await reader.read()

    async def _do_hold(
        self, http: h11.Connection, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        status, answer = self._book(received, "")
        await self._release.wait()
        await self._answer(http, writer, status, json.dumps(answer).encode())

    async def _do_raw(
        self, http: object, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        writer.write(argument.encode("latin-1"))
        await writer.drain()
        writer.write_eof() if writer.can_write_eof() else writer.close()
        await asyncio.sleep(0)

    async def _do_head_flood(
        self, http: object, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Filler: " + b"x" * 1000 + b"\r\n")
            await writer.drain()

    async def _do_informational_flood(
        self, http: object, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        while True:
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await writer.drain()

    async def _do_drip(
        self,
        http: object,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        received: Received,
        argument: str,
    ) -> None:
        self._book(received, "")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.005)  # what is tested is that the client's limit counts in all

    async def _do_oversized(
        self, http: object, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        self._book(received, "")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b" " * 0x1000 + b"\r\n")
            await writer.drain()

    async def _do_truncated(
        self, http: object, _: object, writer: asyncio.StreamWriter, received: Received, argument: str
    ) -> None:
        self._book(received, "")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"charge_id":')
        await writer.drain()
        writer.write_eof()
        await asyncio.sleep(0)

    # -- books ---------------------------------------------------------------------------------------------------

    def _book(self, received: Received, code: str) -> tuple[int, dict[str, Any]]:
        problem, members = _violation(received)
        if problem:
            self.violations.append(problem)
            return 400, {"charge_id": None, "error_code": "bad_request", "error_message": problem}
        transaction_id = members["transaction_id"]
        if known := self._answered.get(transaction_id):
            return known
        code = code or DECLINED_NUMBERS.get(members["cardnumber"], "")
        tokenizes = members["chargeAmount"] == "0"
        answer: dict[str, Any] = {"token_id" if tokenizes else "charge_id": None}
        if code:
            answer |= {"error_code": code, "error_message": "declined"}
        else:
            self.times_booked[transaction_id] = self.times_booked.get(transaction_id, 0) + 1
            identity = f"{'tok' if tokenizes else 'ch'}_{len(self.booked) + 1}"
            answer = {next(iter(answer)): identity, "error_code": None, "error_message": None}
        self.booked[transaction_id] = answer
        self._answered[transaction_id] = (402 if code else 200, answer)
        return self._answered[transaction_id]

    async def _answer(self, http: h11.Connection, writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
        if 300 <= status < 400:
            headers.append(("Location", "/elsewhere"))
        for event in (
            h11.Response(status_code=status, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            writer.write(http.send(event) or b"")
        await writer.drain()


def _violation(received: Received) -> tuple[str, dict[str, Any]]:
    """Return what is wrong with a request (empty: nothing), and its members."""
    if received.method != "POST":
        return "not a POST", {}
    if received.headers.get("content-type") != "application/json":
        return "content type", {}
    if "transfer-encoding" in received.headers or received.headers.get("connection") != "close":
        return "framing", {}
    try:
        members = json.loads(received.body)
    except ValueError:
        return "not JSON", {}
    if not isinstance(members, dict):
        return "no object", {}
    if json.dumps(members, separators=(",", ":")).encode() != received.body:
        return "not compact ASCII JSON", {}
    keys = tuple(members)
    if keys not in (BODY_KEYS, (*BODY_KEYS, "parameters")):
        return "members or their order", {}
    if not all(isinstance(members[key], str) for key in BODY_KEYS) or members.get("parameters") == {}:
        return "types of members", {}
    if not (members["cardnumber"].isdigit() and 12 <= len(members["cardnumber"]) <= 19):
        return "card number", {}
    if not all(len(members[key]) == 2 and members[key].isdigit() for key in ("expiry_month", "expiry_year")):
        return "expiry", {}
    return "", members


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
