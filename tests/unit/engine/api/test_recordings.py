"""The Recordings resource: what is listed, fetched, heard and deleted, and recordings of live calls begun and ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from engine.api.twilio.recordings import add_audio_routes, add_routes
from engine.config import SignalWireConfig, TwilioConfig
from engine.program import CallState
from engine.programs.call_recording import CallRecording
from engine.programs.recordings import recording_url
from tests.support.api import ENVIRONMENT, ApiScene, api_scene, authorization
from tests.support.call_control import FakeCall
from tests.support.recording_scene import ACCOUNT, RecordingScene, recording_scene, silence, speech

pytestmark = pytest.mark.asyncio

CALL_ID = "c" * 32
OF_CALL = f"/Calls/CA{CALL_ID}/Recordings"


@dataclass
class Scene:
    api: ApiScene
    recording: RecordingScene
    call: FakeCall

    async def ask(self, method: str, path: str, **request: Any) -> tuple[int, Any]:
        return await self.api.ask(method, path, **request)

    async def recorded(self, seconds: float = 1.0, call: FakeCall | None = None) -> CallRecording:
        one = self.recording.start(call or self.call)
        self.recording.hear(speech(seconds), one)
        one.stop()
        await self.recording.settle()
        return one


@pytest_asyncio.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    async with (
        recording_scene(tmp_path) as recording,
        api_scene(
            recording.ledger,
            [add_routes],
            config=recording.config,
            clock=recording.clock,
            recordings=recording.recordings,
        ) as api,
    ):
        yield Scene(api, recording, api.exchange.add(CALL_ID))


async def test_a_recording_is_begun_paused_resumed_and_stopped(scene: Scene) -> None:
    status, body = await scene.ask("POST", f"{OF_CALL}.json", data={"RecordingChannels": "dual"})
    assert status == 201
    sid = body["sid"]
    assert body == {
        "account_sid": ACCOUNT,
        "api_version": "2010-04-01",
        "call_sid": f"CA{CALL_ID}",
        "conference_sid": None,
        "date_created": "Wed, 02 Jan 2030 03:04:05 +0000",
        "date_updated": "Wed, 02 Jan 2030 03:04:05 +0000",
        "start_time": "Wed, 02 Jan 2030 03:04:05 +0000",
        "duration": None,
        "sid": sid,
        "price": None,
        "price_unit": None,
        "status": "in-progress",
        "channels": 2,
        "source": "StartCallRecordingAPI",
        "error_code": None,
        "uri": f"/2010-04-01/Accounts/{ACCOUNT}/Calls/CA{CALL_ID}/Recordings/{sid}.json",
        "encryption_details": None,
        "track": "both",
    }
    one = scene.recording.recordings.of_call(CALL_ID)
    assert one is not None
    assert one.sid == sid
    for name, wanted, is_running in (
        (sid, "paused", True),
        ("Twilio.CURRENT", "in-progress", True),
        ("Twilio.CURRENT", "stopped", False),
    ):
        status, body = await scene.ask("POST", f"{OF_CALL}/{name}.json", data={"Status": wanted})
        assert (status, body["status"], one.is_running) == (200, wanted, is_running)
    assert (await scene.ask("POST", f"{OF_CALL}/Twilio.CURRENT.json", data={"Status": "paused"}))[0] == 404
    status, body = await scene.ask("POST", f"{OF_CALL}/{sid}.json", data={"Status": "paused"})
    assert (status, body["code"]) == (400, 21220)


async def test_an_application_that_resumes_does_not_resume_a_capture(scene: Scene) -> None:
    await scene.ask("POST", f"{OF_CALL}.json")
    one = scene.recording.recordings.of_call(CALL_ID)
    assert one is not None
    one._recording.hold(True)
    for wanted in ("paused", "in-progress"):
        await scene.ask("POST", f"{OF_CALL}/Twilio.CURRENT.json", data={"Status": wanted})
    scene.recording.hear(speech(1.0), one)
    assert one._recording.statistics().paused == 50


async def test_a_track_alone_and_trimmed_is_what_is_kept(scene: Scene) -> None:
    status, body = await scene.ask(
        "POST", f"{OF_CALL}.json", data={"RecordingTrack": "inbound", "Trim": "trim-silence"}
    )
    assert (status, body["channels"]) == (201, 1)
    one = scene.recording.recordings.of_call(CALL_ID)
    assert one is not None
    for samples in (silence(2.0), speech(1.0), silence(2.0)):
        scene.recording.hear(samples, one)
    one.stop()
    await scene.recording.settle()
    assert one.duration_ms in range(1000, 1400)
    assert len(scene.recording.audio(one)) == (one.duration_ms or 0) * 8


async def test_what_cannot_be_meant_is_refused_and_nothing_begins(scene: Scene) -> None:
    for field, value, code in (
        ("RecordingChannels", "three", 20001),
        ("RecordingTrack", "all", 20001),
        ("Trim", "yes", 20001),
        ("RecordingStatusCallback", "/relative", 21609),
        ("RecordingStatusCallback", "http://app.example/x", 21609),
        ("RecordingStatusCallback", "https://[", 21609),
    ):
        status, body = await scene.ask("POST", f"{OF_CALL}.json", data={field: value})
        assert (status, body["code"]) == (400, code), value
        assert field in body["message"]
    assert scene.recording.recordings.of_call(CALL_ID) is None


async def test_its_webhook_goes_where_the_request_says(scene: Scene) -> None:
    form = [
        ("RecordingStatusCallback", "https://app.example/r"),
        ("RecordingStatusCallbackMethod", "GET"),
        ("RecordingStatusCallbackEvent", "in-progress"),
        ("RecordingStatusCallbackEvent", "completed"),
    ]
    assert (await scene.ask("POST", f"{OF_CALL}.json", data=form))[0] == 201
    one = scene.recording.recordings.of_call(CALL_ID)
    assert one is not None
    scene.recording.hear(speech(1.0), one)
    one.stop()
    await scene.recording.settle()
    assert scene.recording.outbox.statuses == ["in-progress", "completed"]
    assert scene.recording.outbox.webhooks[0][2]["method"] == "GET"


async def test_only_a_call_in_progress_and_only_once(scene: Scene) -> None:
    status, body = await scene.ask("POST", f"/Calls/CA{'d' * 32}/Recordings.json")
    assert (status, body["code"]) == (404, 20404)
    scene.api.exchange.add("e" * 32, state=CallState.RINGING)
    status, body = await scene.ask("POST", f"/Calls/CA{'e' * 32}/Recordings.json")
    assert (status, body["code"]) == (400, 21220)
    assert (await scene.ask("POST", f"{OF_CALL}.json"))[0] == 201
    status, body = await scene.ask("POST", f"{OF_CALL}.json")
    assert (status, body["code"]) == (400, 21220)
    status, body = await scene.ask("POST", f"{OF_CALL}/Twilio.CURRENT.json", data={"Status": "completed"})
    assert (status, body["code"]) == (400, 20001)


async def test_the_audio_is_there_whole_and_in_parts_for_the_account_alone(scene: Scene) -> None:
    one = await scene.recorded()
    whole = one.path.read_bytes()
    for ending in ("", ".wav"):
        url = f"{scene.api.account}/Recordings/{one.sid}{ending}"
        async with scene.api.session.get(url, headers=authorization()) as answer:
            assert (answer.status, answer.content_type) == (200, "audio/x-wav")
            assert await answer.read() == whole
        async with scene.api.session.get(url, headers=authorization() | {"Range": "bytes=44-143"}) as answer:
            assert answer.status == 206
            assert await answer.read() == whole[44:144]
        async with scene.api.session.get(url) as answer:
            assert answer.status == 401


async def test_what_is_under_way_has_properties_and_no_audio_yet(scene: Scene) -> None:
    one = scene.recording.start(scene.call)
    status, body = await scene.ask("GET", f"/Recordings/{one.sid}.json")
    assert (status, body["status"], body["duration"]) == (200, "in-progress", None)
    one.pause()
    assert (await scene.ask("GET", f"/Recordings/{one.sid}.json"))[1]["status"] == "paused"
    await scene.recording.recordings.idle()
    assert (await scene.ask("GET", "/Recordings.json"))[1]["recordings"][0]["status"] == "paused"
    assert (await scene.ask("GET", f"/Recordings/{one.sid}.wav"))[0] == 404
    status, body = await scene.ask("DELETE", f"/Recordings/{one.sid}.json")
    assert (status, body["code"]) == (409, 20409)


async def test_deleted_it_is_gone_audio_and_all(scene: Scene) -> None:
    one = await scene.recorded()
    assert await scene.ask("DELETE", f"/Recordings/{one.sid}.json") == (204, None)
    assert list(scene.recording.directory.iterdir()) == []
    for path in (f"/Recordings/{one.sid}.json", f"/Recordings/{one.sid}", f"{OF_CALL}/{one.sid}.json"):
        assert (await scene.ask("GET", path))[0] == 404
    assert (await scene.ask("DELETE", f"/Recordings/{one.sid}.json"))[0] == 404


NO_NAMES = ("RE" + "0" * 32, "RE" + "g" * 32, "CA" + "0" * 32, "..%2F..%2Fetc%2Fpasswd", "RE", "%00", "Twilio.CURRENT")


async def test_what_is_no_recording_is_not_there(scene: Scene) -> None:
    for name in NO_NAMES:
        for method, path in (
            ("GET", f"/Recordings/{name}.json"),
            ("GET", f"/Recordings/{name}.wav"),
            ("GET", f"/Recordings/{name}"),
            ("DELETE", f"/Recordings/{name}.json"),
            ("GET", f"{OF_CALL}/{name}.json"),
        ):
            assert (await scene.ask(method, path))[0] == 404, path


async def test_a_recording_is_found_under_its_own_call_alone(scene: Scene) -> None:
    one = await scene.recorded()
    assert (await scene.ask("GET", f"{OF_CALL}/{one.sid}.json"))[0] == 200
    assert (await scene.ask("GET", f"/Calls/CA{'d' * 32}/Recordings/{one.sid}.json"))[0] == 404


async def test_lists_have_pages_and_filters(scene: Scene) -> None:
    sids = []
    for n in range(3):
        other = scene.api.exchange.add(f"{n}" * 32)
        sids.append((await scene.recorded(0.2, other)).sid)
        scene.recording.clock.now += timedelta(days=1)

    async def listed(query: str, path: str = "/Recordings.json") -> list[str]:
        status, body = await scene.ask("GET", path + query)
        assert status == 200
        return [one["sid"] for one in body["recordings"]]

    assert await listed("") == sids[::-1]
    status, body = await scene.ask("GET", "/Recordings.json?PageSize=2")
    assert status == 200
    assert (len(body["recordings"]), body["page"], body["start"], body["end"]) == (2, 0, 0, 1)
    assert body["previous_page_uri"] is None
    async with scene.api.session.get(scene.api.url + body["next_page_uri"], headers=authorization()) as answer:
        second = await answer.json()
    assert [one["sid"] for one in second["recordings"]] == sids[:1]
    assert (second["next_page_uri"], second["start"]) == (None, 2)
    assert await listed(f"?CallSid=CA{'1' * 32}") == [sids[1]]
    assert await listed("?CallSid=nonsense") == []
    assert await listed("", f"/Calls/CA{'2' * 32}/Recordings.json") == [sids[2]]
    assert await listed("?DateCreated=2030-01-03") == [sids[1]]
    assert await listed("?DateCreated%3E=2030-01-03T03:04:05Z") == [sids[2], sids[1]]
    assert await listed("?DateCreated%3C=2030-01-03") == [sids[0]]


async def test_a_list_that_cannot_be_meant_is_refused(scene: Scene) -> None:
    for query in ("PageSize=x", "Page=-1", "PageSize=1e3", "DateCreated=yesterday", "DateCreated=9999-12-31"):
        status, body = await scene.ask("GET", f"/Recordings.json?{query}")
        assert (status, body["code"]) == (400, 20001), query


async def test_the_vendors_client_works_unchanged(scene: Scene) -> None:
    client = scene.api.sdk()
    calls, recordings = client.calls(f"CA{CALL_ID}"), client.recordings
    begun = await scene.api.in_thread(
        calls.recordings.create, recording_channels="dual", recording_status_callback_event=["completed"]
    )
    assert (begun.status, begun.channels) == ("in-progress", 2)
    paused = await scene.api.in_thread(calls.recordings("Twilio.CURRENT").update, status="paused")
    assert paused.status == "paused"
    await scene.api.in_thread(calls.recordings(begun.sid).update, status="stopped")
    await scene.recording.settle()
    await scene.recorded()
    first, *others = await scene.api.in_thread(recordings.list, page_size=1, date_created_after=datetime(2030, 1, 1))
    assert [one.sid for one in others] != [first.sid]
    assert len(others) == 1
    fetched = await scene.api.in_thread(recordings(first.sid).fetch)
    assert fetched.start_time == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert await scene.api.in_thread(recordings(first.sid).delete)
    assert [one.sid for one in await scene.api.in_thread(calls.recordings.list)] == [others[0].sid]


async def test_without_a_directory_nothing_is_recorded_and_lists_are_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    async with (
        recording_scene(tmp_path) as recording,
        api_scene(recording.ledger, [add_routes], config=recording.config, clock=recording.clock) as api,
    ):
        api.exchange.add(CALL_ID)
        status, body = await api.ask("POST", f"{OF_CALL}.json")
        assert (status, body["code"]) == (400, 21220)
        assert "[recording]" in body["message"]
        assert (await api.ask("GET", "/Recordings.json"))[1]["recordings"] == []


@pytest.mark.parametrize("has_account", [True, False])
async def test_a_project_gets_the_audio_of_what_its_calls_recorded_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_account: bool
) -> None:
    for name, value in {**ENVIRONMENT, "TEST_RELAY_TOKEN": "token-of-the-project"}.items():
        monkeypatch.setenv(name, value)
    project = authorization(("project-1", "token-of-the-project"))
    signalwire = SignalWireConfig(project="project-1", token_env="TEST_RELAY_TOKEN")
    async with recording_scene(tmp_path) as recording:
        changes: dict[str, Any] = {"signalwire": signalwire}
        if not has_account:
            changes["twilio"] = TwilioConfig()
        config = recording.config.model_copy(update=changes)
        resource = add_routes if has_account else add_audio_routes
        served = api_scene(
            recording.ledger,
            [resource],
            config=config,
            clock=recording.clock,
            recordings=recording.recordings,
            public=["/"],
        )
        async with served as api:
            scene = Scene(api, recording, api.exchange.add(CALL_ID))
            one = await scene.recorded()
            path = urlsplit(recording_url(config, one.recording_id, account="project-1") + ".wav").path
            assert "/Accounts/project-1/" in path
            async with api.session.get(api.url + path, headers=project) as answer:
                assert (answer.status, await answer.read()) == (200, one.path.read_bytes())
            listing = "/2010-04-01/Accounts/project-1/Recordings.json"
            for wrong, headers, status in (
                (path, {}, 401),
                (path, authorization(("project-1", "wrong")), 401),
                (listing, project, 404),
                (path.replace("project-1", ACCOUNT), project, 403),
                (path, authorization(), 403 if has_account else 401),
            ):
                async with api.session.get(api.url + wrong, headers=headers) as answer:
                    assert answer.status == status, wrong
