"""An application with SWML documents, for interop tests: it serves what a test says and keeps what it was sent.

Every request for a document, and every post, is checked with the vendor's own
``signalwire.core.security.webhook_validator``: one that is not signed as it should be is answered 403 and kept in
``forged``. What ``request`` sends comes to ``/api/...`` and is not signed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from signalwire.core.security.webhook_validator import validate_webhook_signature, validate_webhook_signature_sha256

from tests.support.web_server import serving

__all__ = ("KEY", "KEY_ENV", "PROJECT", "Answer", "Received", "SwmlServer", "running_server", "swml_toml")

PROJECT = "5d1b4e9a-0000-4000-8000-000000000001"
KEY = "a-signing-key-of-the-tests"
KEY_ENV = "PAYTONE_TEST_SIGNING_KEY"

Answer = str | Mapping[str, Any] | web.StreamResponse | Callable[[Any], "str | Mapping[str, Any] | web.StreamResponse"]
"A text, a document or an answer to JSON as data, a whole answer, or what makes one of the request's body."


def swml_toml(apps: Mapping[str, str], *, more: str = "", settings: str = "") -> str:
    """Return the configuration of an engine with an application for each name, which is its route as well.

    ``apps`` has their settings beside the dialect: ``url = "..."``. ``settings`` goes on in ``[signalwire]``.
    """
    tables = "".join(
        f'[app.{name}]\ndialect = "swml"\n{text}\n\n[[route]]\nto = "{name}"\napp = "{name}"\n\n'
        for name, text in apps.items()
    )
    return f"""
[connector.sandbox]
type = "sandbox"
database = "sandbox.sqlite3"

[webhooks]
allow = ["127.0.0.0/8"]

[signalwire]
project = "{PROJECT}"
signing_key_env = "{KEY_ENV}"
space = "tests.example"
allow_insecure_callbacks = true
{settings}

{tables}
[log]
level = "debug"
{more}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request of the engine."""

    path: str
    method: str
    headers: Mapping[str, str]
    body: Any
    "JSON as data, or text."


@dataclass(slots=True)
class SwmlServer:
    """What the application answers, by path, and what it was sent, in order."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, path: str) -> list[Any]:
        """Return the bodies of all requests to a path."""
        return [request.body for request in self.received if request.path == path]

    def events(self, path: str) -> list[dict[str, Any]]:
        """Return what status posts to a path told, without what differs from call to call."""
        return [
            {"event_type": body["event_type"]}
            | {name: value for name, value in body["params"].items() if name not in ("call_id", "control_id")}
            for body in self.of(path)
        ]

    async def wait_for(self, path: str, *, count: int = 1, timeout_s: float = 30.0) -> Any:
        """Wait until a path was asked for ``count`` times; return the body of the last of them."""
        async with asyncio.timeout(timeout_s):
            while len(self.of(path)) < count:
                self._came.clear()
                await self._came.wait()
        return self.of(path)[count - 1]

    async def wait_until(self, holds: Callable[[], object], *, timeout_s: float = 30.0) -> None:
        """Wait until something holds of what came."""
        async with asyncio.timeout(timeout_s):
            while not holds():
                self._came.clear()
                await self._came.wait()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Check, keep and answer a request."""
        text = (await request.read()).decode()
        url = str(request.url)
        if not request.path.startswith("/api/") and not (
            validate_webhook_signature(KEY, request.headers.get("X-Signalwire-Signature", ""), url, text)
            and validate_webhook_signature_sha256(
                KEY, request.headers.get("X-Signalwire-SHA256-Signature", ""), url, text
            )
        ):
            self.forged.append(f"{request.method} {request.path}")
            self._came.set()
            return web.Response(status=403, text="wrong signature")
        try:
            body = json.loads(text)
        except ValueError:
            body = text
        self.received.append(
            Received(path=request.path, method=request.method, headers=dict(request.headers), body=body)
        )
        self._came.set()
        answer = self.answers.get(request.path, "")
        if callable(answer):
            answer = answer(body)
        if isinstance(answer, web.StreamResponse):
            return answer
        if isinstance(answer, str):
            return web.Response(text=answer, content_type="application/yaml")
        return web.json_response(answer)


@asynccontextmanager
async def running_server(answers: Mapping[str, Answer] | None = None) -> AsyncIterator[SwmlServer]:
    """Run an application on a free port of loopback."""
    app = SwmlServer(answers=dict(answers or {}))
    async with serving(app.handle) as app.url:
        yield app
