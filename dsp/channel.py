"""A simulated telephone channel: what happens to audio between two phones, one impairment a function.

For tests and benchmarks. Samples are int16 at 8 kHz in and out; randomness comes from a generator that the caller
seeds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from dsp.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from dsp.levels import amplitude_of_db, power_of_db

__all__ = (
    "Fill",
    "add_echo",
    "add_noise",
    "add_tones",
    "apply_gain",
    "apply_twist",
    "clip",
    "clock_error",
    "lose_frames",
    "through_alaw",
    "through_ulaw",
)

Samples = NDArray[np.int16]


class Fill(StrEnum):
    """What a receiver puts where a frame is missing."""

    ZEROS = "zeros"
    REPEAT = "repeat"
    "The last frame that arrived, again."


def _to_int16(x: NDArray[np.floating[Any]]) -> Samples:
    out: Samples = np.clip(np.rint(x), -32768, 32767).astype(np.int16)
    return out


def apply_gain(samples: Samples, gain_db: float) -> Samples:
    """Amplify; saturates."""
    return _to_int16(samples * amplitude_of_db(gain_db))


def apply_twist(samples: Samples, high_minus_low_db: float) -> Samples:
    """Tilt the band: what lies above 1060 Hz changes by this much against what lies below.

    A linear-phase filter of 401 taps splits the band; its delay is taken out.
    """
    split = signal.firwin(401, 1060, fs=8000)
    low = signal.fftconvolve(samples.astype(np.float64), split, mode="same")
    return _to_int16(low + (samples - low) * amplitude_of_db(high_minus_low_db))


def add_noise(
    samples: Samples, snr_db: float, rng: np.random.Generator, *, signal_power: float | None = None
) -> Samples:
    """Add white noise over 0 to 4 kHz.

    Parameters
    ----------
    samples : ndarray of int16
        The signal.
    snr_db : float
        Signal over noise, both over the whole band.
    rng : numpy.random.Generator
        Source of the noise.
    signal_power : float, optional
        Mean square, in int16 units, that `snr_db` refers to. The mean over `samples` when not given, which counts
        pauses; give the power of a tone to state the ratio while the tone is on.
    """
    power = float(np.mean(np.square(samples, dtype=np.float64))) if signal_power is None else signal_power
    noise = rng.normal(0.0, np.sqrt(power / power_of_db(snr_db)), len(samples))
    return _to_int16(samples + noise)


def add_tones(samples: Samples, tones: tuple[tuple[float, float], ...]) -> Samples:
    """Add steady sines, each (frequency in Hz, peak in int16 units): dial tone, mains hum."""
    t = np.arange(len(samples)) / 8000
    total = samples.astype(np.float64)
    for freq_hz, peak in tones:
        total += peak * np.sin(2 * np.pi * freq_hz * t)
    return _to_int16(total)


def add_echo(samples: Samples, delay_ms: float, gain_db: float) -> Samples:
    """Add one delayed copy. Q.24 speaks of 20 ms."""
    n = round(delay_ms * 8)
    out = samples.astype(np.float64)
    out[n:] += samples[: len(samples) - n] * amplitude_of_db(gain_db)
    return _to_int16(out)


def clip(samples: Samples, by_db: float) -> Samples:
    """Cut peaks off `by_db` below the largest."""
    limit = float(np.max(np.abs(samples.astype(np.float64)))) / amplitude_of_db(by_db)
    return _to_int16(np.clip(samples.astype(np.float64), -limit, limit))


def through_ulaw(samples: Samples) -> Samples:
    """Encode and decode with mu-law."""
    return ulaw_decode(ulaw_encode(samples))


def through_alaw(samples: Samples) -> Samples:
    """Encode and decode with A-law."""
    return alaw_decode(alaw_encode(samples))


def lose_frames(
    samples: Samples, loss: float, rng: np.random.Generator, *, frame: int = 160, fill: Fill = Fill.ZEROS
) -> tuple[Samples, NDArray[np.bool_]]:
    """Lose frames, each by itself with probability `loss`.

    Returns
    -------
    samples : ndarray of int16
        As a receiver would play them.
    lost : ndarray of bool
        One for each frame, a partial last one included.
    """
    out = samples.copy()
    lost = rng.random(-(-len(samples) // frame)) < loss
    for index in np.flatnonzero(lost):
        start = int(index) * frame
        stop = min(start + frame, len(samples))
        if fill is Fill.REPEAT and start > 0:
            out[start:stop] = out[start - frame : stop - frame]
        else:
            out[start:stop] = 0
    return out, lost


def clock_error(samples: Samples, ratio: float) -> Samples:
    """Play too fast by `ratio` (0.01: 1 %), as a receiver with a slower clock hears it. Band-limited.

    The signal is read off at other instants with a windowed sinc of 32 samples; 3.4 kHz is good to 0.1 dB.
    """
    half = 16
    at = np.arange(int(len(samples) / (1 + ratio))) * (1 + ratio)
    whole = np.floor(at).astype(np.int64)
    padded = np.concatenate([np.zeros(half), samples.astype(np.float64), np.zeros(half + 1)])
    out = np.zeros(len(at))
    for k in range(-half + 1, half + 1):
        distance = k - (at - whole)
        window = 0.5 + 0.5 * np.cos(np.pi * distance / half)
        out += padded[whole + half + k] * np.sinc(distance) * np.where(np.abs(distance) < half, window, 0.0)
    return _to_int16(out)
