"""Where ``execute`` and ``transfer`` lead: a section, a URL, or a document that stands in the text (§3.6)."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.dialects.swml.errors import ScriptError, SwmlError
from engine.dialects.swml.flow import Script
from engine.dialects.urls import resolved

__all__ = ("Place", "is_inline", "place_of")

_TEXT_BEGINS = ("{", "---", "sections:", "version:")


@dataclass(frozen=True, slots=True)
class Place:
    """One of the three; the others are empty."""

    section: str = ""
    url: str = field(default="", repr=False)
    "Absolute."
    text: str = field(default="", repr=False)


def is_inline(dest: object) -> bool:
    """Return whether a destination is the text of a document, JSON or YAML."""
    return isinstance(dest, str) and (dest.lstrip().startswith(_TEXT_BEGINS) or "\n" in dest.strip())


def place_of(dest: str, script: Script, where: str) -> Place:
    """Return where a destination of a script leads; a section of its own comes first.

    Raises `SwmlError` when it is none of the three.
    """
    if script.has(dest):
        return Place(section=dest)
    if is_inline(dest):
        return Place(text=dest)
    if "/" in dest or "?" in dest:
        url = resolved(script.base, dest)
        if url:
            return Place(url=url)
    raise SwmlError(
        ScriptError.METHOD_EXECUTE_FAILED,
        where,
        "dest is no section of this document, no http(s) URL and no document; write one of them",
    )
