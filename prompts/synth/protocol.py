"""What the store asks of a synthesiser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prompts.clip import Clip

__all__ = ("MAX_TEXT_CHARS", "RENDERER_VERSION", "Audio", "AudioReader", "Synthesizer")

RENDERER_VERSION = "1"
"Part of every cache key and of the assets' manifest: raise it when the same text would come out differently."
MAX_TEXT_CHARS = 4096
"Longest text that is spoken: what TwiML allows in one ``<Say>``."


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """Samples as a synthesiser or a file gives them, before mastering."""

    samples: NDArray[np.int16]
    "Mono."
    rate_hz: int


class Synthesizer(Protocol):
    """Speaks texts.

    Implementations neither block the event loop nor hold the GIL for long: they work in a process of their own.
    """

    @property
    def identity(self) -> str:
        """What a cached rendering depends on beside text, locale and voice: program and settings."""

    async def start(self) -> None:
        """Get ready, so that the first text does not wait for it (about 1 s); raise SynthesisError."""

    async def synthesize(self, text: str, *, locale: str, voice: str) -> Clip:
        """Speak ``text``, mastered to 8 kHz and −25 dBov; raise SynthesisError. The clip has no name yet."""

    async def close(self) -> None:
        """End what was started; texts in work fail with SynthesisError."""


class AudioReader(Protocol):
    """Reads audio files."""

    async def read(self, path: Path) -> Clip:
        """Read and master a file; raise AudioFileError that names it."""

    async def close(self) -> None:
        """End what was started."""
