"""What a call costs the engine: ``python -m benchmarks.calls [media | soak | pay | sipp | asterisk]``.

``media``: legs of a media plane in a process of its own, called by the compiled generator in another. ``soak``: the
same for long, to see that no key is lost. ``pay``: whole calls that pay. ``sipp``: calls of SIPp at the whole engine,
``asterisk``: the same at Asterisk, where there is one. Without a name: a little of everything.

What is printed is CPU time (user + system) of the measured process alone, by call-seconds,
medians over runs: the callers share the machine, which is why CPU time is told and no wall time.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.load import asterisk, pay, report, sipp
from benchmarks.load.media import Load, MediaRun, measure
from benchmarks.load.proc import machine
from benchmarks.load.sipp import SippError, SippRun, hold_calls
from benchmarks.load.worker import WorkerError
from tests.support.engine import free_udp_port, running_engine

__all__ = ("main",)

RESULTS = Path(__file__).parent / "results"
MODES = ("in-band", "telephone-event", "none")
SHORT = (100, 500, 1000)
MAX_LATE_SHARE = 0.001
METHOD = "CPU time (user + system) of the measured process by call-seconds; medians of runs"
SIPP_TOML = """
[sip]
listen = "127.0.0.1:{port}"
max_calls = {max_calls}

[media]
threads = 1

[connector.sandbox]
type = "sandbox"
database = "sandbox.sqlite3"

# A caller who keys nothing hears prompts nearly all the time.
[form.save-card]
connector = "sandbox"
retries = 9
timeout_s = 0.1

[[route]]
to = "save"
form = "save-card"

[log]
level = "warning"
"""


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(","))
    if not all(1 <= number <= 8000 for number in numbers):
        raise ValueError
    return numbers


def _method(options: argparse.Namespace) -> dict[str, Any]:
    root = Path(__file__).parents[1]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True)
    return {
        "machine": machine(),
        "python": sys.version.split()[0],
        "commit": commit.stdout.strip(),
        "what": METHOD,
        "options": {name: value for name, value in vars(options).items() if name not in ("run", "out", "json")},
    }


def _tell_machine() -> None:
    print(f"machine: {machine()}, CPython {sys.version.split()[0]}")


def _presses_per_s(options: argparse.Namespace, calls: int) -> float:
    return float(options.presses_per_s) if options.presses_per_s is not None else calls / 10


def _run_media(options: argparse.Namespace, modes: Sequence[str]) -> list[MediaRun]:
    found = []
    for number in range(options.runs):
        # All loads in turn, so that a slow minute of the machine falls on all of them.
        for mode in modes:
            for calls in options.calls:
                run = measure(
                    Load(
                        calls=calls,
                        mode=mode,
                        seconds=options.seconds,
                        presses_per_s=_presses_per_s(options, calls),
                        threads=options.threads,
                        phases=options.phases,
                        record=options.record,
                        srtp=options.srtp,
                        bridge=options.bridge,
                        seed=options.seed + number,
                    )
                )
                found.append(run)
                print(
                    f"run {number + 1}: {mode}, {calls} calls: {run.us_per_call_second:.0f} us, "
                    f"{run.keys.lost} of {run.keys.sent} keys lost, {run.late_ticks} of {run.ticks} ticks late"
                    f"{', DISTURBED: others had the core' if run.is_disturbed else ''} ({run.waited:.1%} waited)",
                    file=sys.stderr,
                )
    return found


def _good(run: MediaRun) -> bool:
    keys = run.keys
    return not (keys.lost or keys.doubled or keys.wrong or run.events_lost or run.engine["commands_lost"])


def _media(options: argparse.Namespace) -> int:
    modes = MODES if options.mode == "all" else (options.mode,)
    found = _run_media(options, modes)
    _publish(options, found)
    # What was lost while others had the core tells nothing, unless there is nothing else.
    counted = [run for run in found if not run.is_disturbed] or found
    return 0 if all(map(_good, counted)) else 1


def _publish(options: argparse.Namespace, found: list[MediaRun]) -> None:
    rows = report.rows(found)
    told = [
        f"machine: {machine()}, CPython {sys.version.split()[0]}",
        "",
        f"method: {METHOD}; PCMU, prompt playing, in-band detector, jitter buffer, statistics; {options.seconds:.0f} s "
        f"after settling; {options.threads} media thread(s); callers in {options.phases} phase(s) a cycle",
        "",
        report.table(rows),
    ]
    for label in dict.fromkeys(row.label for row in rows):
        mine = sorted((row for row in rows if row.label == label), key=lambda row: row.calls)
        if len(mine) > 1:
            ratio = mine[-1].us_per_call_second / mine[0].us_per_call_second
            told += ["", f"{label}: a call among {mine[-1].calls} costs {ratio:.2f} of one among {mine[0].calls}."]
    print("\n".join(told))
    if options.out is not None:
        report.write_json(options.out / "calls.json", _method(options), found)
        (options.out / "calls.md").write_text("\n".join(["# Calls", "", *told, ""]), encoding="utf-8")
        if not report.draw(options.out / "calls.png", rows):
            print("no plot: matplotlib is not installed (the extra 'bench')")


def _soak(options: argparse.Namespace) -> int:
    run = measure(
        Load(
            calls=options.calls[0],
            mode=options.mode,
            seconds=options.seconds,
            presses_per_s=options.presses_per_s,
            threads=options.threads,
            phases=options.phases,
            seed=options.seed,
        )
    )
    _tell_machine()
    print(report.table(report.rows([run])))
    print(
        f"generator: {run.generator['late_ticks']} of {run.generator['ticks']} ticks late (at most "
        f"{run.generator['max_late_us'] / 1000:.1f} ms), {run.generator['send_failed']} packets not sent; "
        f"of the legs' packets {run.generator['missing']} missing, {run.generator['repeated']} repeated, "
        f"{run.generator['callers_unanswered']} callers heard nothing; "
        f"the media threads waited {run.waited:.2%} of the time for a core"
    )
    print(f"engine: {run.engine}")
    if options.out is not None:
        report.write_json(options.out / "calls-soak.json", _method(options), [run])
    good = _good(run) and run.late_share < MAX_LATE_SHARE
    print("no key lost, doubled or wrong, late ticks below 0.1 %" if good else "not all was as it should be")
    return 0 if good else 1


def _pay(options: argparse.Namespace) -> int:
    modes = ("telephone-event", "in-band") if options.mode == "both" else (options.mode,)
    calls = options.calls[0]
    found = pay.measure(calls, options.runs, modes)
    _tell_machine()
    print("method: CPU time (user + system) of the engine's process, calls that pay, medians of runs")
    for mode in modes:
        rows = [row for row in found if row.mode == mode]
        cost = statistics.median(row.us_per_call_second for row in rows)
        paid = sum(row.paid for row in rows)
        print(
            f"{mode:<16} {calls} calls at once, {len(rows)} runs: {cost:7.0f} us CPU per call and second "
            f"({1e6 / cost:.0f} calls a core), paid {paid} of {sum(row.calls for row in rows)}"
        )
    if options.out is not None:
        report.write_json(options.out / "calls-pay.json", _method(options), found)
    return 0 if all(row.paid == row.calls for row in found) else 1


async def _at_paytone(calls: int, seconds: float, directory: Path) -> SippRun:
    port = free_udp_port()
    toml = SIPP_TOML.format(port=port, max_calls=calls + 10)
    async with running_engine(toml, directory=directory / "engine") as engine:
        run = await asyncio.to_thread(
            hold_calls,
            "paytone",
            engine.pid,
            engine.sip_address,
            user="save",
            calls=calls,
            seconds=seconds,
            directory=directory,
        )
        silent = sum(1 for row in engine.ledger_rows("calls") if row["packets_in"] < 50 * seconds)
        if silent:
            print(f"{silent} calls were heard less than they spoke")
        return run


def _at_asterisk(calls: int, seconds: float, directory: Path) -> SippRun:
    with asterisk.running_asterisk(directory) as running:
        return hold_calls(
            running.version,
            running.pid,
            running.address,
            user="save",
            calls=calls,
            seconds=seconds,
            directory=directory,
        )


def _sipp(options: argparse.Namespace) -> int:
    """Both servers, or one, with the same calls of SIPp."""
    reason = sipp.unavailable()
    if reason is not None:
        print(f"skipped: {reason}")
        return 0
    servers = ["paytone"]
    if options.name == "asterisk":
        reason = asterisk.unavailable()
        if reason is not None:
            print(f"skipped: {reason}")
            return 0
        servers.append("asterisk")
    found: list[SippRun] = []
    for _ in range(options.runs):
        for server in servers:
            for calls in options.calls:
                with tempfile.TemporaryDirectory() as directory:
                    at = Path(directory)
                    found.append(
                        asyncio.run(_at_paytone(calls, options.seconds, at))
                        if server == "paytone"
                        else _at_asterisk(calls, options.seconds, at)
                    )
    _tell_machine()
    print("method: CPU time (user + system) of the server while all calls of SIPp stand; medians of runs")
    for name, calls in dict.fromkeys((run.server, run.calls) for run in found):
        rows = [run for run in found if (run.server, run.calls) == (name, calls)]
        cost = statistics.median(row.us_per_call_second for row in rows)
        completed = sum(row.completed for row in rows)
        print(
            f"{name}: {calls} calls, {len(rows)} runs: {cost:.0f} us CPU per call and second "
            f"({1e6 / cost:.0f} calls a core), {completed} of {calls * len(rows)} calls stood to their end"
        )
    if options.out is not None:
        report.write_json(options.out / f"calls-{options.name}.json", _method(options), found)
    return 0 if all(run.completed == run.calls for run in found) else 1


def _everything(options: argparse.Namespace) -> int:
    status = 0
    for name in ("media", "pay", "asterisk"):
        print(f"\n== {name}")
        status = max(status, main([name, *(() if options.out is None else ("--out", str(options.out)))]))
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calls", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=None, help="folder for JSON and plot (default: none)")
    parser.set_defaults(run=_everything)
    names = parser.add_subparsers(dest="name")

    def add(name: str, run: Any, told: str, *, calls: Sequence[int], runs: int, seconds: float) -> Any:
        sub = names.add_parser(name, help=told)
        sub.set_defaults(run=run)
        sub.add_argument(
            "--calls", type=_numbers, default=tuple(calls), help="calls at once: 100,500,... (%(default)s)"
        )
        sub.add_argument("--runs", type=int, default=runs, help="runs of each (default %(default)s)")
        sub.add_argument("--seconds", type=float, default=seconds, help="measured interval (default %(default)s)")
        sub.add_argument("--out", type=Path, default=argparse.SUPPRESS, help="folder for JSON and plot (default: none)")
        return sub

    media = add("media", _media, "legs of a media plane", calls=SHORT, runs=5, seconds=10.0)
    soak = add("soak", _soak, "no key lost in ten minutes", calls=(1000,), runs=1, seconds=600.0)
    for sub in (media, soak):
        sub.add_argument("--threads", type=int, default=1, help="media threads (default %(default)s)")
        sub.add_argument("--seed", type=int, default=1)
        sub.add_argument(
            "--phases", type=int, choices=(1, 4), default=4, help="callers' packets: 4 each 5 ms, or at once"
        )
    media.add_argument("--mode", choices=(*MODES, "all"), default="in-band", help="how keys are sent")
    media.add_argument("--presses-per-s", type=float, default=None, help="among all calls (default: one in 10 s each)")
    media.add_argument("--record", action="store_true", help="record every call")
    media.add_argument("--bridge", action="store_true", help="let each two calls hear each other, one behind its mask")
    media.add_argument("--srtp", action="store_true", help="SRTP in both directions")
    soak.add_argument("--mode", choices=MODES[:2], default="in-band")
    soak.add_argument("--presses-per-s", type=float, default=10.0, help="among all calls (default %(default)s)")
    paying = add("pay", _pay, "whole calls that pay", calls=(50,), runs=3, seconds=0.0)
    paying.add_argument("--mode", choices=("telephone-event", "in-band", "both"), default="both")
    add("sipp", _sipp, "SIPp's calls at the whole engine", calls=(100,), runs=3, seconds=10.0)
    add("asterisk", _sipp, "SIPp's calls at the engine and at Asterisk", calls=(100,), runs=3, seconds=10.0)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; return 0 only when every call and key went as it should, 2 when nothing could be measured."""
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options))
    except (SippError, WorkerError, OSError) as error:
        print(f"not measured: {error}")
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
