"""Piper: neural voices that the operator supplies, run by onnxruntime in the same worker processes.

A voice is a model, ``NAME.onnx``, and beside it its settings, ``NAME.onnx.json``. It is loaded by the first text and
stays loaded in its worker. Piper knows no SSML: a pause is silence between two pieces, a rate is Piper's length scale,
emphasis is left out.

Piper itself would download what some of its phonemisers need (Chinese, Hebrew, Japanese, Thai): voices that use them
are refused.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompts.cache import content_key
from prompts.catalog import Catalog
from prompts.clip import Clip
from prompts.errors import PromptError, SynthesisError
from prompts.mastering import trimmed
from prompts.pieces import Pause, Span, Speech
from prompts.synth.espeak import ask, plain
from prompts.synth.pool import WorkerError, WorkerPool
from prompts.synth.protocol import Audio, Capabilities, Synthesizer
from prompts.synth.wire import Header, pack_speech

__all__ = ("MAX_VOICES", "PiperSynthesizer", "load", "speak", "voice_faults")

MAX_VOICES = 4
"Kept loaded in one worker, some 60 to 120 MB each; one more puts out the one that was not used for longest."
REMEDY_PACKAGE = 'install it: pip install "paytone[piper]"'
REMEDY_VOICE = "a voice is a file NAME.onnx with NAME.onnx.json beside it"
_PHONEMES = frozenset({"espeak", "text"})
_MAX_CONFIG_BYTES = 1024 * 1024

_loaded: OrderedDict[tuple[str, int], Any] = OrderedDict()


class PiperSynthesizer:
    """Speaks with Piper where there is a voice for the locale, and with another synthesiser elsewhere."""

    capabilities = Capabilities(emphasis=False)

    def __init__(
        self,
        pool: WorkerPool,
        voices: Mapping[str, Path],
        fallback: Synthesizer,
        *,
        catalog: Catalog,
        threads: int = 1,
        warn: Callable[[str], None] = lambda warning: None,
    ) -> None:
        """Use ``voices`` (locale: model). ``fallback`` is closed with this; ``warn`` hears of each other locale once.

        ``threads`` are onnxruntime's, in each worker: the other cores belong to the calls.
        """
        self._pool = pool
        self._voices = {_fold(locale): path.absolute() for locale, path in voices.items()}
        self._fallback = fallback
        self._catalog = catalog
        self._threads = threads
        self._warn = warn
        self._warned: set[str] = set()

    @property
    def identity(self) -> str:
        """The voices, by name, size and time of change, and what speaks elsewhere."""
        marks = [f"{locale} {path} {_mark(path)}" for locale, path in sorted(self._voices.items())]
        return f"piper {content_key(*marks)} or {self._fallback.identity}"

    async def start(self) -> None:
        """Start the workers and load every voice once, so that a broken one shows now; raise SynthesisError."""
        try:
            await self._pool.start()
            for path in dict.fromkeys(self._voices.values()):
                answer, _ = await self._pool.request(self._request(path), pack_speech(Speech(())))
                if not answer.get("ok"):
                    raise SynthesisError(str(answer.get("message", "")), remedy=str(answer.get("remedy", "")))
        except WorkerError as error:
            raise SynthesisError(str(error)) from None

    async def synthesize(self, text: str | Speech, *, locale: str, voice: str) -> Clip:
        """Speak; a voice of espeak-ng's (``espeak:NAME``) is spoken by the fallback. Raises SynthesisError."""
        path = None if voice.startswith("espeak:") else self._voice(locale)
        if path is None:
            return await self._fallback.synthesize(text, locale=locale, voice=voice)
        return await ask(self._pool, self._request(path), text)

    async def close(self) -> None:
        """End the workers, and close the fallback."""
        await self._fallback.close()
        await self._pool.close()

    def _request(self, path: Path) -> Header:
        return {"op": "piper", "model": str(path), "threads": self._threads}

    def _voice(self, locale: str) -> Path | None:
        """Return the voice of the locale, or of the one whose texts serve it if that is of its language."""
        tag = _fold(locale)
        path = self._voices.get(tag)
        resolution = self._catalog.resolve(locale)
        if path is None and not resolution.warning:
            path = self._voices.get(_fold(resolution.texts.locale))
        if path is None and tag not in self._warned and len(self._warned) < 64:
            self._warned.add(tag)
            self._warn(f"prompts.piper.voices has none for {tag}: espeak-ng speaks")
        return path


def voice_faults(path: Path) -> str:
    """Return what is wrong with the files of a voice, or nothing; they are not read."""
    for file in (path, _config_path(path)):
        if not file.is_file():
            return f"{file} is not there"
    return ""


def load(model: str, *, threads: int) -> Any:
    """Return a voice, loaded the first time: for the worker. Raises SynthesisError that names the file."""
    key = (model, threads)
    if key in _loaded:
        _loaded.move_to_end(key)
        return _loaded[key]
    fault = voice_faults(Path(model))
    if fault:
        raise SynthesisError(fault, remedy=REMEDY_VOICE)
    try:
        import onnxruntime
        from piper import PiperConfig, PiperVoice
    except ImportError:
        raise SynthesisError("piper-tts is not installed", remedy=REMEDY_PACKAGE) from None
    settings = _settings(_config_path(Path(model)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        voice = PiperVoice(
            config=PiperConfig.from_dict(settings),
            session=onnxruntime.InferenceSession(model, sess_options=options, providers=["CPUExecutionProvider"]),
        )
    # onnxruntime has an exception of its own for each fault of a model, and Piper takes settings on trust.
    except Exception as error:
        raise SynthesisError(f"{model} is no voice ({type(error).__name__})", remedy=REMEDY_VOICE) from None
    _loaded[key] = voice
    while len(_loaded) > MAX_VOICES:
        _loaded.popitem(last=False)
    return voice


def speak(speech: Speech, voice: Any) -> Audio:
    """Speak with a loaded voice and wait for it: for the worker. Raises SynthesisError."""
    rate_hz = int(voice.config.sample_rate)
    pieces: list[NDArray[np.int16]] = []
    try:
        for piece in _merged(speech):
            if isinstance(piece, Pause):
                pieces.append(np.zeros(piece.ms * rate_hz // 1000, dtype=np.int16))
            else:
                # A voice puts silence of its own around a text: a pause would be longer than it was written.
                pieces.append(trimmed(_spoken(piece, voice), rate_hz))
    except PromptError:
        raise
    except Exception as error:
        raise SynthesisError(f"the Piper voice failed ({type(error).__name__})") from None
    return Audio(samples=np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int16), rate_hz=rate_hz)


def _spoken(span: Span, voice: Any) -> NDArray[np.int16]:
    from piper import SynthesisConfig

    settings = SynthesisConfig(length_scale=voice.config.length_scale / span.rate)
    chunks = [chunk.audio_int16_array for chunk in voice.synthesize(plain(span.text), syn_config=settings)]
    return np.concatenate(chunks).reshape(-1) if chunks else np.zeros(0, dtype=np.int16)


def _merged(speech: Speech) -> list[Span | Pause]:
    """Join spans that differ in emphasis alone, which would each be spoken as a sentence of its own."""
    merged: list[Span | Pause] = []
    for piece in speech.pieces:
        last = merged[-1] if merged else None
        if isinstance(piece, Span) and isinstance(last, Span) and piece.rate == last.rate:
            merged[-1] = Span(last.text + piece.text, last.rate)
        else:
            merged.append(piece)
    return merged


def _settings(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            settings = json.loads(file.read(_MAX_CONFIG_BYTES))
    except (OSError, ValueError, RecursionError):
        raise SynthesisError(f"{path} cannot be read as JSON", remedy=REMEDY_VOICE) from None
    if not isinstance(settings, dict):
        raise SynthesisError(f"{path} is no table of settings", remedy=REMEDY_VOICE)
    if settings.get("phoneme_type", "espeak") not in _PHONEMES:
        raise SynthesisError(
            f"{path}: phoneme_type {settings['phoneme_type']!r} is not taken",
            remedy="use a voice whose phonemes are espeak's; Piper would download others",
        )
    rate_hz = settings.get("audio", {}).get("sample_rate") if isinstance(settings.get("audio"), dict) else None
    if not isinstance(rate_hz, int) or not 8000 <= rate_hz <= 48000:
        raise SynthesisError(f"{path}: audio.sample_rate is none of 8000 to 48000", remedy=REMEDY_VOICE)
    return settings


def _config_path(model: Path) -> Path:
    return model.with_name(model.name + ".json")


def _mark(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "-"
    return f"{status.st_size} {status.st_mtime_ns}"


def _fold(tag: str) -> str:
    return tag.strip().replace("_", "-").casefold()
