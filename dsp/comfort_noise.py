"""Comfort noise: what is heard in place of a far end that sends nothing while it is silent, and how to describe ours.

>>> import numpy as np
>>> noise = ComfortNoise(seed=1)
>>> bool(noise.generate(160).any())
False
>>> noise.update(bytes([60]))
True
>>> 25 < float(np.std(noise.generate(8000))) < 40
True
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dsp import _comfort_noise

__all__ = ("MAX_ORDER", "ComfortNoise", "analyse")

MAX_ORDER = _comfort_noise.ORDER
"Reflection coefficients used; a payload may hold more, the rest is left out, which is a model of lower order."


class ComfortNoise:
    """Generate noise as the payloads of RFC 3389 describe it.

    Parameters
    ----------
    seed : int
        0 to 2**32 - 1. The same seed and payloads give the same samples.

    Notes
    -----
    Uniform white noise through an all-pole lattice, int16 at 8 kHz. Level and coefficients glide from one payload's
    to the next one's: 10 ms for the level, within 5 % after 100 ms for the spectrum. The first payload is heard at
    once. Nothing is allocated but the array returned.

    A positive first coefficient raises the high frequencies, a negative one the low: A(z) = 1 + k1 z^-1 + ... The RFC
    leaves the sign open, its implementations agree on this one.

    References
    ----------
    RFC 3389 §3 (payload, level and quantisation).
    """

    def __init__(self, *, seed: int = 1) -> None:
        self._noise = _comfort_noise.Noise(seed)

    def update(self, payload: bytes) -> bool:
        """Take the payload of a packet: the level in -dBov, then coefficients. Tell whether it held a level.

        The level's upper bit is ignored, and what follows a reserved coefficient (255) too.
        """
        return self._noise.update(payload)

    def generate(self, n: int) -> NDArray[np.int16]:
        """Return the next `n` samples; zeros before the first payload."""
        out = np.empty(n, dtype=np.int16)
        self._noise.generate(out)
        return out


def analyse(samples: NDArray[np.int16], *, order: int = 0) -> bytes:
    """Describe background noise as a payload.

    Parameters
    ----------
    samples : array of int16
        20 ms or more of a pause at 8 kHz.
    order : int
        Reflection coefficients to tell, 0 to 12. 0 is a level only, which every receiver understands.

    Returns
    -------
    bytes
        The level in -dBov (127: that or less) and `order` coefficients.

    Raises
    ------
    TypeError
        `samples` is not a one-dimensional int16 array.
    ValueError
        `order` is out of range.

    References
    ----------
    RFC 3389 §3; coefficients by the autocorrelation method (Levinson and Durbin).
    """
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise TypeError(f"samples must be a one-dimensional int16 array, not {samples.ndim}-d {samples.dtype}")
    if not 0 <= order <= MAX_ORDER:
        raise ValueError(f"order {order} is not within 0 and {MAX_ORDER}")
    return _comfort_noise.analyse(np.ascontiguousarray(samples), order)
