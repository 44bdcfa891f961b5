"""Calls of a real softphone to a TwiML application that is a real web server, which validates every signature."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import Gather, VoiceResponse

from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, SoundState
from tests.support.engine import RunningEngine, running_engine
from tests.support.process import free_port

pytestmark = [pytest.mark.interop, pytest.mark.asyncio, pytest.mark.timeout(180)]

ACCOUNT = "AC" + "0123456789abcdef" * 2
TOKEN = "a-token-for-tests"
WAIT_S = 60.0


class Application:
    """An application: a document for each path, and what was asked of it."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self.documents: dict[str, VoiceResponse] = {}
        self.hangs: set[str] = set()
        self.received: list[tuple[str, dict[str, str]]] = []
        self.unsigned: list[str] = []
        self._changed = asyncio.Condition()

    async def answer(self, request: web.Request) -> web.Response:
        parameters = {name: str(value) for name, value in (await request.post()).items()}
        signature = request.headers.get("X-Twilio-Signature", "")
        if not RequestValidator(TOKEN).validate(self.origin + request.path_qs, parameters, signature):
            self.unsigned.append(request.path)
        async with self._changed:
            self.received.append((request.path, parameters))
            self._changed.notify_all()
        if request.path in self.hangs:
            await asyncio.Event().wait()
        document = self.documents.get(request.path)
        if document is None:
            return web.Response(status=204)
        return web.Response(text=str(document), content_type="text/xml")

    async def wait_for(self, path: str, count: int = 1) -> dict[str, str]:
        """Return the parameters of the request number ``count`` to a path."""

        def found() -> list[dict[str, str]]:
            return [parameters for at, parameters in self.received if at == path]

        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(lambda: len(found()) >= count)
        return found()[count - 1]


@asynccontextmanager
async def running_application() -> AsyncIterator[Application]:
    port = free_port(socket.SOCK_STREAM)
    application = Application(port)
    server = web.Application()
    server.router.add_post("/{path:.*}", application.answer)
    runner = web.AppRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield application
    finally:
        await runner.cleanup()


def settings(application: Application) -> str:
    return f"""
[connector.sandbox]
type = "sandbox"

[webhooks]
allow = ["127.0.0.1"]

[twilio]
account_sid = "{ACCOUNT}"
auth_token_env = "TOKEN_FOR_TESTS"
document_timeout_s = 2.0

[app.shop]
dialect = "twiml"
url = "{application.origin}/voice"
status_callback = "{application.origin}/status"
status_events = ["ringing", "answered", "completed"]

[[route]]
to = "shop"
app = "shop"
"""


@asynccontextmanager
async def engine_of(application: Application, directory: Path) -> AsyncIterator[RunningEngine]:
    async with running_engine(
        settings(application), directory=directory, environment={"TOKEN_FOR_TESTS": TOKEN}
    ) as engine:
        yield engine


def prompts_of(engine: RunningEngine) -> set[Path]:
    """Return the files of rendered texts."""
    return {path for path in engine.files() if "prompt-cache" in path.parts}


async def test_say_gather_redirect_and_hangup(tmp_path: Path) -> None:
    async with running_application() as application:
        voice = VoiceResponse()
        voice.say("Welcome.")
        voice.redirect("/menu")
        menu = VoiceResponse()
        gather = Gather(action="/chosen", num_digits=4, timeout=20)
        gather.say("Please key four digits.")
        menu.append(gather)
        chosen = VoiceResponse()
        chosen.say("You keyed 3 1 4 1. Goodbye.")
        chosen.hangup()
        application.documents = {"/voice": voice, "/menu": menu, "/chosen": chosen}
        async with engine_of(application, tmp_path) as engine, Softphone() as phone:
            await phone.call(engine.uri("shop"))
            await phone.wait_state(CallState.CONFIRMED)
            await phone.wait_for_prompt()
            kept = prompts_of(engine)
            await phone.keys("3141")
            digits = await application.wait_for("/chosen")
            await phone.wait_sound(SoundState.BEGAN)
            await phone.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)
            completed = await application.wait_for("/status", 3)
            first = await application.wait_for("/voice")
        assert application.unsigned == []
        assert (first["CallStatus"], first["Direction"], first["To"]) == ("ringing", "inbound", "shop")
        assert first["AccountSid"] == ACCOUNT
        assert digits["Digits"] == "3141"
        assert digits["CallSid"] == first["CallSid"] == completed["CallSid"]
        told = [parameters for path, parameters in application.received if path == "/status"]
        assert [parameters["CallStatus"] for parameters in told] == ["ringing", "in-progress", "completed"]
        assert int(completed["CallDuration"]) >= 1
        assert "3141" not in engine.log
        assert len(kept) == 2
        assert prompts_of(engine) == kept  # what repeats the keys was said, and is kept nowhere
        assert [row["form"] for row in engine.ledger_rows("calls")] == ["shop"]


async def test_an_application_that_hangs_holds_its_own_call_only(tmp_path: Path) -> None:
    async with running_application() as application:
        voice = VoiceResponse()
        voice.redirect("/hangs")
        application.documents = {"/voice": voice}
        application.hangs = {"/hangs"}
        async with engine_of(application, tmp_path) as engine, Softphone() as first, Softphone() as second:
            await first.call(engine.uri("shop"))
            await application.wait_for("/hangs")
            greeting = VoiceResponse()
            greeting.say("Hello.")
            application.documents = {"/voice": greeting}
            await second.call(engine.uri("shop"))
            await second.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)
            # the first hears that something went wrong, once the application has had its time
            await first.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)
        assert "code=11200" in engine.log
        assert application.unsigned == []


async def test_a_reject_refuses_the_call_without_answering_it(tmp_path: Path) -> None:
    async with running_application() as application:
        voice = VoiceResponse()
        voice.reject(reason="busy")
        application.documents = {"/voice": voice}
        async with engine_of(application, tmp_path) as engine, Softphone() as phone:
            await phone.call(engine.uri("shop"))
            over = await phone.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)
            told = await application.wait_for("/status", 2)
        assert over.status == 486
        assert told["CallDuration"] == "0"
