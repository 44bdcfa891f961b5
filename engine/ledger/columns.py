"""Texts of the ledger's columns: the same rules on SQLite, which takes nearly anything, and on PostgreSQL.

PostgreSQL knows no NUL character, its UTF-8 no lone surrogates, and it refuses a text longer than its column. What
peers, gateways and callers send is made to fit; what identifies something is refused, because a cut identity would be
another one.
"""

from __future__ import annotations

import re

from sqlalchemy import Dialect, String, Text
from sqlalchemy.types import TypeDecorator

__all__ = ("ERROR_TEXT", "ErrorText", "ExactText", "PeerText", "storable")

ERROR_TEXT = 500
"Longest error message that is kept, in characters."

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Return the text with U+FFFD for what no database keeps: NUL and lone surrogates."""
    return text if text.isascii() and "\x00" not in text else _UNSTORABLE.sub("\ufffd", text)


class PeerText(TypeDecorator[str]):
    """A text that others wrote, cut to the column's length in characters."""

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Make the text fit."""
        return None if value is None else storable(value)[: self.length]


class ErrorText(TypeDecorator[str]):
    """A message that others wrote, cut to ``ERROR_TEXT`` characters."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Make the text fit."""
        return None if value is None else storable(value)[:ERROR_TEXT]


class ExactText(TypeDecorator[str]):
    """A text that counts as it is: an identity, an amount, a currency."""

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Refuse what would have to be changed; raise ``ValueError``, which says no word of the text."""
        if value is None:
            return None
        if len(value) > self.length:
            raise ValueError(f"an identity or amount is longer than {self.length} characters")
        if storable(value) != value:
            raise ValueError("an identity or amount holds characters that no database keeps")
        return value
