"""Where clips come from: the shipped audio, the cache, or the synthesiser, in this order; files from disk or the web.

Clips of default prompts stay in memory for as long as the store; spoken texts are kept in memory up to a bound, and on
disk. A text that holds what a caller keyed is kept nowhere.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from prompts import assets
from prompts.cache import CacheStats, DiskCache, content_key
from prompts.catalog import Catalog, known_key
from prompts.clip import Clip
from prompts.errors import AudioFileError, PromptError, SynthesisError
from prompts.keys import PLACEHOLDERS, PromptKey
from prompts.mastering import silence
from prompts.pieces import Speech, as_speech
from prompts.remote import Fetch, RemoteFiles, is_url, shown_url
from prompts.sentences import sentences
from prompts.synth.factory import MakeSynthesizer, maker
from prompts.synth.file import AudioFileReader
from prompts.synth.pool import TIMEOUT_S, WorkerPool
from prompts.synth.protocol import RENDERER_VERSION, AudioReader, Synthesizer

__all__ = ("MAX_AHEAD", "MAX_CACHE_BYTES", "MAX_MEMORY_BYTES", "SENTENCE_PAUSE_MS", "PromptStore")


MAX_CACHE_BYTES = 256 * 1024 * 1024
"Four and a half hours of speech."
MAX_MEMORY_BYTES = 32 * 1024 * 1024
MAX_AHEAD = 64
SENTENCE_PAUSE_MS = 300
"Between the sentences of a text that is rendered piece by piece; espeak-ng itself leaves about as much."
_NAME_CHARS = 40


def _unheard(warning: str) -> None:
    """Take a warning where nobody wants it."""


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
        fetch: Fetch | None = None,
        warn: Callable[[str], None] = _unheard,
        now: Callable[[], float] = time.time,
        parallel: int = 1,
        with_shipped: bool = True,
        closing: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Load the shipped audio of every locale that has some; raise CatalogError when it cannot be read.

        ``max_bytes`` bounds the cache on disk. ``fetch`` gets files from the web, which are refused without it;
        ``warn`` takes what an operator should read about them; ``now`` is wall time in s. ``parallel`` is how many
        texts ``prepare`` has rendered at a time. Without ``with_shipped`` the shipped audio is left alone: another
        voice speaks all. The store closes ``synthesizer`` and ``reader`` with itself, and then calls ``closing``.
        """
        self.catalog = catalog or Catalog.load()
        self.synthesizer = synthesizer
        "Speaks what is neither shipped nor cached."
        self._reader = reader or AudioFileReader()
        self._cache = DiskCache(Path(cache_dir), max_bytes=max_bytes)
        self._remote = RemoteFiles(self._cache, self._reader, fetch, now=now, warn=warn)
        self._parallel = asyncio.Semaphore(parallel)
        self._memory: OrderedDict[str, Clip] = OrderedDict()
        self._memory_bytes = 0
        self._rendering: dict[str, asyncio.Task[Clip]] = {}
        self._ahead: set[asyncio.Task[None]] = set()
        self._defaults: dict[tuple[PromptKey, str], Clip] = {}
        self._closing = closing
        for locale in self.catalog.locales if with_shipped else ():
            for key, clip in assets.load(self.catalog.resolve(locale).texts).items():
                self._defaults[key, locale] = clip
        self._shipped = frozenset(self._defaults)

    @classmethod
    def open(
        cls,
        cache_dir: Path | str,
        *,
        overlay: Path | None = None,
        workers: int = 1,
        timeout_s: float = TIMEOUT_S,
        max_bytes: int = MAX_CACHE_BYTES,
        synthesizer: MakeSynthesizer | None = None,
        fetch: Fetch | None = None,
        warn: Callable[[str], None] = _unheard,
        with_shipped: bool = True,
        closing: Callable[[], Awaitable[None]] | None = None,
    ) -> PromptStore:
        """Return a store on worker processes, which start with ``start`` or when the first text has to be spoken.

        ``overlay`` is a directory of texts of one's own (`prompts.catalog`); ``timeout_s`` bounds one rendering;
        ``synthesizer`` makes what speaks, on the pool that reads files too (`prompts.synth.factory`;
        default: espeak-ng). Raises CatalogError.
        """
        catalog = Catalog.load(overlay)
        pool = WorkerPool(workers=workers, timeout_s=timeout_s)
        return cls(
            cache_dir,
            (synthesizer or maker(warn=warn))(pool, catalog),
            max_bytes=max_bytes,
            catalog=catalog,
            reader=AudioFileReader(pool),
            fetch=fetch,
            warn=warn,
            parallel=workers,
            with_shipped=with_shipped,
            closing=closing,
        )

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
        await self.synthesizer.start()

    def missing(self, locale: str) -> tuple[PromptKey, ...]:
        """Return the default prompts of a locale that ``prepare`` would have to get from the cache or render."""
        texts = self.catalog.resolve(locale).texts
        return tuple(key for key in assets.fixed_keys() if (key, texts.locale) not in self._defaults)

    def shipped(self, key: PromptKey, locale: str) -> bool:
        """Return whether a default prompt came with the package, and says what the catalogue says now."""
        return (key, self.catalog.resolve(locale).texts.locale) in self._shipped

    async def prepare(self, locale: str, *, progress: Callable[[], None] | None = None) -> str:
        """Render what is missing of a locale's default prompts; return a warning when they are in another language.

        As many at a time as there are workers, so that a neighbour's caller waits for one sentence of ours at most.
        ``progress`` is called after each. Raises SynthesisError when something is missing and cannot be spoken; what
        was rendered by then is kept.
        """
        resolution = self.catalog.resolve(locale)
        texts = resolution.texts

        async def get(key: PromptKey) -> None:
            async with self._parallel:
                clip = await self.speech(self.catalog.text(key, texts.locale), locale=texts.locale)
            self._defaults[key, texts.locale] = replace(clip, name=str(key))
            if progress is not None:
                progress()

        tasks = [asyncio.ensure_future(get(key)) for key in self.missing(locale)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return resolution.warning

    async def cached(self, key: PromptKey | str, locale: str) -> Clip | None:
        """Return a default prompt that is shipped, prepared or in the cache; None when it had to be rendered."""
        prompt = known_key(key)
        texts = self.catalog.resolve(locale).texts
        clip = self._defaults.get((prompt, texts.locale))
        if clip is not None or prompt in PLACEHOLDERS:
            return clip
        stored = await asyncio.to_thread(self._cache.get, self._speech_key(texts.texts[prompt].format(), texts.locale))
        return Clip(name=str(prompt), pcmu=stored[0], pcma=stored[1]) if stored else None

    async def prompt(self, key: PromptKey | str, locale: str, *, voice: str = "", **placeholders: str) -> Clip:
        """Return a default prompt, spoken if need be; ``digits`` fills ``{digits}`` (four at most).

        A prompt with placeholders is rendered each time and kept nowhere. Raises PromptError.
        """
        prompt = known_key(key)
        text = self.catalog.text(prompt, locale, **placeholders)
        spoken = self.catalog.resolve(locale).texts.locale
        if prompt in PLACEHOLDERS:
            clip = await self.synthesizer.synthesize(text, locale=spoken, voice=voice)
            return replace(clip, name=str(prompt))
        if not voice and (prompt, spoken) in self._defaults:
            return self._defaults[prompt, spoken]
        return replace(await self.speech(text, locale=spoken, voice=voice), name=str(prompt))

    async def speech(self, text: str | Speech, *, locale: str, voice: str = "") -> Clip:
        """Return ``text`` spoken, out of memory, the cache or the synthesiser; raise SynthesisError.

        A text that begins with ``<speak`` is SSML; MarkupError when it is broken.

        Not for texts with what a caller keyed: they would stay on disk. Several calls for one text render it once, and
        cancelling one of them leaves the rendering to the others.
        """
        key = self._speech_key(text, locale, voice)
        return await self._once(key, lambda: self._speak(key, text, locale, voice))

    async def stream(self, text: str, *, locale: str, voice: str = "") -> AsyncGenerator[Clip, None]:
        """Yield ``text`` spoken, sentence by sentence, with a pause between two: play them as one playlist grows.

        The first is there as soon as it would be alone; all others are rendered meanwhile. Raises SynthesisError.
        """
        pieces = sentences(text)
        pcmu, pcma = silence(SENTENCE_PAUSE_MS)
        pause = Clip(name="pause", pcmu=pcmu, pcma=pcma)
        ahead: asyncio.Task[Clip] | None = None
        try:
            for number, piece in enumerate(pieces):
                clip = await (ahead or self.speech(piece, locale=locale, voice=voice))
                ahead = None
                if number + 1 < len(pieces):
                    ahead = asyncio.ensure_future(self.speech(pieces[number + 1], locale=locale, voice=voice))
                if number:
                    yield pause
                yield clip
        finally:
            if ahead is not None:
                ahead.cancel()
                with suppress(asyncio.CancelledError, PromptError):
                    await ahead

    async def file(self, source: Path | str) -> Clip:
        """Return an audio file as a clip: a path, or an http(s) address; raise AudioFileError that names it.

        A file on disk is read again when it has changed, one from the web is asked for again when it is stale
        (`prompts.remote`). Several calls for one file get it once.
        """
        if isinstance(source, str) and is_url(source):
            key = content_key("url", source)
            return await self._once(key, lambda: self._remote.clip(source), name=shown_url(source), keep=False)
        path = Path(source)
        try:
            status = await asyncio.to_thread(path.stat)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            reason = getattr(error, "strerror", "") or "is not the name of a file"
            raise AudioFileError(f"{path}: {reason}", remedy="check the name and the permissions") from None
        key = content_key("file", str(path.absolute()), str(status.st_mtime_ns), str(status.st_size))
        return await self._once(key, lambda: self._reader.read(path), name=str(path))

    def at_hand(self, url: str) -> Clip | None:
        """Return a file from the web if it is in memory and fresh; else None, and ``file`` has to be awaited."""
        return self._remote.at_hand(url)

    def ahead(self, sources: Iterable[str]) -> None:
        """Begin to get files that will be played soon; what fails shows when the file is asked for.

        Beyond `MAX_AHEAD` under way a file is left to the moment when it is asked for.
        """
        for source in sources:
            if len(self._ahead) >= MAX_AHEAD:
                return
            task = asyncio.ensure_future(self._tried(source))
            self._ahead.add(task)
            task.add_done_callback(self._ahead.discard)

    async def _tried(self, source: str) -> None:
        with suppress(PromptError):
            await self.file(source)

    async def close(self) -> None:
        """End what is being rendered, and the workers; whoever still waits gets SynthesisError."""
        tasks = [*self._ahead, *self._rendering.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.synthesizer.close()
        await self._reader.close()
        if self._closing is not None:
            await self._closing()

    def _speech_key(self, text: str | Speech, locale: str, voice: str = "") -> str:
        kind, said = ("speech", text) if isinstance(text, str) else ("pieces", text.key)
        return content_key(kind, RENDERER_VERSION, self.synthesizer.identity, locale, voice, said)

    async def _speak(self, key: str, text: str | Speech, locale: str, voice: str) -> Clip:
        name = " ".join(as_speech(text).text.split())[:_NAME_CHARS]
        stored = await asyncio.to_thread(self._cache.get, key)
        if stored is not None:
            return Clip(name=name, pcmu=stored[0], pcma=stored[1])
        clip = replace(await self.synthesizer.synthesize(text, locale=locale, voice=voice), name=name)
        await asyncio.to_thread(self._cache.put, key, clip.pcmu, clip.pcma)
        return clip

    async def _once(
        self, key: str, render: Callable[[], Awaitable[Clip]], *, name: str = "", keep: bool = True
    ) -> Clip:
        clip = self._memory.get(key)
        if clip is not None:
            self._memory.move_to_end(key)
            return clip
        task = self._rendering.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._render(key, render, keep=keep))
            self._rendering[key] = task
            task.add_done_callback(lambda done: self._rendered(key, done))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # Cancelled is either who waits, which passes on, or the rendering itself, by close().
            current = asyncio.current_task()
            if task.cancelled() and not (current and current.cancelling()):
                closed = "the prompts were closed"
                raise (AudioFileError(f"{name}: {closed}") if name else SynthesisError(closed)) from None
            raise

    async def _render(self, key: str, render: Callable[[], Awaitable[Clip]], *, keep: bool) -> Clip:
        clip = await render()
        if not keep:
            return clip
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
