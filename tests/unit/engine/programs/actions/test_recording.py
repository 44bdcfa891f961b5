"""Recording as an action: what ends it, whom it has in it, and what it tells."""

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
from engine.dialects.swml.methods import Record
from engine.programs.actions.recording import RecordAction, RecordedInfo, RecordState
from engine.programs.context import ProgramContext
from tests.support.recording_scene import ACCOUNT, RecordingScene, recording_scene, silence, speech

pytestmark = pytest.mark.asyncio

URL = f"https://pay.example.com/2010-04-01/Accounts/{ACCOUNT}/Recordings/"
ONE, HASH = 1, 11


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[RecordingScene]:
    async with recording_scene(tmp_path) as one:
        yield one


class Running:
    """An action that has begun; ``told`` is what it told."""

    def __init__(self, scene: RecordingScene, *, has_place: bool = True, **settings: Any) -> None:
        self.scene = scene
        self.told: list[tuple[RecordState, RecordedInfo]] = []
        unused = cast(Any, None)
        context = ProgramContext(
            config=scene.config,
            exchange=unused,
            web=unused,
            outbox=unused,
            payments=unused,
            prompts=unused,
            today=lambda: scene.clock().date(),
            clock=scene.clock,
            status=unused,
            recordings=scene.recordings if has_place else None,
        )
        call = cast(Any, weakref.proxy(scene.call))  # as programs have it
        self.action = RecordAction(
            Record(**settings), call, context, on_state=lambda state, info: self.told.append((state, info))
        )
        self.action.start(0.0)

    @property
    def states(self) -> list[str]:
        return [state.value for state, _ in self.told]

    async def looked(self) -> None:
        """Let the action look at the file, to the end of its look."""
        await self.scene.time.step()
        assert self.action._watching is not None
        asleep = asyncio.ensure_future(self.scene.time._asleep.wait())
        async with asyncio.timeout(20.0):
            await asyncio.wait({asleep, self.action._watching}, return_when=asyncio.FIRST_COMPLETED)
        asleep.cancel()

    async def over(self) -> RecordedInfo:
        """Let the file be made ready; return what is known of it."""
        await self.scene.settle()
        await self.action.done()
        assert self.action.is_over
        return self.told[-1][1]

    def heard(self, info: RecordedInfo) -> np.ndarray[Any, np.dtype[np.int16]]:
        return np.fromfile(self.scene.directory / f"{info.sid}.wav", dtype="<i2")[22:]

    @property
    def asked(self) -> list[str]:
        return [what for what, _ in self.scene.call.asked]


def running_of(scene: RecordingScene) -> Any:
    return scene.recordings.of_call(scene.call.facts.call_id)


async def test_it_is_told_with_the_first_audio_and_at_the_end_with_the_file(scene: RecordingScene) -> None:
    running = Running(scene)
    assert running.states == ["recording"]
    assert running.asked.index("mask_line") < running.asked.index("record")
    scene.hear(speech(2.0))
    running.action.stop(1.0)
    info = await running.over()
    assert running.states == ["recording", "finished"]
    assert info.url == f"{URL}{info.sid}.wav"
    assert info.duration_s == pytest.approx(2.0, abs=0.1)
    assert info.size == (scene.directory / f"{info.sid}.wav").stat().st_size
    assert not info.ended_by


async def test_a_tone_comes_first_and_may_be_cut_off(scene: RecordingScene) -> None:
    running = Running(scene, beep=True)
    assert (scene.call.heard, running.states) == ([("beep",)], [])
    running.action.play_finished(10**9, False, 0.0)
    assert running.states == [], "that was somebody else's playlist"
    running.action.play_finished(scene.call.tokens[-1], True, 0.0)
    assert running.states == ["recording"]


async def test_who_stops_it_during_the_tone_has_none(scene: RecordingScene) -> None:
    running = Running(scene, beep=True)
    running.action.stop(0.0)
    assert running.states == ["no_input"]
    running.action.play_finished(scene.call.tokens[-1], False, 0.0)
    assert running_of(scene) is None


async def test_a_key_ends_it_and_is_not_in_it(scene: RecordingScene) -> None:
    running = Running(scene, terminators="#*")
    wanted = [running.action.wants_digits]
    scene.hear(speech(2.0))
    scene.hear(generate("#", on_ms=60, off_ms=0))  # what passes before the detector knows
    running.action.digit(HASH, 0.0)
    assert [*wanted, running.action.wants_digits] == [True, False]
    info = await running.over()
    assert info.ended_by == "#"
    assert DtmfDetector(SENSITIVE).process(running.heard(info)) == []


async def test_another_key_becomes_silence(scene: RecordingScene) -> None:
    running = Running(scene)
    scene.hear(speech(1.0))
    scene.hear(generate("1", on_ms=60, off_ms=0))
    running.action.digit(ONE, 0.0)
    assert scene.call.recording_holds == 1
    running.action.digit_ended(0.0)
    assert scene.call.recording_holds == 0
    scene.hear(speech(1.0, seed=2))
    running.action.stop(0.0)
    info = await running.over()
    assert info.duration_s == pytest.approx(2.06, abs=0.05)
    assert DtmfDetector(SENSITIVE).process(running.heard(info)) == []


async def test_a_recording_without_terminators_takes_no_keys(scene: RecordingScene) -> None:
    assert not Running(scene, terminators="").action.wants_digits


async def test_silence_ends_it(scene: RecordingScene) -> None:
    running = Running(scene, end_silence_timeout_s=3.0)
    scene.hear(speech(2.0))
    scene.hear(silence(2.0))
    await running.looked()
    assert running_of(scene) is not None, "two seconds are not three"
    scene.hear(silence(2.0))
    await running.looked()
    await running.over()
    assert running.states == ["recording", "finished"]


async def test_who_does_not_begin_to_speak_has_no_recording(scene: RecordingScene) -> None:
    running = Running(scene, initial_timeout_s=4.0, end_silence_timeout_s=1.0)
    scene.hear(silence(3.0))
    await running.looked()
    assert running_of(scene) is not None, "the time for the end is not that for the beginning"
    scene.hear(silence(2.0))
    await running.looked()
    assert (await running.over()).url == ""
    assert running.states == ["recording", "no_input"]
    assert list(scene.directory.iterdir()) == []


async def test_times_of_0_end_nothing(scene: RecordingScene) -> None:
    running = Running(scene, initial_timeout_s=0.0, end_silence_timeout_s=0.0)
    scene.hear(silence(60.0))
    assert running.action._watching is None
    assert running_of(scene) is not None


async def test_the_silence_of_a_payment_and_of_a_pause_ends_nothing(scene: RecordingScene) -> None:
    running = Running(scene, end_silence_timeout_s=3.0)
    scene.hear(speech(1.0))
    await running.looked()
    scene.call.guard.enter(running)
    scene.hear(silence(5.0))
    await running.looked()
    scene.call.guard.leave(running)
    running.action.pause()
    scene.hear(silence(5.0))
    await running.looked()
    running.action.resume()
    assert running_of(scene) is not None
    scene.hear(silence(4.0))
    await running.looked()
    await running.over()
    assert running.states == ["recording", "paused", "recording", "finished"]


async def test_a_pause_is_told_once(scene: RecordingScene) -> None:
    running = Running(scene)
    running.action.pause()
    running.action.pause()
    running.action.resume()
    running.action.resume()
    assert running.states == ["recording", "paused", "recording"]


@pytest.mark.parametrize(
    ("settings", "channels"),
    [
        ({"direction": "both"}, 1),
        ({"direction": "both", "stereo": True}, 2),
        ({"direction": "speak"}, 1),
        ({"direction": "speak", "stereo": True}, 1),
        ({"direction": "listen"}, 1),
    ],
)
async def test_who_is_in_it(scene: RecordingScene, settings: dict[str, Any], channels: int) -> None:
    running = Running(scene, **settings)
    scene.hear(speech(1.0))
    running.action.stop(0.0)
    info = await running.over()
    (record,) = await scene.ledger.recordings.page()
    assert record.channels == channels
    if settings["direction"] == "listen":
        assert running.states[-1] == "no_input", "they heard nothing"
    else:
        head = (scene.directory / f"{info.sid}.wav").read_bytes()[:44]
        assert int.from_bytes(head[22:24], "little") == channels


async def test_the_limit_ends_it(scene: RecordingScene) -> None:
    running = Running(scene, max_length_s=1.0, direction="both")
    scene.hear(speech(3.0))
    await scene.settle()
    info = await running.over()
    assert running.states == ["recording", "finished"]
    assert info.duration_s == pytest.approx(1.0, abs=0.05)


async def test_a_second_one_is_an_error_and_disturbs_nothing(
    scene: RecordingScene, caplog: pytest.LogCaptureFixture
) -> None:
    first = Running(scene)
    second = Running(scene)
    assert second.states == ["error"]
    assert "recorded already" in caplog.text
    second.action.stop(0.0)
    assert (first.states, second.states) == (["recording"], ["error"])


async def test_without_a_directory_it_is_an_error_that_says_what_to_do(
    scene: RecordingScene, caplog: pytest.LogCaptureFixture
) -> None:
    running = Running(scene, has_place=False)
    assert running.states == ["error"]
    assert "[recording]" in caplog.text
    await running.action.done()


async def test_another_format_is_wav_with_a_warning(scene: RecordingScene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    running = Running(scene, format="mp3")
    assert "WAV" in caplog.text
    scene.hear(speech(1.0))
    running.action.hang_up(0.0)
    assert (await running.over()).url.endswith(".wav")
    assert running.states == ["recording", "finished"]
