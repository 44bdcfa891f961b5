"""What callers hear that nobody says: the ringback tone of their country, hold music, the tones of a room.

Ringback by ITU-T E.180 supplement 2: frequencies and cadence of what a caller hears while the called side rings. All
tones begin and end softly, so that a loop of them does not click; the patterns are whole periods long.

>>> ringback("uk").duration_ms
3000
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from dsp import g711
from prompts.clip import RATE_HZ, Clip

__all__ = ("COUNTRIES", "DEFAULT_COUNTRY", "HOLD_LEVEL_DBM0", "enter_tone", "exit_tone", "hold_music", "ringback")

DEFAULT_COUNTRY = "us"
RING_LEVEL_DBM0 = -19.0
"Of each frequency; E.180 §6 has -10 dBm0 at most."
HOLD_LEVEL_DBM0 = -28.0
"Of a note of the hold music: to be heard, and to be talked over."
_RAMP_S = 0.005
_FULL_SCALE_DBM0 = 3.14
"A sine that peaks at full scale (ITU-T G.711)."

_Cadence = tuple[tuple[float, ...], tuple[float, ...]]
"Frequencies in Hz; seconds on, off, on, off, ..."


def _one(off_s: float, *, on_s: float = 1.0, hz: float = 425.0) -> _Cadence:
    return (hz,), (on_s, off_s)


_DOUBLE = (0.4, 0.2, 0.4, 2.0)

COUNTRIES: Mapping[str, _Cadence] = MappingProxyType(
    {
        "at": _one(5.0, hz=420.0),
        "au": ((400.0, 450.0), _DOUBLE),
        "be": _one(3.0),
        "br": _one(4.0),
        "ch": _one(4.0),
        "cn": _one(4.0, hz=450.0),
        "cz": _one(4.0),
        "de": _one(4.0),
        "dk": _one(4.0),
        "es": _one(3.0, on_s=1.5),
        "fi": _one(4.0),
        "fr": _one(3.5, on_s=1.5, hz=440.0),
        "gr": _one(4.0),
        "hu": _one(3.75, on_s=1.25),
        "ie": ((400.0, 450.0), _DOUBLE),
        "il": _one(3.0, hz=400.0),
        "in": ((375.0, 425.0), _DOUBLE),
        "it": _one(4.0),
        "jp": ((384.0, 416.0), (1.0, 2.0)),
        "mx": _one(4.0),
        "my": _one(2.0, on_s=0.4),
        "nl": _one(4.0),
        "no": _one(4.0),
        "nz": ((400.0, 450.0), _DOUBLE),
        "pl": _one(4.0),
        "pt": _one(5.0),
        "ru": _one(3.2, on_s=0.8),
        "se": _one(5.0),
        "sg": ((401.0, 449.0), _DOUBLE),
        "uk": ((400.0, 450.0), _DOUBLE),
        "us": ((440.0, 480.0), (2.0, 4.0)),
        "za": ((400.0, 433.0), _DOUBLE),
    }
)
"By the country codes that ``ringTone`` takes."


def _sine(frequencies: Sequence[float], seconds: float, level_dbm0: float) -> NDArray[np.float64]:
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    amplitude = 32767.0 * math.pow(10.0, (level_dbm0 - _FULL_SCALE_DBM0) / 20.0)
    tone: NDArray[np.float64] = np.zeros(len(time))
    for hz in frequencies:
        tone += amplitude * np.sin(2.0 * math.pi * hz * time)
    ramp = 0.5 - 0.5 * np.cos(np.linspace(0.0, math.pi, round(_RAMP_S * RATE_HZ)))
    tone[: len(ramp)] *= ramp
    tone[-len(ramp) :] *= ramp[::-1]
    return tone


def _clip(name: str, samples: NDArray[np.float64]) -> Clip:
    linear = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
    return Clip(name=name, pcmu=bytes(g711.ulaw_encode(linear)), pcma=bytes(g711.alaw_encode(linear)))


@cache
def ringback(country: str = DEFAULT_COUNTRY) -> Clip:
    """Return one period of a country's ringback tone, to be played in a loop; of an unknown country, that of ``us``."""
    if country not in COUNTRIES:
        return ringback(DEFAULT_COUNTRY)
    frequencies, cadence = COUNTRIES[country]
    parts = [
        _sine(frequencies, seconds, RING_LEVEL_DBM0) if index % 2 == 0 else np.zeros(round(seconds * RATE_HZ))
        for index, seconds in enumerate(cadence)
    ]
    return _clip(f"ringback {country}", np.concatenate(parts))


# A slow walk over two chords, a note each 600 ms: whoever waits hears that the line is open, and can think. No two
# notes together are a key's.
_MELODY_HZ = (262, 330, 392, 494, 440, 349, 294, 349, 262, 330, 440, 392, 349, 294, 247, 294)
_NOTE_S = 0.6


@cache
def hold_music() -> Clip:
    """Return the music of who waits, a loop of 9.6 s: quiet single notes that die away."""
    notes = []
    for hz in _MELODY_HZ:
        note = _sine((hz,), _NOTE_S, HOLD_LEVEL_DBM0)
        notes.append(note * np.exp(-3.0 * np.arange(len(note)) / len(note)))
    return _clip("hold music", np.concatenate(notes))


@cache
def enter_tone() -> Clip:
    """Return what a room hears when somebody comes: a low and a high note."""
    return _clip("enter", np.concatenate([_sine((440.0,), 0.12, -22.0), _sine((587.0,), 0.18, -22.0)]))


@cache
def exit_tone() -> Clip:
    """Return what a room hears when somebody goes: a high and a low note."""
    return _clip("exit", np.concatenate([_sine((587.0,), 0.12, -22.0), _sine((440.0,), 0.18, -22.0)]))
