"""Frames of RELAY: JSON-RPC 2.0, one object in each text (`dialects.md` §2.1). Sans-IO.

A client's text may hold anything: what is longer than ``MAX_TEXT``, nested deeper than ``MAX_DEPTH``, no JSON of
RFC 8259, ambiguous (a name twice in one object) or no text of Unicode becomes ``Malformed`` and never an exception.
Batches (JSON-RPC 2.0 §6) are refused: no client sends them. Parameters are not shown by ``repr``: the first request
holds credentials, others what callers keyed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = (
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "MAX_DEPTH",
    "MAX_ID",
    "MAX_TEXT",
    "METHOD_NOT_FOUND",
    "PARSE_ERROR",
    "Frame",
    "FrameId",
    "Malformed",
    "Request",
    "Response",
    "error_text",
    "parse",
    "request_text",
    "result_text",
)

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
"JSON-RPC 2.0 §5.1."
MAX_TEXT: Final = 1 << 20
"Characters of a frame that comes in."
MAX_DEPTH: Final = 32
MAX_ID: Final = 128
"Characters of an id, and of a method's name."
_MAX_NUMBER: Final = 1 << 63

FrameId = str | int | float
"""What joins an answer to its request."""


@dataclass(frozen=True, slots=True)
class Request:
    """Something wanted; ``id`` is None for a notification, which nobody answers."""

    id: FrameId | None
    method: str
    params: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer to a request of ours: its result, or with ``is_error`` its error."""

    id: FrameId
    result: Any = field(repr=False)
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Malformed:
    """What is neither; ``id`` is that of the answer, None where none was readable (§5)."""

    code: int
    message: str
    id: FrameId | None = None


Frame = Request | Response | Malformed


def parse(text: str) -> Frame:
    """Return what a text is. Never raises."""
    if len(text) > MAX_TEXT:
        return Malformed(PARSE_ERROR, f"A frame has at most {MAX_TEXT} characters")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        return _too_deep()
    except ValueError as error:  # also of a number with thousands of digits
        return Malformed(PARSE_ERROR, str(error) if isinstance(error, _RefusedError) else "The frame is not valid JSON")
    if isinstance(value, list):
        return Malformed(INVALID_REQUEST, "Batches are not supported")
    if not isinstance(value, dict):
        return Malformed(INVALID_REQUEST, "A frame is an object")
    if not _is_shallow(value):
        return _too_deep()
    if "\\u" in text and not _is_unicode(value):
        return Malformed(PARSE_ERROR, "A text in the frame is not valid Unicode")
    return _frame(value)


def request_text(frame_id: FrameId, method: str, params: Mapping[str, Any]) -> str:
    """Return a request."""
    return _dumps({"jsonrpc": "2.0", "id": frame_id, "method": method, "params": params})


def result_text(frame_id: FrameId, result: Mapping[str, Any]) -> str:
    """Return the answer to a request that was carried out."""
    return _dumps({"jsonrpc": "2.0", "id": frame_id, "result": result})


def error_text(frame_id: FrameId | None, code: int, message: str) -> str:
    """Return the answer to one that was not understood."""
    return _dumps({"jsonrpc": "2.0", "id": frame_id, "error": {"code": code, "message": message}})


class _RefusedError(ValueError):
    """Valid by the grammar, and refused."""


def _dumps(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _RefusedError("A name occurs twice in an object")
    return value


def _no_constant(_name: str) -> Any:
    raise _RefusedError("NaN and Infinity are no JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _RefusedError("A number is too large")
    return value


def _too_deep() -> Malformed:
    return Malformed(PARSE_ERROR, f"A frame is nested at most {MAX_DEPTH} deep")


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for one in level:
            below += [
                inner for inner in (one.values() if isinstance(one, dict) else one) if type(inner) in (dict, list)
            ]
        if not below:
            return True
        level = below
    return False


def _is_unicode(value: Any) -> bool:
    """Whether no text has half of a surrogate pair, which no UTF-8 can carry on."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_ID
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return -_MAX_NUMBER <= value < _MAX_NUMBER
    return isinstance(value, float)


def _frame(value: dict[str, Any]) -> Frame:
    frame_id = value.get("id")
    if not (_is_id(frame_id) or (frame_id is None and "id" not in value)):
        # JSON-RPC 2.0 §4: null is to be avoided in a request; in an answer it tells of a frame that was not read.
        return Malformed(INVALID_REQUEST, f"An id is a number, or a text of at most {MAX_ID} characters")
    if value.get("jsonrpc") != "2.0":
        return Malformed(INVALID_REQUEST, 'A frame says "jsonrpc": "2.0"', frame_id)
    if "method" in value:
        return _request(value, frame_id)
    if frame_id is not None and ("result" in value) != ("error" in value):
        return Response(frame_id, value.get("result", value.get("error")), is_error="error" in value)
    return Malformed(INVALID_REQUEST, "A frame has a method, or an id and either result or error", frame_id)


def _request(value: dict[str, Any], frame_id: FrameId | None) -> Frame:
    method = value["method"]
    if not isinstance(method, str) or not 0 < len(method) <= MAX_ID:
        return Malformed(INVALID_REQUEST, f"A method is a text of at most {MAX_ID} characters", frame_id)
    params = value.get("params", {})
    if not isinstance(params, dict):
        return Malformed(INVALID_PARAMS, "Parameters are an object", frame_id)
    return Request(frame_id, method, params)
