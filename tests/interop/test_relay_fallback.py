"""Calls whose RELAY client is not there, or is gone in the middle: the fallback takes them and the payment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from signalwire.relay import RelayClient
from signalwire.relay.call import Call

from engine.api.certificates import make_certificate
from tests.support.caller import Script, pay
from tests.support.engine import RunningEngine, free_udp_port, running_engine

pytestmark = [pytest.mark.interop, pytest.mark.asyncio, pytest.mark.timeout(180)]

PROJECT = "a1b2c3d4-0000-4000-8000-00000000000f"
TOKEN = "a-token-of-the-tests"


@asynccontextmanager
async def engine_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[RunningEngine, str]]:
    """Run an engine whose calls for ``desk`` go to a RELAY client, or to a form; give it and its host for clients."""
    files = make_certificate(tmp_path / "tls")
    port = free_udp_port()
    toml = f"""
[api]
tls_listen = "127.0.0.1:{port}"
[api.tls]
certificate = "{files.certificate}"
key = "{files.key}"
[signalwire]
project = "{PROJECT}"
token_env = "TEST_RELAY_TOKEN"
restore_s = 1.0
[connector.sandbox]
type = "sandbox"
database = "sandbox.sqlite3"
[form.donation]
amount = "25.00"
connector = "sandbox"
[app.desk]
dialect = "relay"
context = "office"
fallback_form = "donation"
[[route]]
to = "desk"
app = "desk"
[log]
level = "debug"
"""
    monkeypatch.setenv("SIGNALWIRE_RELAY_CA_FILE", str(tmp_path / "tls" / "ca.pem"))
    async with running_engine(toml, directory=tmp_path / "engine", environment={"TEST_RELAY_TOKEN": TOKEN}) as engine:
        yield engine, f"localhost:{port}"
    assert "Traceback" not in engine.log


@asynccontextmanager
async def client_of(host: str, context: str, handler: Callable[[Call], Awaitable[None]]) -> AsyncIterator[RelayClient]:
    """Run a client; it leaves in the end, if it has not before."""
    client = RelayClient(project=PROJECT, token=TOKEN, host=host, contexts=[context])
    client.on_call(handler)  # type: ignore[arg-type]
    running = asyncio.ensure_future(client._run_forever())
    try:
        async with asyncio.timeout(20):
            while not client.relay_protocol:
                await asyncio.sleep(0.02)
        yield client
    finally:
        await client.disconnect()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_without_a_client_of_its_context_a_call_is_the_fallbacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(_: Call) -> None:
        pytest.fail("a call of another context")

    async with engine_of(tmp_path, monkeypatch) as (engine, host), client_of(host, "shop", handler):
        assert (await pay(engine, Script.good(), user="desk")).result == "success"


async def test_a_client_that_is_gone_for_good_leaves_its_call_to_the_fallback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = asyncio.Event()

    async def handler(call: Call) -> None:
        await call.answer()
        await call.play([{"type": "silence", "params": {"duration": 60}}])
        gone.set()

    async with engine_of(tmp_path, monkeypatch) as (engine, host), client_of(host, "office", handler) as client:

        async def leave() -> None:
            await gone.wait()
            await client.disconnect()

        leaving = asyncio.ensure_future(leave())
        assert (await pay(engine, Script.good(mode="in-band"), user="desk")).result == "success"
        await leaving
