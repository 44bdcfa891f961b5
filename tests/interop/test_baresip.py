"""baresip 1.0 pays: RFC 4733 events interleaved with audio, tones in its audio, and a hold in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.baresip_peer import running_baresip
from tests.interop.steps import TOML, assert_heard_prompts, assert_paid, key_each_step
from tests.support.engine import running_engine
from tests.support.process import needs

pytestmark = [pytest.mark.interop, pytest.mark.asyncio, needs("baresip")]


async def test_baresip_pays_with_telephone_events(tmp_path: Path) -> None:
    async with (
        running_engine(TOML, directory=tmp_path / "engine") as engine,
        running_baresip(tmp_path / "baresip") as baresip,
    ):
        await baresip.command("dial", engine.uri())
        await baresip.wait_event("CALL_ESTABLISHED")

        async def key(keys: str) -> None:
            await baresip.command("sndcode", keys)

        await key_each_step(engine, key)
        await baresip.wait_event("CALL_CLOSED", timeout_s=30)
        assert_paid(engine, baresip.program.output)
        assert_heard_prompts(baresip.heard())


async def test_baresip_pays_with_tones_in_its_audio(tmp_path: Path) -> None:
    async with (
        running_engine(TOML, directory=tmp_path / "engine") as engine,
        running_baresip(tmp_path / "baresip") as baresip,
    ):
        await baresip.command("dial", engine.uri())
        await baresip.wait_event("CALL_ESTABLISHED")
        await key_each_step(engine, baresip.play_keys)
        await baresip.wait_event("CALL_CLOSED", timeout_s=30)
        assert_paid(engine, baresip.program.output)


async def test_baresip_pays_after_holding_the_call(tmp_path: Path) -> None:
    async with (
        running_engine(TOML, directory=tmp_path / "engine") as engine,
        running_baresip(tmp_path / "baresip") as baresip,
    ):
        await baresip.command("dial", engine.uri())
        await baresip.wait_event("CALL_ESTABLISHED")
        await baresip.command("hold")
        await baresip.wait_event("CALL_REMOTE_SDP", count=2)
        await baresip.command("resume")
        await baresip.wait_event("CALL_REMOTE_SDP", count=3)

        async def key(keys: str) -> None:
            await baresip.command("sndcode", keys)

        await key_each_step(engine, key)
        await baresip.wait_event("CALL_CLOSED", timeout_s=30)
        assert_paid(engine, baresip.program.output)
