"""Tones for tests: written beside `dsp.dtmf.generate`, so that detector and generator are not checked by each other."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dsp.channel import through_alaw, through_ulaw
from dsp.dtmf import ITU_Q24, DtmfDetection, DtmfDetector, DtmfProfile

__all__ = ("KEYPAD", "LAWS", "Samples", "detect", "digits", "key", "keys", "silence")

Samples = NDArray[np.int16]

KEYPAD = ("123A", "456B", "789C", "*0#D")
"Rows and columns as Q.23 figure 1 has them."
ROWS_HZ = (697, 770, 852, 941)
COLUMNS_HZ = (1209, 1336, 1477, 1633)


def _linear(samples: Samples) -> Samples:
    return samples


LAWS: dict[str, Callable[[Samples], Samples]] = {"linear": _linear, "mu-law": through_ulaw, "A-law": through_alaw}


def silence(ms: float) -> Samples:
    return np.zeros(round(8 * ms), dtype=np.int16)


def key(
    digit: str,
    ms: float,
    *,
    low_dbm0: float = -9.0,
    high_dbm0: float = -9.0,
    low_offset: float = 0.0,
    high_offset: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Samples:
    """One key, switched hard; phases from `rng`, or zero."""
    row = next(i for i, text in enumerate(KEYPAD) if digit in text)
    column = KEYPAD[row].index(digit)
    t = np.arange(round(8 * ms)) / 8000
    phases = (0.0, 0.0) if rng is None else rng.uniform(0, 2 * math.pi, 2)
    # +3.14 dBm0 is a sine that peaks at full scale.
    low = 32767 * 10 ** ((low_dbm0 - 3.14) / 20)
    high = 32767 * 10 ** ((high_dbm0 - 3.14) / 20)
    tone = low * np.sin(2 * math.pi * ROWS_HZ[row] * (1 + low_offset) * t + phases[0])
    tone += high * np.sin(2 * math.pi * COLUMNS_HZ[column] * (1 + high_offset) * t + phases[1])
    out: Samples = np.clip(np.rint(tone), -32768, 32767).astype(np.int16)
    return out


def keys(
    text: str,
    on_ms: float,
    off_ms: float,
    rng: np.random.Generator,
    *,
    make: Callable[[str], Samples] | None = None,
) -> Samples:
    """A sequence between silences of 200 ms; up to 5 ms are added to each pause, so keys fall anywhere in a block."""
    parts = [silence(200)]
    for digit in text:
        parts.append(key(digit, on_ms, rng=rng) if make is None else make(digit))
        parts.append(silence(off_ms + float(rng.integers(0, 40)) / 8))
    return np.concatenate([*parts, silence(200)])


def detect(samples: Samples, profile: DtmfProfile = ITU_Q24) -> list[DtmfDetection]:
    detector = DtmfDetector(profile)
    return detector.process(samples) + detector.flush()


def digits(found: list[DtmfDetection]) -> str:
    """The digits whose start was reported, in order."""
    return "".join(d.digit for d in found if d.end is None)
