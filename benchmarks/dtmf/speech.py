"""Voices behind digits: of the corpus when there is speech in it, of espeak-ng when that is installed, else a model.

The model is voiced noise: a pulse train whose pitch wanders, through three formants that change ten times a second,
switched on and off like syllables. It is told in the results which of the three was used.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy import signal

from benchmarks.dtmf import corpus as corpora
from dsp.dtmf import RATE_HZ
from dsp.errors import NoSpeechError
from dsp.levels import FULL_SCALE, amplitude_of_db
from dsp.meter import active_level_dbov
from dsp.resample import resample

__all__ = ("babble", "one_talker", "origin")

TALKERS = 6
VOICES = ("en-us", "en-gb", "de", "es", "fr", "it")
TEXT = (
    "Please hold the line, someone will be with you shortly. Your order was sent on the fourth of March and should "
    "arrive within seven working days. If you would like to change the address, say so now, and tell us the new one. "
    "The weather is going to be fair in the north, with some rain in the evening and a light wind from the west."
)
Wave = NDArray[np.float64]


def origin(corpus: Path | None) -> str:
    """Return where voices come from."""
    if corpus is not None and _files(str(corpus)):
        return "corpus"
    return "espeak-ng" if shutil.which("espeak-ng") else "model"


def babble(corpus: Path | None, n_samples: int, rng: np.random.Generator) -> Wave:
    """Return six talkers at equal active level; the mean square of the mix is 1."""
    total: Wave = np.zeros(n_samples)
    for index in range(TALKERS):
        total += _talker(corpus, n_samples, rng, index)
    mix: Wave = total / np.sqrt(np.mean(total * total))
    return mix


def one_talker(corpus: Path | None, n_samples: int, rng: np.random.Generator) -> Wave:
    """Return one talker; the mean square while active (ITU-T P.56) is 1."""
    return _talker(corpus, n_samples, rng, int(rng.integers(TALKERS)))


def _talker(corpus: Path | None, n_samples: int, rng: np.random.Generator, index: int) -> Wave:
    kind = origin(corpus)
    parts: list[Wave] = []
    have = 0
    while have < n_samples:
        if kind == "corpus":
            part = _from_corpus(str(corpus), rng)
        elif kind == "espeak-ng":
            part = np.roll(_espeak(index), int(rng.integers(len(_espeak(index)))))
        else:
            part = _model(rng, 20 * RATE_HZ)
        level = _active_amplitude(part)
        if level <= 0:
            continue
        parts.append(part / level)
        have += len(part)
    return np.concatenate(parts)[:n_samples]


def _active_amplitude(part: Wave) -> float:
    try:
        return FULL_SCALE * amplitude_of_db(active_level_dbov(part, RATE_HZ))
    except NoSpeechError:
        return 0.0


@cache
def _files(corpus: str) -> list[tuple[str, float]]:
    return [(path, corpora.duration_s(Path(path))) for path in corpora.speech_files(Path(corpus))]


def _from_corpus(corpus: str, rng: np.random.Generator) -> Wave:
    files = _files(corpus)
    lengths = np.array([length for _, length in files])
    path, length = files[int(rng.choice(len(files), p=lengths / lengths.sum()))]
    return corpora.read(path, rng.uniform(0, max(0.0, length - 20)), 20 * RATE_HZ).astype(np.float64)


@cache
def _espeak(index: int) -> Wave:
    done = subprocess.run(
        ["espeak-ng", "-v", VOICES[index], "-s", str(150 + 8 * index), "--stdout", TEXT],
        capture_output=True,
        check=True,
    )
    # Written to a pipe, the header says an endless length: take what is there.
    samples, rate_hz = soundfile.read(io.BytesIO(done.stdout), dtype="float64")
    return resample(samples, rate_hz, RATE_HZ).astype(np.float64)


def _model(rng: np.random.Generator, n_samples: int) -> Wave:
    out: Wave = np.zeros(n_samples)
    step = RATE_HZ // 10
    phase, pitch_hz = 0.0, rng.uniform(90, 220)
    state: dict[int, Any] = {}
    loud = True
    for at in range(0, n_samples, step):
        n = min(step, n_samples - at)
        pitch_hz = float(np.clip(pitch_hz * rng.uniform(0.9, 1.1), 70, 280))
        turns = phase + pitch_hz / RATE_HZ * np.arange(1, n + 1)
        pulses = np.diff(np.floor(np.concatenate([[phase], turns])))
        phase = float(turns[-1])
        excitation = pulses * np.sqrt(RATE_HZ / pitch_hz) + 0.1 * rng.normal(size=n)
        for formant, (low, high) in enumerate(((300, 800), (900, 2200), (2300, 3300))):
            b, a = signal.iirpeak(rng.uniform(low, high), 6.0, fs=RATE_HZ)
            excitation, state[formant] = signal.lfilter(b, a, excitation, zi=state.get(formant, np.zeros(2)))
            excitation = excitation + 0.05 * rng.normal(size=n)
        loud = rng.random() < (0.8 if loud else 0.4)
        out[at : at + n] = 1000.0 * excitation if loud else 0.0
    return out
