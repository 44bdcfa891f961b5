"""CPU time of the engine per call and second: ``python -m benchmarks.calls``.

An engine in a process of its own serves on loopback; our load generator, in another process, places N calls at once,
and each pays (keys by RFC 4733 or in-band tones, prompts playing, in-band detector on, statistics). What is printed is
the CPU time (user + system, from ``/proc/PID/stat``) of the engine's process alone, divided by call-seconds. Medians
over runs; the load generator shares the machine, which is why CPU time is told and no wall time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.softphone.load import LoadResult, run_load
from tests.support.engine import DEFAULT_TOML, RunningEngine, running_engine

__all__ = ("Measurement", "main")

KEYS = {
    "payment-card-number": "4242424242424242#",
    "expiration-date": "1230",
    "security-code": "123",
    "postal-code": "94105#",
}
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One run's figures."""

    mode: str
    calls: int
    paid: int
    call_seconds: float
    cpu_seconds: float
    us_per_call_second: float


def cpu_seconds(pid: int) -> float:
    """Return user + system CPU time of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def machine() -> str:
    """Return a generic name of the machine."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{os.cpu_count()} cores, {line.partition(':')[2].strip()}"
    return f"{os.cpu_count()} cores"


async def _measure(engine: RunningEngine, mode: str, calls: int) -> Measurement:
    before_paid = len(engine.sandbox_transactions())
    before = cpu_seconds(engine.pid)
    results: Sequence[LoadResult] = await run_load(engine.uri(), calls=calls, mode=mode, keys=KEYS)
    cpu = cpu_seconds(engine.pid) - before
    call_seconds = sum(result.duration_s for result in results)
    paid = sum(1 for row in engine.sandbox_transactions()[before_paid:] if row["outcome"] == "succeeded")
    return Measurement(
        mode=mode,
        calls=calls,
        paid=paid,
        call_seconds=call_seconds,
        cpu_seconds=cpu,
        us_per_call_second=cpu / call_seconds * 1e6 if call_seconds else float("nan"),
    )


async def _run(calls: int, runs: int, modes: Sequence[str]) -> list[Measurement]:
    found = []
    with tempfile.TemporaryDirectory() as directory:
        async with running_engine(DEFAULT_TOML + '\n[log]\nlevel = "warning"\n', directory=Path(directory)) as engine:
            for mode in modes:
                for _ in range(runs):
                    found.append(await _measure(engine, mode, calls))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; return 0 only when every call paid."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calls", description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=50, help="calls at once (default 50)")
    parser.add_argument("--runs", type=int, default=3, help="runs per mode (default 3)")
    parser.add_argument("--mode", choices=("telephone-event", "in-band", "both"), default="both")
    parser.add_argument("--json", action="store_true", help="one JSON object a run")
    options = parser.parse_args(argv)
    modes = ("telephone-event", "in-band") if options.mode == "both" else (options.mode,)
    found = asyncio.run(_run(options.calls, options.runs, modes))
    if options.json:
        for measurement in found:
            print(json.dumps({**asdict(measurement), "machine": machine()}))
    else:
        print(f"machine: {machine()}, CPython {sys.version.split()[0]}")
        print("method: CPU time (user + system) of the engine's process, calls that pay, medians of runs")
        for mode in modes:
            rows = [row for row in found if row.mode == mode]
            cost = statistics.median(row.us_per_call_second for row in rows)
            paid = sum(row.paid for row in rows)
            print(
                f"{mode:<16} {options.calls} calls at once, {len(rows)} runs: {cost:7.0f} us CPU per call and second "
                f"({1e6 / cost:.0f} calls a core), paid {paid} of {sum(row.calls for row in rows)}"
            )
    return 0 if all(row.paid == row.calls for row in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
