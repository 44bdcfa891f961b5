"""How fast the outbox drains, and what a call feels of it: ``python -m benchmarks.outbox [--events 10000] [--write]``.

A ledger (SQLite, WAL, synchronous=FULL) in a temporary directory, a receiver in a process of its own on loopback that
keeps connections, the engine's event loop (uvloop). Each run:

1. ``enqueue``: the events are put in, 5 a session, 20 at once, each caller waiting until its webhook is on the disk;
2. ``drain``: the outbox starts and delivers all of them. Meanwhile a ticker asks to be woken every 10 ms and notes how
   late that was, and twenty times a second a payment is opened in the same ledger: that is what a call would wait for;
3. ``behind``: 100,000 more wait for a receiver that is down, each session's first put off: how long the outbox's
   question for what is due takes, the median of 200.

At first the ticker and the payments run alone (``idle``). Told is the median of the runs, with the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import uvloop

from benchmarks.load.proc import machine
from engine.cli import COLLECT_AFTER
from engine.ledger import Ledger
from engine.net.egress import Egress
from engine.net.http_pool import HttpPool
from engine.net.web_client import WebClient
from engine.outbox import Outbox

__all__ = ("main",)

PER_SESSION = 5
AT_ONCE = 20
TICK_S = 0.01
PAYMENT_S = 0.05
IDLE_S = 3.0
BEHIND = 100_000
PATIENCE_S = 600.0
BODY = json.dumps({"event_type": "pay.status", "for": "payment-card-number", "attempt": 1, "text": "x" * 600}).encode()
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
RESULT = Path(__file__).parent / "results" / "outbox.json"

Row = dict[str, float]


# -- the receiver ----------------------------------------------------------------------------------------------------


class _Receiver(asyncio.Protocol):
    """Answers 204 to each request that it got whole."""

    seen = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            _Receiver.seen += 1
            self._transport.write(ANSWER)


def _receive(pipe: Connection) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Receiver, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, pipe.poll, None)
        pipe.send(_Receiver.seen)

    uvloop.run(serve())


# -- what is measured ------------------------------------------------------------------------------------------------


class _Watch:
    """How late the loop wakes those who asked, and how long a payment waits for the ledger, within ``async with``."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger = ledger
        self._name = name
        self.late: list[float] = []
        self.waits: list[float] = []

    async def __aenter__(self) -> _Watch:
        self._tasks = [asyncio.create_task(self._tick()), asyncio.create_task(self._pay())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _tick(self) -> None:
        while True:
            due = time.perf_counter() + TICK_S  # the time of uvloop's loop has steps of 1 ms
            await asyncio.sleep(TICK_S)
            self.late.append(max(0.0, time.perf_counter() - due))

    async def _pay(self) -> None:
        number = 0
        while True:
            began = time.perf_counter()
            number += 1
            await self._ledger.start_payment(
                f"{self._name}{number}", call_id="c", form="f", operation="charge", amount="1.00", currency="usd"
            )
            self.waits.append(time.perf_counter() - began)
            await asyncio.sleep(PAYMENT_S)

    def told(self) -> Row:
        """Return the figures in milliseconds."""
        return {
            "late_p50_ms": _part(self.late, 0.5) * 1e3,
            "late_p99_ms": _part(self.late, 0.99) * 1e3,
            "late_max_ms": max(self.late) * 1e3,
            "payment_p50_ms": _part(self.waits, 0.5) * 1e3,
            "payment_max_ms": max(self.waits) * 1e3,
        }


def _part(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _timed(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Return how long the work took, and the CPU time of this process."""
    wall, cpu = time.perf_counter(), _cpu_s()
    await work()
    return time.perf_counter() - wall, _cpu_s() - cpu


async def _enqueue(outbox: Outbox, port: int, events: int) -> None:
    """Put the events in; those of a session one after the other, as a call does."""
    numbers = iter(range(events))
    url = f"http://127.0.0.1:{port}/status"

    async def caller() -> None:
        for number in numbers:
            await outbox.enqueue(f"session-{number // PER_SESSION}", url, BODY, allow_insecure=True)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(caller())


async def _drained(ledger: Ledger) -> None:
    while await ledger.webhooks.listed(1, dead=False):
        await asyncio.sleep(0.05)


async def _one_run(path: Path, port: int, events: int, behind: int) -> dict[str, Row]:
    ledger = await Ledger.open(f"sqlite+aiosqlite:///{path / 'ledger.sqlite3'}")

    def now() -> datetime:
        return datetime.now(UTC)

    pool = HttpPool(Egress(["127.0.0.1"]))
    outbox = Outbox(ledger, client=WebClient(pool.request, clock=now), clock=now)
    gc.collect()
    gc.freeze()  # as the engine does
    gc.set_threshold(*COLLECT_AFTER)
    async with _Watch(ledger, "idle") as watch:
        await asyncio.sleep(IDLE_S)
    rows = {"idle": watch.told()}

    wall_s, cpu_s = await _timed(lambda: _enqueue(outbox, port, events))
    rows["enqueue"] = {"events_s": events / wall_s, "cpu_us": cpu_s / events * 1e6}

    async with _Watch(ledger, "drain") as watch, asyncio.timeout(PATIENCE_S):
        outbox.start()
        wall_s, cpu_s = await _timed(lambda: _drained(ledger))
    rows["drain"] = {"events_s": events / wall_s, "cpu_us": cpu_s / events * 1e6, "cpu": cpu_s / wall_s} | watch.told()
    await outbox.stop()
    if behind:
        rows["behind"] = await _behind(ledger, behind, now())
    await pool.close()
    await ledger.close()
    return rows


async def _behind(ledger: Ledger, count: int, now: datetime) -> Row:
    """Return how long it takes to find what is due when much waits for a receiver that is down."""
    oldest: list[int] = []
    for start in range(0, count, 2000):
        names = [f"down-{number // PER_SESSION}" for number in range(start, min(count, start + 2000))]
        ids = await asyncio.gather(*(ledger.webhooks.enqueue(name, "https://down.example/", b"") for name in names))
        oldest += ids[::PER_SESSION]
    retry_at = now + timedelta(hours=1)
    await asyncio.gather(*(ledger.webhooks.failed(one, "down", retry_at=retry_at) for one in oldest))
    times = []
    for _ in range(200):
        began = time.perf_counter()
        assert await ledger.webhooks.due(now, 64) == []
        times.append(time.perf_counter() - began)
    return {"due_ms": statistics.median(times) * 1e3}


# -- the whole -------------------------------------------------------------------------------------------------------


def _run(events: int, behind: int) -> dict[str, Row]:
    ours, theirs = multiprocessing.Pipe()
    receiver = multiprocessing.get_context("spawn").Process(target=_receive, args=(theirs,), daemon=True)
    receiver.start()
    port = ours.recv()
    with tempfile.TemporaryDirectory() as directory:
        rows = uvloop.run(_one_run(Path(directory), port, events, behind))
    ours.send(None)
    seen = ours.recv()
    receiver.join()
    if seen != events:
        raise SystemExit(f"{events} events were put in, and {seen} came")
    return rows


def _median(runs: Sequence[dict[str, Row]]) -> dict[str, Row]:
    return {
        step: {name: statistics.median(run[step][name] for run in runs if step in run) for name in row}
        for step, row in runs[-1].items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and with ``--write`` keep the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--behind", type=int, default=BEHIND, help="0: not measured")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--write", action="store_true", help=f"into {RESULT.name}")
    options = parser.parse_args(arguments)
    load = os.getloadavg()[0]  # of what else runs: above 0.5 the figures tell of the others
    runs: list[dict[str, Row]] = []
    for number in range(options.runs):
        runs.append(_run(options.events, options.behind if number == options.runs - 1 else 0))
        print(f"run {number + 1}: {_line(runs[-1])}", flush=True)
    result: dict[str, Any] = {"machine": machine(), "load_before": load, "events": options.events, "runs": options.runs}
    result |= _median(runs)
    print(json.dumps(result, indent=1))
    if options.write:
        RESULT.write_text(json.dumps(result, indent=1) + "\n")


def _line(rows: dict[str, Row]) -> str:
    drain = rows["drain"]
    return (
        f"in {rows['enqueue']['events_s']:.0f}/s, out {drain['events_s']:.0f}/s at {drain['cpu']:.0%} of a core, "
        f"late p99 {drain['late_p99_ms']:.1f} ms max {drain['late_max_ms']:.1f} ms "
        f"(idle {rows['idle']['late_p99_ms']:.1f} and {rows['idle']['late_max_ms']:.1f}), "
        f"payment p50 {drain['payment_p50_ms']:.1f} ms max {drain['payment_max_ms']:.1f} ms "
        f"(idle {rows['idle']['payment_p50_ms']:.1f} and {rows['idle']['payment_max_ms']:.1f})"
    )


if __name__ == "__main__":
    main()
