"""espeak-ng, as the program of Debian's package of that name, one process a text.

The library is neither safe to share between threads nor licensed as we are; the program takes 10 ms, start included.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from typing import Final

import numpy as np

from prompts.catalog import Catalog
from prompts.clip import Clip
from prompts.errors import SynthesisError
from prompts.pieces import Speech, as_speech, to_ssml, without_controls
from prompts.synth.pool import WorkerError, WorkerPool
from prompts.synth.protocol import MAX_TEXT_CHARS, Audio, Capabilities
from prompts.synth.wire import Header, pack_speech

__all__ = (
    "PROGRAM",
    "WORDS_PER_MINUTE",
    "EspeakSynthesizer",
    "ask",
    "markup",
    "plain",
    "speak",
    "split_answer",
    "voice_name",
)

PROGRAM = "espeak-ng"
REMEDY_MISSING = "install it: apt-get install espeak-ng"
REMEDY_VOICE = "espeak-ng --voices lists what there is"
WORDS_PER_MINUTE = 160
"Slower than the program's 175: a caller reads a card while listening."
_PROGRAM_TIMEOUT_S = 30  # the pool kills earlier; this ends a hung program whose engine is gone
_FEMALE = "+f3"
_GENDERS: Final = {"female": _FEMALE, "woman": _FEMALE, "male": "", "man": "", "": ""}
# A name and a variant, never a path: the program opens the file that -v names.
_VOICE = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*(\+[A-Za-z0-9]+)?\Z")


class EspeakSynthesizer:
    """Speaks through a pool of worker processes that run espeak-ng."""

    capabilities = Capabilities()

    def __init__(
        self,
        pool: WorkerPool | None = None,
        *,
        catalog: Catalog | None = None,
        program: str = PROGRAM,
        words_per_minute: int = WORDS_PER_MINUTE,
    ) -> None:
        """Use ``pool`` (default: one worker of its own); nothing is started before the first text."""
        self._pool = pool or WorkerPool()
        self._catalog = catalog or Catalog.load()
        self._program = program
        self._words_per_minute = words_per_minute

    @property
    def identity(self) -> str:
        """Program and speed."""
        return f"{self._program} {self._words_per_minute}"

    async def start(self) -> None:
        """Start the workers; raise SynthesisError. A missing program shows with the first text."""
        try:
            await self._pool.start()
        except WorkerError as error:
            raise SynthesisError(str(error)) from None

    async def synthesize(self, text: str | Speech, *, locale: str, voice: str) -> Clip:
        """Speak in the voice `voice_name` finds; raise SynthesisError."""
        header: Header = {
            "op": "espeak",
            "voice": voice_name(voice, locale, self._catalog),
            "words_per_minute": self._words_per_minute,
            "program": self._program,
        }
        return await ask(self._pool, header, text)

    async def close(self) -> None:
        """End the workers."""
        await self._pool.close()


async def ask(pool: WorkerPool, header: Header, text: str | Speech) -> Clip:
    """Have a worker speak; raise SynthesisError."""
    speech = as_speech(text)
    if len(speech.text) > MAX_TEXT_CHARS:
        raise SynthesisError(
            f"a text of {len(speech.text)} characters is too long", remedy=f"{MAX_TEXT_CHARS} are the most; split it"
        )
    try:
        answer, body = await pool.request(header, pack_speech(speech))
    except WorkerError as error:
        raise SynthesisError(str(error)) from None
    if not answer.get("ok"):
        raise SynthesisError(str(answer.get("message", "")), remedy=str(answer.get("remedy", "")))
    pcmu, pcma = split_answer(body)
    return Clip(name="", pcmu=pcmu, pcma=pcma)


def split_answer(body: bytes) -> tuple[bytes, bytes]:
    """Return the two laws out of the body of an answer."""
    half = len(body) // 2
    return body[:half], body[half:]


def voice_name(voice: str, locale: str, catalog: Catalog) -> str:
    """Return what espeak-ng's ``-v`` is given.

    ``espeak:NAME`` is taken as it stands; ``woman``, ``female``, ``man`` and ``male`` choose the variant of the
    locale's voice; other vendors' voices (``Polly.Salli``) are the locale's. A locale without texts of its own speaks
    its language if espeak-ng knows that. Raises SynthesisError for a name that cannot be one.
    """
    if voice.startswith("espeak:"):
        name = voice.removeprefix("espeak:")
    else:
        resolution = catalog.resolve(locale)
        # The texts fall back to English; a text that somebody wrote in Swedish is not read by an English voice.
        base = locale.replace("_", "-").split("-")[0].lower() if resolution.warning else ""
        name = (base or resolution.texts.espeak_voice) + _GENDERS.get(voice.lower(), "")
    if not _VOICE.match(name):
        raise SynthesisError(f"{name!r} is not the name of an espeak-ng voice", remedy=REMEDY_VOICE)
    return name


def speak(text: str | Speech, *, voice: str, words_per_minute: int = WORDS_PER_MINUTE, program: str = PROGRAM) -> Audio:
    """Speak and wait for it: for the worker. Raises SynthesisError; an empty text gives no samples."""
    found = shutil.which(program)
    if found is None:
        raise SynthesisError(f"{program} was not found on PATH", remedy=REMEDY_MISSING)
    speech = as_speech(text)
    # -b 1: UTF-8. -z: no pause after the last sentence. -m: SSML; off for a plain text, so "<" is only a character.
    command = [found, "--stdin", "--stdout", "-b", "1", "-z", "-s", str(words_per_minute), "-v", voice]
    if speech.is_plain:
        source = plain(speech.text)
    else:
        command.append("-m")
        source = markup(speech)
    try:
        done = subprocess.run(
            command, input=source.encode("utf-8", "replace"), capture_output=True, timeout=_PROGRAM_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise SynthesisError(f"{program} did not finish within {_PROGRAM_TIMEOUT_S} s") from None
    except OSError as error:
        raise SynthesisError(f"{program} could not be run: {error.strerror}", remedy=REMEDY_MISSING) from None
    if done.returncode != 0:
        if b"voice does not exist" in done.stderr:
            raise SynthesisError(f"{program} has no voice {voice!r}", remedy=REMEDY_VOICE)
        raise SynthesisError(f"{program} ended with status {done.returncode}")
    return _parse_wav(done.stdout, program)


def plain(text: str) -> str:
    """Take out what espeak-ng reads as a command: control characters (^A introduces one) and ``[[phonemes]]``."""
    return without_controls(text).replace("[", " ")


def markup(speech: Speech) -> str:
    """Write pieces as SSML, whose pauses espeak-ng keeps to some milliseconds."""
    return to_ssml(speech, plain)


def _parse_wav(data: bytes, program: str) -> Audio:
    """Read the program's WAV: 16 bit, mono; its lengths are not true, for it writes them before it speaks."""
    if not data.strip():
        return Audio(samples=np.zeros(0, dtype=np.int16), rate_hz=8000)
    if data[:4] != b"RIFF" or data[8:16] != b"WAVEfmt ":
        raise SynthesisError(f"{program} gave no audio")
    format_size, encoding, channels, rate_hz = struct.unpack_from("<IHHI", data, 16)
    start = data.find(b"data", 20 + format_size) + 8
    if start < 8 or (encoding, channels) != (1, 1) or not 8000 <= rate_hz <= 48000:
        raise SynthesisError(f"{program} gave audio of an unexpected form")
    whole = (len(data) - start) // 2 * 2
    return Audio(samples=np.frombuffer(data, "<i2", count=whole // 2, offset=start).astype(np.int16), rate_hz=rate_hz)
