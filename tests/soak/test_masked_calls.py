"""Thousands of keys of callers drawn at random, behind the mask: no receiver tells one of them.

python -m tests.soak.test_masked_calls [--calls 500] [--seed 1] [--corpus DIRECTORY]
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.dtmf.speech import babble, one_talker
from dsp.mask import MaskFill
from tests.support.masked_calls import CODES, PTS, Caller, call, own_digits

__all__ = ("drawn", "run")

CALLS = 60


def drawn(rng: np.random.Generator) -> Caller:
    """Draw a phone, its line and its application."""
    return Caller(
        codec=str(rng.choice(list(PTS))),
        agent_codec=str(rng.choice(list(PTS))),
        fill=list(MaskFill)[int(rng.integers(2))],
        snr_db=(None, 20.0, 10.0)[int(rng.integers(3))],
        lost=(0.0, 0.01, 0.05)[int(rng.integers(3))],
        jitter=(0, 1, 4)[int(rng.integers(3))],
        events=bool(rng.integers(2)),
        hasty=bool(rng.integers(2)),
        longest_ms=(500.0, 2000.0)[int(rng.integers(2))],
    )


def run(*, calls: int, seed: int, corpus: Path | None = None) -> Counter[str]:
    """Count keys behind the mask and others, and those of either that a receiver told or that were relayed."""
    counted: Counter[str] = Counter()
    rng = np.random.default_rng(seed)

    def voice(n: int, draw: np.random.Generator) -> NDArray[np.float64]:
        return (babble if n % 320 else one_talker)(corpus, n, draw)

    for number in range(calls):
        caller = drawn(rng)
        with tempfile.TemporaryDirectory() as directory:
            heard = call(caller, seed * 100_000 + number, Path(directory), voice=voice)
        others = tuple(CODES.index(key.digit) for key in heard.keys if not key.masked)
        counted["keys behind the mask"] += len(heard.keys) - len(others)
        counted["other keys"] += len(others)
        counted["relayed that should not be"] += heard.relayed != (others if caller.events else ())
        for name, (behind, told, nobodys) in own_digits(heard).items():
            counted[f"that nobody keyed: {name}"] += nobodys
            counted[f"told behind the mask: {name}"] += behind
            counted[f"told of the others: {name}"] += told
    return counted


@pytest.mark.strict
@pytest.mark.soak
def test_no_key_behind_the_mask_is_told() -> None:
    counted = run(calls=CALLS, seed=1)
    assert counted["keys behind the mask"] >= 1000
    assert counted["relayed that should not be"] == 0
    for name in [name for name in counted if name.startswith("told behind")]:
        receiver = name.partition(": ")[2]
        # With every limit at its loosest voices are heard as digits, one of 16 of them as the key's own.
        by_chance = counted[f"that nobody keyed: {receiver}"] // 8 + 2 if receiver.startswith("anything") else 0
        assert counted[name] <= by_chance, receiver
    told = [n for name, n in counted.items() if name.startswith("told of the others")]
    assert min(told) >= 0.4 * counted["other keys"]


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path)
    options = parser.parse_args()
    counted = run(calls=options.calls, seed=options.seed, corpus=options.corpus)
    for name, n in sorted(counted.items()):
        print(f"{n:>8}  {name}")


if __name__ == "__main__":
    _main()
