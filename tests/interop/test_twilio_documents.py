"""Documents that no application should send: the call ends or goes on as the reference says, and the log says why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from twilio.twiml.voice_response import VoiceResponse

from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState
from tests.support.caller import VISA, Script, pay
from tests.support.engine import RunningEngine, running_engine
from tests.support.twiml_app import TOKEN, TOKEN_ENV, Answer, TwimlApp, running_app, twilio_toml
from tests.support.web_server import serving

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240), pytest.mark.asyncio]

ENTITIES = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
LAUGHS = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{ENTITIES}]><Response><Say>&l9;</Say></Response>'
EXTERNAL = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><Response><Say>&f;</Say></Response>'
BIG = "<Response>" + "<Say>a</Say>" * 900_000 + "</Response>"  # 10 MB
DEEP = "<Response>" + "<Gather>" * 1000 + "</Gather>" * 1000 + "</Response>"
BROKEN: dict[str, tuple[Answer, str]] = {
    "external entity": (EXTERNAL, "12100"),
    "billion laughs": (LAUGHS, "12100"),
    "10 MB": (BIG, "11200|11205|12100"),
    "deep": (DEEP, "12100"),
    "no XML": ("Hello", "12100|12300"),
    "another root": ("<Responses/>", "12100"),
    "wrong type": (lambda _: web.Response(body=b"\x00\x01", content_type="image/png"), "12300"),
    "server error": (lambda _: web.Response(status=500), "11200"),
    "redirects for ever": ("<Response><Redirect>/voice</Redirect></Response>", "redirect|Redirect"),
    "HTTP redirects for ever": (lambda _: web.Response(status=302, headers={"Location": "/voice"}), "11200"),
}


async def call_over(engine: RunningEngine, *, timeout_s: float = 60.0) -> None:
    """Call, and wait until the engine ends it."""
    async with Softphone() as phone:
        await phone.call(engine.uri("shop"))
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=timeout_s)


async def test_documents_that_cannot_be_run_end_their_call_and_say_why(tmp_path: Path) -> None:
    async with running_app() as app:
        toml = twilio_toml(f"{app.url}/voice")
        async with running_engine(toml, directory=tmp_path, environment={TOKEN_ENV: TOKEN}) as engine:
            for name, (answer, code) in BROKEN.items():
                app.answers = {"/voice": answer}
                first = len(engine.lines)
                await call_over(engine)
                await engine.wait_for("call ended", count=1)
                said = "\n".join(engine.lines[first:])
                assert any(part in said for part in code.split("|")), (name, said)
                assert "Traceback" not in said
                assert "root:x:0" not in said
                assert len(said) < 60_000, name
            # And the engine is as it was.
            document = VoiceResponse()
            document.pay(action="/paid", charge_amount="25.00")
            app.answers = {"/voice": str(document), "/paid": "<Response/>"}
            await pay(engine, Script.good(), user="shop")
            assert app.of("/paid")[-1]["Result"] == "success"
            assert not app.forged


async def test_a_fallback_takes_the_call_of_a_document_that_cannot_be_run(tmp_path: Path) -> None:
    async with running_app() as app:
        toml = twilio_toml(f"{app.url}/voice").replace(
            f'url = "{app.url}/voice"\n', f'url = "{app.url}/voice"\nfallback_url = "{app.url}/fallback"\n'
        )
        app.answers = {"/voice": "<Response><Say>", "/fallback": "<Response><Hangup/></Response>"}
        async with running_engine(toml, directory=tmp_path, environment={TOKEN_ENV: TOKEN}) as engine:
            await call_over(engine)
            told = await app.wait_for("/fallback")
            assert (told["ErrorCode"], told["ErrorUrl"]) == ("12100", f"{app.url}/voice")


async def test_an_action_that_hangs_holds_no_other_call_and_the_document_goes_on(tmp_path: Path) -> None:
    hangs = asyncio.Event()

    async def hang(app: TwimlApp, request: web.Request) -> web.StreamResponse:
        if request.path == "/paid" and not hangs.is_set():
            await request.read()
            hangs.set()
            await asyncio.sleep(60)
        return await app.handle(request)

    async with running_app() as app, serving(lambda request: hang(app, request)) as url:
        document = VoiceResponse()
        document.pay(action="/paid", charge_amount="25.00")
        document.redirect("/next")
        app.answers = {"/voice": str(document), "/next": "<Response/>", "/paid": "<Response/>"}
        toml = twilio_toml(f"{url}/voice").replace("[app.shop]", "document_timeout_s = 4.0\n\n[app.shop]")
        async with running_engine(toml, directory=tmp_path, environment={TOKEN_ENV: TOKEN}) as engine:
            await pay(engine, Script.good(), user="shop")
            await app.wait_for("/next")
            # The result is not lost: it is delivered once the application answers again.
            told = await app.wait_for("/paid", timeout_s=60)
            assert told["Result"] == "success"
            assert told["PaymentCardNumber"].endswith(VISA[-4:])
            assert not app.forged
