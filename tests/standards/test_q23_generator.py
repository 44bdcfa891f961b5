"""ITU-T Q.23 clauses 4 to 6: frequencies of push-button signals, within ±1.8 %, unwanted components 20 dB down."""

from __future__ import annotations

import numpy as np
import pytest

from dsp.dtmf import DIGITS, ToneSource, frequencies_hz, generate
from dsp.levels import peak_of_dbm0, rms_dbm0
from tests.support.tones import COLUMNS_HZ, KEYPAD, LAWS, ROWS_HZ, Samples

WINDOW = 8000


def spectrum(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Peak of each sine in int16 units, one bin a hertz."""
    window = np.blackman(len(samples))
    out: np.ndarray[tuple[int], np.dtype[np.float64]] = 2 * np.abs(np.fft.rfft(samples * window)) / window.sum()
    return out


def source(digit: str) -> Samples:
    out = np.zeros(WINDOW, dtype=np.int16)
    assert ToneSource(digit, on_ms=1000, ramp_ms=0).fill(out) == WINDOW
    return out


def test_rows_and_columns_are_those_of_the_keypad() -> None:
    for row, text in enumerate(KEYPAD):
        for column, digit in enumerate(text):
            assert frequencies_hz(digit) == (ROWS_HZ[row], COLUMNS_HZ[column])


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("digit", DIGITS)
def test_a_digit_is_two_tones_at_their_level_and_nothing_else(digit: str, law: str) -> None:
    for samples in (generate(digit, on_ms=1000, off_ms=0, ramp_ms=0), source(digit)):
        bins = spectrum(LAWS[law](samples))
        for freq_hz in frequencies_hz(digit):
            assert int(np.argmax(bins[freq_hz - 20 : freq_hz + 21])) == 20
            assert 20 * np.log10(bins[freq_hz] / peak_of_dbm0(-9.0)) == pytest.approx(0, abs=0.1)
            bins[freq_hz - 4 : freq_hz + 5] = 0
        # Q.23: all distortion together at least 20 dB below the lowest tone.
        distortion_db = 20 * np.log10(np.sqrt(np.sum(bins**2)) / peak_of_dbm0(-9.0))
        assert distortion_db < -20


def test_twist_is_added_to_the_high_tone() -> None:
    bins = spectrum(generate("5", on_ms=1000, off_ms=0, ramp_ms=0, high_minus_low_db=-8))
    low_hz, high_hz = frequencies_hz("5")
    assert 20 * np.log10(bins[high_hz] / bins[low_hz]) == pytest.approx(-8, abs=0.05)


def test_level_is_that_of_each_tone() -> None:
    assert rms_dbm0(generate("1", on_ms=1000, off_ms=0, ramp_ms=0, level_dbm0=-20)) == pytest.approx(-17, abs=0.05)


def test_frequency_offset_applies_to_each_tone_by_itself() -> None:
    bins = spectrum(generate("1", on_ms=1000, off_ms=0, ramp_ms=0, frequency_offset=(0.015, -0.015)))
    low, high = int(np.argmax(bins[600:1000])) + 600, int(np.argmax(bins[1100:1700])) + 1100
    assert (low, high) == (707, 1191)


def test_durations_are_exact_at_any_rate() -> None:
    for rate_hz in (8000, 16000, 48000):
        samples = generate("12", rate_hz=rate_hz, on_ms=40, off_ms=60)
        assert len(samples) == rate_hz // 5
        assert not samples[rate_hz * 40 // 1000 : rate_hz // 10].any()


def test_a_key_starts_and_ends_without_a_click() -> None:
    samples = generate("D", on_ms=50, off_ms=10, ramp_ms=2).astype(int)
    steady_step = np.abs(np.diff(samples[100:300])).max()
    assert abs(samples[0]) < steady_step / 50
    assert abs(samples[399]) < steady_step / 50
    assert np.abs(np.diff(samples)).max() <= steady_step
