"""Rendered audio, ready for the wire."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("RATE_HZ", "Clip")

RATE_HZ = 8000


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A piece of audio in both G.711 laws, immutable and shared between all legs that play it."""

    name: str
    "What it is, for logs and transcripts: a prompt's key or the first words of a text."
    pcmu: bytes
    "mu-law, 8 kHz, one byte a sample."
    pcma: bytes
    "A-law, 8 kHz, one byte a sample; as long as `pcmu`."

    @property
    def duration_ms(self) -> int:
        """Length in milliseconds, rounded down."""
        return len(self.pcmu) * 1000 // RATE_HZ
