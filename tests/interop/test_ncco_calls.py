"""NCCOs on real calls, beyond payments and REST: a menu of the configuration, messages, connected calls, takeovers."""

from __future__ import annotations

import asyncio
import io
import json
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from vonage_voice.models import Talk

from dsp.dtmf import DtmfDetector
from dsp.profile import SENSITIVE
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState
from tests.interop.test_twilio_pay import TONES, tones_heard
from tests.support.caller import VISA, Script, pay
from tests.support.engine import running_engine
from tests.support.gateway import FakeGateway
from tests.support.twiml_app import tone_wav
from tests.support.vonage import ENVIRONMENT, Scene, make_keys, running_app, running_scene, vonage_toml

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

UP = ["started", "ringing", "answered"]
WAIT_S = 45.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    directory = tmp_path_factory.mktemp("ncco")
    async with running_scene(directory) as running:
        yield running


def own(app_url: str, *actions: dict[str, Any]) -> tuple[str, str]:
    """Return what of the configuration stands for an answer URL, and an NCCO in its place."""
    return f'answer_url = "{app_url}/answer"', f"ncco = '{json.dumps(actions)}'"


async def test_an_ncco_of_the_configuration_asks_what_to_do_and_takes_a_payment(tmp_path: Path) -> None:
    async with running_app() as app, FakeGateway(wire="twilio") as gateway:
        app.answers["/menu"] = [
            {"action": "pay", "amount": 25, "eventUrl": [f"{app.url}/paid"]},
            {"action": "notify", "payload": {"behind": "pay"}, "eventUrl": [f"{app.url}/behind"]},
        ]
        toml = vonage_toml(app.url, gateway, directory=tmp_path, keys=make_keys(tmp_path), tls_port=0, proxy_port=0)
        toml = (
            toml.replace(
                *own(
                    app.url,
                    {"action": "talk", "text": "Press one to pay, or two to be called back.", "bargeIn": True},
                    {"action": "input", "type": ["dtmf"], "dtmf": {"maxDigits": 1}, "eventUrl": [f"{app.url}/menu"]},
                    {"action": "talk", "text": "Nothing was pressed."},
                )
            ).split("[api]")[0]
            + '[log]\nlevel = "debug"\n'
        )
        async with running_engine(toml, directory=tmp_path / "engine", environment=ENVIRONMENT) as engine:
            call = await pay(engine, Script.good(), user="shop", first_keys="1")
            uuid = (await app.wait_for("/paid"))["uuid"]
            await app.event("completed", uuid)
        assert call.result == "success"
        assert [told["status"] for told in app.of("/paid")] == ["success"]
        assert app.of("/behind") == [{"behind": "pay"}]
        assert app.of("/menu")[0]["dtmf"] == {"digits": "1", "timed_out": False}
        assert app.states(uuid) == [*UP, "completed"]
    assert gateway.violations == []
    assert VISA not in engine.log
    assert "Traceback" not in engine.log, engine.log


async def test_a_message_is_recorded_until_a_key_ends_it_and_had_by_its_url(scene: Scene, tmp_path: Path) -> None:
    app = scene.app
    app.received.clear()
    app.answers["/answer"] = [
        {"action": "talk", "text": "Leave a message."},
        {"action": "record", "endOnKey": "#", "beepStart": True, "eventUrl": [f"{app.url}/recorded"]},
        {"action": "notify", "payload": {"behind": "record"}, "eventUrl": [f"{app.url}/behind"]},
        {"action": "wait", "timeout": 1},
    ]
    (tmp_path / "message.wav").write_bytes(tone_wav(TONES["first"]))
    async with Softphone() as phone:
        await phone.call(scene.engine.uri("shop"))
        await scene.engine.wait_for(r"recording call=\w+ recording=")
        assert app.of("/behind") == []
        await phone.play(str(tmp_path / "message.wav"))
        await phone.keys("#")
        told = await app.wait_for("/recorded")
        await app.wait_for("/behind")
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)
    assert told["recording_url"].endswith(f"/v1/files/{told['recording_uuid']}")
    assert told["start_time"] < told["end_time"]
    body = await scene.do(_had, scene, told["recording_url"])
    assert len(body) == told["size"]
    with wave.open(io.BytesIO(body), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    assert np.abs(samples).max() > 1000
    assert DtmfDetector(SENSITIVE).process(samples.copy()) == []


def _had(scene: Scene, url: str) -> bytes:
    """Return a file of the Voice API, as the vendor's client gets it."""
    body = scene.sdk().http_client.download_file_stream
    path = Path(scene.ca).with_name("recording.wav")
    body(url, str(path))
    return path.read_bytes()


async def test_whom_an_ncco_calls_hears_its_own_ncco_first_and_both_part_into_the_next_action(
    scene: Scene, tmp_path: Path
) -> None:
    app = scene.app
    app.received.clear()
    async with Softphone() as agent, Softphone() as caller:
        app.answers["/answer"] = [
            {
                "action": "connect",
                "timeout": 30,
                "endpoint": [{"type": "sip", "uri": agent.uri, "onAnswer": {"url": f"{app.url}/whisper"}}],
            },
            {"action": "notify", "payload": {"behind": "connect"}, "eventUrl": [f"{app.url}/behind"]},
        ]
        app.answers["/whisper"] = [{"action": "talk", "text": "A customer."}]
        await caller.record(str(tmp_path / "heard.wav"))
        await caller.call(scene.engine.uri("shop"))
        caller_uuid = (await app.wait_for("/answer"))["uuid"]
        await agent.wait_incoming(timeout_s=WAIT_S)
        await agent.answer()
        agent_uuid = (await app.wait_for("/whisper"))["uuid"]
        await app.event("answered", agent_uuid)
        (tmp_path / "tone.wav").write_bytes(tone_wav(TONES["first"]))
        await agent.wait_for_prompt()  # its NCCO is over, and the caller is behind it
        for _ in range(3):
            await agent.play(str(tmp_path / "tone.wav"))
        await agent.hang_up()
        await app.wait_for("/behind")
        await caller.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)
    for uuid in (caller_uuid, agent_uuid):
        await app.event("completed", uuid)
        assert app.states(uuid) == [*UP, "completed"]
    assert len({told["conversation_uuid"] for told in app.of("/event")}) == 1
    assert "first" in tones_heard(tmp_path / "heard.wav")


async def test_who_is_busy_is_asked_about_and_the_answer_replaces_the_ncco(scene: Scene) -> None:
    app = scene.app
    app.received.clear()
    async with Softphone() as agent, Softphone() as caller:
        app.answers["/answer"] = [
            {
                "action": "connect",
                "eventType": "synchronous",
                "eventUrl": [f"{app.url}/asked"],
                "endpoint": [{"type": "sip", "uri": agent.uri}],
            },
            {"action": "notify", "payload": {"behind": "connect"}, "eventUrl": [f"{app.url}/behind"]},
        ]
        app.answers["/asked"] = [{"action": "notify", "payload": {"behind": "busy"}, "eventUrl": [f"{app.url}/behind"]}]
        await caller.call(scene.engine.uri("shop"))
        await agent.wait_incoming(timeout_s=WAIT_S)
        await agent.answer(status=486)
        assert (await app.wait_for("/asked"))["status"] == "busy"
        assert await app.wait_for("/behind") == {"behind": "busy"}
        await caller.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)
    assert len(app.of("/behind")) == 1


async def test_a_payment_at_its_connector_is_told_though_another_ncco_takes_over(scene: Scene) -> None:
    app = scene.app
    app.received.clear()
    app.answers["/answer"] = [{"action": "pay", "amount": 9.5, "eventUrl": [f"{app.url}/paid"]}]
    n_asked = len(scene.gateway.requests)
    scene.gateway.add("hold")
    paying = asyncio.ensure_future(pay(scene.engine, Script.good(), user="shop"))
    uuid = (await app.wait_for("/answer"))["uuid"]
    async with asyncio.timeout(WAIT_S):
        while len(scene.gateway.requests) == n_asked:
            await asyncio.sleep(0.05)
    await scene.do(scene.sdk().voice.transfer_call_ncco, uuid, [Talk(text="Here you are.")])
    scene.gateway.release()
    call = await paying
    assert call.result == "success"
    assert (await app.wait_for("/paid"))["status"] == "success"
    await app.event("completed", uuid)
    assert len(app.of("/paid")) == 1
