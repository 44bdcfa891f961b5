"""The kernels under the detector against slow and plain versions of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from dsp import _tonefit
from dsp.dtmf import HIGH_HZ, LOW_HZ
from tests.support import oracles


def tone(freq_hz: float, peak: float, phase: float, n: int = 200) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    out: np.ndarray[tuple[int], np.dtype[np.float64]] = peak * np.sin(2 * np.pi * freq_hz * np.arange(n) / 8000 + phase)
    return out


def test_the_taps_are_those_of_the_design_they_name() -> None:
    design = signal.remez(41, [0, 460, 675, 4000], [0, 1], weight=(3, 1), fs=8000)
    assert np.max(np.abs(np.array(_tonefit.taps()) - design)) < 1e-7


def test_the_filter_stops_dial_tones_and_mains_and_passes_the_keys() -> None:
    taps = _tonefit.taps()
    _, stopped = signal.freqz(taps, worN=np.arange(0, 451, 1.0), fs=8000)
    _, passed = signal.freqz(taps, worN=np.arange(686, 1663, 1.0), fs=8000)
    worst_stop_db = 20 * np.log10(np.abs(stopped).max())
    ripple_db = 20 * np.log10(np.abs(passed))
    print(f"to 450 Hz {worst_stop_db:.1f} dB; 686 to 1662 Hz {ripple_db.min():+.2f} to {ripple_db.max():+.2f} dB")
    assert worst_stop_db < -29
    assert np.abs(ripple_db).max() < 0.9


@pytest.mark.parametrize("seed", range(5))
def test_a_block_agrees_with_the_plain_version(seed: int) -> None:
    x = np.random.default_rng(seed).integers(-32768, 32768, 80).astype(np.float32)
    y, re, im, energy, energy_raw = _tonefit.analyse_block(x)
    oy, obins, oenergy, oenergy_raw = oracles.analyse_block(x.tolist(), _tonefit.taps(), [*LOW_HZ, *HIGH_HZ])
    # float32 against double, sums of at most 80 terms: 2e-6 of full scale is 17 ULP.
    assert np.allclose(y, oy, rtol=0, atol=2e-6 * 32768 * 3)
    assert np.allclose(np.array(re) + 1j * np.array(im), obins, rtol=0, atol=2e-6 * 32768 * 40)
    assert energy == pytest.approx(oenergy, rel=1e-5)
    assert energy_raw == pytest.approx(oenergy_raw, rel=1e-5)


@pytest.mark.parametrize("low_hz", LOW_HZ)
@pytest.mark.parametrize("high_hz", HIGH_HZ)
def test_two_clean_tones_are_found_to_a_tenth_of_a_hertz(low_hz: int, high_hz: int) -> None:
    rng = np.random.default_rng(low_hz * high_hz)
    for _ in range(10):
        f, g = low_hz * (1 + rng.uniform(-0.02, 0.02)), high_hz * (1 + rng.uniform(-0.02, 0.02))
        peak = rng.uniform(0.25, 4) * 1000
        y = tone(f, 1000, rng.uniform(0, 6)) + tone(g, peak, rng.uniform(0, 6))
        fit = _tonefit.fit_tones(y.astype(np.float32), f + rng.uniform(-8, 8), g + rng.uniform(-8, 8))
        assert fit is not None
        assert fit["low_hz"] == pytest.approx(f, abs=0.1)
        assert fit["high_hz"] == pytest.approx(g, abs=0.1)
        assert fit["low_peak"] == pytest.approx(1000, rel=0.01)
        assert fit["high_peak"] == pytest.approx(peak, rel=0.01)
        assert fit["residual_energy"] < 1e-3 * fit["tone_energy"]
        assert 0.97 < fit["flat_min"] <= 1 <= fit["flat_max"] < 1.03


def test_the_residual_is_the_noise() -> None:
    rng = np.random.default_rng(8)
    ratios = []
    for _ in range(100):
        noise = rng.normal(0, 300, 200)
        fit = _tonefit.fit_tones((tone(770, 1000, 1) + tone(1336, 1000, 2) + noise).astype(np.float32), 772, 1333)
        assert fit is not None
        assert fit["low_hz"] == pytest.approx(770, abs=4)
        ratios.append(fit["residual_energy"] / np.sum(noise**2))
    # Ten of 200 degrees of freedom go into amplitudes, slopes and frequencies.
    assert np.mean(ratios) == pytest.approx(0.95, abs=0.03)


def test_a_growing_tone_has_a_slope_and_is_not_flat() -> None:
    ramp = np.linspace(0.5, 1.5, 200)
    fit = _tonefit.fit_tones((ramp * tone(852, 1000, 0) + tone(1477, 1000, 0)).astype(np.float32), 852, 1477)
    assert fit is not None
    assert fit["low_slope"] == pytest.approx(0.5, abs=0.03)
    assert fit["high_slope"] == pytest.approx(0, abs=0.03)
    assert fit["flat_min"] < 0.65
    assert fit["flat_max"] > 1.35


def test_one_tone_is_not_two() -> None:
    y = tone(941, 1000, 0).astype(np.float32)
    assert _tonefit.fit_tones(y, 941, 941) is None


def test_silence_and_full_scale_are_survived() -> None:
    for y in (np.zeros(200), np.full(200, 32767.0), np.where(np.arange(200) % 2, 32767.0, -32768.0)):
        fit = _tonefit.fit_tones(y.astype(np.float32), 697, 1209)
        assert fit is None or all(np.isfinite(value) for value in fit.values())


def test_a_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="80"):
        _tonefit.analyse_block(np.zeros(79, dtype=np.float32))
    with pytest.raises(ValueError, match="200"):
        _tonefit.fit_tones(np.zeros(201, dtype=np.float32), 697, 1209)
