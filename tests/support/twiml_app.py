"""An application with TwiML documents, for interop tests: it serves what a test says and keeps what it was sent.

Every request is checked with the vendor's own ``twilio.request_validator.RequestValidator``: one that is not signed as
it should be is answered 403 and kept in ``forged``.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import numpy as np
from aiohttp import web
from twilio.request_validator import RequestValidator

from tests.support.web_server import serving

__all__ = ("ACCOUNT", "TOKEN", "TOKEN_ENV", "Answer", "Received", "TwimlApp", "running_app", "tone_wav", "twilio_toml")

ACCOUNT = "AC" + "0123456789abcdef" * 2
TOKEN = "a-token-of-the-tests"
TOKEN_ENV = "PAYTONE_TEST_TWILIO_TOKEN"

Parameters = Mapping[str, str]
Answer = str | web.StreamResponse | Callable[[Parameters], "str | web.StreamResponse"]
"A document, a whole answer, or what makes one of the request's parameters."


def twilio_toml(app_url: str, *, api: str = "", more: str = "") -> str:
    """Return the configuration of an engine whose calls to ``shop`` run the application at ``app_url``."""
    return f"""
[connector.sandbox]
type = "sandbox"
database = "sandbox.sqlite3"

[webhooks]
allow = ["127.0.0.0/8"]

[twilio]
account_sid = "{ACCOUNT}"
auth_token_env = "{TOKEN_ENV}"
allow_insecure_callbacks = true

[app.shop]
dialect = "twiml"
url = "{app_url}"

[[route]]
to = "shop"
app = "shop"

[api]
{f'listen = "{api}"' if api else ""}

[log]
level = "debug"
{more}
"""


def tone_wav(frequency_hz: float, seconds: float = 0.6) -> bytes:
    """Return a WAV file with one tone that is no key's: what tells one prompt from another in a recording."""
    samples = 8000 * np.sin(2 * np.pi * frequency_hz * np.arange(round(8000 * seconds)) / 8000)
    data = samples.astype("<i2").tobytes()
    head = (
        b"RIFF"
        + struct.pack("<I", 36 + len(data))
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    )
    return head + b"data" + struct.pack("<I", len(data)) + data


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request of the engine."""

    path: str
    method: str
    parameters: dict[str, str]
    names: tuple[str, ...]
    "Of all parameters as they came, repeated ones too."


@dataclass(slots=True)
class TwimlApp:
    """What the application answers, by path, and what it was sent, in order."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    "Audio by path."
    hanging: set[str] = field(default_factory=set)
    "Paths that take their request and never answer."
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, path: str) -> list[dict[str, str]]:
        """Return the parameters of all requests to a path."""
        return [request.parameters for request in self.received if request.path == path]

    async def wait_for(self, path: str, *, count: int = 1, timeout_s: float = 30.0) -> dict[str, str]:
        """Wait until a path was asked for ``count`` times; return the parameters of the last of them."""
        async with asyncio.timeout(timeout_s):
            while len(self.of(path)) < count:
                self._came.clear()
                await self._came.wait()
        return self.of(path)[count - 1]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Check, keep and answer a request."""
        if request.path in self.files:
            return web.Response(body=self.files[request.path], content_type="audio/wav")
        pairs = parse_qsl((await request.read()).decode(), keep_blank_values=True)
        parameters = dict(pairs)
        url = str(request.url)
        if not RequestValidator(TOKEN).validate(url, parameters, request.headers.get("X-Twilio-Signature", "")):
            self.forged.append(f"{request.method} {request.path}")
            self._came.set()
            return web.Response(status=403, text="wrong signature")
        asked = parameters if request.method == "POST" else dict(request.query)
        self.received.append(
            Received(path=request.path, method=request.method, parameters=asked, names=tuple(name for name, _ in pairs))
        )
        self._came.set()
        if request.path in self.hanging:
            await asyncio.Event().wait()
        answer = self.answers.get(request.path, "")
        if callable(answer):
            answer = answer(asked)
        if isinstance(answer, web.StreamResponse):
            return answer
        return web.Response(text=answer, content_type="text/xml")


@asynccontextmanager
async def running_app(answers: Mapping[str, Answer] | None = None) -> AsyncIterator[TwimlApp]:
    """Run an application on a free port of loopback."""
    app = TwimlApp(answers=dict(answers or {}))
    async with serving(app.handle) as app.url:
        yield app
