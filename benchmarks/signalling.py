"""How fast calls are set up and torn down: ``python -m benchmarks.signalling [parse | endpoint | calls | soak]``.

``parse``: messages read and written. ``endpoint``: whole calls through one ``Endpoint`` in memory. ``calls``: the
engine in a process of its own, called at rising rates by a generator in another (``benchmarks.load.flood``). ``soak``:
many calls, in memory or at the engine, and whether memory and what is open stay as they are. Without a name: the first
three.

CPU time is told, and of calls also what the caller waited from INVITE to 200; a call is INVITE, 100, 180, 200, ACK,
BYE, 200, with session descriptions, a media leg, a form's prompt and four records in the ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.load import signals
from benchmarks.load.memory import PEER, TARGET, MemoryLoad
from benchmarks.load.proc import cpu_time, machine
from benchmarks.load.worker import raise_file_limit
from engine.cli import COLLECT_AFTER
from sip.parser import parse_message
from tests.support.engine import RunningEngine, free_udp_port, running_engine

__all__ = ("main",)

MAX_CALLS = 2_000_000
MAX_RUN_S = 4 * 3600.0
TEXT = {"target": TARGET, "host": PEER.host, "port": PEER.port}
TO_TAG = "0123456789abcdef"
TOML = """
[sip]
listen = "127.0.0.1:{port}"
max_calls = 10000

[media]
threads = 1
ports = [20000, 39999]

[connector.sandbox]
type = "sandbox"
database = "sandbox.sqlite3"

[form.save-card]
connector = "sandbox"

[[route]]
to = "save"
form = "save-card"

[log]
level = "warning"
"""

Row = dict[str, Any]


# -- parse -------------------------------------------------------------------------------------------------------------


def _messages() -> dict[str, bytes]:
    invited = signals.invite(1, rtp_port=4000, **TEXT)  # type: ignore[arg-type]
    return {
        "INVITE": invited,
        "200 to INVITE": signals.ok(invited, TO_TAG),
        "BYE": signals.bye(1, TO_TAG, **TEXT),  # type: ignore[arg-type]
    }


def _median_us(work: Callable[[], object], *, repeats: int, rounds: int = 15) -> float:
    times = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(repeats):
            work()
        times.append((time.process_time() - began) / repeats * 1e6)
    return statistics.median(times)


def _read_all(data: bytes) -> None:
    message = parse_message(data)
    _ = message.via, message.from_.tag, message.to.tag, message.cseq, message.call_id, message.contacts


def _instructions(data: bytes, work: str, repeats: int) -> float | None:
    """Count the instructions of ``work`` on a message with callgrind: those of ``repeats`` above those of none."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return None
    counts = []
    for n in (0, repeats):
        code = (
            "from sip.parser import parse_message\n"  # no more than this: all that is imported is counted slowly
            f"data = {data!r}\nmessage = parse_message(data)\n"
            f"for _ in range(50): {work}\nfor _ in range({n}): {work}\n"
        )
        done = subprocess.run(
            [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-c", code],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=600,
        )
        found = re.search(r"Collected : (\d+)", done.stderr)
        if found is None:
            return None
        counts.append(int(found.group(1)))
    return (counts[1] - counts[0]) / repeats


def _parse(options: argparse.Namespace) -> list[Row]:
    rows = []
    for name, data in _messages().items():
        message = parse_message(data)
        rows.append(
            {
                "message": name,
                "octets": len(data),
                "header_lines": data.partition(b"\r\n\r\n")[0].count(b"\r\n"),
                "parse_us": _median_us(lambda data=data: parse_message(data), repeats=options.repeats),  # type: ignore[misc]
                "parse_and_read_us": _median_us(lambda data=data: _read_all(data), repeats=options.repeats),  # type: ignore[misc]
                "serialize_us": _median_us(message.serialize, repeats=options.repeats),
            }
        )
        if options.instructions:
            rows[-1]["parse_instructions"] = _instructions(data, "parse_message(data)", 200)
            rows[-1]["serialize_instructions"] = _instructions(data, "message.serialize()", 200)
    return rows


# -- endpoint ----------------------------------------------------------------------------------------------------------


def _endpoint(options: argparse.Namespace) -> list[Row]:
    usual = gc.get_threshold()
    gc.set_threshold(*COLLECT_AFTER)  # as the engine has it
    try:
        load = MemoryLoad(options.rate)
        load.run(options.calls // 10)
        # The caller's part, writing the messages, is taken off.
        writing_us = 1e6 * _seconds(lambda: _write_call(7), 2000) / 2000
        times = [load.run(options.calls) / options.calls * 1e6 - writing_us for _ in range(options.runs)]
    finally:
        gc.set_threshold(*usual)
    us = statistics.median(times)
    return [{"us_per_call": us, "calls_per_cpu_second": 1e6 / us, "runs": options.runs, "calls": options.calls}]


def _write_call(number: int) -> None:
    signals.invite(number, rtp_port=4000, **TEXT)  # type: ignore[arg-type]
    signals.ack(number, TO_TAG, **TEXT)  # type: ignore[arg-type]
    signals.bye(number, TO_TAG, **TEXT)  # type: ignore[arg-type]


def _seconds(work: Callable[[], object], repeats: int) -> float:
    began = time.process_time()
    for _ in range(repeats):
        work()
    return time.process_time() - began


# -- calls -------------------------------------------------------------------------------------------------------------


def _flood(engine: RunningEngine, *, rate: float, calls: int, hold_s: float, prefix: str) -> Row:
    host, port = engine.sip_address
    arguments = [host, port, rate, calls, hold_s, prefix]
    before = cpu_time(engine.pid)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load.flood", *map(str, arguments)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=calls / rate + 120,
        check=True,
    )
    after = cpu_time(engine.pid)
    row: Row = json.loads(done.stdout)
    row["cpu_us_per_call"] = (after.total_s - before.total_s) / calls * 1e6
    row["signalling_us_per_call"] = (after.threads_s[engine.pid] - before.threads_s[engine.pid]) / calls * 1e6
    row["waited_for_core"] = (after.waits_s[engine.pid] - before.waits_s[engine.pid]) / row["seconds"]
    return row


async def _at_engine(options: argparse.Namespace, directory: Path) -> list[Row]:
    rows = []
    toml = TOML.format(port=free_udp_port())
    async with running_engine(toml, directory=directory) as engine:
        await asyncio.to_thread(_flood, engine, rate=50, calls=100, hold_s=options.hold, prefix="warm")
        for number in range(options.runs):
            for rate in options.rates:
                row = await asyncio.to_thread(
                    _flood,
                    engine,
                    rate=rate,
                    calls=int(rate * options.seconds),
                    hold_s=options.hold,
                    prefix=f"r{number}x{rate}",
                )
                rows.append(row)
                print(f"run {number + 1}: {_told(row)}", file=sys.stderr)
    return rows


def _told(row: Row) -> str:
    return (
        f"{row['rate']:.0f}/s: {row['completed']} of {row['calls']} completed, refused {row['refused']}, "
        f"{row['failed']} failed, p50 {row['p50_ms']:.1f} p95 {row['p95_ms']:.1f} p99 {row['p99_ms']:.1f} ms, "
        f"{row['cpu_us_per_call']:.0f} us CPU a call ({row['waited_for_core']:.0%} waited for a core)"
    )


def _calls(options: argparse.Namespace) -> list[Row]:
    with tempfile.TemporaryDirectory() as directory:
        rows = asyncio.run(_at_engine(options, Path(directory)))
    found = []
    for rate in options.rates:
        mine = [row for row in rows if row["rate"] == rate]
        found.append(
            {
                "calls_per_s": rate,
                "calls": sum(row["calls"] for row in mine),
                "completed": sum(row["completed"] for row in mine),
                "refused": sum(sum(row["refused"].values()) for row in mine),
                "failed": sum(row["failed"] for row in mine),
                **{
                    name: statistics.median(row[name] for row in mine)
                    for name in ("p50_ms", "p95_ms", "p99_ms", "cpu_us_per_call", "signalling_us_per_call")
                },
                "waited_for_core": max(row["waited_for_core"] for row in mine),
            }
        )
    return found


# -- soak --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    calls: int
    rss_kib: int
    descriptors: int
    sessions: int | None = None
    dialogs: int | None = None
    transactions: int | None = None
    objects: int | None = None


def _rss_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", text)[0])


def _descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _slope(samples: Sequence[_Sample]) -> float:
    """Return bytes a call, by a linear fit over the second half: the first one fills what is kept for 64*T1."""
    kept = samples[len(samples) // 2 :]
    if len(kept) < 2:
        return float("nan")
    fit = statistics.linear_regression([s.calls for s in kept], [s.rss_kib * 1024 for s in kept])
    return fit.slope


def _soak_in_memory(options: argparse.Namespace) -> list[_Sample]:
    load = MemoryLoad(options.rate)
    samples = []
    step = max(1, options.calls // options.samples)
    pid = os.getpid()
    while load.completed < options.calls:
        load.run(min(step, options.calls - load.completed))
        found = load.open()
        samples.append(
            _Sample(
                calls=load.completed,
                rss_kib=_rss_kib(pid),
                descriptors=_descriptors(pid),
                sessions=found.sessions,
                dialogs=found.dialogs,
                transactions=found.transactions,
                objects=len(gc.get_objects()),
            )
        )
        print(samples[-1], file=sys.stderr)
    load.let_time_pass(400.0)
    left = load.open()
    if left.sessions or left.dialogs or left.transactions or left.has_timer:
        raise SystemExit(f"not all ended: {left}")
    return samples


async def _soak_at_engine(options: argparse.Namespace, directory: Path) -> list[_Sample]:
    samples = []
    step = max(1, options.calls // options.samples)
    done = 0
    began = time.monotonic()
    async with running_engine(TOML.format(port=free_udp_port()), directory=directory) as engine:
        while done < options.calls and time.monotonic() - began < MAX_RUN_S:
            row = await asyncio.to_thread(
                _flood, engine, rate=options.rate, calls=step, hold_s=options.hold, prefix=f"s{done}"
            )
            done += step
            samples.append(
                _Sample(
                    calls=done,
                    rss_kib=_rss_kib(engine.pid),
                    descriptors=_descriptors(engine.pid),
                )
            )
            print(f"{samples[-1]}; {_told(row)}", file=sys.stderr)
    return samples


def _soak(options: argparse.Namespace) -> list[Row]:
    if options.engine:
        with tempfile.TemporaryDirectory() as directory:
            samples = asyncio.run(_soak_at_engine(options, Path(directory)))
    else:
        samples = _soak_in_memory(options)
    first, last = samples[len(samples) // 2], samples[-1]
    return [
        {
            "at": "engine" if options.engine else "endpoint",
            "calls": last.calls,
            "rss_half_mib": first.rss_kib / 1024,
            "rss_end_mib": last.rss_kib / 1024,
            "slope_bytes_per_call": _slope(samples),
            "descriptors_half": first.descriptors,
            "descriptors_end": last.descriptors,
            **({} if options.engine else {"objects_half": first.objects, "objects_end": last.objects}),
            "samples": [asdict(sample) for sample in samples],
        }
    ]


# -- what is printed ---------------------------------------------------------------------------------------------------

RUNS: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "parse": _parse,
    "endpoint": _endpoint,
    "calls": _calls,
    "soak": _soak,
}


def _cell(value: object) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _table(rows: list[Row]) -> str:
    names = [name for name in rows[0] if name != "samples"]
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(_cell(row.get(name)) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def _publish(out: Path, name: str, options: argparse.Namespace, rows: list[Row]) -> None:
    """Put one part into signalling.json, and write signalling.md anew from all that is there."""
    path = out / "signalling.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    told = {key: value for key, value in vars(options).items() if key not in ("run", "out", "name")}
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True
    ).stdout.strip()
    known[name] = {
        "machine": machine(),
        "python": platform.python_version(),
        "commit": commit,
        "options": told,
        "rows": rows,
    }
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    lines = ["# Signalling", ""]
    for part, found in known.items():
        options_text = ", ".join(f"{key} {value}" for key, value in found["options"].items())
        lines += [f"## {part}", "", f"{found['machine']}, CPython {found['python']}, {found['commit']}; {options_text}"]
        lines += ["", _table(found["rows"]), ""]
    (out / "signalling.md").write_text("\n".join(lines), encoding="utf-8")


def _rates(text: str) -> tuple[int, ...]:
    rates = tuple(int(part) for part in text.split(","))
    if not all(1 <= rate <= 5000 for rate in rates):
        raise ValueError
    return rates


def _count(text: str) -> int:
    if not 1 <= int(text) <= MAX_CALLS:
        raise ValueError
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.signalling", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--out", type=Path, default=None, help="folder for signalling.md and .json (default: none)")
    names = parser.add_subparsers(dest="name")

    def add(name: str, told: str) -> argparse.ArgumentParser:
        sub = names.add_parser(name, help=told)
        sub.add_argument("--out", type=Path, default=argparse.SUPPRESS, help="folder for signalling.md and .json")
        return sub

    parse = add("parse", "messages read and written")
    parse.add_argument("--repeats", type=_count, default=2000)
    parse.add_argument("--instructions", action="store_true", help="count instructions too, under callgrind (slow)")
    endpoint = add("endpoint", "whole calls in memory")
    endpoint.add_argument("--calls", type=_count, default=2000, help="in each run")
    endpoint.add_argument("--runs", type=_count, default=9)
    endpoint.add_argument("--rate", type=float, default=500.0, help="calls a second of the endpoint's time")
    calls = add("calls", "calls at the engine, at rising rates")
    calls.add_argument("--rates", type=_rates, default=(100, 300, 500, 800, 1000), help="calls a second (%(default)s)")
    calls.add_argument("--seconds", type=float, default=10.0, help="of each rate")
    calls.add_argument("--hold", type=float, default=0.2, help="seconds from ACK to BYE")
    calls.add_argument("--runs", type=_count, default=3)
    soak = add("soak", "many calls, and whether memory stays flat")
    soak.add_argument("--calls", type=_count, default=100_000)
    soak.add_argument("--rate", type=float, default=300.0, help="calls a second")
    soak.add_argument("--hold", type=float, default=0.2)
    soak.add_argument("--samples", type=_count, default=20)
    soak.add_argument("--engine", action="store_true", help="at the engine instead of an endpoint in memory")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; return 0 when all that was asked for could be measured."""
    options = _parser().parse_args(argv)
    if options.name is None:
        out = () if options.out is None else ("--out", str(options.out))
        return max(main([name, *out]) for name in ("parse", "endpoint", "calls"))
    raise_file_limit()
    print(f"machine: {machine()}, CPython {platform.python_version()}")
    rows = RUNS[options.name](options)
    print(_table(rows))
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    if options.out is not None:
        _publish(options.out, options.name, options, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
