"""``<Record>``: what ends it, what it tells, and that no key is in the file."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import pytest_asyncio

from dsp.dtmf import SENSITIVE, DtmfDetector, generate
from dsp.g711 import ulaw_decode
from dsp.levels import rms_dbm0
from engine.dialects.twiml.commands import Parameters, StartRecord
from engine.dialects.twiml.verbs import Record
from engine.programs.call_recording import error_code
from engine.programs.context import ProgramContext
from engine.programs.record import RecordVerb, beep
from engine.programs.recordings import Recordings
from tests.support.recording_scene import ACCOUNT, RecordingScene, recording_scene, silence, speech

pytestmark = pytest.mark.asyncio

URL = f"https://pay.example.com/2010-04-01/Accounts/{ACCOUNT}/Recordings/"
ONE, HASH = 1, 11


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[RecordingScene]:
    async with recording_scene(tmp_path) as one:
        yield one


class Running:
    """A verb that has begun; `ended` is what it told."""

    def __init__(self, scene: RecordingScene, *, recordings: Recordings | None, **attributes: Any) -> None:
        self.scene = scene
        self.ended: list[Parameters] = []
        context = ProgramContext(
            config=scene.config,
            exchange=cast(Any, None),
            web=cast(Any, None),
            outbox=cast(Any, scene.outbox),
            payments=cast(Any, None),
            prompts=cast(Any, None),
            today=lambda: scene.clock().date(),
            clock=scene.clock,
            status=cast(Any, None),
            recordings=recordings,
        )
        command = StartRecord(token=1, record=Record(**attributes), base_url="https://app.example/a/b")
        call = weakref.proxy(scene.call)  # as programs have it
        self.verb = RecordVerb(command, cast(Any, call), context, command.base_url, self.ended.append)
        self.verb.start(0.0)

    def beeped(self) -> None:
        self.verb.play_finished(self.scene.call.tokens[-1], False, 0.0)

    async def looked(self) -> None:
        """Let the verb look at the file, to the end of its look."""
        await self.scene.time.step()
        assert self.verb._watching is not None
        asleep = asyncio.ensure_future(self.scene.time._asleep.wait())
        async with asyncio.timeout(20.0):
            await asyncio.wait({asleep, self.verb._watching}, return_when=asyncio.FIRST_COMPLETED)
        asleep.cancel()

    async def over(self) -> dict[str, str]:
        """Let the file be made ready; return what was told."""
        await self.scene.settle()
        await self.verb.done()
        (parameters,) = self.ended
        return dict(parameters)


def recording(scene: RecordingScene, **attributes: Any) -> Running:
    running = Running(scene, recordings=scene.recordings, **attributes)
    if attributes.get("play_beep", True):
        running.beeped()
    return running


def heard_of(scene: RecordingScene, parameters: dict[str, str]) -> np.ndarray[Any, np.dtype[np.int16]]:
    samples = np.fromfile(scene.directory / f"{parameters['RecordingSid']}.wav", dtype="<i2")[22:]
    return np.ascontiguousarray(samples)


async def test_the_tone_comes_before_the_recording(scene: RecordingScene) -> None:
    running = Running(scene, recordings=scene.recordings)
    assert scene.call.heard == [("beep",)]
    assert scene.recordings.of_call(scene.call.facts.call_id) is None
    running.verb.play_finished(10**9, False, 0.0)
    assert scene.recordings.of_call(scene.call.facts.call_id) is None, "that was somebody else's playlist"
    running.beeped()
    assert scene.recordings.of_call(scene.call.facts.call_id) is not None


async def test_without_a_tone_it_begins_at_once(scene: RecordingScene) -> None:
    recording(scene, play_beep=False)
    assert scene.call.heard == []
    assert scene.recordings.of_call(scene.call.facts.call_id) is not None


async def test_the_tone_is_no_key_and_not_loud() -> None:
    samples = np.ascontiguousarray(ulaw_decode(beep().pcmu))
    assert DtmfDetector(SENSITIVE).process(samples) == []
    assert -16.5 < rms_dbm0(samples) < -12.5
    assert beep().duration_ms == 300


async def test_a_key_ends_it_and_is_not_in_it(scene: RecordingScene) -> None:
    running = recording(scene)
    scene.hear(speech(2.0))
    scene.hear(generate("1", on_ms=60, off_ms=0))  # what passes before the detector knows
    running.verb.digit(ONE, 0.0)
    told = await running.over()
    assert told["Digits"] == "1"
    assert told["RecordingUrl"] == URL + told["RecordingSid"]
    assert told["RecordingDuration"] == "2"
    heard = heard_of(scene, told)
    assert DtmfDetector(SENSITIVE).process(heard) == []
    assert 1.7 < len(heard) / 8000 < 2.05


async def test_a_key_that_ends_nothing_becomes_silence(scene: RecordingScene) -> None:
    running = recording(scene, finish_on_key="#", trim=False)
    scene.hear(speech(1.0))
    scene.hear(generate("1", on_ms=60, off_ms=0))
    running.verb.digit(ONE, 0.0)
    assert scene.call.recording_holds == 1
    one = scene.recordings.of_call(scene.call.facts.call_id)
    assert one is not None
    one._recording.hold(True)  # as the call does
    scene.hear(generate("1", on_ms=400, off_ms=0))
    running.verb.digit_ended(0.0)
    one._recording.hold(False)
    assert scene.call.recording_holds == 0
    scene.hear(silence(0.2))
    scene.hear(speech(1.0, seed=2))
    running.verb.digit(HASH, 0.0)
    told = await running.over()
    assert told["Digits"] == "#"
    heard = heard_of(scene, told)
    assert DtmfDetector(SENSITIVE).process(heard) == []
    assert np.any(heard[:6000])
    assert np.any(heard[-3000:])


async def test_silence_ends_it_and_is_trimmed(scene: RecordingScene) -> None:
    running = recording(scene, timeout_s=3.0)
    scene.hear(silence(1.0))
    scene.hear(speech(2.0))
    scene.hear(silence(2.0))
    await running.looked()
    one = scene.recordings.of_call(scene.call.facts.call_id)
    assert one is not None, "two seconds are not three"
    scene.hear(silence(2.0))
    await running.looked()
    assert not one.is_running
    told = await running.over()
    assert "Digits" not in told
    assert told["RecordingDuration"] == "2"
    assert 2.0 <= len(heard_of(scene, told)) / 8000 <= 2.4


async def test_do_not_trim_keeps_the_silence(scene: RecordingScene) -> None:
    running = recording(scene, timeout_s=3.0, trim=False)
    scene.hear(silence(1.0))
    scene.hear(speech(2.0))
    scene.hear(silence(4.0))
    await running.looked()
    assert len(heard_of(scene, await running.over())) == 7 * 8000


async def test_the_noise_of_the_line_is_silence(scene: RecordingScene) -> None:
    running = recording(scene, timeout_s=2.0)
    scene.hear(speech(1.0))
    scene.hear(speech(3.0, level=40, seed=3))  # about -55 dBm0
    await running.looked()
    assert (await running.over())["RecordingDuration"] == "1"


async def test_who_says_nothing_has_no_recording(scene: RecordingScene) -> None:
    running = recording(scene, timeout_s=2.0)
    scene.hear(silence(3.0))
    await running.looked()
    assert await running.over() == {}
    assert list(scene.directory.iterdir()) == []
    (record,) = await scene.ledger.recordings.page()
    assert (record.status, error_code(record.status, record.error)) == ("absent", 16102), "silent"


async def test_a_key_at_once_is_no_recording(scene: RecordingScene) -> None:
    running = recording(scene)
    scene.hear(generate("#", on_ms=60, off_ms=0))
    running.verb.digit(HASH, 0.0)
    assert await running.over() == {}


async def test_the_limit_ends_it(scene: RecordingScene) -> None:
    running = recording(scene, max_length_s=2)
    scene.hear(speech(3.0))
    assert (await running.over())["RecordingDuration"] == "2"


async def test_the_callers_hang_up_ends_it_and_is_told(scene: RecordingScene) -> None:
    running = recording(scene)
    scene.hear(speech(1.0))
    scene.call.companions[0].hang_up(0.0)  # the recording hears of it first, as on a call
    running.verb.hang_up(0.0)
    told = await running.over()
    assert (told["Digits"], told["RecordingDuration"]) == ("hangup", "1")


async def test_a_hang_up_under_the_tone_has_no_recording(scene: RecordingScene) -> None:
    running = Running(scene, recordings=scene.recordings)
    running.verb.hang_up(0.0)
    running.beeped()
    assert await running.over() == {}
    assert list(scene.directory.iterdir()) == []


async def test_stopped_it_tells_nothing_and_keeps_what_was_said(scene: RecordingScene) -> None:
    running = recording(scene, status_callback="done")
    scene.hear(speech(1.0))
    running.verb.stop(0.0)
    await scene.settle()
    await running.verb.done()
    assert running.ended == []
    assert scene.outbox.statuses == ["completed"]


async def test_stopped_under_the_tone_it_begins_nothing(scene: RecordingScene) -> None:
    running = Running(scene, recordings=scene.recordings)
    running.verb.stop(0.0)
    running.beeped()
    await running.verb.done()
    assert ("stop_playing", None) in scene.call.asked
    assert running.ended == []
    assert list(scene.directory.iterdir()) == []


async def test_its_webhook_goes_where_the_document_says(scene: RecordingScene) -> None:
    running = recording(scene, status_callback="/recorded", status_method="GET")
    scene.hear(speech(1.0))
    running.verb.digit(HASH, 0.0)
    told = await running.over()
    ((_, parameters, how),) = scene.outbox.webhooks
    assert (how["url"], how["method"]) == ("https://app.example/recorded", "GET")
    assert (parameters["RecordingSid"], parameters["RecordingSource"]) == (told["RecordingSid"], "RecordVerb")


async def test_a_host_without_recordings_warns_and_goes_on(
    scene: RecordingScene, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        running = Running(scene, recordings=None)
    assert running.ended == [()]
    assert "[recording]" in caplog.text
    await running.verb.done()


async def test_a_call_that_is_recorded_already_warns_and_goes_on(
    scene: RecordingScene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.start()
    with caplog.at_level(logging.WARNING):
        running = recording(scene)
    assert running.ended == [()]
    assert "already" in caplog.text


async def test_a_disk_that_fails_ends_it_and_the_document_goes_on(scene: RecordingScene) -> None:
    running = recording(scene)
    one = scene.recordings.of_call(scene.call.facts.call_id)
    assert one is not None
    one.path.write_bytes(b"taken")
    scene.hear(speech(1.0))
    running.verb.digit(HASH, 0.0)
    assert await running.over() == {}


async def test_no_key_is_logged(scene: RecordingScene, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        running = recording(scene)
        scene.hear(speech(1.0))
        running.verb.digit(HASH, 0.0)
        await running.over()
    assert not [one for one in caplog.records if "#" in one.getMessage() or "Digits" in str(one.__dict__)]


async def test_a_file_that_is_cut_under_it_ends_it_and_the_document_goes_on(
    scene: RecordingScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = recording(scene)
    scene.hear(speech(1.0))
    one = scene.recordings.of_call(scene.call.facts.call_id)
    assert one is not None
    running.verb.digit(HASH, 0.0)
    scene.write()
    scene.write()
    with one.path.open("ab") as file:
        file.write(b"x")  # half a sample
    assert await running.over() == {}
    assert one.status == "failed"


async def test_a_look_that_fails_leaves_the_limit_and_the_end_of_the_call(scene: RecordingScene) -> None:
    running = recording(scene)
    scene.hear(speech(1.5))
    one = scene.recordings.of_call(scene.call.facts.call_id)
    assert one is not None
    part = one.path.with_name(one.path.name + ".part")
    part.rename(part.with_suffix(".away"))
    part.mkdir()
    await running.looked()
    assert one.is_running
    part.rmdir()
    part.with_suffix(".away").rename(part)
    running.verb.hang_up(0.0)
    assert (await running.over())["Digits"] == "hangup"
