"""What is to be spoken, in pieces: stretches of text with a rate and an emphasis, and pauses.

Markup (`prompts.ssml`) is taken apart into pieces before a synthesiser sees it, so each maps the same few things in its
own way, and no text can become markup again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias
from xml.sax.saxutils import escape

__all__ = (
    "MAX_PAUSE_MS",
    "MAX_RATE",
    "MIN_RATE",
    "Emphasis",
    "Pause",
    "Piece",
    "Span",
    "Speech",
    "as_speech",
    "to_ssml",
    "without_controls",
)

MIN_RATE, MAX_RATE = 0.5, 2.0
"Of the usual speed. Slower is no speech any more, faster is no use to a caller."
MAX_PAUSE_MS = 10_000

# XML 1.0 §2.2 has no such characters, not even escaped.
_NOT_XML = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Emphasis(StrEnum):
    """SSML 1.1 §3.2.2."""

    STRONG = "strong"
    MODERATE = "moderate"
    NONE = "none"
    REDUCED = "reduced"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text, spoken in one way; the white space at its ends is what parts it from its neighbours."""

    text: str
    rate: float = 1.0
    "Of the usual speed, `MIN_RATE` to `MAX_RATE`."
    emphasis: Emphasis | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence."""

    ms: int
    "1 to `MAX_PAUSE_MS`."


Piece: TypeAlias = Span | Pause


@dataclass(frozen=True, slots=True)
class Speech:
    """Pieces, in order."""

    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """The words alone."""
        said = (piece.text if isinstance(piece, Span) else " " for piece in self.pieces)
        return "".join(said)

    def parted(self) -> tuple[int, Speech, int]:
        """Return the pauses at both ends in ms, and what is between them, which begins and ends with words if any."""
        first = next((index for index, piece in enumerate(self.pieces) if isinstance(piece, Span)), len(self.pieces))
        last = next(
            (index for index in range(len(self.pieces), first, -1) if isinstance(self.pieces[index - 1], Span)), first
        )
        before, after = (
            sum(piece.ms for piece in pieces if isinstance(piece, Pause))
            for pieces in (self.pieces[:first], self.pieces[last:])
        )
        return before, Speech(self.pieces[first:last]), after

    @property
    def is_plain(self) -> bool:
        """Whether it is a text and nothing more."""
        return all(isinstance(piece, Span) and piece.rate == 1.0 and not piece.emphasis for piece in self.pieces)

    @property
    def key(self) -> str:
        """Different for what sounds different: the part of a cache key that the text is otherwise."""
        if self.is_plain:
            return self.text
        return "\x1f".join(
            f"{piece.rate:g} {piece.emphasis or ''} {piece.text}" if isinstance(piece, Span) else f"\x1e{piece.ms}"
            for piece in self.pieces
        )


def as_speech(text: str | Speech) -> Speech:
    """Return a text as speech of one span; speech as it is."""
    return text if isinstance(text, Speech) else Speech((Span(text),))


def without_controls(text: str) -> str:
    """Return a text with spaces for what cannot stand in XML."""
    return _NOT_XML.sub(" ", text)


def to_ssml(speech: Speech, clean: Callable[[str], str] = without_controls) -> str:
    """Return pieces as an SSML document, for a synthesiser that reads one; ``clean`` is applied to each text.

    Only ``speak``, ``break``, ``prosody`` and ``emphasis`` are written, and every character of a text is escaped. A
    ``break`` never stands inside ``prosody``: espeak-ng would stretch it.
    """
    parts = []
    for piece in speech.pieces:
        if isinstance(piece, Pause):
            parts.append(f'<break time="{piece.ms}ms"/>')
            continue
        said = escape(clean(piece.text))
        if piece.emphasis:
            said = f'<emphasis level="{piece.emphasis}">{said}</emphasis>'
        if piece.rate != 1.0:
            said = f'<prosody rate="{round(piece.rate * 100)}%">{said}</prosody>'
        parts.append(said)
    return f"<speak>{''.join(parts)}</speak>"
