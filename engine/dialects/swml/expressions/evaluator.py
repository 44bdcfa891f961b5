"""Evaluates what was read (ECMA-262 §13).

Laws: nothing is reached but the data that ``lookup`` gives and what is written in the expression; nothing is changed;
no more than `MAX_STEPS` are taken, no text is longer than `MAX_TEXT`, no list than `MAX_LIST`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from engine.dialects.swml.expressions.errors import ExpressionError
from engine.dialects.swml.expressions.functions import FUNCTIONS, bounded, call_method
from engine.dialects.swml.expressions.nodes import (
    Call,
    Choice,
    Function,
    Infix,
    List,
    Literal,
    Member,
    Name,
    Node,
    Object,
    Placeholder,
    Postfix,
    Prefix,
    Template,
)
from engine.dialects.swml.expressions.parser import checked_key, parse
from engine.dialects.swml.expressions.values import (
    UNDEFINED,
    Value,
    less,
    loosely_equal,
    number,
    primitive,
    strictly_equal,
    to_number,
    to_text,
    truthy,
    type_of,
)

__all__ = ("MAX_STEPS", "Lookup", "evaluate")

Lookup = Callable[[str], Value]
MAX_STEPS = 10_000
"Of one evaluation: one for each node, and one for ten values that a method looks at."


def evaluate(text: str, lookup: Lookup, *, placeholders: bool = False) -> Value:
    """Return the value of an expression; ``lookup(name)`` gives that of a root name, or `UNDEFINED`.

    With ``placeholders``, ``${...}`` and ``%{...}`` may stand in it, also in its texts: each is evaluated in its place,
    so that no value is ever read as a part of the expression. Lists and mappings in the value are those of ``lookup``.
    An `ExpressionError` tells what cannot be read or done, or takes too much.

    >>> evaluate("prompt_value == 1 ? 'one' : 'other'", {"prompt_value": "1"}.get)
    'one'
    """
    return _Evaluation(lookup).value(parse(text, placeholders=placeholders))


def _divided(left: float, right: float) -> float:
    if right:
        return left / right
    if not left or math.isnan(left) or math.isnan(right):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def _remainder(left: float, right: float) -> float:
    if not right or math.isinf(left) or math.isnan(left) or math.isnan(right):
        return math.nan
    return math.fmod(left, right)


_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _divided,
    "%": _remainder,
}
_COMPARISONS: Mapping[str, Callable[[Value, Value], bool | None]] = {
    "==": loosely_equal,
    "!=": lambda left, right: not loosely_equal(left, right),
    "===": strictly_equal,
    "!==": lambda left, right: not strictly_equal(left, right),
    "<": less,
    ">": lambda left, right: less(right, left),
    "<=": lambda left, right: less(right, left) is False,
    ">=": lambda left, right: less(left, right) is False,
}


def _added(left: Value, right: Value) -> Value:
    left, right = primitive(left), primitive(right)
    if isinstance(left, str) or isinstance(right, str):
        return bounded(to_text(left) + to_text(right))
    return number(float(to_number(left)) + float(to_number(right)))


def _applied(operator: str, left: Value, right: Value) -> Value:
    if operator == "+":
        return _added(left, right)
    if arithmetic := _ARITHMETIC.get(operator):
        return number(arithmetic(float(to_number(left)), float(to_number(right))))
    return bool(_COMPARISONS[operator](left, right))


def _decided(operator: str, left: Value) -> bool:
    """Return whether the left side alone decides."""
    if operator == "&&":
        return not truthy(left)
    if operator == "||":
        return truthy(left)
    return operator == "??" and left is not None and left is not UNDEFINED


def _prefixed(operator: str, value: Value) -> Value:
    if operator == "!":
        return not truthy(value)
    if operator == "typeof":
        return type_of(value)
    return number(-float(to_number(value))) if operator == "-" else to_number(value)


def _place(key: Value) -> int:
    """Return an index of a list or text; -1: it is none."""
    if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 10 and str(int(key)) == key:
        return int(key)
    return key if isinstance(key, int) and not isinstance(key, bool) and key >= 0 else -1


def _member(value: Value, key: Value, at: int) -> Value:
    if value is None or value is UNDEFINED:
        raise ExpressionError("a member of nothing", at)
    if isinstance(value, Mapping):
        return cast("Value", value.get(checked_key(to_text(key), at), UNDEFINED))
    if isinstance(value, str | Sequence):
        if key == "length":
            return len(value)
        place = _place(key)
        if 0 <= place < len(value):
            return cast("Value", value[place])
    if isinstance(key, str):
        checked_key(key, at)
    return UNDEFINED


class _Evaluation:
    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._steps = 0

    def _spend(self, steps: int, at: int) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise ExpressionError("the expression takes too many steps", at)

    def value(self, node: Node) -> Value:
        """Return the value of a node."""
        self._spend(1, node.at)
        try:
            return self._value(node)
        except ExpressionError as error:
            if error.at or not node.at:
                raise
            raise ExpressionError(error.reason, node.at) from None

    def _value(self, node: Node) -> Value:
        match node:
            case Literal():
                return node.value
            case Name():
                return self._lookup(node.name)
            case Infix():
                return self._chain(node)
            case Postfix():
                return self._followed(node)
            case Prefix():
                return _prefixed(node.operator, self.value(node.operand))
            case Choice():
                return self.value(node.then if truthy(self.value(node.condition)) else node.otherwise)
            case Function():
                return FUNCTIONS[node.name]([self.value(argument) for argument in node.arguments])
            case Placeholder():
                inner = self.value(node.inner)
                return "" if inner is None or inner is UNDEFINED else inner
            case Template():
                text = ""
                for part in node.parts:
                    text = bounded(text + to_text(self.value(part)))
                return text
            case List():
                return [self.value(item) for item in node.items]
            case Object():
                return {name: self.value(item) for name, item in node.items}

    def _chain(self, node: Node) -> Value:
        """Evaluate operators that lean to the left, one after the other: there may be hundreds of them."""
        chain: list[Infix] = []
        while isinstance(node, Infix):
            chain.append(node)
            node = node.left
        value = self.value(node)
        for infix in reversed(chain):
            self._spend(1, infix.at)
            if infix.operator in ("&&", "||", "??"):
                if not _decided(infix.operator, value):
                    value = self.value(infix.right)
            else:
                value = _applied(infix.operator, value, self.value(infix.right))
        return value

    def _followed(self, node: Postfix) -> Value:
        value = self.value(node.base)
        for link in node.links:
            self._spend(1, link.at)
            if link.optional and (value is None or value is UNDEFINED):
                return UNDEFINED
            match link:
                case Member():
                    value = _member(value, self.value(link.key), link.at)
                case Call():
                    if isinstance(value, Sequence) and not isinstance(value, str):
                        self._spend(len(value) // 10, link.at)
                    value = call_method(value, link.method, [self.value(argument) for argument in link.arguments])
        return value
