"""What was heard, held against what should have been: normalised cross-correlation of a recording and a clip."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from dsp import g711
from prompts.clip import Clip

__all__ = ("HEARD_SCORE", "Match", "decoded", "find", "read_recording", "share_heard")

RATE_HZ = 8000
HEARD_SCORE = 0.95
SILENT_SHARE = 1e-3
DISPLACED_S = 0.3


@dataclass(frozen=True, slots=True)
class Match:
    """Where a clip fits a recording best, and how well: 1 is the same but for its level, 0 nothing alike."""

    score: float
    begin_s: float
    end_s: float


def read_recording(path: Path) -> NDArray[np.float64]:
    """Return a mono recording of 8 kHz, 16 bit."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE_HZ)
        data = file.readframes(file.getnframes())
    return np.frombuffer(data, dtype="<i2").astype(np.float64)


def decoded(clip: Clip, codec: str) -> NDArray[np.float64]:
    """Return what a telephone hears of a clip over PCMU or PCMA."""
    samples = g711.ulaw_decode(clip.pcmu) if codec == "PCMU" else g711.alaw_decode(clip.pcma)
    return samples.astype(np.float64)


def find(recording: NDArray[np.float64], sound: NDArray[np.float64], *, from_s: float = 0.0) -> Match:
    """Return where ``sound`` is heard first at or after ``from_s``, or else where it fits best.

    Scores are normalised by the energy of both; where the recording is as good as silent (30 dB below the sound) no
    likeness is made up out of noise.
    """
    skipped = round(max(0.0, from_s) * RATE_HZ)
    rest, n = recording[skipped:], len(sound)
    if len(rest) < n:
        return Match(0.0, from_s, from_s)
    products = signal.correlate(rest, sound, mode="valid", method="fft")
    sums = np.concatenate(([0.0], np.cumsum(rest**2)))
    energy = sums[n:] - sums[:-n]
    loudness = float(sound @ sound)
    scores = products / np.sqrt(np.maximum(energy, SILENT_SHARE * loudness) * loudness)
    best = int(np.argmax(scores))
    heard = np.flatnonzero(scores >= HEARD_SCORE)
    if len(heard):
        first = int(heard[0])
        best = first + int(np.argmax(scores[first : first + n]))
    return Match(float(scores[best]), (skipped + best) / RATE_HZ, (skipped + best + n) / RATE_HZ)


def share_heard(
    recording: NDArray[np.float64], sound: NDArray[np.float64], match: Match, *, piece_s: float = 0.5
) -> float:
    """Return the share of a sound's pieces that are heard at their place, give or take `DISPLACED_S`.

    A machine that stands still for a moment makes a telephone stretch what it hears: all behind that moment is a little
    late, and the whole no longer fits at one place. Pauses within the sound are no pieces of it.
    """
    n, reach = round(piece_s * RATE_HZ), round(DISPLACED_S * RATE_HZ)
    begin = round(match.begin_s * RATE_HZ)
    audible = SILENT_SHARE * float(sound @ sound) * n / len(sound)
    heard = [
        find(recording[max(0, begin + at - reach) : begin + at + n + reach], piece).score >= HEARD_SCORE
        for at in range(0, len(sound) - n + 1, n)
        if float((piece := sound[at : at + n]) @ piece) > audible
    ]
    return sum(heard) / len(heard)
