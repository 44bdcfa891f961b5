"""Speech and music that hold no key: how many keys are invented; and recordings that do: how many are found."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import soundfile
from scipy import signal

from dsp.dtmf import DtmfDetector
from dsp.resample import resample
from tests.support.shared import SHARED
from tests.support.tones import LAWS, Samples, detect, digits

CORPORA = SHARED / "corpora"
needs_corpora = pytest.mark.skipif(not CORPORA.is_dir(), reason="needs the recordings beside the repository")
SPEECH = ("asterisk-en", "prompt-es-co", "yesno")
MUSIC = ("moh-opsound", "music-hyperrogue", "sonic-pi")


def voice(rng: np.random.Generator, seconds: float) -> Samples:
    """Vowels: a gliding pulse train through three gliding formants, in syllables."""
    n = round(seconds * 8000)
    t = np.arange(n) / 8000
    out = np.zeros(n)
    for at in range(0, n - 2400, 2400):
        pitch_hz = rng.uniform(85, 330) * np.exp(rng.uniform(-0.3, 0.3) * t[:2400] / 0.3)
        phase = 2 * np.pi * np.cumsum(pitch_hz) / 8000
        pulses = np.diff(np.floor(phase / (2 * np.pi)), prepend=0.0)
        syllable = pulses
        for formant_hz, width_hz in zip(rng.uniform((250, 700, 1900), (850, 2200, 3000)), (60, 90, 150), strict=True):
            r = np.exp(-np.pi * width_hz / 8000)
            syllable = signal.lfilter([1.0], [1, -2 * r * np.cos(2 * np.pi * formant_hz / 8000), r * r], syllable)
        syllable *= np.hanning(2400) / (np.abs(syllable).max() + 1e-9)
        out[at : at + 2400] += rng.uniform(2000, 12000) * syllable
    return np.rint(out).astype(np.int16)


@pytest.mark.parametrize("law", LAWS)
def test_synthetic_vowels_are_no_keys(law: str) -> None:
    samples = LAWS[law](voice(np.random.default_rng(5), 600))
    found = digits(DtmfDetector().process(samples))
    print(f"{law}: {len(found)} in 10 minutes of vowels")
    assert len(found) == 0


@needs_corpora
@pytest.mark.parametrize("name", SPEECH + MUSIC)
def test_recorded_speech_and_music_are_no_keys(name: str) -> None:
    hours = 0.0
    invented = 0
    for path in sorted((CORPORA / "talkoff" / name).glob("*.flac")):
        samples, _ = soundfile.read(path, dtype="int16")
        hours += len(samples) / 8000 / 3600
        invented += len(digits(DtmfDetector().process(samples)))
    print(f"{name}: {invented} digits in {hours:.2f} h")
    assert hours > 0
    assert invented == 0


@needs_corpora
def test_recordings_of_keys_are_heard() -> None:
    expected = heard = exact = 0
    with (CORPORA / "real" / "labels.tsv").open(newline="") as labels:
        rows = list(csv.DictReader(labels, delimiter="\t"))
    for row in rows:
        samples, rate_hz = soundfile.read(CORPORA / "real" / row["file"], dtype="float64", always_2d=True)
        found = digits(detect(resample(samples.mean(axis=1), rate_hz, 8000)))
        expected += len(row["digits"])
        heard += len(found)
        exact += found == row["digits"]
        assert len(found) <= len(row["digits"]), row["file"]  # none invented
    print(f"{exact} of {len(rows)} files exact, {heard} of {expected} digits")
    assert heard >= 0.94 * expected
