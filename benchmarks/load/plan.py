"""Which caller keys what and when, drawn from a seed; and what became of it.

Only random digits: nobody's card number is ever among them but by chance, so results may show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.dtmf.score import common
from benchmarks.load.audio import CODES

__all__ = ("KeyPlan", "Outcome", "compare", "draw_plan")

MAX_KEYS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPlan:
    """The keys of all callers: those of caller i are ``first[i]`` to ``first[i + 1]``."""

    first: NDArray[np.int32]
    cycle: NDArray[np.int32]
    "When each begins, in cycles of 20 ms since the generator began."
    clip: NDArray[np.int32]
    "Code times variants, plus variant."
    variants: int

    def codes(self, caller: int) -> list[int]:
        """Return what a caller keys, RFC 4733 codes, in order."""
        return [int(clip) // self.variants for clip in self.clip[self.first[caller] : self.first[caller + 1]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Keys of a run."""

    sent: int
    heard: int
    lost: int
    "Keyed, and not heard in its place."
    doubled: int
    "Heard once more, right after itself."
    wrong: int
    "Heard, and not keyed."
    wrong_legs: int
    "Legs that heard another sequence than was keyed."


def draw_plan(
    seed: int, *, callers: int, begin: int, end: int, presses_per_s: float, spacing: int, variants: int
) -> KeyPlan:
    """Draw the keys of `callers`, who press `presses_per_s` among them, from cycle `begin` to `end`.

    `spacing` is the least number of cycles between the beginnings of two keys of a caller. Raises ValueError when so
    many do not fit.
    """
    rng = np.random.default_rng([seed, 2])
    room = max(0, end - begin) // spacing
    n_keys = round(presses_per_s * max(0, end - begin) / 50)
    if not 0 <= n_keys <= min(MAX_KEYS, room * callers // 2):
        raise ValueError(f"{n_keys} keys do not fit into {room} places of {callers} callers: press less often")
    counts = np.zeros(callers, dtype=np.int64)
    while n_keys:
        counts += np.bincount(rng.integers(callers, size=n_keys), minlength=callers)
        n_keys = int(np.maximum(counts - room, 0).sum())
        counts = np.minimum(counts, room)
    cycles: list[NDArray[np.int32]] = [np.zeros(0, dtype=np.int32)]
    for n in counts:
        # Places for keys that take no time, then each later by those before it.
        free = end - begin - int(n) * spacing
        at = np.sort(rng.integers(free + 1, size=n)) + np.arange(n) * spacing + begin
        cycles.append(at.astype(np.int32))
    total = int(counts.sum())
    return KeyPlan(
        first=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        cycle=np.concatenate(cycles),
        clip=rng.integers(len(CODES) * variants, size=total).astype(np.int32),
        variants=variants,
    )


def compare(keyed_codes: Sequence[Sequence[int]], heard_codes: Sequence[Sequence[int]]) -> Outcome:
    """Compare what each leg heard with what its caller keyed; RFC 4733 codes."""
    sent = found = lost = doubled = wrong = wrong_legs = 0
    for caller_codes, leg_codes in zip(keyed_codes, heard_codes, strict=True):
        keyed = [CODES[code] for code in caller_codes]
        digits = [CODES[code] for code in leg_codes]
        sent += len(keyed)
        found += len(digits)
        if keyed == digits:
            continue
        wrong_legs += 1
        matched = common(keyed, digits)
        inserted = len(digits) - matched
        lost += len(keyed) - matched
        # Neighbours alike that were not keyed so: as far as digits were inserted, the same press was told twice.
        again = min(inserted, max(0, _alike(digits) - _alike(keyed)))
        doubled += again
        wrong += inserted - again
    return Outcome(sent=sent, heard=found, lost=lost, doubled=doubled, wrong=wrong, wrong_legs=wrong_legs)


def _alike(digits: Sequence[str]) -> int:
    return sum(1 for index in range(1, len(digits)) if digits[index] == digits[index - 1])
