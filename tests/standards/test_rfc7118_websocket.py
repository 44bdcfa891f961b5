"""RFC 7118 (SIP over WebSocket), against the client of the library."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from engine.net.tls import TlsFiles
from sip.address import Transport
from sip.events import InviteReceived, SessionConfirmed
from sip.message import Request, Response
from sip.parser import MAX_MESSAGE, parse_message
from tests.support.sip_pair import BOB, answer_of
from tests.support.sip_peer import Caller
from tests.support.sip_sockets import LOOPS, Certificates, Sockets, Stream, listening, options, run

both_loops = pytest.mark.parametrize("loop", LOOPS)
SIP = Subprotocol("sip")


def browser(
    sockets: Sockets, *, subprotocols: Sequence[Subprotocol] | None = (SIP,), origin: str | None = None, **more: Any
) -> connect:
    scheme, transport = ("wss", Transport.WSS) if "ssl" in more else ("ws", Transport.WS)
    return connect(
        f"{scheme}://localhost:{sockets.port(transport)}/",
        subprotocols=subprotocols,
        origin=Origin(origin) if origin else None,
        proxy=None,
        host="127.0.0.1",
        **more,
    )


async def ask(socket: ClientConnection, message: str | bytes, *, text: bool | None = None) -> Response:
    await socket.send(message)
    answer = await socket.recv(decode=False)
    response = parse_message(answer)
    assert isinstance(response, Response)
    return response


def over_ws(branch: str = "z9hG4bK1", length: str = "") -> bytes:
    return options(via="WS df7jal23ls0d.invalid", branch=branch, length=length)


@both_loops
def test_requests_come_in_text_or_binary_and_are_answered_on_their_connection(loop: str) -> None:
    async def test() -> None:
        async with listening("ws:127.0.0.1:0") as sockets, browser(sockets) as socket:
            assert socket.subprotocol == "sip"
            response = await ask(socket, over_ws().decode())
            assert (response.status, response.via.transport, response.via.received) == (200, "WS", "127.0.0.1")
            assert (await ask(socket, over_ws("z9hG4bK2"))).via.branch == "z9hG4bK2"

    run(loop, test)


@both_loops
def test_a_message_needs_no_content_length(loop: str) -> None:
    async def test() -> None:
        async with listening("ws:127.0.0.1:0") as sockets, browser(sockets) as socket:
            assert (await ask(socket, over_ws(length=""))).status == 200
            assert (await ask(socket, over_ws(length="Content-Length: 0\r\n"))).status == 200

    run(loop, test)


def test_what_is_sent_is_text_for_browsers() -> None:
    async def test() -> None:
        async with listening("ws:127.0.0.1:0") as sockets, browser(sockets) as socket:
            await socket.send(over_ws())
            assert isinstance(await socket.recv(), str)

    run("asyncio", test)


@both_loops
def test_a_fragmented_message_is_one_message(loop: str) -> None:
    async def test() -> None:
        async with listening("ws:127.0.0.1:0") as sockets, browser(sockets) as socket:
            message = over_ws()
            await socket.send([b"", message[:1], b"", message[1:50], message[50:]])
            assert (await socket.recv(decode=False)).startswith(b"SIP/2.0 200 ")

    run(loop, test)


@both_loops
def test_the_subprotocol_sip_is_demanded(loop: str) -> None:
    async def test() -> None:
        async with listening("ws:127.0.0.1:0") as sockets:
            for subprotocols in (None, (Subprotocol("msrp"),)):
                with pytest.raises(InvalidStatus) as refused:
                    await browser(sockets, subprotocols=subprotocols)
                assert refused.value.response.status_code == 400
            while sockets.transports.connections:
                await asyncio.sleep(0)

    run(loop, test)


@both_loops
def test_only_pages_that_are_listed_may_connect_where_a_list_is_given(loop: str) -> None:
    async def test() -> None:
        async with listening("ws:127.0.0.1:0", origins=("https://pay.example.com",)) as sockets:
            async with browser(sockets, origin="https://pay.example.com") as socket:
                assert (await ask(socket, over_ws())).status == 200
            for origin in ("https://evil.example.com", "http://pay.example.com", None):
                with pytest.raises(InvalidStatus) as refused:
                    await browser(sockets, origin=origin)
                assert refused.value.response.status_code == 403

    run(loop, test)


@both_loops
def test_a_plain_http_request_gets_426_and_sip_without_websocket_is_closed(loop: str) -> None:
    async def test() -> None:
        async with listening("ws:127.0.0.1:0") as sockets:
            stream = await Stream.to(sockets.port(Transport.WS))
            stream.writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await stream.end()).startswith(b"HTTP/1.1 426 ")
            raw = await Stream.to(sockets.port(Transport.WS))
            raw.writer.write(options())
            assert b"SIP/2.0 200" not in await raw.end()
            assert sockets.endpoint.statistics.datagrams_in == 0

    run(loop, test)


@both_loops
def test_keepalives_of_both_kinds_are_answered(loop: str) -> None:
    async def test() -> None:
        async with listening("ws:127.0.0.1:0") as sockets, browser(sockets) as socket:
            await (await socket.ping())
            await socket.send("\r\n\r\n")
            assert await socket.recv() == "\r\n"

    run(loop, test)


@both_loops
def test_a_message_above_the_limit_closes_the_connection(loop: str) -> None:
    async def test() -> None:
        async with listening("ws:127.0.0.1:0") as sockets, browser(sockets) as socket:
            await socket.send(b"x" * (MAX_MESSAGE + 1))
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 1009

    run(loop, test)


@both_loops
def test_a_malformed_message_costs_nothing_but_itself(loop: str) -> None:
    async def test() -> None:
        async with listening("ws:127.0.0.1:0") as sockets, browser(sockets) as socket:
            await socket.send(b"\xff\xfe\0")
            await socket.send("hello")
            assert (await ask(socket, over_ws())).status == 200

    run(loop, test)


def test_frames_are_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with listening("ws:127.0.0.1:0") as sockets:
            stream = await Stream.to(sockets.port(Transport.WS))
            stream.writer.write(
                b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Protocol: sip\r\n\r\n"
            )
            assert (await stream.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            payload = b"4111111111111111"
            stream.writer.write(bytes([0x82, 0x80 | len(payload)]) + bytes(4) + payload + b"\xff\xff")
            await stream.end()
            assert sockets.endpoint.statistics.parse_errors == 1

    caplog.set_level("DEBUG")
    run("asyncio", test)
    assert "4111" not in caplog.text


@both_loops
def test_a_secure_websocket_is_taken(loop: str, tmp_path: Path) -> None:
    async def test() -> None:
        certificates = Certificates(tmp_path)
        certificate, key = certificates.issue("server", "localhost")
        async with (
            listening("wss:127.0.0.1:0", tls=TlsFiles(certificate=certificate, key=key)) as sockets,
            browser(sockets, ssl=certificates.client()) as socket,
        ):
            assert (await ask(socket, over_ws())).status == 200

    run(loop, test)


@both_loops
def test_a_whole_call_stays_on_its_connection(loop: str) -> None:
    async def test() -> None:
        async with listening("ws:127.0.0.1:0") as sockets, browser(sockets) as socket:
            caller = Caller()

            async def send(message: Request) -> None:
                message.headers.set("Via", f"SIP/2.0/WS df7jal23ls0d.invalid;branch={message.via.branch}")
                message.headers.set("Contact", "<sip:alice@df7jal23ls0d.invalid;transport=ws>")
                await socket.send(message.serialize())

            async def receive() -> Request | Response:
                return parse_message(await socket.recv(decode=False))

            await send(caller.invite())
            received: InviteReceived = await sockets.event(InviteReceived)
            assert received.offer is not None
            now = asyncio.get_running_loop().time
            sockets.endpoint.answer(received.session, answer_of(BOB, received.offer), now())
            sockets.transports.flush()
            answer = await receive()
            while isinstance(answer, Response) and answer.status < 200:
                answer = await receive()
            assert isinstance(answer, Response)
            assert answer.status == 200
            assert ";transport=ws" in (answer.headers.get("Contact") or "")
            caller.to_tag = answer.to.tag
            await send(caller.ack())
            await sockets.event(SessionConfirmed)
            sockets.endpoint.hang_up(received.session, now())
            sockets.transports.flush()
            bye = await receive()
            assert isinstance(bye, Request)
            assert (bye.method, bye.via.transport) == ("BYE", "WS")

    run(loop, test)
