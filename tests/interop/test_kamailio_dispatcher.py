"""Two engines behind Kamailio's dispatcher: the one that drains gets no new call, and keeps the one it has."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, KeyMode
from tests.interop.kamailio_dispatcher import running_dispatcher
from tests.interop.steps import TOML, assert_paid, key_each_step
from tests.support.engine import running_engine
from tests.support.process import needs

pytestmark = [pytest.mark.interop, pytest.mark.asyncio, needs("kamailio")]


async def test_a_node_that_drains_gets_no_new_call_and_finishes_its_own(tmp_path: Path) -> None:
    async with (
        running_engine(TOML, directory=tmp_path / "first") as first,
        running_engine(TOML, directory=tmp_path / "second") as second,
        running_dispatcher(
            tmp_path / "kamailio", [f"sip:127.0.0.1:{engine.sip_address[1]}" for engine in (first, second)]
        ) as kamailio,
        Softphone() as early,
        Softphone() as late,
    ):
        uri = f"sip:pay@127.0.0.1:{kamailio.port}"
        await early.call(uri)
        await early.wait_state(CallState.CONFIRMED)
        first.process.send_signal(signal.SIGTERM)
        await kamailio.program.wait_line(rf"down: .*:{first.sip_address[1]}", timeout_s=15)

        await late.call(uri)
        await late.wait_state(CallState.CONFIRMED)
        await second.wait_for("call answered")

        async def key(phone: Softphone, keys: str) -> None:
            await phone.keys(keys, mode=KeyMode.TELEPHONE_EVENT)

        await key_each_step(second, lambda keys: key(late, keys))
        await key_each_step(first, lambda keys: key(early, keys))
        for phone, engine in ((late, second), (early, first)):
            await phone.wait_state(CallState.DISCONNECTED, timeout_s=30)
            assert_paid(engine, kamailio.program.output)
