"""Run a fuzz target for a bounded time: `python tests/fuzz/drive.py fuzz_rtcp --seconds 60`.

With atheris (`--atheris`) libFuzzer drives, guided by the coverage of the Python code. Without it, this file mutates
the target's seeds itself; guided by the lines of `sip`, `prompts` and `engine` that run, or by the branches of the
compiled kernels where these were built by gcc with PAYTONE_SANITIZE=address and PAYTONE_FUZZ=1 and ``coverage.c`` is
preloaded (`make fuzz` does all that). How far the process's memory grew after the first tenth of the time is told at
the end. A run is repeated by its `--seed`. An input that fails is written to the current directory, and ends the run.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from types import CodeType, FrameType
from typing import Any

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

__all__ = ("TARGETS", "fuzz", "mutated")

TraceFunction = Callable[[FrameType, str, Any], Any]
COMPILED = ("fuzz_rtp", "fuzz_rtcp", "fuzz_telephone_event", "fuzz_redundancy", "fuzz_media_leg")
"Targets whose code under test is compiled."
PYTHON = (
    "fuzz_sip_message",
    "fuzz_sip_uri",
    "fuzz_sip_headers",
    "fuzz_digest",
    "fuzz_swml_expression",
    "fuzz_sdp",
    "fuzz_sip_endpoint",
    "fuzz_sip_redact",
    "fuzz_sip_stream",
    "fuzz_ncco_legs",
    "fuzz_pay_machine",
    "fuzz_pay_capture",
    "fuzz_payments_requests",
    "fuzz_calls_requests",
    "fuzz_vonage_requests",
    "fuzz_relay_requests",
    "fuzz_connector_answer",
    "fuzz_ssml",
    "fuzz_swml_interpreter",
    "fuzz_ncco",
    "fuzz_ncco_interpreter",
    "fuzz_twiml",
    "fuzz_twiml_pay",
    "fuzz_signalwire_pay",
    "fuzz_ncco_pay",
    "fuzz_document_run",
    "fuzz_swml_program",
    "fuzz_ncco_program",
    "fuzz_dial",
    "fuzz_ncco_rooms",
    "fuzz_swml",
    "fuzz_relay_frames",
    "fuzz_actions",
)
TARGETS = COMPILED + PYTHON
TRACED = tuple(f"{os.sep}{package}{os.sep}" for package in ("sip", "prompts", "engine"))
INTERESTING = (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 100, 127, 128, 160, 192, 200, 201, 203, 207, 223, 254, 255)
LONGEST = 4096


def mutated(random: Random, corpus: Sequence[bytes]) -> bytes:
    """Return a damaged copy of one of `corpus`."""
    data = bytearray(random.choice(corpus))
    for _ in range(1 << random.randrange(5)):
        at = random.randrange(len(data) + 1)
        choice = random.randrange(7)
        if choice == 0 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        elif choice == 1 and at < len(data):
            data[at] = random.choice(INTERESTING)
        elif choice == 2:
            data[at:at] = random.randbytes(random.randrange(1, 9))
        elif choice == 3:
            del data[at : at + random.randrange(1, 17)]
        elif choice == 4:
            other = random.choice(corpus)
            start = random.randrange(len(other) + 1)
            data[at : at + random.randrange(17)] = other[start : start + random.randrange(65)]
        elif choice == 5 and at < len(data):
            data[at] = (data[at] + random.randrange(-8, 9)) & 0xFF
        elif choice == 6:
            data[at:at] = data[at : at + random.randrange(1, 65)]
    return bytes(data[:LONGEST])


class _Coverage:
    """The branches that the compiled kernels took, where they were built to tell."""

    def __init__(self) -> None:
        process = ctypes.CDLL(None)
        self._known = hasattr(process, "paytone_new_edges")
        self._process = process

    def begin(self) -> None:
        if self._known:
            self._process.paytone_begin()

    def is_new(self) -> bool:
        return bool(self._known and self._process.paytone_new_edges())

    def edges(self) -> int:
        return int(self._process.paytone_edges()) if self._known else 0


class _PythonCoverage:
    """The lines of `sip`, `prompts` and `engine` that were run, seen by the interpreter's trace function."""

    def __init__(self) -> None:
        self._lines: set[tuple[CodeType, int]] = set()
        self._is_new = False

    def begin(self) -> None:
        self._is_new = False
        sys.settrace(self._enter)

    def is_new(self) -> bool:
        sys.settrace(None)
        return self._is_new

    def edges(self) -> int:
        return len(self._lines)

    def _enter(self, frame: FrameType, event: str, arg: object) -> TraceFunction | None:
        return self._line if any(part in frame.f_code.co_filename for part in TRACED) else None

    def _line(self, frame: FrameType, event: str, arg: object) -> TraceFunction:
        place = (frame.f_code, frame.f_lineno)
        if place not in self._lines:
            self._lines.add(place)
            self._is_new = True
        return self._line


def fuzz(
    one_input: Callable[[bytes], None],
    seeds: Sequence[bytes],
    *,
    seconds: float,
    seed: int,
    coverage: _Coverage | _PythonCoverage,
) -> tuple[int, int, int]:
    """Feed mutated seeds for `seconds`; return executions, inputs kept, branches. Raises what the target raises."""
    random = Random(seed)
    corpus = list(seeds)
    executions = 0
    begin = time.monotonic()
    settled = 0
    while (now := time.monotonic()) < begin + seconds:
        if not settled and now > begin + seconds / 10:
            settled = _resident_kb()
        data = corpus[executions] if executions < len(seeds) else mutated(random, corpus)
        coverage.begin()
        try:
            one_input(data)
        except BaseException:
            Path(f"fuzz-failed-{seed}.bin").write_bytes(data)
            raise
        executions += 1
        if coverage.is_new():
            corpus.append(data)
    print(f"memory: {settled} kB after a tenth of the time, {_resident_kb()} kB at the end")
    return executions, len(corpus), coverage.edges()


def _resident_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--atheris", action="store_true")
    options = parser.parse_args()
    if options.atheris:
        import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

        with atheris.instrument_imports(include=["engine", "prompts", "sip", "tests"]):
            target = importlib.import_module(f"tests.fuzz.{options.target}")
        with tempfile.TemporaryDirectory() as corpus:
            for n, data in enumerate(target.SEEDS):
                (Path(corpus) / str(n)).write_bytes(data)
            bounds = [f"-max_total_time={options.seconds}", f"-seed={options.seed}"]
            atheris.Setup([sys.argv[0], *bounds, corpus], target.one_input)
            atheris.Fuzz()
        return
    target = importlib.import_module(f"tests.fuzz.{options.target}")
    coverage = _PythonCoverage() if options.target in PYTHON else _Coverage()
    executions, kept, edges = fuzz(
        target.one_input, target.SEEDS, seconds=options.seconds, seed=options.seed, coverage=coverage
    )
    print(f"{options.target}: {executions} executions, {kept} inputs kept, {edges} branches, no fault")


if __name__ == "__main__":
    _main()
