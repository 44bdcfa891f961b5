"""The functions and methods that expressions may call (ECMA-262 §19.2, §21, §22.1.3, §23.1.3), all of them bounded."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from types import MappingProxyType

from engine.dialects.swml.expressions.errors import ExpressionError
from engine.dialects.swml.expressions.values import (
    MAX_LIST,
    MAX_TEXT,
    SPACE,
    UNDEFINED,
    Value,
    joined,
    number,
    number_text,
    strictly_equal,
    text_number,
    to_number,
    to_text,
    truthy,
    whole_number,
)

__all__ = ("FUNCTIONS", "bounded", "call_method")

Arguments = Sequence[Value]
_INTEGER = re.compile(r"([+-]?)(0[xX])?([0-9a-zA-Z]*)")
_FLOAT = re.compile(r"[+-]?(?:Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")
_EXACT = Context(prec=450)
"Enough for any double below 1e21 with 100 places."


def bounded(text: str) -> str:
    """Return a text that is not too long."""
    if len(text) > MAX_TEXT:
        raise ExpressionError("a text gets too long")
    return text


def _argument(arguments: Arguments, index: int) -> Value:
    return arguments[index] if index < len(arguments) else UNDEFINED


def _whole(value: Value, default: float = 0) -> float:
    """Return an argument as a whole number (ToIntegerOrInfinity); ``default`` where it was not given."""
    if value is UNDEFINED:
        return default
    given = to_number(value)
    if math.isnan(given):
        return 0
    return given if math.isinf(given) else math.trunc(given)


def _within(place: float, size: int) -> int:
    return int(min(max(place, 0), size))


def _from_end(place: float, size: int) -> int:
    """Return a place that counts from the end when it is below zero."""
    return _within(place + size if place < 0 else place, size)


# -- functions


def _parse_int(arguments: Arguments) -> Value:
    radix = int(min(max(_whole(_argument(arguments, 1)), -1), 99))
    match = _INTEGER.match(to_text(_argument(arguments, 0)).lstrip(SPACE))
    if match is None or not (radix == 0 or 2 <= radix <= 36):
        return math.nan
    sign, prefix, written = match.groups()
    if prefix and radix not in (0, 16):
        prefix, written = None, "0"
    base = radix or (16 if prefix else 10)
    end = 0
    while end < len(written) and int(written[end], 36) < base:
        end += 1
    if not end:
        return math.nan
    value = whole_number(written[:end], base)
    return -float(value) if sign == "-" and not value else -value if sign == "-" else value


def _parse_float(arguments: Arguments) -> Value:
    match = _FLOAT.match(to_text(_argument(arguments, 0)).lstrip(SPACE))
    return text_number(match.group()) if match else math.nan


def _number(arguments: Arguments) -> Value:
    return to_number(arguments[0]) if arguments else 0


def _string(arguments: Arguments) -> Value:
    return to_text(arguments[0]) if arguments else ""


def _boolean(arguments: Arguments) -> Value:
    return truthy(_argument(arguments, 0))


def _is_nan(arguments: Arguments) -> Value:
    return math.isnan(to_number(_argument(arguments, 0)))


def _rounding(function: Callable[[float], int]) -> Callable[[Arguments], Value]:
    def rounded(arguments: Arguments) -> Value:
        value = float(to_number(_argument(arguments, 0)))
        return number(math.copysign(function(value), value)) if math.isfinite(value) else value

    return rounded


def _nearest(value: float) -> int:
    below = math.floor(value)
    return below if value - below < 0.5 else below + 1


def _abs(arguments: Arguments) -> Value:
    return number(abs(to_number(_argument(arguments, 0))))


def _extreme(choose: Callable[[Sequence[float]], float], empty: float) -> Callable[[Arguments], Value]:
    def chosen(arguments: Arguments) -> Value:
        values = [to_number(argument) for argument in arguments]
        if any(math.isnan(value) for value in values):
            return math.nan
        return choose(values) if values else empty

    return chosen


FUNCTIONS: Mapping[str, Callable[[Arguments], Value]] = MappingProxyType(
    {
        "parseInt": _parse_int,
        "parseFloat": _parse_float,
        "Number": _number,
        "String": _string,
        "Boolean": _boolean,
        "isNaN": _is_nan,
        "Math.floor": _rounding(math.floor),
        "Math.ceil": _rounding(math.ceil),
        "Math.round": _rounding(_nearest),
        "Math.abs": _abs,
        "Math.min": _extreme(min, math.inf),
        "Math.max": _extreme(max, -math.inf),
    }
)


# -- methods of texts


def _text_of(arguments: Arguments, index: int) -> str:
    return to_text(_argument(arguments, index))


def _substring(text: str, arguments: Arguments) -> Value:
    size = len(text)
    ends = (_within(_whole(_argument(arguments, 0)), size), _within(_whole(_argument(arguments, 1), size), size))
    return text[min(ends) : max(ends)]


def _sliced(text: str, arguments: Arguments) -> Value:
    size = len(text)
    start = _from_end(_whole(_argument(arguments, 0)), size)
    return text[start : max(start, _from_end(_whole(_argument(arguments, 1), size), size))]


def _substr(text: str, arguments: Arguments) -> Value:
    size = len(text)
    start = _from_end(_whole(_argument(arguments, 0)), size)
    return text[start : start + _within(_whole(_argument(arguments, 1), size), size)]


def _includes(text: str, arguments: Arguments) -> Value:
    return _text_of(arguments, 0) in text[_within(_whole(_argument(arguments, 1)), len(text)) :]


def _starts_with(text: str, arguments: Arguments) -> Value:
    return text.startswith(_text_of(arguments, 0), _within(_whole(_argument(arguments, 1)), len(text)))


def _ends_with(text: str, arguments: Arguments) -> Value:
    return text[: _within(_whole(_argument(arguments, 1), len(text)), len(text))].endswith(_text_of(arguments, 0))


def _index_of(text: str, arguments: Arguments) -> Value:
    return text.find(_text_of(arguments, 0), _within(_whole(_argument(arguments, 1)), len(text)))


def _last_index_of(text: str, arguments: Arguments) -> Value:
    sought = _text_of(arguments, 0)
    given = to_number(_argument(arguments, 1))
    last = math.inf if math.isnan(given) else math.trunc(given) if math.isfinite(given) else given
    return text.rfind(sought, 0, _within(last, len(text)) + len(sought))


def _split(text: str, arguments: Arguments) -> Value:
    limit = _argument(arguments, 1)
    if _argument(arguments, 0) is UNDEFINED:
        parts = [text]
    else:
        separator = _text_of(arguments, 0)
        if (text.count(separator) if separator else len(text)) >= MAX_LIST:
            raise ExpressionError("a list gets too long")
        parts = text.split(separator) if separator else list(text)
    return parts if limit is UNDEFINED else parts[: _within(_whole(limit), MAX_LIST)]


def _replacing(count: int) -> Callable[[str, Arguments], Value]:
    def replaced(text: str, arguments: Arguments) -> Value:
        old, new = _text_of(arguments, 0), _text_of(arguments, 1)
        times = min(text.count(old), count)
        if len(text) + times * (len(new) - len(old)) > MAX_TEXT:
            raise ExpressionError("a text gets too long")
        return text.replace(old, new, times)

    return replaced


def _char_at(text: str, arguments: Arguments) -> Value:
    place = _whole(_argument(arguments, 0))
    return text[int(place)] if 0 <= place < len(text) else ""


def _at(text: str, arguments: Arguments) -> Value:
    place = _whole(_argument(arguments, 0))
    place += len(text) if place < 0 else 0
    return text[int(place)] if 0 <= place < len(text) else UNDEFINED


def _concat(text: str, arguments: Arguments) -> Value:
    for argument in arguments:
        text = bounded(text + to_text(argument))
    return text


def _filling(text: str, arguments: Arguments) -> str:
    size = _whole(_argument(arguments, 0))
    filler = " " if _argument(arguments, 1) is UNDEFINED else _text_of(arguments, 1)
    missing = size - len(text)
    if missing <= 0 or not filler:
        return ""
    if size > MAX_TEXT:
        raise ExpressionError("a text gets too long")
    return (filler * (int(missing) // len(filler) + 1))[: int(missing)]


def _repeat(text: str, arguments: Arguments) -> Value:
    times = _whole(_argument(arguments, 0))
    if times < 0 or math.isinf(times):
        raise ExpressionError("a text cannot be repeated so often")
    if len(text) * times > MAX_TEXT:
        raise ExpressionError("a text gets too long")
    return text * int(times) if text else ""


_TEXT_METHODS: Mapping[str, Callable[[str, Arguments], Value]] = {
    "toUpperCase": lambda text, _: bounded(text.upper()),
    "toLowerCase": lambda text, _: bounded(text.lower()),
    "trim": lambda text, _: text.strip(SPACE),
    "trimStart": lambda text, _: text.lstrip(SPACE),
    "trimEnd": lambda text, _: text.rstrip(SPACE),
    "toString": lambda text, _: text,
    "substring": _substring,
    "slice": _sliced,
    "substr": _substr,
    "includes": _includes,
    "startsWith": _starts_with,
    "endsWith": _ends_with,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "split": _split,
    "replace": _replacing(1),
    "replaceAll": _replacing(MAX_TEXT + 1),
    "charAt": _char_at,
    "at": _at,
    "concat": _concat,
    "padStart": lambda text, arguments: bounded(_filling(text, arguments) + text),
    "padEnd": lambda text, arguments: bounded(text + _filling(text, arguments)),
    "repeat": _repeat,
}


# -- methods of lists


def _joined(values: Sequence[Value], arguments: Arguments) -> Value:
    separator = _argument(arguments, 0)
    return joined(values, "," if separator is UNDEFINED else to_text(separator))


def _place_of(values: Sequence[Value], arguments: Arguments) -> Value:
    sought = _argument(arguments, 0)
    return next((place for place, value in enumerate(values) if strictly_equal(value, sought)), -1)


def _last_place_of(values: Sequence[Value], arguments: Arguments) -> Value:
    sought = _argument(arguments, 0)
    return next((place for place in reversed(range(len(values))) if strictly_equal(values[place], sought)), -1)


def _holds(values: Sequence[Value], arguments: Arguments) -> Value:
    sought = _argument(arguments, 0)
    if isinstance(sought, float) and math.isnan(sought):
        return any(isinstance(value, float) and math.isnan(value) for value in values)
    return any(strictly_equal(value, sought) for value in values)


def _part(values: Sequence[Value], arguments: Arguments) -> Value:
    size = len(values)
    start = _from_end(_whole(_argument(arguments, 0)), size)
    return list(values[start : _from_end(_whole(_argument(arguments, 1), size), size)])


def _appended(values: Sequence[Value], arguments: Arguments) -> Value:
    longer = list(values)
    for argument in arguments:
        if isinstance(argument, Sequence) and not isinstance(argument, str):
            longer.extend(argument)
        else:
            longer.append(argument)
        if len(longer) > MAX_LIST:
            raise ExpressionError("a list gets too long")
    return longer


def _item_at(values: Sequence[Value], arguments: Arguments) -> Value:
    place = _whole(_argument(arguments, 0))
    place += len(values) if place < 0 else 0
    return values[int(place)] if 0 <= place < len(values) else UNDEFINED


_LIST_METHODS: Mapping[str, Callable[[Sequence[Value], Arguments], Value]] = {
    "join": _joined,
    "toString": lambda values, _: to_text(values),
    "indexOf": _place_of,
    "lastIndexOf": _last_place_of,
    "includes": _holds,
    "slice": _part,
    "concat": _appended,
    "at": _item_at,
}


# -- methods of everything else


def _to_fixed(value: float, arguments: Arguments) -> str:
    places = _whole(_argument(arguments, 0))
    if not 0 <= places <= 100:
        raise ExpressionError("a number has no so many places")
    value = float(to_number(value))
    if not math.isfinite(value) or abs(value) >= 1e21:
        return number_text(value)
    # The nearest, and the larger of two: of the value that the double has, not of what was written.
    exact = Decimal(abs(value)).quantize(Decimal(1).scaleb(-int(places)), ROUND_HALF_UP, _EXACT)
    return f"{'-' if value < 0 else ''}{exact:f}"


def _number_method(value: float, method: str, arguments: Arguments) -> Value:
    if method == "toFixed":
        return _to_fixed(value, arguments)
    if method == "toString" and _whole(_argument(arguments, 0), 10) == 10:
        return number_text(value)
    raise ExpressionError("a method that a number does not have here")


def call_method(value: Value, method: str, arguments: Arguments) -> Value:
    """Return ``value.method(arguments)``; an `ExpressionError` where the value has no such method."""
    if isinstance(value, str):
        if of_text := _TEXT_METHODS.get(method):
            return of_text(value, arguments)
        raise ExpressionError("a method that a text does not have here")
    if value is None or value is UNDEFINED:
        raise ExpressionError("a method of nothing")
    if method == "toString" and isinstance(value, bool | Mapping):
        return to_text(value)
    if isinstance(value, bool | Mapping):
        raise ExpressionError("a method that this value does not have here")
    if isinstance(value, int | float):
        return _number_method(value, method, arguments)
    if of_list := _LIST_METHODS.get(method):
        return of_list(value, arguments)
    raise ExpressionError("a method that a list does not have here")
