"""Forms in, JSON out: what all resources of this dialect have in common.

Paths are ``/2010-04-01/Accounts/{account}/...`` (`ACCOUNT`), names end in ``.json``; dates in bodies come from
``dialects.twilio.rfc2822_date``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import parse_qsl

from aiohttp import web

from engine.api.errors import ApiError, not_found
from engine.dialects.twilio import API_VERSION, error_body, id_of

__all__ = (
    "ACCOUNT",
    "Form",
    "error_answer",
    "exactly_one",
    "json_answer",
    "no_content",
    "path_id",
    "query_form",
    "read_form",
    "request_form",
    "wrong_value",
)

ACCOUNT = f"/{API_VERSION}/Accounts/{{account}}"
"Beginning of the route of everything that belongs to an account."
FORM_TYPE = "application/x-www-form-urlencoded"
BODY_S = 15.0
"How long a request's body may take to come."
MAX_FIELDS = 500
"Of one form: ``Parameter`` of a payment is one field, whatever is in it."
MAX_NAME = 128
"Characters of a field's name."


class Form:
    """The fields of a request in their order; a name may come more than once."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs = tuple(pairs)
        self._values: dict[str, list[str]] = {}
        for name, value in self.pairs:
            self._values.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def one(self, name: str, default: str = "") -> str:
        """Return a field's value, the last one if it came repeatedly."""
        values = self._values.get(name)
        return values[-1] if values else default

    def all(self, name: str) -> tuple[str, ...]:
        """Return all values of a field."""
        return tuple(self._values.get(name, ()))

    @property
    def names(self) -> tuple[str, ...]:
        """The fields' names, each once."""
        return tuple(self._values)

    def values(self) -> dict[str, str]:
        """Return each field with its last value."""
        return {name: values[-1] for name, values in self._values.items()}

    def __repr__(self) -> str:
        return f"Form({', '.join(self._values)})"  # values are no business of a log


async def request_form(request: web.Request) -> Form:
    """Read the form in a request's body; raise ``ApiError`` for one that is none (415, 400) or late (408).

    One that is too large is refused by the server (413).
    """
    try:
        async with asyncio.timeout(BODY_S):
            body = await request.read()
    except TimeoutError:
        raise ApiError(408, 20408, "The body did not come in time") from None
    if body and request.content_type != FORM_TYPE:
        raise ApiError(415, 20415, f"The body has to be {FORM_TYPE}")
    return read_form(body)


def read_form(body: bytes) -> Form:
    """Return the form that octets are; raise ``ApiError`` (400) when they are none."""
    try:
        # A client that does not escape what is beyond ASCII: taken as the UTF-8 that it must be.
        return _form(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise _not_a_form() from None


def query_form(request: web.Request) -> Form:
    """Return the fields of a request's query; raise ``ApiError`` (400) when it is none."""
    return _form(request.rel_url.raw_query_string)


def _form(text: str) -> Form:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:  # UnicodeDecodeError is one
        raise _not_a_form() from None
    if any(len(name) > MAX_NAME for name, _ in pairs):
        raise _not_a_form()
    return Form(pairs)


def _not_a_form() -> ApiError:
    return ApiError(400, 20001, f"The fields are no form in UTF-8, or more than {MAX_FIELDS}")


def json_answer(body: Mapping[str, object], status: int = 200) -> web.Response:
    """Return an answer as the vendor sends it."""
    return web.Response(text=json.dumps(body), status=status, content_type="application/json", charset="utf-8")


def no_content() -> web.Response:
    """Return the answer to a deletion."""
    return web.Response(status=204)


def error_answer(error: ApiError) -> web.Response:
    """Return an error as the vendor tells it."""
    answer = json_answer(error_body(error.code, error.message, error.status), error.status)
    answer.headers.update(error.headers)
    return answer


def path_id(request: web.Request, name: str, kind: str) -> str:
    """Return the engine's identity in the SID that a path variable is; raise ``ApiError`` (404) when it is none."""
    identity = id_of(request.match_info[name], kind)
    if not identity:
        raise not_found(request.path)
    return identity


def exactly_one(form: Form, names: Sequence[str]) -> str:
    """Return which of some fields was given, empty values left out; empty when none or several were."""
    given = [name for name in names if form.one(name)]
    return given[0] if len(given) == 1 else ""


def wrong_value(name: str, what: str, code: int = 20001) -> ApiError:
    """Return the error for a field's value that is no good; ``what`` says what is wanted."""
    return ApiError(400, code, f"{name}: {what}")
