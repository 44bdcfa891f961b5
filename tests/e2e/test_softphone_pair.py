"""Two softphones on loopback: each is a process of its own, one calls and the other answers.

PJSIP and our own stack meet in both roles, so that each is heard by an ear that is not its own.
"""

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
from engine.softphone.protocol import CallState, KeyMode, Media, SoundState
from tests.support.recording import decode_keys, level_dbm0, read_wav, write_wav

PJSUA, NATIVE = BackendName.PJSUA, BackendName.NATIVE
EVERY_KEY = "0123456789*#ABCD"

needs_pjsua2 = pytest.mark.skipif(
    importlib.util.find_spec("pjsua2") is None,
    reason="the pjsua2 wheel is not installed (CPython 3.11 and 3.12 on x86-64 only)",
)
pytestmark = [pytest.mark.e2e, pytest.mark.asyncio]
each_caller = pytest.mark.parametrize(
    "backends",
    [
        pytest.param((PJSUA, PJSUA), marks=needs_pjsua2, id="pjsua-calls-pjsua"),
        pytest.param((PJSUA, NATIVE), marks=needs_pjsua2, id="pjsua-calls-native"),
        pytest.param((NATIVE, PJSUA), marks=needs_pjsua2, id="native-calls-pjsua"),
    ],
)
each_backend = pytest.mark.parametrize("backend", [pytest.param(PJSUA, marks=needs_pjsua2), NATIVE])

Backends = tuple[BackendName, BackendName]


@asynccontextmanager
async def pair(backends: Backends, record: Path | None = None) -> AsyncIterator[tuple[Softphone, Softphone]]:
    """A caller and a callee in a confirmed call; the callee records from the start."""
    async with Softphone(backend=backends[1]) as callee, Softphone(backend=backends[0]) as caller:
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


@pytest.mark.soak  # long; CI runs it
@each_caller
async def test_every_key_sent_in_band_is_in_what_the_callee_hears(backends: Backends, tmp_path: Path) -> None:
    heard = tmp_path / "heard.wav"
    keys = EVERY_KEY * 3  # more than a generator holds
    async with pair(backends, heard) as (caller, callee):
        await caller.keys(keys, mode=KeyMode.IN_BAND, on_ms=80, off_ms=80)
        await callee.wait_sound(SoundState.ENDED)
        await finish(caller, callee)
    # On a busy machine PJSIP's clock stumbles and a frame is heard late: 20 ms of silence within a key. That is the
    # peer's affair; what counts here is that each key was sent once, so a key ends only where the pause is longer.
    assert decode_keys(read_wav(heard), min_off_ms=60) == keys


@each_caller
async def test_keys_sent_beside_the_audio_leave_no_tone_in_it(backends: Backends, tmp_path: Path) -> None:
    heard = tmp_path / "heard.wav"
    async with pair(backends, heard) as (caller, callee):
        await caller.keys("42#", mode=KeyMode.TELEPHONE_EVENT)
        await caller.keys("42#", mode=KeyMode.INFO)
        await finish(caller, callee)
    assert decode_keys(read_wav(heard)) == ""


@each_caller
async def test_a_played_file_arrives_and_is_told_from_silence(backends: Backends, tmp_path: Path) -> None:
    spoken, heard = tmp_path / "spoken.wav", tmp_path / "heard.wav"
    write_wav(spoken, 0.25 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000))
    async with pair(backends, heard) as (caller, callee):
        await caller.play(str(spoken))
        await callee.wait_for_prompt()
        await finish(caller, callee)
    samples = read_wav(heard)
    loud = [start for start in range(0, len(samples), 160) if level_dbm0(samples[start : start + 160]) > -20]
    assert 45 <= len(loud) <= 55, "one second of 20 ms frames"


@needs_pjsua2
@pytest.mark.parametrize("callee_backend", [PJSUA, NATIVE])
async def test_hold_and_unhold_stop_and_start_the_audio(callee_backend: BackendName) -> None:
    async with pair((PJSUA, callee_backend)) as (caller, callee):
        await caller.hold()
        await caller.unhold()
        await finish(caller, callee)
    assert [event.active for event in callee.events if isinstance(event, Media)] == [True, False, True]


@each_backend
async def test_a_refused_call_tells_its_status(backend: BackendName) -> None:
    async with Softphone(backend=backend) as callee, Softphone(backend=backend) as caller:
        await caller.call(callee.uri)
        await callee.wait_incoming()
        await callee.answer(status=486)
        with pytest.raises(SoftphoneError, match="486"):
            await caller.wait_state(CallState.CONFIRMED)


@each_backend
async def test_what_fails_is_told_without_the_keys(backend: BackendName) -> None:
    async with Softphone(backend=backend) as phone:
        with pytest.raises(SoftphoneError, match="no such call") as caught:
            await phone.keys("4242424242424242")
        assert "4242" not in str(caught.value)
        with pytest.raises(SoftphoneError, match="cannot call that URI"):
            await phone.call("not a uri")
        with pytest.raises(SoftphoneError, match="not registered"):
            await phone.unregister()


@each_backend
async def test_a_process_that_died_is_reported_and_closing_it_is_harmless(backend: BackendName) -> None:
    phone = Softphone(backend=backend)
    await phone.start()
    process = phone._process
    assert process is not None
    process.kill()
    with pytest.raises(SoftphoneError, match="process is gone"):
        await phone.wait_state(CallState.CONFIRMED)
    await phone.close()
    assert phone.pid is None


async def test_a_native_caller_is_told_that_it_cannot_hold() -> None:
    async with pair((NATIVE, NATIVE)) as (caller, callee):
        with pytest.raises(SoftphoneError, match="--backend pjsua"):
            await caller.hold()
        await finish(caller, callee)
