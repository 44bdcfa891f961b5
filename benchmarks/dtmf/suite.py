"""What a suite is: tasks that can run anywhere, and figures gathered from what they counted.

A task is small data. `run` turns it into counts, in any process, on any machine that has the corpus; counts of equal
name add up. `gather` makes figures of them.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dtmf import detectors
from benchmarks.dtmf.score import Score, score
from benchmarks.dtmf.stimuli import Stimulus

__all__ = (
    "CHUNK",
    "MISSED",
    "Condition",
    "Count",
    "Options",
    "Row",
    "Suite",
    "Task",
    "chunks",
    "heard",
    "recall_suite",
    "summed",
)

MISSED = "missed: "
"Begins the figures that count missed keys by the limit they broke."
WINDOW = 200
"Samples of the detector's window, 25 ms: a near miss may begin so much before its key."
CHUNK = 400
"Digits of a task at most: its memory stays below some tens of megabytes."


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for."""

    suites: tuple[str, ...]
    detectors: tuple[str, ...]
    digits: int = 1600
    seed: int = 24
    corpus: Path | None = None
    speeds: tuple[float, ...] = (1.0,)
    callgrind: bool = False
    why: bool = False
    "Also say which limit our detector's missed keys broke."


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One piece of work."""

    suite: str
    condition: str
    detectors: tuple[str, ...]
    seed: int
    n: int = 0
    chunk: int = 0
    corpus: Path | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def rng(self) -> np.random.Generator:
        """Return this task's own randomness: the same on every machine, in any order of tasks."""
        name = f"{self.suite}/{self.extra.get('drawn_as', self.condition)}"
        return np.random.default_rng([self.seed, zlib.crc32(name.encode()), self.chunk])


@dataclass(frozen=True, slots=True)
class Count:
    """A number that adds up."""

    condition: str
    detector: str
    figure: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure of the results."""

    suite: str
    condition: str
    detector: str
    figure: str
    value: float | None
    "None: it could not be measured or was not reached."
    unit: str
    n: int = 0
    "Of how many."
    detail: bool = False
    "For CSV, JSON and plots; too fine for tables."


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A family of tests."""

    name: str
    title: str
    tasks: Callable[[Options], list[Task]]
    run: Callable[[Task], list[Count]]
    gather: Callable[[Sequence[Count]], list[Row]]
    alone: bool = False
    "Run in the main process, one after the other, when all else is done: it measures time."


def chunks(n: int) -> list[int]:
    """Cut n digits into tasks."""
    return [CHUNK] * (n // CHUNK) + ([n % CHUNK] if n % CHUNK else [])


def summed(counts: Iterable[Count]) -> dict[tuple[str, str], dict[str, float]]:
    """Add counts up: by condition and detector, then by figure, in the order of their first coming."""
    total: dict[tuple[str, str], dict[str, float]] = {}
    for count in counts:
        figures = total.setdefault((count.condition, count.detector), defaultdict(float))
        figures[count.figure] += count.value
    return total


def heard(spec: str, stimulus: Stimulus) -> tuple[str, Score] | None:
    """Let a detector hear a stimulus; None when it cannot be told of losses that the stimulus tells of."""
    detector = detectors.make(spec)
    if stimulus.lost is not None and not detector.takes_loss:
        return None
    found = detector.detect(detectors.cut(stimulus.samples, lost=stimulus.lost))
    return detector.name, score(stimulus.keys, found)


def _why(spec: str, condition: str, stimulus: Stimulus, scored: Score) -> list[Count]:
    """Count the limits that missed keys broke: of each key, that of its first near miss."""
    detector = detectors.make(spec)
    if not isinstance(detector, detectors.Ours) or scored.heard.all():
        return []
    near = detector.near_misses(detectors.cut(stimulus.samples, lost=stimulus.lost))
    counts = []
    for key, hit in zip(stimulus.keys, scored.heard, strict=True):
        if not hit:
            reason = next((why for at, why in near if key.start - WINDOW <= at < key.end), "nothing like a key")
            counts.append(Count(condition, detector.name, MISSED + reason, 1))
    return counts


@dataclass(frozen=True, slots=True)
class Condition:
    """A stimulus by its number of digits. With `refused` its keys must not be heard: each report is false."""

    make: Callable[[np.random.Generator, int, Path | None], Stimulus]
    refused: bool = False
    drawn_as: str = ""
    "Conditions with the same name here get the same draws: what differs is what the name leaves out."


def recall_suite(name: str, title: str, conditions: Callable[[], Mapping[str, Condition]]) -> Suite:
    """Return a suite that counts keys heard and digits inserted, in each condition."""

    def tasks(options: Options) -> list[Task]:
        return [
            Task(
                suite=name,
                condition=condition,
                detectors=options.detectors,
                seed=options.seed,
                n=n,
                chunk=chunk,
                corpus=options.corpus,
                extra={"drawn_as": made.drawn_as or condition, "why": options.why},
            )
            for condition, made in conditions().items()
            for chunk, n in enumerate(chunks(options.digits))
        ]

    def run(task: Task) -> list[Count]:
        condition = conditions()[task.condition]
        stimulus = condition.make(task.rng(), task.n, task.corpus)
        if condition.refused:
            stimulus = Stimulus(stimulus.samples, (), stimulus.lost)
        counts: list[Count] = []
        for spec in task.detectors:
            result = heard(spec, stimulus)
            if result is None:
                continue
            detector, scored = result
            counts.append(Count(task.condition, detector, "presented", task.n))
            if not condition.refused:
                counts.append(Count(task.condition, detector, "heard", int(scored.heard.sum())))
            counts.append(Count(task.condition, detector, "inserted", scored.inserted))
            if task.extra["why"]:
                counts += _why(spec, task.condition, stimulus, scored)
        return counts

    def gather(counts: Sequence[Count]) -> list[Row]:
        rows = []
        for (condition, detector), figures in summed(counts).items():
            n = int(figures["presented"])
            shared: dict[str, Any] = {"suite": name, "condition": condition, "detector": detector, "n": n}
            if "heard" in figures:
                rows.append(Row(figure="recall", value=100 * figures["heard"] / n, unit="%", **shared))
                rows.append(Row(figure="inserted", value=figures["inserted"], unit="", **shared))
            else:
                rows.append(Row(figure="false", value=100 * figures["inserted"] / n, unit="%", **shared))
            rows += [
                Row(figure=figure, value=value, unit="", detail=True, **shared)
                for figure, value in figures.items()
                if figure.startswith(MISSED)
            ]
        return rows

    return Suite(name=name, title=title, tasks=tasks, run=run, gather=gather)
