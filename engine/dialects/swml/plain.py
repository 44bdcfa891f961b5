"""Plain data: None, bool, int, float, str, lists and mappings with names; copied within bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from engine.dialects.swml.errors import ScriptError, SwmlError
from engine.dialects.swml.expressions import UNDEFINED

__all__ = ("MAX_NESTING", "Budget", "copied", "sized")

MAX_NESTING = 100
"Lists and mappings within each other."
MAX_INT = 1 << 64
"Whole numbers beyond it are kept as the double that JavaScript would make of them."


class Budget:
    """How much plain data may be made: so many characters (of texts and of names), so many values."""

    def __init__(self, chars: int, values: int) -> None:
        self._max_chars = chars
        self._max_values = values
        self.chars = 0
        self.values = 0

    def spend(self, chars: int) -> None:
        """Note one value of so many characters."""
        self.chars += chars
        self.values += 1
        if self.chars > self._max_chars or self.values > self._max_values:
            raise SwmlError(ScriptError.ELEMENT_INVALID_VALUE, "", "variables get too large")


def sized(value: object) -> tuple[int, int]:
    """Return how many characters and how many values plain data is."""
    waiting, chars, values = [value], 0, 0
    while waiting:
        one = waiting.pop()
        values += 1
        if isinstance(one, str):
            chars += len(one)
        elif isinstance(one, dict):
            chars += sum(map(len, one))
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return chars, values


def copied(value: object, budget: Budget, depth: int = 0) -> Any:
    """Return a copy of plain data that can be written as JSON: what JSON has no number for becomes None.

    Raises `SwmlError` for more than the budget, for what nests too deep, and for what is no plain data.
    """
    if isinstance(value, str):
        budget.spend(len(value))
        return str(value)
    budget.spend(0)
    if value is None or value is UNDEFINED:
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < MAX_INT:
        return value
    if isinstance(value, int | float):
        try:
            double = float(value)
        except OverflowError:
            return None
        return double + 0.0 if math.isfinite(double) else None
    if depth >= MAX_NESTING:
        raise SwmlError(ScriptError.ELEMENT_INVALID_VALUE, "", "a value nests too deep")
    if isinstance(value, Mapping):
        made = {}
        for name, item in value.items():
            if item is UNDEFINED:
                continue
            name = name if isinstance(name, str) else str(name)
            budget.chars += len(name)
            made[name] = copied(item, budget, depth + 1)
        return made
    if isinstance(value, list | tuple):
        return [copied(item, budget, depth + 1) for item in value]
    raise SwmlError(ScriptError.ELEMENT_INVALID_VALUE, "", "a value is no plain data")
