"""Mask: audio goes through, keys do not.

Two milliseconds of a key's tone are enough to tell which key it was, so none may be left. Audio waits 60 ms in a delay
line; a recogniser that takes far too much for a key looks at its newest end, and what it takes is replaced before it
leaves, from its first sample to its last and 10 ms on each side, by a flat tone that says nothing.

>>> import numpy as np
>>> from dsp.dtmf import DtmfDetector, generate
>>> mask, detector = ToneMask(), DtmfDetector()
>>> detector.process(mask.process(generate("4242"))) + detector.process(mask.flush())
[]
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsp import _mask

__all__ = ("DELAY_SAMPLES", "FLAT_TONE_DBM0", "FLAT_TONE_HZ", "LEAST_SAMPLES", "MaskFill", "ToneMask")

DELAY_SAMPLES = _mask.DELAY
"60 ms at 8 kHz. Two hits of a receiver with 12.75 ms blocks take 40 ms; the rest is for noise, guard and fade."
LEAST_SAMPLES = _mask.LEAST
"100 ms: a shorter key is not told from one of this length."
FLAT_TONE_HZ = 440.0
"Choice: receivers stop it with the dial tones, and it is no harmonic or neighbour of a key's tones."
FLAT_TONE_DBM0 = -20.0
"Choice: heard by whoever listens, and quieter than a key."


class MaskFill(StrEnum):
    """What is heard in place of a key."""

    TONE = "tone"
    "440 Hz at -20 dBm0: the listener knows that a key was pressed, and not which."
    SILENCE = "silence"


class ToneMask:
    """Take keys out of int16 audio at 8 kHz, given in pieces of any length.

    Parameters
    ----------
    fill : MaskFill
        What is heard in place of a key.
    enabled : bool
        Whether to mask from the first sample on.

    Notes
    -----
    Output lies `DELAY_SAMPLES` behind input, masked or not, so switching splices nothing. How the input is cut makes no
    difference. Nothing is allocated per sample; one mask holds about 7 kB.

    Taken out: both tones of a key at -42 dBm0 and more, high minus low -12 to +9 dB, off by up to 2.5 %, for 20 ms and
    more where nothing else is heard. What is recognised goes from first to last sample, with gaps of up to 10 ms and an
    echo of 30 ms. A single tone is left alone; what lies beside a recognised key in either of its tones goes with it.

    Under other sound 40 ms are needed, and frequencies within 1.5 %. `python -m benchmarks.residue` counts what is
    left: nothing with white noise or voices 10 dB below and no loss; of 1,000 keys 2 in white noise 4 dB below, 5 with
    babble 5 dB below, 8 with a single voice 5 dB below, for whose peaks are louder than the key. Event marks do not
    miss. Of 10,000 keys cut by losses that the mask was told of, one leaves a splinter. See docs/mask.md.

    Masked stretches last 100 ms at least (50 ms where only the edges of a loss are hidden), always begin with the same
    phase and have one level. Audio fades over 5 ms
    outside the guard of 10 ms. Where a mark comes too late for a fade, the cut is hard: a click and not a leak.
    Speech is masked for 0 to 2.6 % of its time, music for 3 to 17 %: in doubt it is a key.

    References
    ----------
    PCI SSC, Protecting Telephone-Based Payment Card Data (2018): masking of DTMF. ITU-T Q.24 annex A: what a key is.
    """

    def __init__(self, *, fill: MaskFill = MaskFill.TONE, enabled: bool = True) -> None:
        self._mask = _mask.Mask(FLAT_TONE_DBM0 if fill is MaskFill.TONE else -200.0)
        self._mask.enable(enabled)

    def process(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Take samples and return as many, those of `DELAY_SAMPLES` ago; silence before the first.

        Raises
        ------
        TypeError
            `samples` is not a one-dimensional int16 array.
        """
        out = np.empty(len(samples), dtype=np.int16)
        self._mask.process(_int16(samples), out)
        return out

    def flush(self) -> NDArray[np.int16]:
        """Return what is still in the line. Positions go on behind `DELAY_SAMPLES` of silence."""
        return self.process(np.zeros(DELAY_SAMPLES, dtype=np.int16))

    def mark(self, start: int, end: int | None = None) -> None:
        """Say that a key is known from elsewhere: an RFC 4733 event, SIP INFO.

        Parameters
        ----------
        start : int
            Position of its first sample, counted from the mask's first. What has left the line is gone; what has not
            is masked, 10 ms before it included.
        end : int, optional
            Position after its last sample; it may lie ahead. Without it the mark stays open until a call gives an end:
            the caller sees to it that one comes.

        Raises
        ------
        ValueError
            A negative position, or an end before the start.

        Notes
        -----
        Marks that have not passed yet grow together: what lies between them is masked too.
        """
        if start < 0 or (end is not None and end < start):
            raise ValueError(f"a mark runs from 0 or later to its end, not from {start} to {end}")
        self._mask.mark(start, -1 if end is None else end)

    def concealed(self, start: int, end: int) -> None:
        """Say that what comes from start to end was made up in place of lost audio, zeros or repeated periods.

        A key may have been cut there to any length: what touches a loss is taken for one far sooner.

        Parameters
        ----------
        start, end : int
            Positions as of `mark`; a concealer that lags makes up later than was lost. To be told before the first of
            these samples is given.

        Raises
        ------
        ValueError
            A negative position, or an end before the start.
        """
        if not 0 <= start <= end:
            raise ValueError(f"what is made up runs from 0 or later to its end, not from {start} to {end}")
        self._mask.concealed(start, end)

    def hold(self, on: bool) -> None:
        """Replace everything, key or not, `enabled` or not, as long as it is on: for whoever wants no risk.

        Nothing leaves any more from this call on, what waits in the line included: the cut is hard. Switched off,
        what came in before stays replaced, and what comes in from then on goes through; a key that is pressed over
        that moment is recognised as always.
        """
        self._mask.hold(on)

    def reset(self) -> None:
        """Forget everything, marks and audio; the next sample is number 0. `enabled` and `holding` stay."""
        enabled, holding = self.enabled, self.holding
        self._mask.reset()
        self._mask.enable(enabled)
        self._mask.hold(holding)

    @property
    def holding(self) -> bool:
        """Whether everything is replaced."""
        return self._mask.holding

    @property
    def enabled(self) -> bool:
        """Whether keys are masked.

        Switched off, what came in before stays masked, and so does a key that had begun, to its end. Switched on, all
        that comes in from then on is safe, and what is in the line as far as it can be recognised.
        """
        return self._mask.enabled

    @enabled.setter
    def enabled(self, on: bool) -> None:
        self._mask.enable(on)

    @property
    def delay_samples(self) -> int:
        """Samples by which output lies behind input."""
        return DELAY_SAMPLES

    @property
    def masking(self) -> bool:
        """Whether the sample that went out last was masked."""
        return self._mask.masking

    @property
    def masked_samples(self) -> int:
        """How many samples went out with less than all of their audio."""
        return self._mask.masked

    @property
    def position(self) -> int:
        """Samples taken."""
        return self._mask.position


def _int16(samples: NDArray[Any]) -> NDArray[Any]:
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise TypeError(f"samples must be a one-dimensional int16 array, not {samples.ndim}-d {samples.dtype}")
    return np.ascontiguousarray(samples)
