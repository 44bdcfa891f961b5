"""What ``play`` names, to items that can be heard: the URL forms of SWML (`dialects.md` §3.6). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.dialects.spoken import Pause, Play, Ring, Say, Spoken
from engine.dialects.urls import MAX_URL_CHARS, resolved
from engine.errors import ProgramError

__all__ = ("MAX_ITEMS", "MAX_LENGTH_S", "MAX_TEXT_CHARS", "MediaRefused", "items_of")

MAX_ITEMS = 100
"Played one after the other."
MAX_TEXT_CHARS = 10_000
"Of one text that is spoken."
MAX_LENGTH_S = 3600.0
"Of one silence, or one ringing tone."
_SILENCE = re.compile(r"silence: ?([0-9]{0,9}(?:\.[0-9]{0,9})?)", re.ASCII)
_RING = re.compile(r"ring: ?(?:([0-9]{0,9}(?:\.[0-9]{0,9})?): ?)?([A-Za-z]{2})", re.ASCII)
_VOICES = {"female": "woman", "male": "man"}


class MediaRefused(ProgramError):  # noqa: N818
    """An item of a list cannot be played; ``index`` counts from zero."""

    def __init__(self, index: int, reason: str) -> None:
        """``reason`` repeats nothing of the item."""
        super().__init__(f"item {index}: {reason}")
        self.index = index
        self.reason = reason


def items_of(
    urls: Sequence[object], *, say_voice: str = "", say_language: str = "", say_gender: str = ""
) -> tuple[Spoken, ...]:
    """Return what SWML's URLs stand for: ``http(s)://``, ``say:``, ``silence:`` and ``ring:``.

    A ``say:`` without text, as an unset variable leaves it, is passed over. Raises `MediaRefused` for what is no text,
    or of no such form, or out of bounds.
    """
    if len(urls) > MAX_ITEMS:
        raise MediaRefused(MAX_ITEMS, f"at most {MAX_ITEMS} items are played at once")
    items = []
    for index, url in enumerate(urls):
        if not isinstance(url, str):
            raise MediaRefused(index, "a URL is wanted, as text")
        item = _item(index, url.strip(), _voice(say_voice, say_gender), say_language)
        if item is not None:
            items.append(item)
    return tuple(items)


def _voice(voice: str, gender: str) -> str:
    """Return a voice by name, or one of a gender."""
    return voice or _VOICES.get(gender.strip().lower(), "")


def _item(index: int, url: str, voice: str, language: str) -> Spoken | None:
    scheme, _, rest = url.partition(":")
    match scheme.lower():
        case "http" | "https":
            return _file(index, url)
        case "say":
            return _say(index, rest, voice, language)
        case "silence":
            if silence := _SILENCE.fullmatch("silence:" + rest):
                return Pause(length_s=_length(index, silence[1]))
            raise MediaRefused(index, "silence: wants seconds, such as silence:1.5")
        case "ring":
            if ring := _RING.fullmatch("ring:" + rest):
                return Ring(country=ring[2].lower(), length_s=_length(index, ring[1]) if ring[1] else 0.0)
            raise MediaRefused(index, "ring: wants a country and perhaps seconds, such as ring:us or ring:10:us")
    raise MediaRefused(index, "a URL begins with http://, https://, say:, silence: or ring:")


def _file(index: int, url: str) -> Play:
    if not (url.isprintable() and resolved("", url)):
        raise MediaRefused(index, f"an http(s) URL of at most {MAX_URL_CHARS} characters is wanted")
    return Play(url=url)


def _say(index: int, text: str, voice: str, language: str) -> Say | None:
    text = text.strip()
    if len(text) > MAX_TEXT_CHARS:
        raise MediaRefused(index, f"at most {MAX_TEXT_CHARS} characters are spoken at once")
    return Say(text=text, voice=voice, language=language) if text else None


def _length(index: int, text: str) -> float:
    try:
        length = float(text)
    except ValueError:  # of nothing, or a point alone
        length = -1.0
    if not 0 <= length <= MAX_LENGTH_S:
        raise MediaRefused(index, f"a length is a number of 0 to {MAX_LENGTH_S:g} seconds")
    return length
