"""The engine behind Asterisk 22: it registers with a digest, and a caller pays through the PBX."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, KeyMode
from tests.interop.asterisk_peer import PASSWORDS, Pbx, needs_asterisk, running_asterisk
from tests.interop.steps import TOML, assert_paid, key_each_step
from tests.support.engine import running_engine

pytestmark = [pytest.mark.interop, pytest.mark.asyncio, needs_asterisk]

ENVIRONMENT = {"PAYTONE_TEST_PASSWORD": PASSWORDS["pay"]}


def with_account(pbx: Pbx, transport: str) -> str:
    return (
        TOML
        + f"""
[account.pbx]
registrar = "{pbx.uri}{transport}"
user = "pay"
password_env = "PAYTONE_TEST_PASSWORD"
expires_s = 300
"""
    )


async def pay_through(pbx: Pbx, directory: Path, mode: KeyMode, transport: str = "") -> None:
    """Register the engine and a softphone, call one from the other, key a card."""
    async with (
        running_engine(with_account(pbx, transport), directory=directory, environment=ENVIRONMENT) as engine,
        Softphone() as phone,
    ):
        await pbx.wait_registered("pay")
        await phone.register(pbx.uri, "caller", PASSWORDS["caller"])
        await phone.call(f"sip:pay@127.0.0.1:{pbx.port}")
        await phone.wait_state(CallState.CONFIRMED)

        async def key(keys: str) -> None:
            await phone.keys(keys, mode=mode)

        await key_each_step(engine, key)
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=30)
        assert_paid(engine, pbx.program.output)


@pytest.mark.parametrize(
    ("dtmf_mode", "mode"),
    [("rfc4733", KeyMode.TELEPHONE_EVENT), ("inband", KeyMode.IN_BAND), ("info", KeyMode.INFO)],
)
async def test_a_call_through_the_pbx_pays(tmp_path: Path, dtmf_mode: str, mode: KeyMode) -> None:
    async with running_asterisk(dtmf_mode=dtmf_mode) as pbx:
        await pay_through(pbx, tmp_path / "engine", mode)


@pytest.mark.parametrize("codecs", ["alaw", "g722"])
async def test_the_pbx_transcodes_and_the_call_pays(tmp_path: Path, codecs: str) -> None:
    async with running_asterisk(codecs=codecs) as pbx:
        await pay_through(pbx, tmp_path / "engine", KeyMode.TELEPHONE_EVENT)


async def test_encrypted_media_behind_the_pbx(tmp_path: Path) -> None:
    async with running_asterisk(encryption="sdes") as pbx:
        await pay_through(pbx, tmp_path / "engine", KeyMode.TELEPHONE_EVENT)
