"""Where a long text may be cut, so that its first sentence is heard while the rest is rendered."""

from __future__ import annotations

import re

__all__ = ("MIN_CHARS", "sentences")

MIN_CHARS = 60
"A piece is at least so long: what is cut into less loses its melody, and gains nothing."
MAX_CHARS = 300
"A sentence beyond this is cut at a comma or a space: some fifteen seconds of speech."
# The end of a sentence, with what closes it, before a space; not a number's point, nor that of an initial.
_END = re.compile(r"(?<!\b\w)[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？।॥](?=\s*\S)|\n\s*\n")
_SOFT = re.compile(r"[,;:](?=\s)")


def sentences(text: str) -> list[str]:
    """Return ``text`` in pieces to be spoken one after the other; nothing but white space between them is lost.

    Text with markup (``<speak>`` …) stays whole: a tag may span sentences.

    >>> sentences("Thank you for calling. Hold.")
    ['Thank you for calling. Hold.']
    """
    text = text.strip()
    if text.startswith("<") or len(text) <= 2 * MIN_CHARS:
        return [text]
    pieces: list[str] = []
    begin = 0
    for end in (found.end() for found in _END.finditer(text)):
        if end - begin >= MIN_CHARS:
            pieces += _bounded(text[begin:end].strip())
            begin = end
    rest = text[begin:].strip()
    if rest and pieces and len(rest) < MIN_CHARS and len(pieces[-1]) + len(rest) < MAX_CHARS:
        pieces[-1] = f"{pieces[-1]} {rest}"
    elif rest:
        pieces += _bounded(rest)
    return pieces


def _bounded(piece: str) -> list[str]:
    """Cut what has no end: at the last comma, else at the last space, that leaves a piece of bearable length."""
    pieces = []
    while len(piece) > MAX_CHARS:
        head = piece[:MAX_CHARS]
        commas = [found.end() for found in _SOFT.finditer(head) if found.end() >= MIN_CHARS]
        cut = commas[-1] if commas else head.rfind(" ")
        if cut <= 0:
            cut = MAX_CHARS
        pieces.append(piece[:cut].strip())
        piece = piece[cut:].strip()
    return [*pieces, piece]
