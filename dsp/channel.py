"""A simulated telephone channel: what happens to audio between two phones, one impairment a function.

For tests and benchmarks. Samples are int16 at 8 kHz in and out; randomness comes from a generator that the caller
seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from dsp.g711 import ALAW_SILENCE, alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from dsp.levels import amplitude_of_db, peak_of_dbm0, power_of_db
from dsp.plc import DELAY_SAMPLES as PLC_DELAY
from dsp.plc import STEP_SAMPLES, PacketLossConcealer
from dsp.resample import resample

__all__ = (
    "Fill",
    "add_babble",
    "add_echo",
    "add_idle_noise",
    "add_impulses",
    "add_noise",
    "add_tones",
    "apply_gain",
    "apply_twist",
    "clip",
    "clock_error",
    "dc_offset",
    "drop_out",
    "lose_bursts",
    "lose_frames",
    "moved",
    "overdrive",
    "slip",
    "speed",
    "through_alaw",
    "through_ulaw",
)

Samples = NDArray[np.int16]
ALAW_ZERO = int(alaw_decode(bytes([ALAW_SILENCE]))[0])


class Fill(StrEnum):
    """What a receiver puts where a frame is missing."""

    ZEROS = "zeros"
    REPEAT = "repeat"
    "The last frame that arrived, again."
    ALAW_SILENCE = "alaw_silence"
    "A-law has no zero: its quietest code is +8."
    PLC = "plc"
    "G.711 Appendix I (`dsp.plc`), its delay taken out; the frame must be a multiple of 10 ms."


def _to_int16(x: NDArray[np.floating[Any]]) -> Samples:
    out: Samples = np.clip(np.rint(x), -32768, 32767).astype(np.int16)
    return out


def apply_gain(samples: Samples, gain_db: float) -> Samples:
    """Amplify; saturates."""
    return _to_int16(samples * amplitude_of_db(gain_db))


def apply_twist(samples: Samples, high_minus_low_db: float) -> Samples:
    """Tilt the band: what lies above 1060 Hz changes by this much against what lies below.

    A linear-phase filter of 401 taps splits the band; its delay is taken out.
    """
    split = signal.firwin(401, 1060, fs=8000)
    low = signal.fftconvolve(samples.astype(np.float64), split, mode="same")
    return _to_int16(low + (samples - low) * amplitude_of_db(high_minus_low_db))


def add_noise(
    samples: Samples, snr_db: float, rng: np.random.Generator, *, signal_power: float | None = None
) -> Samples:
    """Add white noise over 0 to 4 kHz.

    Parameters
    ----------
    samples : ndarray of int16
        The signal.
    snr_db : float
        Signal over noise, both over the whole band.
    rng : numpy.random.Generator
        Source of the noise.
    signal_power : float, optional
        Mean square, in int16 units, that `snr_db` refers to. The mean over `samples` when not given, which counts
        pauses; give the power of a tone to state the ratio while the tone is on.
    """
    power = float(np.mean(np.square(samples, dtype=np.float64))) if signal_power is None else signal_power
    noise = rng.normal(0.0, np.sqrt(power / power_of_db(snr_db)), len(samples))
    return _to_int16(samples + noise)


def add_idle_noise(samples: Samples, level_dbm0: float, rng: np.random.Generator) -> Samples:
    """Add the white noise of an idle line: -65 dBm0 over 0 to 4 kHz is usual."""
    # A sine of this level has half its squared peak as its power.
    return _to_int16(samples + rng.normal(0.0, peak_of_dbm0(level_dbm0) / np.sqrt(2), len(samples)))


def add_babble(
    samples: Samples,
    talkers: Sequence[Samples],
    snr_db: float,
    rng: np.random.Generator,
    *,
    signal_power: float | None = None,
) -> Samples:
    """Add several talkers at once.

    Parameters
    ----------
    samples : ndarray of int16
        The signal.
    talkers : sequence of ndarray of int16
        One recording each; begun at a random place and repeated when short. All are made equally loud.
    snr_db : float
        Signal over the sum of the talkers.
    rng : numpy.random.Generator
        Source of the places.
    signal_power : float, optional
        As of `add_noise`.

    Raises
    ------
    ValueError
        No talker, or a silent one.
    """
    power = float(np.mean(np.square(samples, dtype=np.float64))) if signal_power is None else signal_power
    total = np.zeros(len(samples))
    for talker in talkers:
        if not talker.any():
            raise ValueError("a talker is silent")
        start = int(rng.integers(len(talker)))
        voice = np.take(talker, np.arange(start, start + len(samples)), mode="wrap").astype(np.float64)
        total += voice / np.sqrt(np.mean(np.square(talker, dtype=np.float64)))
    babble = float(np.mean(total**2)) if len(total) else 0.0
    if not babble:
        if len(samples):
            raise ValueError("babble needs a talker that is heard")
        return samples.copy()
    return _to_int16(samples + total * np.sqrt(power / power_of_db(snr_db) / babble))


def add_impulses(samples: Samples, per_s: float, rng: np.random.Generator, *, peak: float = 32767.0) -> Samples:
    """Add clicks at random places, `per_s` on average, of either sign, decaying by 3 dB a sample."""
    decay = amplitude_of_db(-3.0) ** np.arange(24)
    out = np.concatenate([samples.astype(np.float64), np.zeros(len(decay))])
    for at in np.flatnonzero(rng.random(len(samples)) < per_s / 8000):
        out[at : at + len(decay)] += rng.choice([-peak, peak]) * decay
    return _to_int16(out[: len(samples)])


def add_tones(samples: Samples, tones: tuple[tuple[float, float], ...]) -> Samples:
    """Add steady sines, each (frequency in Hz, peak in int16 units): dial tone, mains hum."""
    t = np.arange(len(samples)) / 8000
    total = samples.astype(np.float64)
    for freq_hz, peak in tones:
        total += peak * np.sin(2 * np.pi * freq_hz * t)
    return _to_int16(total)


def add_echo(samples: Samples, delay_ms: float, gain_db: float) -> Samples:
    """Add one delayed copy. Q.24 speaks of 20 ms."""
    n = round(delay_ms * 8)
    out = samples.astype(np.float64)
    out[n:] += samples[: len(samples) - n] * amplitude_of_db(gain_db)
    return _to_int16(out)


def clip(samples: Samples, by_db: float) -> Samples:
    """Cut peaks off `by_db` below the largest."""
    limit = float(np.max(np.abs(samples.astype(np.float64)))) / amplitude_of_db(by_db)
    return _to_int16(np.clip(samples.astype(np.float64), -limit, limit))


def overdrive(samples: Samples, by_db: float) -> Samples:
    """Amplify by `by_db` into a limiter at the signal's own peak: what was a wave becomes nearly square."""
    peak = float(np.max(np.abs(samples.astype(np.float64)), initial=0.0))
    return _to_int16(np.clip(samples * amplitude_of_db(by_db), -peak, peak))


def dc_offset(samples: Samples, offset: float) -> Samples:
    """Add a constant, in int16 units; saturates."""
    return _to_int16(samples.astype(np.float64) + offset)


def through_ulaw(samples: Samples) -> Samples:
    """Encode and decode with mu-law."""
    return ulaw_decode(ulaw_encode(samples))


def through_alaw(samples: Samples) -> Samples:
    """Encode and decode with A-law."""
    return alaw_decode(alaw_encode(samples))


def lose_frames(
    samples: Samples, loss: float, rng: np.random.Generator, *, frame: int = 160, fill: Fill = Fill.ZEROS
) -> tuple[Samples, NDArray[np.bool_]]:
    """Lose frames, each by itself with probability `loss`.

    Returns
    -------
    samples : ndarray of int16
        As a receiver would play them.
    lost : ndarray of bool
        One for each frame, a partial last one included.
    """
    lost = rng.random(-(-len(samples) // frame)) < loss
    return _without(samples, lost, frame, fill), lost


def lose_bursts(
    samples: Samples,
    loss: float,
    rng: np.random.Generator,
    *,
    mean_burst: float = 3.0,
    frame: int = 160,
    fill: Fill = Fill.ZEROS,
) -> tuple[Samples, NDArray[np.bool_]]:
    """Lose frames in bursts: Gilbert's model of two states, all lost in one and none in the other.

    Parameters
    ----------
    samples : ndarray of int16
        The signal.
    loss : float
        Share of frames lost in the long run, 0 to less than 1.
    rng : numpy.random.Generator
        Source of the pattern.
    mean_burst : float
        Mean length of a burst in frames, at least 1 and at least loss / (1 - loss).
    frame : int
        Samples of a frame.
    fill : Fill
        What is played instead.

    Returns
    -------
    samples, lost
        As of `lose_frames`.

    Raises
    ------
    ValueError
        No such pattern exists.

    References
    ----------
    E. N. Gilbert, Capacity of a burst-noise channel, Bell System Technical Journal 39 (1960).
    """
    leave = 1 / mean_burst if mean_burst >= 1 else 2.0
    enter = leave * loss / (1 - loss) if 0 <= loss < 1 else 2.0
    if leave > 1 or enter > 1:
        raise ValueError(f"no pattern of bursts has loss {loss} and mean length {mean_burst}")
    draws = rng.random(-(-len(samples) // frame) + 1)
    bad = bool(draws[0] < loss)  # as after a long run
    lost = np.empty(len(draws) - 1, dtype=np.bool_)
    for index, draw in enumerate(draws[1:]):
        lost[index] = bad
        bad = bool(draw >= leave) if bad else bool(draw < enter)
    return _without(samples, lost, frame, fill), lost


def _without(samples: Samples, lost: NDArray[np.bool_], frame: int, fill: Fill) -> Samples:
    if fill is Fill.PLC:
        return _concealed(samples, lost, frame)
    out = samples.copy()
    for index in np.flatnonzero(lost):
        start = int(index) * frame
        stop = min(start + frame, len(samples))
        if fill is Fill.REPEAT and start > 0:
            out[start:stop] = out[start - frame : stop - frame]
        else:
            out[start:stop] = ALAW_ZERO if fill is Fill.ALAW_SILENCE else 0
    return out


def _concealed(samples: Samples, lost: NDArray[np.bool_], frame: int) -> Samples:
    concealer = PacketLossConcealer()
    padded = np.concatenate([samples, np.zeros(len(lost) * frame - len(samples), dtype=np.int16)])
    parts = [
        concealer.lost(frame) if gone else concealer.good(part)
        for part, gone in zip(padded.reshape(-1, frame), lost, strict=True)
    ]
    parts.append(concealer.good(np.zeros(STEP_SAMPLES, dtype=np.int16)))
    return np.concatenate(parts)[PLC_DELAY : PLC_DELAY + len(samples)]


def drop_out(samples: Samples, at: int, length: int) -> Samples:
    """Silence `length` samples from `at` on: a break in the line."""
    out = samples.copy()
    out[at : at + length] = 0
    return out


def slip(
    samples: Samples, every_ms: float, rng: np.random.Generator, *, n: int = 8
) -> tuple[Samples, NDArray[np.int64]]:
    """Drop or repeat `n` samples at a random place in each `every_ms`: two clocks without a buffer between them.

    Returns
    -------
    samples : ndarray of int16
        The signal as it arrives.
    moves : ndarray of int64, shape (slips, 2)
        From which sample of the input on positions lie how much later; for `moved`.

    Raises
    ------
    ValueError
        `every_ms` has no room for a slip.
    """
    step = round(every_ms * 8)
    if n < 1 or step < 3 * n:
        raise ValueError(f"{every_ms} ms have no room for slips of {n} samples")
    pieces: list[Samples] = []
    moves: list[tuple[int, int]] = []
    at = later = 0
    for begin in range(0, len(samples) - step + 1, step):
        place = begin + int(rng.integers(n, step - n))
        dropped = bool(rng.integers(2))
        pieces.append(samples[at:place])
        at = place + n if dropped else place - n
        later += -n if dropped else n
        moves.append((place, later))
    pieces.append(samples[at:])
    return np.concatenate(pieces), np.array(moves, dtype=np.int64).reshape(-1, 2)


def moved(position: int, moves: NDArray[np.int64]) -> int:
    """Return where a sample lies after `slip`; what was dropped lies, within `n`, where it would be."""
    index = int(np.searchsorted(moves[:, 0], position, side="right"))
    return position + (int(moves[index - 1, 1]) if index else 0)


def speed(samples: Samples, factor: float) -> Samples:
    """Play `factor` times as fast, pitch included: 1.25 makes 1000 Hz 1250 Hz. Band-limited; good to 1/8000.

    Raises
    ------
    UnsupportedRateError
        A factor below 0.5 or above 48.
    """
    return resample(samples, round(8000 * factor), 8000)


def clock_error(samples: Samples, ratio: float) -> Samples:
    """Play too fast by `ratio` (0.01: 1 %), as a receiver with a slower clock hears it. Band-limited.

    The signal is read off at other instants with a windowed sinc of 32 samples; 3.4 kHz is good to 0.1 dB.
    """
    half = 16
    at = np.arange(int(len(samples) / (1 + ratio))) * (1 + ratio)
    whole = np.floor(at).astype(np.int64)
    padded = np.concatenate([np.zeros(half), samples.astype(np.float64), np.zeros(half + 1)])
    out = np.zeros(len(at))
    for k in range(-half + 1, half + 1):
        distance = k - (at - whole)
        window = 0.5 + 0.5 * np.cos(np.pi * distance / half)
        out += padded[whole + half + k] * np.sinc(distance) * np.where(np.abs(distance) < half, window, 0.0)
    return _to_int16(out)
