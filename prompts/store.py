"""Where clips come from: the shipped audio, the cache, or the synthesiser, in this order.

Clips of default prompts stay in memory for as long as the store; spoken texts are kept in memory up to a bound, and on
disk. A text that holds what a caller keyed is kept nowhere.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from prompts import assets
from prompts.cache import CacheStats, DiskCache, content_key
from prompts.catalog import Catalog, known_key
from prompts.clip import Clip
from prompts.errors import AudioFileError, PromptError, SynthesisError
from prompts.keys import PLACEHOLDERS, PromptKey
from prompts.synth.espeak import EspeakSynthesizer
from prompts.synth.file import AudioFileReader
from prompts.synth.pool import TIMEOUT_S, WorkerPool
from prompts.synth.protocol import RENDERER_VERSION, AudioReader, Synthesizer

__all__ = ("MAX_CACHE_BYTES", "MAX_MEMORY_BYTES", "PromptStore")

MAX_CACHE_BYTES = 256 * 1024 * 1024
"Four and a half hours of speech."
MAX_MEMORY_BYTES = 32 * 1024 * 1024
_NAME_CHARS = 40


class PromptStore:
    """Gives clips for prompts, texts and files; everything but ``default`` may wait.

    Belongs to one event loop. Clips are shared: the same text is the same object while it is in memory.
    """

    def __init__(
        self,
        cache_dir: Path | str,
        synthesizer: Synthesizer,
        *,
        max_bytes: int = MAX_CACHE_BYTES,
        catalog: Catalog | None = None,
        reader: AudioReader | None = None,
    ) -> None:
        """Load the shipped audio of every locale that has some; raise CatalogError when it cannot be read.

        ``max_bytes`` bounds the cache on disk. The store closes ``synthesizer`` and ``reader`` with itself.
        """
        self.catalog = catalog or Catalog.load()
        self._synthesizer = synthesizer
        self._reader = reader or AudioFileReader()
        self._cache = DiskCache(Path(cache_dir), max_bytes=max_bytes)
        self._memory: OrderedDict[str, Clip] = OrderedDict()
        self._memory_bytes = 0
        self._rendering: dict[str, asyncio.Task[Clip]] = {}
        self._defaults: dict[tuple[PromptKey, str], Clip] = {}
        for locale in self.catalog.locales:
            for key, clip in assets.load(self.catalog.resolve(locale).texts).items():
                self._defaults[key, locale] = clip

    @classmethod
    def open(
        cls, cache_dir: Path | str, *, overlay: Path | None = None, workers: int = 1, timeout_s: float = TIMEOUT_S
    ) -> PromptStore:
        """Return a store on espeak-ng in worker processes, which start when the first text has to be spoken.

        ``overlay`` is a directory of texts of one's own (`prompts.catalog`); ``timeout_s`` bounds one rendering.
        """
        catalog = Catalog.load(overlay)
        pool = WorkerPool(workers=workers, timeout_s=timeout_s)
        return cls(cache_dir, EspeakSynthesizer(pool, catalog=catalog), catalog=catalog, reader=AudioFileReader(pool))

    @property
    def stats(self) -> CacheStats:
        """What the cache on disk has done."""
        return self._cache.stats

    def default(self, key: PromptKey | str, locale: str) -> Clip:
        """Return a default prompt at once.

        It is shipped (en-US), or ``prepare`` has rendered it; else PromptError, as for an unknown key and for a prompt
        with placeholders (``prompt`` says those).
        """
        prompt = known_key(key)
        clip = self._defaults.get((prompt, self.catalog.resolve(locale).texts.locale))
        if clip is None:
            raise PromptError(f"prompt {prompt} is not rendered in {locale!r}", remedy="prepare the locale first")
        return clip

    async def start(self) -> None:
        """Start the workers now, so that the first text on a call does not wait for them; raise SynthesisError.

        Without it they start when they are needed.
        """
        await self._synthesizer.start()

    async def prepare(self, locale: str) -> str:
        """Render what is missing of a locale's default prompts; return a warning when they are in another language.

        Raises SynthesisError when something is missing and cannot be spoken.
        """
        resolution = self.catalog.resolve(locale)
        texts = resolution.texts
        missing = [key for key in assets.fixed_keys() if (key, texts.locale) not in self._defaults]
        # One after the other: a neighbour's caller waits for one sentence of ours at most.
        for key in missing:
            clip = await self.speech(self.catalog.text(key, texts.locale), locale=texts.locale)
            self._defaults[key, texts.locale] = replace(clip, name=str(key))
        return resolution.warning

    async def prompt(self, key: PromptKey | str, locale: str, *, voice: str = "", **placeholders: str) -> Clip:
        """Return a default prompt, spoken if need be; ``digits`` fills ``{digits}`` (four at most).

        A prompt with placeholders is rendered each time and kept nowhere. Raises PromptError.
        """
        prompt = known_key(key)
        text = self.catalog.text(prompt, locale, **placeholders)
        spoken = self.catalog.resolve(locale).texts.locale
        if prompt in PLACEHOLDERS:
            clip = await self._synthesizer.synthesize(text, locale=spoken, voice=voice)
            return replace(clip, name=str(prompt))
        if not voice and (prompt, spoken) in self._defaults:
            return self._defaults[prompt, spoken]
        return replace(await self.speech(text, locale=spoken, voice=voice), name=str(prompt))

    async def speech(self, text: str, *, locale: str, voice: str = "") -> Clip:
        """Return ``text`` spoken, out of memory, the cache or the synthesiser; raise SynthesisError.

        Not for texts with what a caller keyed: they would stay on disk. Several calls for one text render it once, and
        cancelling one of them leaves the rendering to the others.
        """
        key = content_key("speech", RENDERER_VERSION, self._synthesizer.identity, locale, voice, text)
        return await self._once(key, lambda: self._speak(key, text, locale, voice))

    async def file(self, path: Path | str) -> Clip:
        """Return an audio file as a clip, read again when it has changed; raise AudioFileError that names it."""
        path = Path(path)
        try:
            status = await asyncio.to_thread(path.stat)
        except OSError as error:
            raise AudioFileError(f"{path}: {error.strerror}", remedy="check the name and the permissions") from None
        key = content_key("file", str(path.absolute()), str(status.st_mtime_ns), str(status.st_size))
        return await self._once(key, lambda: self._reader.read(path))

    async def close(self) -> None:
        """End what is being rendered, and the workers; whoever still waits gets SynthesisError."""
        tasks = list(self._rendering.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._synthesizer.close()
        await self._reader.close()

    async def _speak(self, key: str, text: str, locale: str, voice: str) -> Clip:
        name = " ".join(text.split())[:_NAME_CHARS]
        stored = await asyncio.to_thread(self._cache.get, key)
        if stored is not None:
            return Clip(name=name, pcmu=stored[0], pcma=stored[1])
        clip = replace(await self._synthesizer.synthesize(text, locale=locale, voice=voice), name=name)
        await asyncio.to_thread(self._cache.put, key, clip.pcmu, clip.pcma)
        return clip

    async def _once(self, key: str, render: Callable[[], Awaitable[Clip]]) -> Clip:
        clip = self._memory.get(key)
        if clip is not None:
            self._memory.move_to_end(key)
            return clip
        task = self._rendering.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._render(key, render))
            self._rendering[key] = task
            task.add_done_callback(lambda done: self._rendered(key, done))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # Cancelled is either who waits, which passes on, or the rendering itself, by close().
            current = asyncio.current_task()
            if task.cancelled() and not (current and current.cancelling()):
                raise SynthesisError("the prompts were closed") from None
            raise

    async def _render(self, key: str, render: Callable[[], Awaitable[Clip]]) -> Clip:
        clip = await render()
        self._memory[key] = clip
        self._memory_bytes += len(clip.pcmu) + len(clip.pcma)
        while self._memory_bytes > MAX_MEMORY_BYTES and len(self._memory) > 1:
            _, oldest = self._memory.popitem(last=False)
            self._memory_bytes -= len(oldest.pcmu) + len(oldest.pcma)
        return clip

    def _rendered(self, key: str, task: asyncio.Task[Clip]) -> None:
        self._rendering.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen, also when everybody who waited for it has gone
