"""What ITU-T Q.24 annex A wants accepted and refused, through G.711; and a map of what is accepted in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dtmf import detectors
from benchmarks.dtmf.score import score
from benchmarks.dtmf.stimuli import (
    Samples,
    Stimulus,
    drawn,
    dropouts,
    idle_noise,
    joined,
    keyed,
    repeated,
    single_tones,
    through,
)
from benchmarks.dtmf.suite import Condition, Count, Options, Row, Suite, Task, recall_suite, summed
from dsp import channel
from dsp.dtmf import HIGH_HZ, LOW_HZ

__all__ = ("MAP_OFFSETS", "MAP_TWISTS_DB", "SUITE", "conditions")

Law = Callable[[Samples], Samples]
LAWS: dict[str, Law] = {"mu-law": channel.through_ulaw, "A-law": channel.through_alaw}

# Q.24, AT&T: accepted up to ±1.5 %, -8 to +4 dB, 0 to -25 dBm a tone, from 40 ms.
GRID_OFFSETS = ((0.0, 0.0), (0.015, 0.015), (-0.015, -0.015), (0.015, -0.015), (-0.015, 0.015))
GRID_TWISTS_DB = (-8.0, -4.0, 0.0, 4.0)
GRID_WEAKER_DBM0 = (-8.0, -16.0, -25.0)
"Level of the weaker tone; the stronger is above it by the twist."
GRID_ON_MS = (40.0, 50.0)

MAP_OFFSETS = tuple(round(0.0025 * i, 4) for i in range(-16, 17))
MAP_TWISTS_DB = tuple(float(db) for db in range(-16, 15))
MAP_STRONGER_DBM0 = -6.0
MAP_ON_MS = 50.0


def _in_spec(on_ms: float, law: str) -> Condition:
    def make(rng: np.random.Generator, n: int, _: Path | None) -> Stimulus:
        keys = keyed(drawn(rng, n), rng, on_ms, on_ms, in_spec=True)
        return through(keys, LAWS[law](idle_noise(keys.samples, rng)))

    return Condition(make)


def _refused(on_ms: float, offset: float | tuple[float, float] = 0.0, level_dbm0: float = -9.0) -> Condition:
    def make(rng: np.random.Generator, n: int, _: Path | None) -> Stimulus:
        keys = keyed(drawn(rng, n), rng, on_ms, 60, offset=offset, level_dbm0=level_dbm0)
        return through(keys, channel.through_ulaw(keys.samples))

    return Condition(make, refused=True)


def _single(rng: np.random.Generator, n: int, _: Path | None) -> Stimulus:
    keys = single_tones(rng, n, LOW_HZ + HIGH_HZ)
    return through(keys, channel.through_ulaw(keys.samples))


def _dropouts(rng: np.random.Generator, n: int, _: Path | None) -> Stimulus:
    keys = dropouts(keyed(drawn(rng, n), rng, 80, 80), rng, 10)
    return through(keys, channel.through_ulaw(keys.samples))


def conditions() -> Mapping[str, Condition]:
    """Return the conditions by name."""
    table = {f"clean {ms}/{ms} ms": Condition(partial(_clean, ms)) for ms in (40, 50, 80)}
    table |= {f"in-spec mix {ms}/{ms} ms, {law}": _in_spec(ms, law) for ms in (40, 50) for law in LAWS}
    table["interrupted for 10 ms in 80 ms"] = Condition(_dropouts)
    table |= {f"refuse: {ms} ms": _refused(ms) for ms in (20, 23)}
    table |= {f"refuse: {100 * off:+.1f} %": _refused(60, off) for off in (0.03, -0.03, 0.035, -0.035)}
    table |= {
        "refuse: low tone +3.5 %": _refused(60, (0.035, 0.0)),
        "refuse: high tone +3.5 %": _refused(60, (0.0, 0.035)),
        "refuse: -55 dBm0": _refused(60, level_dbm0=-55),
        "refuse: single tones": Condition(_single, refused=True),
    }
    return table


def _clean(ms: float, rng: np.random.Generator, n: int, _: Path | None) -> Stimulus:
    return keyed(drawn(rng, n), rng, ms, ms)


PLAIN = recall_suite("q24", "", conditions)


def _tasks(options: Options) -> list[Task]:
    shared: dict[str, Any] = {
        "suite": "q24",
        "detectors": options.detectors,
        "seed": options.seed,
        "n": max(1, options.digits // 1600) * 16,
    }
    grid = [
        Task(
            condition=f"grid {law} {on_ms:.0f} ms {db:+.0f} dB", extra={"law": law, "on_ms": on_ms, "db": db}, **shared
        )
        for law in LAWS
        for on_ms in GRID_ON_MS
        for db in GRID_TWISTS_DB
    ]
    acceptance = [Task(condition=f"map {db:+.0f} dB", extra={"db": db}, **shared) for db in MAP_TWISTS_DB]
    return PLAIN.tasks(options) + grid + acceptance


def _run(task: Task) -> list[Count]:
    if task.condition.startswith("grid "):
        return _run_grid(task)
    if task.condition.startswith("map "):
        return _run_map(task)
    return PLAIN.run(task)


def _run_grid(task: Task) -> list[Count]:
    law, on_ms, twist = task.extra["law"], task.extra["on_ms"], task.extra["db"]
    rng = task.rng()
    names: list[str] = []
    cells: list[Stimulus] = []
    for offset in GRID_OFFSETS:
        for weaker in GRID_WEAKER_DBM0:
            low_dbm0 = weaker + max(0.0, -twist)
            cell = keyed(
                repeated(task.n), rng, on_ms, on_ms, level_dbm0=low_dbm0, high_minus_low_db=twist, offset=offset
            )
            cells.append(cell)
            low, high = 100 * offset[0], 100 * offset[1]
            names.append(f"{law}, {on_ms:.0f} ms, {twist:+.0f} dB, {weaker:.0f} dBm0, {low:+.1f}/{high:+.1f} %")
    return _by_cell(task, [through(cell, LAWS[law](cell.samples)) for cell in cells], "grid", names)


def _run_map(task: Task) -> list[Count]:
    twist = task.extra["db"]
    low_dbm0 = MAP_STRONGER_DBM0 - max(0.0, twist)
    rng = task.rng()
    digits = repeated(task.n)
    cells = [
        keyed(digits, rng, MAP_ON_MS, MAP_ON_MS, level_dbm0=low_dbm0, high_minus_low_db=twist, offset=offset)
        for offset in MAP_OFFSETS
    ]
    names = [f"{twist:+.0f} dB, {100 * offset:+.2f} %" for offset in MAP_OFFSETS]
    return _by_cell(task, [through(cell, channel.through_ulaw(cell.samples)) for cell in cells], "map", names)


def _by_cell(task: Task, cells: Sequence[Stimulus], kind: str, names: Sequence[str]) -> list[Count]:
    counts: list[Count] = []
    for spec in task.detectors:
        detector = detectors.make(spec)
        # Without times, a digit could be counted for another cell: each cell is a recording of its own.
        recordings = [joined(cells)] if detector.tells_time else cells
        scores = [score(r.keys, detector.detect(detectors.cut(r.samples))) for r in recordings]
        hits = np.concatenate([scored.heard for scored in scores]).reshape(len(cells), -1)
        for name, part in zip(names, hits, strict=True):
            counts.append(Count(f"{kind}: {name}", detector.name, "presented", len(part)))
            counts.append(Count(f"{kind}: {name}", detector.name, "heard", int(part.sum())))
        counts.append(Count(f"{kind} all", detector.name, "inserted", sum(scored.inserted for scored in scores)))
    return counts


def _gather(counts: Sequence[Count]) -> list[Row]:
    plain = [c for c in counts if not c.condition.startswith(("grid", "map"))]
    rows = PLAIN.gather(plain)
    details: list[Row] = []
    totals: dict[tuple[str, str], list[float]] = {}
    inserted: dict[tuple[str, str], float] = {}
    for (condition, detector), figures in summed(c for c in counts if c.condition.startswith(("grid", "map"))).items():
        kind, _, cell = condition.partition(": ")
        if not cell:
            inserted[kind.removesuffix(" all"), detector] = figures["inserted"]
            continue
        n, hits = figures["presented"], figures["heard"]
        shared: dict[str, Any] = {"suite": "q24", "condition": condition, "detector": detector, "detail": True}
        details.append(Row(figure="recall", value=100 * hits / n, unit="%", n=int(n), **shared))
        if kind == "grid":
            total = totals.setdefault((cell.partition(",")[0], detector), [0.0, 0.0])
            total[0] += hits
            total[1] += n
    for (law, detector), (hits, n) in totals.items():
        shared = {"suite": "q24", "condition": f"corners of what must be accepted, {law}", "detector": detector}
        rows.append(Row(figure="recall", value=100 * hits / n, unit="%", n=int(n), **shared))
    for (kind, detector), value in inserted.items():
        if kind == "grid":
            shared = {"suite": "q24", "condition": "corners, both laws", "detector": detector}
            rows.append(Row(figure="inserted digits", value=value, unit="", **shared))
    return rows + details


SUITE = Suite(name="q24", title="ITU-T Q.24: accepted and refused", tasks=_tasks, run=_run, gather=_gather)
