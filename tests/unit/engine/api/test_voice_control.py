"""What applications do to calls by HTTP, what their calls recorded, and the vendor's client doing it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from vonage_http_client import Auth, HttpClient, HttpClientOptions
from vonage_http_client.errors import AuthenticationError, NotFoundError
from vonage_voice import Voice
from vonage_voice.models import ncco as vonage_ncco
from vonage_voice.models.requests import AudioStreamOptions, CreateCallRequest, ToPhone, TtsStreamOptions

from engine.api.certificates import make_certificate
from engine.dialects.ncco.actions import Stream, Talk
from engine.dialects.ncco.commands import Source
from engine.dialects.ncco.identity import call_uuid
from engine.ledger import Ledger
from engine.program import CallState, Program
from tests.support.voice import (
    BANK,
    BANK_ID,
    SHOP,
    SHOP_ID,
    bearer,
    private_pem,
    token_of,
    voice_config,
)
from tests.support.voice_calls import (
    ID,
    NCCO,
    NUMBER,
    OTHER,
    OWN,
    record,
    scene_of,
)

pytestmark = pytest.mark.asyncio

NOBODY = {"type": "NOT_FOUND", "error_title": "Not found"}


@pytest.fixture
def at(tmp_path: Path) -> Callable[..., Any]:
    return lambda **more: voice_config(tmp_path, **more)


# -- what is done to calls ---------------------------------------------------------------------------------------------


async def test_a_call_is_ended(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at()) as scene:
        for call_id, state in ((ID, CallState.ANSWERED), (OTHER, CallState.RINGING)):
            call, _ = scene.up(call_id, state=state)
            assert await scene.change(call_id, action="hangup") == (204, None)
            assert call.asked == [("hang_up", "ended by request")]
            assert (await scene.change(call_id, action="hangup"))[0] == 404


async def test_a_call_is_muted_and_earmuffed(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at()) as scene:
        call, _ = scene.up()
        for action in ("mute", "earmuff", "unmute", "unearmuff"):
            assert await scene.change(action=action) == (204, None)
        assert call.asked == [("mute", True), ("earmuff", True), ("mute", False), ("earmuff", False)]


async def test_a_call_is_led_to_another_ncco(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at()) as scene:
        _, program = scene.up()
        assert await scene.change(action="transfer", destination={"type": "ncco", "ncco": NCCO}) == (204, None)
        url = "https://shop.example/other"
        assert await scene.change(action="transfer", destination={"type": "ncco", "url": [url]}) == (204, None)
        inline, fetched = program.led_to
        assert isinstance(inline, Source)
        assert json.loads(inline.text) == NCCO
        assert isinstance(fetched, Source)
        assert fetched.answer is not None
        assert (fetched.answer.url, fetched.answer.method) == (url, "GET")
        program.is_over = True
        status, body = await scene.change(action="transfer", destination={"type": "ncco", "ncco": NCCO})
        assert (status, body["type"]) == (409, "CONFLICT")


async def test_what_runs_may_take_no_ncco(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at()) as scene:
        call, _ = scene.up()
        call.program = cast(Program, object())
        status, body = await scene.change(action="transfer", destination={"type": "ncco", "ncco": NCCO})
        assert (status, body["type"]) == (409, "CONFLICT")


async def test_a_call_that_is_not_answered_is_ended_at_most(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at()) as scene:
        call, _ = scene.up(state=CallState.RINGING)
        assert (await scene.change(action="mute"))[0] == 409
        assert (await scene.ask("PUT", f"/calls/{call_uuid(ID)}/dtmf", json={"digits": "1"}))[0] == 409
        assert not call.asked
        assert not scene.live.done


async def test_what_is_heard_beside_the_program(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at()) as scene:
        scene.up()
        path, uuid = f"/calls/{call_uuid(ID)}", call_uuid(ID)
        talk = {"text": "Hello", "language": "de-DE", "style": 2, "premium": True, "loop": 0, "level": 0.5}
        stream = {"stream_url": ["https://x.example/a.wav"], "loop": 3, "level": -1}
        for method, part, body, message in (
            ("PUT", "talk", talk, "Talk started"),
            ("DELETE", "talk", {}, "Talk stopped"),
            ("PUT", "stream", stream, "Stream started"),
            ("DELETE", "stream", {}, "Stream stopped"),
            ("PUT", "dtmf", {"digits": "1*P#"}, "DTMF sent"),
        ):
            answer = await scene.ask(method, f"{path}/{part}", json=body)
            assert answer == (200, {"message": message, "uuid": uuid})
        said, stopped, played, halted, keyed = scene.live.done
        assert isinstance(said, Talk)
        assert (said.text, said.language, said.loop, said.level) == ("Hello", "de-DE", 0, 0.5)
        assert isinstance(played, Stream)
        assert (played.url, played.loop, played.level) == ("https://x.example/a.wav", 3, -1.0)
        assert (stopped, halted, keyed) == ("stop talk", "stop stream", "1*p#")
        scene.live.refuse = "a payment is under way"
        for part, body in (("talk", talk), ("stream", stream), ("dtmf", {"digits": "1"})):
            status, refused = await scene.ask("PUT", f"{path}/{part}", json=body)
            assert (status, refused["type"], refused["detail"]) == (409, "CONFLICT", "a payment is under way")


# -- recordings --------------------------------------------------------------------------------------------------------


class FakeRecordings:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def file_of(self, record: Any) -> Path | None:
        path = self.directory / record.file
        return path if path.is_file() else None


async def test_a_recording_is_its_application_s(ledger: Ledger, at: Callable[..., Any], tmp_path: Path) -> None:
    audio = "RE" + "a" * 32
    (tmp_path / f"{audio}.wav").write_bytes(b"RIFF1234")
    await record(ledger, ID)
    await ledger.recordings.begin("a" * 32, call_id=ID, source="record", channels=1, file=f"{audio}.wav")
    async with scene_of(ledger, at(), recordings=FakeRecordings(tmp_path)) as scene:
        path = f"/files/{call_uuid('a' * 32)}"
        assert (await scene.ask("GET", path))[0] == 404  # under way
        await ledger.recordings.finish("a" * 32, status="completed", duration_ms=1, paused_ms=0)
        async with scene.api.session.get(f"{scene.api.url}/v1{path}", headers=bearer()) as answer:
            assert (answer.status, await answer.read()) == (200, b"RIFF1234")
            assert answer.headers["Cache-Control"] == "private, no-store"
        for other in (f"/files/{call_uuid('b' * 32)}", "/files/..%2f..%2fetc%2fpasswd", f"/files/{audio}"):
            assert (await scene.ask("GET", other))[0] == 404
        bank = bearer(token_of(BANK, BANK_ID))
        status, body = await scene.ask("GET", path, headers=bank)
        assert (status, body | NOBODY) == (404, body)
        (tmp_path / f"{audio}.wav").unlink()
        assert (await scene.ask("GET", path))[0] == 404


async def test_an_engine_that_records_nothing_has_no_files(ledger: Ledger, at: Callable[..., Any]) -> None:
    async with scene_of(ledger, at()) as scene:
        assert (await scene.ask("GET", f"/files/{call_uuid('a' * 32)}"))[0] == 404


# -- the vendor's client -----------------------------------------------------------------------------------------------


async def test_the_vendor_s_client_drives_calls(
    ledger: Ledger, at: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_certificate(tmp_path / "tls")
    config = at()
    tls = config.api.tls.model_copy(update={"certificate": str(made.certificate), "key": str(made.key)})
    api = config.api.model_copy(update={"tls_listen": "127.0.0.1:0", "tls": tls})
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made.authority))
    async with scene_of(ledger, config.model_copy(update={"api": api})) as scene:
        assert scene.api.server.https_address is not None
        host = f"localhost:{scene.api.server.https_address[1]}"

        def voice_of(owner: str) -> Voice:
            auth = Auth(application_id=SHOP_ID, private_key=private_pem(owner))
            return Voice(HttpClient(auth, HttpClientOptions(api_host=host)))

        def drive() -> None:
            voice = voice_of(SHOP)
            talk = vonage_ncco.Talk(text="Hello")
            made = voice.create_call(CreateCallRequest(ncco=[talk], to=[ToPhone(number=NUMBER)], from_=OWN))
            assert made.uuid == call_uuid("0" * 31 + "1")
            uuid = call_uuid(ID)
            assert voice.get_call(uuid).status == "answered"
            assert voice.list_calls() == ([], None)
            voice.mute(uuid)
            voice.unearmuff(uuid)
            voice.transfer_call_ncco(uuid, [talk])
            voice.transfer_call_answer_url(uuid, "https://shop.example/other")
            assert voice.play_tts_into_call(uuid, TtsStreamOptions(text="Hello")).message == "Talk started"
            assert voice.stop_tts(uuid).uuid == uuid
            options = AudioStreamOptions(stream_url=["https://x.example/a.wav"])
            assert voice.play_audio_into_call(uuid, options).message == "Stream started"
            assert voice.stop_audio_stream(uuid).message == "Stream stopped"
            assert voice.play_dtmf_into_call(uuid, "12#").message == "DTMF sent"
            voice.hangup(uuid)
            with pytest.raises(NotFoundError):
                voice.hangup(uuid)
            with pytest.raises(AuthenticationError):
                voice_of("stranger").get_call(uuid)

        call, program = scene.up()
        await scene.api.in_thread(drive)
        assert [name for name, _ in call.asked] == ["mute", "earmuff", "hang_up"]
        assert len(program.led_to) == 2
        assert len(scene.live.done) == 5
