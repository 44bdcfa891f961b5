"""A whole engine on every transport of its configuration."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from sip.message import Request
from tests.support.engine import DEFAULT_TOML, free_udp_port, running_engine
from tests.support.sip_peer import Caller
from tests.support.sip_sockets import Certificates, Datagrams, Stream, options

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.asyncio]


async def test_an_engine_answers_on_udp_tcp_tls_and_websocket(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    certificate, key = certificates.issue("engine", "localhost")
    port, tls_port, ws_port = free_udp_port(), free_udp_port(), free_udp_port()
    toml = DEFAULT_TOML + (
        f'[sip]\nlisten = ["127.0.0.1:{port}", "tls:127.0.0.1:{tls_port}", "ws:127.0.0.1:{ws_port}"]\n'
        f'[sip.tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
    )
    async with running_engine(toml, directory=tmp_path / "engine"), asyncio.timeout(30), Datagrams.open() as peer:
        peer.send(options(via=f"UDP 127.0.0.1:{peer.port}"), port)
        assert (await peer.queue.get()).startswith(b"SIP/2.0 200 ")
        tcp = await Stream.to(port)
        assert (await tcp.ask()).status == 200
        await tcp.close()
        async with connect(f"ws://127.0.0.1:{ws_port}/", subprotocols=[Subprotocol("sip")], proxy=None) as socket:
            await socket.send(options(via="WS peer.invalid"))
            assert (await socket.recv(decode=False)).startswith(b"SIP/2.0 200 ")

        tls = await Stream.to(tls_port, tls=certificates.client())
        caller = Caller()

        def send(message: Request) -> None:
            message.headers.set("Via", f"SIP/2.0/TLS 127.0.0.1:5061;branch={message.via.branch}")
            message.headers.set("Contact", "<sip:alice@127.0.0.1:5061;transport=tls>")
            tls.writer.write(message.serialize())

        send(caller.invite())
        answer = await tls.response()
        while answer.status < 200:
            answer = await tls.response()
        assert answer.status == 200
        assert f":{tls_port};transport=tls" in (answer.headers.get("Contact") or "")
        caller.to_tag = answer.to.tag
        send(caller.ack())
        send(caller.bye())
        ended = await tls.response()
        assert (ended.status, ended.cseq.method) == (200, "BYE")
        await tls.close()
