"""DTMF: the detector that hears keys, the generator that sends them, and every threshold by name.

A digit is one of ``0-9 * # A-D``. Codes are those of RFC 4733 section 3.2: 0 to 9, 10 for ``*``, 11 for ``#``, 12 to 15
for ``A`` to ``D``. Sample rate is 8 kHz.

>>> import numpy as np
>>> detector = DtmfDetector()
>>> [found.digit for found in detector.process(generate("42#")) + detector.flush() if found.end is None]
['4', '2', '#']
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsp import _dtmf, _oscillator
from dsp._tonefit import KEY_CODES
from dsp.errors import ProfileError
from dsp.levels import peak_of_dbm0

__all__ = (
    "CODES",
    "DIGITS",
    "ETSI",
    "HIGH_HZ",
    "ITU_Q24",
    "LOW_HZ",
    "NORTH_AMERICA",
    "RATE_HZ",
    "DtmfDetection",
    "DtmfDetector",
    "DtmfProfile",
    "ToneSource",
    "frequencies_hz",
    "generate",
)

RATE_HZ = 8000
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
FLUSH_SAMPLES = 16 * BLOCK
"80 ms of silence that ends any key: longer than a window and the longest pause a profile may ask for."


@dataclass(frozen=True, slots=True, kw_only=True)
class DtmfProfile:
    """What counts as a key.

    Raises `ProfileError` when values contradict each other or go beyond what the method can tell apart.
    Twist is always written ``high_minus_low_db``: negative when the low tone is the stronger.
    """

    min_level_dbm0: float = -38.0
    "Least level of each tone. Q.24 (AT&T) accepts -25 dBm and refuses -55; between, quiet is still a key."
    min_high_minus_low_db: float = -9.0
    "Most by which the low tone may be stronger. Q.24 (AT&T): 8 dB; 1 dB is left for measurement."
    max_high_minus_low_db: float = 5.0
    "Most by which the high tone may be stronger. Q.24 (AT&T): 4 dB; NTT: 5 dB."
    pure_min_high_minus_low_db: float = -10.0
    "As `min_high_minus_low_db`, where the two tones are nearly all there is."
    pure_max_high_minus_low_db: float = 7.0
    "As `max_high_minus_low_db`, where the tones are pure: handsets with 5 to 6 dB of reverse twist are real."
    frequency_tolerance: float = 0.017
    "Accepted deviation (ratio). Q.24 (AT&T): 1.5 % accepted, 3.5 % refused; NTT 1.8 %, 3.0 %."
    pure_frequency_tolerance: float = 0.0185
    "As `frequency_tolerance`, where the tones are pure."
    pure_residual: float = 0.04
    "Up to this share of unexplained energy two tones are pure. Choice: G.711 leaves 0.001, speech seldom below 0.1."
    max_residual: float = 0.08
    "Largest share of unexplained energy above the steady floor. Choice: at 0.1 some vowels are keys."
    max_below_band: float = 0.1
    "Largest unsteady energy below 675 Hz as a share of the tones'. Choice: a vowel has most of its energy there."
    min_signal_to_floor: float = 1.6
    "Least ratio of the tones' energy to the steady floor: 2 dB."
    max_amplitude_step: float = 0.3
    "Largest change of a tone's amplitude (ratio) between 5 ms and 25 ms. Choice: a key is flat, a voice is not."
    windows_to_confirm: int = 2
    "Windows of 25 ms, 5 ms apart, that must agree. 2: 34 ms always found, 24 ms never. Q.24 (AT&T): 40 and 23 ms."
    pause_blocks: int = 4
    "Blocks of 5 ms without the tones that end a key. 4: 12 ms bridged, 24 ms split. Q.24: 10 bridged, 40 ms split."
    max_lost_samples: int = 480
    "Longest loss (60 ms) over which a key is held. Choice: shorter than a human pause between equal keys."

    def __post_init__(self) -> None:
        for name, low, high in _BOUNDS:
            if not low <= getattr(self, name) <= high:
                raise ProfileError(f"{name} must lie between {low} and {high}, not {getattr(self, name)}")
        if not self.min_high_minus_low_db < self.max_high_minus_low_db:
            raise ProfileError("min_high_minus_low_db must be less than max_high_minus_low_db")
        if self.pure_min_high_minus_low_db > self.min_high_minus_low_db:
            raise ProfileError("pure tones must not get narrower limits: pure_min_high_minus_low_db")
        if self.pure_max_high_minus_low_db < self.max_high_minus_low_db:
            raise ProfileError("pure tones must not get narrower limits: pure_max_high_minus_low_db")
        if self.pure_frequency_tolerance < self.frequency_tolerance:
            raise ProfileError("pure tones must not get narrower limits: pure_frequency_tolerance")
        if self.pure_residual > self.max_residual:
            raise ProfileError("pure_residual must not exceed max_residual")


_BOUNDS: tuple[tuple[str, float, float], ...] = (
    ("min_level_dbm0", -50, 0),  # below, G.711's own steps are louder than 4 % of a tone
    ("min_high_minus_low_db", -14, 0),
    ("max_high_minus_low_db", 0, 14),
    ("pure_min_high_minus_low_db", -14, 0),  # beyond, a tone drowns in the other's side lobe of a block
    ("pure_max_high_minus_low_db", 0, 14),
    ("frequency_tolerance", 0.005, 0.04),  # above, neighbours 10 % apart come too near
    ("pure_frequency_tolerance", 0.005, 0.04),
    ("pure_residual", 0, 1),
    ("max_residual", 0.001, 1),
    ("max_below_band", 0.001, 100),
    ("min_signal_to_floor", 1, 1000),
    ("max_amplitude_step", 0.05, 1),
    ("windows_to_confirm", 2, 4),  # four are 40 ms; the dating of a start looks back no further
    ("pause_blocks", 3, 5),  # above, a new key could be confirmed before the old one has ended
    ("max_lost_samples", 0, 8000),
)

ITU_Q24 = DtmfProfile()
"The default: AT&T's column of ITU-T Q.24 annex A, wider only where the tones are pure."
NORTH_AMERICA = DtmfProfile(pure_min_high_minus_low_db=-9.0, pure_max_high_minus_low_db=5.0)
"AT&T's twist limits, strictly."
ETSI = DtmfProfile(pause_blocks=5)
"ETSI ES 201 235-3: interruptions of up to 20 ms are bridged."


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

    @property
    def high_minus_low_db(self) -> float:
        """Return the twist: negative when the low tone is the stronger."""
        return self.high_dbm0 - self.low_dbm0


class DtmfDetector:
    """Hear keys in int16 audio at 8 kHz, given in pieces of any length.

    Parameters
    ----------
    profile : DtmfProfile
        What counts as a key.

    Notes
    -----
    A key is reported at most 40 ms after its tone began. How the input is cut makes no difference to what is found.
    Nothing is allocated per sample; one detector holds about 2.5 kB.

    References
    ----------
    ITU-T Q.23 (frequencies), ITU-T Q.24 annex A (limits), RFC 4733 section 3.2 (codes).
    """

    def __init__(self, profile: DtmfProfile = ITU_Q24) -> None:
        self.profile = profile
        self._detector = _dtmf.Detector(asdict(profile) | {"provisional": 0})

    def process(self, samples: NDArray[np.int16]) -> list[DtmfDetection]:
        """Take samples and return what became known with them.

        Raises
        ------
        TypeError
            `samples` is not a one-dimensional int16 array.
        """
        return [_detection(event) for event in self._detector.process(_int16(samples))]

    def lost(self, n_samples: int) -> None:
        """Say that samples never arrived. A held key is held over a short loss; nothing is heard in one."""
        self._detector.lost(n_samples)

    def flush(self) -> list[DtmfDetection]:
        """End the input: a key still held ends. Positions go on behind 80 ms of silence."""
        return self.process(np.zeros(FLUSH_SAMPLES, dtype=np.int16))

    def reset(self) -> None:
        """Forget everything; the next sample is number 0."""
        self._detector.reset()


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


def _detection(event: _dtmf.Event) -> DtmfDetection:
    _, code, start, end, low_dbm0, high_dbm0, *_ = event
    return DtmfDetection(
        digit=DIGITS[code],
        code=code,
        start=start,
        end=None if end < 0 else end,
        low_dbm0=low_dbm0,
        high_dbm0=high_dbm0,
    )


def _int16(samples: NDArray[Any]) -> NDArray[Any]:
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise TypeError(f"samples must be a one-dimensional int16 array, not {samples.ndim}-d {samples.dtype}")
    return np.ascontiguousarray(samples)
