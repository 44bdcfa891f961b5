"""What the callers say and key: mu-law, cut into frames of 20 ms, made before anything runs.

Speech is that of the shipped prompts, in any order, with pauses about as long; so a caller is heard half of the time,
at a telephone's level, by a detector that must not take it for keys. A key takes the place of speech: telephones mute
the microphone while they key.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsp.dtmf import generate
from dsp.g711 import ulaw_decode, ulaw_encode
from dsp.levels import peak_of_dbm0
from prompts import assets
from prompts.catalog import Catalog

__all__ = ("CODES", "FRAME", "LOCALE", "KeyClips", "background", "key_clips")

FRAME = 160
RATE_HZ = 8000
LOCALE = "en-US"
CODES = "0123456789*#ABCD"
"""By the numbers of RFC 4733 §3.2."""
NOISE_DBM0 = -65.0
"""Idle noise of a line, ITU-T Q.24 annex A."""
BACKGROUND_S = 40.0
SPEECH_DB = -6.0
"""Below the prompts: a caller is not as near to the microphone as their speaker."""
LEVELS_DBM0 = (-22.0, -6.0)
"""Of the weaker tone: inside what ITU-T Q.24 has every administration accept, as handsets and loss make it."""
HIGH_MINUS_LOW_DB = (-4.0, 3.0)
OFFSETS = (-0.012, 0.012)
"""Frequency error of each tone; all are to be heard up to 1.5 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyClips:
    """The keys' tones: for each code all variants, each of `frames` frames."""

    audio: bytes
    frames: int
    variants: int


def _noise(n_samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    # A sine's mean square is half of its peak's.
    return rng.normal(scale=peak_of_dbm0(NOISE_DBM0) / np.sqrt(2), size=n_samples)


def _encoded(samples: NDArray[np.float64]) -> bytes:
    return ulaw_encode(np.clip(np.rint(samples), -32768, 32767).astype(np.int16))


def background(seed: int, *, seconds: float = BACKGROUND_S) -> bytes:
    """Return speech and pauses over idle noise, whole frames of mu-law."""
    rng = np.random.default_rng([seed, 0])
    clips = assets.load(Catalog.load(None).resolve(LOCALE).texts)
    n_samples = int(seconds * RATE_HZ) // FRAME * FRAME
    out = _noise(n_samples, rng)
    at = 0
    order = sorted(clips)
    while at < n_samples:
        speech = ulaw_decode(clips[order[int(rng.integers(len(order)))]].pcmu)[: n_samples - at]
        out[at : at + len(speech)] += speech * 10 ** (SPEECH_DB / 20)
        at += len(speech) + int(rng.uniform(0.5, 1.5) * len(speech))
    return _encoded(out)


def key_clips(seed: int, *, variants: int = 16, on_ms: int = 80) -> KeyClips:
    """Return tones of `on_ms` for all codes, beginning anywhere in their first frame.

    Levels, twist and frequencies are drawn within what telephones send and lines leave of it.
    """
    rng = np.random.default_rng([seed, 1])
    n_on = on_ms * RATE_HZ // 1000
    frames = -(-(n_on + FRAME - 1) // FRAME)
    audio = bytearray()
    for code in CODES:
        for _ in range(variants):
            weaker_dbm0 = rng.uniform(*LEVELS_DBM0)
            twist_db = rng.uniform(*HIGH_MINUS_LOW_DB)
            tones = generate(
                code,
                level_dbm0=weaker_dbm0 - min(0.0, twist_db),
                high_minus_low_db=twist_db,
                on_ms=on_ms,
                off_ms=0,
                frequency_offset=(rng.uniform(*OFFSETS), rng.uniform(*OFFSETS)),
                phase=(rng.uniform(0, 6.28), rng.uniform(0, 6.28)),
            )
            clip = _noise(frames * FRAME, rng)
            at = int(rng.integers(FRAME))
            clip[at : at + len(tones)] += tones
            audio += _encoded(clip)
    return KeyClips(audio=bytes(audio), frames=frames, variants=variants)
