"""What is wrong with a prompt: its audio measured, its text read as a synthesiser would.

Audio: length, active level (ITU-T P.56), peak, clipping, a constant offset, silence at the ends. Text: what a
synthesiser is known to misread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from dsp import g711, meter
from dsp.errors import NoSpeechError
from prompts.clip import RATE_HZ, Clip
from prompts.mastering import PEAK_LIMIT_DBOV, TARGET_DBOV

__all__ = ("Measured", "audio_faults", "clip_faults", "measure", "text_faults")

DURATION_S = (0.5, 12.0)
LEVEL_TOLERANCE_DB = 1.0
PEAK_TOLERANCE_DB = 0.3  # the coarsest G.711 intervals, at the top, are 3 % wide
END_SILENCE_MS = 150
OFFSET_LIMIT_DBOV = -50.0
"A constant offset above this clicks where a clip begins and ends; G.711 itself makes none above -60."
_SILENCE_BELOW_PEAK_DB = 40.0
# The outermost value of mu-law: what lies there may have been anything above.
_ULAW_TOP = 32124
_WIDEST = 1024  # steps of int16: the widest interval of both laws


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured of a clip's mu-law."""

    seconds: float
    active_level_dbov: float
    "Active speech level, ITU-T P.56 method B; minus infinity when there is none."
    peak_dbov: float
    offset_dbov: float
    "Of the mean of all samples; minus infinity for none."
    clipped: int
    "Samples at the law's outermost value."
    silence_before_ms: int
    silence_after_ms: int


def measure(pcmu: bytes) -> Measured:
    """Return the measures of a clip (mu-law, 8 kHz)."""
    samples = g711.ulaw_decode(pcmu)
    magnitude = np.abs(samples.astype(np.int32))
    peak = int(magnitude.max(initial=0))
    try:
        level_dbov = meter.active_level_dbov(samples, RATE_HZ)
    except NoSpeechError:
        level_dbov = -np.inf
    loud = np.flatnonzero(magnitude > peak * 10 ** (-_SILENCE_BELOW_PEAK_DB / 20)) if peak else np.zeros(0, dtype=int)
    before = int(loud[0]) if len(loud) else len(samples)
    after = len(samples) - 1 - int(loud[-1]) if len(loud) else 0
    return Measured(
        seconds=len(samples) / RATE_HZ,
        active_level_dbov=level_dbov,
        peak_dbov=_dbov(peak),
        offset_dbov=_dbov(abs(float(samples.mean()))) if len(samples) else -np.inf,
        clipped=int(np.count_nonzero(magnitude >= _ULAW_TOP)),
        silence_before_ms=before * 1000 // RATE_HZ,
        silence_after_ms=after * 1000 // RATE_HZ,
    )


def audio_faults(pcmu: bytes) -> list[str]:
    """Return what is wrong with a prompt (mu-law, 8 kHz), each in a few words; empty when nothing is."""
    found = measure(pcmu)
    if not DURATION_S[0] <= found.seconds <= DURATION_S[1]:
        return [f"{found.seconds:.1f} s long, not {DURATION_S[0]:g} to {DURATION_S[1]:g} s"]
    if found.active_level_dbov == -np.inf:
        return ["silent"]
    faults = []
    if abs(found.active_level_dbov - TARGET_DBOV) > LEVEL_TOLERANCE_DB:
        faults.append(f"active level {found.active_level_dbov:.1f} dBov, not {TARGET_DBOV:g} ± {LEVEL_TOLERANCE_DB:g}")
    if found.clipped:
        faults.append(f"clipped: {found.clipped} samples at full scale")
    elif found.peak_dbov > PEAK_LIMIT_DBOV + PEAK_TOLERANCE_DB:
        faults.append(f"peak {found.peak_dbov:.1f} dBov, above {PEAK_LIMIT_DBOV:g}")
    if found.offset_dbov > OFFSET_LIMIT_DBOV:
        faults.append(f"constant offset of {found.offset_dbov:.1f} dBov, above {OFFSET_LIMIT_DBOV:g}")
    if max(found.silence_before_ms, found.silence_after_ms) > END_SILENCE_MS:
        faults.append(
            f"{found.silence_before_ms} ms of silence before and {found.silence_after_ms} ms after,"
            f" not up to {END_SILENCE_MS}"
        )
    return faults


def clip_faults(clip: Clip) -> list[str]:
    """Return `audio_faults` of a clip, and whether its two laws hold the same audio."""
    faults = audio_faults(clip.pcmu)
    if len(clip.pcmu) != len(clip.pcma):
        return [*faults, "mu-law and A-law differ in length"]
    difference = g711.ulaw_decode(clip.pcmu).astype(np.int32) - g711.alaw_decode(clip.pcma)
    if int(np.abs(difference).max(initial=0)) > _WIDEST:
        faults.append("mu-law and A-law hold different audio")
    return faults


# Each pattern with what becomes of it when it is spoken. Tried with espeak-ng 1.51: "4242" is four thousand two hundred
# and so on; "#" is "hash" in English, "Nummer" in German and nothing in French; German leaves "/" and "*" out.
_MISREAD: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[0-9]{2,}"), "is read as one number, not digit by digit: write the words"),
    (re.compile(r"[0-9][^\W\d_]|[^\W\d_][0-9]"), "mixes letters and figures: write the words"),
    (
        re.compile(r"[#*%&@$€£¥§°^~|\\/<>{}\[\]_=+]"),
        "is a sign that voices name differently, or not at all: write its name",
    ),
    (re.compile(r"https?:|www\.", re.IGNORECASE), "is an address: nobody can follow it by ear"),
    (re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff]"), "is a control character"),
)
_ENDS = (".", "!", "?", "।", "…")


def text_faults(text: str) -> list[str]:
    """Return what a synthesiser would misread in a prompt's text, each with the words in question.

    >>> text_faults("Press 1 to confirm.")
    []
    >>> text_faults("Call 911.")
    ["text: '911' is read as one number, not digit by digit: write the words"]
    """
    faults = [
        f"text: {found[0]!r} {why}"
        for pattern, why in _MISREAD
        for found in (pattern.search(text),)
        if found is not None
    ]
    if text != " ".join(text.split()):
        faults.append("text: has white space at an end, or more than one space")
    if not text.endswith(_ENDS):
        faults.append("text: has no stop at its end, so that the voice does not fall")
    return faults


def _dbov(magnitude: float) -> float:
    return 20 * float(np.log10(magnitude / 32768)) if magnitude > 0 else -np.inf
