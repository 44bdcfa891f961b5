"""The text of a SWML document, to plain data: JSON (RFC 8259), else YAML (`dialects.md` §3.1). Pure.

Laws: whatever the text, the outcome is None, bool, int, float, str, list and dict, or a `SwmlError` that names a line
and repeats nothing of the text but the name of a key; time and memory are bounded by its length. JSON and YAML give
the same data for the same document.

YAML is taken as the documents use it, without what makes it surprising (YAML 1.2.2 §10.2, and narrower): only ``true``
and ``false`` are booleans (``on`` and ``yes`` are text), a number is what JSON takes for one, so that ``02134`` and
``+15550100`` stay text; there are no dates, tags of types or merged keys. Keys are text. An alias, as tools write them
for data that stand in two places, is a copy, which counts like what is written out.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import yaml

from engine.dialects.swml.errors import ScriptError, SwmlError

__all__ = ("MAX_DEPTH", "MAX_NODES", "MAX_NUMBER_CHARS", "printable", "read")

MAX_DEPTH = 64
"Lists and mappings within each other."
MAX_NODES = 20_000
"Values of a document, however they are nested."
MAX_NUMBER_CHARS = 40
"Of one number."
_NAME_CHARS = 40
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<real>\.[0-9]+)?(?P<exponent>[eE][+-]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII)
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = frozenset({"!", _TAG + "str"})
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"libyaml's parser where there is one: of both only the events are used."


def read(text: bytes | str, *, content_type: str = "", max_bytes: int) -> object:
    """Return what a document says, as plain data.

    JSON is what begins with a brace or a bracket, or comes as ``application/json``; all else is YAML, and so is a text
    of a YAML ``content_type`` that is no JSON. Octets are UTF-8, a byte order mark is passed over. Raises `SwmlError`:
    PARSE_ERROR, or ELEMENT_DUPLICATED when a key stands twice in one mapping.
    """
    decoded = _decoded(text, max_bytes)
    kind = content_type.partition(";")[0].strip().lower()
    if decoded.lstrip()[:1] in ("{", "["):
        if "yaml" not in kind:
            return _json(decoded)
        try:
            return _json(decoded)
        except SwmlError as error:
            if error.code is not ScriptError.PARSE_ERROR:
                raise
    elif "json" in kind:
        return _json(decoded)
    return _yaml(decoded)


def printable(name: str) -> str:
    """Return a name of the document as it may stand in a log."""
    return "".join(c if c.isalnum() or c in ":_-." else "?" for c in name[:_NAME_CHARS])


def _refused(reason: str, where: str = "") -> SwmlError:
    return SwmlError(ScriptError.PARSE_ERROR, where, reason)


def _place(line: int, column: int) -> str:
    """Return a place, of counts from one."""
    return f"line {line}, column {column}"


def _decoded(text: bytes | str, max_bytes: int) -> str:
    if isinstance(text, str):
        try:
            text = text.encode()
        except UnicodeEncodeError:
            raise _refused("the text has half of a surrogate pair, which is no character") from None
    if len(text) > max_bytes:
        raise _refused(f"the document is longer than {max_bytes} octets")
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused("the document is not UTF-8", f"octet {error.start}") from None
    if not decoded.strip():
        raise _refused("the document is empty")
    return decoded


def _duplicated(key: str, where: str = "") -> SwmlError:
    return SwmlError(ScriptError.ELEMENT_DUPLICATED, where, f"{printable(key)} stands twice in one mapping")


# -- numbers, alike in both


def _int(text: str) -> int:
    if len(text) > MAX_NUMBER_CHARS:
        raise _refused(f"a number has more than {MAX_NUMBER_CHARS} characters; write it as text")
    return int(text)


def _float(text: str) -> float:
    if len(text) > MAX_NUMBER_CHARS:
        raise _refused(f"a number has more than {MAX_NUMBER_CHARS} characters; write it as text")
    value = float(text)
    if not math.isfinite(value):
        raise _refused("a number is too large")
    return value


def _no_constant(name: str) -> None:
    raise _refused("NaN and Infinity are not taken")


# -- JSON


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _duplicated(key)
            seen.add(key)
    return value


def _json(text: str) -> object:
    try:
        value: object = json.loads(
            text, object_pairs_hook=_pairs, parse_int=_int, parse_float=_float, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        raise _refused(f"the document is no JSON: {error.msg}", _place(error.lineno, error.colno)) from None
    except RecursionError:
        raise _too_deep() from None
    _bounded(value)
    return value


def _too_deep(where: str = "") -> SwmlError:
    return _refused(f"lists and mappings are nested deeper than {MAX_DEPTH}", where)


def _too_many(where: str = "") -> SwmlError:
    return _refused(f"the document has more than {MAX_NODES} values", where)


def _bounded(value: object) -> None:
    """Refuse what is nested too deep, has too many values, or texts that are none."""
    nodes, depth = 0, 0
    level: list[object] = [value]
    while level:
        below: list[object] = []
        nodes += len(level)
        if nodes > MAX_NODES:
            raise _too_many()
        for item in level:
            if isinstance(item, str):
                _check_text(item)
                continue
            if isinstance(item, dict):
                below += item.values()
                for key in item:
                    _check_text(key)
            elif isinstance(item, list):
                below += item
            else:
                continue
            if depth == MAX_DEPTH:
                raise _too_deep()
        level = below
        depth += 1


def _check_text(text: str, where: str = "") -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _refused("a text has half of a surrogate pair, which is no character", where) from None


# -- YAML, from the parser's events: no node is made by PyYAML, and nothing recurs


@dataclass(slots=True)
class _Open:
    """A list or a mapping under way."""

    container: dict[str, Any] | list[Any]
    anchor: str | None
    nodes_before: int
    key: str | None = None
    "Whose value is awaited."
    height: int = 1
    "Containers within each other from this one on."


@dataclass(frozen=True, slots=True)
class _Anchored:
    """What an alias stands for."""

    value: object
    nodes: int
    height: int


class _Builder:
    """Makes data of events."""

    def __init__(self) -> None:
        self.value: object = None
        self._open: list[_Open] = []
        self._anchored: dict[str, _Anchored] = {}
        "Whole values only: an alias within what it names finds none."
        self._nodes = 0
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        """Take the next event. Raises `SwmlError`."""
        mark = event.start_mark
        where = _place(mark.line + 1, mark.column + 1)
        match event:
            case yaml.ScalarEvent():
                self._scalar(event, where)
            case yaml.MappingStartEvent():
                self._begin({}, event, "map", where)
            case yaml.SequenceStartEvent():
                self._begin([], event, "seq", where)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end()
            case yaml.AliasEvent():
                self._alias(event.anchor, where)
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise _refused("a second document begins (---); one is taken", where)

    @property
    def _awaits_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].container, dict) and self._open[-1].key is None

    def _begin(self, container: dict[str, Any] | list[Any], event: yaml.NodeEvent, tag: str, where: str) -> None:
        if event.tag not in (None, "!", _TAG + tag):
            raise _refused("a tag of a type is not taken", where)
        if self._awaits_key:
            raise _refused("a key is a list or a mapping; write text", where)
        opened = _Open(container, event.anchor, self._nodes)
        self._put(container, 1, where)
        if len(self._open) >= MAX_DEPTH:
            raise _too_deep(where)
        self._open.append(opened)

    def _end(self) -> None:
        ended = self._open.pop()
        if self._open:
            self._open[-1].height = max(self._open[-1].height, ended.height + 1)
        if ended.anchor is not None:
            nodes = self._nodes - ended.nodes_before
            self._anchored[ended.anchor] = _Anchored(ended.container, nodes, ended.height)

    def _alias(self, anchor: str, where: str) -> None:
        """Put a copy of what an anchor names; all of it counts."""
        if self._awaits_key:
            raise _refused("a key is an alias (*name); write text", where)
        found = self._anchored.get(anchor)
        if found is None:
            raise _refused("an alias (*name) names nothing that stands before it as a whole", where)
        if len(self._open) + found.height > MAX_DEPTH:
            raise _too_deep(where)
        self._put(_copied(found.value), found.nodes, where)
        if self._open:
            self._open[-1].height = max(self._open[-1].height, found.height + 1)

    def _scalar(self, event: yaml.ScalarEvent, where: str) -> None:
        text = event.value
        _check_text(text, where)
        if event.tag is not None and event.tag not in _TEXT_TAGS:
            raise _refused("a tag of a type is not taken", where)
        is_plain = event.implicit[0] and event.tag is None
        if self._awaits_key:
            if is_plain and text == "<<":
                raise _refused("merged keys (<<) are not taken", where)
            if text in self._open[-1].container:
                raise _duplicated(text, where)
            self._open[-1].key = text
            return
        try:
            value = _plain(text) if is_plain else text
        except SwmlError as error:
            raise _refused(str(error), where) from None
        if event.anchor is not None:
            self._anchored[event.anchor] = _Anchored(value, 1, 0)
        self._put(value, 1, where)

    def _put(self, value: object, nodes: int, where: str) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise _too_many(where)
        if not self._open:
            self.value = value
            return
        around = self._open[-1]
        if isinstance(around.container, list):
            around.container.append(value)
        else:
            assert around.key is not None  # a container or an alias as a key was refused, a scalar is one
            around.container[around.key] = value
            around.key = None


def _copied(value: object) -> object:
    """Return a copy of lists and mappings, which are at most `MAX_DEPTH` deep."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


def _plain(text: str) -> object:
    """Return what a text without quotes stands for."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if number := _NUMBER.fullmatch(text):
        return _int(text) if number["real"] is None and number["exponent"] is None else _float(text)
    if _NOT_FINITE.fullmatch(text):
        _no_constant(text)
    return text


def _yaml(text: str) -> object:
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = _place(mark.line + 1, mark.column + 1) if mark else ""
        raise _refused(f"the document is no YAML: {_problem(error.problem)}", where) from None
    except yaml.YAMLError:  # of a character that YAML has not
        raise _refused("the document is no YAML: it has a control character") from None
    return builder.value


def _problem(text: str | None) -> str:
    """Return what the parser says, without what it may quote of the document."""
    said = re.sub(r"'[^']*'|\"[^\"]*\"", "...", text or "it cannot be read")
    return "".join(c for c in said if c.isprintable())[:100]
