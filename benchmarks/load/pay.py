"""Whole calls that pay: signalling, prompts, keys, gateway and ledger, from the softphone's load generator."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.proc import cpu_time
from engine.softphone.load import LoadResult, run_load
from tests.support.engine import DEFAULT_TOML, RunningEngine, running_engine

__all__ = ("PayRun", "measure")

KEYS = {
    "payment-card-number": "4242424242424242#",
    "expiration-date": "1230",
    "security-code": "123",
    "postal-code": "94105#",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PayRun:
    """One run's figures."""

    mode: str
    calls: int
    paid: int
    call_seconds: float
    cpu_seconds: float
    us_per_call_second: float


async def _measure(engine: RunningEngine, mode: str, calls: int) -> PayRun:
    before_paid = len(engine.sandbox_transactions())
    before_s = cpu_time(engine.pid).total_s
    results: Sequence[LoadResult] = await run_load(engine.uri(), calls=calls, mode=mode, keys=KEYS)
    cpu_s = cpu_time(engine.pid).total_s - before_s
    call_seconds = sum(result.duration_s for result in results)
    paid = sum(1 for row in engine.sandbox_transactions()[before_paid:] if row["outcome"] == "succeeded")
    return PayRun(
        mode=mode,
        calls=calls,
        paid=paid,
        call_seconds=call_seconds,
        cpu_seconds=cpu_s,
        us_per_call_second=cpu_s / call_seconds * 1e6 if call_seconds else float("nan"),
    )


async def _run(calls: int, runs: int, modes: Sequence[str]) -> list[PayRun]:
    with tempfile.TemporaryDirectory() as directory:
        async with running_engine(DEFAULT_TOML + '\n[log]\nlevel = "warning"\n', directory=Path(directory)) as engine:
            return [await _measure(engine, mode, calls) for mode in modes for _ in range(runs)]


def measure(calls: int, runs: int, modes: Sequence[str]) -> list[PayRun]:
    """Place `calls` at once, `runs` times in each mode, at one engine."""
    return asyncio.run(_run(calls, runs, modes))
