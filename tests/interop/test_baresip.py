"""baresip 1.0 pays: RFC 4733 events interleaved with audio, tones in its audio, and a hold in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.interop.baresip_peer import Baresip, running_baresip
from tests.interop.steps import TOML, assert_paid, key_each_step
from tests.support.engine import running_engine
from tests.support.process import needs
from tests.support.recording import Samples, decode_keys, key_tones, level_dbm0, read_wav, write_wav

pytestmark = [pytest.mark.interop, pytest.mark.asyncio, needs("baresip")]

SPEECH_DBM0 = -35.0


def assert_heard_prompts(baresip: Baresip) -> None:
    heard = read_wav(baresip.heard())
    frames = [level_dbm0(heard[start : start + 160]) for start in range(0, len(heard), 160)]
    assert sum(level > SPEECH_DBM0 for level in frames) > 50, "more than a second of speech"
    assert decode_keys(heard) == ""


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
        assert_heard_prompts(baresip)


async def test_baresip_pays_with_tones_in_its_audio(tmp_path: Path) -> None:
    async with (
        running_engine(TOML, directory=tmp_path / "engine") as engine,
        running_baresip(tmp_path / "baresip") as baresip,
    ):
        await baresip.command("dial", engine.uri())
        await baresip.wait_event("CALL_ESTABLISHED")
        turn = 0

        async def key(keys: str) -> None:
            nonlocal turn
            turn += 1
            file = tmp_path / f"keys-{turn}.wav"
            tail: Samples = np.zeros(8000 * 30)
            write_wav(file, np.concatenate([np.zeros(1600), key_tones(keys, on_ms=80, off_ms=80), tail]))
            await baresip.command("ausrc", f"aufile,{file}")

        await key_each_step(engine, key)
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
