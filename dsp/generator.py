"""A string of digits as audio, piece by piece: for the softphone, tests and prompts.

`dsp.dtmf.generate` makes the same audio at once, at any rate; `dsp.dtmf.ToneSource` is one digit.

>>> source = DigitSource("42", on_ms=50, off_ms=30)
>>> len(source.read(1000)), len(source.read(1000)), source.done
(1000, 280, True)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsp import _oscillator
from dsp.dtmf import CODES, RATE_HZ

__all__ = ("DigitSource",)


class DigitSource:
    """Key a string of digits, mixed into 8 kHz audio or read as it is.

    Parameters
    ----------
    digits : str or iterable of str
        ``0-9 * # A-D``.
    level_dbm0 : float
        Level of the low tone.
    high_minus_low_db : float
        Added to the high tone: 2 dB is what handsets send, negative is AT&T's normal twist.
    on_ms, off_ms : float
        Tone and pause of each digit; the pause follows it.
    frequency_offset : float or (float, float)
        Ratio by which both tones, or the low and the high tone, are off: 0.015 is 1.5 % high.
    phase : (float, float)
        Start phase in radians of the low and the high tone of each digit.
    ramp_ms : float
        Raised-cosine rise and fall, inside `on_ms`: a key neither starts nor ends with a click.
    lead_in_ms : float
        Silence before the first digit.

    Raises
    ------
    ValueError
        An unknown digit, a value that is not finite, or a negative duration.

    Notes
    -----
    The same samples as `dsp.dtmf.generate`, within 1, and the same however the output is cut. Digits are kept as codes
    and dropped one by one as they are keyed: the last may be a card's.
    """

    def __init__(
        self,
        digits: Iterable[str],
        *,
        level_dbm0: float = -9.0,
        high_minus_low_db: float = 0.0,
        on_ms: float = 80.0,
        off_ms: float = 80.0,
        frequency_offset: float | tuple[float, float] = 0.0,
        phase: tuple[float, float] = (0.0, 0.0),
        ramp_ms: float = 1.0,
        lead_in_ms: float = 0.0,
    ) -> None:
        offsets = frequency_offset if isinstance(frequency_offset, tuple) else (frequency_offset, frequency_offset)
        durations = (on_ms, off_ms, ramp_ms, lead_in_ms)
        if not all(map(math.isfinite, (level_dbm0, high_minus_low_db, *offsets, *phase, *durations))):
            raise ValueError("level, twist, offsets, phases and durations must be finite")
        if min(durations) < 0:
            raise ValueError("durations cannot be negative")
        try:
            self._codes = [CODES[digit] for digit in digits][::-1]
        except KeyError:
            raise ValueError("a digit is one of 0-9 * # A-D") from None  # without its value: it may be someone's PIN
        self._tone = (level_dbm0, _samples(on_ms), _samples(ramp_ms), high_minus_low_db, *offsets, *phase)
        self._n_off = _samples(off_ms)
        self._oscillator: _oscillator.Oscillator | None = None
        self._tone_left = 0
        self._silence_left = _samples(lead_in_ms)

    def fill(self, out: NDArray[np.int16]) -> int:
        """Mix the next samples into `out`, saturating; return how many were the source's, pauses included.

        Raises
        ------
        TypeError
            `out` is not a one-dimensional int16 array.
        """
        if out.dtype != np.int16 or out.ndim != 1:
            raise TypeError(f"out must be a one-dimensional int16 array, not {out.ndim}-d {out.dtype}")
        at = 0
        while at < len(out) and not self.done:
            if self._silence_left:
                n = min(self._silence_left, len(out) - at)
                self._silence_left -= n
            elif self._oscillator is not None and self._tone_left:
                n = self._oscillator.fill(out[at : at + self._tone_left])
                self._tone_left -= n
                if not self._tone_left:
                    self._silence_left = self._n_off
            else:
                self._next()
                continue
            at += n
        return at

    def read(self, n: int) -> NDArray[np.int16]:
        """Return the next samples: `n`, or fewer where the source ends.

        Raises
        ------
        ValueError
            `n` is negative.
        """
        if n < 0:
            raise ValueError("n cannot be negative")
        out: NDArray[Any] = np.zeros(n, dtype=np.int16)
        return out[: self.fill(out)]

    @property
    def done(self) -> bool:
        """Whether the last digit and its pause have been given."""
        return not (self._codes or self._tone_left or self._silence_left)

    def _next(self) -> None:
        code = self._codes.pop()
        level_dbm0, n_on, ramp, high_minus_low_db, low_offset, high_offset, low_phase, high_phase = self._tone
        self._oscillator = _oscillator.Oscillator(
            code,
            level_dbm0,
            n_on,
            ramp,
            high_minus_low_db=high_minus_low_db,
            low_offset=low_offset,
            high_offset=high_offset,
            low_phase=low_phase,
            high_phase=high_phase,
        )
        self._tone_left = n_on
        if not n_on:
            self._silence_left = self._n_off


def _samples(ms: float) -> int:
    return round(ms * RATE_HZ / 1000)
