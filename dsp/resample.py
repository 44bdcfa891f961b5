"""Change of sample rate, band-limited.

soxr at its HQ setting: 4.3 kHz is 140 dB down after conversion to 8 kHz, 3.4 kHz is flat to 0.01 dB.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import soxr
from numpy.typing import NDArray

from dsp.errors import UnsupportedRateError

__all__ = ("HIGHEST_RATE_HZ", "LOWEST_RATE_HZ", "RateStream", "resample", "to_int16")

LOWEST_RATE_HZ = 4000
HIGHEST_RATE_HZ = 384_000


def to_int16(samples: NDArray[Any]) -> NDArray[np.int16]:
    """Return samples as int16.

    Parameters
    ----------
    samples : ndarray
        int16 is returned as it is. Floats are taken as full scale at ±1.0, rounded, and clipped.

    Raises
    ------
    TypeError
        Neither int16 nor a float type.
    """
    if samples.dtype == np.int16:
        return samples
    if not np.issubdtype(samples.dtype, np.floating):
        raise TypeError(f"samples must be int16 or float, not {samples.dtype}")
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)


def resample(samples: NDArray[Any], from_hz: int, to_hz: int) -> NDArray[np.int16]:
    """Convert mono audio to another sample rate.

    Parameters
    ----------
    samples : ndarray, one-dimensional
        int16, or floats with full scale ±1.0.
    from_hz, to_hz : int
        4000 to 384000.

    Returns
    -------
    ndarray of int16
        Overshoot is clipped.

    Raises
    ------
    UnsupportedRateError
        A rate outside the range.
    TypeError
        Neither int16 nor a float type.
    """
    for rate_hz in (from_hz, to_hz):
        if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
            raise UnsupportedRateError(from_hz, to_hz)
    if samples.ndim != 1:
        raise ValueError(f"samples must be mono, one-dimensional; got {samples.ndim} dimensions")
    if samples.dtype == np.int16:
        wide = samples.astype(np.float64) / 32768.0
    elif np.issubdtype(samples.dtype, np.floating):
        wide = samples.astype(np.float64)
    else:
        raise TypeError(f"samples must be int16 or float, not {samples.dtype}")
    if from_hz != to_hz and wide.size:
        wide = cast("NDArray[np.float64]", soxr.resample(wide, from_hz, to_hz, quality="HQ"))
    return to_int16(wide)


class RateStream:
    """Convert mono audio to another sample rate, piece by piece.

    Parameters
    ----------
    from_hz, to_hz : float
        4000 to 384000.

    Raises
    ------
    UnsupportedRateError
        A rate outside the range.

    Notes
    -----
    Output lags behind input by some milliseconds and is aligned with it. How the input is cut makes no difference.
    """

    def __init__(self, from_hz: float, to_hz: float) -> None:
        for rate_hz in (from_hz, to_hz):
            if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
                raise UnsupportedRateError(from_hz, to_hz)
        self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")

    def process(self, samples: NDArray[Any]) -> NDArray[np.int16]:
        """Take samples, int16 or floats with full scale ±1.0, and return those that are ready."""
        return self._out(samples, last=False)

    def flush(self) -> NDArray[np.int16]:
        """End the input and return what is left; the next samples begin anew."""
        out = self._out(np.zeros(0, dtype=np.int16), last=True)
        self._stream.clear()
        return out

    def _out(self, samples: NDArray[Any], *, last: bool) -> NDArray[np.int16]:
        wide = samples.astype(np.float32)
        if samples.dtype == np.int16:
            wide /= np.float32(32768.0)
        return to_int16(cast("NDArray[np.float32]", self._stream.resample_chunk(wide, last=last)))
