"""The worker process: ``python -m prompts.synth.worker`` speaks `prompts.synth.wire` on stdin and stdout.

It ends when its input does, so it never outlives the engine. It prints nothing: what goes wrong is in the answer, and
never with a word of the text.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import BinaryIO

from prompts.errors import PromptError
from prompts.mastering import master, silence
from prompts.synth import espeak, file, piper, wav
from prompts.synth.protocol import Audio
from prompts.synth.wire import PREFIX_SIZE, Header, WireError, lengths, pack, unpack_header, unpack_speech

__all__ = ("main",)


def main() -> int:
    """Answer requests until the input ends; return the exit status."""
    # A core file would hold texts, which may hold what a caller keyed.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The answers own descriptor 1. What a library prints goes nowhere: it may quote a text, and nobody empties the pipe
    # of standard error, which would fill up and hold the worker. Only a failed start has been told there by now.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.dup2(nowhere, sys.stderr.fileno())
    with answers:
        try:
            serve(sys.stdin.buffer, answers)
        except (BrokenPipeError, WireError):
            return 1
    return 0


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer each request in order; return at the end of input, raise WireError for what is no request."""
    while prefix := requests.read(PREFIX_SIZE):
        head_size, body_size = lengths(prefix)
        header = unpack_header(requests.read(head_size))
        answers.write(_answer(header, requests.read(body_size)))
        answers.flush()


def _answer(header: Header, body: bytes) -> bytes:
    try:
        pcmu, pcma = _clip(header, body)
    except PromptError as error:
        return pack({"ok": 0, "message": error.message, "remedy": error.remedy})
    except Exception as error:
        # Only the class: the message of an unforeseen exception may quote the text.
        return pack({"ok": 0, "message": f"internal error ({type(error).__name__})", "remedy": ""})
    return pack({"ok": 1}, pcmu + pcma)


def _clip(header: Header, body: bytes) -> tuple[bytes, bytes]:
    match header["op"]:
        case "espeak":
            before_ms, speech, after_ms = unpack_speech(body).parted()
            audio = espeak.speak(
                speech,
                voice=str(header["voice"]),
                words_per_minute=int(header["words_per_minute"]),
                program=str(header["program"]),
            )
            return _mastered(audio, before_ms, after_ms)
        case "piper":
            before_ms, speech, after_ms = unpack_speech(body).parted()
            voice = piper.load(str(header["model"]), threads=int(header["threads"]))
            return _mastered(piper.speak(speech, voice), before_ms, after_ms)
        case "audio":
            return _mastered(wav.decode(body), 0, 0)
        case "file":
            return file.read_file(Path(os.fsdecode(body)), level=bool(header["level"]))
        case _:
            raise PromptError("unknown request to the speech worker")


def _mastered(audio: Audio, before_ms: int, after_ms: int) -> tuple[bytes, bytes]:
    """Master speech, and put the pauses around it that mastering would have trimmed."""
    before, spoken, after = silence(before_ms), master(audio.samples, audio.rate_hz), silence(after_ms)
    pcmu, pcma = (b"".join(parts) for parts in zip(before, spoken, after, strict=True))
    return pcmu, pcma


if __name__ == "__main__":
    sys.exit(main())
