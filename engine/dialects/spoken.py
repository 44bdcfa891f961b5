"""What can be heard on a call, as data, whatever dialect asked for it: ``engine.programs.speech`` makes clips of it.

URLs are as written, perhaps relative to where the document came from.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("Pause", "Play", "Ring", "Say", "Spoken")


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Speak a text."""

    text: str
    "Plain text, or an SSML document (``<speak>...</speak>``) where there was markup."
    language: str = ""
    "As written; empty: the default one."
    voice: str = ""
    loop: int = 1
    "0: until something else happens."


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """Play an audio file, or key digits."""

    url: str = ""
    loop: int = 1
    digits: str = ""
    "0-9 * # and w for half a second of silence; without a ``url``."


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Be silent."""

    length_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """Sound like a telephone that rings at the far end."""

    country: str = "us"
    "ISO 3166 code, in any case; one that is not known sounds like the default one."
    length_s: float = 0.0
    "0: one cadence, which is what a caller takes for one ring."


Spoken = Say | Play | Pause | Ring
