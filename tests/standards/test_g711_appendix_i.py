"""ITU-T G.711 Appendix I: concealment by repeated periods. Covers delay, pitch search, periods, fading and return."""

from __future__ import annotations

import numpy as np
import pytest

from dsp.plc import DELAY_SAMPLES, PacketLossConcealer
from tests.support.oracles import pitch_lag

STEP = 80


def voice(period: int, n: int, amplitude: float = 6000.0) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """Exactly periodic, with harmonics whose phases make one maximum a period."""
    t = np.arange(n)
    wave = sum(np.cos(2 * np.pi * k * t / period) / k for k in range(1, 6))
    return np.rint(amplitude * np.asarray(wave) / 2.3).astype(np.int16)


def run(
    samples: np.ndarray[tuple[int], np.dtype[np.int16]], lost: set[int]
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int16]], PacketLossConcealer]:
    concealer = PacketLossConcealer()
    out = [
        concealer.lost(STEP) if at // STEP in lost else concealer.good(samples[at : at + STEP])
        for at in range(0, len(samples), STEP)
    ]
    return np.concatenate([*out, concealer.good(np.zeros(STEP, dtype=np.int16))])[DELAY_SAMPLES:][: len(samples)], (
        concealer
    )


def test_the_algorithm_delays_by_3_75_ms_and_changes_nothing_without_loss() -> None:
    samples = np.random.default_rng(1).integers(-32768, 32768, 8000).astype(np.int16)
    assert DELAY_SAMPLES == 30
    assert np.array_equal(run(samples, set())[0], samples)


@pytest.mark.parametrize("period", [40, 47, 64, 80, 99, 113, 120])
def test_the_period_of_the_signal_is_found_and_kept(period: int) -> None:
    samples = voice(period, 4000)
    out, concealer = run(samples, {20})
    # A whole multiple fits as well where there is room for it.
    assert concealer.pitch_samples % period == 0
    assert np.abs(out[: 21 * STEP].astype(int) - samples[: 21 * STEP]).max() <= 1


def test_the_pitch_search_is_the_normalised_cross_correlation() -> None:
    rng = np.random.default_rng(4)
    for _ in range(40):
        samples = np.convolve(rng.normal(0, 3000, 480), np.hanning(int(rng.integers(3, 25))), mode="same")
        history = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
        concealer = PacketLossConcealer()
        concealer.good(history)
        concealer.lost(STEP)
        assert concealer.pitch_samples == pitch_lag(history[-390:].astype(float).tolist())


def test_made_up_audio_keeps_its_level_for_10_ms_then_loses_a_fifth_each_10_ms_and_is_silent_after_60() -> None:
    samples = voice(80, 8000)
    out, _ = run(samples, set(range(20, 40)))
    peaks = [int(np.abs(out[at : at + STEP].astype(int)).max()) for at in range(20 * STEP, 40 * STEP, STEP)]
    whole = int(np.abs(samples.astype(int)).max())
    first = out[20 * STEP : 21 * STEP].astype(int)
    assert np.abs(first - samples[20 * STEP : 21 * STEP]).max() <= 1
    for step in range(1, 6):
        start = (20 + step) * STEP
        gain = 1 - 0.2 * (step - 1) - 0.2 / STEP * np.arange(STEP)
        expected = gain * samples[start : start + STEP]
        assert np.abs(out[start : start + STEP] - expected).max() <= 2
    assert peaks[0] >= 0.99 * whole
    assert peaks[6:] == [0] * 14


def test_more_periods_come_in_at_10_and_20_ms() -> None:
    # The last three periods differ: what is repeated tells how many of them are used.
    shape = voice(100, 100).astype(float)
    samples = np.concatenate([shape * g for g in (0.2, 0.2, 0.2, 0.2, 0.7, 0.85, 1.0)]).astype(np.int16)
    samples = np.concatenate([np.zeros(20, dtype=np.int16), samples])  # 720: nine steps
    out, concealer = run(np.concatenate([samples, np.zeros(6 * STEP, dtype=np.int16)]), set(range(9, 15)))
    assert concealer.pitch_samples == 100
    made = out[720:].astype(float)
    gain = np.concatenate([np.ones(STEP), 1 - 0.2 / STEP * np.arange(5 * STEP)])
    top = float(shape.max())
    # A period has its maximum where it begins. One period to 10 ms; from there, in phase, the older of two and the
    # newer; from 20 ms the oldest of three, the next, the newest, and again.
    heights = [float(made[at] / gain[at] / top) for at in (0, 100, 200, 300, 400)]
    assert heights == pytest.approx([1.0, 1.0, 0.85, 1.0, 0.7], abs=0.02)


@pytest.mark.parametrize("n_lost", [1, 2, 3, 6, 12])
def test_the_first_good_frame_is_overlapped_longer_the_longer_the_loss(n_lost: int) -> None:
    samples = voice(80, 8000)
    samples[(20 + n_lost) * STEP :] = 5000  # another signal comes back
    out, _ = run(samples, set(range(20, 20 + n_lost)))
    back = out[(20 + n_lost) * STEP :].astype(int)
    length = min(80, 20 + 32 * (min(n_lost, 6) - 1))
    assert (back[length:][:400] == 5000).all()
    assert (back[length * 3 // 4 : length - 1] != 5000).any()


@pytest.mark.parametrize("period", [40, 61, 80, 120])
@pytest.mark.parametrize("n_lost", [1, 2, 4, 8])
def test_no_border_has_a_step_larger_than_the_signals_own(period: int, n_lost: int) -> None:
    rng = np.random.default_rng(period)
    samples = (voice(period, 8000) * (1 + 0.2 * np.sin(2 * np.pi * np.arange(8000) / 1600))).astype(np.int16)
    samples = np.clip(samples + rng.normal(0, 30, 8000), -32768, 32767).astype(np.int16)
    own = int(np.abs(np.diff(samples.astype(int))).max())
    out, _ = run(samples, set(range(20, 20 + n_lost)))
    largest = int(np.abs(np.diff(out.astype(int))).max())
    print(f"period {period}, {10 * n_lost} ms: step {largest}, the signal's own {own}")
    assert largest <= 1.3 * own


def test_what_has_no_period_is_joined_without_a_step() -> None:
    rng = np.random.default_rng(9)
    t = np.arange(4000)
    worst = 0.0
    for _ in range(40):
        freqs_hz = rng.uniform(60, 190, 3)
        samples = np.rint(sum(3000 * np.sin(2 * np.pi * f * t / 8000 + rng.uniform(0, 6)) for f in freqs_hz))
        own = float(np.abs(np.diff(samples)).max())
        out, _ = run(samples.astype(np.int16), {20, 21, 22})
        worst = max(worst, float(np.abs(np.diff(out.astype(int))).max()) / own)
    print(f"largest step: {worst:.2f} of the signal's own")
    assert worst < 1.6
