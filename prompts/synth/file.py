"""Audio files as prompts: what libsndfile reads (WAV, FLAC, Ogg, MP3, AIFF, AU …), and headerless G.711.

What a file is, its first bytes say and not its name. Only headerless G.711, which has no first bytes of its own, is
told by its name (``.ulaw``, ``.alaw``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

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

__all__ = ("G711_LAWS", "MAX_DURATION_S", "MAX_FILE_BYTES", "AudioFileReader", "audio_kind", "read_file")

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_DURATION_S = 600
_REMEDY = "use WAV, FLAC, Ogg or MP3, or headerless 8 kHz G.711 named .ulaw or .alaw"
G711_LAWS: Mapping[str, str] = MappingProxyType(
    {".ulaw": "ulaw", ".ul": "ulaw", ".mulaw": "ulaw", ".pcmu": "ulaw", ".alaw": "alaw", ".al": "alaw", ".pcma": "alaw"}
)
"Endings of names, in lower case, that mean headerless G.711 at 8 kHz, and its law."
_BLOCK_SAMPLES = 1 << 20  # decoded at a time, all channels together: 8 MB
HEAD_BYTES = 16
"What `audio_kind` looks at."


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
    try:
        with path.open("rb") as file:
            kind = audio_kind(file.read(HEAD_BYTES))
        law = G711_LAWS.get(path.suffix.lower(), "")
        # 0xFF is silence in mu-law and the first byte of an MPEG frame: the name decides between those two.
        if law and kind in ("", "mp3"):
            return _read_g711(path, law)
        samples, rate_hz = _decode(path)
    except OSError as error:
        raise AudioFileError(f"{path}: {error.strerror}", remedy="check the permissions") from None
    try:
        return master(samples, rate_hz, level=level)
    except UnsupportedRateError:
        raise AudioFileError(f"{path} is sampled at {rate_hz} Hz", remedy="use 8000 to 48000 Hz") from None


def audio_kind(head: bytes) -> str:
    """Return ``wav``, ``flac``, ``ogg``, ``mp3``, ``aiff`` or ``au`` by the first `HEAD_BYTES` of a file, else ``""``.

    >>> audio_kind(b"fLaC" + bytes(12))
    'flac'
    """
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    for magic, kind in ((b"fLaC", "flac"), (b"OggS", "ogg"), (b".snd", "au"), (b"ID3", "mp3")):
        if head.startswith(magic):
            return kind
    # An MPEG audio frame without a tag: 11 bits of ones, version not reserved, layer III (ISO 11172-3 2.4.1.3).
    is_frame = len(head) >= 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[1] & 0x18 != 0x08
    return "mp3" if is_frame else ""


def _read_g711(path: Path, law: str) -> tuple[bytes, bytes]:
    if path.stat().st_size > MAX_DURATION_S * RATE_HZ:
        raise AudioFileError(f"{path} is longer than {MAX_DURATION_S} s")
    data = path.read_bytes()
    if law == "ulaw":
        return data, g711.ulaw_to_alaw(data)
    return g711.alaw_to_ulaw(data), data


def _decode(path: Path) -> tuple[NDArray[np.int16], int]:
    # Loaded here and not above: it takes long, and a worker that only speaks never needs it.
    import soundfile

    try:
        with soundfile.SoundFile(path) as opened:
            rate_hz = int(opened.samplerate)
            # Not more than this is decoded, whatever the header says, and never all channels of it at once.
            most, block = MAX_DURATION_S * rate_hz, max(1, _BLOCK_SAMPLES // int(opened.channels))
            if int(opened.frames) > most:
                raise AudioFileError(f"{path} is longer than {MAX_DURATION_S} s")
            parts: list[NDArray[np.int16]] = []
            left = most
            while left > 0 and len(audio := opened.read(min(block, left), dtype="float64", always_2d=True)):
                parts.append(np.clip(np.rint(audio.mean(axis=1) * 32768.0), -32768, 32767).astype(np.int16))
                left -= len(audio)
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError):
        raise AudioFileError(f"{path} cannot be read as audio", remedy=_REMEDY) from None
    return (np.concatenate(parts) if parts else np.zeros(0, dtype=np.int16)), rate_hz
