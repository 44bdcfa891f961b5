"""Parameters of a method, as written or with variables put in, to values of their types (`dialects.md` D-24). Pure.

Laws: a number or a boolean may be text and the other way round; null is as if nothing was given, and so is an empty
text where a number, a boolean or a choice is wanted (an unset variable leaves one). What is wrong raises `SwmlError`
with the parameter's path and what it wants; a value is never repeated. With ``pending``, a text with a placeholder
(``${...}`` or ``%{...}``) passes for anything: its value is checked when it is there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from engine.dialects.swml.errors import ScriptError, SwmlError
from engine.dialects.swml.reading import MAX_NUMBER_CHARS, printable
from engine.dialects.urls import MAX_URL_CHARS, resolved

__all__ = ("MAX_TEXT_CHARS", "Parameters", "has_placeholder", "is_true_or_false", "mapping_of", "text_of", "wrong_type")

MAX_TEXT_CHARS = 65_536
"Of one text; what is spoken, and URLs, have bounds of their own."
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_HUGE = 10**MAX_NUMBER_CHARS
_Choice = TypeVar("_Choice", bound=str)


def has_placeholder(value: object) -> bool:
    """Return whether a text holds ``${`` or ``%{``."""
    return isinstance(value, str) and ("${" in value or "%{" in value)


def wrong_type(where: str, wanted: str) -> SwmlError:
    """Return the error of a value that is of another type."""
    return SwmlError(ScriptError.ELEMENT_WRONG_TYPE, where, f"{wanted} is wanted")


def text_of(value: object, where: str) -> str:
    """Return a text, a number or a boolean as text. Raises `SwmlError` for what is none."""
    match value:
        case str():
            text = value
        case bool():
            text = "true" if value else "false"
        case int():
            if abs(value) >= _HUGE:  # text of it would take time, or be refused by Python
                raise SwmlError(ScriptError.METHOD_PARAMETER_INVALID_VALUE, where, "a number is too large")
            text = str(value)
        case float() if math.isfinite(value):
            text = str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
        case _:
            raise wrong_type(where, "a text")
    if len(text) > MAX_TEXT_CHARS:
        raise SwmlError(
            ScriptError.METHOD_PARAMETER_INVALID_VALUE, where, f"a text has at most {MAX_TEXT_CHARS} characters"
        )
    return text


def is_true_or_false(value: object) -> bool | None:
    """Return a boolean of itself or its text; None when it is none."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return None


def mapping_of(value: object, where: str) -> Mapping[str, Any]:
    """Return an object; nothing at all is an empty one. Raises `SwmlError`."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise wrong_type(where, "an object")
    return value


class Parameters:
    """Those of one method, or of an object within them."""

    def __init__(self, values: object, where: str, known: Collection[str], *, pending: bool = False) -> None:
        """Raises `SwmlError` when ``values`` is no object, or has one that is not ``known``."""
        self.where = where
        self.pending = pending
        self._values = mapping_of(values, where)
        for name in self._values:
            if name not in known:
                raise SwmlError(
                    ScriptError.METHOD_PARAMETER_UNDEFINED,
                    where,
                    f"{printable(name)} is no parameter; known are {', '.join(sorted(known)) or 'none'}",
                )

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def at(self, name: str) -> str:
        """Return the path of a parameter."""
        return f"{self.where}.{name}"

    def raw(self, name: str) -> Any:
        """Return it as it is; None when it was not given."""
        return self._values.get(name)

    def is_pending(self, name: str) -> bool:
        """Return whether its value is known only when the method's turn comes."""
        return self.pending and has_placeholder(self._values.get(name))

    def missing(self, name: str) -> SwmlError:
        """Return the error of one that has to be given."""
        return SwmlError(ScriptError.METHOD_PARAMETER_MISSING, self.where, f"{name} is missing")

    def refused(self, name: str, reason: str) -> SwmlError:
        """Return the error of a value that cannot be taken."""
        return SwmlError(ScriptError.METHOD_PARAMETER_INVALID_VALUE, self.at(name), reason)

    def invalid(self, name: str, wanted: str) -> SwmlError:
        """Return the error of a value that is not what is wanted."""
        return self.refused(name, f"{wanted} is wanted")

    def required(self, *names: str) -> None:
        """Raise `SwmlError` when one was not given."""
        for name in names:
            if name not in self:
                raise self.missing(name)

    def _given(self, name: str) -> Any:
        """Return a value that is to be read now; None to take the default."""
        return None if self.is_pending(name) else self._values.get(name)

    def text(self, name: str, default: str = "", *, max_chars: int = MAX_TEXT_CHARS) -> str:
        """Return a text; an empty one is one."""
        value = self._given(name)
        if value is None:
            return default
        text = text_of(value, self.at(name))
        if len(text) > max_chars:
            raise self.invalid(name, f"a text of at most {max_chars} characters")
        return text

    def filled(self, name: str, *, max_chars: int = MAX_TEXT_CHARS) -> str:
        """Return a text that has to be there, without white space around it."""
        self.required(name)
        text = self.text(name, max_chars=max_chars).strip()
        if not text and not self.is_pending(name):
            raise self.missing(name)
        return text

    def line(self, name: str, *, max_chars: int = 512) -> str:
        """Return a text of one line, without white space around it."""
        text = self.text(name, max_chars=max_chars).strip()
        if not text.isprintable():
            raise self.invalid(name, "one line of printable characters")
        return text

    def url(self, name: str) -> str:
        """Return an http(s) URL, or nothing."""
        text = self.text(name).strip()
        if text and not (text.isprintable() and resolved("", text)):
            raise self.invalid(name, f"an http(s) URL of at most {MAX_URL_CHARS} characters")
        return text

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Return a number of ``low`` to ``high``."""
        value = self._given(name)
        if isinstance(value, str):
            text = value.strip()
            if not text:
                return float(default)
            if not _NUMBER.fullmatch(text):
                raise wrong_type(self.at(name), "a number")
            value = float(text)
        if value is None:
            return float(default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(self.at(name), "a number")
        if not low <= value <= high:
            raise self.invalid(name, f"a number of {low:g} to {high:g}")
        return float(value)

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number of ``low`` to ``high``."""
        value = self.number(name, default, low, high)
        if not value.is_integer():
            raise self.invalid(name, "a whole number")
        return int(value)

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        value = self._given(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            return default
        flag = is_true_or_false(value)
        if flag is None:
            raise wrong_type(self.at(name), "true or false")
        return flag

    def choice(self, name: str, default: _Choice, choices: Collection[_Choice]) -> _Choice:
        """Return one of ``choices``, written in any case."""
        text = self.text(name).strip()
        if not text:
            return default
        for choice in choices:
            if choice.lower() == text.lower():
                return choice
        raise self.invalid(name, f"one of {', '.join(choices)}")

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Return an object as it is; an empty one when none was given."""
        value = self._given(name)
        return {} if value in (None, "") else mapping_of(value, self.at(name))

    def items(self, name: str, *, at_most: int) -> list[Any]:
        """Return a list as it is; an empty one when none was given."""
        value = self._given(name)
        if value in (None, ""):
            return []
        if not isinstance(value, list):
            raise wrong_type(self.at(name), "a list")
        if len(value) > at_most:
            raise self.invalid(name, f"a list of at most {at_most}")
        return value
