"""The expressions of SWML documents (`dialects.md` §3.7): a small part of JavaScript, interpreted. Sans-IO."""

from engine.dialects.swml.expressions.errors import ExpressionError
from engine.dialects.swml.expressions.evaluator import MAX_STEPS, Lookup, evaluate
from engine.dialects.swml.expressions.parser import MAX_CHARS, MAX_DEPTH
from engine.dialects.swml.expressions.values import (
    MAX_LIST,
    MAX_TEXT,
    UNDEFINED,
    Undefined,
    Value,
    to_text,
    truthy,
)

__all__ = (
    "MAX_CHARS",
    "MAX_DEPTH",
    "MAX_LIST",
    "MAX_STEPS",
    "MAX_TEXT",
    "UNDEFINED",
    "ExpressionError",
    "Lookup",
    "Undefined",
    "Value",
    "evaluate",
    "to_text",
    "truthy",
)
