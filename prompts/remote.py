"""Audio files from the web as prompts: fetched by whoever owns the network, kept by the rules of RFC 9111.

What is kept is the clip, not the file, and beside it a note: the validators, and until when it is fresh. A fresh clip
is played without a question; a stale one is asked for with If-None-Match and If-Modified-Since (RFC 9110 §13); and when
the server is down it is played all the same, with a warning, unless the server forbade that (RFC 9111 §4.2.4).

A file is what its first bytes say: neither the name nor Content-Type makes a document audio. Only headerless G.711,
which has no first bytes of its own, is told by Content-Type or by the name's ending.

No message holds user, password, query or fragment of an address, and nothing on disk holds an address at all.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import urlsplit

from dsp import g711
from prompts.cache import DiskCache, content_key
from prompts.clip import RATE_HZ, Clip
from prompts.errors import AudioFileError
from prompts.synth.file import G711_LAWS, HEAD_BYTES, MAX_DURATION_S, audio_kind
from prompts.synth.protocol import RENDERER_VERSION, AudioReader

__all__ = ("Fetch", "FetchedFile", "RemoteFiles", "is_url", "shown_url")

TIMEOUT_S = 10.0
"For a file of which there is no copy: the caller hears nothing meanwhile, unless it was fetched ahead."
REVALIDATE_TIMEOUT_S = 2.0
"For a file of which there is a copy that may be played."
RETRY_S = 30.0
"A server that was down is not asked again so soon: each call would wait for it."
HEURISTIC_SHARE = 0.1
"Of the time since Last-Modified, where the server does not say how long a file is fresh: RFC 9111 §4.2.2."
MAX_HEURISTIC_S = 24 * 3600.0
MAX_FRESH_S = 365 * 24 * 3600.0
MAX_FETCH_BYTES = 32 * 1024 * 1024
"Ten minutes of 44.1 kHz mono; each fetch holds as much at a time."
MAX_FETCHES = 8
"At a time, of different files."
MAX_MEMORY_BYTES = 32 * 1024 * 1024
MAX_VALIDATOR_CHARS = 1024
_NAME_CHARS = 40
# RFC 4856 registers audio/PCMU and audio/PCMA, RFC 2046 §4.3 audio/basic; the others are in use.
_G711_TYPES: Mapping[str, str] = {
    "audio/basic": "ulaw",
    "audio/pcmu": "ulaw",
    "audio/ulaw": "ulaw",
    "audio/x-ulaw": "ulaw",
    "audio/mulaw": "ulaw",
    "audio/x-mulaw": "ulaw",
    "audio/pcma": "alaw",
    "audio/alaw": "alaw",
    "audio/x-alaw": "alaw",
}
_UNSAID_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_REMEDY = "serve WAV, FLAC, Ogg or MP3, or headerless 8 kHz G.711 as audio/PCMU or audio/PCMA"
_MAX_AGE = re.compile(r"[0-9]{1,10}\Z")
_UNSHOWN = re.compile(r"[^!-~]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    "Names in lower case."
    body: bytes = b""


class Fetch(Protocol):
    """Gets a file from the web; injected, since this package has no network."""

    async def __call__(self, url: str, *, headers: Mapping[str, str], timeout_s: float, max_bytes: int) -> FetchedFile:
        """Send one GET and return its answer, whatever the status.

        Raises AudioFileError, which shows the address by `shown_url` only, when there is no answer within
        ``timeout_s``, it has more than ``max_bytes``, or the address may not be asked.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """What is known of a file whose clip is kept."""

    clip: str
    "Key of the clip in the cache."
    fresh_until: float
    "Wall time, s."
    may_be_stale: bool
    "Whether it may be played beyond that when the server cannot be asked."
    etag: str = ""
    last_modified: str = ""


class RemoteFiles:
    """Clips of files on the web; the store asks for one address once at a time."""

    def __init__(
        self,
        cache: DiskCache,
        reader: AudioReader,
        fetch: Fetch | None,
        *,
        now: Callable[[], float],
        warn: Callable[[str], None],
    ) -> None:
        """Without ``fetch`` every address is refused. ``now`` is wall time in s; ``warn`` takes what operators read."""
        self._cache = cache
        self._reader = reader
        self._fetch = fetch
        self._now = now
        self._warn = warn
        self._memory: OrderedDict[str, tuple[_Note, Clip]] = OrderedDict()
        self._memory_bytes = 0
        self._turns = asyncio.Semaphore(MAX_FETCHES)

    def at_hand(self, url: str) -> Clip | None:
        """Return the file at ``url`` if it is in memory and fresh; else None, and `clip` has to be awaited."""
        held = self._memory.get(content_key("url", RENDERER_VERSION, url))
        return held[1] if held is not None and self._now() < held[0].fresh_until else None

    async def clip(self, url: str) -> Clip:
        """Return the file at ``url`` as a clip; raise AudioFileError."""
        key = content_key("url", RENDERER_VERSION, url)
        kept = await self._kept(key, url)
        if kept is not None and self._now() < kept[0].fresh_until:
            return kept[1]
        async with self._turns:
            return await self._renewed(key, url, kept)

    async def _renewed(self, key: str, url: str, kept: tuple[_Note, Clip] | None) -> Clip:
        try:
            answer = await self._ask(url, kept[0] if kept else None)
        except AudioFileError as error:
            if kept is None or not kept[0].may_be_stale:
                raise
            self._warn(f"{error}; the copy that was fetched before is played")
            await self._keep(key, replace(kept[0], fresh_until=self._now() + RETRY_S), kept[1])
            return kept[1]
        if answer.status == 304 and kept is not None:
            await self._keep(key, self._note(answer, kept[0].clip, before=kept[0]), kept[1])
            return kept[1]
        if answer.status != 200:
            await self._forget(key)
            raise AudioFileError(f"{shown_url(url)}: the server answers {answer.status}")
        clip_key = await asyncio.to_thread(_clip_key, url, answer)
        clip = await self._decode(url, answer)
        if "no-store" in _cache_control(answer.headers):
            await self._forget(key)
        else:
            await asyncio.to_thread(self._cache.put, clip_key, clip.pcmu, clip.pcma)
            await self._keep(key, self._note(answer, clip_key), clip)
        return clip

    async def _ask(self, url: str, kept: _Note | None) -> FetchedFile:
        if self._fetch is None:
            raise AudioFileError(f"{shown_url(url)}: files from the web are not fetched here")
        headers = {"Accept": "audio/*"}
        if kept is not None and kept.etag:
            headers["If-None-Match"] = kept.etag
        if kept is not None and kept.last_modified:
            headers["If-Modified-Since"] = kept.last_modified
        timeout_s = REVALIDATE_TIMEOUT_S if kept is not None and kept.may_be_stale else TIMEOUT_S
        answer = await self._fetch(url, headers=headers, timeout_s=timeout_s, max_bytes=MAX_FETCH_BYTES)
        # A server in trouble; what else it says is meant.
        if answer.status >= 500 or answer.status in (408, 429):
            raise AudioFileError(f"{shown_url(url)}: the server answers {answer.status}")
        return answer

    # -- what is kept --------------------------------------------------------------------------------------------

    async def _kept(self, key: str, url: str) -> tuple[_Note, Clip] | None:
        held = self._memory.get(key)
        if held is not None:
            self._memory.move_to_end(key)
            return held
        found = await asyncio.to_thread(self._read, key)
        if found is None:
            return None
        note, (pcmu, pcma) = found
        kept = (note, Clip(name=_name(url), pcmu=pcmu, pcma=pcma))
        self._hold(key, *kept)
        return kept

    def _read(self, key: str) -> tuple[_Note, tuple[bytes, bytes]] | None:
        data = self._cache.note(key)
        note = _parsed(data) if data else None
        audio = self._cache.get(note.clip) if note else None
        return (note, audio) if note and audio else None

    async def _keep(self, key: str, note: _Note, clip: Clip) -> None:
        self._hold(key, note, clip)
        await asyncio.to_thread(self._cache.put_note, key, json.dumps(asdict(note)).encode())

    def _hold(self, key: str, note: _Note, clip: Clip) -> None:
        self._drop(key)
        self._memory[key] = (note, clip)
        self._memory_bytes += 2 * len(clip.pcmu)
        while self._memory_bytes > MAX_MEMORY_BYTES and len(self._memory) > 1:
            self._drop(next(iter(self._memory)))

    def _drop(self, key: str) -> None:
        held = self._memory.pop(key, None)
        if held is not None:
            self._memory_bytes -= 2 * len(held[1].pcmu)

    async def _forget(self, key: str) -> None:
        self._drop(key)
        await asyncio.to_thread(self._cache.forget_note, key)

    def _note(self, answer: FetchedFile, clip_key: str, *, before: _Note | None = None) -> _Note:
        headers = answer.headers
        if before is not None and not headers.keys() & {"cache-control", "expires", "date", "last-modified"}:
            # RFC 9110 §15.4.5 wants a 304 to repeat them; of one that does not, we only know that nothing changed.
            return replace(before, fresh_until=self._now() + RETRY_S)
        control = _cache_control(headers)
        return _Note(
            clip=clip_key,
            fresh_until=self._now() + _fresh_s(headers, control, self._now()),
            may_be_stale=not control.keys() & {"must-revalidate", "no-cache"},
            etag=_validator(headers.get("etag", "")) or (before.etag if before else ""),
            last_modified=_validator(headers.get("last-modified", "")) or (before.last_modified if before else ""),
        )

    # -- what was fetched ----------------------------------------------------------------------------------------

    async def _decode(self, url: str, answer: FetchedFile) -> Clip:
        shown, name, body = shown_url(url), _name(url), answer.body
        if not body:
            raise AudioFileError(f"{shown} is empty")
        if len(body) > MAX_FETCH_BYTES:
            raise AudioFileError(f"{shown} has {len(body)} bytes", remedy=f"{MAX_FETCH_BYTES} are the most")
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        kind, law = audio_kind(body[:HEAD_BYTES]), _law(url, media_type)
        if law and kind in ("", "mp3"):
            if len(body) > MAX_DURATION_S * RATE_HZ:
                raise AudioFileError(f"{shown} is longer than {MAX_DURATION_S} s")
            return await asyncio.to_thread(_g711_clip, name, body, law)
        if not kind:
            said = f" (it is served as {_UNSHOWN.sub('?', media_type)[:_NAME_CHARS]})" if media_type else ""
            raise AudioFileError(f"{shown} is no audio that is known here{said}", remedy=_REMEDY)
        path = await asyncio.to_thread(_write_aside, self._cache.directory, body)
        try:
            clip = await self._reader.read(path)
        except AudioFileError as error:
            raise AudioFileError(error.message.replace(str(path), shown), remedy=error.remedy) from None
        finally:
            await asyncio.shield(asyncio.to_thread(path.unlink, missing_ok=True))
        return replace(clip, name=name)


def is_url(source: str) -> bool:
    """Return whether a prompt's file is on the web.

    >>> is_url("HTTPS://example.com/a.wav"), is_url("prompts/a.wav")
    (True, False)
    """
    return source[:8].lower().startswith(("http://", "https://"))


def shown_url(url: str) -> str:
    """Return an address without user, password, query and fragment, for messages and logs.

    >>> shown_url("https://user:secret@example.com:8443/a.wav?sig=1#x")
    'https://example.com:8443/a.wav'
    """
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "the address"
    return _UNSHOWN.sub("?", f"{parts.scheme}://{host}{parts.path}")


def _name(url: str) -> str:
    path = shown_url(url).partition("://")[2].rstrip("/")
    return (PurePosixPath(path).name or "file")[:_NAME_CHARS]


def _law(url: str, media_type: str) -> str:
    """Return the law of headerless G.711, by Content-Type or, where that says nothing, by the name; else ``""``."""
    law = _G711_TYPES.get(media_type, "")
    if not law and media_type in _UNSAID_TYPES:
        law = G711_LAWS.get(PurePosixPath(_name(url)).suffix.lower(), "")
    return law


def _g711_clip(name: str, body: bytes, law: str) -> Clip:
    if law == "ulaw":
        return Clip(name=name, pcmu=body, pcma=g711.ulaw_to_alaw(body))
    return Clip(name=name, pcmu=g711.alaw_to_ulaw(body), pcma=body)


def _clip_key(url: str, answer: FetchedFile) -> str:
    media_type = answer.headers.get("content-type", "")
    return content_key("file", RENDERER_VERSION, url, media_type, hashlib.sha256(answer.body).hexdigest())


def _write_aside(directory: Path, body: bytes) -> Path:
    """Write a file for the worker to read; its name says nothing of what it is. Raises AudioFileError."""
    for place in (directory, None):
        try:
            if place is not None:
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix="fetched", suffix=".part", dir=place)
        except OSError:
            continue
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(body)
        except OSError:
            Path(name).unlink(missing_ok=True)
            continue
        return Path(name)
    raise AudioFileError("there is no room to decode a file that was fetched", remedy="free space for prompts.cache")


def _parsed(data: bytes) -> _Note | None:
    """Return a note as it was written; None for one of another version."""
    try:
        table = json.loads(data)
        note = _Note(**table)
        sound = all(isinstance(text, str) for text in (note.clip, note.etag, note.last_modified))
        return note if sound and isinstance(note.fresh_until, float) and type(note.may_be_stale) is bool else None
    except (ValueError, TypeError, RecursionError):
        return None


def _validator(value: str) -> str:
    """Return what may be sent back as it came: visible ASCII and spaces, of a bearable length."""
    is_plain = value.isascii() and value.isprintable() and len(value) <= MAX_VALIDATOR_CHARS
    return value if is_plain else ""


def _cache_control(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the directives of Cache-Control (RFC 9111 §5.2), names in lower case."""
    directives = {}
    for part in headers.get("cache-control", "").split(","):
        name, _, value = part.partition("=")
        if name.strip():
            directives[name.strip().lower()] = value.strip().strip('"')
    return directives


def _fresh_s(headers: Mapping[str, str], control: Mapping[str, str], now: float) -> float:
    """Return how long an answer is fresh, in s (RFC 9111 §4.2.1; this is a private cache: s-maxage is not for it)."""
    if "no-cache" in control:
        return 0.0
    age_s = float(headers.get("age", "0")) if _MAX_AGE.match(headers.get("age", "")) else 0.0
    date = _seconds(headers.get("date", ""))
    if "max-age" in control:
        # RFC 9111 §4.2.1: what cannot be read is stale.
        fresh_s = float(control["max-age"]) if _MAX_AGE.match(control["max-age"]) else 0.0
    elif "expires" in headers:
        expires = _seconds(headers["expires"])
        fresh_s = expires - (date if date is not None else now) if expires is not None else 0.0
    else:
        modified = _seconds(headers.get("last-modified", ""))
        if modified is None:
            return 0.0
        fresh_s = min((now - modified) * HEURISTIC_SHARE, MAX_HEURISTIC_S)
    return min(max(0.0, fresh_s - age_s), MAX_FRESH_S)


def _seconds(date: str) -> float | None:
    """Return an HTTP date as wall time in s; None when it is none (``Expires: 0`` is usual)."""
    try:
        parsed = parsedate_to_datetime(date)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
