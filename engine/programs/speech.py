"""What is said on a call, items of ``engine.dialects.spoken`` made into clips and played in order.

Laws:

- It begins with the first clip: the first sentence of a text is heard while the next is rendered, and what follows is
  got ready meanwhile, `AHEAD` segments at most.
- What cannot be said or had within ``RENDER_LIMIT_S`` is left out with a warning in the log; what follows is heard.
- ``finished`` is called once, at the end or with the key that ended it; never after `Speech.stop`.
- A text with four digits in a row is kept nowhere: it may repeat what a caller keyed (`prompts.store`). Files come from
  the web alone, by the rules of ``[webhooks] allow``; a document never names a file of this machine.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache

from engine.dialects.spoken import Pause, Play, Ring, Say, Spoken
from engine.dialects.urls import resolved
from engine.errors import MediaError
from engine.log import fields
from engine.payment_run import TOKENS
from engine.program import CallControl
from engine.programs.context import ProgramContext
from engine.programs.tones import ringback
from prompts.clip import RATE_HZ, Clip
from prompts.errors import AudioFileError, PromptError, SynthesisError
from prompts.mastering import silence
from prompts.sentences import sentences
from prompts.store import SENTENCE_PAUSE_MS

__all__ = ("Speech", "clips_of")

log = logging.getLogger("engine.programs.speech")

RENDER_LIMIT_S = 10.0
"Longest that a caller waits for one sentence or one file."
AHEAD = 8
"Segments that are ready before they are played."
MAX_LOOPS = 1000
"Of what is repeated, as the vendor has it; 0 is without end."
MAX_SPOKEN_MS = 4 * 3600 * 1000
"Of all items together; those without end are not counted."
MAX_CLIPS_MS = 600 * 1000
"Of what `clips_of` returns."
KEY_MS = 160
"A key and its pause (`engine.media.leg.Leg.send_digits`)."
WAIT_MS = 500
"Of a ``w`` among the keys."
KEYS_AT_ONCE = 16
CANNOT_SAY = 13520
"The vendor's number for a text that cannot be said."
CANNOT_GET = 11200
"The vendor's number for what cannot be retrieved."
_CODES = {**{str(digit): digit for digit in range(10)}, "*": 10, "#": 11, "A": 12, "B": 13, "C": 14, "D": 15}
_KEYS = re.compile(rf"[wW]+|[0-9*#A-Da-d]{{1,{KEYS_AT_ONCE}}}")
_PRIVATE = re.compile(r"\d(?:[^\w]*\d){3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    """What is played as one."""

    clips: tuple[Clip, ...]
    is_endless: bool = False
    keys: tuple[int, ...] = ()
    "RFC 4733 codes, keyed while the clips, which are silence, are played."

    @property
    def duration_ms(self) -> int:
        return sum(clip.duration_ms for clip in self.clips)


@cache
def _second() -> Clip:
    pcmu, pcma = silence(1000)
    return Clip(name="pause", pcmu=pcmu, pcma=pcma)


def _silent(duration_ms: int) -> tuple[Clip, ...]:
    """Return silence as clips that share their memory."""
    seconds, rest = divmod(duration_ms, 1000)
    clips = (_second(),) * seconds
    if rest:
        pcmu, pcma = silence(rest)
        clips += (Clip(name="pause", pcmu=pcmu, pcma=pcma),)
    return clips


def _ringing(item: Ring) -> tuple[Clip, ...]:
    """Return one cadence of a country's ringing tone, or so many as the length wants, the last one cut short."""
    clip = ringback(item.country)
    samples = min(round(item.length_s * RATE_HZ), MAX_SPOKEN_MS * RATE_HZ // 1000)
    if samples <= 0:
        return (clip,)
    whole, rest = divmod(samples, len(clip.pcmu))
    cut = (replace(clip, pcmu=clip.pcmu[:rest], pcma=clip.pcma[:rest]),) if rest else ()
    return (clip,) * whole + cut


class _Renderer:
    """Makes segments of items; ``call_id`` is for the log."""

    def __init__(self, context: ProgramContext, call_id: str, base_url: str) -> None:
        self._store = context.prompts
        self._locale = context.config.prompts.locale
        self._call_id = call_id
        self._base_url = base_url

    def ahead(self, items: Sequence[Spoken]) -> None:
        """Begin to fetch what will be played."""
        urls = [resolved(self._base_url, item.url) for item in items if isinstance(item, Play) and item.url]
        self._store.ahead([url for url in urls if url])

    async def segments(self, items: Sequence[Spoken]) -> AsyncIterator[_Segment]:
        """Yield what is heard, in order; the last may be endless."""
        for item in items:
            if isinstance(item, Pause):
                yield _Segment(clips=_silent(max(0, min(round(item.length_s * 1000), MAX_SPOKEN_MS))))
                continue
            if isinstance(item, Ring):
                yield _Segment(clips=_ringing(item))
                continue
            if isinstance(item, Play) and item.digits and not item.url:
                for segment in _keyed(item.digits):
                    yield segment
                continue
            heard: list[Clip] = []
            try:
                async for clips in self._clips(item):
                    heard += clips
                    yield _Segment(clips=clips)
            except PromptError as error:
                self._warn(error)
                continue
            if not heard:
                continue
            if item.loop <= 0:
                yield _Segment(clips=tuple(heard), is_endless=True)
                return
            for _ in range(min(item.loop, MAX_LOOPS) - 1):
                yield _Segment(clips=tuple(heard))

    async def _clips(self, item: Say | Play) -> AsyncIterator[tuple[Clip, ...]]:
        """Yield what is heard of an item, piece by piece; raise ``PromptError``."""
        if isinstance(item, Play):
            url = resolved(self._base_url, item.url)
            if not url:
                raise AudioFileError("a file without an address", remedy="give <Play> an absolute http(s) URL")
            yield (await self._limited(self._store.file(url)),)
            return
        text = item.text.strip()
        locale, voice = item.language or self._locale, item.voice
        is_private = _PRIVATE.search(text) is not None
        for number, piece in enumerate(sentences(text) if text else ()):
            try:
                clip = await self._spoken(piece, locale, voice, is_private=is_private)
            except SynthesisError as error:
                if number or (locale, voice) == (self._locale, ""):
                    raise
                # Who calls had better hear it in another voice than not at all.
                self._warn(error, "a text is said in the default voice")
                locale, voice = self._locale, ""
                clip = await self._spoken(piece, locale, voice, is_private=is_private)
            yield (*_silent(SENTENCE_PAUSE_MS), clip) if number else (clip,)

    async def _spoken(self, text: str, locale: str, voice: str, *, is_private: bool) -> Clip:
        if not is_private:
            return await self._limited(self._store.speech(text, locale=locale, voice=voice))
        clip = await self._limited(self._store.synthesizer.synthesize(text, locale=locale, voice=voice))
        return replace(clip, name="say")

    async def _limited(self, rendering: Awaitable[Clip]) -> Clip:
        try:
            async with asyncio.timeout(RENDER_LIMIT_S):
                return await rendering
        except TimeoutError:
            raise PromptError(f"it took more than {RENDER_LIMIT_S:.0f} s") from None

    def _warn(self, error: PromptError, what: str = "something is left out") -> None:
        code = CANNOT_GET if isinstance(error, AudioFileError) else CANNOT_SAY
        log.warning("%s: %s", what, error, extra=fields(call=self._call_id, code=code))


def _keyed(digits: str) -> list[_Segment]:
    """Return keys and the pauses between them; what is neither is left out."""
    segments: list[_Segment] = []
    for part in _KEYS.findall(digits):
        if part[0] in "wW":
            segments.append(_Segment(clips=_silent(WAIT_MS * len(part))))
        else:
            keys = tuple(_CODES[key] for key in part.upper())
            segments.append(_Segment(clips=_silent(KEY_MS * len(keys)), keys=keys))
    return segments


async def clips_of(items: Sequence[Spoken], base_url: str, *, context: ProgramContext, call_id: str) -> list[Clip]:
    """Return what is heard of items, ready to be played; what cannot be said or had is left out with a warning.

    An item without end is there once, keys are not there, and no more than `MAX_CLIPS_MS` in all.
    """
    renderer = _Renderer(context, call_id, base_url)
    renderer.ahead(items)
    clips: list[Clip] = []
    left_ms = MAX_CLIPS_MS
    async for segment in renderer.segments(items):
        left_ms -= segment.duration_ms
        if left_ms < 0:
            break
        if not segment.is_endless and not segment.keys:
            clips += segment.clips
    return clips


class Speech:
    """What is said under one token of a document: made, started, and told what happens on the call."""

    def __init__(
        self,
        items: Sequence[Spoken],
        call: CallControl,
        context: ProgramContext,
        finished: Callable[[bool], None],
        *,
        base_url: str = "",
        interruptible: bool = False,
        begun: Callable[[int], None] = lambda duration_ms: None,
        gives_way: bool = False,
    ) -> None:
        """``call`` is a proxy of the call; ``finished`` takes whether a key ended it, and must not hold the program.

        ``begun`` is told of each playlist that was handed to the call and how long it is, of an endless one its first
        time; nor must it. With ``gives_way`` nothing begins while a payment is in progress: then it is over.
        """
        self._items = tuple(items)
        self._call = call
        self._call_id = call.facts.call_id
        self._renderer = _Renderer(context, self._call_id, base_url)
        self._finished = finished
        self._interruptible = interruptible
        self._begun = begun
        self._gives_way = gives_way
        self._ready: deque[_Segment] = deque()
        self._room = asyncio.Semaphore(AHEAD)
        self._all_ready = False
        self._playing = 0
        "Token of what plays; 0: nothing."
        self._left_ms = MAX_SPOKEN_MS
        self._keyed = False
        self._over = False
        self._rendering: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._renderer.ahead(self._items)
        self._rendering = asyncio.get_running_loop().create_task(self._render())

    def play_finished(self, token: int, by_digit: bool) -> None:
        """Note that a playlist is over; those of others are passed over."""
        if token != self._playing or self._over:
            return
        self._playing = 0
        if by_digit or self._keyed:
            self._finish(by_digit=True)
        else:
            self._next()

    def digit(self) -> None:
        """Note that a key was pressed: it ends what may be interrupted, also one that came as INFO or in a gap."""
        if not self._interruptible or self._over:
            return
        self._keyed = True
        if self._playing:
            self._call.stop_playing()
        else:
            self._finish(by_digit=True)

    def stop(self) -> None:
        """Be silent; nothing more is told."""
        if self._over:
            return
        self._end()
        if self._playing:
            self._call.stop_playing()

    def give_way(self, token: int) -> bool:
        """Be over, and leave alone what took the place of playlist ``token``; False when that was not ours."""
        if token != self._playing or self._over:
            return False
        self._playing = 0
        self._end()
        return True

    async def done(self) -> None:
        """Wait until nothing is rendered any more."""
        if self._rendering is not None:
            with suppress(asyncio.CancelledError):
                await self._rendering

    async def _render(self) -> None:
        try:
            async for segment in self._renderer.segments(self._items):
                await self._room.acquire()
                self._ready.append(segment)
                if not self._playing:
                    self._next()
        except Exception as error:
            # No text of the exception: it may hold what was to be said.
            log.error("a text cannot be said", extra=fields(call=self._call_id, error=type(error).__name__))
        self._all_ready = True
        if not self._playing and not self._over:
            self._next()

    def _next(self) -> None:
        """Play all that is ready, or come to the end, or wait for more."""
        if not self._ready:
            if self._all_ready:
                self._finish(by_digit=False)
            return
        if self._gives_way and self._call.guard.busy:
            self._finish(by_digit=False)
            return
        segment = self._ready.popleft()
        self._room.release()
        clips = list(segment.clips)
        while not segment.is_endless and not segment.keys and self._ready:
            following = self._ready[0]
            if following.is_endless or following.keys:
                break
            clips += self._ready.popleft().clips
            self._room.release()
        if not segment.is_endless:
            self._left_ms -= sum(clip.duration_ms for clip in clips)
            if self._left_ms < 0:
                log.warning("a document says too much: the rest is left out", extra=fields(call=self._call_id))
                self._finish(by_digit=False)
                return
        self._playing = next(TOKENS)
        try:
            if segment.keys:
                self._call.send_digits(segment.keys)
            self._call.play(clips, self._playing, interruptible=self._interruptible, loop=segment.is_endless)
        except MediaError as error:
            log.warning("a document cannot be heard: %s", error, extra=fields(call=self._call_id))
            self._finish(by_digit=False)
            return
        self._begun(sum(clip.duration_ms for clip in clips))

    def _finish(self, *, by_digit: bool) -> None:
        if self._over:
            return
        self._end()
        self._finished(by_digit)

    def _end(self) -> None:
        self._over = True
        self._ready.clear()
        if self._rendering is not None and self._rendering is not asyncio.current_task():
            self._rendering.cancel()
