"""DTMF: the detector that hears keys, the generator that sends them, and every threshold by name.

A digit is one of ``0-9 * # A-D``. Codes are those of RFC 4733 section 3.2: 0 to 9, 10 for ``*``, 11 for ``#``, 12 to 15
for ``A`` to ``D``.

>>> import numpy as np
>>> detector = DtmfDetector()
>>> [found.digit for found in detector.process(generate("42#")) + detector.flush() if found.end is None]
['4', '2', '#']
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsp import _detector, _oscillator
from dsp._tonefit import KEY_CODES
from dsp.g711 import alaw_decode, ulaw_decode
from dsp.levels import peak_of_dbm0
from dsp.profile import ETSI, ITU_Q24, NORTH_AMERICA, PROFILES, SENSITIVE, STRICT, DtmfProfile
from dsp.resample import RateStream, to_int16

__all__ = (
    "CODES",
    "DIGITS",
    "ETSI",
    "HIGH_HZ",
    "ITU_Q24",
    "LOW_HZ",
    "NORTH_AMERICA",
    "PROFILES",
    "RATES_HZ",
    "RATE_HZ",
    "SENSITIVE",
    "STRICT",
    "DtmfBank",
    "DtmfDetection",
    "DtmfDetector",
    "DtmfKind",
    "DtmfNearMiss",
    "DtmfProfile",
    "Encoding",
    "ToneSource",
    "frequencies_hz",
    "generate",
    "params",
)

RATE_HZ = 8000
RATES_HZ = (8000, 16000, 48000)
"What a detector takes; it works at the first."
LOW_HZ = (697, 770, 852, 941)
"The low group, one for each row of keys. ITU-T Q.23 clause 4."
HIGH_HZ = (1209, 1336, 1477, 1633)
"The high group, one for each column. ITU-T Q.23 clause 4."
DIGITS = "0123456789*#ABCD"
"Indexed by RFC 4733 event code."
CODES = {digit: code for code, digit in enumerate(DIGITS)}
"RFC 4733 event code of each digit."

BLOCK = 40
"Samples of a block, 5 ms: the grain of the detector's decisions."
FLUSH_SAMPLES = 20 * BLOCK
"100 ms of silence that ends any key: longer than a window and the longest pause a profile may ask for."


class DtmfKind(StrEnum):
    """What a detection says of a key."""

    START = "start"
    "It is confirmed."
    END = "end"
    "It was released."
    PROVISIONAL = "provisional"
    "The front end hears one; not yet confirmed. At most 30 ms after its tone began."
    WITHDRAWN = "withdrawn"
    "What was provisional is none."


class Encoding(StrEnum):
    """How samples come in."""

    PCM16 = "pcm16"
    "An int16 array."
    ULAW = "ulaw"
    "Bytes of G.711 mu-law."
    ALAW = "alaw"
    "Bytes of G.711 A-law."
    FLOAT = "float"
    "A float array, full scale ±1; what is not a number counts as silence."


@dataclass(frozen=True, slots=True, kw_only=True)
class DtmfDetection:
    """A key: first when it is confirmed (`end` is None), once more when it was released."""

    digit: str = field(repr=False)  # a key may be part of a card number: no log line shows it
    code: int = field(repr=False)
    "RFC 4733 event code."
    start: int
    "Sample at which the tone began, counted from the detector's first; good to about 2 ms."
    end: int | None
    "Sample at which it ended; None while it is held."
    low_dbm0: float
    "Level of the low tone when it was confirmed."
    high_dbm0: float
    "Level of the high tone."
    low_offset: float = 0.0
    "Deviation of the low tone's frequency (ratio)."
    high_offset: float = 0.0
    "Deviation of the high tone's frequency."
    confidence: float = 0.0
    "0 to 1: the least that a confirming window had."
    kind: DtmfKind = DtmfKind.START

    @property
    def high_minus_low_db(self) -> float:
        """Return the twist: negative when the low tone is the stronger."""
        return self.high_dbm0 - self.low_dbm0


@dataclass(frozen=True, slots=True, kw_only=True)
class DtmfNearMiss:
    """Two tones that looked like a key for a while and became none."""

    digit: str = field(repr=False)
    position: int
    "Sample at which the best window of 25 ms began."
    reason: str
    "The limit that this window broke, one of `dsp._detector.REASONS`."
    confidence: float


class DtmfDetector:
    """Hear keys in audio that comes in pieces of any length.

    Parameters
    ----------
    profile : DtmfProfile
        What counts as a key.
    rate_hz : int
        8000, or 16000 or 48000, which are resampled. Positions are samples at this rate.
    encoding : Encoding or str
        What `process` takes. G.711 is always 8 kHz.
    provisional : bool
        Also report keys before they are confirmed, and take those back that are not.
    near_misses : bool
        Keep near misses for `near_misses`.

    Raises
    ------
    ValueError
        A rate or an encoding outside the supported set.

    Notes
    -----
    A key is reported at most 40 ms after its tone began. How the input is cut makes no difference to what is found.
    Nothing is allocated per sample; one detector holds about 6 kB.

    References
    ----------
    ITU-T Q.23 (frequencies), ITU-T Q.24 annex A (limits), RFC 4733 section 3.2 (codes).
    """

    def __init__(
        self,
        profile: DtmfProfile = ITU_Q24,
        *,
        rate_hz: int = RATE_HZ,
        encoding: Encoding | str = Encoding.PCM16,
        provisional: bool = False,
        near_misses: bool = False,
    ) -> None:
        if rate_hz not in RATES_HZ:
            raise ValueError(f"rate_hz must be one of {', '.join(map(str, RATES_HZ))}, not {rate_hz}")
        self.profile = profile
        self.rate_hz = rate_hz
        self.encoding = Encoding(encoding)
        if rate_hz != RATE_HZ and self.encoding in (Encoding.ULAW, Encoding.ALAW):
            raise ValueError(f"G.711 has {RATE_HZ} samples a second, not {rate_hz}")
        self._detector = _detector.Detector(params(profile, provisional=provisional, near_misses=near_misses))
        self._near_misses: list[DtmfNearMiss] = []
        self._stream: RateStream | None = None if rate_hz == RATE_HZ else RateStream(rate_hz, RATE_HZ)
        self._direct = self._stream is None and self.encoding is Encoding.PCM16

    def process(self, samples: NDArray[Any] | bytes) -> list[DtmfDetection]:
        """Take samples in the detector's encoding and return what became known with them.

        Raises
        ------
        TypeError
            `samples` is not what the encoding says.
        """
        if self._direct:
            try:
                events = self._detector.process(samples)  # type: ignore[arg-type]  # what it refuses is looked at below
            except (TypeError, ValueError):
                events = self._detector.process(_decoded(samples, self.encoding))
            return self._heard(events) if events else []
        pcm = _decoded(samples, self.encoding)
        if self._stream is not None:
            pcm = self._stream.process(pcm)
        return self._heard(self._detector.process(pcm))

    def lost(self, n_samples: int) -> list[DtmfDetection]:
        """Say that samples never arrived, and return what this makes known.

        Up to 20 ms are made up from what came before, so that what is heard on both sides joins. A held key is held
        over a longer loss, up to the profile's `max_lost_samples`; nothing is heard in one.
        """
        found: list[_detector._Event] = []
        if self._stream is not None and n_samples > 0:
            found = self._detector.process(self._stream.flush())
            n_samples = round(n_samples * RATE_HZ / self.rate_hz)
        return self._heard(found + self._detector.lost(n_samples))

    def flush(self) -> list[DtmfDetection]:
        """End the input: a key still held ends. Positions go on behind 100 ms of silence."""
        found = [] if self._stream is None else self._heard(self._detector.process(self._stream.flush()))
        return found + self._heard(self._detector.process(np.zeros(FLUSH_SAMPLES, dtype=np.int16)))

    def reset(self) -> None:
        """Forget everything; the next sample is number 0."""
        self._detector.reset()
        self._near_misses = []
        if self._stream is not None:
            self._stream.flush()

    def copy(self) -> DtmfDetector:
        """Return a detector that stands where this one stands. Only at 8 kHz.

        Raises
        ------
        ValueError
            The detector resamples: the resampler's state cannot be copied.
        """
        if self._stream is not None:
            raise ValueError(f"a detector at {self.rate_hz} Hz cannot be copied")
        other = copy.copy(self)
        other._detector = self._detector.copy()
        other._near_misses = list(self._near_misses)
        return other

    def near_misses(self) -> list[DtmfNearMiss]:
        """Return the near misses since the last call; none unless the detector was made to keep them."""
        out, self._near_misses = self._near_misses, []
        return out

    def _heard(self, events: list[_detector._Event]) -> list[DtmfDetection]:
        out = []
        for event in events:
            if event[0] in _KINDS:
                out.append(_detection(event, self.rate_hz))
            else:
                self._near_misses.append(
                    DtmfNearMiss(
                        digit=DIGITS[event[1]],
                        position=max(0, _at_rate(event[2], self.rate_hz)),
                        reason=_detector.REASONS[event[9]],
                        confidence=event[8],
                    )
                )
        return out


class DtmfBank:
    """Hear keys on many channels at once, a frame of each in one call.

    Parameters
    ----------
    n_channels : int
        1 at least.
    profile : DtmfProfile
        What counts as a key, on all of them.

    Notes
    -----
    Each channel says, bit for bit, what a `DtmfDetector` of its own would. The GIL is free while they work.
    """

    def __init__(self, n_channels: int, profile: DtmfProfile = ITU_Q24, *, provisional: bool = False) -> None:
        self.profile = profile
        self._bank = _detector.Bank(n_channels, params(profile, provisional=provisional))

    def process(self, frames: NDArray[np.int16]) -> list[tuple[int, DtmfDetection]]:
        """Take samples of every channel, one a row, and return what became known, with its channel.

        Raises
        ------
        TypeError
            Not a two-dimensional int16 array.
        ValueError
            Another number of rows than channels.
        """
        if frames.dtype != np.int16 or frames.ndim != 2:
            raise TypeError(f"frames must be a two-dimensional int16 array, not {frames.ndim}-d {frames.dtype}")
        found = self._bank.process(np.ascontiguousarray(frames))
        return [(channel, _detection(event, RATE_HZ)) for channel, event in found]

    def lost(self, channel: int, n_samples: int) -> None:
        """Say that samples of one channel never arrived."""
        self._bank.lost(channel, n_samples)

    def reset(self, channel: int) -> None:
        """Forget everything about one channel; its next sample is number 0."""
        self._bank.reset(channel)


def params(profile: DtmfProfile, *, provisional: bool = False, near_misses: bool = False) -> dict[str, float]:
    """Return a profile as the compiled detector takes it."""
    return asdict(profile) | {"provisional": int(provisional), "near_misses": int(near_misses)}


def frequencies_hz(digit: str) -> tuple[int, int]:
    """Return a digit's low and high frequency in Hz."""
    key = KEY_CODES.index(_code(digit))
    return LOW_HZ[key // 4], HIGH_HZ[key % 4]


def generate(
    digits: Iterable[str],
    *,
    rate_hz: int = RATE_HZ,
    level_dbm0: float = -9.0,
    high_minus_low_db: float = 0.0,
    on_ms: float = 80.0,
    off_ms: float = 80.0,
    frequency_offset: float | tuple[float, float] = 0.0,
    phase: tuple[float, float] = (0.0, 0.0),
    ramp_ms: float = 1.0,
) -> NDArray[np.int16]:
    """Make DTMF audio.

    Parameters
    ----------
    digits : str or iterable of str
        ``0-9 * # A-D``.
    rate_hz : int
        Sample rate; 4000 at least, or the high group does not fit.
    level_dbm0 : float
        Level of the low tone. The sum's peak is clipped at int16.
    high_minus_low_db : float
        Added to the high tone: 2 dB is what handsets send, negative is AT&T's normal twist.
    on_ms, off_ms : float
        Tone and pause of each digit; the pause follows it.
    frequency_offset : float or (float, float)
        Ratio by which both tones, or the low and the high tone, are off: 0.015 is 1.5 % high.
    phase : (float, float)
        Start phase in radians of the low and the high tone.
    ramp_ms : float
        Raised-cosine rise and fall, inside `on_ms`.

    Returns
    -------
    ndarray of int16

    Raises
    ------
    ValueError
        An unknown digit, a rate below 4000 Hz, or a negative duration.

    Examples
    --------
    >>> len(generate("1", on_ms=50, off_ms=30))
    640
    """
    if rate_hz < 4000:
        raise ValueError(f"rate_hz must be at least 4000, not {rate_hz}")
    if on_ms < 0 or off_ms < 0 or ramp_ms < 0:
        raise ValueError("durations cannot be negative")
    offsets = frequency_offset if isinstance(frequency_offset, tuple) else (frequency_offset, frequency_offset)
    n_on, n_off = round(on_ms * rate_hz / 1000), round(off_ms * rate_hz / 1000)
    peaks = (peak_of_dbm0(level_dbm0), peak_of_dbm0(level_dbm0 + high_minus_low_db))
    t = np.arange(n_on) / rate_hz
    envelope = _envelope(n_on, min(round(ramp_ms * rate_hz / 1000), n_on // 2))
    pieces: list[NDArray[np.int16]] = []
    for digit in digits:
        tone = np.zeros(n_on)
        for freq_hz, offset, start, peak in zip(frequencies_hz(digit), offsets, phase, peaks, strict=True):
            tone += peak * np.sin(2 * np.pi * freq_hz * (1 + offset) * t + start)
        pieces.append(np.clip(np.rint(tone * envelope), -32768, 32767).astype(np.int16))
        pieces.append(np.zeros(n_off, dtype=np.int16))
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int16)


class ToneSource:
    """One digit, mixed into 8 kHz audio piece by piece: what the media plane keys into a call.

    Parameters
    ----------
    digit : str
        ``0-9 * # A-D``.
    level_dbm0 : float
        Level of each tone.
    on_ms : float
        Length.
    ramp_ms : float
        Raised-cosine rise and fall, inside `on_ms`.

    Notes
    -----
    Two rotating phasors in double precision: no table, no drift, the same samples however the output is cut.
    """

    def __init__(self, digit: str, *, level_dbm0: float = -9.0, on_ms: float = 80.0, ramp_ms: float = 1.0) -> None:
        self._oscillator = _oscillator.Oscillator(
            _code(digit), level_dbm0, round(on_ms * RATE_HZ / 1000), round(ramp_ms * RATE_HZ / 1000)
        )

    def fill(self, out: NDArray[np.int16]) -> int:
        """Mix the next samples into `out`, saturating; return how many had tone in them."""
        return self._oscillator.fill(out)


def _code(digit: str) -> int:
    try:
        return CODES[digit]
    except KeyError:
        raise ValueError("a digit is one of 0-9 * # A-D") from None  # without its value: it may be someone's PIN


def _envelope(n: int, ramp: int) -> NDArray[np.float64]:
    envelope = np.ones(n)
    if ramp:
        rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / ramp)
        envelope[:ramp] = rise
        envelope[n - ramp :] = rise[::-1]
    return envelope


_KINDS = {
    1: DtmfKind.START,
    2: DtmfKind.END,
    3: DtmfKind.PROVISIONAL,
    4: DtmfKind.WITHDRAWN,
}
"By the kernel's number; the one left is a near miss."


def _at_rate(position: int, rate_hz: int) -> int:
    return position if rate_hz == RATE_HZ else round(position * rate_hz / RATE_HZ)


def _detection(event: _detector._Event, rate_hz: int) -> DtmfDetection:
    kind, code, start, end, low_dbm0, high_dbm0, low_offset, high_offset, confidence, _ = event
    return DtmfDetection(
        digit=DIGITS[code],
        code=code,
        start=_at_rate(start, rate_hz),
        end=None if end < 0 else _at_rate(end, rate_hz),
        low_dbm0=low_dbm0,
        high_dbm0=high_dbm0,
        low_offset=low_offset,
        high_offset=high_offset,
        confidence=confidence,
        kind=_KINDS[kind],
    )


def _decoded(samples: NDArray[Any] | bytes, encoding: Encoding) -> NDArray[np.int16]:
    if encoding is Encoding.ULAW or encoding is Encoding.ALAW:
        if not isinstance(samples, (bytes, bytearray, memoryview)):
            raise TypeError(f"{encoding} comes as bytes, not {type(samples).__name__}")
        return (ulaw_decode if encoding is Encoding.ULAW else alaw_decode)(bytes(samples))
    if not isinstance(samples, np.ndarray):
        raise TypeError(f"{encoding} comes as an array, not {type(samples).__name__}")
    if encoding is Encoding.FLOAT:
        if not np.issubdtype(samples.dtype, np.floating) or samples.ndim != 1:
            raise TypeError(f"samples must be a one-dimensional float array, not {samples.ndim}-d {samples.dtype}")
        return to_int16(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0))
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise TypeError(f"samples must be a one-dimensional int16 array, not {samples.ndim}-d {samples.dtype}")
    return np.ascontiguousarray(samples)
