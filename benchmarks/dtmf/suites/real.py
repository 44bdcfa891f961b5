"""Recordings with labels: how many come out exactly, digits found in their order, and inserted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.dtmf import corpus, detectors
from benchmarks.dtmf.detectors import Piece
from benchmarks.dtmf.score import common, score
from benchmarks.dtmf.stimuli import FRAME, TAIL
from benchmarks.dtmf.suite import Count, Options, Row, Suite, Task, summed

__all__ = ("SUITE",)


def _tasks(options: Options) -> list[Task]:
    if options.corpus is None:
        return []
    return [
        Task(
            suite="real",
            condition=item.label,
            detectors=options.detectors,
            seed=options.seed,
            extra={"item": item},
        )
        for item in corpus.labelled(options.corpus)
    ]


def _pieces(path: str) -> Iterator[Piece]:
    """Yield a recording in frames of 20 ms, and silence behind it: one that ends in a key still holds it."""
    for block in corpus.blocks(path):
        yield from detectors.cut(block, FRAME)
    yield from detectors.cut(np.zeros(TAIL, dtype=np.int16), FRAME)


def _run(task: Task) -> list[Count]:
    item: corpus.Labelled = task.extra["item"]
    counts: list[Count] = []
    for spec in task.detectors:
        detector = detectors.make(spec)
        found = detector.detect(_pieces(item.path))
        digits = "".join(f.digit for f in found)
        if item.keys is None:
            hits = common(item.digits, digits)
        else:
            hits = int(score(item.keys, found).heard.sum())
        for figure, value in (
            ("files", 1),
            ("exact", int(digits == item.digits and hits == len(item.digits))),
            ("digits", len(item.digits)),
            ("found", hits),
            ("inserted", len(found) - hits),
        ):
            counts.append(Count(item.label, detector.name, figure, value))
            counts.append(Count(f"file {item.path.rpartition('/')[2]}", detector.name, figure, value))
    return counts


def _gather(counts: Sequence[Count]) -> list[Row]:
    whole = [Count("all", c.detector, c.figure, c.value) for c in counts if not c.condition.startswith("file ")]
    rows: list[Row] = []
    for (condition, detector), figures in summed([*counts, *whole]).items():
        detail = condition.startswith("file ")
        shared: dict[str, Any] = {"suite": "real", "condition": condition, "detector": detector, "detail": detail}
        rows += [
            Row(figure="files exact", value=figures["exact"], unit="of", n=int(figures["files"]), **shared),
            Row(figure="digits found", value=figures["found"], unit="of", n=int(figures["digits"]), **shared),
            Row(figure="inserted digits", value=figures["inserted"], unit="", **shared),
        ]
    return rows


SUITE = Suite(name="real", title="Real recordings, by label", tasks=_tasks, run=_run, gather=_gather)
