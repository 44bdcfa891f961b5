"""Values as JavaScript has them, on plain data, and how it turns one kind into another (ECMA-262 §7.1, §7.2).

None is null; numbers are doubles, and whole ones below 2**53 are ints here so that they leave as ``1``, not ``1.0``. A
string's length and places count code points, where JavaScript counts UTF-16 units: a character beyond U+FFFF counts
once. No conversion takes longer, or gives more, than its limits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, Literal

from engine.dialects.swml.expressions.errors import ExpressionError

__all__ = (
    "MAX_LIST",
    "MAX_TEXT",
    "UNDEFINED",
    "Undefined",
    "Value",
    "less",
    "loosely_equal",
    "number",
    "number_text",
    "primitive",
    "strictly_equal",
    "to_number",
    "to_text",
    "truthy",
    "type_of",
)

MAX_TEXT = 65536
"Characters of a string."
MAX_LIST = 10_000
MAX_EXACT = 1 << 53
MAX_INT = 1 << 64
"Whole numbers below it come from documents as they are written there."
MAX_NESTING = 100
SPACE = (
    " \t\n\r\v\f\u00a0\ufeff\u2028\u2029\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u202f\u205f\u3000"
)
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_RADIX = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)\Z")
MAX_DIGITS = 1100
"More, and any number is beyond what a double holds, in any base."


class Undefined(Enum):
    """The type of `UNDEFINED`."""

    UNDEFINED = "undefined"

    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED: Final = Undefined.UNDEFINED
"What a name stands for that nothing was set under."

Value = Literal[Undefined.UNDEFINED] | bool | int | float | str | Sequence[Any] | Mapping[str, Any] | None
"Plain data: lists and mappings are never changed by an expression."


def number(value: float) -> int | float:
    """Return a number as it is kept: an int where it is whole and exact."""
    if math.isfinite(value) and value == (whole := int(value)) and abs(whole) < MAX_EXACT:
        if whole == 0 and math.copysign(1.0, value) < 0:
            return -0.0
        return whole
    return float(value)


def as_float(value: float) -> float:
    """Return an int of any size as a double."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def number_text(value: float) -> str:
    """Return a number as JavaScript writes it (ECMA-262 §6.1.6.1.20), without a superfluous ``.0``."""
    if isinstance(value, int):
        if abs(value) < MAX_INT:
            return str(value)
        value = as_float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = (whole + ("" if fraction == "0" else fraction)).lstrip("0")
    point -= len(whole + ("" if fraction == "0" else fraction)) - len(digits)
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+d}"


def _list_text(values: Sequence[Any], room: int, depth: int, separator: str = ",") -> str:
    if depth > MAX_NESTING:
        raise ExpressionError("a list nests too deep")
    parts: list[str] = []
    for index, value in enumerate(values):
        if index:
            room -= len(separator)
        text = "" if value is None or value is UNDEFINED else _text(value, room, depth + 1)
        room -= len(text)
        if room < 0:
            raise ExpressionError("a text gets too long")
        parts.append(text)
    return separator.join(parts)


def _text(value: Any, room: int, depth: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if value is UNDEFINED:
        return "undefined"
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, Mapping):
        return "[object Object]"
    return _list_text(value, room, depth)


def to_text(value: Value) -> str:
    """Return ``String(value)``; an `ExpressionError` where it would be longer than `MAX_TEXT`.

    >>> to_text(0.1 + 0.2), to_text(1e21), to_text([1, None, True]), to_text({})
    ('0.30000000000000004', '1e+21', '1,,true', '[object Object]')
    """
    text = _text(value, MAX_TEXT, 0)
    if len(text) > MAX_TEXT:
        raise ExpressionError("a text gets too long")
    return text


def joined(values: Sequence[Any], separator: str) -> str:
    """Return ``values.join(separator)``, bounded as `to_text`."""
    return _list_text(values, MAX_TEXT, 0, separator)


def primitive(value: Value) -> Value:
    """Return a list or a mapping as the text that it is compared and added as; anything else as it is."""
    if value is None or isinstance(value, str | bool | int | float | Undefined):
        return value
    return to_text(value)


def text_number(text: str) -> int | float:
    """Return ``Number(text)``."""
    text = text.strip(SPACE)
    if not text:
        return 0
    if _DECIMAL.match(text):
        return number(float(text))
    if _RADIX.match(text):
        return whole_number(text[2:], {"x": 16, "o": 8, "b": 2}[text[1].lower()])
    if text in ("Infinity", "+Infinity"):
        return math.inf
    return -math.inf if text == "-Infinity" else math.nan


def whole_number(digits: str, radix: int) -> int | float:
    """Return digits of a base, which all are ones, as a number."""
    digits = digits.lstrip("0")
    if len(digits) > MAX_DIGITS:
        return math.inf
    return number(as_float(int(digits or "0", radix)))


def to_number(value: Value) -> int | float:
    """Return ``Number(value)``."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return value if not isinstance(value, int) or abs(value) < MAX_EXACT else as_float(value)
    if value is None:
        return 0
    if value is UNDEFINED:
        return math.nan
    return text_number(value if isinstance(value, str) else to_text(value))


def truthy(value: Value) -> bool:
    """Return ``Boolean(value)``: null, undefined, 0, NaN and the empty string are false, all else is true."""
    if isinstance(value, bool):
        return value
    if value is None or value is UNDEFINED:
        return False
    if isinstance(value, int | float):
        return value != 0 and value == value
    return value != "" if isinstance(value, str) else True


def type_of(value: Value) -> str:
    """Return ``typeof value``."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "undefined" if value is UNDEFINED else "object"


def strictly_equal(left: Value, right: Value) -> bool:
    """Return ``left === right``: lists and mappings equal only themselves."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return to_number(left) == to_number(right)
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    return left is right


def loosely_equal(left: Value, right: Value) -> bool:
    """Return ``left == right`` (ECMA-262 §7.2.14)."""
    if left is None or left is UNDEFINED:
        return right is None or right is UNDEFINED
    if right is None or right is UNDEFINED:
        return False
    kinds = (type_of(left), type_of(right))
    if kinds[0] == kinds[1]:
        return strictly_equal(left, right)
    left, right = primitive(left), primitive(right)
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    return to_number(left) == to_number(right)


def less(left: Value, right: Value) -> bool | None:
    """Return ``left < right``; None when there is no order (NaN)."""
    left, right = primitive(left), primitive(right)
    if isinstance(left, str) and isinstance(right, str):
        return left < right
    first, second = to_number(left), to_number(right)
    if first != first or second != second:
        return None
    return first < second
