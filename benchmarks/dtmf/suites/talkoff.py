"""False digits in audio that has none, per hour, by corpus and kind, at several speeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.dtmf import corpus, detectors
from benchmarks.dtmf.suite import Count, Options, Row, Suite, Task, summed
from dsp.dtmf import RATE_HZ

__all__ = ("SUITE",)


def _tasks(options: Options) -> list[Task]:
    if options.corpus is None:
        return []
    return [
        Task(
            suite="talkoff",
            condition=item.corpus,
            detectors=options.detectors,
            seed=options.seed,
            extra={"path": item.path, "kind": item.kind, "speed": speed},
        )
        for item in corpus.talkoff(options.corpus)
        for speed in options.speeds
    ]


def _run(task: Task) -> list[Count]:
    kind, speed = task.extra["kind"], task.extra["speed"]
    condition = f"{kind}|{task.condition}|{speed}"
    counts: list[Count] = []
    for spec in task.detectors:
        detector = detectors.make(spec)
        n_samples = 0

        def pieces() -> Any:
            nonlocal n_samples
            for block in corpus.blocks(task.extra["path"], speed=speed):
                n_samples += len(block)
                yield block

        found = detector.detect(pieces())
        counts.append(Count(condition, detector.name, "false", len(found)))
        counts.append(Count(condition, detector.name, "samples", n_samples))
    return counts


def _gather(counts: Sequence[Count]) -> list[Row]:
    fine = summed(counts)
    by_corpus = [Count(_plain(c.condition), c.detector, c.figure, c.value) for c in counts]
    by_kind = [Count(f"{c.condition.split('|')[0]}, all", c.detector, c.figure, c.value) for c in counts]
    rows = _rows(summed(by_corpus)) + _rows(summed(by_kind))
    return rows + _rows({(key.replace("|", ", "), d): f for (key, d), f in fine.items()}, detail=True)


def _plain(condition: str) -> str:
    kind, name, _ = condition.split("|")
    return f"{kind}: {name}"


def _rows(table: dict[tuple[str, str], dict[str, float]], *, detail: bool = False) -> list[Row]:
    rows: list[Row] = []
    for (condition, detector), figures in sorted(table.items()):
        hours = figures["samples"] / RATE_HZ / 3600
        shared: dict[str, Any] = {"suite": "talkoff", "condition": condition, "detector": detector, "detail": detail}
        rows.append(Row(figure="false digits", value=figures["false"], unit="", **shared))
        rows.append(Row(figure="hours", value=hours, unit="h", **shared))
        rows.append(Row(figure="per hour", value=figures["false"] / hours if hours else None, unit="/h", **shared))
    return rows


SUITE = Suite(name="talkoff", title="Talk-off: digits where there are none", tasks=_tasks, run=_run, gather=_gather)
