"""Audio that a synthesiser elsewhere has sent: decoded, resampled and levelled by a worker, and written nowhere."""

from __future__ import annotations

import io

import numpy as np

from prompts.clip import Clip
from prompts.errors import SynthesisError
from prompts.synth.espeak import split_answer
from prompts.synth.pool import WorkerError, WorkerPool
from prompts.synth.protocol import Audio
from prompts.synth.wire import WireError

__all__ = ("MAX_SECONDS", "decode", "master_audio")

MAX_SECONDS = 600


async def master_audio(pool: WorkerPool, audio: bytes) -> Clip:
    """Return encoded audio (WAV, FLAC, Ogg, MP3) as a clip at 8 kHz and −25 dBov; raise SynthesisError."""
    try:
        answer, body = await pool.request({"op": "audio"}, audio)
    except (WorkerError, WireError) as error:
        raise SynthesisError(str(error)) from None
    if not answer.get("ok"):
        raise SynthesisError(str(answer.get("message", "")), remedy=str(answer.get("remedy", "")))
    pcmu, pcma = split_answer(body)
    return Clip(name="", pcmu=pcmu, pcma=pcma)


def decode(data: bytes) -> Audio:
    """Return mono samples: for the worker. Raises SynthesisError for what is no audio of 8 to 48 kHz."""
    # Loaded here and not above: it takes long, and a worker that only speaks never needs it.
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as opened:
            rate_hz = int(opened.samplerate)
            audio = opened.read(MAX_SECONDS * rate_hz, dtype="float64", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError):
        raise SynthesisError("what the synthesiser sent is no audio") from None
    if not 8000 <= rate_hz <= 48000:
        raise SynthesisError(f"the synthesiser sent audio at {rate_hz} Hz", remedy="ask it for 8000 to 48000 Hz")
    mono = audio.mean(axis=1)
    return Audio(samples=np.clip(np.rint(mono * 32768.0), -32768, 32767).astype(np.int16), rate_hz=rate_hz)
