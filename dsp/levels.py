"""Levels, and the one reference they are counted from.

Samples are int16. A sine that peaks at 32767 is a full-scale sine: it is **+3.14 dBm0** (A-law's overload point, ITU-T
G.711 clause 5) and **-3.01 dBov** (ITU-T P.56 and G.100.1: 0 dBov is a square wave at full scale). mu-law would put the
same sine at +3.17 dBm0; the 0.03 dB are left out everywhere, so a level means one thing.

>>> round(peak_of_dbm0(3.14))
32767
>>> round(dbov_of_dbm0(-19.0), 2)
-25.15
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = (
    "FULL_SCALE",
    "FULL_SCALE_SINE_DBM0",
    "FULL_SCALE_SINE_DBM0_ULAW",
    "FULL_SCALE_SINE_DBOV",
    "LOWEST_DB",
    "amplitude_of_db",
    "db_of_amplitude",
    "db_of_power",
    "dbm0_of_dbov",
    "dbm0_of_peak",
    "dbov_of_dbm0",
    "peak_of_dbm0",
    "power_of_db",
    "rms_dbm0",
    "rms_dbov",
)

FULL_SCALE = 32767
"Largest int16 sample; the peak of a full-scale sine and the amplitude of 0 dBov."
FULL_SCALE_SINE_DBM0 = 3.14
"Level of a full-scale sine, A-law scale. ITU-T G.711 clause 5."
FULL_SCALE_SINE_DBM0_ULAW = 3.17
"The same in mu-law; stated for comparison with other equipment, not used."
FULL_SCALE_SINE_DBOV = -10 * math.log10(2)
"Level of a full-scale sine relative to overload, -3.01 dBov. ITU-T G.100.1."
LOWEST_DB = -200.0
"What silence measures: a floor, so that no level is minus infinity."


def amplitude_of_db(db: float) -> float:
    """Return the amplitude ratio of `db`."""
    return float(10.0 ** (db / 20))


def power_of_db(db: float) -> float:
    """Return the power ratio of `db`."""
    return float(10.0 ** (db / 10))


def db_of_amplitude(ratio: float) -> float:
    """Return an amplitude ratio in dB; `LOWEST_DB` for nothing."""
    return max(20 * math.log10(ratio), LOWEST_DB) if ratio > 0 else LOWEST_DB


def db_of_power(ratio: float) -> float:
    """Return a power ratio in dB; `LOWEST_DB` for nothing."""
    return max(10 * math.log10(ratio), LOWEST_DB) if ratio > 0 else LOWEST_DB


def peak_of_dbm0(level_dbm0: float) -> float:
    """Return the peak, in int16 units, of a sine of this level."""
    return FULL_SCALE * amplitude_of_db(level_dbm0 - FULL_SCALE_SINE_DBM0)


def dbm0_of_peak(peak: float) -> float:
    """Return the level in dBm0 of a sine with this peak in int16 units."""
    return db_of_amplitude(peak / FULL_SCALE) + FULL_SCALE_SINE_DBM0


def dbov_of_dbm0(level_dbm0: float) -> float:
    """Return a level in dBm0 as dBov."""
    return level_dbm0 - FULL_SCALE_SINE_DBM0 + FULL_SCALE_SINE_DBOV


def dbm0_of_dbov(level_dbov: float) -> float:
    """Return a level in dBov as dBm0."""
    return level_dbov - FULL_SCALE_SINE_DBOV + FULL_SCALE_SINE_DBM0


def rms_dbov(samples: NDArray[Any]) -> float:
    """Return the root-mean-square level of int16 samples (or floats in int16 units), pauses included."""
    if samples.size == 0:
        return LOWEST_DB
    return db_of_power(float(np.mean(np.square(samples, dtype=np.float64))) / FULL_SCALE**2)


def rms_dbm0(samples: NDArray[Any]) -> float:
    """Return the root-mean-square level in dBm0: a full-scale sine measures +3.14."""
    return dbm0_of_dbov(rms_dbov(samples))
