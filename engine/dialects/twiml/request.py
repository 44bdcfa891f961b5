"""A document that is asked for, and what is wrong with the answer."""

from __future__ import annotations

from dataclasses import dataclass

from engine.dialects.urls import host_of

__all__ = ("Request", "place_of", "refusal_of")


@dataclass(frozen=True, slots=True)
class Request:
    """What an answer is waited for; the default is a document that came inline."""

    url: str = ""
    about: int = 0
    "Token of the verb whose outcome it tells."
    is_fallback: bool = False
    keeps_document: bool = False
    "Whether the verb after this one follows when there is no document in the answer (D-34)."


def refusal_of(status: int) -> str:
    """Return what is wrong with an HTTP status; empty: nothing."""
    return "" if 200 <= status <= 299 else f"the application gave no document (HTTP {status})"


def place_of(url: str) -> str:
    """Return where a document came from, to be put behind a warning; empty for an inline one."""
    return f" (from {host_of(url)})" if url else ""
