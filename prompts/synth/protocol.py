"""What the store asks of a synthesiser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prompts.clip import Clip
from prompts.pieces import Speech

__all__ = ("MAX_TEXT_CHARS", "RENDERER_VERSION", "Audio", "AudioReader", "Capabilities", "Synthesizer")

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a synthesiser can do with markup, and where it is."""

    remote: bool = False
    "Whether texts leave this machine: then they hold four digits in a row at most (`prompts.synth.guard`)."
    rate: bool = True
    "Whether it speaks faster and slower; else all is spoken at its usual speed."
    emphasis: bool = True
    "Whether it stresses; else emphasis is left out. Pauses have to be kept by each."


class Synthesizer(Protocol):
    """Speaks texts.

    Implementations neither block the event loop nor hold the GIL for long: they work in a process of their own, or
    wait for one in the network. They are used behind a `GuardedSynthesizer` (`docs/prompts.md`, "A voice of your own").
    """

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; does not change."""

    @property
    def identity(self) -> str:
        """What a cached rendering depends on beside text, locale and voice: program and settings."""

    async def start(self) -> None:
        """Get ready, so that the first text does not wait for it (about 1 s); raise SynthesisError."""

    async def synthesize(self, text: str | Speech, *, locale: str, voice: str) -> Clip:
        """Speak a text or its pieces, mastered to 8 kHz and −25 dBov (`prompts.mastering`); raise SynthesisError.

        ``locale`` is the one asked for, whose language need not be one of the catalogue; ``voice`` is what the
        configuration or the vendor's document says, often nothing. The clip has no name yet.
        """

    async def close(self) -> None:
        """End what was started; texts in work fail with SynthesisError."""


class AudioReader(Protocol):
    """Reads audio files."""

    async def read(self, path: Path) -> Clip:
        """Read and master a file; raise AudioFileError that names it."""

    async def close(self) -> None:
        """End what was started."""
