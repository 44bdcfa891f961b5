"""PJSIP pays while it requires what SIP extensions give: reliable provisionals and session timers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from engine.softphone.protocol import CallState, KeyMode
from tests.interop.pjsua_extensions import RequiringPeer
from tests.interop.steps import TOML, assert_paid, key_each_step
from tests.support.engine import running_engine

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio,
    pytest.mark.skipif(
        importlib.util.find_spec("pjsua2") is None,
        reason="the pjsua2 wheel is not installed (CPython 3.11 and 3.12 on x86-64 only)",
    ),
]


async def test_pjsip_that_requires_100rel_and_timer_pays_and_holds(tmp_path: Path) -> None:
    async with running_engine(TOML, directory=tmp_path / "engine") as engine, RequiringPeer() as phone:
        await phone.call(engine.uri())
        await phone.wait_state(CallState.CONFIRMED)
        await phone.hold()
        await phone.unhold()

        async def key(keys: str) -> None:
            await phone.keys(keys, mode=KeyMode.TELEPHONE_EVENT)

        await key_each_step(engine, key)
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=30)
        assert_paid(engine)
