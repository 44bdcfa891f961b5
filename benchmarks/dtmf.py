"""DTMF detector: how fast, how many keys heard, how many invented; beside libspandsp where that is installed.

``python -m benchmarks.dtmf [--json] [--corpus DIR] [--digits N]``

Both detectors get the same audio in the same run, 160 samples at a time, and pay for their call from Python (ours is
also measured in pieces of one second, where that call no longer counts). A key counts as heard when it is reported once
while its tone is on or up to 60 ms later; whatever else is reported was inserted. Signal-to-noise ratios are total
power of both tones over noise in 0 to 4 kHz. ``--corpus`` is a folder with ``talkoff/<name>/*.flac`` (no key in it) and
``real/labels.tsv`` (columns file, digits) with the recordings beside it.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from dsp import channel
from dsp.dtmf import DIGITS, DtmfDetector, generate
from dsp.levels import peak_of_dbm0
from dsp.resample import resample

Samples = NDArray[np.int16]
Report = list[tuple[int, str]]
"Digits with the sample at which each was known."

FRAME = 160
RUNS = 7
LATE_SAMPLES = 60 * 8
LEVEL_DBM0 = -9.0
TONE_POWER = peak_of_dbm0(LEVEL_DBM0) ** 2  # two tones of half of that each


class Spandsp:
    """libspandsp's DTMF receiver with its defaults, by ctypes."""

    def __init__(self) -> None:
        library = ctypes.CDLL("libspandsp.so.2")
        library.dtmf_rx_init.restype = ctypes.c_void_p
        library.dtmf_rx_init.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        library.dtmf_rx.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
        library.dtmf_rx_get.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        library.dtmf_rx_free.argtypes = [ctypes.c_void_p]
        self._library = library

    def detect(self, samples: Samples, piece: int = FRAME) -> Report:
        """Return every digit of a recording."""
        receiver = self._library.dtmf_rx_init(None, None, None)
        buffer = ctypes.create_string_buffer(130)
        found: Report = []
        for at in range(0, len(samples), piece):
            part = np.ascontiguousarray(samples[at : at + piece])
            self._library.dtmf_rx(receiver, part.ctypes.data, len(part))
            if self._library.dtmf_rx_get(receiver, buffer, 128):
                found += [(at + len(part), digit) for digit in buffer.value.decode()]
        self._library.dtmf_rx_free(receiver)
        return found

    def feed(self, samples: Samples, piece: int) -> None:
        """Take a recording, for the clock: nothing but the calls."""
        receiver = self._library.dtmf_rx_init(None, None, None)
        base, process = samples.ctypes.data, self._library.dtmf_rx
        for at in range(0, len(samples) - piece + 1, piece):
            process(receiver, base + 2 * at, piece)
        self._library.dtmf_rx_free(receiver)


class Ours:
    """dsp.dtmf with its default profile."""

    def detect(self, samples: Samples, piece: int = FRAME) -> Report:
        """Return every digit of a recording."""
        detector = DtmfDetector()
        found: Report = []
        for at in range(0, len(samples), piece):
            part = samples[at : at + piece]
            found += [(at + len(part), d.digit) for d in detector.process(part) if d.end is None]
        return found

    def feed(self, samples: Samples, piece: int) -> None:
        """Take a recording, for the clock."""
        detector = DtmfDetector()
        for at in range(0, len(samples) - piece + 1, piece):
            detector.process(samples[at : at + piece])


def sequence(
    rng: np.random.Generator, n: int, on_ms: float, off_ms: float, *, in_spec: bool = False, offset: float = 0.0
) -> tuple[Samples, list[tuple[int, int, str]]]:
    """Make n random digits behind 400 ms of silence; return them with (first sample, end, digit) of each."""
    parts: list[Samples] = [np.zeros(3200, dtype=np.int16)]
    keys: list[tuple[int, int, str]] = []
    at = 3200
    for digit in rng.choice(list(DIGITS), n):
        level, twist = LEVEL_DBM0, 0.0
        offsets = (offset, offset)
        if in_spec:  # Q.24, AT&T: each tone 0 to -25 dBm, high minus low -8 to +4 dB, ±1.5 %
            twist = rng.uniform(-8, 4)
            level = rng.uniform(-25 + max(0.0, -twist), -max(0.0, twist))
            offsets = (rng.uniform(-0.015, 0.015), rng.uniform(-0.015, 0.015))
        gap = off_ms + rng.integers(0, 40) / 8  # so that tones fall anywhere in a block
        phase = (rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi))
        part = generate(
            str(digit),
            level_dbm0=level,
            high_minus_low_db=twist,
            on_ms=on_ms,
            off_ms=gap,
            frequency_offset=offsets,
            phase=phase,
            ramp_ms=0,
        )
        parts.append(part)
        keys.append((at, at + round(on_ms * 8), str(digit)))
        at += len(part)
    parts.append(np.zeros(1600, dtype=np.int16))
    return np.concatenate(parts), keys


def score(keys: list[tuple[int, int, str]], found: Report) -> tuple[float, int]:
    """Return recall in percent and the number of inserted digits."""
    left = list(found)
    heard = 0
    for start, end, digit in keys:
        hit = next((f for f in left if f[1] == digit and start < f[0] <= end + LATE_SAMPLES), None)
        if hit is not None:
            left.remove(hit)
            heard += 1
    return 100.0 * heard / len(keys), len(left)


def conditions(rng: np.random.Generator, n: int) -> Iterator[tuple[str, Samples, list[tuple[int, int, str]]]]:
    """Make each stimulus of the accuracy table."""
    for on_ms, off_ms in ((40, 40), (50, 50), (80, 80)):
        yield f"clean {on_ms}/{off_ms}", *sequence(rng, n, on_ms, off_ms)
    samples, keys = sequence(rng, n, 40, 40, in_spec=True)
    yield "in-spec 40/40", samples, keys
    yield "in-spec 40/40, mu-law", channel.through_ulaw(samples), keys
    yield "in-spec 40/40, A-law", channel.through_alaw(samples), keys
    for snr_db in (10, 8, 6, 4):
        samples, keys = sequence(rng, n, 50, 50)
        yield f"SNR {snr_db} dB, 50/50", channel.add_noise(samples, snr_db, rng, signal_power=TONE_POWER), keys
    samples, keys = sequence(rng, n, 50, 50)
    peak = peak_of_dbm0(LEVEL_DBM0)
    quiet = channel.apply_gain(samples, -12)
    dial = ((350.0, 0.79 * peak), (440.0, 0.79 * peak))
    yield "dial tone +10 dB, 50/50", channel.add_tones(quiet, dial), keys
    yield "50 Hz hum +12 dB, 50/50", channel.add_tones(quiet, ((50.0, 1.41 * peak),)), keys
    yield "echo 10 ms -10 dB, 50/50", channel.add_echo(samples, 10, -10), keys
    for by_db in (6, 12):
        yield f"clipped by {by_db} dB, 50/50", channel.clip(samples, by_db), keys
    yield "5 % of frames lost, zeros, 50/50", channel.lose_frames(samples, 0.05, rng)[0], keys
    yield "clock off by 1.0 %, 50/50", *sequence(rng, n, 50, 50, offset=0.01)
    yield "clock off by 1.5 %, 50/50", *sequence(rng, n, 50, 50, offset=0.015)
    samples, _ = sequence(rng, n, 23, 60)
    yield "23 ms (refuse)", samples, []
    samples, _ = sequence(rng, n, 60, 60, offset=0.035)
    yield "+3.5 % (refuse)", samples, []


def throughput(feed: Callable[[Samples, int], None], samples: Samples, piece: int) -> float:
    """Return samples a second of thread CPU time, the median of `RUNS` runs."""
    speeds = []
    for _ in range(RUNS):
        begin = time.thread_time()
        feed(samples, piece)
        speeds.append(len(samples) / (time.thread_time() - begin))
    return statistics.median(speeds)


def talk_off(corpus: Path, detectors: dict[str, Spandsp | Ours]) -> dict[str, dict[str, float]]:
    """Count digits in audio that has none, for each folder below talkoff."""
    out: dict[str, dict[str, float]] = {}
    for folder in sorted(p for p in (corpus / "talkoff").iterdir() if p.is_dir()):
        row: dict[str, float] = {"hours": 0.0} | dict.fromkeys(detectors, 0.0)
        for path in sorted(folder.glob("*.flac")):
            samples, _ = soundfile.read(path, dtype="int16")
            row["hours"] += len(samples) / 8000 / 3600
            for name, detector in detectors.items():
                row[name] += len(detector.detect(samples))
        out[folder.name] = row
    return out


def real_recordings(corpus: Path, detectors: dict[str, Spandsp | Ours]) -> dict[str, Any]:
    """Count files whose digits come out exactly, and digits in them."""
    out: dict[str, Any] = {"files": 0, "digits": 0} | {name: {"files": 0, "digits": 0} for name in detectors}
    with (corpus / "real" / "labels.tsv").open(newline="") as labels:
        for row in csv.DictReader(labels, delimiter="\t"):
            samples, rate_hz = soundfile.read(corpus / "real" / row["file"], dtype="float64", always_2d=True)
            mono = resample(samples.mean(axis=1), rate_hz, 8000)
            mono = np.concatenate([mono, np.zeros(800, dtype=np.int16)])
            out["files"] += 1
            out["digits"] += len(row["digits"])
            for name, detector in detectors.items():
                found = "".join(digit for _, digit in detector.detect(mono))
                out[name]["files"] += found == row["digits"]
                out[name]["digits"] += common(row["digits"], found)
    return out


def common(a: str, b: str) -> int:
    """Return the length of the longest common subsequence: digits found in their order."""
    row = [0] * (len(b) + 1)
    for x in a:
        before = 0
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], before + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


def machine() -> dict[str, str]:
    """Name the processor and the software, nothing that identifies the machine."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next(
            (line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line), ""
        )
    return {
        "cpu": model or platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def measure(n_digits: int, corpus: Path | None) -> dict[str, Any]:
    """Run everything."""
    detectors: dict[str, Spandsp | Ours] = {"paytone": Ours()}
    try:
        detectors["spandsp"] = Spandsp()
    except OSError:
        pass  # not installed: ours alone
    rng = np.random.default_rng(24)
    speed: dict[str, dict[str, float]] = {}
    mixed, _ = sequence(rng, 200, 80, 80)
    noise = np.clip(rng.normal(0, 300, 60 * 8000), -32768, 32767).astype(np.int16)
    for label, samples in (("digits 80/80", mixed), ("noise, -36 dBm0", noise)):
        for piece in (FRAME, 8000):
            speed[f"{label}, pieces of {piece}"] = {
                name: throughput(detector.feed, samples, piece) for name, detector in detectors.items()
            }
    accuracy: dict[str, dict[str, Any]] = {}
    for label, samples, keys in conditions(rng, n_digits):
        row: dict[str, Any] = {}
        for name, detector in detectors.items():
            found = detector.detect(samples)
            recall, inserted = score(keys, found) if keys else (None, len(found))
            row[name] = {"recall_percent": recall, "inserted": inserted}
        accuracy[label] = row
    result: dict[str, Any] = {
        "machine": machine(),
        "method": f"thread CPU time, median of {RUNS} runs; {n_digits} digits a condition",
        "samples_per_second": speed,
        "accuracy": accuracy,
    }
    if corpus is not None:
        result["talk_off_digits"] = talk_off(corpus, detectors)
        result["real_recordings"] = real_recordings(corpus, detectors)
    return result


def show(result: dict[str, Any]) -> None:
    """Print a result for people."""
    print(" · ".join(f"{key} {value}" for key, value in result["machine"].items()))
    print(result["method"])
    print("\nMsamples/s")
    for label, row in result["samples_per_second"].items():
        figures = "  ".join(f"{name} {value / 1e6:7.1f}" for name, value in row.items())
        ratio = f"  ratio {row['paytone'] / row['spandsp']:.2f}" if "spandsp" in row else ""
        print(f"  {label:34}{figures}{ratio}")
    print("\nrecall % (+ inserted)")
    for label, row in result["accuracy"].items():
        cells = []
        for name, value in row.items():
            recall = "     " if value["recall_percent"] is None else f"{value['recall_percent']:5.1f}"
            cells.append(f"{name} {recall} +{value['inserted']:<4}")
        print(f"  {label:34}{'  '.join(cells)}")
    if "talk_off_digits" in result:
        print("\ntalk-off: digits in audio that has none")
        for label, row in result["talk_off_digits"].items():
            cells = [f"{name} {value:.0f}" for name, value in row.items() if name != "hours"]
            print(f"  {label:34}{row['hours']:5.2f} h  {'  '.join(cells)}")
        real = result["real_recordings"]
        print(f"\nreal recordings: {real['files']} files, {real['digits']} digits")
        for name in result["accuracy"]["clean 40/40"]:
            print(f"  {name:10} files exact {real[name]['files']}, digits {real[name]['digits']}")


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dtmf", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--corpus", type=Path, help="folder with talkoff/ and real/")
    parser.add_argument("--digits", type=int, default=400, help="digits in each condition")
    options = parser.parse_args(argv)
    if options.digits < 1:
        parser.error("--digits must be at least 1")
    result = measure(options.digits, options.corpus)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
