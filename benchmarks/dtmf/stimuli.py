"""Stimuli: digits and what a line does to them, made from seeds.

Signal-to-noise ratios are the total power of both tones over the noise in 0 to 4 kHz, while a tone is on. Keys start at
random places in a block, with random phases and without ramps, the hardest case for a detector.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.dtmf.score import Key
from dsp import channel
from dsp.dtmf import DIGITS, generate
from dsp.levels import peak_of_dbm0, power_of_db

__all__ = (
    "FRAME",
    "IDLE_NOISE_DBM0",
    "LEVEL_DBM0",
    "TAIL",
    "TONE_POWER",
    "Samples",
    "Stimulus",
    "clock",
    "drawn",
    "dropouts",
    "idle_noise",
    "joined",
    "keyed",
    "mixed",
    "repeated",
    "single_tones",
    "slips",
    "through",
    "with_tones",
)

Samples = NDArray[np.int16]

FRAME = 160
"20 ms: what RTP brings at once."
LEVEL_DBM0 = -9.0
"Of each tone, unless a test says otherwise."
TONE_POWER = peak_of_dbm0(LEVEL_DBM0) ** 2
"Mean square of both tones at LEVEL_DBM0: two sines of half their peak squared each."
IDLE_NOISE_DBM0 = -65.0
"Noise of an idle line in 0 to 4 kHz. Choice: a telephone line's usual -65 dBm0."
LEAD = 3200
"400 ms before the first key."
TAIL = 1600
"200 ms behind the last: a detector can end it."


@dataclass(frozen=True, slots=True)
class Stimulus:
    """Audio, the keys in it, and the frames that were lost on the way, if any."""

    samples: Samples
    keys: tuple[Key, ...]
    lost: NDArray[np.bool_] | None = None


def keyed(
    digits: Iterable[str],
    rng: np.random.Generator,
    on_ms: float,
    off_ms: float,
    *,
    level_dbm0: float = LEVEL_DBM0,
    high_minus_low_db: float = 0.0,
    offset: float | tuple[float, float] = 0.0,
    in_spec: bool = False,
) -> Stimulus:
    """Key digits, each followed by `off_ms` and up to 5 ms more, so that tones fall anywhere in a block.

    `level_dbm0` is the low tone's. `in_spec` draws frequency, twist and level from Q.24 (AT&T): each tone 0 to
    -25 dBm0 and within 1.5 %, high minus low -8 to +4 dB.
    """
    parts: list[Samples] = [np.zeros(LEAD, dtype=np.int16)]
    keys: list[Key] = []
    at = LEAD
    for digit in digits:
        level, twist, offsets = level_dbm0, high_minus_low_db, offset
        if in_spec:
            twist = rng.uniform(-8, 4)
            level = rng.uniform(-25 + max(0.0, -twist), -max(0.0, twist))
            offsets = (rng.uniform(-0.015, 0.015), rng.uniform(-0.015, 0.015))
        part = generate(
            digit,
            level_dbm0=level,
            high_minus_low_db=twist,
            on_ms=on_ms,
            off_ms=off_ms + rng.integers(0, 40) / 8,
            frequency_offset=offsets,
            phase=(rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)),
            ramp_ms=0,
        )
        parts.append(part)
        keys.append(Key(at, at + round(on_ms * 8), digit))
        at += len(part)
    parts.append(np.zeros(TAIL, dtype=np.int16))
    return Stimulus(np.concatenate(parts), tuple(keys))


def drawn(rng: np.random.Generator, n: int) -> list[str]:
    """Draw n digits."""
    return [str(digit) for digit in rng.choice(list(DIGITS), n)]


def repeated(n: int) -> list[str]:
    """Return n digits, all sixteen in turn."""
    return [DIGITS[i % 16] for i in range(n)]


def joined(stimuli: Iterable[Stimulus]) -> Stimulus:
    """Put stimuli one behind the other."""
    parts: list[Samples] = []
    keys: list[Key] = []
    at = 0
    for stimulus in stimuli:
        parts.append(stimulus.samples)
        keys += [Key(k.start + at, k.end + at, k.digit) for k in stimulus.keys]
        at += len(stimulus.samples)
    return Stimulus(np.concatenate(parts), tuple(keys))


def through(stimulus: Stimulus, samples: Samples) -> Stimulus:
    """Replace the audio, keep the keys."""
    return replace(stimulus, samples=samples)


def _saturated(x: NDArray[np.floating[Any]]) -> Samples:
    out: Samples = np.clip(np.rint(x), -32768, 32767).astype(np.int16)
    return out


def idle_noise(samples: Samples, rng: np.random.Generator) -> Samples:
    """Add the noise of an idle line."""
    return channel.add_idle_noise(samples, IDLE_NOISE_DBM0, rng)


def mixed(samples: Samples, background: NDArray[np.floating[Any]], snr_db: float) -> Samples:
    """Add a background whose mean square is 1, `snr_db` below a key at LEVEL_DBM0."""
    return _saturated(samples + background[: len(samples)] * np.sqrt(TONE_POWER / power_of_db(snr_db)))


def with_tones(stimulus: Stimulus, over_db: float, *freqs_hz: float) -> Stimulus:
    """Add steady sines of equal level, together `over_db` above a key. The keys are lowered by 12 dB to make room."""
    quiet = channel.apply_gain(stimulus.samples, -12)
    power = TONE_POWER / power_of_db(12) * power_of_db(over_db)
    peak = float(np.sqrt(2 * power / len(freqs_hz)))
    return through(stimulus, channel.add_tones(quiet, tuple((freq_hz, peak) for freq_hz in freqs_hz)))


def clock(stimulus: Stimulus, ratio: float) -> Stimulus:
    """Play too fast by `ratio`; keys move with it."""
    moved = tuple(Key(round(k.start / (1 + ratio)), round(k.end / (1 + ratio)), k.digit) for k in stimulus.keys)
    return Stimulus(channel.clock_error(stimulus.samples, ratio), moved)


def slips(stimulus: Stimulus, rng: np.random.Generator, every_ms: float) -> Stimulus:
    """Drop or repeat 8 samples, at a random place in each `every_ms`; keys move with them."""
    samples, moves = channel.slip(stimulus.samples, every_ms, rng)
    moved = [Key(channel.moved(k.start, moves), channel.moved(k.end, moves), k.digit) for k in stimulus.keys]
    return Stimulus(samples, tuple(moved))


def dropouts(stimulus: Stimulus, rng: np.random.Generator, gap_ms: float) -> Stimulus:
    """Silence `gap_ms` in the middle of each key, 25 ms or more from its ends."""
    out = stimulus.samples.copy()
    n = round(gap_ms * 8)
    for key in stimulus.keys:
        at = int(rng.integers(key.start + 200, key.end - 200 - n))
        out[at : at + n] = 0
    return through(stimulus, out)


def single_tones(rng: np.random.Generator, n: int, freqs_hz: Sequence[float]) -> Stimulus:
    """Make n bursts of 60 ms of one tone alone, 0 to -25 dBm0; there is no key in it."""
    parts: list[Samples] = [np.zeros(LEAD, dtype=np.int16)]
    t = np.arange(480) / 8000
    for freq_hz in rng.choice(np.asarray(freqs_hz, dtype=np.float64), n):
        tone = peak_of_dbm0(rng.uniform(-25, 0)) * np.sin(2 * np.pi * freq_hz * t + rng.uniform(0, 2 * np.pi))
        parts += [_saturated(tone), np.zeros(480 + int(rng.integers(0, 40)), dtype=np.int16)]
    parts.append(np.zeros(TAIL, dtype=np.int16))
    return Stimulus(np.concatenate(parts), ())
