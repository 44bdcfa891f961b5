"""Runs tasks: in this process, in a pool of processes, or on a Dask cluster. The tasks are the same."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import import_module
from typing import Any

from benchmarks.dtmf.errors import BenchError, MissingExtra
from benchmarks.dtmf.suite import Count, Options, Row, Task
from benchmarks.dtmf.suites import SUITES

__all__ = ("Outcome", "run", "run_task")

Outcome = list[Count] | str
"What a task counted, or what was wrong with it."
Progress = Callable[[str, int, int], None]
"Told after each task: what runs, tasks done, tasks in all."


def run_task(task: Task) -> Outcome:
    """Do a task. A fault of a file or of a detector is an answer: the others go on."""
    try:
        counts: list[Count] = SUITES[task.suite].run(task)
    except BenchError as error:
        return f"{task.suite}, {task.condition}: {error}"
    return counts


def run(options: Options, *, jobs: int, scheduler: str | None, progress: Progress) -> tuple[list[Row], list[str]]:
    """Run the suites and return their figures and what went wrong, both in a fixed order.

    Raises MissingExtra when `scheduler` is given and Dask is not installed, BenchError when it cannot be reached.
    """
    suites = [SUITES[name] for name in SUITES if name in options.suites]
    spread = [task for suite in suites if not suite.alone for task in suite.tasks(options)]
    alone = [task for suite in suites if suite.alone for task in suite.tasks(options)]
    outcomes: dict[int, Outcome] = {}
    total = len(spread) + len(alone)
    if scheduler:
        source = _on_cluster(spread, scheduler)
    elif jobs == 1 or len(spread) == 1:
        source = ((index, run_task(task)) for index, task in enumerate(spread))
    else:
        source = _in_pool(spread, jobs)
    for index, outcome in source:
        outcomes[index] = outcome
        progress(spread[index].suite, len(outcomes), total)
    for offset, task in enumerate(alone):
        outcomes[len(spread) + offset] = run_task(task)
        progress(task.suite, len(outcomes), total)
    rows: list[Row] = []
    for suite in suites:
        counts: list[Count] = []
        for index, task in enumerate(spread + alone):
            found = outcomes[index]
            if task.suite == suite.name and not isinstance(found, str):
                counts += found
        rows += suite.gather(counts)
    problems = [found for _, found in sorted(outcomes.items()) if isinstance(found, str)]
    return rows, list(dict.fromkeys(problems))


def _in_pool(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[int, Outcome]]:
    # Spawned, not forked: the parent may have threads.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(run_task, task): index for index, task in enumerate(tasks)}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _on_cluster(tasks: Sequence[Task], scheduler: str) -> Iterator[tuple[int, Outcome]]:
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise MissingExtra("dask.distributed") from None
    try:
        client = distributed.Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise BenchError(f"no Dask scheduler at {scheduler}: {error}") from None
    with client:
        waiting = client.map(run_task, tasks, pure=False)
        index_of = {future.key: index for index, future in enumerate(waiting)}
        for future, result in distributed.as_completed(waiting, with_results=True):
            yield index_of[future.key], result
