"""What an agent and a recording can make of a caller's keys: nothing, however they were pressed and whatever was lost.

A small part of tests/soak/test_masked_calls.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.g711 import ulaw_decode
from dsp.mask import MaskFill
from engine.media import Leg
from tests.support.masked_calls import CODES, Caller, call, own_digits
from tests.support.rtp_peer import MediaCase, Peer, media_case

TICK = 160
CALLERS = (
    Caller(),
    Caller(codec="PCMA", agent_codec="G722", fill=MaskFill.SILENCE, hasty=True),
    Caller(codec="G722", agent_codec="PCMA", longest_ms=2000.0, hasty=True),
    Caller(events=True, hasty=True),
    Caller(events=True, longest_ms=2000.0, jitter=4),
    Caller(lost=0.05, hasty=True),
    Caller(lost=0.02, jitter=4, fill=MaskFill.SILENCE),
    Caller(codec="PCMA", snr_db=10.0, hasty=True),
    Caller(codec="G722", snr_db=20.0, lost=0.01, events=True),
)


def voice(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Harmonics of a pitch that glides, in syllables; of unit power."""
    t = np.arange(n) / 8000
    phase = 2 * np.pi * np.cumsum(rng.uniform(110, 200) * (1 + 0.2 * np.sin(2 * np.pi * 0.7 * t))) / 8000
    formant = 500 + 300 * np.sin(2 * np.pi * 1.3 * t)
    total = sum(np.sin(k * phase) * np.exp(-(((k * 150 - formant) / 300) ** 2)) for k in range(1, 12)) * np.clip(
        np.sin(2 * np.pi * 2.5 * t), 0, None
    )
    return np.asarray(total / np.sqrt(np.mean(total**2)))


@pytest.mark.parametrize("which", range(len(CALLERS)))
def test_no_receiver_tells_a_key_behind_the_mask_from_the_agents_audio_or_the_recording(
    which: int, tmp_path: Path
) -> None:
    caller = CALLERS[which]
    heard = call(caller, 100 + which, tmp_path, voice=voice)
    masked = sum(key.masked for key in heard.keys)
    assert masked >= 15
    told = own_digits(heard)
    assert {name: behind for name, (behind, _, _) in told.items() if behind} == {}
    # The way is good enough for keys: those without the mask are told.
    assert max(others for _, others, _ in told.values()) >= 1
    assert heard.digits >= 0.6 * len(heard.keys)
    others = tuple(CODES.index(key.digit) for key in heard.keys if not key.masked)
    assert heard.relayed == (others if caller.events else ())


@pytest.mark.parametrize("lost", [0.0, 0.02, 0.05, 0.1])
@pytest.mark.parametrize("longest_ms", [120.0, 2000.0])
def test_not_a_splinter_of_a_key_is_left(lost: float, longest_ms: float, tmp_path: Path) -> None:
    # In silence, with silence in place of keys: whatever is heard is of a key.
    caller = Caller(fill=MaskFill.SILENCE, lost=lost, longest_ms=longest_ms, jitter=2)
    for seed in (1, 2):
        heard = call(caller, seed, tmp_path, always=True)
        assert heard.digits >= 20
        assert np.max(np.abs(heard.agent)) <= 8
        assert np.max(np.abs(heard.recorded)) <= 8


def test_what_arrived_of_a_key_between_two_losses_is_hidden_though_all_of_it_is_alike(tmp_path: Path) -> None:
    # 11 ms of a key, of which neither the recogniser nor a comparison with what lies further in could tell.
    heard = call(Caller(fill=MaskFill.SILENCE, keys=40, lost=0.1, longest_ms=120.0), 9021, tmp_path, always=True)
    assert np.max(np.abs(heard.agent)) <= 8


def _segment(heard: NDArray[np.int16], said: NDArray[np.int16], start: int, n: int) -> float:
    """Correlation of a stretch of what was said with what came of it, at whatever delay it came."""
    part = said[start : start + n].astype(float)
    came = heard[start : start + n + 2000].astype(float)
    lag = int(np.argmax(np.fft.irfft(np.fft.rfft(came, 1 << 15) * np.conj(np.fft.rfft(part, 1 << 15)))[:2000]))
    return float(np.corrcoef(part, came[lag : lag + n])[0, 1])


def test_speech_passes_both_ways_before_and_after_a_capture_and_from_the_agent_all_the_time() -> None:
    rng = np.random.default_rng(3)
    said = {who: np.asarray(3000 * voice(32000, rng), dtype=np.int16) for who in ("caller", "agent")}
    with media_case() as case:
        caller, customer = case.leg()
        agent, desk = case.leg()
        caller.mask_line()
        caller.bridge(agent)
        got = _talk(case, {customer: said["caller"], desk: said["agent"]}, lambda i: _capture(caller, i))
    assert _segment(got[desk], said["caller"], 2400, 7000) > 0.99
    assert _segment(got[desk], said["caller"], 21600, 7000) > 0.99
    for start in (2400, 10000, 17000, 22000):
        assert _segment(got[customer], said["agent"], start, 6000) > 0.99


def _capture(caller: Leg, tick: int) -> None:
    if tick in (60, 130):
        caller.mask(tick == 60)


def _talk(
    case: MediaCase, said: dict[Peer, NDArray[np.int16]], at_tick: Callable[[int], None]
) -> dict[Peer, NDArray[np.int16]]:
    """Let both talk, a packet in each tick; return what each heard."""
    heard: dict[Peer, list[bytes]] = {peer: [] for peer in said}
    for i in range(200):
        at_tick(i)
        for peer, samples in said.items():
            peer.send_audio(samples[i * TICK : (i + 1) * TICK], timestamp=i * TICK)
        case.tick()
        for peer in said:
            heard[peer] += [packet.payload for packet in peer.received() if packet.payload_type == 0]
    return {peer: ulaw_decode(b"".join(payloads)) for peer, payloads in heard.items()}
