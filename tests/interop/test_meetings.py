"""Conferences and queues between real telephones: who hears whom, and what the documents are told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from twilio.twiml.voice_response import Dial, VoiceResponse

from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState
from tests.interop.test_bridged_agents import HAS_PJSUA, share_of, voice
from tests.interop.test_twiml_call import TOKEN, running_application, settings
from tests.support.engine import running_engine
from tests.support.recording import write_wav

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio,
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        not HAS_PJSUA, reason="the pjsua2 wheel is not installed (CPython 3.11 and 3.12 on x86-64 only)"
    ),
]


async def test_three_in_a_conference_hear_the_two_others(tmp_path: Path) -> None:
    document = VoiceResponse()
    dial = Dial(action="/after")
    dial.conference("board", beep="false")
    document.append(dial)
    async with running_application() as application, Softphone() as one, Softphone() as two, Softphone() as three:
        application.documents = {"/voice": document, "/after": VoiceResponse()}
        phones = (one, two, three)
        async with running_engine(
            settings(application), directory=tmp_path / "engine", environment={"TOKEN_FOR_TESTS": TOKEN}
        ) as engine:
            for number, phone in enumerate(phones, start=1):
                write_wav(tmp_path / f"says{number}.wav", voice(number))
                await phone.record(str(tmp_path / f"heard{number}.wav"))
                await phone.call(engine.uri("shop"))
                await phone.wait_state(CallState.CONFIRMED)
            await application.wait_for("/voice", 3)
            for number in (1, 2, 3, 1, 2, 3):
                await phones[number - 1].play(str(tmp_path / f"says{number}.wav"))
            for phone in phones:
                await phone.hang_up()
                await phone.wait_state(CallState.DISCONNECTED)
            told = [await application.wait_for("/after", count) for count in (1, 2, 3)]
    assert application.unsigned == []
    assert {parameters["DialCallStatus"] for parameters in told} == {"answered"}
    assert len({parameters["ConferenceSid"] for parameters in told}) == 1
    shares = {(ear, mouth): share_of(tmp_path / f"heard{ear}.wav", mouth) for ear in (1, 2, 3) for mouth in (1, 2, 3)}
    assert all((share >= 0.75) is (ear != mouth) for (ear, mouth), share in shares.items()), shares


async def test_an_agent_takes_who_waits_in_a_queue(tmp_path: Path) -> None:
    waiting, taking = VoiceResponse(), VoiceResponse()
    waiting.enqueue("sales", action="/left")
    dial = Dial(action="/after")
    dial.queue("sales")
    taking.append(dial)
    write_wav(tmp_path / "says1.wav", voice(1))
    write_wav(tmp_path / "says2.wav", voice(2))
    async with running_application() as application, Softphone() as caller, Softphone() as agent:
        application.documents = {"/voice": waiting, "/after": VoiceResponse(), "/left": VoiceResponse()}
        async with running_engine(
            settings(application), directory=tmp_path / "engine", environment={"TOKEN_FOR_TESTS": TOKEN}
        ) as engine:
            await caller.record(str(tmp_path / "caller.wav"))
            await caller.call(engine.uri("shop"))
            await caller.wait_state(CallState.CONFIRMED)
            await application.wait_for("/voice")
            application.documents["/voice"] = taking
            await agent.record(str(tmp_path / "agent.wav"))
            await agent.call(engine.uri("shop"))
            await agent.wait_state(CallState.CONFIRMED)
            for _ in range(2):
                await asyncio.gather(caller.play(str(tmp_path / "says1.wav")), agent.play(str(tmp_path / "says2.wav")))
            await agent.hang_up()
            left, told = await application.wait_for("/left"), await application.wait_for("/after")
            await caller.wait_state(CallState.DISCONNECTED)
    assert application.unsigned == []
    assert (left["QueueResult"], told["DialCallStatus"]) == ("bridged", "completed")
    assert told["DialCallSid"] == left["CallSid"]
    assert share_of(tmp_path / "agent.wav", 1) >= 0.75
    assert share_of(tmp_path / "caller.wav", 2) >= 0.75
