"""Digits with lost frames of 20 ms: each by itself or in bursts, and four ways to fill the hole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.dtmf.stimuli import Stimulus, drawn, keyed, through
from benchmarks.dtmf.suite import Condition, recall_suite
from dsp.channel import Fill, lose_bursts, lose_frames

__all__ = ("SUITE", "conditions")

FILLS = {"zeros": Fill.ZEROS, "repeat": Fill.REPEAT, "PLC": Fill.PLC, "told": None}
"What is played instead of a frame; nothing when the detector is told of it."


def _condition(loss: float, fill: Fill | None, *, bursts: bool) -> Condition:
    def make(rng: np.random.Generator, n: int, _: Path | None) -> Stimulus:
        keys = keyed(drawn(rng, n), rng, 50, 50)
        samples, lost = (lose_bursts if bursts else lose_frames)(keys.samples, loss, rng, fill=fill or Fill.ZEROS)
        return Stimulus(keys.samples, keys.keys, lost) if fill is None else through(keys, samples)

    return Condition(make, drawn_as=f"{loss} {bursts}")


def conditions() -> Mapping[str, Condition]:
    """Return the conditions by name."""
    return {
        f"loss {100 * loss:.0f} %, {'bursts' if bursts else 'random'}, {name}": _condition(loss, fill, bursts=bursts)
        for bursts in (False, True)
        for loss in (0.01, 0.03, 0.05)
        for name, fill in FILLS.items()
    }


SUITE = recall_suite("loss", "Lost frames of 20 ms (50/50 ms)", conditions)
