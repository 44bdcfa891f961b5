"""An application of the Voice API, for interop tests: it serves NCCOs, and keeps what it was told.

Every request is checked with the vendor's own helper, ``vonage_jwt.verify_signature``, and its ``payload_hash`` against
the body: one that is not signed as it should be is answered 403 and kept in ``forged``.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from vonage import Auth, HttpClientOptions, Vonage
from vonage_jwt import VonageVerifyJwtError, verify_signature

from engine.api.certificates import make_certificate
from tests.support.engine import RunningEngine, free_udp_port, running_engine
from tests.support.gateway import BASIC_AUTH, FakeGateway
from tests.support.vonage_3 import OldSdk
from tests.support.web_server import serving

__all__ = (
    "API_KEY",
    "APPLICATION",
    "ENVIRONMENT",
    "SECRET",
    "Answer",
    "AppKeys",
    "Received",
    "Scene",
    "VonageApp",
    "make_keys",
    "running_app",
    "running_scene",
    "vonage_toml",
)

APPLICATION = "78d335fa-323d-0114-9c3d-d6f0d48968cf"
API_KEY = "abcd1234"
SECRET = "a-signature-secret-of-the-tests-0"
ENVIRONMENT = {"PAYTONE_TEST_VONAGE_SECRET": SECRET, "PAYTONE_TEST_GATEWAY_PASSWORD": BASIC_AUTH[1]}
"What an engine with `vonage_toml` wants to find."
WAIT_S = 45.0

Members = Mapping[str, Any]
Answer = Sequence[Any] | str | web.Response | Callable[[Members], "Sequence[Any] | str | web.Response"]
"An NCCO, a text, a whole answer, or what makes one of the request's members."


@dataclass(frozen=True, slots=True, kw_only=True)
class AppKeys:
    """The key pair of an application."""

    private: str = field(repr=False)
    "PEM, as the vendor hands it out."
    public: Path
    "PEM file."


def make_keys(directory: Path, name: str = "application") -> AppKeys:
    """Make a key pair; its public half goes into a file of ``directory``."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = directory / f"{name}.pub.pem"
    directory.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return AppKeys(private=private.decode(), public=path)


def vonage_toml(
    app_url: str,
    gateway: FakeGateway,
    *,
    directory: Path,
    keys: AppKeys,
    tls_port: int,
    proxy_port: int,
    app: str = "",
    settings: str = "",
    more: str = "",
) -> str:
    """Return the configuration of an engine whose calls to ``shop`` and ``menu`` run the application at ``app_url``.

    The certificate is made in ``directory``; ``app`` and ``settings`` are further lines of ``[app.shop]`` and
    ``[vonage]``. The gateway takes payments by `dialects.md` §7.2.
    """
    files = make_certificate(directory / "tls")
    return f"""
[connector.bank]
type = "twilio"
url = "{gateway.url}"
user = "{BASIC_AUTH[0]}"
password_env = "PAYTONE_TEST_GATEWAY_PASSWORD"
allow_insecure = true

[webhooks]
allow = ["127.0.0.0/8"]

[vonage]
api_key = "{API_KEY}"
signature_secret_env = "PAYTONE_TEST_VONAGE_SECRET"
allow_insecure_callbacks = true
{settings}

[app.shop]
dialect = "ncco"
application_id = "{APPLICATION}"
public_key = "{keys.public}"
answer_url = "{app_url}/answer"
event_url = "{app_url}/event"
fallback_url = "{app_url}/fallback"
connector = "bank"
number = "15550100001"
{app}

[[route]]
to = "shop"
app = "shop"

[[route]]
to = "menu"
app = "shop"

[recording]
directory = "recordings"

[api]
tls_listen = "127.0.0.1:{tls_port}"
proxy_listen = "127.0.0.1:{proxy_port}"

[api.tls]
certificate = "{files.certificate}"
key = "{files.key}"

[log]
level = "debug"
{more}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request of the engine."""

    path: str
    method: str
    members: dict[str, Any]
    "Of the JSON body, or of a GET the query."
    claims: dict[str, Any]


@dataclass(slots=True)
class VonageApp:
    """What the application answers, by path, and what it was told, in order."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)
    "Requests that were not signed as they should be: path, and what was wrong."
    files: dict[str, bytes] = field(default_factory=dict)
    "Audio by path."
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, path: str, uuid: str = "") -> list[dict[str, Any]]:
        """Return the members of all requests to a path, of one call if a ``uuid`` is given."""
        return [
            request.members
            for request in self.received
            if request.path == path and uuid in ("", request.members.get("uuid"))
        ]

    async def wait_for(self, path: str, *, count: int = 1, uuid: str = "", timeout_s: float = WAIT_S) -> dict[str, Any]:
        """Wait until a path was asked for ``count`` times; return the members of the last of them."""
        await self.wait_until(lambda: len(self.of(path, uuid)) >= count, timeout_s=timeout_s)
        return self.of(path, uuid)[count - 1]

    async def event(self, status: str, uuid: str = "", *, timeout_s: float = WAIT_S) -> dict[str, Any]:
        """Wait for the event with a ``status`` at the application's event URL, and return it."""
        found: list[dict[str, Any]] = []

        def came() -> bool:
            found[:] = [told for told in self.of("/event", uuid) if told.get("status") == status]
            return bool(found)

        await self.wait_until(came, timeout_s=timeout_s)
        return found[0]

    def states(self, uuid: str) -> list[str]:
        """Return what was told of a call to the event URL, in order: states, and what else has a type."""
        return [told.get("type") or told.get("status", "") for told in self.of("/event", uuid)]

    async def wait_until(self, is_so: Callable[[], bool], *, timeout_s: float = WAIT_S) -> None:
        """Wait until something is so, asked again after each request."""
        try:
            async with asyncio.timeout(timeout_s):
                while not is_so():
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            told = [(request.path, request.members) for request in self.received]
            raise AssertionError(f"it was not told within {timeout_s:g} s, but: {told}") from None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Check, keep and answer a request."""
        if request.path in self.files:
            return web.Response(body=self.files[request.path], content_type="audio/wav")
        body = await request.read()
        claims, fault = _judged(request.headers.get("Authorization", ""), body)
        if fault:
            self.forged.append(f"{request.method} {request.path}: {fault}")
            self._came.set()
            return web.Response(status=403)
        members = json.loads(body) if body else dict(request.query)
        self.received.append(Received(path=request.path, method=request.method, members=members, claims=dict(claims)))
        self._came.set()
        answer = self.answers.get(request.path, "")
        if callable(answer):
            answer = answer(members)
        if isinstance(answer, web.Response):
            # An answer is sent once: a path may be asked again.
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        if isinstance(answer, str):
            return web.Response(text=answer) if answer else web.Response(status=204)
        return web.json_response(answer)


def _judged(authorization: str, body: bytes) -> tuple[Members, str]:
    """Return the claims of a signed request, and what is wrong with it (empty: nothing)."""
    scheme, _, token = authorization.partition(" ")
    if scheme != "Bearer":
        return {}, "no token"
    try:
        if not verify_signature(token, SECRET):
            return {}, "signed with another secret"
    except VonageVerifyJwtError as error:
        return {}, repr(error)
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    wanted = {
        "iss": "Vonage",
        "api_key": API_KEY,
        "application_id": APPLICATION,
        "payload_hash": hashlib.sha256(body).hexdigest(),
    }
    wrong = [name for name, value in wanted.items() if claims.get(name) != value]
    return claims, f"claims {wrong}" if wrong else ""


@asynccontextmanager
async def running_app() -> AsyncIterator[VonageApp]:
    """Run an application on a free port of loopback; nothing of it may have been forged in the end."""
    app = VonageApp()
    async with serving(app.handle) as app.url:
        yield app
    assert app.forged == []


@dataclass(slots=True, kw_only=True)
class Scene:
    """An engine, its gateway and its application, with the vendor's library pointed at it in both generations."""

    engine: RunningEngine
    app: VonageApp
    gateway: FakeGateway
    keys: AppKeys
    host: str
    "Of the API, with its port."
    proxy: str
    "URL of the engine's proxy."
    ca: Path

    def sdk(self, auth: Auth | None = None) -> Any:
        """Return a client of 4.x; ``auth`` in place of the application's own key."""
        own = auth or Auth(application_id=APPLICATION, private_key=self.keys.private)
        return Vonage(own, HttpClientOptions(api_host=self.host))

    def old_sdk(self, keys: AppKeys | None = None) -> OldSdk:
        """Return a client of 3.18, not started yet; ``keys`` in place of the application's own."""
        private_key = (keys or self.keys).private
        return OldSdk(host=self.host, application_id=APPLICATION, private_key=private_key, ca=self.ca)

    async def do(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Carry out what blocks."""
        return await asyncio.get_running_loop().run_in_executor(None, functools.partial(work, *arguments, **named))


@asynccontextmanager
async def running_scene(directory: Path, *, app: str = "", settings: str = "", more: str = "") -> AsyncIterator[Scene]:
    """Run all of it on loopback (``app``, ``settings``, ``more``: see `vonage_toml`).

    In the end nothing was forged, the gateway was spoken to as it wants it, and no secret is in the engine's log.
    """
    keys, port, proxy_port = make_keys(directory / "keys"), free_udp_port(), free_udp_port()
    async with running_app() as application, FakeGateway(wire="twilio") as gateway:
        toml = vonage_toml(
            application.url,
            gateway,
            directory=directory,
            keys=keys,
            tls_port=port,
            proxy_port=proxy_port,
            app=app,
            settings=settings,
            more=more,
        )
        ca = directory / "tls" / "ca.pem"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REQUESTS_CA_BUNDLE", str(ca))
            async with running_engine(toml, directory=directory / "engine", environment=ENVIRONMENT) as engine:
                yield Scene(
                    engine=engine,
                    app=application,
                    gateway=gateway,
                    keys=keys,
                    host=f"localhost:{port}",
                    proxy=f"http://127.0.0.1:{proxy_port}",
                    ca=ca,
                )
    assert gateway.violations == []
    assert not [secret for secret in ENVIRONMENT.values() if secret in engine.log]
    assert "Traceback" not in engine.log, engine.log
