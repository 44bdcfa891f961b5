"""The vendor's client places a call, gives it another document, ends it; real SIP, a real web application."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client
from twilio.twiml.voice_response import Gather, VoiceResponse

from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState
from tests.interop.test_twiml_call import ACCOUNT, TOKEN, WAIT_S, running_application, settings
from tests.support.engine import running_engine
from tests.support.process import free_port

pytestmark = [pytest.mark.interop, pytest.mark.asyncio, pytest.mark.timeout(180)]


async def do(work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, functools.partial(work, *arguments, **named))


def client_of(port: int) -> Any:
    client = Client(ACCOUNT, TOKEN)
    client.api.base_url = f"http://127.0.0.1:{port}"
    return client


async def status_of(client: Any, sid: str, wanted: str) -> Any:
    """Return the call once it has a status; there is none that ends in another."""
    async with asyncio.timeout(WAIT_S):
        while (call := await do(client.calls(sid).fetch)).status != wanted:
            assert call.status not in {"completed", "busy", "failed", "no-answer", "canceled"}, call.status
            await asyncio.sleep(0.05)
    return call


async def test_a_call_is_placed_redirected_and_ended_by_the_vendors_client(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_STREAM)
    async with running_application() as application:
        asks, other = VoiceResponse(), VoiceResponse()
        asks.append(Gather(action="/keyed", num_digits=2, timeout=30))
        other.append(Gather(action="/other-keyed", num_digits=1, timeout=30))
        application.documents = {"/voice": asks, "/keyed": asks, "/other": other, "/other-keyed": other}
        toml = settings(application) + f'\n[api]\nlisten = "127.0.0.1:{port}"\n'
        async with (
            running_engine(toml, directory=tmp_path, environment={"TOKEN_FOR_TESTS": TOKEN}) as engine,
            Softphone() as phone,
        ):
            client = client_of(port)
            placed = await do(
                client.calls.create,
                to=f"sip:ann@127.0.0.1:{phone.sip_port}",
                from_="+15550100001",
                url=f"{application.origin}/voice",
                status_callback=f"{application.origin}/status",
                status_callback_event=["initiated", "ringing", "answered", "completed"],
            )
            assert placed.status == "queued"
            await phone.wait_incoming()
            await status_of(client, placed.sid, "ringing")
            with pytest.raises(TwilioRestException) as early:
                await do(client.calls(placed.sid).update, twiml="<Response/>")
            assert early.value.code == 21220
            await phone.answer()
            await phone.wait_state(CallState.CONFIRMED)
            first = await application.wait_for("/voice")
            assert (first["CallSid"], first["Direction"]) == (placed.sid, "outbound-api")
            assert (await status_of(client, placed.sid, "in-progress")).sid == placed.sid
            assert [call.sid for call in await do(client.calls.list, status="in-progress")] == [placed.sid]
            await phone.keys("31")
            assert (await application.wait_for("/keyed"))["Digits"] == "31"

            # A drain lets the call go on, and whoever works on it; new ones are refused.
            os.kill(engine.pid, signal.SIGTERM)
            await do(client.calls(placed.sid).update, url=f"{application.origin}/other")
            await application.wait_for("/other")
            await phone.keys("7")
            assert (await application.wait_for("/other-keyed"))["Digits"] == "7"
            with pytest.raises(TwilioRestException) as draining:
                await do(client.calls.create, to="sip:x@127.0.0.1:9", from_="a", url=f"{application.origin}/voice")
            assert (draining.value.status, draining.value.code) == (503, 20503)
            ended = await do(client.calls(placed.sid).update, status="completed")
            assert ended.status == "completed"
            await phone.wait_state(CallState.DISCONNECTED)
            told = [await application.wait_for("/status", number) for number in (1, 2, 3, 4)]
            assert [event["CallStatus"] for event in told] == ["initiated", "ringing", "in-progress", "completed"]
            assert {event["CallSid"] for event in told} == {placed.sid}
        assert application.unsigned == []


async def test_calls_that_nobody_answers_end_as_the_vendor_says(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_STREAM)
    async with running_application() as application:
        toml = settings(application) + f'\n[api]\nlisten = "127.0.0.1:{port}"\n'
        async with (
            running_engine(toml, directory=tmp_path, environment={"TOKEN_FOR_TESTS": TOKEN}),
            Softphone() as phone,
        ):
            client = client_of(port)
            place = functools.partial(
                client.calls.create, to=f"sip:ann@127.0.0.1:{phone.sip_port}", from_="shop", twiml="<Response/>"
            )
            busy = await do(place)
            incoming = await phone.wait_incoming()
            await phone.answer(call=incoming.call, status=486)
            assert (await status_of(client, busy.sid, "busy")).duration is None
            silent = await do(place, timeout=1)
            await status_of(client, silent.sid, "no-answer")
            given_up = await do(place)
            await status_of(client, given_up.sid, "ringing")
            assert (await do(client.calls(given_up.sid).update, status="canceled")).status == "canceled"
            async with asyncio.timeout(WAIT_S):
                while not await do(client.calls.list, status="canceled"):
                    await asyncio.sleep(0.05)
            assert await do(client.calls(given_up.sid).delete)
            statuses = {call.sid: call.status for call in await do(client.calls.list)}
            assert statuses == {busy.sid: "busy", silent.sid: "no-answer"}
        assert application.received == []
