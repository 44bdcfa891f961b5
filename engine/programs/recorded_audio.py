"""What is in a recording: where somebody speaks, and the file as it is handed out, without silence at its ends.

Frames are 20 ms, 160 samples at 8 kHz. A frame is *sound* when it stands 10 dB out of the noise of the line, and is no
quieter than -45 dBm0: speech on telephones is active at -15 to -30 dBm0 (ITU-T P.56), lines are noisy at -50 to -65.
One loud frame alone is a click.
"""

from __future__ import annotations

import os
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from dsp.levels import FULL_SCALE, FULL_SCALE_SINE_DBM0

__all__ = ("FRAME_MS", "RATE_HZ", "Finish", "Follower", "SoundWatch", "Span", "duration_of", "finish_file")

RATE_HZ = 8000
FRAME_MS = 20
FRAME = RATE_HZ * FRAME_MS // 1000
QUIETEST_DBM0, LOUDEST_DBM0 = -45.0, -30.0
"Between these lies the level from which on a frame is sound."
ABOVE_NOISE_DB = 10.0
NOISE_AT_FIRST_DBM0 = -60.0
NOISE_RISES_DB = 0.04
"A frame: what lasts for ten seconds without a pause is noise by 20 dB more."
LOWEST_DBM0 = -75.0
MARGIN_BEFORE, MARGIN_AFTER = 5, 10
"Frames that stay of the silence at the ends: soft consonants lie there."
HEADER = 44
"Bytes of RIFF, fmt and data."
PIECE = 50
"Frames that are looked at in one go."

Span = tuple[int, int]
"Frames from the first up to, and without, the second."


class SoundWatch:
    """Tells where in a recording there is sound, as its audio comes."""

    def __init__(self) -> None:
        self.frames = 0
        "Looked at so far."
        self.first: int | None = None
        "The first frame with sound; None: nothing was heard yet."
        self.last = 0
        "The frame behind the last one with sound."
        self._noise_dbm0 = NOISE_AT_FIRST_DBM0
        self._was_loud = False

    @property
    def silent_ms(self) -> int:
        """Silence at the end of what was looked at."""
        return (self.frames - self.last) * FRAME_MS

    def look(self, samples: NDArray[np.int16]) -> None:
        """Look at whole frames of one channel; what is left over of the last one is not looked at."""
        n = len(samples) // FRAME
        if n == 0:
            return
        frames = samples[: n * FRAME].reshape(n, FRAME).astype(np.float32)
        power = np.mean(np.square(frames), axis=1) * 2.0 / FULL_SCALE**2
        levels = 10.0 * np.log10(np.maximum(power, 1e-12)) + FULL_SCALE_SINE_DBM0
        for level in levels.tolist():
            self._frame(max(level, LOWEST_DBM0))

    def _frame(self, level_dbm0: float) -> None:
        least = min(max(self._noise_dbm0 + ABOVE_NOISE_DB, QUIETEST_DBM0), LOUDEST_DBM0)
        is_loud = level_dbm0 >= least
        if is_loud and self._was_loud:
            if self.first is None:
                self.first = self.frames - 1
            self.last = self.frames + 1
        self._was_loud = is_loud
        self._noise_dbm0 = min(level_dbm0, self._noise_dbm0 + NOISE_RISES_DB)
        self.frames += 1


class Follower:
    """Reads a recording while it is written: the audio that is on the disk since the last look. Blocks."""

    def __init__(self, path: Path, *, channels: int) -> None:
        self._path = path
        self._channels = channels
        self._file: BinaryIO | None = None

    def read(self) -> NDArray[np.int16]:
        """Return the caller's new samples, none while there is no file."""
        if self._file is None:
            self._file = self._open()
        if self._file is None:
            return np.zeros(0, np.int16)
        raw = self._file.read()
        whole = len(raw) - len(raw) % (2 * self._channels)
        self._file.seek(whole - len(raw), os.SEEK_CUR)
        return np.frombuffer(raw[:whole], dtype="<i2").reshape(-1, self._channels)[:, 0]

    def _open(self) -> BinaryIO | None:
        for path in (self._path.with_name(self._path.name + ".part"), self._path):
            try:
                file = path.open("rb")
            except OSError:
                continue
            file.seek(HEADER)
            return file
        return None

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """What is to become of a recording's file at its end; frames are those of the file as it was recorded."""

    trim: bool = False
    "Whether silence at both ends goes."
    blank: Sequence[Span] = ()
    "What becomes silence: where keys are."
    end: int | None = None
    "Where it ends; None: where it ends."
    channel: int | None = None
    "The one channel that is kept: 0 the caller, 1 what they hear; None: all there are."


def finish_file(path: Path, finish: Finish) -> int | None:
    """Rewrite a complete recording as it is handed out; return its length in ms. Blocks.

    None: there is no sound in it, and the file is left as it was. What is there is replaced only by what is whole.
    Raises ``OSError``.
    """
    samples = _read(path)[: None if finish.end is None else max(0, finish.end) * FRAME]
    if finish.channel is not None:
        samples = samples[:, min(finish.channel, samples.shape[1] - 1)].reshape(-1, 1)
    for first, last in finish.blank:
        samples[max(0, first) * FRAME : max(0, last) * FRAME] = 0
    sides = [SoundWatch() for _ in range(samples.shape[1])]
    for start in range(0, len(samples), PIECE * FRAME):
        for channel, side in enumerate(sides):
            side.look(samples[start : start + PIECE * FRAME, channel])
    heard = [side.first for side in sides if side.first is not None]
    if not heard:
        return None
    if finish.trim:
        end = max(side.last for side in sides) + MARGIN_AFTER
        samples = samples[max(0, min(heard) - MARGIN_BEFORE) * FRAME : end * FRAME]
    new = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as raw, wave.open(raw, "wb") as file:
            file.setnchannels(samples.shape[1])
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            for start in range(0, len(samples), PIECE * FRAME):
                file.writeframes(samples[start : start + PIECE * FRAME].tobytes())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    return len(samples) * 1000 // RATE_HZ


def _read(path: Path) -> NDArray[np.int16]:
    """Map the samples into memory, a column a channel; what is changed there does not reach the file."""
    with path.open("rb") as file:
        channels = max(1, int.from_bytes(file.read(HEADER)[22:24], "little"))
    if path.stat().st_size < HEADER + 2 * channels:
        return np.zeros((0, channels), "<i2")
    samples = np.memmap(path, dtype="<i2", mode="c", offset=HEADER)
    return samples[: len(samples) - len(samples) % channels].reshape(-1, channels)


def duration_of(path: Path) -> int:
    """Return how long a recording is, in ms, by its header; raise ``OSError`` or ``wave.Error``."""
    with wave.open(str(path), "rb") as file:
        return file.getnframes() * 1000 // max(1, file.getframerate())
