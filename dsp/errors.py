"""What can go wrong in dsp.

::

    DspError
    ├── ProfileError(ValueError)         a detector's thresholds contradict each other or the method
    ├── UnsupportedRateError(ValueError) a sample rate that cannot be converted
    └── NoSpeechError(ValueError)        a level was asked for of audio that has no active speech

A wrong type or shape of an argument is a `TypeError` or `ValueError`, as in numpy.
"""

from __future__ import annotations

__all__ = ("DspError", "NoSpeechError", "ProfileError", "UnsupportedRateError")


class DspError(Exception):
    """Root of the errors of dsp."""


class ProfileError(DspError, ValueError):
    """A detector's thresholds contradict each other or go beyond what the method can tell."""


class UnsupportedRateError(DspError, ValueError):
    """A sample rate that cannot be converted.

    ``from_hz`` and ``to_hz`` name the rates asked for.
    """

    def __init__(self, from_hz: float, to_hz: float) -> None:
        super().__init__(f"cannot resample from {from_hz} Hz to {to_hz} Hz: rates must lie between 4000 and 384000 Hz")
        self.from_hz = from_hz
        self.to_hz = to_hz


class NoSpeechError(DspError, ValueError):
    """The audio has no active speech level: it is empty, silent, or too short."""
