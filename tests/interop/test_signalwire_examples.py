"""The examples for SignalWire's SDK run as they are printed, with the configuration beside them, on real calls."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from engine.api.certificates import make_certificate
from tests.support.caller import Script, expiry, pay
from tests.support.engine import RunningEngine, free_udp_port, running_engine

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300), pytest.mark.asyncio]

EXAMPLES = Path(__file__).parents[2] / "examples" / "signalwire"
PRINTED = {"sip": 5060, "relay": 8443, "swml_service": 5000, "agent_function": 5001, "connector": 5002}
"Ports as printed, which on this machine may be taken."
PROJECT = "5b4d7a20-1111-4222-8333-944455556666"
TOKEN = "an-api-token-of-the-tests"
KEY = "a-signing-key-of-the-tests"
DECLINED = "4000000000000002"
START_S = 30.0


class Program:
    """An example that runs, and what it wrote."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def read(self) -> None:
        """Collect its output until it ends."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode(errors="replace").rstrip("\n"))

    async def line(self, part: str) -> str:
        """Return the last line with this in it, once there is one."""
        async with asyncio.timeout(START_S):
            while True:
                assert self.process.returncode is None, self.lines
                for line in reversed(self.lines):
                    if part in line:
                        return line
                await asyncio.sleep(0.05)


class Scene:
    """The engine and the connector, as the examples' configuration has them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = {name: free_udp_port() for name in PRINTED}
        self.engine: RunningEngine
        self.connector = f"http://127.0.0.1:{self.ports['connector']}"

    @property
    def toml(self) -> str:
        """The configuration as printed, but for its ports."""
        text = (EXAMPLES / "paytone.toml").read_text(encoding="utf-8")
        for name, port in PRINTED.items():
            assert f":{port}" in text or name == "connector"
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{self.ports[name]}")
        return f'{text}\n[log]\nlevel = "debug"\n'

    @asynccontextmanager
    async def program(self, name: str) -> AsyncIterator[Program]:
        """Run one of the examples; end it by its process id."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            f"examples/signalwire/{name}.py",
            cwd=EXAMPLES.parents[1],
            env={
                **os.environ,
                "PORT": str(self.ports.get(name, 0)),
                "CONNECTOR_URL": f"{self.connector}/charge",
                "SIGNALWIRE_PROJECT_ID": PROJECT,
                "SIGNALWIRE_API_TOKEN": TOKEN,
                "SIGNALWIRE_SPACE": f"localhost:{self.ports['relay']}",
                "SIGNALWIRE_RELAY_CA_FILE": str(self.directory / "certificates" / "ca.pem"),
                "SIGNALWIRE_SIGNING_KEY": KEY,
                "SWML_BASIC_AUTH_USER": "shop",
                "SWML_BASIC_AUTH_PASSWORD": "a-password",
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        program = Program(process)
        reader = asyncio.ensure_future(program.read())
        try:
            if name in self.ports:
                await get(f"http://127.0.0.1:{self.ports[name]}/")
            yield program
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reader

    async def payments(self) -> list[Any]:
        """Return what the connector was asked for."""
        told = await get(f"{self.connector}/payments")
        assert isinstance(told, list)
        return told


async def get(url: str) -> Any:
    """Return what stands at a URL, once something listens there."""
    async with asyncio.timeout(START_S), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as answer:
                    return await answer.json(content_type=None)
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    make_certificate(tmp_path / "certificates")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(made.program("connector"))
        environment = {"SIGNALWIRE_API_TOKEN": TOKEN, "SIGNALWIRE_SIGNING_KEY": KEY}
        made.engine = await stack.enter_async_context(
            running_engine(made.toml, directory=tmp_path, environment=environment)
        )
        yield made
    for secret in (TOKEN, KEY, "a-password", DECLINED):
        assert secret not in made.engine.log
    assert "Traceback" not in made.engine.log


async def test_the_shop_takes_a_payment_over_relay(scene: Scene) -> None:
    async with scene.program("relay_pay") as shop:
        await scene.engine.wait_for("a RELAY client is connected")
        call = await pay(scene.engine, Script.good(mode="in-band"), user="shop")
        assert call.result == "success"
        assert "result=success card=************4242 confirmation=example-" in await shop.line("result=")
        assert await scene.payments() == [
            {
                "approved": True,
                "chargeAmount": "29.99",
                "currency_code": "usd",
                "description": "Order 1234",
                "method": "credit-card",
                "parameters": {"order": "1234"},
                "token_type": "reusable",
            }
        ]
        entries = {"payment-card-number": [f"{DECLINED}#"] * 3, "expiration-date": [expiry()] * 3}
        script = Script(entries={**entries, "security-code": ["123"] * 3})
        call = await pay(scene.engine, script, user="shop")
        assert call.result == "payment-connector-error"
        await shop.line("result=payment-connector-error")
        assert [taken["approved"] for taken in await scene.payments()] == [True, False, False, False]
        call = await pay(scene.engine, Script(entries={"payment-card-number": ["*"]}), user="shop")
        assert call.result == "caller-interrupted-with-star"
        await shop.line("result=caller-interrupted-with-star")


async def test_the_donation_line_takes_a_payment_by_a_document_of_the_sdk(scene: Scene) -> None:
    async with scene.program("swml_service"):
        script = Script.good(mode="in-band", payment_card_number=["4242424242424241#", "4242424242424242#"])
        call = await pay(scene.engine, script, user="donate")
        assert call.result == "success"
        (taken,) = await scene.payments()
        assert taken["chargeAmount"] == "25.00"
        assert taken["parameters"] == {"campaign": "winter"}
        async with asyncio.timeout(START_S):
            while "payment-completed" not in (
                steps := await get(f"http://127.0.0.1:{scene.ports['swml_service']}/steps")
            ):
                await asyncio.sleep(0.1)
        assert [step for n, step in enumerate(steps) if step not in steps[:n]] == [
            "payment-card-number",
            "expiration-date",
            "security-code",
            "payment-processing",
            "payment-completed",
        ]
        call = await pay(scene.engine, Script(entries={"payment-card-number": ["*"]}), user="donate")
        assert call.result == "caller-interrupted-with-star"


async def test_the_document_of_an_agents_function_takes_a_payment(scene: Scene) -> None:
    async with scene.program("agent_function"):
        call = await pay(scene.engine, Script.good(mode="telephone-event"), user="agent")
        assert call.result == "success"
        (taken,) = await scene.payments()
        assert (taken["chargeAmount"], taken["token_type"]) == ("12.50", "one-time")
