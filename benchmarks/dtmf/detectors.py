"""The detectors that are compared, each behind the same small face.

All get the same int16 audio at 8 kHz, in pieces. A piece that is a number says that so many samples never arrived;
only a detector that can be told gets such pieces.
"""

from __future__ import annotations

import ctypes
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks.dtmf.errors import DetectorError
from benchmarks.dtmf.score import Found
from benchmarks.dtmf.spandsp import INSTALL_SPANDSP, load_spandsp
from benchmarks.dtmf.stimuli import FRAME, Samples
from dsp.dtmf import DIGITS, PROFILES, RATE_HZ, DtmfDetector

__all__ = (
    "INSTALL",
    "Command",
    "Detector",
    "Multimon",
    "Ours",
    "Piece",
    "Spandsp",
    "available",
    "cut",
    "make",
)

Piece = Samples | int

INSTALL = {"spandsp": INSTALL_SPANDSP, "multimon": "apt-get install multimon-ng"}
MULTIMON_RATE_HZ = 22050
PROCESS_TIMEOUT_S = 3600.0
START_SLACK = 160
"Samples added to a start time that a program printed, so that one a little early still falls into its key."


class Detector(Protocol):
    """Something that hears digits."""

    @property
    def name(self) -> str:
        """Return what tables call it."""

    @property
    def version(self) -> str:
        """Return which one it is."""

    @property
    def tells_time(self) -> bool:
        """Return whether its reports say when; without, parts of a recording cannot be told apart."""

    @property
    def takes_loss(self) -> bool:
        """Return whether it can be told that samples never arrived."""

    def detect(self, pieces: Iterable[Piece]) -> list[Found]:
        """Return every digit of a recording; each recording is a new one."""


def cut(samples: Samples, piece: int = FRAME, lost: NDArray[np.bool_] | None = None) -> Iterator[Piece]:
    """Cut audio into pieces; with `lost`, one flag for each piece, lost ones come as their number of samples."""
    for index, at in enumerate(range(0, len(samples), piece)):
        part = samples[at : at + piece]
        yield len(part) if lost is not None and lost[index] else part


class Ours:
    """dsp.dtmf with one of its profiles."""

    tells_time = True
    takes_loss = True

    def __init__(self, profile: str = "itu_q24") -> None:
        if profile not in PROFILES:
            raise DetectorError(f"ours:{profile}: no such profile", remedy="one of " + ", ".join(PROFILES))
        self.profile = PROFILES[profile]
        self.name = "paytone" if profile == "itu_q24" else f"paytone:{profile}"
        self.version = f"profile {profile}"

    def detect(self, pieces: Iterable[Piece]) -> list[Found]:
        """Return every digit of a recording."""
        detector = DtmfDetector(self.profile)
        found: list[Found] = []
        at = 0
        for piece in pieces:
            if isinstance(piece, int):
                at += piece
                found += [Found(event.digit, at) for event in detector.lost(piece) if event.end is None]
                continue
            at += len(piece)
            found += [Found(event.digit, at) for event in detector.process(piece) if event.end is None]
        return found

    def near_misses(self, pieces: Iterable[Piece]) -> list[tuple[int, str]]:
        """Return where something looked like a key for a while, in samples, and the limit that it broke."""
        detector = DtmfDetector(self.profile, near_misses=True)
        for piece in pieces:
            if isinstance(piece, int):
                detector.lost(piece)
            else:
                detector.process(piece)
        return [(miss.position, miss.reason) for miss in detector.near_misses()]


class Spandsp:
    """libspandsp's receiver with its defaults, by ctypes."""

    name = "spandsp"
    tells_time = True
    takes_loss = True

    def __init__(self) -> None:
        self.library = load_spandsp()
        self.version = debian_version("libspandsp2")

    def detect(self, pieces: Iterable[Piece]) -> list[Found]:
        """Return every digit of a recording."""
        library = self.library
        receiver = library.dtmf_rx_init(None, None, None)
        buffer = ctypes.create_string_buffer(130)
        found: list[Found] = []
        at = 0
        for piece in pieces:
            if isinstance(piece, int):
                library.dtmf_rx_fillin(receiver, piece)
                at += piece
                continue
            part = np.ascontiguousarray(piece)
            library.dtmf_rx(receiver, part.ctypes.data, len(part))
            at += len(part)
            if library.dtmf_rx_get(receiver, buffer, 128):
                found += [Found(digit, at) for digit in buffer.value.decode()]
        library.dtmf_rx_free(receiver)
        return found


class Multimon:
    """multimon-ng, a process that reads 22,050 Hz and prints digits without times."""

    name = "multimon-ng"
    tells_time = False
    takes_loss = False

    def __init__(self) -> None:
        program = shutil.which("multimon-ng")
        if program is None:
            raise DetectorError("multimon-ng is not installed", remedy=INSTALL["multimon"])
        self._program = program
        self.version = debian_version("multimon-ng")

    def detect(self, pieces: Iterable[Piece]) -> list[Found]:
        """Return every digit of a recording, without times."""
        stream = soxr.ResampleStream(RATE_HZ, MULTIMON_RATE_HZ, 1, dtype="int16", quality="HQ")
        with (
            tempfile.TemporaryFile() as output,
            subprocess.Popen(
                [self._program, "-q", "-a", "DTMF", "-t", "raw", "-"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.DEVNULL,
            ) as process,
        ):
            assert process.stdin is not None
            try:
                for block in _gathered(pieces):
                    process.stdin.write(stream.resample_chunk(block).tobytes())
                process.stdin.write(stream.resample_chunk(np.zeros(RATE_HZ // 5, np.int16), last=True).tobytes())
                process.stdin.close()
                status = process.wait(PROCESS_TIMEOUT_S)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                process.kill()
                raise DetectorError("multimon-ng ended before its input did") from None
            if status:
                raise DetectorError(f"multimon-ng ended with status {status}")
            output.seek(0)
            text = output.read().decode(errors="replace")
        return [Found(digit.upper(), None) for digit in re.findall(r"^DTMF: ([0-9A-Da-d*#])", text, re.MULTILINE)]


class Command:
    """Any program: it gets the path of a WAV file (8 kHz, mono, 16 bit) and prints ``<seconds> <digit>`` lines."""

    tells_time = True
    takes_loss = False

    def __init__(self, command: str) -> None:
        self._command = shlex.split(command)
        if not self._command or shutil.which(self._command[0]) is None:
            raise DetectorError(f"command:{command}: no such program")
        self.name = Path(self._command[0]).name
        self.version = command

    def detect(self, pieces: Iterable[Piece]) -> list[Found]:
        """Return what the program printed; its times are starts of digits."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "audio.wav")
            with soundfile.SoundFile(path, "w", RATE_HZ, 1, "PCM_16") as file:
                for block in _gathered(pieces):
                    file.write(block)
            done = subprocess.run(
                [*self._command, str(path)], capture_output=True, text=True, timeout=PROCESS_TIMEOUT_S, check=False
            )
        if done.returncode:
            raise DetectorError(f"{self.name} ended with status {done.returncode}: {done.stderr.strip()[-200:]}")
        return [self._parsed(line) for line in done.stdout.splitlines() if line.strip()]

    def _parsed(self, line: str) -> Found:
        seconds, _, digit = line.strip().partition(" ")
        digit = digit.strip()
        try:
            at = float(seconds)
        except ValueError:
            at = -1.0
        if len(digit) != 1 or digit not in DIGITS or not 0 <= at < 1e9:
            raise DetectorError(f"{self.name} printed a line that is not '<seconds> <digit>'")
        return Found(digit, round(at * RATE_HZ) + START_SLACK)


def _gathered(pieces: Iterable[Piece], least: int = RATE_HZ) -> Iterator[Samples]:
    """Yield blocks of a second and more; a loss is silence."""
    held: list[Samples] = []
    n = 0
    for piece in pieces:
        part: NDArray[Any] = np.zeros(piece, dtype=np.int16) if isinstance(piece, int) else piece
        held.append(part)
        n += len(part)
        if n >= least:
            yield np.concatenate(held)
            held, n = [], 0
    if held:
        yield np.concatenate(held)


def debian_version(package: str) -> str:
    """Return the installed version of a Debian package, or that it is none."""
    if shutil.which("dpkg-query") is None:
        return "unknown version"
    done = subprocess.run(["dpkg-query", "-W", "-f=${Version}", package], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown version"


@cache
def make(spec: str) -> Detector:
    """Return the detector of a name: ours, ours:PROFILE, spandsp, multimon, command:CMD.

    Raises DetectorError for a name that is none of these, and when it is not installed.
    """
    kind, _, rest = spec.partition(":")
    if kind == "ours":
        return Ours(rest or "itu_q24")
    if kind == "command" and rest:
        return Command(rest)
    if spec == "spandsp":
        return Spandsp()
    if spec == "multimon":
        return Multimon()
    raise DetectorError(f"no detector {spec!r}", remedy="one of ours, ours:PROFILE, spandsp, multimon, command:CMD")


def available() -> tuple[list[str], list[DetectorError]]:
    """Return the names of the detectors that are installed, and why others are not there."""
    names, missing = ["ours"], []
    for name in INSTALL:
        try:
            make(name)
        except DetectorError as error:
            missing.append(error)
        else:
            names.append(name)
    return names, missing
