"""The vendor's own RELAY client against a whole engine over TLS: it connects, pings, is refused, comes back."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.api.certificates import make_certificate
from tests.support.engine import RunningEngine, free_udp_port, running_engine

pytestmark = [pytest.mark.interop, pytest.mark.asyncio]

PROJECT = "a1b2c3d4-0000-4000-8000-00000000000f"
TOKEN = "PT-token-of-the-tests"
CLIENT = """
import asyncio, json, os, sys
from signalwire.relay import client as module
from signalwire.relay import RelayClient, RelayError

module._CLIENT_PING_INTERVAL = 0.2
client = RelayClient(contexts=["default"])
handled = client._handle_message

async def note(message):
    if message.get("method") or "error" in message:
        print(json.dumps({"got": message.get("method", "error")}), flush=True)
    await handled(message)

client._handle_message = note
sent = client._send_request

async def noted(method, params):
    result = await sent(method, params)
    told = dict(result, authorization=None) if method == "signalwire.connect" else result
    print(json.dumps({"did": method, "result": told}), flush=True)
    return result

client._send_request = noted

async def commands():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command, *names = line.decode().split()
        if command == "drop":
            client._ws.transport.abort()
            continue
        try:
            await (client.execute(names[0], {"call_id": "c", "node_id": "n"}) if command == "execute"
                   else getattr(client, command)(names))
        except RelayError as error:
            print(json.dumps({"error": [error.code, error.message]}), flush=True)

async def main():
    asyncio.ensure_future(commands())
    try:
        await client._run_forever()
    except RelayError as error:
        print(json.dumps({"gave_up": [error.code, error.message]}), flush=True)

asyncio.run(main())
"""


class Client:
    """The vendor's client in a process of its own, and what it told."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.told: list[dict[str, Any]] = []

    async def until(self, wanted: Callable[[dict[str, Any]], bool], *, count: int = 1) -> dict[str, Any]:
        """Return the ``count``-th thing told that is wanted."""
        assert self.process.stdout is not None
        async with asyncio.timeout(40):
            while True:
                found = [one for one in self.told if wanted(one)]
                if len(found) >= count:
                    return found[count - 1]
                line = await self.process.stdout.readline()
                assert line, f"the client ended: {self.told}"
                if line.startswith(b"{"):
                    self.told.append(json.loads(line))

    async def connected(self, count: int = 1) -> dict[str, Any]:
        """Return the answer to its ``count``-th connect."""
        result = (await self.until(lambda one: one.get("did") == "signalwire.connect", count=count))["result"]
        assert isinstance(result, dict)
        return result

    def do(self, line: str) -> None:
        """Let it do something."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")


@asynccontextmanager
async def client_of(
    port: int, directory: Path, *, host: str = "localhost", **environment: str
) -> AsyncIterator[Client]:
    """Run the client until the end of the block."""
    with (directory / "client.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CLIENT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={
                "SIGNALWIRE_SPACE": f"{host}:{port}" if port else host,
                "SIGNALWIRE_RELAY_CA_FILE": str(directory / "tls" / "ca.pem"),
                "SIGNALWIRE_PROJECT_ID": PROJECT,
                "SIGNALWIRE_API_TOKEN": TOKEN,
                "HOME": str(directory),
                **environment,
            },
        )
    try:
        yield Client(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Scene:
    """An engine that serves RELAY and nothing else by HTTP."""

    def __init__(self, engine: RunningEngine, port: int, proxy: int) -> None:
        self.engine = engine
        self.port = port
        self.proxy = proxy


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    files = make_certificate(tmp_path / "tls")
    port, proxy = free_udp_port(), free_udp_port()
    toml = f"""
[api]
tls_listen = "127.0.0.1:{port}"
proxy_listen = "127.0.0.1:{proxy}"
[api.tls]
certificate = "{files.certificate}"
key = "{files.key}"
[signalwire]
project = "{PROJECT}"
token_env = "TEST_RELAY_TOKEN"
[app.desk]
dialect = "relay"
context = "default"
[connector.sandbox]
type = "sandbox"
database = "sandbox.sqlite3"
[[route]]
to = "desk"
app = "desk"
"""
    async with running_engine(toml, directory=tmp_path / "engine", environment={"TEST_RELAY_TOKEN": TOKEN}) as engine:
        yield Scene(engine, port, proxy)
    assert engine.process.returncode == 0
    assert TOKEN not in engine.log
    assert "Traceback" not in engine.log


async def test_a_client_connects_pings_and_changes_its_contexts(scene: Scene, tmp_path: Path) -> None:
    async with client_of(scene.port, tmp_path) as client:
        answer = await client.connected()
        assert answer["protocol"].startswith("signalwire_")
        assert answer["session_restored"] is False
        await client.until(lambda one: one.get("got") == "signalwire.event")
        await client.until(lambda one: one.get("did") == "signalwire.ping", count=2)
        client.do("receive one two")
        assert (await client.until(lambda one: one.get("did") == "signalwire.receive"))["result"]["code"] == "200"
        client.do("unreceive one")
        assert (await client.until(lambda one: one.get("did") == "signalwire.unreceive"))["result"]["code"] == "200"
        await client.until(lambda one: one.get("got") == "signalwire.ping")
        client.do("execute messaging.send")
        refused = await client.until(lambda one: "error" in one)
        assert refused["error"] == [501, "The method is not supported"]


async def test_wrong_credentials_end_in_an_error_after_three_tries(scene: Scene, tmp_path: Path) -> None:
    async with client_of(scene.port, tmp_path, SIGNALWIRE_API_TOKEN="wrong") as client:
        gave_up = await client.until(lambda one: "gave_up" in one)
        assert gave_up["gave_up"] == [-32002, "Authentication failed: project or token is wrong"]
        assert sum(one.get("got") == "error" for one in client.told) == 3
        assert await asyncio.wait_for(client.process.wait(), 20) == 0
    await scene.engine.wait_for("a RELAY client is refused: wrong credentials", count=3)


async def test_a_dropped_client_comes_back_to_its_session(scene: Scene, tmp_path: Path) -> None:
    async with client_of(scene.port, tmp_path) as client:
        first = await client.connected()
        client.do("receive later")
        await client.until(lambda one: one.get("did") == "signalwire.receive")
        client.do("drop")
        second = await client.connected(2)
        assert second["protocol"] == first["protocol"]
        assert second["session_restored"] is True
    async with client_of(scene.port, tmp_path) as other:
        assert (await other.connected())["protocol"] != first["protocol"]


async def test_the_vendors_host_is_led_here_by_the_proxy(scene: Scene, tmp_path: Path) -> None:
    proxy = f"http://127.0.0.1:{scene.proxy}"
    async with client_of(0, tmp_path, host="relay.signalwire.com", HTTPS_PROXY=proxy) as client:
        assert (await client.connected())["session_restored"] is False


async def test_clients_are_told_when_the_engine_stops(scene: Scene, tmp_path: Path) -> None:
    async with client_of(scene.port, tmp_path) as client:
        await client.connected()
        scene.engine.process.terminate()
        await client.until(lambda one: one.get("got") == "signalwire.disconnect")
        assert await asyncio.wait_for(scene.engine.process.wait(), 20) == 0
