"""The HTTP interface of an engine that has no telephone: a server on loopback, calls that a test plays."""

from __future__ import annotations

import asyncio
import base64
import functools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import aiohttp

from engine.api.deps import ApiDeps, Resource
from engine.api.server import ApiServer
from engine.config import Config, parse
from engine.errors import CallError, MediaError
from engine.ledger import Ledger
from engine.media import Room
from engine.net.dialling import OutboundCall
from engine.program import CallControl, CallState, Program
from engine.programs.context import ProgramContext
from tests.support.call_control import FakeCall

__all__ = (
    "ACCOUNT_SID",
    "API_TOML",
    "AUTH",
    "KEY_AUTH",
    "ApiScene",
    "FakeExchange",
    "api_scene",
    "authorization",
    "config_of",
)

ACCOUNT_SID = "AC" + "a" * 32
TOKEN = "token-of-the-account"
KEY_SID = "SK" + "b" * 32
KEY_SECRET = "secret-of-the-key"
AUTH = (ACCOUNT_SID, TOKEN)
KEY_AUTH = (KEY_SID, KEY_SECRET)
ENVIRONMENT = {"TEST_TWILIO_TOKEN": TOKEN, "TEST_TWILIO_KEY": KEY_SECRET}
"What `api_scene` wants to find in the environment."
API_TOML = f"""
[api]
listen = "127.0.0.1:0"
[twilio]
account_sid = "{ACCOUNT_SID}"
auth_token_env = "TEST_TWILIO_TOKEN"
[[twilio.api_key]]
sid = "{KEY_SID}"
secret_env = "TEST_TWILIO_KEY"
[connector.sandbox]
type = "sandbox"
database = ":memory:"
[outbound]
gateway = "sip:gw.example.com"
"""

_T = TypeVar("_T")


def authorization(auth: tuple[str, str] | None = AUTH) -> dict[str, str]:
    """Return the header of user and password (RFC 7617)."""
    return {} if auth is None else {"Authorization": "Basic " + base64.b64encode(":".join(auth).encode()).decode()}


class FakeExchange:
    """``engine.program.Exchange`` whose calls a test plays."""

    def __init__(self) -> None:
        self.up: dict[str, FakeCall] = {}
        self.placed: list[OutboundCall] = []
        self.refuse: CallError | None = None

    def call(self, call_id: str) -> CallControl | None:
        found = self.up.get(call_id)
        return None if found is None else cast(CallControl, found)

    def open_room(self) -> Room:
        raise MediaError("there is no media plane here")

    def place(
        self,
        wanted: OutboundCall,
        make_program: Callable[[CallControl], Program],
        *,
        beside: CallControl | None = None,
    ) -> CallControl:
        if self.refuse is not None:
            raise self.refuse
        self.placed.append(wanted)
        call = self.add(
            f"{len(self.placed):032x}", state=CallState.QUEUED, direction="out", caller=wanted.caller, dialled=wanted.to
        )
        call.program = make_program(cast(CallControl, call))
        return cast(CallControl, call)

    def add(self, call_id: str, *, state: CallState = CallState.ANSWERED, **facts: Any) -> FakeCall:
        """Let there be a call."""
        self.up[call_id] = call = FakeCall(state=state, call_id=call_id, **facts)
        return call


@dataclass
class ApiScene:
    """A server that runs, and a client of it; ``url`` is its base."""

    server: ApiServer
    exchange: FakeExchange
    ledger: Ledger
    deps: ApiDeps
    session: aiohttp.ClientSession
    url: str
    seen: list[Any] = field(default_factory=list)

    @property
    def account(self) -> str:
        """URL of the account's resources, without a slash at its end."""
        return f"{self.url}/2010-04-01/Accounts/{ACCOUNT_SID}"

    async def ask(
        self,
        method: str,
        path: str,
        *,
        auth: tuple[str, str] | None = AUTH,
        headers: Mapping[str, str] | None = None,
        **request: Any,
    ) -> tuple[int, Any]:
        """Return status and JSON body of a request below the account; the body is None where there is none."""
        headers = {**(headers or {}), **authorization(auth)}
        async with self.session.request(method, self.account + path, headers=headers, **request) as answer:
            return answer.status, (await answer.json() if await answer.read() else None)

    async def in_thread(self, work: Callable[..., _T], *arguments: Any, **named: Any) -> _T:
        """Run a blocking client, such as the vendor's, beside the server's loop."""
        return await asyncio.get_running_loop().run_in_executor(None, functools.partial(work, *arguments, **named))

    def sdk(self) -> Any:
        """Return the vendor's client, pointed here (`dialects.md` §8)."""
        from twilio.rest import Client

        client = Client(ACCOUNT_SID, TOKEN)
        client.api.base_url = self.url
        return client


def config_of(toml: str = "") -> Config:
    """Return the configuration of a scene with tables added or, where they have the same header, replaced."""
    return parse(API_TOML + toml)


@asynccontextmanager
async def api_scene(
    ledger: Ledger,
    resources: Sequence[Resource],
    *,
    config: Config | None = None,
    exchange: FakeExchange | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    public: Sequence[str] = (),
    **context: Any,
) -> AsyncIterator[ApiScene]:
    """Serve ``resources``; the environment must hold `ENVIRONMENT`. ``context`` are fields of `ProgramContext`."""
    config = config or config_of()
    exchange = exchange or FakeExchange()
    loop = asyncio.get_running_loop()
    values = dict.fromkeys(ProgramContext.__dataclass_fields__) | {
        "config": config,
        "exchange": exchange,
        "clock": clock,
        "payments": SimpleNamespace(now=loop.time),
        **context,
    }
    deps = ApiDeps(
        config=config, exchange=exchange, ledger=ledger, context=ProgramContext(**cast(dict[str, Any], values))
    )
    server = await ApiServer.start(deps, resources, public=public)
    try:
        assert server.http_address is not None
        url = f"http://127.0.0.1:{server.http_address[1]}"
        async with aiohttp.ClientSession() as session:
            yield ApiScene(server, exchange, ledger, deps, session, url)
    finally:
        await server.stop()
