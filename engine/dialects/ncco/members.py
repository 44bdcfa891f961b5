"""Values out of an NCCO's objects, each with its type, its range and its place. Pure.

As the vendor takes them: a boolean may be the text ``true`` or ``false``, a number a text, a text that is all figures
a whole number, and a URL a list with that URL. What is null is as if it were not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from engine.dialects.ncco.actions import EventTarget
from engine.dialects.ncco.errors import NccoError
from engine.dialects.relay.reading import Reader
from engine.dialects.urls import MAX_URL_CHARS, resolved

__all__ = ("Members",)

_ANYWHERE = "https://example.invalid/"
"What a relative URL is tried against: where it leads is known when it is used."


class Members(Reader):
    """The members of one object; ``where`` is its place, such as ``[2].endpoint[0]``."""

    def __init__(self, values: object, where: str) -> None:
        """Raises `NccoError` for what is no object."""
        if not isinstance(values, Mapping):
            raise NccoError(where, "an object is wanted")
        super().__init__(values, f"{where}.")
        self.where = where

    def refuse(self, name: str, wanted: str) -> NoReturn:
        """Raise `NccoError` for a member."""
        raise NccoError(self.path(name), wanted)

    def within(self, name: str) -> Members:
        """Return the members of an object within; of an empty one when it is not there."""
        value = self.value(name)
        return Members({} if value is None else value, self.path(name))

    def within_any(self, name: str) -> Members:
        """Return the members of an object within, as of an empty one when it is none."""
        value = self.value(name)
        return Members(value if isinstance(value, Mapping) else {}, self.path(name))

    def figures(self, name: str, default: str | None, limit: int) -> str:
        """Return a text, as which a whole number is taken too: numbers of telephones, names."""
        value = self.value(name)
        if isinstance(value, int) and not isinstance(value, bool):
            text = str(value)
            if len(text) > limit:
                self.refuse(name, f"at most {limit} characters are wanted")
            return text
        return self.text(name, default, limit).strip()

    def texts(self, name: str, at_most: int, limit: int) -> tuple[str, ...] | None:
        """Return a list of texts, or the one that stands in place of a list; None: it is not there."""
        value = self.value(name)
        if value is None:
            return None
        items = value if isinstance(value, list) else [value]
        if len(items) > at_most:
            self.refuse(name, f"at most {at_most} are wanted")
        if any(not isinstance(item, str) or not item.strip() or len(item) > limit for item in items):
            self.refuse(name, f"a list of texts of at most {limit} characters is wanted")
        return tuple(items)

    def url(self, name: str, *, required: bool = False) -> str:
        """Return a URL of http: or https:, or a relative one, as it is written; empty: it is not there."""
        value = self.value(name)
        if isinstance(value, list):
            if len(value) > 1:
                self.refuse(name, "one URL is taken; give the list one")
            value = value[0] if value else None
        if value is None or value == "":
            if required:
                self.refuse(name, "is missing")
            return ""
        if not isinstance(value, str):
            self.refuse(name, "a URL is wanted")
        url = value.strip()
        if len(url) > MAX_URL_CHARS or not resolved(_ANYWHERE, url):
            self.refuse(name, f"a URL of https: or http:, of at most {MAX_URL_CHARS} characters, is wanted")
        return url

    def event(self, *, required: bool = False) -> EventTarget | None:
        """Return ``eventUrl`` with ``eventMethod``; None: there is none."""
        url = self.url("eventUrl", required=required)
        method = self.choice("eventMethod", "post", ("get", "post"))
        if not url:
            return None
        return EventTarget(url=url, method="GET" if method == "get" else "POST")

    def one_of(self, name: str) -> tuple[object, str]:
        """Return the only item of a list, or what stands in place of a list, and its place."""
        value = self.value(name)
        if isinstance(value, Sequence) and not isinstance(value, str):
            if len(value) > 1:
                self.refuse(name, "one is taken; give the list one, and what follows an action of its own")
            if not value:
                self.refuse(name, "is missing")
            return value[0], f"{self.path(name)}[0]"
        if value is None:
            self.refuse(name, "is missing")
        item: Any = value
        return item, self.path(name)
