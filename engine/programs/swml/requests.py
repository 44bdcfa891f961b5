"""The method ``request`` of a SWML document: a web request whose answer sets variables (`dialects.md` §3.6).

Laws: it is not signed (§3.1), goes nowhere that the egress rules do not admit, and takes an answer of 64 KiB at most,
within ``MAX_TIMEOUT_S``. Whatever happens, all variables are set: none of an earlier request is left to be taken for an
answer of this one. Neither the log nor an error repeats what is sent, where to, or what came back. Redirects are
followed where the document set no header: one that says who asks is for the server that it was meant for.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from engine.dialects.swml.commands import Outcome
from engine.dialects.swml.methods import Request
from engine.dialects.urls import host_of, resolved, without_credentials
from engine.log import fields
from engine.net.http import MAX_RESPONSE, BadAnswer, HttpError, HttpResponse
from engine.net.signatures import FORM
from engine.net.web_client import WebRequest
from engine.programs.context import ProgramContext
from engine.programs.fetching import REDIRECTS

__all__ = ("RequestAction", "failed_request", "send_request")

log = logging.getLogger("engine.programs.swml")

TIMEOUT_S = 15.0
"Of a request that says nothing."
MAX_TIMEOUT_S = 60.0
MAX_HEADERS = 50
JSON = "application/json"
_NOT_THEIRS = frozenset(
    {
        *("accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "te", "trailer"),
        *("transfer-encoding", "upgrade", "user-agent"),
    }
)
"Headers that are not a document's to set: they say how the request is sent (RFC 9110 §7.6.1, RFC 9112 §6)."


def failed_request(request: Request, *, status: int = 0) -> dict[str, Any]:
    """Return the variables of a request that came to nothing; ``status`` of 0: there was no answer."""
    return {
        "request_url": without_credentials(resolved("", request.url)),
        "request_result": "failed",
        "return_value": "failed",
        "request_response_code": status,
        "request_response_body": "",
        "request_response_headers": {},
        "request_response": {},
    }


async def send_request(
    request: Request, *, context: ProgramContext, allow_insecure: bool, call_id: str
) -> dict[str, Any]:
    """Send a request and return the variables that it sets; nothing is raised.

    An answer of 2xx is a success, any other one a failure whose status, headers and body can be looked at.
    ``allow_insecure`` admits http.
    """
    failed = failed_request(request)
    timeout_s = min(request.timeout_s, MAX_TIMEOUT_S) if request.timeout_s > 0 else TIMEOUT_S
    try:
        wanted = _web_request(request, allow_insecure=allow_insecure)
        async with asyncio.timeout(timeout_s):
            answer = await context.web.fetch(
                wanted,
                timeout_s=timeout_s,
                max_response=MAX_RESPONSE,
                redirects=0 if request.headers else REDIRECTS,
            )
    except TimeoutError:
        _warn(request, f"no answer within {timeout_s:g} s", call_id)
        return failed
    except BadAnswer as error:
        _warn(request, str(error), call_id)
        return failed_request(request, status=error.status or 0)
    except (HttpError, ValueError, RecursionError) as error:
        _warn(request, "the body cannot be sent" if isinstance(error, RecursionError) else str(error), call_id)
        return failed
    return {**failed, **_of_answer(answer.response, saves=request.save_variables)}


def _warn(request: Request, reason: str, call_id: str) -> None:
    host = host_of(resolved("", request.url))
    log.warning("a request of a document failed: %s", reason, extra=fields(call=call_id, host=host))


def _web_request(request: Request, *, allow_insecure: bool) -> WebRequest:
    """Return the request as it is sent; raise ``ValueError`` for what can't be."""
    url = resolved("", request.url)
    if not url:
        raise ValueError("the URL must start with https:// and name a host")
    headers = [(name, value) for name, value in request.headers[:MAX_HEADERS] if _is_theirs(name)]
    content_type, body = _body(request.body) if request.method in ("POST", "PUT") else ("", b"")
    for name, value in headers:
        if name.lower() == "content-type":
            content_type = value
    return WebRequest(
        url=url,
        method=request.method,
        body=body,
        content_type=content_type,
        headers={name: value for name, value in headers if name.lower() != "content-type"},
        allow_insecure=allow_insecure,
    )


def _is_theirs(name: str) -> bool:
    lower = name.lower()
    return lower not in _NOT_THEIRS and not lower.startswith("proxy-")


def _body(body: str | Mapping[str, Any] | None) -> tuple[str, bytes]:
    """Return the type and the octets of a body: of a text what its first character makes most likely."""
    if body is None:
        return "", b""
    if not isinstance(body, str):
        return JSON, json.dumps(body, allow_nan=False).encode()
    start = body.lstrip()[:1]
    if start in ("{", "["):
        content_type = JSON
    elif start == "<":
        content_type = "text/xml"
    else:
        content_type = FORM if "=" in body else "text/plain; charset=utf-8"
    return content_type, body.encode(errors="replace")


def _of_answer(response: HttpResponse, *, saves: bool) -> dict[str, Any]:
    result = "success" if 200 <= response.status < 300 else "failed"
    text = response.body.decode(errors="replace")
    found: dict[str, Any] = {
        "request_result": result,
        "return_value": result,
        "request_response_code": response.status,
        "request_response_body": text,
        "request_response_headers": {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
        },
    }
    if saves:
        with suppress(ValueError, RecursionError):  # no JSON: there is nothing to be saved
            found["request_response"] = json.loads(text, parse_constant=_no_number)
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


class RequestAction:
    """A request as an ``engine.programs.actions.protocol.Action``; given up when the call is over."""

    def __init__(
        self,
        request: Request,
        context: ProgramContext,
        *,
        call_id: str,
        allow_insecure: bool,
        ended: Callable[[Outcome], None],
    ) -> None:
        """``ended`` takes the variables; it must not hold the program, and is not called after `stop` or `hang_up`."""
        self._request = request
        self._context = context
        self._call_id = call_id
        self._allow_insecure = allow_insecure
        self._ended = ended
        self._task: asyncio.Task[None] | None = None

    @property
    def wants_digits(self) -> bool:
        """Never."""
        return False

    def start(self, now: float) -> None:
        """Send it."""
        self._task = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        found = await send_request(
            self._request, context=self._context, allow_insecure=self._allow_insecure, call_id=self._call_id
        )
        self._ended(found)

    def digit(self, code: int, now: float) -> None:
        """Do nothing."""

    def digit_ended(self, now: float) -> None:
        """Do nothing."""

    def count_digit(self, source: str) -> None:
        """Do nothing."""

    def play_finished(self, token: int, by_digit: bool, now: float) -> None:
        """Do nothing."""

    def stop(self, now: float) -> None:
        """Give it up."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def hang_up(self, now: float) -> None:
        """Give it up: nobody is left to look at the answer."""
        self.stop(now)

    async def done(self) -> None:
        """Wait until nothing is under way."""
        if self._task is not None:
            await asyncio.wait([self._task])
