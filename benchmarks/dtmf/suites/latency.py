"""Delay of events in ms of input time: from the start of a tone to its event, from its end to the end event.

Audio comes in pieces of 5 or 20 ms; an event is dated by the end of the piece that brought it, so a figure holds up to
one piece of waiting. Keys of 80/80 ms with idle noise through mu-law.
"""

from __future__ import annotations

import ctypes
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from benchmarks.dtmf import detectors
from benchmarks.dtmf.detectors import Ours, Spandsp
from benchmarks.dtmf.score import LATE_SAMPLES, Key
from benchmarks.dtmf.stimuli import Samples, drawn, idle_noise, keyed
from benchmarks.dtmf.suite import Count, Options, Row, Suite, Task
from dsp import channel
from dsp.dtmf import RATE_HZ, DtmfDetector

__all__ = ("SUITE",)

MOST_KEYS = 1600
PIECES_MS = (5, 20)
FIGURES = {
    "provisional": "start of tone to provisional event",
    "start": "start of tone to confirmed event",
    "end": "end of tone to end event",
}
QUANTILES = {"median": 50.0, "95 %": 95.0, "most": 100.0}


class Probe(Protocol):
    """A detector whose events can be seen as they come."""

    def feed(self, piece: Samples) -> Iterable[str]:
        """Take a piece; return the kinds of the events it brought: provisional, start, end."""


class _OursProbe:
    def __init__(self, ours: Ours) -> None:
        self._detector = DtmfDetector(ours.profile, provisional=True)

    def feed(self, piece: Samples) -> list[str]:
        return [event.kind.value for event in self._detector.process(piece)]


class _SpandspProbe:
    """Its real-time callback tells start and end; a status of 'x' says that a digit may be coming."""

    def __init__(self, spandsp: Spandsp) -> None:
        self._library = spandsp.library
        self._receiver = self._library.dtmf_rx_init(None, None, None)
        self._events: list[str] = []
        self._maybe = False
        signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int)
        self._callback = signature(self._on_event)  # kept: the library holds no reference
        self._library.dtmf_rx_set_realtime_callback(self._receiver, self._callback, None)

    def _on_event(self, _user: int | None, code: int, _level: int, _delay: int) -> None:
        self._events.append("start" if code else "end")

    def feed(self, piece: Samples) -> list[str]:
        part = np.ascontiguousarray(piece)
        self._events.clear()
        self._library.dtmf_rx(self._receiver, part.ctypes.data, len(part))
        maybe = bool(self._library.dtmf_rx_status(self._receiver))
        first = ["provisional"] if maybe and not self._maybe else []
        self._maybe = maybe
        return first + self._events

    def close(self) -> None:
        self._library.dtmf_rx_free(self._receiver)


def _tasks(options: Options) -> list[Task]:
    return [
        Task(
            suite="latency",
            condition=f"pieces of {ms} ms",
            detectors=options.detectors,
            seed=options.seed,
            n=min(options.digits, MOST_KEYS),
            extra={"ms": ms, "drawn_as": "keys"},
        )
        for ms in PIECES_MS
    ]


def _run(task: Task) -> list[Count]:
    rng = task.rng()
    stimulus = keyed(drawn(rng, task.n), rng, 80, 80)
    samples = channel.through_ulaw(idle_noise(stimulus.samples, rng))
    size = task.extra["ms"] * RATE_HZ // 1000
    counts: list[Count] = []
    for spec in task.detectors:
        detector = detectors.make(spec)
        probe: Probe
        if isinstance(detector, Ours):
            probe = _OursProbe(detector)
        elif isinstance(detector, Spandsp):
            probe = _SpandspProbe(detector)
        else:
            continue  # its events cannot be seen as they come
        events: list[tuple[str, int]] = []
        for at in range(0, len(samples), size):
            part = samples[at : at + size]
            events += [(kind, at + len(part)) for kind in probe.feed(part)]
        if isinstance(probe, _SpandspProbe):
            probe.close()
        for kind in FIGURES:
            times = [at for name, at in events if name == kind]
            counts += [
                Count(f"{task.condition}|{kind}", detector.name, "delay", delay)
                for delay in _delays(stimulus.keys, times, from_end=kind == "end")
            ]
    return counts


def _delays(keys: Sequence[Key], times: Sequence[int], *, from_end: bool) -> list[float]:
    """Return for each key the ms to its first event; a key without one has none."""
    found = []
    for key in keys:
        base = key.end if from_end else key.start
        first = next((at for at in times if base < at <= key.end + LATE_SAMPLES), None)
        if first is not None:
            found.append(1000 * (first - base) / RATE_HZ)
    return found


def _gather(counts: Sequence[Count]) -> list[Row]:
    delays: dict[tuple[str, str], list[float]] = defaultdict(list)
    for count in counts:
        delays[count.condition, count.detector].append(count.value)
    rows = []
    for (condition, detector), values in delays.items():
        pieces, _, kind = condition.partition("|")
        for label, percent in QUANTILES.items():
            shared: dict[str, Any] = {"suite": "latency", "detector": detector, "figure": label, "unit": "ms"}
            value = float(np.percentile(values, percent))
            rows.append(Row(condition=f"{FIGURES[kind]}, {pieces}", value=value, n=len(values), **shared))
    return rows


SUITE = Suite(name="latency", title="Delay of events", tasks=_tasks, run=_run, gather=_gather)
