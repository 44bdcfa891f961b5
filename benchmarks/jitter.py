"""Jitter buffer and playout on simulated networks: ``python -m benchmarks.jitter``.

Each trace is made from a seed and has its own time, so that the figures are the same on every machine. Printed are the
packets that came too late, the mean delay from sending to delivery (network included), the shortest constant delay in
which 99.5 % of the packets would have come (by hindsight), the ticks held, and what a listener hears of a talker with
pauses: the part made up, samples inserted and removed, and the mean delay that the playout adds.

Instructions of the kernels per tick: ``valgrind --tool=callgrind python -m benchmarks.jitter --steady 2000``, then
``callgrind_annotate --inclusive=yes``: those of jitter_put, jitter_get, playout_frame and playout_take, by 2000.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.rtp._jitter import Jitter
from engine.rtp._playout import Playout
from tests.support.delay_traces import SEEDED_TRACES, TICK_MS, play, talk

__all__ = ("Figures", "main", "measure", "steady")

PLC_DELAY_MS = 3.75
NOISE = bytes([55, 60])


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One trace's figures."""

    name: str
    late_percent: float
    delay_ms: float
    hindsight_ms: float
    held_ticks: int
    concealed_percent: float
    inserted: int
    removed: int
    playout_ms: float


def measure(name: str) -> Figures:
    """Play one trace, once with numbered samples and once with a talker."""
    trace = SEEDED_TRACES[name]()
    counted = play(trace)
    playout = Playout()
    waiting: list[int] = []

    def frame(flags: int, raw: bytes, valid: bytes) -> None:
        playout.frame(np.frombuffer(raw, dtype=np.int16), valid, flags)

    def tick() -> None:
        playout.take()
        waiting.append(playout.waiting)

    play(
        trace,
        Jitter(),
        each_frame=frame,
        each_noise=lambda: playout.noise(NOISE),
        each_tick=tick,
        audio=talk(30, talk_s=2.0, pause_s=1.0),
    )
    counters = playout.counters
    return Figures(
        name=name,
        late_percent=100 * counted.late_part,
        delay_ms=counted.mean_delay_ms(),
        hindsight_ms=counted.quantile_ms(0.995),
        held_ticks=counted.held_ticks,
        concealed_percent=100 * counters["concealed"] / (160 * counted.ticks),
        inserted=counters["inserted"],
        removed=counters["removed"],
        playout_ms=float(np.mean(waiting)) * TICK_MS / 160 + PLC_DELAY_MS,
    )


def steady(ticks: int) -> None:
    """Pass one packet of 20 ms through both kernels each tick."""
    jitter, playout = Jitter(), Playout()
    samples = np.arange(1, 161, dtype=np.int16)
    for i in range(ticks):
        jitter.put(160 * i, samples)
        flags, raw, valid = jitter.get()
        playout.frame(np.frombuffer(raw, dtype=np.int16), valid, flags)
        playout.take()


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jitter", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trace", choices=tuple(SEEDED_TRACES), action="append", help="this one only; may be repeated")
    parser.add_argument("--steady", type=int, metavar="TICKS", help="no traces: only run the kernels, for callgrind")
    options = parser.parse_args(argv)
    if options.steady:
        steady(options.steady)
        return 0
    print(
        f"{'trace':<20} {'late %':>7} {'delay ms':>9} {'99.5 % ms':>10} {'held':>6} {'made up %':>10} "
        f"{'inserted':>9} {'removed':>8} {'playout ms':>11}"
    )
    for name in options.trace or SEEDED_TRACES:
        f = measure(name)
        print(
            f"{f.name:<20} {f.late_percent:7.2f} {f.delay_ms:9.1f} {f.hindsight_ms:10.1f} {f.held_ticks:6d} "
            f"{f.concealed_percent:10.2f} {f.inserted:9d} {f.removed:8d} {f.playout_ms:11.1f}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
