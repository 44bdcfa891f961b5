from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp import g711, meter
from prompts.mastering import master, silence


def burst(rate_hz: int, *, peak: int = 8000, pad_s: float = 0.5, offset: int = 0) -> NDArray[np.int16]:
    t = np.arange(rate_hz) / rate_hz
    envelope = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * t)
    tone = peak * envelope * np.sin(2 * np.pi * 700 * t)
    pad = np.zeros(int(rate_hz * pad_s))
    return (np.concatenate([pad, tone, pad]) + offset).astype(np.int16)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("peak", [300, 3000, 32000])
def test_any_rate_and_level_comes_out_at_minus_25_dbov(rate_hz: int, peak: int) -> None:
    pcmu, pcma = master(burst(rate_hz, peak=peak), rate_hz)
    for samples in (g711.ulaw_decode(pcmu), g711.alaw_decode(pcma)):
        assert meter.active_level_dbov(samples, 8000) == pytest.approx(-25.0, abs=0.6)


def test_the_ends_keep_20_ms_before_and_60_ms_after() -> None:
    pcmu, _ = master(burst(8000), 8000)
    assert len(pcmu) / 8 == pytest.approx(1000 + 20 + 60, abs=8)


def test_the_ends_are_silent_so_that_nothing_clicks() -> None:
    samples = g711.ulaw_decode(master(burst(8000, pad_s=0.0), 8000)[0])
    assert np.abs(samples[[0, -1]]).max() < 100


def test_a_constant_offset_is_removed() -> None:
    samples = g711.ulaw_decode(master(burst(8000, offset=900), 8000)[0]).astype(float)
    clean = g711.ulaw_decode(master(burst(8000), 8000)[0]).astype(float)
    assert abs(samples.mean() - clean.mean()) < 5
    assert len(samples) == len(clean)


def test_peaks_stay_below_the_limit_where_the_level_would_lift_them() -> None:
    samples = np.zeros(16000, dtype=np.int16)
    samples[::160] = 20000  # a click every 20 ms: a crest factor that no speech has
    pcmu, _ = master(samples, 8000)
    assert np.abs(g711.ulaw_decode(pcmu).astype(int)).max() <= 32768 * 10 ** (-0.7 / 20)


@pytest.mark.parametrize("samples", [[], [0] * 4000, [3, -3] * 2000], ids=["nothing", "silence", "inaudible"])
def test_what_has_no_sound_is_a_moment_of_silence(samples: list[int]) -> None:
    assert master(np.array(samples, dtype=np.int16), 8000) == silence(20)


@pytest.mark.parametrize("count", [1, 2, 3, 79, 80, 81, 500])
def test_a_sound_of_any_length_is_taken(count: int) -> None:
    pcmu, pcma = master(np.resize(np.array([9000, -9000], dtype=np.int16), count), 8000)
    assert len(pcmu) == len(pcma) > 0
