"""What a codec costs: ``python -m benchmarks.codecs`` prints nanoseconds and instructions a sample of 8 kHz.

One second of a synthetic voice is coded and decoded again and again: in pieces of 8,000 samples, so that the call from
Python does not count, and in frames of 160 where the codec has frames (Opus). Codecs take turns within a run;
nanoseconds are thread CPU time, the median of the runs. Instructions are callgrind's, less those of a process that does
everything but the passes: no neighbour on the machine changes them. libspandsp's G.722, at 8 kHz as ours, takes its
turns in the same runs where it is installed.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.dtmf.errors import DetectorError
from benchmarks.dtmf.spandsp import load_spandsp
from engine.rtp.codec import SUPPORTED, CodecKind, codec_available, make_codec

__all__ = ("Cost", "main", "works")

RATE_HZ = 8000
RUNS = 9
PASSES = 20
CALLGRIND_PASSES = 20
CALLGRIND_TIMEOUT_S = 300.0
PEER = "G722, libspandsp"
RATE_8000 = 1  # libspandsp's option for 8 kHz

Work = Callable[[], None]
"""Codes or decodes one second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one direction of a codec takes, for each sample of 8 kHz."""

    codec: str
    direction: str
    ns_per_sample: float
    instructions_per_sample: float | None
    "None without valgrind."

    @property
    def us_per_call_second(self) -> float:
        """CPU time of this direction in one second of one call."""
        return self.ns_per_sample * RATE_HZ / 1000


def voice() -> NDArray[np.int16]:
    """Return one second of a pulse train through three formants, with syllables, peaking 8 dB below full scale."""
    t = np.arange(RATE_HZ) / RATE_HZ
    x = np.zeros(RATE_HZ)
    for harmonic in range(1, 30):
        gain = sum(1 / (1 + ((120 * harmonic - f) / b) ** 2) for f, b in ((500, 80), (1500, 120), (2500, 160)))
        x += gain * np.sin(2 * np.pi * 120 * harmonic * t + harmonic**2)
    x *= 0.55 + 0.45 * np.sin(2 * np.pi * 4 * t)
    samples: NDArray[np.int16] = np.rint(x / np.max(np.abs(x)) * 13_000).astype(np.int16)
    return samples


def _ours(kind: CodecKind, x: NDArray[np.int16]) -> tuple[Work, Work]:
    codec = make_codec(opus=kind is CodecKind.OPUS)
    piece = 160 if kind is CodecKind.OPUS else RATE_HZ
    frames = [x[at : at + piece] for at in range(0, RATE_HZ, piece)]
    payloads = [codec.encode(kind, frame, max=2 * RATE_HZ) or b"" for frame in frames]

    def encode() -> None:
        for frame in frames:
            codec.encode(kind, frame, max=2 * RATE_HZ)

    def decode() -> None:
        for payload in payloads:
            codec.decode(kind, payload, max=piece)

    return encode, decode


def _spandsp(x: NDArray[np.int16]) -> tuple[Work, Work]:
    library = load_spandsp()
    coder = _spandsp_state(library, "encode")
    decoder = _spandsp_state(library, "decode")
    payload = np.zeros(RATE_HZ, dtype=np.uint8)
    out = np.zeros(2 * RATE_HZ, dtype=np.int16)

    def encode() -> None:
        library.g722_encode(coder, payload.ctypes.data, x.ctypes.data, RATE_HZ)

    def decode() -> None:
        library.g722_decode(decoder, out.ctypes.data, payload.ctypes.data, RATE_HZ)

    encode()
    return encode, decode


def _spandsp_state(library: ctypes.CDLL, way: str) -> int:
    start = getattr(library, f"g722_{way}_init")
    start.restype, start.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    work = getattr(library, f"g722_{way}")
    work.restype, work.argtypes = ctypes.c_int, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
    state: int = start(None, 64_000, RATE_8000)
    return state


def works() -> dict[tuple[str, str], Work]:
    """Return what there is to measure on this machine, by codec and direction."""
    x = voice()
    found: dict[tuple[str, str], Work] = {}
    for info in SUPPORTED:
        if codec_available(info.name):
            found[info.name, "encode"], found[info.name, "decode"] = _ours(info.kind, x)
    try:
        found[PEER, "encode"], found[PEER, "decode"] = _spandsp(x)
    except DetectorError as error:
        print(f"{PEER}: {error}", file=sys.stderr)
    return found


def times_ns(what: dict[tuple[str, str], Work], runs: int) -> dict[tuple[str, str], float]:
    """Return the median nanoseconds a sample of each, taken in turns."""
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in what}
    for _ in range(runs):
        for key, work in what.items():
            begin = time.thread_time_ns()
            for _ in range(PASSES):
                work()
            taken[key].append((time.thread_time_ns() - begin) / (PASSES * RATE_HZ))
    return {key: statistics.median(values) for key, values in taken.items()}


def _collected(codec: str, direction: str, passes: int) -> int:
    """Return the instructions of a process that does `passes` passes; raise RuntimeError when valgrind fails."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-m"]
    command += ["benchmarks.codecs", "--passes", codec, direction, str(passes)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"},
        timeout=CALLGRIND_TIMEOUT_S,
        check=False,
    )
    counted = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
    if done.returncode or counted is None:
        raise RuntimeError(f"valgrind ended with status {done.returncode}: {done.stderr.strip()[-200:]}")
    return int(counted[1])


def instructions(what: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """Return the instructions a sample of each; empty without valgrind."""
    if shutil.which("valgrind") is None:
        print("instructions need valgrind: apt-get install valgrind", file=sys.stderr)
        return {}
    idle = _collected(*what[0], 0)
    return {key: (_collected(*key, CALLGRIND_PASSES) - idle) / (CALLGRIND_PASSES * RATE_HZ) for key in what}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codecs", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs of the clock (default {RUNS})")
    parser.add_argument("--no-callgrind", action="store_true", help="time only (callgrind takes two minutes)")
    parser.add_argument("--json", action="store_true", help="one JSON object a codec and direction")
    parser.add_argument("--passes", nargs=3, metavar=("CODEC", "DIRECTION", "N"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    what = works()
    if options.passes:
        codec, direction, passes = options.passes
        for _ in range(int(passes)):
            what[codec, direction]()
        return 0
    # Here and not above: it brings a whole engine, which every process under valgrind would start.
    from benchmarks.load.proc import machine

    taken = times_ns(what, options.runs)
    counted = {} if options.no_callgrind else instructions(list(what))
    costs = [
        Cost(codec=key[0], direction=key[1], ns_per_sample=taken[key], instructions_per_sample=counted.get(key))
        for key in what
    ]
    if options.json:
        for cost in costs:
            print(json.dumps({**asdict(cost), "machine": machine()}))
        return 0
    print(f"machine: {machine()}, CPython {sys.version.split()[0]}")
    print(f"method: thread CPU time, median of {options.runs} runs of {PASSES} s of audio; instructions by callgrind")
    for cost in costs:
        count = (
            "" if cost.instructions_per_sample is None else f"{cost.instructions_per_sample:8.1f} instructions/sample"
        )
        print(
            f"{cost.codec:<18}{cost.direction:<8}{cost.ns_per_sample:8.2f} ns/sample "
            f"{cost.us_per_call_second:8.1f} us a call and second {count}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
