"""Digits with lost frames of 20 ms: each by itself or in bursts, and four ways to fill the hole."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.dtmf.stimuli import FRAME, Samples, Stimulus, drawn, keyed, through
from benchmarks.dtmf.suite import Condition, recall_suite

__all__ = ("SUITE", "conditions", "fill", "lost_frames")

MEAN_BURST = 3.0
"Frames. Choice: 60 ms, what one late packet train costs."
FILLS = ("zeros", "repeat", "told") + (("PLC",) if find_spec("dsp.plc") else ())


def lost_frames(rng: np.random.Generator, n: int, loss: float, *, bursts: bool) -> NDArray[np.bool_]:
    """Say which of n frames are lost: independently, or by a two-state chain (Gilbert) with the same mean."""
    if not bursts:
        return rng.random(n) < loss
    leave = 1 / MEAN_BURST
    enter = leave * loss / (1 - loss)
    draws = rng.random(n)
    lost = np.zeros(n, dtype=bool)
    bad = False
    for index in range(n):
        bad = draws[index] >= leave if bad else draws[index] < enter
        lost[index] = bad
    return lost


def fill(samples: Samples, lost: NDArray[np.bool_], how: str) -> Samples:
    """Fill lost frames: zeros, the last frame again, or ITU-T G.711 Appendix I."""
    out = samples.copy()
    concealer = import_module("dsp.plc").PacketLossConcealer() if how == "PLC" else None
    for index, gone in enumerate(lost):
        at = index * FRAME
        if concealer is not None:
            frame = np.zeros(FRAME, dtype=np.int16)
            part = samples[at : at + FRAME]
            frame[: len(part)] = part
            frame = concealer.lost() if gone else concealer.good(frame)
            out[at : at + FRAME] = frame[: len(part)]
        elif gone:
            part = out[at : at + FRAME]
            part[:] = out[at - FRAME : at - FRAME + len(part)] if how == "repeat" and index else 0
    return out


def _condition(loss: float, how: str, *, bursts: bool) -> Condition:
    def make(rng: np.random.Generator, n: int, _: Path | None) -> Stimulus:
        keys = keyed(drawn(rng, n), rng, 50, 50)
        lost = lost_frames(rng, -(-len(keys.samples) // FRAME), loss, bursts=bursts)
        if how == "told":
            return Stimulus(keys.samples, keys.keys, lost)
        return through(keys, fill(keys.samples, lost, how))

    return Condition(make, drawn_as=f"{loss} {bursts}")


def conditions() -> Mapping[str, Condition]:
    """Return the conditions by name."""
    return {
        f"loss {100 * loss:.0f} %, {'bursts' if bursts else 'random'}, {how}": _condition(loss, how, bursts=bursts)
        for bursts in (False, True)
        for loss in (0.01, 0.03, 0.05)
        for how in FILLS
    }


SUITE = recall_suite("loss", "Lost frames of 20 ms (50/50 ms)", conditions)
