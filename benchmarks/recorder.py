"""CPU time of recording, per recorded call and second: ``python -m benchmarks.recorder``.

Simulated legs push 50 frames of 20 ms a second, stereo, into a recorder that writes to a directory; the ticks are paced
in real time, a quarter of the legs every 5 ms, as clock threads do. Printed is CPU time (user + system) by thread:
``push`` is the loop over the legs' pushes alone, less what the same loop takes without legs (the clock's calls and
Python's after a sleep); ``move`` and ``write`` are the recorder's two threads, system calls included. The system's own
write-back to the disk is not in it. Medians over runs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.load.proc import machine
from engine.media._recorder import RecordingCore, push_all
from engine.media.recorder import Channels, Recorder, RecordingFinished

__all__ = ("Measurement", "main", "measure")

PHASES = 4
PHASE_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One run's figures."""

    recordings: int
    seconds: float
    channels: str
    push_us: float
    "CPU time per recorded call and second, in µs."
    move_us: float
    write_us: float
    lost_ms: int

    @property
    def total_us(self) -> float:
        """All threads together."""
        return self.push_us + self.move_us + self.write_us


def measure(directory: Path, *, recordings: int, seconds: float, channels: Channels) -> Measurement:
    """Record simulated legs in real time into `directory`, which is emptied again."""
    recorder = Recorder(directory)
    recorder.start()
    opened = [recorder.open(f"{n}.wav", channels=channels) for n in range(recordings)]
    quarters = [[one.tap for one in opened[phase::PHASES]] for phase in range(PHASES)]
    # Several frames, so that nothing is warm that would not be: a leg's audio was decoded a moment ago.
    noise = np.random.default_rng(1).integers(-8000, 8000, (2, 160), dtype=np.int16)
    clocks = {thread.name: time.pthread_getcpuclockid(thread.ident or 0) for thread in recorder._threads}
    before = {name: time.clock_gettime(clock) for name, clock in clocks.items()}
    without = _push(quarters=[[]] * PHASES, noise=noise, ticks=100)
    ticks = round(seconds * 50)
    pushing = _push(quarters=quarters, noise=noise, ticks=ticks) - without * ticks / 100
    # What waits is part of the cost: the threads are read when it is in the files.
    for one in opened:
        one.close()
    finished = 0
    lost_ms = 0
    deadline = time.monotonic() + 30
    spent: dict[str, float] = {}
    while finished < recordings and time.monotonic() < deadline:
        time.sleep(0.05)
        spent = {name: time.clock_gettime(clock) - before[name] for name, clock in clocks.items()}
        for event in recorder.drain_events():
            finished += 1
            lost_ms += event.lost_ms if isinstance(event, RecordingFinished) else 0
    recorder.stop()
    call_seconds = recordings * seconds
    return Measurement(
        recordings=recordings,
        seconds=seconds,
        channels=channels,
        push_us=pushing / 1e3 / call_seconds,
        move_us=spent["recorder-mover"] / call_seconds * 1e6,
        write_us=spent["recorder-writer"] / call_seconds * 1e6,
        lost_ms=lost_ms,
    )


def _push(quarters: list[list[RecordingCore]], noise: NDArray[np.int16], ticks: int) -> float:
    """Pace the ticks; return the CPU time of the pushes in ns."""
    spent = 0
    due = time.monotonic()
    for tick in range(ticks):
        for phase in range(PHASES):
            started = time.thread_time_ns()
            push_all(quarters[phase], noise[tick % 2], noise[phase % 2])
            spent += time.thread_time_ns() - started
            due += PHASE_S
            time.sleep(max(0.0, due - time.monotonic()))
    return spent


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; return 0 only when no frame was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recorder", description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, default=200, help="at once (default 200)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run (default 10)")
    parser.add_argument("--runs", type=int, default=3, help="(default 3)")
    parser.add_argument("--channels", choices=("stereo", "mono"), default="stereo")
    parser.add_argument("--directory", type=Path, help="on the disk to be measured (default: a temporary one)")
    parser.add_argument("--json", action="store_true", help="one JSON object a run")
    options = parser.parse_args(argv)
    found = []
    for _ in range(options.runs):
        directory = Path(tempfile.mkdtemp(dir=options.directory))
        try:
            found.append(
                measure(directory, recordings=options.recordings, seconds=options.seconds, channels=options.channels)
            )
        finally:
            shutil.rmtree(directory)
    if options.json:
        for one in found:
            print(json.dumps({**asdict(one), "total_us": one.total_us, "machine": machine()}))
    else:
        print(f"machine: {machine()}, CPython {sys.version.split()[0]}")
        print("method: CPU time (user + system) by thread, ticks in real time, medians of runs")
        push, move, write, total = (
            statistics.median(getattr(one, f"{part}_us") for one in found)
            for part in ("push", "move", "write", "total")
        )
        print(
            f"{options.channels}, {options.recordings} recordings, {len(found)} runs of {options.seconds:g} s: "
            f"{total:.1f} us CPU per recorded call and second "
            f"(push {push:.1f}, move {move:.1f}, write {write:.1f}), lost {sum(one.lost_ms for one in found)} ms"
        )
    return 0 if not any(one.lost_ms for one in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
