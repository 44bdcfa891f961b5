"""Samples a second of thread CPU time, as called from Python; detectors take turns within a run.

The ratio to spandsp is the median of the ratios of the runs: what slows a shared machine down slows both. In pieces of
8,000 samples the call itself no longer counts; in pieces of 160, calls with no samples in them are timed too and taken
off, which is what a caller in C pays. With callgrind, instructions a sample, which no neighbour can change.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from benchmarks.dtmf import corpus as corpora
from benchmarks.dtmf import detectors, speech
from benchmarks.dtmf.detectors import MULTIMON_RATE_HZ, Multimon, Ours
from benchmarks.dtmf.errors import DetectorError
from benchmarks.dtmf.feed import Feed, feed_bank, feeder
from benchmarks.dtmf.stimuli import FRAME, LEVEL_DBM0, Samples, drawn, keyed
from benchmarks.dtmf.suite import Count, Options, Row, Suite, Task, summed
from dsp.dtmf import RATE_HZ
from dsp.levels import peak_of_dbm0

__all__ = ("PIECES", "RUNS", "SUITE", "audio")

RUNS = 9
PIECES = (FRAME, 8000)
SECONDS = 60
BANKS = (256, 1024)
BANK_SECONDS = 2
BARE = "calls taken off"
PEER = "spandsp"
SPEECH_DBM0 = -15.0
NOISE_DBM0 = -36.0
CALLGRIND_SECONDS = 15
CALLGRIND_KINDS = ("speech", "noise", "keys", "hostile: keys 45/15 ms")
CALLGRIND_PASSES = (1, 9)
CALLGRIND_TIMEOUT_S = 900.0
MULTIMON_REPEATS = 8


def audio(kind: str, corpus: Path | None, n: int, rng: np.random.Generator) -> Samples | None:
    """Return audio of a kind; None for music without a corpus that has some."""
    if kind == "speech":
        voice = speech.one_talker(corpus, n, rng) * peak_of_dbm0(SPEECH_DBM0) / np.sqrt(2)
        talk: Samples = np.clip(np.rint(voice), -32768, 32767).astype(np.int16)
        return talk
    if kind == "noise":
        return np.rint(rng.normal(0, peak_of_dbm0(NOISE_DBM0) / np.sqrt(2), n)).astype(np.int16)
    if kind == "music":
        files = [item for item in corpora.talkoff(corpus) if item.kind == "music"] if corpus is not None else []
        parts: list[Samples] = []
        for item in files:
            for block in corpora.blocks(item.path):
                parts.append(block)
                if sum(map(len, parts)) >= n:
                    music: Samples = np.concatenate(parts)[:n]
                    return music
        return None
    if kind == "keys":
        return keyed(drawn(rng, n // 1300 + 1), rng, 80, 80).samples[:n]
    if kind == "hostile: keys 45/15 ms":
        return keyed(drawn(rng, n // 480 + 1), rng, 45, 15).samples[:n]
    return _hostile(kind, n)


def _hostile(kind: str, n: int) -> Samples:
    """Return a tone pair that keeps a cheap gate open and gives the expensive part behind it work without end."""
    off = 0.025 if kind == "hostile: a pair 2.5 % off" else 0.0
    t = np.arange(n) / RATE_HZ
    peak = peak_of_dbm0(LEVEL_DBM0)
    pair = peak * (np.sin(2 * np.pi * 770 * (1 + off) * t) + np.sin(2 * np.pi * 1336 * (1 + off) * t))
    if kind == "hostile: a pair on 22 ms, off 5 ms":
        pair *= np.arange(n) % 216 < 176
    elif kind == "hostile: a pair with tremolo":
        pair *= 0.55 + 0.45 * np.sin(2 * np.pi * 5 * t)  # no level for long: never a steady background
    return np.rint(pair).astype(np.int16)


KINDS = (
    "speech",
    "noise",
    "music",
    "keys",
    "hostile: keys 45/15 ms",
    "hostile: a held pair",
    "hostile: a pair with tremolo",
    "hostile: a pair on 22 ms, off 5 ms",
    "hostile: a pair 2.5 % off",
)


def _tasks(options: Options) -> list[Task]:
    shared: dict[str, Any] = {
        "suite": "throughput",
        "detectors": options.detectors,
        "seed": options.seed,
        "corpus": options.corpus,
        "n": (SECONDS if options.digits >= RUNS * 16 else 1) * RATE_HZ,
    }
    tasks = [Task(condition=kind, extra={"callgrind": options.callgrind}, **shared) for kind in KINDS]
    if any(isinstance(detectors.make(spec), Ours) for spec in options.detectors):
        tasks += [
            Task(condition=f"bank of {n_channels}", extra={"channels": n_channels}, **shared) for n_channels in BANKS
        ]
    return tasks


def _clocked(call: Callable[..., object], *arguments: Any) -> float:
    begin = time.thread_time_ns()
    call(*arguments)
    return max(1, time.thread_time_ns() - begin) / 1e9


def _run(task: Task) -> list[Count]:
    if "channels" in task.extra:
        return _run_bank(task)
    samples = audio(task.condition, task.corpus, task.n, task.rng())
    if samples is None:
        return []
    samples = np.ascontiguousarray(samples)
    here = {detectors.make(s).name: feeder(s) for s in task.detectors if s == PEER or s.startswith("ours")}
    counts: list[Count] = []
    for piece in PIECES:
        rates: dict[str, list[float]] = {name: [] for name in here}
        bare: dict[str, list[float]] = {name: [] for name in here}
        for _ in range(RUNS):
            for name, feed in here.items():
                whole, less = _rates(feed, samples, piece)
                rates[name].append(whole)
                bare[name].append(less)
        counts += _figures(f"{task.condition}, pieces of {piece}", rates)
        if piece == FRAME:
            counts += _figures(f"{task.condition}, pieces of {piece}, {BARE}", bare)
    for spec in task.detectors:
        detector = detectors.make(spec)
        if isinstance(detector, Multimon):
            counts.append(
                Count(
                    f"{task.condition}, pieces of {PIECES[-1]}", detector.name, "Msamples/s", _multimon(samples) / 1e6
                )
            )
    if task.extra["callgrind"] and task.condition in CALLGRIND_KINDS:
        short = samples[: CALLGRIND_SECONDS * RATE_HZ]
        for spec in task.detectors:
            if spec == PEER or spec.startswith("ours"):
                value = _instructions(spec, short)
                name = detectors.make(spec).name
                counts.append(Count(f"{task.condition}, pieces of {FRAME}", name, "instructions/sample", value))
    return counts


def _rates(feed: Feed, samples: Samples, piece: int) -> tuple[float, float]:
    """Return samples a second, and the same with the calls taken off."""
    seconds = _clocked(feed, samples, piece, piece)
    calls = _clocked(feed, samples, piece, 0)
    return len(samples) / seconds, len(samples) / max(seconds - calls, seconds / 100)


def _figures(condition: str, rates: dict[str, list[float]]) -> list[Count]:
    counts = []
    for name, values in rates.items():
        counts.append(Count(condition, name, "Msamples/s", statistics.median(values) / 1e6))
        if name != PEER and PEER in rates:
            ratios = [ours / peer for ours, peer in zip(values, rates[PEER], strict=True)]
            counts.append(Count(condition, name, f"x {PEER}", statistics.median(ratios)))
    return counts


def _run_bank(task: Task) -> list[Count]:
    n_channels = task.extra["channels"]
    rng = task.rng()
    n = min(task.n, BANK_SECONDS * RATE_HZ) // FRAME * FRAME
    talk = audio("speech", task.corpus, max(task.n, n), rng)
    assert talk is not None
    whole = np.stack([np.roll(talk, -int(rng.integers(len(talk))))[:n] for _ in range(n_channels)])
    frames = [np.ascontiguousarray(whole[:, at : at + FRAME]) for at in range(0, n, FRAME)]
    peer = feeder(PEER) if PEER in task.detectors else None
    rates: dict[str, list[float]] = {"paytone": []}
    if peer is not None:
        rates[PEER] = []
    for _ in range(RUNS):
        rates["paytone"].append(whole.size / _clocked(feed_bank, frames))
        if peer is not None:
            rates[PEER].append(_rates(peer, talk, FRAME)[1])
    return _figures(f"speech, {task.condition} channels, frames of {FRAME}", rates)


def _multimon(samples: Samples) -> float:
    """Return multimon-ng's samples (of 8 kHz) a second of CPU, user and system; it reads a file at its own rate."""
    program = shutil.which("multimon-ng")
    assert program is not None
    converted = soxr.resample(samples, RATE_HZ, MULTIMON_RATE_HZ, quality="HQ")
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(MULTIMON_REPEATS):
            file.write(converted.tobytes())
        file.flush()
        rates = []
        for _ in range(3):
            process = subprocess.Popen(
                [program, "-q", "-a", "DTMF", "-t", "raw", file.name],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            _, _, usage = os.wait4(process.pid, 0)
            process.returncode = 0
            rates.append(MULTIMON_REPEATS * len(samples) / max(1e-6, usage.ru_utime + usage.ru_stime))
    return statistics.median(rates)


def _instructions(spec: str, samples: Samples) -> float:
    """Return instructions a sample, by callgrind: the difference of few and many passes, so that start-up cancels out.

    Raises DetectorError when valgrind is not installed or fails.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise DetectorError("valgrind is not installed", remedy="apt-get install valgrind")
    command = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += [sys.executable, "-m", "benchmarks.dtmf.feed"]
    # What a start costs must not vary from one to the next.
    environment = os.environ | {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
    totals = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "audio.npy")
        np.save(path, samples)
        for passes in CALLGRIND_PASSES:
            done = subprocess.run(
                [*command, spec, str(path), str(FRAME), str(passes)],
                capture_output=True,
                text=True,
                env=environment,
                timeout=CALLGRIND_TIMEOUT_S,
                check=False,
            )
            counted = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
            if done.returncode or counted is None:
                raise DetectorError(f"valgrind ended with status {done.returncode}: {done.stderr.strip()[-200:]}")
            totals.append(int(counted[1]))
    few, many = CALLGRIND_PASSES
    return (totals[1] - totals[0]) / ((many - few) * len(samples))


def _gather(counts: Sequence[Count]) -> list[Row]:
    units = {"Msamples/s": "Msamples/s", "instructions/sample": "instructions"}
    return [
        Row(
            suite="throughput",
            condition=condition,
            detector=detector,
            figure=figure,
            value=value,
            unit=units.get(figure, "x"),
            n=RUNS,
        )
        for (condition, detector), figures in summed(counts).items()
        for figure, value in figures.items()
    ]


SUITE = Suite(
    name="throughput",
    title="Throughput of a core, Msamples/s (beside spandsp)",
    tasks=_tasks,
    run=_run,
    gather=_gather,
    alone=True,
)
