"""ITU-T P.56 clause 6, method B: the active speech level counts speech and leaves the pauses out."""

from __future__ import annotations

import numpy as np
import pytest

from dsp.errors import NoSpeechError
from dsp.levels import rms_dbov
from dsp.meter import active_level_dbov, measure, normalise
from tests.support.tones import LAWS, Samples


def syllables(rng: np.random.Generator, seconds: float, rate_hz: int = 8000, peak: float = 8000.0) -> Samples:
    """Noise in bursts of 150 ms with gaps of 50 ms: active without a break, by the 200 ms hangover."""
    n = round(seconds * rate_hz)
    gate = (np.arange(n) * 1000 // rate_hz) % 200 < 150
    out: Samples = np.rint(np.clip(rng.normal(0, peak / 3, n), -peak, peak) * gate).astype(np.int16)
    return out


def test_continuous_sound_has_its_rms_level() -> None:
    x = np.rint(10000 * np.sin(2 * np.pi * 440 * np.arange(32000) / 8000)).astype(np.int16)
    level = measure(x, 8000)
    print(f"sine: active {level.active_dbov:.2f}, rms {rms_dbov(x):.2f} dBov, activity {level.activity:.3f}")
    assert level.active_dbov == pytest.approx(rms_dbov(x), abs=0.2)
    assert level.activity > 0.97


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("pause_s", [2, 8, 24])
def test_pauses_do_not_count(pause_s: int, law: str) -> None:
    speech = syllables(np.random.default_rng(1), 8)
    with_pause = np.concatenate([speech, np.zeros(pause_s * 8000, dtype=np.int16)])
    alone, level = active_level_dbov(speech, 8000), measure(LAWS[law](with_pause), 8000)
    print(f"{pause_s} s of pause: {level.active_dbov:.2f} against {alone:.2f} dBov, activity {level.activity:.2f}")
    assert level.active_dbov == pytest.approx(alone, abs=0.5)
    assert level.activity == pytest.approx(8 / (8 + pause_s), abs=0.06)


@pytest.mark.parametrize("gain_db", [-30, -20, -10, 0])
def test_the_level_follows_the_gain(gain_db: int) -> None:
    speech = syllables(np.random.default_rng(2), 6, peak=12000)
    quieter = np.rint(speech * 10 ** (gain_db / 20)).astype(np.int16)
    assert active_level_dbov(quieter, 8000) == pytest.approx(active_level_dbov(speech, 8000) + gain_db, abs=0.3)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 24000, 48000])
def test_the_level_does_not_depend_on_the_rate(rate_hz: int) -> None:
    level = active_level_dbov(syllables(np.random.default_rng(3), 6, rate_hz), rate_hz)
    assert level == pytest.approx(active_level_dbov(syllables(np.random.default_rng(3), 6), 8000), abs=0.3)


def test_low_noise_in_the_pauses_does_not_count() -> None:
    rng = np.random.default_rng(4)
    speech = np.concatenate([syllables(rng, 6), np.zeros(6 * 8000, dtype=np.int16)])
    noisy = speech + np.rint(rng.normal(0, 8, len(speech))).astype(np.int16)
    assert active_level_dbov(noisy, 8000) == pytest.approx(active_level_dbov(speech, 8000), abs=0.5)


@pytest.mark.parametrize("target_dbov", [-36.0, -25.0, -22.0])
def test_normalised_speech_has_the_level_asked_for(target_dbov: float) -> None:
    out = normalise(syllables(np.random.default_rng(5), 5), 8000, target_dbov)
    assert active_level_dbov(out, 8000) == pytest.approx(target_dbov, abs=0.3)


def test_the_peak_limit_wins_over_the_target() -> None:
    x = syllables(np.random.default_rng(6), 4)
    x[4000] = 32000
    out = normalise(x, 8000, -6.0, peak_limit_dbov=-1.0)
    assert np.abs(out.astype(int)).max() <= 32767 * 10 ** (-1 / 20) + 1
    assert active_level_dbov(out, 8000) < -6.0


@pytest.mark.parametrize("x", [np.zeros(0, dtype=np.int16), np.zeros(8000, dtype=np.int16)])
def test_silence_has_no_active_level(x: Samples) -> None:
    with pytest.raises(NoSpeechError):
        measure(x, 8000)
