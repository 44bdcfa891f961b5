"""The WebSocket of RELAY: who may connect, who is dropped, and that the rest of the interface stays closed."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from engine.api import auth
from engine.api.relay import server as module
from engine.api.relay.server import add_routes
from engine.api.twilio import accounts
from engine.config import Config, SignalWireConfig, parse
from engine.dialects.relay.frames import MAX_TEXT, request_text
from engine.errors import ConfigError
from engine.ledger import Ledger
from engine.programs.relay.hub import ClientSession, RelayHub
from engine.programs.relay.link import RelaySession
from tests.support.api import ACCOUNT_SID, ApiScene, api_scene, config_of
from tests.support.certificates import make_certificates

pytestmark = pytest.mark.asyncio

PROJECT = "project-1"
TOKEN = "PT-secret-of-the-project"
BARE = parse('[api]\nlisten = "127.0.0.1:0"\n[connector.sandbox]\ntype = "sandbox"\ndatabase = ":memory:"\n')
"Nothing of the REST interface."


def connect_text(token: str = TOKEN, **params: Any) -> str:
    """What a client sends first."""
    authentication = {"project": PROJECT, "token": token}
    params = {"version": {"major": 2}, "event_acks": True, "authentication": authentication, **params}
    return request_text("c", "signalwire.connect", params)


class Handler:
    """Answers every command."""

    def command(self, _session: RelaySession, method: str, _params: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"code": "200", "message": method}

    def session_over(self, _session: RelaySession) -> None:
        raise AssertionError("no session is over here")


class Hub(RelayHub):
    """A hub on the running loop that says when a client is gone."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        settings = SignalWireConfig(project=PROJECT, token_env="X")
        super().__init__(
            settings, TOKEN, now=loop.time, wall=lambda: 1.5, call_later=self._later, entropy=lambda n: bytes(range(n))
        )
        self.handler = Handler()
        self.gone = asyncio.Event()
        self.session: ClientSession | None = None

    def _later(self, _seconds: float, _work: Any, *_arguments: Any) -> None:
        """Let no timer outlive the test."""

    def lost(self, session: ClientSession) -> None:
        super().lost(session)
        self.session = session
        self.gone.set()


@asynccontextmanager
async def relay_scene(ledger: Ledger, config: Config = BARE, **scene: Any) -> AsyncIterator[tuple[ApiScene, Hub]]:
    """Serve RELAY and accounts."""
    hub = Hub()
    resources = [partial(add_routes, hub=hub), *scene.pop("resources", [])]
    async with api_scene(ledger, resources, config=config, public=["/"], **scene) as served:
        yield served, hub
        await hub.close()


@asynccontextmanager
async def client_of(scene: ApiScene, first: str | None = None) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Connect a client, and send its first frame if there is one."""
    async with scene.session.ws_connect(scene.url + "/", compress=15) as ws:
        if first is not None:
            await ws.send_str(first)
        yield ws


async def frame_of(ws: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    """Return the next frame."""
    frame = json.loads(await ws.receive_str(timeout=10))
    assert isinstance(frame, dict)
    return frame


async def closed(ws: aiohttp.ClientWebSocketResponse) -> int | None:
    """Return the code with which the server closes."""
    message = await ws.receive(timeout=10)
    assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    return ws.close_code


# -- who may connect


async def test_a_client_connects_and_commands(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with relay_scene(ledger) as (scene, hub), client_of(scene, connect_text(contexts=["a"])) as ws:
        assert (await frame_of(ws))["result"]["protocol"].startswith("signalwire_")
        assert ws.compress == 0, "compression would let a few octets grow to many"
        assert (await frame_of(ws))["params"]["event_type"] == "signalwire.authorization.state"
        for n in range(50):
            await ws.send_str(request_text(n, f"calling.m{n}", {}))
        assert [(await frame_of(ws))["result"]["message"] for _ in range(50)] == [f"calling.m{n}" for n in range(50)]
        session = hub.choose("a")
        assert session is not None
        session.tell("calling.call.state", {"call_id": "c"})
        assert (await frame_of(ws))["params"]["params"] == {"call_id": "c"}
    assert TOKEN not in caplog.text


async def test_a_client_connects_over_tls(ledger: Ledger, tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    tls = f'[api.tls]\ncertificate = "{files.certificate}"\nkey = "{files.key}"\n'
    config = config_of(tls)
    config = config.model_copy(update={"api": config.api.model_copy(update={"tls_listen": "127.0.0.1:0"})})
    async with relay_scene(ledger, config) as (scene, _):
        assert scene.server.https_address is not None
        url = f"wss://127.0.0.1:{scene.server.https_address[1]}/"
        trust = ssl.create_default_context(cafile=str(files.authorities))
        async with scene.session.ws_connect(url, ssl=trust) as ws:
            await ws.send_str(connect_text())
            assert "result" in await frame_of(ws)


@pytest.mark.parametrize(
    ("extra", "private"),
    [
        ({"sockname": ("192.0.2.1", 80)}, False),
        ({"sockname": ("192.0.2.1", 443), "sslcontext": object()}, True),
        ({"sockname": ("127.0.0.1", 80)}, True),
        ({"sockname": ("::1", 80, 0, 0)}, True),
        ({"sockname": ("fe80::1%eth0", 80, 0, 0)}, False),
        ({"sockname": ""}, False),
        ({}, False),
    ],
)
async def test_a_token_crosses_no_network_in_the_clear(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], private: bool
) -> None:
    class Transport(asyncio.Transport):
        pass

    assert module._is_private(Transport(extra)) is private
    if not private:
        monkeypatch.setattr(module, "_is_private", lambda _: False)
        async with relay_scene(ledger) as (scene, _):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await scene.session.ws_connect(scene.url + "/")
            assert refused.value.status == 403


async def test_what_is_no_upgrade_is_told_what_is_served_here(ledger: Ledger) -> None:
    async with relay_scene(ledger) as (scene, _):
        async with scene.session.get(scene.url + "/") as answer:
            assert answer.status == 426
            assert answer.headers["Upgrade"] == "websocket"
        async with scene.session.get(scene.url + "/", headers={"Upgrade": "websocket"}) as answer:
            assert answer.status == 400


async def test_without_an_account_there_is_nothing_but_relay(ledger: Ledger) -> None:
    async with relay_scene(ledger, resources=[accounts.add_routes]) as (scene, _):
        for method, path in (("GET", "/2010-04-01/Accounts/.json"), ("POST", "/"), ("GET", "/x"), ("HEAD", "/")):
            async with scene.session.request(method, scene.url + path) as answer:
                assert answer.status == 404


async def test_beside_relay_the_interface_asks_for_credentials(ledger: Ledger) -> None:
    async with relay_scene(ledger, config_of(), resources=[accounts.add_routes]) as (scene, _):
        path = f"/2010-04-01/Accounts/{ACCOUNT_SID}.json"
        for method, where in (("GET", path), ("POST", "/"), ("GET", "//"), ("GET", "/x")):
            async with scene.session.request(method, scene.url + where) as answer:
                assert answer.status == 401
        async with scene.session.get(
            scene.url + path, headers={"Upgrade": "websocket", "Connection": "Upgrade"}
        ) as answer:
            assert answer.status == 401


async def test_without_relay_the_root_is_closed(ledger: Ledger) -> None:
    async with api_scene(ledger, [accounts.add_routes]) as scene:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await scene.session.ws_connect(scene.url + "/")
        assert refused.value.status == 401


async def test_without_an_account_and_without_relay_nothing_is_served(ledger: Ledger) -> None:
    with pytest.raises(ConfigError, match="account") as wrong:
        async with api_scene(ledger, [], config=BARE):
            pass
    assert "token_env" in (wrong.value.remedy or "")


# -- who is refused


async def test_a_refused_client_gets_its_error_and_the_socket_is_closed(ledger: Ledger) -> None:
    async with relay_scene(ledger) as (scene, hub), client_of(scene, connect_text("PT-guess")) as ws:
        assert (await frame_of(ws))["error"]["code"] == -32002
        assert await closed(ws) == 1008
        assert hub.n_sessions == 0


async def test_a_source_that_guesses_is_not_even_looked_at(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_source", lambda text: text)  # loopback is never shut out
    monkeypatch.setattr(auth, "FAILURES", 3)
    async with relay_scene(ledger) as (scene, _), client_of(scene) as early:
        for _ in range(3):
            async with client_of(scene, connect_text("PT-guess")) as ws:
                assert "error" in await frame_of(ws)
                await closed(ws)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await scene.session.ws_connect(scene.url + "/")
        assert refused.value.status == 429
        await early.send_str(connect_text())
        assert await closed(early) == 1008, "nor one that was let through to the handshake before"


async def test_right_credentials_clear_a_source(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_source", lambda text: text)
    monkeypatch.setattr(auth, "FAILURES", 2)
    async with relay_scene(ledger) as (scene, _):
        for token in ("PT-guess", TOKEN, "PT-guess", TOKEN):
            async with client_of(scene, connect_text(token)) as ws:
                assert ("result" in await frame_of(ws)) is (token == TOKEN)


async def test_who_says_nothing_is_not_waited_for(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_S", 0.05)
    async with relay_scene(ledger) as (scene, _), client_of(scene) as ws:
        assert await closed(ws) == 1008


async def test_pings_of_websocket_are_no_first_frame(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_S", 0.1)
    async with relay_scene(ledger) as (scene, _), client_of(scene) as ws:
        await ws.ping()
        assert await closed(ws) == 1008


async def test_connections_that_show_nothing_are_bounded(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    async with relay_scene(ledger) as (scene, _), client_of(scene) as first, client_of(scene):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await scene.session.ws_connect(scene.url + "/")
        assert refused.value.status == 503
        await first.send_str(connect_text())
        await frame_of(first)
        async with client_of(scene, connect_text()) as ws:
            assert "result" in await frame_of(ws)


# -- who is dropped


async def test_only_text_is_taken(ledger: Ledger) -> None:
    async with relay_scene(ledger) as (scene, _):
        async with client_of(scene) as ws:
            await ws.send_bytes(connect_text().encode())
            assert await closed(ws) == 1003
        async with client_of(scene, connect_text()) as ws:
            await frame_of(ws)
            await frame_of(ws)
            await ws.send_bytes(b"{}")
            assert await closed(ws) == 1003


async def test_frames_are_bounded(ledger: Ledger) -> None:
    async with relay_scene(ledger) as (scene, _), client_of(scene, connect_text()) as ws:
        await frame_of(ws)
        await frame_of(ws)
        await ws.send_str(" " * (MAX_TEXT + 1))
        assert await closed(ws) == 1009


async def test_a_client_for_which_too_much_waits_is_dropped(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNSENT", 10_000)
    async with relay_scene(ledger) as (scene, hub), client_of(scene, connect_text(contexts=["a"])) as ws:
        await frame_of(ws)
        session = hub.choose("a")
        assert session is not None
        for _ in range(20):
            session.tell("calling.call.state", {"text": "a" * 1000})
        await asyncio.wait_for(hub.gone.wait(), 10)
        assert not session.is_connected
        assert not session.is_over, "it may come back for its events"


async def test_a_client_that_does_not_read_is_dropped(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_S", 0.05)
    async with relay_scene(ledger) as (scene, hub), client_of(scene, connect_text(contexts=["a"])) as ws:
        await frame_of(ws)
        session = hub.choose("a")
        assert session is not None
        for _ in range(14):  # more than the buffers of two sockets
            session.tell("calling.call.state", {"text": "a" * (1 << 20)})
        await asyncio.wait_for(hub.gone.wait(), 10)
        assert not session.is_over


async def test_a_client_that_goes_without_a_farewell_is_noticed(ledger: Ledger) -> None:
    async with relay_scene(ledger) as (scene, hub):
        session = aiohttp.ClientSession()
        ws = await session.ws_connect(scene.url + "/")
        await ws.send_str(connect_text())
        await frame_of(ws)
        assert hub.n_clients == 1
        assert ws._response.connection is not None
        transport = ws._response.connection.transport
        assert isinstance(transport, asyncio.WriteTransport)
        transport.abort()
        await asyncio.wait_for(hub.gone.wait(), 10)
        assert hub.n_clients == 0
        assert hub.n_sessions == 1
        await session.close()


async def test_a_client_is_told_before_its_socket_is_closed(ledger: Ledger) -> None:
    async with relay_scene(ledger) as (scene, hub), client_of(scene, connect_text()) as ws:
        await frame_of(ws)
        await frame_of(ws)
        closing = asyncio.ensure_future(hub.close())
        told = await frame_of(ws)
        assert (told["method"], told["params"]) == ("signalwire.disconnect", {"restart": True})
        await ws.send_str('{"jsonrpc":"2.0","id":"' + told["id"] + '","result":{}}')
        await asyncio.wait_for(closing, 10)
        assert await closed(ws) == 1001
