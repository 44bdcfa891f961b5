"""Recordings of calls: what is in the file, what the ledger knows, who is told, what becomes of it all in the end."""

from __future__ import annotations

import os
import stat
import wave
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import pytest_asyncio

from dsp.dtmf import SENSITIVE, DtmfDetector, generate
from engine.config import ApiConfig
from engine.errors import ConfigError, LedgerError
from engine.ledger import RecordingRecord, WebhookPolicy
from engine.program import CallState
from engine.programs.call_recording import CallRecording, RecordingCallback, RecordingError
from engine.programs.recordings import Recordings, recording_url
from tests.support.call_control import FakeCall
from tests.support.recording_scene import ACCOUNT, RecordingScene, recording_config, recording_scene, silence, speech

CALLBACK = RecordingCallback(url="https://app.example/recorded", events=("in-progress", "completed", "absent"))


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[RecordingScene]:
    async with recording_scene(tmp_path) as one:
        yield one


async def row(scene: RecordingScene, recording_id: str) -> RecordingRecord:
    record = await scene.ledger.recordings.get(recording_id)
    assert record is not None
    return record


@pytest.mark.asyncio
async def test_a_recording_becomes_a_file_a_record_and_a_webhook(scene: RecordingScene) -> None:
    done: list[CallRecording] = []
    one = scene.start(channels="stereo", on_done=done.append, callback=CALLBACK)
    assert scene.call.asked[-1] == ("record", one._recording)
    assert scene.call.companions == [one]
    scene.hear(speech(3.0))
    one.stop()
    assert done == [], "not before the file is ready"
    await scene.settle()
    assert done == [one]
    assert one.path.name == f"{one.sid}.wav"
    assert stat.S_IMODE(one.path.stat().st_mode) == 0o600
    assert len(scene.audio(one)) == 24000
    record = await row(scene, one.recording_id)
    assert (record.status, record.duration_ms, record.channels, record.source) == ("completed", 3000, 2, "OutboundAPI")
    assert (record.call_id, record.file) == (scene.call.facts.call_id, f"{one.sid}.wav")
    assert scene.outbox.statuses == ["in-progress", "completed"]
    session, parameters, how = scene.outbox.webhooks[-1]
    assert session == one.recording_id, "so that both arrive in their order"
    assert parameters == {
        "AccountSid": ACCOUNT,
        "CallSid": "CA" + scene.call.facts.call_id,
        "RecordingSid": one.sid,
        "RecordingUrl": f"https://pay.example.com/2010-04-01/Accounts/{ACCOUNT}/Recordings/{one.sid}",
        "RecordingStatus": "completed",
        "RecordingDuration": "3",
        "RecordingChannels": "2",
        "RecordingStartTime": "Wed, 02 Jan 2030 03:04:05 +0000",
        "RecordingSource": "OutboundAPI",
        "RecordingTrack": "both",
        "ErrorCode": "0",
    }
    assert (how["key_env"], how["policy"], how["method"]) == ("TEST_TWILIO_TOKEN", WebhookPolicy.RESULT, "POST")


@pytest.mark.asyncio
async def test_a_call_that_ends_ends_its_recording(scene: RecordingScene) -> None:
    one = scene.start()
    scene.hear(speech(1.0))
    scene.call.companions[0].hang_up(0.0)
    await scene.settle()
    assert one.status == "completed"
    assert scene.call.companions == []
    assert scene.recordings.of_call(scene.call.facts.call_id) is None


@pytest.mark.asyncio
async def test_the_limit_completes_a_recording_by_itself(scene: RecordingScene) -> None:
    one = scene.start(limit_s=1.0)
    scene.hear(speech(1.5))
    await scene.settle()
    assert (one.status, one.duration_ms) == ("completed", 1000)
    assert scene.call.asked[-1] == ("record", None)


@pytest.mark.asyncio
async def test_the_operators_limit_holds_for_everybody(tmp_path: Path) -> None:
    async with recording_scene(tmp_path, max_hours=0.0005) as scene:  # 1.8 s
        one = scene.start(limit_s=3600.0)
        scene.hear(speech(2.5))
        await scene.settle()
        assert one.duration_ms == 1800


@pytest.mark.asyncio
async def test_a_call_has_one_recording_at_a_time(scene: RecordingScene) -> None:
    one = scene.start()
    with pytest.raises(RecordingError, match="already"):
        scene.start()
    one.stop()
    await scene.settle()
    assert scene.start() is not one


@pytest.mark.parametrize("state", [CallState.QUEUED, CallState.ENDED])
@pytest.mark.asyncio
async def test_a_call_that_is_not_up_is_not_recorded(scene: RecordingScene, state: CallState) -> None:
    with pytest.raises(RecordingError, match="not up"):
        scene.start(FakeCall(state=state))
    assert list(scene.directory.iterdir()) == []


@pytest.mark.asyncio
async def test_nothing_heard_at_all_is_absent_and_leaves_no_file(scene: RecordingScene) -> None:
    one = scene.start(callback=CALLBACK)
    one.stop()
    await scene.settle()
    assert one.status == "absent"
    assert not one.path.exists()
    assert (await row(scene, one.recording_id)).status == "absent"
    assert scene.outbox.statuses == ["in-progress", "absent"]
    assert "RecordingDuration" not in scene.outbox.webhooks[-1][1]
    assert scene.outbox.webhooks[-1][1]["ErrorCode"] == "16101", "too short"


@pytest.mark.asyncio
async def test_only_what_was_asked_for_is_told(scene: RecordingScene) -> None:
    one = scene.start(callback=RecordingCallback(url="https://app.example/recorded"))
    scene.hear(speech(0.5))
    one.stop()
    await scene.settle()
    assert scene.outbox.statuses == ["completed"]


@pytest.mark.asyncio
async def test_a_pause_of_the_application_is_silence_and_told(scene: RecordingScene) -> None:
    one = scene.start()
    scene.hear(speech(0.5))
    one.pause()
    assert one.status == "paused"
    scene.hear(speech(1.0))
    one.resume()
    scene.hear(speech(0.5))
    one.stop()
    await scene.settle()
    record = await row(scene, one.recording_id)
    assert (record.duration_ms, record.paused_ms) == (2000, 1100), "with 100 ms behind the resumption"
    assert not np.any(scene.audio(one)[4000:12000])


@pytest.mark.asyncio
async def test_no_key_of_a_capture_is_in_the_file(scene: RecordingScene) -> None:
    one = scene.start()
    scene.hear(speech(0.5))
    one._recording.hold(True)
    scene.hear(generate("4242424242424242", on_ms=80, off_ms=80))
    one.pause()
    one.resume()
    scene.hear(generate("123", on_ms=80, off_ms=80))
    one._recording.hold(False)
    scene.hear(silence(0.2))
    scene.hear(speech(0.5, seed=2))
    one.stop()
    await scene.settle()
    heard = scene.audio(one)
    assert DtmfDetector(SENSITIVE).process(heard) == []
    assert np.any(heard[-3000:])
    assert (await row(scene, one.recording_id)).paused_ms == 3140


# -- what goes wrong


@pytest.mark.asyncio
async def test_a_disk_that_fails_is_told_as_failed_and_the_call_goes_on(scene: RecordingScene) -> None:
    one = scene.start(callback=CALLBACK)
    one.path.write_bytes(b"taken")  # no recording replaces what is there
    scene.hear(speech(1.0))
    one.stop()
    await scene.settle()
    assert one.status == "failed"
    record = await row(scene, one.recording_id)
    assert (record.status, record.error) == ("failed", "File exists")
    assert scene.outbox.statuses == ["in-progress", "failed"]
    assert scene.outbox.webhooks[-1][1]["ErrorCode"] == "20500"
    assert scene.call.times_hung_up == 0
    assert one.path.read_bytes() == b"taken"


@pytest.mark.asyncio
async def test_a_disk_that_is_full_is_told_as_failed(scene: RecordingScene, monkeypatch: pytest.MonkeyPatch) -> None:
    full = os.open("/dev/full", os.O_WRONLY)

    def on_a_full_disk(path: str, **how: Any) -> Any:
        return scene.recorder.open_descriptor(full, scene.directory / path, **how)

    monkeypatch.setattr(scene.recorder, "open", on_a_full_disk)
    one = scene.start()
    scene.hear(speech(2.0))
    await scene.settle()
    assert (one.status, one.error) == ("failed", "No space left on device")
    assert scene.call.companions == []


@pytest.mark.asyncio
async def test_a_ledger_that_fails_loses_no_audio_and_no_word(
    scene: RecordingScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise LedgerError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(scene.ledger.recordings, "begin", broken)
        one = scene.start(callback=CALLBACK)
        scene.hear(speech(1.0))
        await scene.recordings.idle()
    one.stop()
    await scene.settle()
    record = await row(scene, one.recording_id)
    assert (record.status, record.duration_ms) == ("completed", 1000), "noted at the end, when it could be"
    assert scene.outbox.statuses[-1] == "completed"


@pytest.mark.asyncio
async def test_stopping_the_engine_completes_what_runs(tmp_path: Path) -> None:
    async with recording_scene(tmp_path) as scene:
        one = scene.start()
        scene.hear(speech(2.0))
        await scene.recordings.close()
        assert (await row(scene, one.recording_id)).status == "completed"
    assert one.path.is_file()


@pytest.mark.asyncio
async def test_what_a_crash_left_is_settled_at_the_next_start(tmp_path: Path) -> None:
    async with recording_scene(tmp_path) as scene:
        rows = scene.ledger.recordings
        names = {}
        for n, kind in enumerate(("part", "whole", "empty", "nothing", "broken")):
            recording_id = f"{n}" * 32
            names[kind] = (recording_id, scene.directory / f"RE{recording_id}.wav")
            await rows.begin(recording_id, call_id="c" * 32, source="x", channels=1, file=names[kind][1].name)
        write_wav(names["part"][1].with_name(names["part"][1].name + ".part"), 8000)
        write_wav(names["whole"][1], 4000)
        write_wav(names["empty"][1].with_name(names["empty"][1].name + ".part"), 0)
        names["broken"][1].with_name(names["broken"][1].name + ".part").write_bytes(b"RIFFnothing")
        await scene.recordings.settle()
        found = {kind: await row(scene, recording_id) for kind, (recording_id, _) in names.items()}
        assert {kind: record.status for kind, record in found.items()} == {
            "part": "completed",
            "whole": "completed",
            "empty": "absent",
            "nothing": "absent",
            "broken": "failed",
        }
        assert found["part"].duration_ms == 1000
        assert found["whole"].duration_ms == 500
        assert names["part"][1].is_file()
        assert await rows.unfinished() == []
        assert not list(scene.directory.glob("RE0*.part"))


def write_wav(path: Path, n_samples: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\1\0" * n_samples)


# -- deleting


@pytest.mark.asyncio
async def test_a_recording_is_deleted_with_its_audio(scene: RecordingScene) -> None:
    one = scene.start()
    scene.hear(speech(0.5))
    with pytest.raises(RecordingError, match="not over"):
        await scene.recordings.delete(one.recording_id)
    one.stop()
    await scene.settle()
    assert await scene.recordings.delete(one.recording_id)
    assert list(scene.directory.iterdir()) == []
    assert await scene.ledger.recordings.get(one.recording_id) is None
    assert not await scene.recordings.delete(one.recording_id)


@pytest.mark.asyncio
async def test_what_is_older_than_is_kept_goes_and_nothing_else(tmp_path: Path) -> None:
    async with recording_scene(tmp_path, keep_days=30) as scene:
        old: list[CallRecording] = []
        new: list[CallRecording] = []
        for kind in (old, new):
            one = scene.start()
            scene.hear(speech(0.2))
            one.stop()
            await scene.settle()
            kind.append(one)
            scene.clock.now += timedelta(days=29)
        running = scene.start()
        assert await scene.recordings.delete_old() == 1
        assert not old[0].path.exists()
        assert new[0].path.exists()
        assert scene.recordings.live(running.recording_id) is running


@pytest.mark.asyncio
async def test_retention_looks_once_an_hour_without_being_asked(tmp_path: Path) -> None:
    async with recording_scene(tmp_path, keep_days=1) as scene:
        one = scene.start()
        scene.hear(speech(0.2))
        one.stop()
        await scene.settle()
        scene.clock.now += timedelta(days=2)
        scene.recordings.keep()
        await scene.time.step()
        await scene.time.step()  # it sleeps again: the first pass is over
        assert not one.path.exists()


@pytest.mark.asyncio
async def test_a_name_that_leads_elsewhere_leads_nowhere(scene: RecordingScene) -> None:
    sid = "RE" + "0" * 32
    for name in (
        "../../etc/passwd",
        f"{sid}.wav/../../x.wav",
        f"../{sid}.wav",
        "/etc/passwd",
        "",
        ".wav",
        sid,
        "x.wav",
    ):
        assert scene.recordings.file_of(record_of(scene, name)) is None


def record_of(scene: RecordingScene, name: str) -> RecordingRecord:
    return RecordingRecord(
        recording_id="0" * 32,
        call_id="c",
        source="x",
        channels=1,
        file=name,
        node="",
        started_at=scene.clock(),
        finished_at=None,
        duration_ms=None,
        paused_ms=None,
        status="completed",
        error="",
    )


@pytest.mark.asyncio
async def test_a_link_out_of_the_directory_is_not_followed(scene: RecordingScene) -> None:
    one = scene.start()
    scene.hear(speech(0.2))
    one.stop()
    await scene.settle()
    record = await row(scene, one.recording_id)
    assert scene.recordings.file_of(record) == one.path
    one.path.unlink()
    one.path.symlink_to("/etc/passwd")
    assert scene.recordings.file_of(record) is None


# -- opening


@pytest.mark.asyncio
async def test_the_directory_is_made_for_its_owner_alone(scene: RecordingScene, tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    recordings = await opened(scene, directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    await recordings.close()


@pytest.mark.asyncio
async def test_a_directory_that_cannot_be_had_is_named_with_a_remedy(scene: RecordingScene, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("file", "file/below"):
        with pytest.raises(ConfigError, match="recording") as failure:
            await opened(scene, tmp_path / name)
        assert failure.value.where == "[recording] directory"
        assert failure.value.remedy


@pytest.mark.asyncio
async def test_a_recording_with_the_recorders_own_threads(scene: RecordingScene, tmp_path: Path) -> None:
    recordings = await opened(scene, tmp_path / "threads")
    one = recordings.start(cast(Any, scene.call), source="OutboundAPI")
    samples = speech(0.4)
    for start in range(0, len(samples), 160):
        one._recording.tap.push(samples[start : start + 160].tobytes(), None)
    await recordings.close()
    assert (one.status, one.duration_ms) == ("completed", 400)


async def opened(scene: RecordingScene, directory: Path) -> Recordings:
    wake_fd = os.eventfd(0)
    try:
        return await Recordings.open(
            recording_config(directory),
            ledger=scene.ledger,
            outbox=cast(Any, scene.outbox),
            wake_fd=wake_fd,
            clock=scene.clock,
        )
    finally:
        os.close(wake_fd)


@pytest.mark.parametrize(
    ("api", "base"),
    [
        ({"public_url": "https://pay.example.com/", "listen": "127.0.0.1:80"}, "https://pay.example.com"),
        ({"listen": "127.0.0.1:8080"}, "http://127.0.0.1:8080"),
        ({"listen": "0.0.0.0:8080"}, "http://localhost:8080"),
        ({}, ""),
    ],
)
def test_its_url_is_where_others_reach_the_interface(tmp_path: Path, api: dict[str, str], base: str) -> None:
    config = recording_config(tmp_path).model_copy(update={"api": ApiConfig.model_validate(api)})
    assert recording_url(config, "0" * 32) == f"{base}/2010-04-01/Accounts/{ACCOUNT}/Recordings/RE{'0' * 32}"
