"""The simulated channel does what each of its knobs says."""

from __future__ import annotations

import numpy as np
import pytest

from dsp import channel
from dsp.dtmf import frequencies_hz, generate
from dsp.levels import rms_dbov

TONE = generate("5", on_ms=1000, off_ms=0, ramp_ms=0)


def peak_at(samples: np.ndarray[tuple[int], np.dtype[np.int16]], freq_hz: float) -> float:
    t = np.arange(len(samples)) / 8000
    window = np.hanning(len(samples))
    return float(2 * abs(np.sum(samples * window * np.exp(-2j * np.pi * freq_hz * t))) / window.sum())


def test_noise_has_the_ratio_asked_for() -> None:
    rng = np.random.default_rng(1)
    for snr_db in (0, 10, 20):
        noise = channel.add_noise(TONE, snr_db, rng).astype(float) - TONE
        assert 10 * np.log10(np.mean(TONE.astype(float) ** 2) / np.mean(noise**2)) == pytest.approx(snr_db, abs=0.3)
    silent = channel.add_noise(np.zeros(8000, dtype=np.int16), 0, rng, signal_power=1e6)
    assert np.std(silent) == pytest.approx(1000, rel=0.05)


def test_gain_and_its_saturation() -> None:
    assert rms_dbov(channel.apply_gain(TONE, -6)) == pytest.approx(rms_dbov(TONE) - 6, abs=0.01)
    assert channel.apply_gain(TONE, 40).max() == 32767


@pytest.mark.parametrize("high_minus_low_db", [-8.0, 4.0])
def test_twist_tilts_the_groups(high_minus_low_db: float) -> None:
    low_hz, high_hz = frequencies_hz("5")
    out = channel.apply_twist(TONE, high_minus_low_db)
    assert 20 * np.log10(peak_at(out, high_hz) / peak_at(out, low_hz)) == pytest.approx(high_minus_low_db, abs=0.1)


def test_echo_comes_late_and_quieter() -> None:
    click = np.zeros(400, dtype=np.int16)
    click[10] = 10000
    out = channel.add_echo(click, 20, -20)
    assert out[out != 0].tolist() == [10000, 1000]
    assert np.flatnonzero(out).tolist() == [10, 170]


def test_clipping_takes_the_peaks() -> None:
    assert np.abs(channel.clip(TONE, 6).astype(int)).max() == pytest.approx(
        np.abs(TONE.astype(int)).max() / 1.995, abs=2
    )


def test_tones_are_added_at_their_peak() -> None:
    out = channel.add_tones(np.zeros(8000, dtype=np.int16), ((50.0, 3000.0), (425.0, 2000.0)))
    assert peak_at(out, 50) == pytest.approx(3000, rel=0.01)
    assert peak_at(out, 425) == pytest.approx(2000, rel=0.01)


@pytest.mark.parametrize("fill", channel.Fill)
def test_lost_frames_are_lost_at_the_rate_asked_for(fill: channel.Fill) -> None:
    x = np.arange(1, 16000 * 2 + 1, dtype=np.int64) % 20000 + 1
    samples = x.astype(np.int16)
    out, lost = channel.lose_frames(samples, 0.2, np.random.default_rng(2), fill=fill)
    assert 0.1 < lost.mean() < 0.3
    for index, gone in enumerate(lost):
        here = out[index * 160 : index * 160 + 160]
        if not gone:
            assert np.array_equal(here, samples[index * 160 : index * 160 + 160])
        elif fill is channel.Fill.ZEROS or index == 0:
            assert not here.any()
        else:
            assert np.array_equal(here, out[index * 160 - 160 : index * 160])


def test_a_partial_last_frame_can_be_lost() -> None:
    out, lost = channel.lose_frames(np.ones(250, dtype=np.int16), 1.0, np.random.default_rng(3))
    assert lost.tolist() == [True, True]
    assert not out.any()


@pytest.mark.parametrize("ratio", [-0.015, 0.0, 0.01])
def test_a_clock_error_moves_the_frequencies(ratio: float) -> None:
    out = channel.clock_error(TONE, ratio)
    assert len(out) == int(len(TONE) / (1 + ratio))
    for freq_hz in frequencies_hz("5"):
        inner = out[200:-200]
        assert peak_at(inner, freq_hz * (1 + ratio)) == pytest.approx(peak_at(TONE, freq_hz), rel=0.01)


def test_the_laws_cost_as_much_as_they_do() -> None:
    for law in (channel.through_ulaw, channel.through_alaw):
        noise = law(TONE).astype(float) - TONE
        snr_db = 10 * np.log10(np.mean(TONE.astype(float) ** 2) / np.mean(noise**2))
        assert 35 < snr_db < 40
