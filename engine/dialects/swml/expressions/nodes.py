"""What an expression is made of, once it is read.

Chains of operators and of members are flat, or lean to the left, so that they may be as long as an expression may:
only what is nested counts as depth.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.dialects.swml.expressions.values import Value

__all__ = (
    "Call",
    "Choice",
    "Function",
    "Infix",
    "List",
    "Literal",
    "Member",
    "Name",
    "Node",
    "Object",
    "Placeholder",
    "Postfix",
    "Prefix",
    "Template",
)


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as written."""

    value: Value
    at: int


@dataclass(frozen=True, slots=True)
class Name:
    """A root name, to be looked up."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Template:
    """Text with expressions in it."""

    parts: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Placeholder:
    """``${...}`` where an expression stands anyway: as its inside, but what is unset is an empty text."""

    inner: Node
    at: int


@dataclass(frozen=True, slots=True)
class List:
    """``[a, b]``."""

    items: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Object:
    """``{a: b}``."""

    items: tuple[tuple[str, Node], ...]
    at: int


@dataclass(frozen=True, slots=True)
class Prefix:
    """``-a``, ``+a``, ``!a``, ``typeof a``."""

    operator: str
    operand: Node
    at: int


@dataclass(frozen=True, slots=True)
class Infix:
    """``a + b``; also ``&&``, ``||`` and ``??``."""

    operator: str
    left: Node
    right: Node
    at: int


@dataclass(frozen=True, slots=True)
class Choice:
    """``a ? b : c``."""

    condition: Node
    then: Node
    otherwise: Node
    at: int


@dataclass(frozen=True, slots=True)
class Function:
    """``parseInt(a)``, ``Math.max(a, b)``."""

    name: str
    arguments: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Member:
    """``.name`` or ``[key]`` behind something; ``optional`` with ``?.``."""

    key: Node
    optional: bool
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """``.name(arguments)`` behind something."""

    method: str
    arguments: tuple[Node, ...]
    optional: bool
    at: int


@dataclass(frozen=True, slots=True)
class Postfix:
    """Something, and what follows it one after the other."""

    base: Node
    links: tuple[Member | Call, ...]
    at: int


Node = Literal | Name | Template | Placeholder | List | Object | Prefix | Infix | Choice | Function | Postfix
