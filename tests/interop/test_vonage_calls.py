"""Calls that both generations of the vendor's library place and steer, and what is refused: real SIP, real HTTPS."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import time
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from vonage import Auth, Vonage
from vonage_http_client.errors import AuthenticationError, HttpRequestError, NotFoundError
from vonage_voice import CreateCallRequest, ListCallsFilter, Sip, TtsStreamOptions
from vonage_voice.models import AudioStreamOptions, Connect, NccoAction, Notify, SipEndpoint, Talk, Wait

from engine.errors import SoftphoneError
from engine.softphone.backend import BackendName
from engine.softphone.client import Softphone
from engine.softphone.protocol import CallState, Incoming, SoundState
from tests.interop.test_twilio_pay import TONES, tones_heard
from tests.interop.test_vonage_pay import TOLD, UP, uuid_of
from tests.support.caller import PROMPT, VISA, Script, follow
from tests.support.twiml_app import tone_wav
from tests.support.vonage import APPLICATION, Scene, make_keys, running_scene
from tests.support.vonage_3 import DIRECTORY, OldSdk, OldSdkError

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not DIRECTORY.is_dir(), reason=f"vonage 3.18 is not in {DIRECTORY}: make interop puts it there"),
]

OUT = ["started", "ringing", "answered"]
NUMBER = "15550100001"
WAIT = {"action": "input", "type": ["dtmf"], "dtmf": {"timeOut": 10, "maxDigits": 20}}
UNAUTHORIZED = {"type": "UNAUTHORIZED", "error_title": "Unauthorized"}
RECORDED = {"start_time", "recording_url", "size", "recording_uuid", "end_time", "conversation_uuid", "timestamp"}
WAIT_S = 30.0


class Pay(NccoAction):  # type: ignore[misc]
    """What 4.x has no class for."""

    action: str = "pay"
    amount: float
    currency: str = "usd"
    eventUrl: list[str]  # noqa: N815 as the wire has it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with running_scene(tmp_path_factory.mktemp("vonage")) as running:
        running.app.files = {f"/{name}.wav": tone_wav(hz) for name, hz in TONES.items()}
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def old_sdk(scene: Scene) -> AsyncIterator[OldSdk]:
    async with scene.old_sdk() as sdk:
        yield sdk


def to_phone(phone: Softphone) -> dict[str, Any]:
    """Return what 3.18 is given to call a softphone."""
    return {"to": [{"type": "sip", "uri": phone.uri}], "from": {"type": "phone", "number": NUMBER}}


async def answered(scene: Scene, phone: Softphone) -> None:
    """Answer the call that comes."""
    await phone.wait_incoming(timeout_s=WAIT_S)
    await phone.answer()
    await phone.wait_state(CallState.CONFIRMED)


async def test_a_call_of_3_pays_by_the_ncco_in_its_request(scene: Scene, old_sdk: OldSdk) -> None:
    ncco = await old_sdk.build(
        ("Talk", {"text": "You wanted to pay."}), ("Pay", {"amount": 25, "eventUrl": f"{scene.app.url}/paid"})
    )
    scene.gateway.requests.clear()
    async with Softphone() as phone:
        first = len(scene.engine.lines)
        placed = await old_sdk.voice("create_call", {**to_phone(phone), "ncco": ncco})
        assert placed.items() >= {"status": "started", "direction": "outbound"}.items()
        await answered(scene, phone)
        call = await follow(scene.engine, phone, Script.good(mode="in-band"), first=first)
    assert (call.result, uuid_of(call)) == ("success", placed["uuid"])
    told = await scene.app.wait_for("/paid", uuid=placed["uuid"])
    assert set(told) == TOLD
    assert (told["status"], told["from"]) == ("success", NUMBER)
    assert told["conversation_uuid"] == placed["conversation_uuid"]
    completed = await scene.app.event("completed", placed["uuid"])
    assert (completed["direction"], completed["price"]) == ("outbound", "0.00")
    assert int(completed["duration"]) > 0
    assert scene.app.states(placed["uuid"]) == [*OUT, "completed"]
    assert [json.loads(request.body)["amount"] for request in scene.gateway.requests] == ["25.00"]


async def test_a_call_of_4_pays_by_the_ncco_of_its_answer_url(scene: Scene, old_sdk: OldSdk) -> None:
    scene.app.answers["/outbound"] = await old_sdk.build(("Pay", {"amount": 30, "eventUrl": f"{scene.app.url}/paid"}))
    async with Softphone() as phone:
        first = len(scene.engine.lines)
        request = CreateCallRequest(
            to=[Sip(uri=phone.uri)],
            from_=NUMBER,
            answer_url=[f"{scene.app.url}/outbound"],
            event_url=[f"{scene.app.url}/others"],
            ringing_timer=30,
            length_timer=300,
        )
        placed = await scene.do(scene.sdk().voice.create_call, request)
        await answered(scene, phone)
        call = await follow(scene.engine, phone, Script.good(mode="in-band"), first=first)
    assert (call.result, uuid_of(call)) == ("success", placed.uuid)
    (asked,) = scene.app.of("/outbound", placed.uuid)
    assert asked["conversation_uuid"] == placed.conversation_uuid
    told = await scene.app.wait_for("/paid", uuid=placed.uuid)
    assert told["status"] == "success"
    await scene.app.wait_until(lambda: any(told["status"] == "completed" for told in scene.app.of("/others")))
    assert [told["status"] for told in scene.app.of("/others", placed.uuid)] == [*OUT, "completed"]
    assert scene.app.states(placed.uuid) == []


async def test_a_call_is_transferred_into_a_payment(scene: Scene) -> None:
    scene.app.answers["/answer"] = [{"action": "talk", "text": "Please hold the line."}, WAIT, WAIT, WAIT]
    client = scene.sdk()
    async with Softphone() as phone:
        first = len(scene.engine.lines)
        scene.app.received.clear()
        await phone.call(scene.engine.uri("shop"))
        call_uuid = (await scene.app.wait_for("/answer"))["uuid"]
        await scene.app.event("answered", call_uuid)
        ncco = [Talk(text="Now we take your card."), Pay(amount=12.5, eventUrl=[f"{scene.app.url}/paid"])]
        assert await scene.do(client.voice.transfer_call_ncco, call_uuid, ncco) is None
        call = await follow(scene.engine, phone, Script.good(mode="in-band"), first=first)
    assert (call.result, uuid_of(call)) == ("success", call_uuid)
    assert (await scene.app.wait_for("/paid", uuid=call_uuid))["status"] == "success"
    assert json.loads(scene.gateway.requests[-1].body)["amount"] == "12.50"
    await scene.app.event("completed", call_uuid)
    assert scene.app.states(call_uuid) == [*UP, "completed"]
    assert VISA not in scene.engine.log


async def test_a_payment_is_not_talked_over_and_is_told_when_it_is_cut_off(scene: Scene, old_sdk: OldSdk) -> None:
    scene.app.answers["/answer"] = await old_sdk.build(("Pay", {"amount": 25, "eventUrl": f"{scene.app.url}/paid"}))
    voice = scene.sdk().voice
    async with Softphone(backend=BackendName.NATIVE) as phone:
        first = len(scene.engine.lines)
        scene.app.received.clear()
        scene.gateway.requests.clear()
        await phone.call(scene.engine.uri("shop"))
        call_uuid = (await scene.app.wait_for("/answer"))["uuid"]
        async with asyncio.timeout(WAIT_S):
            while not any(PROMPT.search(line) for line in scene.engine.lines[first:]):
                await asyncio.sleep(0.02)
        for refused in (
            (voice.play_tts_into_call, TtsStreamOptions(text="Hello.")),
            (voice.play_audio_into_call, AudioStreamOptions(stream_url=[f"{scene.app.url}/first.wav"])),
            (voice.play_dtmf_into_call, "12"),
        ):
            with pytest.raises(HttpRequestError) as conflict:
                await scene.do(refused[0], call_uuid, refused[1])
            assert conflict.value.response.status_code == 409
            assert conflict.value.response.json()["type"] == "CONFLICT"
        await phone.keys("4242")
        await scene.do(voice.transfer_call_ncco, call_uuid, [Talk(text="Somebody will help you.")])
        assert (await scene.app.wait_for("/paid", uuid=call_uuid))["status"] == "failure"
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)
    await scene.app.event("completed", call_uuid)
    assert len(scene.app.of("/paid", call_uuid)) == 1
    assert scene.gateway.requests == []


async def test_a_call_is_transferred_to_a_url_by_3_and_ended(scene: Scene, old_sdk: OldSdk) -> None:
    scene.app.answers["/answer"] = [WAIT, WAIT]
    scene.app.answers["/moved"] = [
        {"action": "notify", "payload": {"now": "here"}, "eventUrl": [f"{scene.app.url}/told"]},
        WAIT,
    ]
    async with Softphone(backend=BackendName.NATIVE) as phone:
        scene.app.received.clear()
        await phone.call(scene.engine.uri("shop"))
        call_uuid = (await scene.app.wait_for("/answer"))["uuid"]
        await scene.app.event("answered", call_uuid)
        found = await old_sdk.voice("get_call", call_uuid)
        assert (found["status"], found["direction"], found["uuid"]) == ("answered", "inbound", call_uuid)
        listed = await old_sdk.voice("get_calls", {"status": "answered"})
        assert [call["uuid"] for call in listed["_embedded"]["calls"]] == [call_uuid]
        destination = {"type": "ncco", "url": [f"{scene.app.url}/moved"]}
        await old_sdk.voice("update_call", call_uuid, {"action": "transfer", "destination": destination})
        assert await scene.app.wait_for("/told") == {"now": "here"}
        assert (await scene.app.wait_for("/moved"))["uuid"] == call_uuid
        await old_sdk.voice("update_call", call_uuid, {"action": "hangup"})
        await phone.wait_state(CallState.DISCONNECTED)
    await scene.app.event("completed", call_uuid)
    assert (await old_sdk.voice("get_call", call_uuid))["status"] == "completed"
    with pytest.raises(OldSdkError, match="NOT_FOUND"):
        await old_sdk.voice("update_call", call_uuid, {"action": "hangup"})


async def test_a_call_hears_what_is_talked_and_streamed_into_it(scene: Scene, old_sdk: OldSdk, tmp_path: Path) -> None:
    voice = scene.sdk().voice
    async with Softphone() as phone:
        await phone.record(str(tmp_path / "heard.wav"))
        placed = await old_sdk.voice("create_call", {**to_phone(phone), "ncco": [WAIT, WAIT, WAIT]})
        call_uuid = placed["uuid"]
        await answered(scene, phone)
        await scene.app.event("answered", call_uuid)
        stream = AudioStreamOptions(stream_url=[f"{scene.app.url}/first.wav"])
        begun = await scene.do(voice.play_audio_into_call, call_uuid, stream)
        assert (begun.message, begun.uuid) == ("Stream started", call_uuid)
        await phone.wait_sound(SoundState.BEGAN)
        await phone.wait_sound(SoundState.ENDED)
        # Without an end, until it is stopped.
        endless = {"stream_url": [f"{scene.app.url}/again.wav"], "loop": 0}
        await old_sdk.voice("send_audio", call_uuid, endless)
        await phone.wait_sound(SoundState.BEGAN)
        stopped = await scene.do(voice.stop_audio_stream, call_uuid)
        assert stopped.message == "Stream stopped"
        await phone.wait_sound(SoundState.ENDED)
        said = await scene.do(voice.play_tts_into_call, call_uuid, TtsStreamOptions(text="Hello, hello.", loop=0))
        assert said.message == "Talk started"
        await phone.wait_sound(SoundState.BEGAN)
        assert (await old_sdk.voice("stop_speech", call_uuid))["message"] == "Talk stopped"
        await phone.wait_sound(SoundState.ENDED)
        await scene.do(voice.hangup, call_uuid)
        await phone.wait_state(CallState.DISCONNECTED)
        with pytest.raises(NotFoundError):
            await scene.do(voice.play_tts_into_call, call_uuid, TtsStreamOptions(text="Hello?"))
    assert tones_heard(tmp_path / "heard.wav")[:2] == ("first", "again")


async def test_keys_are_sent_into_a_call(scene: Scene, old_sdk: OldSdk) -> None:
    """The engine calls itself: who is called asks for keys."""
    asks = {**WAIT, "dtmf": {"timeOut": 10, "maxDigits": 4}, "eventUrl": [f"{scene.app.url}/keyed"]}
    again = {**asks, "eventUrl": [f"{scene.app.url}/keyed-again"]}
    scene.app.answers["/answer"] = [asks, again]
    scene.app.received.clear()
    to = {"type": "sip", "uri": scene.engine.uri("menu")}
    placed = await scene.do(
        scene.sdk().voice.create_call,
        CreateCallRequest(to=[to], from_=NUMBER, ncco=[Talk(text="Hello. " * 20)]),
    )
    called = (await scene.app.wait_for("/answer"))["uuid"]
    await scene.app.event("answered", placed.uuid)
    sent = await scene.do(scene.sdk().voice.play_dtmf_into_call, placed.uuid, "31p41")
    assert (sent.message, sent.uuid) == ("DTMF sent", placed.uuid)
    keyed = await scene.app.wait_for("/keyed")
    assert (keyed["dtmf"], keyed["uuid"]) == ({"digits": "3141", "timed_out": False}, called)
    await old_sdk.voice("send_dtmf", placed.uuid, {"digits": "2718"})
    assert (await scene.app.wait_for("/keyed-again"))["dtmf"]["digits"] == "2718"
    await scene.app.event("completed", placed.uuid)
    keyed_there = re.compile(r"(?<![0-9a-f])(3141|2718)(?![0-9a-f])")  # ids of calls may hold such figures
    assert not [line for line in scene.engine.lines if keyed_there.search(line)]


async def test_a_call_in_a_conversation_is_muted_and_earmuffed(scene: Scene, old_sdk: OldSdk, tmp_path: Path) -> None:
    write_tones(tmp_path)
    scene.app.answers["/answer"] = [{"action": "conversation", "name": "desk"}]
    voice = scene.sdk().voice

    async def steer(method: str, call_uuid: str) -> None:
        assert await scene.do(getattr(voice, method), call_uuid) is None

    async with Softphone() as agent, Softphone() as caller:
        scene.app.received.clear()
        await caller.record(str(tmp_path / "heard.wav"))
        await caller.call(scene.engine.uri("shop"))
        caller_uuid = (await scene.app.wait_for("/answer"))["uuid"]
        await caller.wait_state(CallState.CONFIRMED)
        ncco = [{"action": "conversation", "name": "desk", "endOnExit": True}]
        agent_uuid = (await old_sdk.voice("create_call", {**to_phone(agent), "ncco": ncco}))["uuid"]
        await answered(scene, agent)
        joined = [await transferred(scene, call_uuid) for call_uuid in (caller_uuid, agent_uuid)]
        assert len({told["conversation_uuid_to"] for told in joined}) == 1
        await agent.play(str(tmp_path / "first.wav"))
        await steer("mute", agent_uuid)
        await agent.play(str(tmp_path / "again.wav"))
        await old_sdk.voice("update_call", agent_uuid, {"action": "unmute"})
        await agent.play(str(tmp_path / "timeout.wav"))
        await old_sdk.voice("update_call", caller_uuid, {"action": "earmuff"})
        await agent.play(str(tmp_path / "amex.wav"))
        await steer("unearmuff", caller_uuid)
        await agent.play(str(tmp_path / "other.wav"))
        # The conversation ends with the agent, and with it the caller's NCCO.
        await agent.hang_up()
        await caller.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)
    assert tones_heard(tmp_path / "heard.wav") == ("first", "timeout", "other")


def write_tones(directory: Path) -> None:
    """Write the tones into files, each with a silence behind it in which what is under way arrives."""
    for name, hz in TONES.items():
        with wave.open(io.BytesIO(tone_wav(hz))) as tone, wave.open(str(directory / f"{name}.wav"), "wb") as file:
            file.setparams(tone.getparams())
            file.writeframes(tone.readframes(tone.getnframes()) + bytes(8000))


async def wait_for_event(scene: Scene, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the first event that is wanted, once it is told."""
    await scene.app.wait_until(lambda: any(wanted(told) for told in scene.app.of("/event")))
    return next(told for told in scene.app.of("/event") if wanted(told))


async def transferred(scene: Scene, call_uuid: str) -> dict[str, Any]:
    """Return the event that tells of a call's new conversation, once it is told."""
    return await wait_for_event(scene, lambda told: told.get("type") == "transfer" and told["uuid"] == call_uuid)


async def test_calls_are_listed_page_by_page(scene: Scene, old_sdk: OldSdk) -> None:
    async with Softphone(backend=BackendName.NATIVE) as phone:
        for n, status in enumerate((486, 603), start=1):
            await old_sdk.voice("create_call", {**to_phone(phone), "ncco": [WAIT]})
            await incoming(phone, n)
            await phone.answer(call=n, status=status)
            await phone.wait_state(CallState.DISCONNECTED, call=n)
    busy = await wait_for_event(scene, lambda told: told.get("status") == "busy")
    rejected = await wait_for_event(scene, lambda told: told.get("status") == "rejected")
    voice = scene.sdk().voice
    assert (await scene.do(voice.get_call, busy["uuid"])).status == "busy"
    page, following = await scene.do(voice.list_calls, ListCallsFilter(page_size=1, order="desc"))
    assert ([call.uuid for call in page], following) == ([rejected["uuid"]], 1)
    page, _ = await scene.do(voice.list_calls, ListCallsFilter(page_size=1, order="desc", record_index=1))
    assert [call.uuid for call in page] == [busy["uuid"]]
    page, following = await scene.do(voice.list_calls, ListCallsFilter(status="busy"))
    assert ([call.uuid for call in page], following) == ([busy["uuid"]], None)


async def incoming(phone: Softphone, count: int) -> None:
    """Wait until so many calls have come."""
    async with asyncio.timeout(WAIT_S):
        while sum(isinstance(event, Incoming) for event in phone.events) < count:
            await asyncio.sleep(0.02)


MALFORMED = {
    "no JSON": ("[{", ""),
    "no list": ('{"action": "talk"}', ""),
    "an unknown action": ([{"action": "sing"}], "[0].action"),
    "no amount": ([{"action": "talk", "text": "Hi."}, {"action": "pay"}], "[1].amount"),
    "an amount of nothing": ([{"action": "pay", "amount": 0}], "[0].amount"),
    "an error of another step": (
        [{"action": "pay", "amount": 1, "prompts": [{"type": "CardNumber", "text": "x", "errors": {"Foo": {}}}]}],
        "[0].prompts[0].errors.Foo",
    ),
    "a websocket": (
        [{"action": "connect", "endpoint": [{"type": "websocket", "uri": "wss://example.com"}]}],
        "[0].endpoint[0].type",
    ),
}


async def test_a_malformed_ncco_is_told_with_its_place(scene: Scene) -> None:
    async with Softphone(backend=BackendName.NATIVE) as phone:
        for name, (ncco, where) in MALFORMED.items():
            scene.app.received.clear()
            scene.app.answers["/answer"] = ncco
            number = await phone.call(scene.engine.uri("shop"))
            over = await phone.wait_state(CallState.DISCONNECTED, call=number, timeout_s=WAIT_S)
            assert over.status == 500, (name, over)
            call_uuid = (await scene.app.wait_for("/answer"))["uuid"]
            told = await wait_for_event(scene, lambda told: "reason" in told)
            assert set(told) == {"reason", "conversation_uuid", "timestamp"}, name
            assert told["reason"].startswith("Syntax error in NCCO."), (name, told)
            assert f" {where}:" in told["reason"] or not where, (name, told)
            await scene.app.event("completed", call_uuid)


async def test_a_malformed_order_is_refused_with_the_vendors_error(scene: Scene, old_sdk: OldSdk) -> None:
    to = {"to": [{"type": "sip", "uri": "sip:nobody@127.0.0.1:9"}], "from": {"type": "phone", "number": NUMBER}}
    for order, member in (
        ({"from": to["from"], "ncco": [WAIT]}, "to"),
        ({**to}, "ncco"),
        ({**to, "ncco": [{"action": "pay", "amount": -1}]}, "ncco"),
        ({**to, "ncco": [WAIT], "ringing_timer": 1000}, "ringing_timer"),
    ):
        with pytest.raises(OldSdkError) as refused:
            await old_sdk.voice("create_call", order)
        assert "BAD_REQUEST" in refused.value.text
        assert f"'{member}" in refused.value.text, refused.value.text
    with pytest.raises(NotFoundError) as unknown:
        await scene.do(scene.sdk().voice.get_call, "63f61863-4a51-4f0c-8b21-00a1b2c3d4e5")
    assert unknown.value.response.json()["type"] == "NOT_FOUND"


class Tampered(Auth):  # type: ignore[misc]
    """Shows a token of the test's own."""

    def __init__(self, token: bytes) -> None:
        super().__init__()
        self.token = token

    def create_jwt_auth_string(self) -> bytes:
        return b"Bearer " + self.token


def _claimed(auth: Auth, **claims: Any) -> bytes:
    token: bytes = auth.generate_application_jwt(claims)
    return token


def _unsigned(auth: Auth) -> bytes:
    _, payload, _ = _claimed(auth).split(b".")
    return b".".join((base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"="), payload, b""))


def _padded(auth: Auth) -> bytes:
    return _claimed(auth, filler="x" * 9000)


now = int(time.time())
TOKENS: dict[str, Callable[[Auth], bytes]] = {
    "none": _unsigned,
    "wrong audience": lambda auth: _claimed(auth, aud="somebody.else.example"),
    "expired": lambda auth: _claimed(auth, iat=now - 7200, exp=now - 3600),
    "of tomorrow": lambda auth: _claimed(auth, iat=now + 86_400),
    "good for a year": lambda auth: _claimed(auth, exp=now + 365 * 86_400),
    "garbage": lambda auth: b"x.y.z",
    "oversized": _padded,
}


@pytest.mark.parametrize("name", TOKENS)
async def test_a_token_that_is_not_right_is_refused(scene: Scene, name: str) -> None:
    token = TOKENS[name](Auth(application_id=APPLICATION, private_key=scene.keys.private))
    client = scene.sdk(Tampered(token))
    with pytest.raises(HttpRequestError) as refused:
        await scene.do(client.voice.list_calls)
    answer = refused.value.response
    assert isinstance(refused.value, AuthenticationError)
    assert answer.json().items() >= UNAUTHORIZED.items()
    assert token.decode() not in scene.engine.log


async def test_both_generations_see_a_wrong_key_as_their_error(scene: Scene, tmp_path: Path) -> None:
    others = make_keys(tmp_path)
    client = scene.sdk(Auth(application_id=APPLICATION, private_key=others.private))
    with pytest.raises(AuthenticationError):
        await scene.do(client.voice.list_calls)
    async with scene.old_sdk(others) as old:
        with pytest.raises(OldSdkError, match="AuthenticationError"):
            await old.voice("get_calls")


async def test_a_program_comes_by_the_proxy_without_a_change_of_its_code(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", scene.proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    client = Vonage(Auth(application_id=APPLICATION, private_key=scene.keys.private))
    assert client.http_client.api_host == "api.nexmo.com"
    with pytest.raises(NotFoundError) as unknown:
        await scene.do(client.voice.get_call, "63f61863-4a51-4f0c-8b21-00a1b2c3d4e5")
    assert unknown.value.response.json()["type"] == "NOT_FOUND"


async def test_the_fallback_is_asked_when_the_answer_url_fails(scene: Scene) -> None:
    scene.app.received.clear()
    scene.app.answers["/answer"] = web.Response(status=503)
    scene.app.answers["/fallback"] = [
        {"action": "notify", "payload": {"from": "fallback"}, "eventUrl": [f"{scene.app.url}/told"]}
    ]
    async with Softphone(backend=BackendName.NATIVE) as phone:
        await phone.call(scene.engine.uri("shop"))
        assert await scene.app.wait_for("/told") == {"from": "fallback"}
        await phone.wait_state(CallState.DISCONNECTED)
    assert [len(scene.app.of(path)) for path in ("/answer", "/fallback")] == [2, 1]


async def test_the_answer_of_an_input_replaces_the_ncco(scene: Scene) -> None:
    told = [{"action": "notify", "payload": {"chosen": "card"}, "eventUrl": [f"{scene.app.url}/told"]}]
    scene.app.received.clear()
    scene.app.answers["/answer"] = [
        {"action": "talk", "text": "One for a card, two for nothing. " * 5, "bargeIn": True},
        {"action": "input", "type": "dtmf", "dtmf": {"maxDigits": 1}, "eventUrl": [f"{scene.app.url}/chosen"]},
        {"action": "notify", "payload": {"chosen": "nothing"}, "eventUrl": [f"{scene.app.url}/told"]},
    ]
    scene.app.answers["/chosen"] = lambda members: told if members["dtmf"]["digits"] == "1" else ""
    scene.app.answers["/told"] = ""
    for n, (key, chosen) in enumerate((("1", "card"), ("2", "nothing")), start=1):
        async with Softphone(backend=BackendName.NATIVE) as phone:
            await phone.call(scene.engine.uri("shop"))
            await phone.wait_state(CallState.CONFIRMED)
            await phone.wait_sound(SoundState.BEGAN)
            with suppress(SoftphoneError):  # the key ends the call, sooner than it is let go
                await phone.keys(key)
            assert await scene.app.wait_for("/told", count=n) == {"chosen": chosen}
            assert scene.app.of("/chosen")[n - 1]["dtmf"] == {"digits": key, "timed_out": False}
            await phone.wait_state(CallState.DISCONNECTED)


async def test_a_caller_is_connected_and_goes_on_when_the_two_part(scene: Scene) -> None:
    async with Softphone() as agent, Softphone() as caller:
        scene.app.received.clear()
        ncco = [
            Connect(endpoint=[SipEndpoint(uri=agent.uri)], from_=NUMBER, timeout=20),
            Notify(payload={"after": "connect"}, eventUrl=[f"{scene.app.url}/told"]),
            Wait(timeout=20),
        ]
        scene.app.answers["/answer"] = [action.model_dump(by_alias=True, exclude_none=True) for action in ncco]
        await caller.call(scene.engine.uri("shop"))
        caller_uuid = (await scene.app.wait_for("/answer"))["uuid"]
        await answered(scene, agent)
        up = await wait_for_event(scene, lambda told: told.get("status") == "answered" and told["uuid"] != caller_uuid)
        assert (up["direction"], up["from"]) == ("outbound", NUMBER)
        listed = await scene.do(
            scene.sdk().voice.list_calls, ListCallsFilter(conversation_uuid=up["conversation_uuid"])
        )
        assert {call.uuid for call in listed[0]} == {caller_uuid, up["uuid"]}
        await agent.hang_up()
        assert await scene.app.wait_for("/told") == {"after": "connect"}
        await scene.app.event("completed", up["uuid"])
        await caller.hang_up()
    await scene.app.event("completed", caller_uuid)
    assert scene.app.states(up["uuid"]) == [*OUT, "completed"]
    assert scene.app.states(caller_uuid) == [*UP, "completed"]


async def test_the_answer_to_the_event_of_a_connect_that_failed_replaces_the_ncco(scene: Scene) -> None:
    told = {"action": "notify", "payload": {"now": "busy"}, "eventUrl": [f"{scene.app.url}/told"]}
    async with Softphone(backend=BackendName.NATIVE) as agent, Softphone(backend=BackendName.NATIVE) as caller:
        scene.app.received.clear()
        connect = {
            "action": "connect",
            "from": NUMBER,
            "endpoint": [{"type": "sip", "uri": agent.uri}],
            "eventType": "synchronous",
            "eventUrl": [f"{scene.app.url}/connecting"],
        }
        scene.app.answers["/answer"] = [connect, {"action": "talk", "text": "Nobody asked."}]
        scene.app.answers["/connecting"] = lambda members: [told] if members["status"] == "busy" else ""
        await caller.call(scene.engine.uri("shop"))
        await incoming(agent, 1)
        await agent.answer(status=486)
        assert await scene.app.wait_for("/told") == {"now": "busy"}
        await caller.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)


async def test_a_recording_is_told_and_fetched_by_its_application(
    scene: Scene, old_sdk: OldSdk, tmp_path: Path
) -> None:
    write_tones(tmp_path)
    scene.app.received.clear()
    scene.app.answers["/answer"] = await old_sdk.build(
        ("Record", {"endOnKey": "#", "beepStart": True, "eventUrl": f"{scene.app.url}/recorded"}),
        ("Input", {"type": "dtmf", "dtmf": {"timeOut": 3, "maxDigits": 1}}),
    )
    async with Softphone() as phone:
        await phone.call(scene.engine.uri("shop"))
        await phone.wait_state(CallState.CONFIRMED)
        await phone.wait_for_prompt()  # the beep
        await phone.play(str(tmp_path / "first.wav"))
        with suppress(SoftphoneError):
            await phone.keys("#")
        told = await scene.app.wait_for("/recorded")
        await phone.wait_state(CallState.DISCONNECTED, timeout_s=WAIT_S)
    assert set(told) == RECORDED
    audio = base64.b64decode(await old_sdk.voice("get_recording", told["recording_url"]))
    assert len(audio) == told["size"]
    (tmp_path / "fetched.wav").write_bytes(audio)
    assert "first" in tones_heard(tmp_path / "fetched.wav")
