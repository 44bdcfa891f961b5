"""Values as documents and forms write them: text, numbers and booleans stand for each other (`dialects.md` D-24).

Each function returns the value meant, or raises ValueError with what was expected, in words that follow "field: ".
What was given is never repeated in them: it may be anything, card numbers included.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType

from engine.pay.fields import Step
from engine.pay.prompt_rules import tokens

__all__ = ("read_flag", "read_names", "read_number", "read_parameters", "read_steps", "read_text", "read_whole")

_WHOLE = re.compile(r"[+-]?[0-9]{1,9}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}(?:\.[0-9]{1,9})?")
_FLAGS = {"true": True, "false": False}


def read_text(value: object) -> str:
    """Return text; a number as its digits, a boolean as ``true`` or ``false``.

    A float is taken by its shortest text, which is what the document said; nothing is calculated with it.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int | float | Decimal):
        return str(value)
    raise ValueError("text or a number")


def read_flag(value: object) -> bool:
    """Return a boolean, also of ``true`` and ``false`` in any case."""
    flag = _FLAGS.get(value.strip().lower()) if isinstance(value, str) else value
    if isinstance(flag, bool):
        return flag
    raise ValueError("true or false")


def read_whole(value: object) -> int:
    """Return a whole number, also of its text."""
    text = "" if isinstance(value, bool) else read_text(value)
    if _WHOLE.fullmatch(text) is None:
        raise ValueError("a whole number")
    return int(text)


def read_number(value: object) -> float:
    """Return a finite number, or infinity where infinity itself is given; also of a decimal text."""
    if isinstance(value, float) and value == math.inf:
        return value
    text = "" if isinstance(value, bool) else read_text(value)
    if _NUMBER.fullmatch(text) is None:
        raise ValueError("a number")
    return float(text)


def read_names(value: object) -> tuple[str, ...]:
    """Return names in small letters, of a list or of one text in any of the forms that `tokens` knows (D-11, D-16)."""
    if isinstance(value, str):
        return tokens(value)
    if isinstance(value, Iterable) and not isinstance(value, bytes | Mapping):
        given = tuple(value)
        if all(isinstance(name, str) for name in given):
            return tuple(str(name).strip().lower() for name in given)
    raise ValueError("names, in a list or with spaces between them")


def read_steps(value: object) -> frozenset[Step]:
    """Return steps by their canonical names."""
    names = read_names(value)
    if any(name not in tuple(Step) for name in names):
        raise ValueError("names of steps")
    return frozenset(Step(name) for name in names)


def read_parameters(value: object) -> Mapping[str, str]:
    """Return custom parameters as one flat mapping of texts, of an object or of a list of ``{name, value}``.

    Of one name given twice the last counts (`dialects.md` §1.10).
    """
    pairs: list[tuple[object, object]] = []
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value):
        pairs = [(item.get("name"), item.get("value")) for item in value]
    else:
        raise ValueError("an object, or a list of name and value")
    if not all(isinstance(name, str) and name for name, _ in pairs):
        raise ValueError("each with a name")
    try:
        return MappingProxyType({str(name): read_text(text) for name, text in pairs})
    except ValueError:
        raise ValueError("values of text or numbers, without a further level") from None
