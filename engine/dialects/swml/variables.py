"""Variables of a document, and how they are put into its steps (`dialects.md` §3.7).

Laws: no value is shared between scopes, or between a scope and whoever asked for it, so that nothing changes behind
anyone's back; what is held, and what is made in one step, is bounded; a value that is put in is never read again as a
placeholder or as a part of an expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from engine.dialects.swml.errors import ScriptError, SwmlError
from engine.dialects.swml.expressions import (
    MAX_TEXT,
    UNDEFINED,
    ExpressionError,
    Undefined,
    Value,
    evaluate,
    to_text,
    truthy,
)
from engine.dialects.swml.plain import MAX_NESTING, Budget, copied, sized

__all__ = ("MAX_CHARS", "MAX_KEYS", "MAX_STEP_CHARS", "MAX_VALUES", "UNDEFINED", "Scopes")

MAX_CHARS = 1 << 20
"Characters of all variables together, names included."
MAX_VALUES = 10_000
"Values of all variables together, or of one step with its variables put in."
MAX_STEP_CHARS = 1 << 20
"Characters of one step with its variables put in."
MAX_KEYS = 32
"Of a path."
_WHOLE = 20_000
"Values of a scope that the call's program gives."
_SCOPES = frozenset(("vars", "envs", "call", "params"))
_LITERALS = frozenset(("true", "false", "null", "undefined", "NaN", "Infinity"))
_PATH = re.compile(r"(?:[^\W\d]|[$_])[\w$]*(?:\.[\w$-]+|\[[0-9]{1,6}\]|\[\"[^\"\\]*\"\]|\['[^'\\]*'\])*\Z")
"What can be looked up without being evaluated; a name behind a dot may have hyphens, as those of headers have."
_KEY = re.compile(r"\.?([^.\[\]]+)|\[(?:([0-9]{1,6})|\"([^\"]*)\"|'([^']*)')\]")
_OPENING = re.compile(r"[$%]\{")
_NOTABLE = re.compile(r"[\\{}'\"`$]")
Key = str | int
Failed = Callable[[ExpressionError], None]


class Scopes:
    """The variables of one document run.

    ``params`` and ``call`` are replaced as a whole by whoever runs the document; only ``vars`` changes in parts.

    >>> scopes = Scopes(call={"from": "+15550100"})
    >>> scopes.set("order.total", 12.5)
    >>> scopes.substitute({"url": "say: ${order.total} from %{call.from}", "total": "${order.total * 2}"})
    {'url': 'say: 12.5 from +15550100', 'total': 25}
    """

    def __init__(
        self,
        *,
        call: Mapping[str, Any] | None = None,
        envs: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        vars: Mapping[str, Any] | None = None,
    ) -> None:
        self._scopes: dict[str, dict[str, Any]] = {
            "vars": {},
            "envs": _scope(envs or {}),
            "call": _scope(call or {}),
            "params": _scope(params or {}),
        }
        self._chars = 0
        self._values = 0
        for name, value in (vars or {}).items():
            self.set(name, value)

    @property
    def call(self) -> dict[str, Any]:
        """The facts of the call; a copy."""
        return _scope(self._scopes["call"])

    @call.setter
    def call(self, call: Mapping[str, Any]) -> None:
        self._scopes["call"] = _scope(call)

    @property
    def params(self) -> dict[str, Any]:
        """What the section that runs was called with; a copy."""
        return _scope(self._scopes["params"])

    @params.setter
    def params(self, params: Mapping[str, Any]) -> None:
        self._scopes["params"] = _scope(params)

    # -- one by one

    def lookup(self, name: str) -> Value:
        """Return what a root name of an expression stands for: a scope, or a variable; to be read only."""
        if name in _SCOPES:
            return self._scopes[name]
        for scope in ("vars", "envs", "call"):
            if name in self._scopes[scope]:
                value: Value = self._scopes[scope][name]
                return value
        return UNDEFINED

    def get(self, path: str) -> Any:
        """Return a copy of the value at a path (``a.b[0]``, perhaps behind a scope's name); `UNDEFINED` if unset."""
        value = self._found(path)
        return value if value is UNDEFINED else copied(value, Budget(MAX_CHARS, _WHOLE))

    def set(self, path: str, value: object) -> None:
        """Set a variable, perhaps a part of one; mappings and lists that are missing on the way are made.

        Raises `SwmlError` (and changes nothing) when the path leads out of ``vars`` or into the inside of something
        that has none, when the value is no plain data, and when all variables together would get too large.
        """
        keys = _keys(path)
        parent, place = self._nearest(keys)
        made = copied(value, Budget(MAX_CHARS, MAX_VALUES))
        for key in reversed(keys[place + 1 :]):
            if isinstance(key, int) and key:
                raise _refused("a list begins with its first value")
            made = [made] if isinstance(key, int) else {key: made}
        key = keys[place]
        chars, values = sized(made)
        if isinstance(parent, list):
            if not isinstance(key, int) or key > len(parent):
                raise _refused("a list has values one after the other")
            old = parent[key] if key < len(parent) else UNDEFINED
        else:
            key = str(key)
            old = parent.get(key, UNDEFINED)
        if old is UNDEFINED:
            chars += len(key) if isinstance(key, str) else 0
        else:
            chars, values = chars - sized(old)[0], values - sized(old)[1]
        if self._chars + chars > MAX_CHARS or self._values + values > MAX_VALUES:
            raise _refused("all variables together are too large")
        self._chars, self._values = self._chars + chars, self._values + values
        if isinstance(parent, dict):
            parent[str(key)] = made
        elif key == len(parent):
            parent.append(made)
        else:
            parent[int(key)] = made

    def unset(self, path: str) -> None:
        """Forget a variable, or a part of one; one that is not set is none the less forgotten."""
        keys = _keys(path)
        parent, place = self._nearest(keys)
        key = keys[place]
        if place < len(keys) - 1:
            return
        if isinstance(parent, list):
            if not isinstance(key, int) or key >= len(parent):
                return
            chars, values = sized(parent.pop(key))
        else:
            key = str(key)
            if key not in parent:
                return
            chars, values = sized(parent.pop(key))
            chars += len(key)
        self._chars, self._values = self._chars - chars, self._values - values

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of ``vars``, ready to be written as JSON."""
        return _scope(self._scopes["vars"])

    def _found(self, path: str) -> Value:
        """Return what is at a path, itself."""
        try:
            keys = _split(path)
        except SwmlError:
            return UNDEFINED
        value: Any = self.lookup(str(keys[0]))
        for key in keys[1:]:
            value = _inside(value, key)
        found: Value = value
        return found

    def _nearest(self, keys: list[Key]) -> tuple[dict[str, Any] | list[Any], int]:
        """Return the innermost list or mapping on the way that is there, and which key is to be sought in it."""
        parent: dict[str, Any] | list[Any] = self._scopes["vars"]
        for place, key in enumerate(keys[:-1]):
            child = _inside(parent, key)
            if not isinstance(child, dict | list):
                return parent, place
            parent = child
        return parent, len(keys) - 1

    # -- put into a step

    def substitute(self, value: object, *, as_text: bool = False, failed: Failed | None = None) -> Any:
        """Return a copy of plain data in which variables stand for ``${...}`` and ``%{...}`` in its texts.

        A text that is one placeholder becomes the value itself, of whatever type, unless ``as_text``; within a text,
        and with ``as_text``, it is the value's text. What is unset, or null within a text, is an empty text; so is an
        expression that fails, when ``failed`` is there to be told of it (otherwise its `ExpressionError` is raised). A
        placeholder without its end, and all behind it, stays as it is. Names in mappings are left alone.

        Raises `SwmlError` when the result gets larger than `MAX_STEP_CHARS` or `MAX_VALUES`.
        """
        return self._made(value, as_text, failed, Budget(MAX_STEP_CHARS, MAX_VALUES), 0)

    def _made(self, value: object, as_text: bool, failed: Failed | None, budget: Budget, depth: int) -> Any:
        if isinstance(value, str):
            return self._put_in(value, as_text, failed, budget)
        if depth >= MAX_NESTING:
            raise _refused("a step nests too deep")
        if isinstance(value, Mapping):
            budget.spend(sum(len(name) for name in value))
            return {name: self._made(item, as_text, failed, budget, depth + 1) for name, item in value.items()}
        if isinstance(value, list | tuple):
            budget.spend(0)
            return [self._made(item, as_text, failed, budget, depth + 1) for item in value]
        return copied(value, budget)

    def _put_in(self, text: str, as_text: bool, failed: Failed | None, budget: Budget) -> Any:
        opening = _OPENING.search(text)
        if opening is None:
            budget.spend(len(text))
            return text
        end = _end(text, opening.end())
        if not as_text and opening.start() == 0 and end == len(text) - 1:
            value = self._value(text[2:end], failed)
            return copied("" if value is UNDEFINED else value, budget)
        parts: list[str] = []
        at = size = 0
        while opening is not None and end >= 0:
            found = self._text(text[opening.end() : end], failed)
            size += opening.start() - at + len(found)
            if size > MAX_TEXT:
                raise _refused("a text gets too long")
            parts += (text[at : opening.start()], found)
            at = end + 1
            opening = _OPENING.search(text, at)
            end = _end(text, opening.end()) if opening else -1
        made = "".join((*parts, text[at:]))
        budget.spend(len(made))
        return made

    def _text(self, body: str, failed: Failed | None) -> str:
        value = self._value(body, failed)
        try:
            return "" if value is None or value is UNDEFINED else to_text(value)
        except ExpressionError as error:
            if failed is None:
                raise
            failed(error)
            return ""

    def _value(self, body: str, failed: Failed | None) -> Value:
        try:
            return self._evaluated(body)
        except ExpressionError as error:
            if failed is None:
                raise
            failed(error)
            return UNDEFINED

    def _evaluated(self, body: str) -> Value:
        """Return the value of a path or an expression; `UNDEFINED` for an empty one."""
        body = body.strip()
        if not body:
            return UNDEFINED
        if body not in _LITERALS and _PATH.match(body):
            value = self._found(body)
            if value is not UNDEFINED or "-" not in body:  # a hyphen may also be a minus
                return value
        return evaluate(body, self.lookup)

    # -- decisions

    def condition(self, text: str) -> bool:
        """Return whether ``when`` holds; names stand for themselves, and ``${...}`` is tolerated around them.

        Raises `ExpressionError`.
        """
        return truthy(evaluate(text, self.lookup, placeholders=True))

    def value_of(self, text: str) -> Any:
        """Return a copy of the value that ``switch`` is about: of a path or an expression, perhaps within ``${...}``.

        An empty text if unset; raises `ExpressionError`.
        """
        text = text.strip()
        opening = _OPENING.match(text)
        if opening and _end(text, opening.end()) == len(text) - 1:
            value = self._evaluated(text[2:-1])
        elif opening is None and _PATH.match(text):
            value = self._evaluated(text)
        else:
            value = evaluate(text, self.lookup, placeholders=True)
        return "" if value is UNDEFINED else copied(value, Budget(MAX_CHARS, _WHOLE))


def _refused(reason: str) -> SwmlError:
    return SwmlError(ScriptError.ELEMENT_INVALID_VALUE, "", reason)


def _scope(values: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = copied(values, Budget(2 * MAX_CHARS, _WHOLE))
    return made


def _split(path: str) -> list[Key]:
    """Return the keys of a path: names, and indices in brackets."""
    keys: list[Key] = []
    at = 0
    path = path.strip()
    while at < len(path):
        match = _KEY.match(path, at)
        if match is None or (match.group().startswith(".") != bool(at) and match.group()[0] != "["):
            raise _refused("the name of a variable is not written as one")
        name, index, *quoted = match.groups()
        keys.append(int(index) if index is not None else next(text for text in (name, *quoted) if text is not None))
        at = match.end()
    if not keys or not isinstance(keys[0], str) or len(keys) > MAX_KEYS:
        raise _refused("the name of a variable is not written as one")
    return keys


def _keys(path: str) -> list[Key]:
    """Return the keys of a variable that is to change."""
    keys = _split(path)
    if len(keys) > 1 and keys[0] in _SCOPES:
        if keys[0] != "vars":
            raise _refused("only variables of vars can be set")
        del keys[0]
        if not isinstance(keys[0], str):
            raise _refused("the name of a variable is not written as one")
    return keys


def _inside(value: object, key: Key) -> Any | Literal[Undefined.UNDEFINED]:
    if isinstance(value, dict):
        return value.get(str(key), UNDEFINED)
    if isinstance(value, str | list):
        if key == "length":
            return len(value)
        if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 7:
            key = int(key)
        if isinstance(key, int) and key < len(value):
            return value[key]
    return UNDEFINED


def _end(text: str, at: int) -> int:
    """Return where the ``}`` of a placeholder is whose inside begins at ``at``; -1 where it has none.

    Braces within texts of the expression are text, and those of a template's ``${...}`` are its own.
    """
    inside = ["}"]
    while match := _NOTABLE.search(text, at):
        char, at = match.group(), match.end()
        if inside[-1] == "}":
            if char == "}":
                inside.pop()
                if not inside:
                    return match.start()
            elif char == "{":
                inside.append("}")
            elif char in "'\"`":
                inside.append(char)
        elif char == "\\":
            at += 1
        elif char == inside[-1]:
            inside.pop()
        elif char == "$" and inside[-1] == "`" and text.startswith("{", at):
            inside.append("}")
            at += 1
    return -1
