"""Attributes of an element as values: what is wrong is warned of, and the default taken, as the vendor does (12200).

Names are case-sensitive, booleans are not; lists may be the text of a Python list (D-16).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Literal, TypeVar, get_args

from engine.dialects.twiml.markup import Element
from engine.dialects.twiml.verbs import Method

__all__ = ("BEEPS", "MAX_WARNINGS", "Attributes", "Warnings", "printable")

MAX_WARNINGS = 20
"Of a document; one more says that there were more."
_NAME_CHARS = 40
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9-]+", re.ASCII)
_Choice = TypeVar("_Choice", bound=str)


class Warnings:
    """What of a document was passed over, with its line."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def add(self, line: int, what: str) -> None:
        """Add one; after `MAX_WARNINGS` only that there are more."""
        if len(self._texts) < MAX_WARNINGS:
            self._texts.append(f"line {line}: {what}")
        elif len(self._texts) == MAX_WARNINGS:
            self._texts.append("there are more")

    @property
    def are_enough(self) -> bool:
        """Whether one more would not be read."""
        return len(self._texts) > MAX_WARNINGS

    def unknown(self, element: Element, where: str) -> None:
        """Add that an element is not known where it stands."""
        self.add(element.line, f"<{printable(element.name)}> is not taken {where}; it is passed over")

    def texts(self) -> tuple[str, ...]:
        """Return them in the order of the document."""
        return tuple(self._texts)


def printable(name: str) -> str:
    """Return a name of the document as it may stand in a log."""
    return "".join(c if c.isalnum() or c in ":_-." else "?" for c in name[:_NAME_CHARS])


class Attributes:
    """Attributes of one element; those that nobody may ask for are warned of at once."""

    def __init__(self, element: Element, warnings: Warnings, known: Collection[str]) -> None:
        self._values = element.attributes
        self._name = element.name
        self._line = element.line
        self._warnings = warnings
        for name in () if warnings.are_enough else self._values:
            if name not in known and not name.startswith("xmlns"):
                warnings.add(self._line, f"attribute {printable(name)} of <{self._name}> is passed over")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def _wrong(self, name: str, wanted: str, taken: str | float) -> None:
        shown = f"{taken:g}" if isinstance(taken, float) else taken or "none"
        self._warnings.add(self._line, f"{name} of <{self._name}> wants {wanted}; {shown} is taken")

    def text(self, name: str, default: str = "") -> str:
        """Return the value without white space around it."""
        return self._values.get(name, default).strip()

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        value = self._values.get(name)
        if value is None:
            return default
        match value.strip().lower():
            case "true":
                return True
            case "false":
                return False
        self._wrong(name, "true or false", "true" if default else "false")
        return default

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Return a number, the nearest one within ``low`` and ``high``."""
        value = self._values.get(name)
        if value is None:
            return default
        if not _NUMBER.fullmatch(value.strip()):
            self._wrong(name, f"a number of {low:g} to {high:g}", default)
            return default
        number = float(value)
        nearest = min(max(number, low), high)
        if nearest != number:
            self._wrong(name, f"a number of {low:g} to {high:g}", nearest)
        return nearest

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number, of a fraction the next one."""
        return math.ceil(self.number(name, default, low, high))

    def method(self, name: str) -> Method:
        """Return GET or POST, in any case."""
        return self.choice(name, "POST", get_args(Method), any_case=True)

    def choice(self, name: str, default: _Choice, choices: Collection[_Choice], *, any_case: bool = False) -> _Choice:
        """Return one of ``choices``."""
        value = self._values.get(name)
        if value is None:
            return default
        value = value.strip()
        for choice in choices:
            if value == choice or (any_case and value.lower() == choice.lower()):
                return choice
        self._wrong(name, f"one of {', '.join(choices)}", default)
        return default

    def some_of(self, name: str, default: tuple[str, ...], choices: Collection[str]) -> tuple[str, ...]:
        """Return those of ``choices`` that the value names, in its order; with none of them the default."""
        value = self._values.get(name)
        if value is None:
            return default
        tokens = dict.fromkeys(_TOKEN.findall(value))
        taken = tuple(token for token in tokens if token in choices)
        if len(taken) < len(tokens) or not tokens:
            self._wrong(name, f"some of {', '.join(choices)}", " ".join(taken or default))
        return taken or default

    def keys(self, name: str, default: str) -> str:
        """Return some of the keys 0-9, ``*`` and ``#``, or none."""
        value = self._values.get(name)
        if value is None:
            return default
        keys = value.strip()
        if len(keys) > 12 or not set(keys) <= set("0123456789*#"):
            self._wrong(name, "some of 0-9, * and #", default)
            return default
        return keys


# Kept here since a `Literal` of the verbs serves as a list of choices too.
BEEPS: tuple[Literal["true", "false", "onEnter", "onExit"], ...] = ("true", "false", "onEnter", "onExit")
