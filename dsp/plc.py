"""Packet loss concealment: what is played in place of a frame that did not come.

>>> import numpy as np
>>> concealer = PacketLossConcealer()
>>> frame = concealer.good(np.zeros(160, dtype=np.int16))
>>> len(concealer.lost())
160
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsp import _plc

__all__ = ("DELAY_SAMPLES", "STEP_SAMPLES", "PacketLossConcealer")

DELAY_SAMPLES = _plc.DELAY
"3.75 ms at 8 kHz: a quarter of the longest period. G.711 Appendix I, algorithm delay."
STEP_SAMPLES = _plc.STEP
"10 ms at 8 kHz. G.711 Appendix I, frame size."


class PacketLossConcealer:
    """Fill gaps in int16 speech at 8 kHz.

    Notes
    -----
    Frames are multiples of `STEP_SAMPLES`, 10 to 60 ms and more; their length may change. Output lies
    `DELAY_SAMPLES` behind input, so that the end of what was heard can still be bent towards what is made up.

    A loss is filled with the last period of 5 to 15 ms, after 10 ms with the last two, after 20 ms with three, joined
    by overlaps of a quarter period. From 10 ms on it is attenuated by 20 % each 10 ms; after 60 ms it is silence. The
    first good frame is faded in over a quarter period and 4 ms for each further 10 ms lost, 10 ms at most.

    The period is searched at full rate, where the standard first searches at half: the same measure, more work, done
    once a loss. Samples without loss come out bit by bit. Nothing is allocated per sample.

    A key's tones have no period of 5 to 15 ms in common: a detector should be told what was lost instead.

    References
    ----------
    ITU-T G.711 Appendix I (09/1999).
    """

    def __init__(self) -> None:
        self._concealer = _plc.Concealer()
        self._frame = 2 * STEP_SAMPLES

    def good(self, frame: NDArray[np.int16]) -> NDArray[np.int16]:
        """Take a frame that came and return as many samples, those of `DELAY_SAMPLES` ago.

        Raises
        ------
        TypeError
            `frame` is not a one-dimensional int16 array.
        ValueError
            Its length is no multiple of `STEP_SAMPLES`.
        """
        if frame.dtype != np.int16 or frame.ndim != 1:
            raise TypeError(f"a frame must be a one-dimensional int16 array, not {frame.ndim}-d {frame.dtype}")
        self._frame = _whole_steps(len(frame))
        out = np.empty(len(frame), dtype=np.int16)
        self._concealer.good(np.ascontiguousarray(frame), out)
        return out

    def lost(self, n: int | None = None) -> NDArray[np.int16]:
        """Return a frame in place of one that did not come.

        Parameters
        ----------
        n : int, optional
            Its length; that of the last frame that came (160 before the first) when not given.

        Raises
        ------
        ValueError
            `n` is no multiple of `STEP_SAMPLES`.
        """
        out: NDArray[Any] = np.empty(self._frame if n is None else _whole_steps(n), dtype=np.int16)
        self._concealer.lost(out)
        return out

    def reset(self) -> None:
        """Forget what was heard."""
        self._concealer.reset()

    @property
    def pitch_samples(self) -> int:
        """Period that the last loss was filled with, 40 to 120 samples."""
        return self._concealer.pitch


def _whole_steps(n: int) -> int:
    if n < 0 or n % STEP_SAMPLES:
        raise ValueError(f"a frame has a multiple of {STEP_SAMPLES} samples, not {n}")
    return n
