"""Reads an expression: a Pratt parser (ECMA-262 §13, as far as `dialects.md` §3.7 needs it).

Laws: anything that would assign, define, create or repeat is refused; what is read is no deeper than `MAX_DEPTH`.
"""

from __future__ import annotations

from engine.dialects.swml.expressions.errors import ExpressionError
from engine.dialects.swml.expressions.functions import FUNCTIONS
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
from engine.dialects.swml.expressions.scanner import Kind, Scanner, Token
from engine.dialects.swml.expressions.values import UNDEFINED, Value, number_text

__all__ = ("MAX_CHARS", "MAX_DEPTH", "parse")

MAX_CHARS = 1024
"As the vendor's."
MAX_DEPTH = 64
"Of operands within operands: about 32 pairs of parentheses with an operator in each."
_CONDITIONAL = 1
_PREFIX = 9
_BINDING = {
    "??": 2,
    "||": 2,
    "&&": 3,
    "==": 4,
    "!=": 4,
    "===": 4,
    "!==": 4,
    "<": 5,
    "<=": 5,
    ">": 5,
    ">=": 5,
    "+": 6,
    "-": 6,
    "*": 7,
    "/": 7,
    "%": 7,
}
_CONSTANTS: dict[str, Value] = {
    "true": True,
    "false": False,
    "null": None,
    "undefined": UNDEFINED,
    "NaN": float("nan"),
    "Infinity": float("inf"),
}
_RESERVED = frozenset(
    """await break case catch class const continue debugger default delete do else enum export extends finally for
    function if import in instanceof let new return super switch this throw try var void while with yield""".split()  # noqa: SIM905
)
_HIDDEN = frozenset(("__proto__", "constructor", "prototype", "__defineGetter__", "__defineSetter__"))


def parse(source: str, *, placeholders: bool = False) -> Node:
    """Read an expression; ``placeholders``: ``${...}`` and ``%{...}`` may stand in it, also in texts."""
    if len(source) > MAX_CHARS:
        raise ExpressionError(f"an expression of more than {MAX_CHARS} characters", MAX_CHARS)
    return _Parser(source, placeholders).whole()


def checked_key(key: str, at: int) -> str:
    """Return the name of a member, unless it would lead out of the data in JavaScript."""
    if key in _HIDDEN:
        raise ExpressionError("a member that cannot be had", at)
    return key


class _Parser:
    def __init__(self, source: str, placeholders: bool) -> None:
        self._scanner = Scanner(source)
        self._placeholders = placeholders
        self._depth = 0
        self._token = self._scanner.next(operand=True)

    def whole(self) -> Node:
        node = self._expression(0)
        if self._token.kind is not Kind.END:
            raise self._unexpected()
        return node

    # -- tokens

    def _unexpected(self) -> ExpressionError:
        token = self._token
        if token.kind is Kind.END:
            return ExpressionError("the expression ends too early", token.at)
        if token.kind is Kind.OPERATOR and token.text.endswith("=") and token.text not in _BINDING:
            return ExpressionError("nothing can be assigned in an expression", token.at)
        if token.kind is Kind.OPERATOR:
            return ExpressionError(f"{token.text!r} is not expected here", token.at)
        return ExpressionError("something that is not expected here", token.at)

    def _is(self, operator: str) -> bool:
        return self._token.kind is Kind.OPERATOR and self._token.text == operator

    def _take(self, *, operand: bool) -> Token:
        token = self._token
        self._token = self._scanner.next(operand=operand)
        return token

    def _expect(self, operator: str, *, operand: bool) -> Token:
        if not self._is(operator):
            raise self._unexpected()
        return self._take(operand=operand)

    # -- operators

    def _expression(self, binding: int) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError("the expression nests too deep", self._token.at)
        left = self._prefixed()
        while self._token.kind is Kind.OPERATOR:
            operator = self._token.text
            strength = _BINDING.get(operator, 0)
            if strength > binding:
                token = self._take(operand=True)
                left = Infix(operator, left, self._expression(strength), token.at)
            elif operator == "?" and binding < _CONDITIONAL:
                token = self._take(operand=True)
                then = self._expression(0)
                self._expect(":", operand=True)
                left = Choice(left, then, self._expression(0), token.at)
            else:
                break
        self._depth -= 1
        return left

    def _prefixed(self) -> Node:
        token = self._token
        if (token.kind is Kind.OPERATOR and token.text in ("-", "+", "!")) or (
            token.kind is Kind.NAME and token.text == "typeof"
        ):
            self._take(operand=True)
            return Prefix(token.text, self._expression(_PREFIX), token.at)
        return self._followed(self._primary())

    def _followed(self, base: Node) -> Node:
        links: list[Member | Call] = []
        while self._token.kind is Kind.OPERATOR and self._token.text in (".", "?.", "["):
            token = self._take(operand=True)
            optional = token.text == "?."
            if token.text == "[" or (optional and self._is("[")):
                if optional:
                    self._take(operand=True)
                key = self._expression(0)
                self._expect("]", operand=False)
                links.append(Member(key, optional, token.at))
                continue
            name = self._take(operand=False)
            if name.kind is not Kind.NAME:
                raise ExpressionError("the name of a member is missing", name.at)
            checked_key(name.text, name.at)
            if self._is("("):
                links.append(Call(name.text, self._arguments(), optional, name.at))
            else:
                links.append(Member(Literal(name.text, name.at), optional, token.at))
        if self._is("("):
            raise ExpressionError("only functions and methods that there are can be called", self._token.at)
        return Postfix(base, tuple(links), links[0].at) if links else base

    def _listed(self, close: str) -> tuple[Node, ...]:
        """Read expressions with commas between them, up to ``close``; a comma may stand behind the last one."""
        items: list[Node] = []
        while not self._is(close):
            items.append(self._expression(0))
            if not self._is(close):
                self._expect(",", operand=True)
        self._take(operand=False)
        return tuple(items)

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(", operand=True)
        return self._listed(")")

    # -- what stands for itself

    def _primary(self) -> Node:
        token = self._token
        if token.kind is Kind.NUMBER:
            self._take(operand=False)
            return Literal(token.value, token.at)
        if token.kind is Kind.QUOTE:
            return self._text(token)
        if token.kind is Kind.NAME:
            return self._name(self._take(operand=False))
        if token.kind is Kind.PLACEHOLDER:
            if not self._placeholders:
                raise self._unexpected()
            self._take(operand=True)
            inner = self._expression(0)
            self._expect("}", operand=False)
            return Placeholder(inner, token.at)
        if self._is("("):
            self._take(operand=True)
            node = self._expression(0)
            self._expect(")", operand=False)
            return node
        if self._is("["):
            self._take(operand=True)
            return List(self._listed("]"), token.at)
        if self._is("{"):
            return self._object(token)
        raise self._unexpected()

    def _name(self, token: Token) -> Node:
        name = token.text
        if name in _CONSTANTS:
            return Literal(_CONSTANTS[name], token.at)
        if name in _RESERVED or name in _HIDDEN:
            raise ExpressionError("a word of the language that expressions do not have", token.at)
        if self._is("(") and name in FUNCTIONS:
            return Function(name, self._arguments(), token.at)
        if name == "Math" and self._is("."):
            self._take(operand=True)
            member = self._take(operand=False)
            if f"Math.{member.text}" not in FUNCTIONS or not self._is("("):
                raise ExpressionError("a function that there is not", member.at)
            return Function(f"Math.{member.text}", self._arguments(), token.at)
        return Name(name, token.at)

    def _text(self, opening: Token) -> Node:
        """Read a text whose opening quote is the token ahead."""
        parts: list[Node] = []
        has_inner = False
        while True:
            text, more = self._scanner.text(opening.text, placeholders=self._placeholders)
            if text:
                parts.append(Literal(text, opening.at))
            if not more:
                break
            has_inner = True
            self._token = self._scanner.next(operand=True)
            inner = self._expression(0)
            if not self._is("}"):  # what follows is text, and is not to be read as a token
                raise self._unexpected()
            parts.append(Placeholder(inner, opening.at) if self._placeholders else inner)
        self._token = self._scanner.next(operand=False)
        if not has_inner:
            return parts[0] if parts else Literal("", opening.at)
        return Template(tuple(parts), opening.at)

    def _object(self, opening: Token) -> Node:
        items: list[tuple[str, Node]] = []
        self._take(operand=True)
        while not self._is("}"):
            token = self._token
            if token.kind is Kind.QUOTE:
                text = self._text(token)
                if not isinstance(text, Literal) or not isinstance(text.value, str):
                    raise ExpressionError("the name of a member is not a plain text", token.at)
                key = text.value
            elif token.kind is Kind.NAME or token.kind is Kind.NUMBER:
                self._take(operand=False)
                key = number_text(token.value) if isinstance(token.value, int | float) else token.text
            else:
                raise self._unexpected()
            self._expect(":", operand=True)
            items.append((checked_key(key, token.at), self._expression(0)))
            if not self._is("}"):
                self._expect(",", operand=True)
        self._take(operand=False)
        return Object(tuple(items), opening.at)
