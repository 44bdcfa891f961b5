"""Tokens of an expression, one after the other (ECMA-262 §12, as far as `dialects.md` §3.7 needs it)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from engine.dialects.swml.expressions.errors import ExpressionError
from engine.dialects.swml.expressions.values import SPACE, Value, number, whole_number

__all__ = ("Kind", "Scanner", "Token")

_SPACE = re.compile(f"[{SPACE}]*")
_NAME = re.compile(r"[^\W\d]\w*|[$_][\w$]*")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_OPERATOR = re.compile(
    r"===|!==|\*\*|=>|==|!=|<<|<=|>>|>=|&&|\|\||\?\?|\?\.(?![0-9])|\+\+|--|\.\.\.|[-+*/%&|^]=|[-+*/%!<>?:.,()\[\]{}=&|^~;]"
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_HEX = {
    "x": re.compile(r"[0-9a-fA-F]{2}"),
    "u": re.compile(r"[0-9a-fA-F]{4}"),
    "u{": re.compile(r"([0-9a-fA-F]{1,6})\}"),
}
_PLAIN = re.compile(r"[^\\$%'\"`\n]+")


class Kind(Enum):
    """What a token is."""

    END = auto()
    NAME = auto()
    NUMBER = auto()
    QUOTE = auto()
    "The opening quote of a text, which `Scanner.text` reads on."
    PLACEHOLDER = auto()
    "``${`` or ``%{``, where the scanner was asked to know them."
    OPERATOR = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One token."""

    kind: Kind
    text: str
    at: int
    value: Value = None


class Scanner:
    """Reads an expression from its beginning; what comes next depends on what the parser expects."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0

    def next(self, *, operand: bool) -> Token:
        """Return the next token; ``operand`` tells whether ``%{`` may begin one here (and is no remainder)."""
        source = self._source
        match = _SPACE.match(source, self._at)
        at = match.end() if match else self._at
        self._at = at
        if at >= len(source):
            return Token(Kind.END, "", at)
        char = source[at]
        if char in "'\"`":
            return self._token(Kind.QUOTE, char, at)
        if char in "$%" and source.startswith("{", at + 1) and (operand or char == "$"):
            return self._token(Kind.PLACEHOLDER, source[at : at + 2], at)
        if match := _NAME.match(source, at):
            return self._token(Kind.NAME, match.group(), at)
        if match := _NUMBER.match(source, at):
            return self._number(match.group(), at)
        if match := _OPERATOR.match(source, at):
            return self._token(Kind.OPERATOR, match.group(), at)
        raise ExpressionError("a character that no expression has", at)

    def _token(self, kind: Kind, text: str, at: int) -> Token:
        self._at = at + len(text)
        return Token(kind, text, at)

    def _number(self, text: str, at: int) -> Token:
        self._at = at + len(text)
        if _NAME.match(self._source, self._at) or (len(text) > 1 and text[0] == "0" and text[1].isdigit()):
            raise ExpressionError("a number is not written as one", at)
        if text[:2].lower() in ("0x", "0o", "0b"):
            value = whole_number(text[2:], {"x": 16, "o": 8, "b": 2}[text[1].lower()])
        else:
            value = number(float(text))
        return Token(Kind.NUMBER, text, at, value)

    def text(self, quote: str, *, placeholders: bool) -> tuple[str, bool]:
        """Read on inside a text: what is written up to its end, or (True) up to an expression in it.

        Every ``${`` begins one in a template; in any text, ``${`` and ``%{`` do where ``placeholders`` is set.
        """
        source, parts, at = self._source, list[str](), self._at
        while at < len(source):
            if match := _PLAIN.match(source, at):
                parts.append(match.group())
                at = match.end()
                continue
            char = source[at]
            if char == quote:
                self._at = at + 1
                return _paired("".join(parts)), False
            if source.startswith("{", at + 1) and ((char == "$" and quote == "`") or (char in "$%" and placeholders)):
                self._at = at + 2
                return _paired("".join(parts)), True
            if char == "\\":
                written, at = self._escape(at + 1)
                parts.append(written)
                continue
            if char == "\n" and quote != "`":
                break
            parts.append(char)
            at += 1
        raise ExpressionError("a text has no end", self._at)

    def _escape(self, at: int) -> tuple[str, int]:
        source = self._source
        char = source[at : at + 1]
        if not char:
            raise ExpressionError("a text has no end", at)
        if char in "xu":
            form = "u{" if source.startswith("u{", at) else char
            match = _HEX[form].match(source, at + len(form))
            code = int(match.group(1 if form == "u{" else 0), 16) if match else -1
            if match is None or code > 0x10FFFF:
                raise ExpressionError("an escape in a text is not written as one", at)
            return chr(code), match.end()
        if char == "\n":
            return "", at + 1
        return _ESCAPES.get(char, char), at + 1


def _paired(text: str) -> str:
    """Return a text in which two surrogates are one character, and a lonely one is U+FFFD: all of it can be sent."""
    if not any("\ud800" <= char <= "\udfff" for char in text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
