"""The examples for Vonage's library run as they are printed, with the configuration beside them, on real calls."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from engine.api.certificates import make_certificate
from engine.softphone.client import Softphone
from tests.support.caller import Script, follow, pay
from tests.support.engine import RunningEngine, free_udp_port, running_engine
from tests.support.process import Program
from tests.support.vonage import APPLICATION, SECRET, make_keys

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240), pytest.mark.asyncio]

EXAMPLES = Path(__file__).parents[2] / "examples" / "vonage"
PRINTED = {"sip": 5060, "api": 8443, "shop_app": 5000}
"Ports as printed, which on this machine may be taken."
DECLINED = "4000000000000002"
START_S = 30.0


class Scene:
    """The engine as the examples' configuration has it, and the shop."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = {name: free_udp_port() for name in PRINTED}
        self.engine: RunningEngine
        self.shop = f"http://127.0.0.1:{self.ports['shop_app']}"
        make_certificate(directory / "certificates")
        keys = make_keys(directory, "keys")
        keys.public.rename(directory / "public.pem")
        (directory / "private.key").write_text(keys.private)
        self.environment = {
            "VONAGE_APPLICATION_ID": APPLICATION,
            "VONAGE_PRIVATE_KEY": str(directory / "private.key"),
            "VONAGE_SIGNATURE_SECRET": SECRET,
            "PAYTONE_API": f"localhost:{self.ports['api']}",
            "REQUESTS_CA_BUNDLE": str(directory / "certificates" / "ca.pem"),
            "SHOP_URL": self.shop,
            "PYTHONUNBUFFERED": "1",
        }

    @property
    def toml(self) -> str:
        """The configuration as printed, but for its ports."""
        text = (EXAMPLES / "paytone.toml").read_text(encoding="utf-8")
        for name, port in PRINTED.items():
            assert f"127.0.0.1:{port}" in text
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{self.ports[name]}")
        return f'{text}\n[log]\nlevel = "debug"\n'

    def program(self, *command: str) -> Program:
        """Return a program in the environment that the examples ask for."""
        return Program(sys.executable, *command, directory=EXAMPLES.parents[1], environment=self.environment)

    async def outcomes(self, count: int = 0) -> list[dict[str, Any]]:
        """Return what the shop was told of payments, once it is ``count`` of them."""
        async with asyncio.timeout(START_S), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"{self.shop}/outcomes") as answer:
                        told: list[dict[str, Any]] = await answer.json()
                    if len(told) >= count:
                        return told
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.1)


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    async with AsyncExitStack() as stack:
        port = str(made.ports["shop_app"])
        shop = made.program("-m", "flask", "--app", "examples/vonage/shop_app", "run", "--port", port)
        await stack.enter_async_context(shop)
        await made.outcomes()
        made.engine = await stack.enter_async_context(
            running_engine(made.toml, directory=tmp_path, environment={"VONAGE_SIGNATURE_SECRET": SECRET})
        )
        yield made
    assert "Traceback" not in made.engine.log + shop.output, shop.output
    assert not [text for text in (SECRET, DECLINED) if text in made.engine.log + shop.output]


async def test_the_shop_takes_a_payment_and_tells_the_caller(scene: Scene) -> None:
    script = Script.good(mode="in-band", payment_card_number=["4242424242424241#", "4242424242424242#"])
    assert (await pay(scene.engine, script, user="shop")).result == "success"
    assert (await pay(scene.engine, Script.good(card=DECLINED), user="shop")).result == "payment-connector-error"
    assert [told["status"] for told in await scene.outcomes(2)] == ["success", "failure"]
    assert [taken["amount"] for taken in scene.engine.sandbox_transactions()] == ["29.00", "29.00"]
    # Who waits behind the payment is transferred to how it went.
    await scene.engine.wait_for(r"engine\.api: request method=PUT route=/v1/calls/\{uuid\} status=204", count=2)


async def test_a_customer_is_called_and_pays(scene: Scene) -> None:
    async with Softphone() as phone:
        first = len(scene.engine.lines)
        async with scene.program("examples/vonage/call_out.py", phone.uri) as calls:
            await phone.wait_incoming(timeout_s=START_S)
            await phone.answer()
            call = await follow(scene.engine, phone, Script.good(mode="in-band"), first=first)
            assert call.result == "success"
            assert await calls.wait_end(timeout_s=START_S) == 0
            assert calls.lines[-1] == "status=completed"
    assert [told["status"] for told in await scene.outcomes(1)] == ["success"]
