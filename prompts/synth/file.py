"""Audio files as prompts: what libsndfile reads (WAV, FLAC, Ogg, MP3, AIFF, AU …), and headerless G.711."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsp import g711
from dsp.errors import UnsupportedRateError
from prompts.clip import RATE_HZ, Clip
from prompts.errors import AudioFileError
from prompts.mastering import master
from prompts.synth.espeak import split_answer
from prompts.synth.pool import WorkerError, WorkerPool
from prompts.synth.wire import Header

__all__ = ("MAX_DURATION_S", "MAX_FILE_BYTES", "AudioFileReader", "read_file")

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_DURATION_S = 600
_REMEDY = "use WAV, FLAC, Ogg or MP3, or headerless 8 kHz G.711 named .ulaw or .alaw"
_ULAW = frozenset({".ulaw", ".ul", ".mulaw", ".pcmu"})
_ALAW = frozenset({".alaw", ".al", ".pcma"})


class AudioFileReader:
    """Reads files in a worker process: a broken file may break the decoder, not the engine."""

    def __init__(self, pool: WorkerPool | None = None, *, level: bool = True) -> None:
        """Use ``pool`` (default: one worker of its own). ``level`` off keeps the level of files as it is."""
        self._pool = pool or WorkerPool()
        self._level = level

    async def read(self, path: Path) -> Clip:
        """Read and master a file; raise AudioFileError that names it."""
        header: Header = {"op": "file", "level": int(self._level)}
        try:
            # A relative path is meant from where the engine stands.
            answer, body = await self._pool.request(header, os.fsencode(path.absolute()))
        except WorkerError as error:
            raise AudioFileError(f"{path}: {error}") from None
        if not answer.get("ok"):
            raise AudioFileError(str(answer.get("message", "")), remedy=str(answer.get("remedy", "")))
        pcmu, pcma = split_answer(body)
        return Clip(name=path.name, pcmu=pcmu, pcma=pcma)

    async def close(self) -> None:
        """End the workers."""
        await self._pool.close()


def read_file(path: Path, *, level: bool = True) -> tuple[bytes, bytes]:
    """Read a file and return it as (mu-law, A-law) at 8 kHz: for the worker.

    Headerless G.711 was made for the line and is played octet by octet as it is; all else is mixed to mono, resampled,
    trimmed and levelled. Raises AudioFileError that names the file and what to do.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise AudioFileError(f"{path}: {error.strerror}", remedy="check the name and the permissions") from None
    if not path.is_file():
        raise AudioFileError(f"{path} is not a file")
    if size == 0:
        raise AudioFileError(f"{path} is empty")
    if size > MAX_FILE_BYTES:
        raise AudioFileError(f"{path} has {size} bytes", remedy=f"{MAX_FILE_BYTES} are the most")
    kind = path.suffix.lower()
    try:
        if kind in _ULAW or kind in _ALAW:
            return _read_g711(path, kind)
        samples, rate_hz = _decode(path)
    except OSError as error:
        raise AudioFileError(f"{path}: {error.strerror}", remedy="check the permissions") from None
    try:
        return master(samples, rate_hz, level=level)
    except UnsupportedRateError:
        raise AudioFileError(f"{path} is sampled at {rate_hz} Hz", remedy="use 8000 to 48000 Hz") from None


def _read_g711(path: Path, kind: str) -> tuple[bytes, bytes]:
    data = path.read_bytes()
    if data.startswith(b"RIFF"):
        raise AudioFileError(f"{path} is a WAV file by its content", remedy="name it .wav")
    if len(data) > MAX_DURATION_S * RATE_HZ:
        raise AudioFileError(f"{path} is longer than {MAX_DURATION_S} s")
    if kind in _ULAW:
        return data, g711.ulaw_to_alaw(data)
    return g711.alaw_to_ulaw(data), data


def _decode(path: Path) -> tuple[NDArray[np.int16], int]:
    # Loaded here and not above: it takes long, and a worker that only speaks never needs it.
    import soundfile

    try:
        with soundfile.SoundFile(path) as opened:
            rate_hz, frames = int(opened.samplerate), int(opened.frames)
            if frames > MAX_DURATION_S * rate_hz:
                raise AudioFileError(f"{path} is longer than {MAX_DURATION_S} s")
            # Not more than the header says it holds, whatever it says.
            audio = opened.read(MAX_DURATION_S * rate_hz, dtype="float64", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError):
        raise AudioFileError(f"{path} cannot be read as audio", remedy=_REMEDY) from None
    mono = audio.mean(axis=1)
    return np.clip(np.rint(mono * 32768.0), -32768, 32767).astype(np.int16), rate_hz
