"""DTMF in audio files: any format and rate that soundfile reads, in blocks, memory flat.

What a file is worth is told by events; a file that cannot be used raises `AudioFileError`, which names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from dsp.dtmf import ITU_Q24, RATE_HZ, DtmfDetection, DtmfDetector, DtmfProfile
from dsp.resample import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, RateStream, to_int16
from engine.errors import Error

__all__ = ("AudioFileError", "DetectedDigit", "blocks_at_8_khz", "detect_file")

BLOCK_S = 1.0


class AudioFileError(Error):
    """An audio file is missing, is not audio, or holds what no detector can take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedDigit:
    """A digit and where it is; times are seconds from the start of the file."""

    digit: str = field(repr=False)  # it may be part of a card number
    start_s: float
    end_s: float
    low_dbm0: float
    high_dbm0: float
    high_minus_low_db: float
    low_offset: float
    "Ratio by which the low tone is off its nominal frequency."
    high_offset: float
    confidence: float
    "0 to 1."


def blocks_at_8_khz(path: Path, *, channel: int | None = None, speed: float = 1.0) -> Iterator[NDArray[np.int16]]:
    """Read a file as mono int16 at 8 kHz, a second at a time.

    Channels are averaged, unless `channel` (from 1) chooses one. `speed` plays it faster, pitch and all.

    Raises AudioFileError when the file cannot be read, is empty, or holds a sample that is not a number; what came
    before a fault has been yielded by then.
    """
    if path.is_dir():
        raise AudioFileError(f"{path}: a directory, not an audio file")
    if not path.exists():
        raise AudioFileError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise AudioFileError(f"{path}: the file is empty")
    try:
        with soundfile.SoundFile(path) as file:
            _check(path, file, channel)
            yield from _converted(path, file, channel, speed)
    except soundfile.LibsndfileError as error:
        raise AudioFileError(f"{path}: cannot be read as audio: {error.error_string}") from None
    except OSError as error:
        raise AudioFileError(f"{path}: {error.strerror or error}") from None


def _check(path: Path, file: soundfile.SoundFile, channel: int | None) -> None:
    if not LOWEST_RATE_HZ <= file.samplerate <= HIGHEST_RATE_HZ:
        raise AudioFileError(
            f"{path}: a sample rate of {file.samplerate} Hz is not supported ({LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz)"
        )
    if channel is not None and not 1 <= channel <= file.channels:
        raise AudioFileError(f"{path}: has no channel {channel}, only 1 to {file.channels}")


def _converted(path: Path, file: soundfile.SoundFile, channel: int | None, speed: float) -> Iterator[NDArray[np.int16]]:
    to_hz = RATE_HZ / speed
    stream = RateStream(file.samplerate, to_hz) if file.samplerate != to_hz else None
    done = 0
    for block in file.blocks(blocksize=round(BLOCK_S * file.samplerate), dtype="float32", always_2d=True):
        mono: NDArray[Any] = block[:, channel - 1] if channel is not None else block.mean(axis=1, dtype=np.float32)
        finite = np.isfinite(mono)
        if not finite.all():
            at = (done + int(np.argmin(finite))) / file.samplerate
            raise AudioFileError(f"{path}: the sample at {at:.3f} s is not a number (NaN or infinite)")
        done += len(mono)
        yield to_int16(mono) if stream is None else stream.process(mono)
    if done == 0:
        raise AudioFileError(f"{path}: holds no samples")
    if stream is not None:
        yield stream.flush()


def detect_file(path: Path, *, profile: DtmfProfile = ITU_Q24, channel: int | None = None) -> Iterator[DetectedDigit]:
    """Yield the digits of a file in their order, each when it has ended; a key cut off by the end counts.

    Raises AudioFileError as `blocks_at_8_khz` does.
    """
    detector = DtmfDetector(profile)
    held: DtmfDetection | None = None
    n_samples = 0
    for block in blocks_at_8_khz(path, channel=channel):
        n_samples += len(block)
        for event in detector.process(block):
            if event.end is None:
                held = event
            elif held is not None:
                yield _digit(held, event.end)
                held = None
    for event in detector.flush():
        if event.end is None:
            held = event
        elif held is not None:
            yield _digit(held, min(event.end, n_samples))
            held = None


def _digit(held: DtmfDetection, end: int) -> DetectedDigit:
    return DetectedDigit(
        digit=held.digit,
        start_s=held.start / RATE_HZ,
        end_s=end / RATE_HZ,
        low_dbm0=held.low_dbm0,
        high_dbm0=held.high_dbm0,
        high_minus_low_db=held.high_minus_low_db,
        low_offset=held.low_offset,
        high_offset=held.high_offset,
        confidence=held.confidence,
    )
