"""The softphone with microphone and loudspeaker: a stand-in for PyAudio at one end, a plain softphone at the other."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from engine.errors import SoftphoneError
from engine.softphone.backend import BackendName
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState
from tests.support.recording import decode_keys, key_tones, level_dbm0, read_wav, write_wav

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.soak,
    pytest.mark.asyncio,
]
needs_pjsua2 = pytest.mark.skipif(
    importlib.util.find_spec("pjsua2") is None,
    reason="the pjsua2 wheel is not installed (CPython 3.11 and 3.12 on x86-64 only)",
)
STAND_IN = Path(__file__).parents[1] / "support" / "sound_card"


async def talk(backend: BackendName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[float, str]:
    """Return the level that the other end heard of the microphone, and the keys that came to the loudspeaker."""
    loudspeaker, heard, spoken = tmp_path / "loudspeaker.raw", tmp_path / "heard.wav", tmp_path / "spoken.wav"
    monkeypatch.setenv("PYTHONPATH", f"{STAND_IN}:{Path.cwd()}")
    monkeypatch.setenv("PAYTONE_TEST_LOUDSPEAKER", str(loudspeaker))
    write_wav(spoken, np.concatenate([key_tones("42#"), np.zeros(4000)]))
    async with (
        Softphone(backend=BackendName.NATIVE) as other,
        Softphone(backend=backend, audio=True) as phone,
    ):
        await other.record(str(heard))
        await phone.call(other.uri)
        await other.wait_incoming()
        await other.answer()
        await phone.wait_state(CallState.CONFIRMED)
        await other.wait_state(CallState.CONFIRMED)
        await other.play(str(spoken))
        await phone.hang_up()
        await other.wait_state(CallState.DISCONNECTED)
    samples = read_wav(heard)
    keys = decode_keys(np.frombuffer(loudspeaker.read_bytes(), dtype="<i2").astype(np.float64) / 32768)
    return level_dbm0(samples[len(samples) // 2 :]), keys


@needs_pjsua2
async def test_pjsip_speaks_from_the_microphone_and_plays_to_the_loudspeaker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    level, keys = await talk(BackendName.PJSUA, tmp_path, monkeypatch)
    assert -13 < level < -10, "a sine of 6000 is -11.6 dBm0"
    assert keys == "42#"


async def test_our_own_stack_plays_to_the_loudspeaker_and_has_no_microphone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    level, keys = await talk(BackendName.NATIVE, tmp_path, monkeypatch)
    assert level < -60
    assert keys == "42#"


@pytest.mark.skipif(importlib.util.find_spec("pyaudio") is not None, reason="PyAudio is installed here")
async def test_without_pyaudio_the_start_fails_with_the_remedy() -> None:
    with pytest.raises(SoftphoneError, match=r"paytone\[audio\]"):
        await Softphone(backend=BackendName.NATIVE, audio=True).start()
