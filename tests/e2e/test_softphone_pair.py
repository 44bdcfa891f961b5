"""Two softphones on loopback: each is a process of its own, one calls and the other answers."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from engine.errors import SoftphoneError
from engine.softphone.backend import BackendName
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, KeyMode, SoundState
from tests.support.recording import decode_keys, level_dbm0, read_wav, write_wav

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        importlib.util.find_spec("pjsua2") is None,
        reason="the pjsua2 wheel is not installed (CPython 3.11 and 3.12 on x86-64 only)",
    ),
]

EVERY_KEY = "0123456789*#ABCD"


@asynccontextmanager
async def pair(record: Path | None = None) -> AsyncIterator[tuple[Softphone, Softphone]]:
    """A caller and a callee in a confirmed call; the callee records from the start."""
    async with Softphone(backend=BackendName.PJSUA) as callee, Softphone(backend=BackendName.PJSUA) as caller:
        if record is not None:
            await callee.record(str(record))
        await caller.call(callee.uri)
        await callee.wait_incoming()
        await caller.wait_state(CallState.EARLY)
        await callee.answer()
        await caller.wait_state(CallState.CONFIRMED)
        await callee.wait_state(CallState.CONFIRMED)
        yield caller, callee


async def finish(caller: Softphone, callee: Softphone) -> None:
    await caller.hang_up()
    await callee.wait_state(CallState.DISCONNECTED)


@pytest.mark.asyncio
async def test_every_key_sent_in_band_is_in_what_the_callee_hears(tmp_path: Path) -> None:
    heard = tmp_path / "heard.wav"
    async with pair(heard) as (caller, callee):
        await caller.keys(EVERY_KEY, mode=KeyMode.IN_BAND, on_ms=60, off_ms=60)
        await callee.wait_sound(SoundState.ENDED)
        await finish(caller, callee)
    assert decode_keys(read_wav(heard)) == EVERY_KEY


@pytest.mark.asyncio
async def test_a_long_run_of_keys_is_sent_whole_although_the_generator_holds_few(tmp_path: Path) -> None:
    heard = tmp_path / "heard.wav"
    keys = "1234567890" * 4
    async with pair(heard) as (caller, callee):
        await caller.keys(keys, mode=KeyMode.IN_BAND, on_ms=40, off_ms=40)
        await callee.wait_sound(SoundState.ENDED)
        await finish(caller, callee)
    assert decode_keys(read_wav(heard)) == keys


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", [KeyMode.TELEPHONE_EVENT, KeyMode.INFO])
async def test_keys_sent_beside_the_audio_leave_no_tone_in_it(tmp_path: Path, mode: KeyMode) -> None:
    heard = tmp_path / "heard.wav"
    async with pair(heard) as (caller, callee):
        await caller.keys("42#", mode=mode)
        await finish(caller, callee)
    assert decode_keys(read_wav(heard)) == ""


@pytest.mark.asyncio
async def test_a_played_file_arrives_and_is_told_from_silence(tmp_path: Path) -> None:
    spoken, heard = tmp_path / "spoken.wav", tmp_path / "heard.wav"
    write_wav(spoken, 0.25 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000))
    async with pair(heard) as (caller, callee):
        await caller.play(str(spoken))
        await callee.wait_for_prompt()
        await finish(caller, callee)
    samples = read_wav(heard)
    loud = [start for start in range(0, len(samples), 160) if level_dbm0(samples[start : start + 160]) > -20]
    assert 45 <= len(loud) <= 55, "one second of 20 ms frames"


@pytest.mark.asyncio
async def test_hold_and_unhold_stop_and_start_the_audio_of_both() -> None:
    async with pair() as (caller, callee):
        await caller.hold()
        await caller.unhold()
        await finish(caller, callee)
    held = [event.active for event in callee.events if event.NAME == "media" and hasattr(event, "active")]
    assert held == [True, False, True]


@pytest.mark.asyncio
async def test_a_refused_call_tells_its_status() -> None:
    async with Softphone(backend=BackendName.PJSUA) as callee, Softphone(backend=BackendName.PJSUA) as caller:
        await caller.call(callee.uri)
        await callee.wait_incoming()
        await callee.answer(status=486)
        with pytest.raises(SoftphoneError, match="486"):
            await caller.wait_state(CallState.CONFIRMED)


@pytest.mark.asyncio
async def test_what_fails_is_told_without_the_keys() -> None:
    async with Softphone(backend=BackendName.PJSUA) as phone:
        with pytest.raises(SoftphoneError, match="no such call") as caught:
            await phone.keys("4242424242424242")
        assert "4242" not in str(caught.value)
        with pytest.raises(SoftphoneError, match="cannot call that URI"):
            await phone.call("not a uri")


@pytest.mark.asyncio
async def test_a_process_that_died_is_reported_and_closing_it_is_harmless() -> None:
    phone = Softphone(backend=BackendName.PJSUA)
    await phone.start()
    assert phone.pid is not None
    process = phone._process
    assert process is not None
    process.kill()
    with pytest.raises(SoftphoneError, match="process is gone"):
        await phone.wait_state(CallState.CONFIRMED)
    await phone.close()
    assert phone.pid is None
