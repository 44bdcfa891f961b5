"""The engine behind Kamailio: it registers with a digest, and calls reach it through a record-routing proxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, KeyMode
from tests.interop.kamailio_proxy import PASSWORDS, Proxy, running_kamailio
from tests.interop.steps import TOML, assert_paid, key_each_step
from tests.support.engine import running_engine
from tests.support.process import needs

pytestmark = [pytest.mark.interop, pytest.mark.asyncio, needs("kamailio")]

ENVIRONMENT = {"PAYTONE_TEST_PASSWORD": PASSWORDS["pay"]}


def with_account(proxy: Proxy) -> str:
    return (
        TOML
        + f"""
[account.pbx]
registrar = "{proxy.uri}"
user = "pay"
password_env = "PAYTONE_TEST_PASSWORD"
expires_s = 300
"""
    )


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_a_call_through_the_proxy_pays(tmp_path: Path, algorithm: str) -> None:
    async with (
        running_kamailio(tmp_path / "kamailio", algorithm=algorithm) as proxy,
        running_engine(with_account(proxy), directory=tmp_path / "engine", environment=ENVIRONMENT) as engine,
        Softphone() as phone,
    ):
        await proxy.wait_registered("pay")
        await phone.call(f"sip:pay@127.0.0.1:{proxy.port}")
        await phone.wait_state(CallState.CONFIRMED)

        async def key(keys: str) -> None:
            await phone.keys(keys, mode=KeyMode.TELEPHONE_EVENT)

        await key_each_step(engine, key)
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=30)
        assert_paid(engine, proxy.program.output)
        assert proxy.relayed("ACK") == 1, "the route set of the 200 was used"
        assert proxy.relayed("BYE") == 1, "and so was the one of the INVITE"


async def test_a_registered_caller_that_is_challenged_pays_with_info_through_the_proxy(tmp_path: Path) -> None:
    async with (
        running_kamailio(tmp_path / "kamailio") as proxy,
        running_engine(with_account(proxy), directory=tmp_path / "engine", environment=ENVIRONMENT) as engine,
        Softphone() as phone,
    ):
        await proxy.wait_registered("pay")
        await phone.register(proxy.uri, "caller", PASSWORDS["caller"])
        await phone.call(f"sip:pay@127.0.0.1:{proxy.port}")
        await phone.wait_state(CallState.CONFIRMED)

        async def key(keys: str) -> None:
            await phone.keys(keys, mode=KeyMode.INFO)

        await key_each_step(engine, key)
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=30)
        assert_paid(engine, proxy.program.output)
        assert proxy.relayed("INFO") >= 20, "every key went through the proxy, in the dialog"


async def test_a_registration_is_taken_back_when_the_engine_stops(tmp_path: Path) -> None:
    async with running_kamailio(tmp_path / "kamailio") as proxy:
        async with running_engine(with_account(proxy), directory=tmp_path / "engine", environment=ENVIRONMENT):
            await proxy.wait_registered("pay")
        await proxy.wait_registered("pay", count=2)
        async with Softphone() as phone:
            await phone.call(f"sip:pay@127.0.0.1:{proxy.port}")
            over = await phone.wait_state(CallState.DISCONNECTED)
            assert over.status == 404


async def test_a_wrong_password_is_refused_and_logged(tmp_path: Path) -> None:
    environment = {"PAYTONE_TEST_PASSWORD": "not-the-password"}
    async with (
        running_kamailio(tmp_path / "kamailio") as proxy,
        running_engine(with_account(proxy), directory=tmp_path / "engine", environment=environment) as engine,
    ):
        await engine.wait_for(r"registration .*state=failed", timeout_s=15)
        assert not any("registered: pay" in line for line in proxy.program.lines)
        assert "not-the-password" not in engine.log
