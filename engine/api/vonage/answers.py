"""JSON in, JSON out: what all resources of the Voice API have in common. Nothing that came is repeated in an error."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from engine.api.errors import ApiError

__all__ = (
    "CALL",
    "CALLS",
    "PREFIX",
    "VoiceError",
    "json_answer",
    "no_content",
    "query_of",
    "read_object",
    "refusal",
    "request_object",
    "wrong",
)

PREFIX = "/v1"
CALLS = f"{PREFIX}/calls"
CALL = f"{CALLS}/{{uuid}}"
BODY_S = 15.0
"How long a request's body may take to come."
MAX_DEPTH = 32
"Of objects and lists in each other."
MAX_FIELDS = 50
"Of a query."
_TITLES = {
    400: ("BAD_REQUEST", "Bad Request"),
    401: ("UNAUTHORIZED", "Unauthorized"),
    403: ("FORBIDDEN", "Forbidden"),
    404: ("NOT_FOUND", "Not found"),
    405: ("METHOD_NOT_ALLOWED", "Method not allowed"),
    408: ("REQUEST_TIMEOUT", "Request timeout"),
    409: ("CONFLICT", "Conflict"),
    413: ("PAYLOAD_TOO_LARGE", "Payload too large"),
    429: ("TOO_MANY_REQUESTS", "Too many requests"),
    503: ("SERVICE_UNAVAILABLE", "Service unavailable"),
}


class VoiceError(ApiError):
    """A request cannot be done; ``invalid`` says of parameters what is wrong with them."""

    def __init__(
        self,
        status: int,
        message: str = "",
        *,
        invalid: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, 0, message, headers=headers)
        self.invalid = dict(invalid or {})


def wrong(name: str, what: str) -> VoiceError:
    """Return the error for a parameter that is no good; ``what`` is a sentence that says what is wanted."""
    return VoiceError(400, invalid={name: what})


def refusal(error: ApiError) -> web.Response:
    """Return an error as the vendor tells it."""
    status = error.status
    fallback = ("INTERNAL_SERVER_ERROR", "Internal server error") if status >= 500 else _TITLES[400]
    kind, title = _TITLES.get(status, fallback)
    body: dict[str, object] = {"type": kind, "error_title": title}
    if isinstance(error, VoiceError) and error.invalid:
        body["invalid_parameters"] = error.invalid
    if error.message:
        body["detail"] = error.message
    answer = json_answer(body, status)
    answer.headers.update(error.headers)
    return answer


def json_answer(body: Mapping[str, object], status: int = 200) -> web.Response:
    """Return an answer as the vendor sends it."""
    return web.Response(text=json.dumps(body), status=status, content_type="application/json")


def no_content() -> web.Response:
    """Return the answer to a change that tells nothing."""
    return web.Response(status=204)


async def request_object(request: web.Request) -> dict[str, Any]:
    """Read the JSON object in a request's body; raise ``ApiError`` for one that is none (400) or late (408).

    Whatever the body calls itself, it is taken when it is JSON; one that is too large is refused by the server (413).
    """
    try:
        async with asyncio.timeout(BODY_S):
            body = await request.read()
    except TimeoutError:
        raise VoiceError(408, "The body did not come in time") from None
    return read_object(body)


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that octets are; raise ``VoiceError`` (400) when they are none."""
    try:
        value = json.loads(body, object_pairs_hook=_once, parse_float=_float, parse_constant=_no_number)
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise VoiceError(400, "The body has to be a JSON object in UTF-8 whose names are there once") from None
    if not isinstance(value, dict):
        raise VoiceError(400, "The body has to be a JSON object")
    if not _is_shallow(value, MAX_DEPTH):
        raise VoiceError(400, f"The body goes deeper than {MAX_DEPTH} objects and lists")
    return value


def query_of(request: web.Request) -> dict[str, str]:
    """Return the parameters of a request's query; raise ``VoiceError`` (400) when it is none."""
    text = request.rel_url.raw_query_string
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise VoiceError(400, f"The query is no form in UTF-8, or has more than {MAX_FIELDS} fields") from None
    return dict(pairs)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError
    return value


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _no_number(_text: str) -> float:
    raise ValueError


def _is_shallow(value: object, depth: int) -> bool:
    layer = [value]
    for _ in range(depth):
        layer = [
            inner
            for one in layer
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not layer:
            return True
    return False
