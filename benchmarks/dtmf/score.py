"""Scoring: which keys were heard, and what was inserted.

A key is heard when it is reported once between its start and 60 ms after its end; everything else that is reported was
inserted. A detector that tells no times is scored by aligning its digits with the keys: the longest common subsequence
was heard, the rest inserted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ("LATE_SAMPLES", "Found", "Key", "Score", "common", "score")

LATE_SAMPLES = 60 * 8
"60 ms at 8 kHz. Choice: longer than any peer's delay, shorter than the next key's confirmation."


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a stimulus: first sample, end, digit."""

    start: int
    end: int
    digit: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """A digit that a detector reported, and the sample at which it was known; None when it tells no times."""

    digit: str = field(repr=False)
    at: int | None


@dataclass(frozen=True, slots=True)
class Score:
    """Whether each key was heard, and how many reports belong to no key."""

    heard: NDArray[np.bool_]
    inserted: int


def score(keys: Sequence[Key], found: Sequence[Found]) -> Score:
    """Score by time; by alignment when a report has no time."""
    if any(f.at is None for f in found):
        heard = _aligned([k.digit for k in keys], [f.digit for f in found])
    else:
        heard = _timed(keys, found)
    return Score(heard, len(found) - int(heard.sum()))


def _timed(keys: Sequence[Key], found: Sequence[Found]) -> NDArray[np.bool_]:
    heard = np.zeros(len(keys), dtype=bool)
    left = sorted((f.at or 0, f.digit) for f in found)
    used = [False] * len(left)
    first = 0
    for index, key in enumerate(keys):
        while first < len(left) and left[first][0] <= key.start:
            first += 1
        at = first
        while at < len(left) and left[at][0] <= key.end + LATE_SAMPLES:
            if not used[at] and left[at][1] == key.digit:
                used[at] = heard[index] = True
                break
            at += 1
    return heard


def _table(a: Sequence[str], b: Sequence[str]) -> NDArray[np.int32]:
    """Return the lengths of the common subsequences of all heads of a and b."""
    length = np.zeros((len(a) + 1, len(b) + 1), dtype=np.int32)
    other = np.array(list(b), dtype="U1")
    for i, x in enumerate(a):
        # max over: the row above, the row above plus a match, and what stands to the left.
        best = np.maximum(length[i, 1:], length[i, :-1] + (other == x))
        length[i + 1, 1:] = np.maximum.accumulate(best)
    return length


def _aligned(keys: Sequence[str], found: Sequence[str]) -> NDArray[np.bool_]:
    heard = np.zeros(len(keys), dtype=bool)
    length = _table(keys, found)
    i, j = len(keys), len(found)
    while i and j:
        if length[i, j] == length[i - 1, j]:
            i -= 1
        elif length[i, j] == length[i, j - 1]:
            j -= 1
        else:
            heard[i - 1] = True
            i, j = i - 1, j - 1
    return heard


def common(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the longest common subsequence: digits found in their order."""
    return int(_table(a, b)[-1, -1]) if a and b else 0
