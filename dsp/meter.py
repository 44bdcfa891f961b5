"""Speech level.

The active speech level counts speech and leaves the pauses out, so that two sentences sound equally loud. Root mean
square would make a hesitant speaker louder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dsp.errors import NoSpeechError
from dsp.levels import FULL_SCALE, amplitude_of_db, db_of_power

__all__ = ("DEFAULT_PEAK_LIMIT_DBOV", "DEFAULT_TARGET_DBOV", "SpeechLevel", "active_level_dbov", "measure", "normalise")

DEFAULT_TARGET_DBOV = -25.0
"ITU-T G.169 and G.115 want speech at -19 dBm0, which is -25.15 dBov."
DEFAULT_PEAK_LIMIT_DBOV = -1.0
"Peaks stay below: G.711 clips at 0, and codecs behind it overshoot."

TIME_CONSTANT_S = 0.03
"Of each of the envelope's two poles. P.56 clause 6 (method B)."
HANGOVER_S = 0.2
"Speech counts as active this long after the envelope fell. P.56 clause 6 (method B)."
MARGIN_DB = 15.9
"The active level lies this far above the threshold that selected it. P.56 clause 6 (method B)."
THRESHOLDS = 15
"Powers of two from full scale down: one for each bit of int16."


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechLevel:
    """What method B of P.56 says about a recording."""

    active_dbov: float
    "Active speech level."
    activity: float
    "Share of the time that was active, 0 to 1."
    long_term_dbov: float
    "Root mean square of all of it, pauses included."


def measure(samples: NDArray[Any], rate_hz: int) -> SpeechLevel:
    """Measure speech by method B.

    Parameters
    ----------
    samples : ndarray, one-dimensional
        int16, or floats in int16 units.
    rate_hz : int
        Sample rate.

    Raises
    ------
    NoSpeechError
        Empty, or silent, or nothing rises 15.9 dB above the lowest threshold.

    Notes
    -----
    The activity count of each threshold runs over the whole recording at once; about 20 bytes a sample are allocated.

    References
    ----------
    ITU-T P.56 (12/2011), clause 6: speech voltmeter, method B.
    """
    x = np.asarray(samples, dtype=np.float64) / FULL_SCALE
    if x.ndim != 1:
        raise ValueError(f"samples must be mono, one-dimensional; got {x.ndim} dimensions")
    power = float(np.mean(x * x)) if x.size else 0.0
    if power <= 0:
        raise NoSpeechError("nothing but silence")
    g = math.exp(-1 / (rate_hz * TIME_CONSTANT_S))
    # Loaded here: it takes a second, and an engine at work never measures; its speech workers do.
    from scipy import signal

    envelope = cast("NDArray[np.float64]", signal.lfilter([(1 - g) ** 2], [1, -2 * g, g * g], np.abs(x)))
    hangover = math.ceil(HANGOVER_S * rate_hz)
    total = power * x.size
    above: tuple[float, float] | None = None
    for bit in range(THRESHOLDS):
        threshold = 2.0 ** -(bit + 1)
        active = _active_samples(envelope >= threshold, hangover)
        if not active:
            continue
        level_db = db_of_power(total / active)
        excess_db = level_db - 20 * math.log10(threshold) - MARGIN_DB
        if excess_db < 0:
            above = (level_db, excess_db)
            continue
        # Between the last threshold that was too high and this one, by straight lines as P.56 allows.
        if above is not None:
            share = -above[1] / (excess_db - above[1])
            level_db = above[0] + share * (level_db - above[0])
        return SpeechLevel(
            active_dbov=level_db,
            activity=min(1.0, power / 10 ** (level_db / 10)),
            long_term_dbov=db_of_power(power),
        )
    raise NoSpeechError("too quiet or too short to have an active level")


def _active_samples(over: NDArray[np.bool_], hangover: int) -> int:
    """Count samples that are over, or at most `hangover` samples behind one that is."""
    at = np.flatnonzero(over)
    if at.size == 0:
        return 0
    gaps = np.diff(np.append(at, len(over)))
    return int(np.minimum(gaps, hangover + 1).sum())


def active_level_dbov(samples: NDArray[Any], rate_hz: int) -> float:
    """Return the active speech level by P.56 method B; see `measure`."""
    return measure(samples, rate_hz).active_dbov


def normalise(
    samples: NDArray[np.int16],
    rate_hz: int,
    target_dbov: float = DEFAULT_TARGET_DBOV,
    peak_limit_dbov: float = DEFAULT_PEAK_LIMIT_DBOV,
) -> NDArray[np.int16]:
    """Bring speech to a target level.

    Parameters
    ----------
    samples : ndarray of int16
        Mono speech.
    rate_hz : int
        Sample rate.
    target_dbov : float
        Active level wanted. -25 is the network's level; -22 is loud.
    peak_limit_dbov : float
        No sample gets above this; where the target would, the gain is smaller and the level is missed on purpose.

    Raises
    ------
    NoSpeechError
        There is no level to bring anywhere.
    """
    gain = amplitude_of_db(target_dbov - active_level_dbov(samples, rate_hz))
    peak = float(np.max(np.abs(samples.astype(np.float64)))) * gain
    limit = FULL_SCALE * amplitude_of_db(peak_limit_dbov)
    if peak > limit:
        gain *= limit / peak
    louder: NDArray[np.int16] = np.clip(np.rint(samples * gain), -32768, 32767).astype(np.int16)
    return louder
