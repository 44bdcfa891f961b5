"""Which synthesiser speaks, by settings: for `PromptStore.open`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from prompts.catalog import Catalog
from prompts.synth.espeak import EspeakSynthesizer
from prompts.synth.guard import TIMEOUT_S, GuardedSynthesizer
from prompts.synth.piper import PiperSynthesizer
from prompts.synth.pool import WorkerPool
from prompts.synth.protocol import Synthesizer

__all__ = ("MakeSynthesizer", "SynthesizerName", "guarded", "maker")

MakeSynthesizer: TypeAlias = Callable[[WorkerPool, Catalog], Synthesizer]
SynthesizerName: TypeAlias = Literal["espeak-ng", "piper"]


def maker(
    name: SynthesizerName = "espeak-ng",
    *,
    piper_voices: Mapping[str, Path] | None = None,
    piper_threads: int = 1,
    warn: Callable[[str], None] = lambda warning: None,
) -> MakeSynthesizer:
    """Return what makes the synthesiser of that name, guarded, on the store's pool and catalogue.

    ``warn`` hears what the operator has to know, such as a locale without a Piper voice; each once.
    """

    def make(pool: WorkerPool, catalog: Catalog) -> Synthesizer:
        speaker: Synthesizer = EspeakSynthesizer(pool, catalog=catalog)
        if name == "piper":
            voices = piper_voices or {}
            speaker = PiperSynthesizer(pool, voices, speaker, catalog=catalog, threads=piper_threads, warn=warn)
        return GuardedSynthesizer(speaker, catalog=catalog, warn=warn)

    return make


def guarded(
    synthesizer: Synthesizer, *, timeout_s: float = TIMEOUT_S, warn: Callable[[str], None] = lambda warning: None
) -> MakeSynthesizer:
    """Return what puts a synthesiser of one's own (``docs/prompts.md``) behind the guard."""

    def make(_: WorkerPool, catalog: Catalog) -> Synthesizer:
        return GuardedSynthesizer(synthesizer, catalog=catalog, timeout_s=timeout_s, warn=warn)

    return make
