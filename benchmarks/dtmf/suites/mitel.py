"""Tests in the manner of Mitel's CM7291 tape: bandwidth, twist, level, guard time, pauses, signal to noise.

Each value of a parameter is tried with all sixteen digits, ten times each when 1,600 digits or more are asked for. A
limit holds for the worst digit: up to it, and at every step before, each of its keys was heard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from benchmarks.dtmf import detectors
from benchmarks.dtmf.stimuli import LEVEL_DBM0, TONE_POWER, Stimulus, keyed, repeated, through
from benchmarks.dtmf.suite import Count, Options, Row, Suite, Task, heard, summed
from dsp import channel
from dsp.dtmf import DIGITS
from dsp.levels import power_of_db

__all__ = ("SUITE", "limit")

ON_MS = OFF_MS = 50.0
STRONGER_DBM0 = -3.0
STEPS_A_TASK = 10


def _steps(first: float, last: float, step: float) -> tuple[float, ...]:
    return tuple(round(first + step * i, 4) for i in range(round((last - first) / step) + 1))


# Each from the value that is easiest to hear outward, except pauses.
VALUES: dict[str, tuple[float, ...]] = {
    "low tone above": _steps(0, 5, 0.1),
    "low tone below": _steps(0, -5, -0.1),
    "high tone above": _steps(0, 5, 0.1),
    "high tone below": _steps(0, -5, -0.1),
    "normal twist": _steps(0, 20, 0.25),
    "reverse twist": _steps(0, 20, 0.25),
    "level": _steps(-3, -60, -0.5),
    "duration": _steps(60, 10, -0.5),
    "pause": _steps(0, 60, 1),
    "noise": _steps(26, -2, -1),
}
NOISE_KEYS = 1000


def _repeats(digits: int) -> int:
    return max(1, min(10, digits // 160))


def _tasks(options: Options) -> list[Task]:
    tasks = []
    for test, values in VALUES.items():
        n = 16 * _repeats(options.digits)
        if test == "noise":
            n = min(NOISE_KEYS, max(16, options.digits))
        for at in range(0, len(values), STEPS_A_TASK):
            tasks.append(
                Task(
                    suite="mitel",
                    condition=f"{test} {at}",
                    detectors=options.detectors,
                    seed=options.seed,
                    n=n,
                    extra={"test": test, "values": values[at : at + STEPS_A_TASK]},
                )
            )
    return tasks


def _stimulus(test: str, value: float, n: int, rng: np.random.Generator) -> Stimulus:
    digits = repeated(n)
    match test:
        case "low tone above" | "low tone below":
            return keyed(digits, rng, ON_MS, OFF_MS, offset=(value / 100, 0.0))
        case "high tone above" | "high tone below":
            return keyed(digits, rng, ON_MS, OFF_MS, offset=(0.0, value / 100))
        case "normal twist":
            return keyed(digits, rng, ON_MS, OFF_MS, level_dbm0=STRONGER_DBM0, high_minus_low_db=-value)
        case "reverse twist":
            return keyed(digits, rng, ON_MS, OFF_MS, level_dbm0=STRONGER_DBM0 - value, high_minus_low_db=value)
        case "level":
            return keyed(digits, rng, ON_MS, OFF_MS, level_dbm0=value)
        case "duration":
            return keyed(digits, rng, value, 80)
        case "noise":
            keys = keyed(digits, rng, ON_MS, OFF_MS)
            power = TONE_POWER / 2  # S/N of each tone
            noise = rng.normal(0.0, np.sqrt(power / power_of_db(value)), len(keys.samples))
            return through(keys, np.clip(np.rint(keys.samples + noise), -32768, 32767).astype(np.int16))
    raise ValueError(f"no test {test!r}")


def _paused(pause_ms: float, n: int, rng: np.random.Generator) -> Stimulus:
    """Make n keys of 160 ms, each interrupted for `pause_ms` at a random place 60 ms or more from its ends."""
    keys = keyed(repeated(n), rng, 160 + pause_ms, 120, level_dbm0=LEVEL_DBM0)
    samples = keys.samples.copy()
    gap = round(pause_ms * 8)
    for key in keys.keys:
        at = key.start + int(rng.integers(480, 800))
        samples[at : at + gap] = 0
    return through(keys, channel.through_ulaw(samples))


def _run(task: Task) -> list[Count]:
    test, rng = task.extra["test"], task.rng()
    counts: list[Count] = []
    for value in task.extra["values"]:
        stimulus = _paused(value, task.n, rng) if test == "pause" else _stimulus(test, value, task.n, rng)
        for spec in task.detectors:
            if test == "pause":
                counts += _count_pauses(spec, stimulus, value)
                continue
            result = heard(spec, stimulus)
            if result is None:
                continue
            detector, scored = result
            for index, digit in enumerate(DIGITS):
                mine = scored.heard[index::16]
                name = f"{test}|{value}|{digit}"
                counts.append(Count(name, detector, "presented", len(mine)))
                counts.append(Count(name, detector, "heard", int(mine.sum())))
    return counts


def _count_pauses(spec: str, stimulus: Stimulus, value: float) -> list[Count]:
    """Count keys that came once and keys that came twice: neighbours differ, so runs of equal digits tell."""
    detector = detectors.make(spec)
    found = detector.detect(detectors.cut(stimulus.samples))
    runs = [len(list(run)) for _, run in groupby(found, key=lambda f: f.digit)]
    name = f"pause|{value}|"
    return [
        Count(name, detector.name, "presented", len(stimulus.keys)),
        Count(name, detector.name, "once", sum(run == 1 for run in runs)),
        Count(name, detector.name, "twice", sum(run >= 2 for run in runs)),
    ]


def limit(values: Sequence[float], complete: Iterable[bool]) -> float | None:
    """Return the last value before the first that is not complete; None when the first is not."""
    last = None
    for value, whole in zip(values, complete, strict=True):
        if not whole:
            break
        last = value
    return last


@dataclass(slots=True)
class _Digit:
    """What one digit did over the values of one test."""

    limit: float | None
    outermost: float | None
    "The value furthest out at which any key was heard."


def _digit(table: dict[tuple[str, str], dict[str, float]], test: str, digit: str, detector: str) -> _Digit:
    values = VALUES[test]
    cells = [table.get((f"{test}|{value}|{digit}", detector), {"presented": 0, "heard": 0}) for value in values]
    complete = [cell["presented"] > 0 and cell["heard"] == cell["presented"] for cell in cells]
    hit = [value for value, cell in zip(values, cells, strict=True) if cell["heard"]]
    return _Digit(limit(values, complete), hit[-1] if hit else None)


def _worst(values: Iterable[float | None], test: str) -> float | None:
    """Return the limit that all digits reach; the values run outward, so the one that comes first."""
    known = list(values)
    reached = [value for value in known if value is not None]
    if len(reached) < len(known):
        return None
    return min(reached, key=VALUES[test].index)


def _best(values: Iterable[float | None], test: str) -> float | None:
    reached = [value for value in values if value is not None]
    return max(reached, key=VALUES[test].index) if reached else None


FIGURES = (
    # test, what is told, label, unit
    ("low tone below", "worst", "bandwidth: low tone accepted down to", "%"),
    ("low tone above", "worst", "bandwidth: low tone accepted up to", "%"),
    ("high tone below", "worst", "bandwidth: high tone accepted down to", "%"),
    ("high tone above", "worst", "bandwidth: high tone accepted up to", "%"),
    ("low tone below", "outermost", "bandwidth: any hit, low tone, down to", "%"),
    ("low tone above", "outermost", "bandwidth: any hit, low tone, up to", "%"),
    ("high tone below", "outermost", "bandwidth: any hit, high tone, down to", "%"),
    ("high tone above", "outermost", "bandwidth: any hit, high tone, up to", "%"),
    ("normal twist", "worst", "normal twist: every digit up to", "dB"),
    ("normal twist", "best", "normal twist: best digit up to", "dB"),
    ("reverse twist", "worst", "reverse twist: every digit up to", "dB"),
    ("reverse twist", "best", "reverse twist: best digit up to", "dB"),
    ("level", "worst", "lowest level of each tone, every digit", "dBm0"),
    ("duration", "worst", "tone always heard from", "ms"),
    ("duration", "outermost", "shortest tone ever heard", "ms"),
    ("noise", "worst", "least S/N of each tone with all found", "dB"),
)


def _gather(counts: Sequence[Count]) -> list[Row]:
    table = summed(counts)
    names = list(dict.fromkeys(detector for _, detector in table))
    rows: list[Row] = []
    details: list[Row] = []
    for name in names:
        shared: dict[str, Any] = {"suite": "mitel", "detector": name}
        by_test = {
            test: {digit: _digit(table, test, digit, name) for digit in DIGITS} for test in VALUES if test != "pause"
        }
        for test, kind, label, unit in FIGURES:
            digits = by_test[test]
            if kind == "worst":
                value = _worst((d.limit for d in digits.values()), test)
            elif kind == "best":
                value = _best((d.limit for d in digits.values()), test)
            else:
                value = _best((d.outermost for d in digits.values()), test)
            n = int(sum(f["presented"] for (c, d), f in table.items() if d == name and c.startswith(f"{test}|")))
            rows.append(Row(condition=label, figure="limit", value=value, unit=unit, n=n, **shared))
            if kind == "worst":
                details += [
                    Row(
                        condition=f"{label}, digit {x}", figure="limit", value=d.limit, unit=unit, detail=True, **shared
                    )
                    for x, d in digits.items()
                ]
        level = next(row for row in rows if row.detector == name and row.condition.startswith("lowest level"))
        span = None if level.value is None else STRONGER_DBM0 - level.value
        rows.append(
            Row(
                condition=f"dynamic range below {STRONGER_DBM0:.0f} dBm0",
                figure="limit",
                value=span,
                unit="dB",
                **shared,
            )
        )
        rows += _pause_rows(table, name)
    return rows + details


def _pause_rows(table: dict[tuple[str, str], dict[str, float]], name: str) -> list[Row]:
    values = VALUES["pause"]
    cells = [table[f"pause|{value}|", name] for value in values]
    merges = limit(values, (cell["once"] == cell["presented"] for cell in cells))
    outward = list(zip(values, cells, strict=True))[::-1]
    splits = limit([v for v, _ in outward], (cell["twice"] == cell["presented"] for _, cell in outward))
    shared: dict[str, Any] = {"suite": "mitel", "detector": name, "figure": "limit", "unit": "ms"}
    return [
        Row(condition="pause always bridged up to", value=merges, **shared),
        Row(condition="pause always parts keys from", value=splits, **shared),
    ]


SUITE = Suite(name="mitel", title="Limits, in the manner of the CM7291 tape", tasks=_tasks, run=_run, gather=_gather)
