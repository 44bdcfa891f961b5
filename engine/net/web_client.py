"""Signed requests to applications: one at once with its answer (documents, actions), or one that the outbox delivers.

A request is what a dialect wants said; here it gets its signature, its key from the environment, and for GET its form
parameters as a query. Redirects are followed only where the caller asks for it: vendors follow them for documents, and
nobody for a status. Each hop is judged by the egress rules and signed anew; 301, 302 and 303 go on as GET without the
body, 307 and 308 as they were (RFC 9110 §15.4); a password of the URL goes no further than its origin.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

from engine.net.http import MAX_RESPONSE, BadAnswer, HttpError, HttpResponse, split_url
from engine.net.signatures import FORM, SignatureKind, sign

__all__ = ("KeyMissing", "WebAnswer", "WebClient", "WebRequest", "WebSender", "key_of_environment")

TIMEOUT_S = 10.0
METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD"})
JSON = "application/json"


class KeyMissing(HttpError):  # noqa: N818
    """The environment variable with the signing key is not set: nothing is sent unsigned."""


class WebSender(Protocol):
    """What sends a request: ``HttpPool.request``, or a double of it."""

    def __call__(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str],
        body: bytes,
        timeout_s: float,
        max_response: int,
        allow_insecure: bool,
        redirects: bool,
        is_repeatable: bool,
    ) -> Awaitable[HttpResponse]:
        """Send one request; raise as ``HttpPool.request`` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebRequest:
    """A request as a dialect wants it."""

    url: str = field(repr=False)
    method: str = "POST"
    body: bytes = field(default=b"", repr=False)
    "Of a GET: form parameters, which become the query."
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    "Of the dialect, without secrets."
    signature: SignatureKind = SignatureKind.NONE
    key_env: str = ""
    "Name of the environment variable with the key that signs."
    claims: Mapping[str, str] = field(default_factory=dict)
    "Members of a JWT: `api_key`, `application_id`."
    allow_insecure: bool = False

    def check(self) -> None:
        """Raise ``ValueError`` for what can never be sent; its text repeats no part of the URL."""
        split_url(self.url, allow_insecure=self.allow_insecure)
        if self.method not in METHODS:
            raise ValueError(f"the method must be one of {', '.join(sorted(METHODS))}")
        if self.method == "GET" and self.body and self.content_type.partition(";")[0] != FORM:
            raise ValueError("a GET carries form parameters only")
        if (self.signature is not SignatureKind.NONE) != bool(self.key_env):
            raise ValueError("a signature and the name of its key's environment variable belong together")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebAnswer:
    """What came back."""

    response: HttpResponse
    url: str
    "Where it came from in the end, without user and password: relative addresses in a document start here."


def key_of_environment(variable: str) -> str:
    """Return the value of an environment variable; empty when it is not set."""
    return os.environ.get(variable, "")


class WebClient:
    """Signs and sends. ``clock`` and ``token_id`` give a JWT its time and its name."""

    def __init__(
        self,
        send: WebSender,
        *,
        clock: Callable[[], datetime],
        key_for: Callable[[str], str] = key_of_environment,
        token_id: Callable[[], str] = lambda: str(uuid4()),
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._send = send
        self._clock = clock
        self._key_for = key_for
        self._token_id = token_id
        self._timeout_s = timeout_s

    async def fetch(
        self,
        request: WebRequest,
        *,
        timeout_s: float | None = None,
        max_response: int = MAX_RESPONSE,
        redirects: int = 0,
        is_repeatable: bool = False,
    ) -> WebAnswer:
        """Send a request now and return its answer; follow as many ``redirects``.

        ``timeout_s`` bounds each hop. Raise ``ValueError`` for what can't be sent, else an ``HttpError``:
        ``KeyMissing``, ``EgressRefused``, ``NotSent``, ``Unanswered``, ``BadAnswer``.
        """
        request.check()
        for hop in range(redirects + 1):
            is_last = hop == redirects
            url, response = await self._once(
                request,
                timeout_s=self._timeout_s if timeout_s is None else timeout_s,
                max_response=max_response,
                redirects=not is_last,
                is_repeatable=is_repeatable,
            )
            if not 300 <= response.status < 400:
                break
            request = _redirected(request, url, response)
        return WebAnswer(response=response, url=split_url(url, allow_insecure=request.allow_insecure).bare_url)

    async def _once(
        self, request: WebRequest, *, timeout_s: float, max_response: int, redirects: bool, is_repeatable: bool
    ) -> tuple[str, HttpResponse]:
        url, body = request.url.partition("#")[0], request.body
        if request.method == "GET" and body:
            url += ("&" if "?" in url else "?") + body.decode("ascii")
            body = b""
        headers = {**request.headers}
        if body:
            headers["Content-Type"] = request.content_type
        if request.signature is not SignatureKind.NONE:
            key = self._key_for(request.key_env)
            if not key:
                raise KeyMissing(f"the environment variable {request.key_env} is not set: not sent unsigned")
            bare_url = split_url(url, allow_insecure=request.allow_insecure).bare_url
            signed = sign(
                request.signature,
                key,
                method=request.method,
                url=bare_url,
                content_type=request.content_type,
                body=body,
                now=self._clock(),
                token_id=self._token_id(),
                claims=request.claims,
            )
            headers |= signed.headers
            url = _with_password_of(url, signed.url)
        response = await self._send(
            request.method,
            url,
            headers=headers,
            body=body,
            timeout_s=timeout_s,
            max_response=max_response,
            allow_insecure=request.allow_insecure,
            redirects=redirects,
            is_repeatable=is_repeatable,
        )
        return url, response


def _redirected(request: WebRequest, url: str, response: HttpResponse) -> WebRequest:
    """Return the request that a redirect asks for; raise ``BadAnswer`` when it leads nowhere."""
    status, location = response.status, response.header("location")
    origin = split_url(url, allow_insecure=request.allow_insecure)
    if not location or status not in (301, 302, 303, 307, 308):
        raise BadAnswer(f"{origin.authority} redirects without saying where", status=status)
    try:
        joined = urljoin(origin.bare_url, location).partition("#")[0]
        target = split_url(joined, allow_insecure=request.allow_insecure)
    except ValueError as error:
        raise BadAnswer(f"{origin.authority} redirects to where nothing can be sent: {error}", status=status) from None
    if target.authority == origin.authority and target.is_https == origin.is_https:
        joined = _with_password_of(url, target.bare_url)
    else:
        joined = target.bare_url
    if request.method in ("GET", "HEAD"):
        return replace(request, url=joined, body=b"")  # its parameters stand in the new URL, or are not wanted there
    if status in (307, 308):
        return replace(request, url=joined)
    return replace(request, url=joined, method="GET", body=b"")


def _with_password_of(url: str, bare_url: str) -> str:
    userinfo, at, _ = urlsplit(url).netloc.rpartition("@")
    return bare_url.replace("://", f"://{userinfo}{at}", 1)
