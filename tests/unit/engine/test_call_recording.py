"""What reaches the recording of a call while keys are captured: counted holds, over bridges and new recordings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.dtmf import SENSITIVE, DtmfDetector, generate
from engine.call.sound import Sound
from engine.errors import MediaError
from engine.media.recorder import ManualRecorder, Recording
from tests.support.recording import read_recording
from tests.support.rtp_peer import MediaCase, Peer, audio, codes, media_case

TICK = 160


class Side(Sound):
    """The media half of a call, with a leg of a plane that is ticked by hand."""

    def __init__(self, case: MediaCase, *, beside: Side | None = None) -> None:
        super().__init__(cast(Any, None))
        self._ended = None
        self._leg = case.plane.open_leg(beside=None if beside is None else beside._leg)
        self.peer = case.peer(self._leg)
        case.configure(self._leg, self.peer)


@pytest.fixture
def case() -> Iterator[MediaCase]:
    with media_case() as one:
        yield one


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[ManualRecorder]:
    recorder = ManualRecorder(tmp_path)
    recorder.start()
    yield recorder
    recorder.stop()


class Talk:
    """One side speaks; its timestamps go on from one `say` to the next."""

    def __init__(self, case: MediaCase, recorder: ManualRecorder, peer: Peer) -> None:
        self._case, self._recorder, self._peer = case, recorder, peer
        self.at = 0

    def say(self, samples: NDArray[np.int16]) -> None:
        for start in range(0, len(samples) - TICK + 1, TICK):
            self._peer.send_audio(samples[start : start + TICK], timestamp=self.at)
            self._case.tick()
            self._recorder.move()
            self.at += TICK


def sides_of(recorder: ManualRecorder, recording: Recording) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    recording.close()
    recorder.stop()
    _, raw = read_recording(recording.path)
    both = np.frombuffer(raw, dtype=np.int16).reshape(-1, 2)
    return np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])


def keys_in(samples: NDArray[np.int16]) -> list[Any]:
    return list(DtmfDetector(SENSITIVE).process(samples))


KEYS = generate("4242424242424242", on_ms=80, off_ms=80)
QUIET = np.zeros(1600, np.int16)


def test_a_payment_in_the_middle_leaves_speech_on_both_sides_of_it_and_no_key(
    case: MediaCase, recorder: ManualRecorder
) -> None:
    side = Side(case)
    recording = recorder.open("call.wav")
    side.record(recording)
    talk = Talk(case, recorder, side.peer)
    talk.say(audio(0.4))
    side.hold_recording()
    talk.say(KEYS)
    talk.say(QUIET)
    side.release_recording()
    talk.say(audio(0.4))
    assert len(codes(case.events)) == 16, "the engine itself hears every key"
    heard, _ = sides_of(recorder, recording)
    assert keys_in(heard) == []
    assert np.any(heard[1600:3200])
    assert np.any(heard[-1600:])


def test_two_hold_and_the_first_to_release_lets_nothing_through(case: MediaCase, recorder: ManualRecorder) -> None:
    side = Side(case)
    recording = recorder.open("call.wav")
    side.record(recording)
    talk = Talk(case, recorder, side.peer)
    side.hold_recording()
    side.hold_recording()
    side.release_recording()
    talk.say(KEYS)
    heard, _ = sides_of(recorder, recording)
    assert not np.any(heard)


def test_what_the_application_resumes_stays_held(case: MediaCase, recorder: ManualRecorder) -> None:
    side = Side(case)
    recording = recorder.open("call.wav")
    side.record(recording)
    side.hold_recording()
    recording.pause()
    recording.resume()
    Talk(case, recorder, side.peer).say(KEYS)
    heard, _ = sides_of(recorder, recording)
    assert not np.any(heard)


def test_a_release_too_many_is_no_credit_for_the_next_hold(case: MediaCase, recorder: ManualRecorder) -> None:
    side = Side(case)
    side.release_recording()
    side.hold_recording()
    recording = recorder.open("call.wav")
    side.record(recording)
    Talk(case, recorder, side.peer).say(KEYS)
    heard, _ = sides_of(recorder, recording)
    assert not np.any(heard)


def test_a_recording_that_begins_while_held_begins_with_silence(case: MediaCase, recorder: ManualRecorder) -> None:
    side = Side(case)
    side.hold_recording()
    recording = recorder.open("call.wav")
    side.record(recording)
    talk = Talk(case, recorder, side.peer)
    talk.say(KEYS)
    talk.say(QUIET)
    side.release_recording()
    talk.say(audio(0.4))
    heard, _ = sides_of(recorder, recording)
    assert keys_in(heard) == []
    assert not np.any(heard[: len(KEYS)])
    assert np.any(heard[-1600:])


@pytest.mark.parametrize("bridged_first", [True, False])
def test_the_recording_of_whoever_hears_the_caller_is_held_too(
    case: MediaCase, recorder: ManualRecorder, bridged_first: bool
) -> None:
    caller = Side(case)
    agent = Side(case, beside=caller)
    recording = recorder.open("agent.wav")
    agent.record(recording)
    if bridged_first:
        caller.bridge(cast(Any, agent))
    caller.hold_recording()
    if not bridged_first:
        caller.bridge(cast(Any, agent))
    talk = Talk(case, recorder, caller.peer)
    talk.say(KEYS)
    talk.say(QUIET)
    caller.release_recording()
    talk.say(audio(0.4))
    _, played = sides_of(recorder, recording)
    assert keys_in(played) == []
    assert np.any(played[-1600:]), "after it the caller is in the agent's recording again"


def test_a_call_that_is_parted_is_recorded_again(case: MediaCase, recorder: ManualRecorder) -> None:
    caller = Side(case)
    agent = Side(case, beside=caller)
    recording = recorder.open("agent.wav")
    agent.record(recording)
    caller.bridge(cast(Any, agent))
    caller.hold_recording()
    agent.unbridge()
    Talk(case, recorder, agent.peer).say(audio(0.6))
    heard, _ = sides_of(recorder, recording)
    assert np.any(heard[-1600:])


@pytest.mark.parametrize("joined_first", [True, False])
def test_in_a_room_one_who_holds_holds_what_records_all(
    case: MediaCase, recorder: ManualRecorder, joined_first: bool
) -> None:
    caller, agent, third = (Side(case) for _ in range(3))
    room = case.plane.open_room()
    recording = recorder.open("agent.wav")
    agent.record(recording)
    for one in (agent, third, *((caller,) if joined_first else ())):
        one.join(room)
    caller.hold_recording()
    if not joined_first:
        caller.join(room)
    talk = Talk(case, recorder, caller.peer)
    talk.say(KEYS)
    talk.say(QUIET)
    caller.release_recording()
    talk.say(audio(0.4))
    _, played = sides_of(recorder, recording)
    assert keys_in(played) == []
    assert np.any(played[-1600:]), "after it the caller is in the recording again"


def test_who_leaves_a_room_takes_the_hold_along(case: MediaCase, recorder: ManualRecorder) -> None:
    caller, agent, third = (Side(case) for _ in range(3))
    room = case.plane.open_room()
    recording = recorder.open("agent.wav")
    agent.record(recording)
    for one in (caller, agent, third):
        one.join(room)
    caller.hold_recording()
    third.leave_room()
    Talk(case, recorder, agent.peer).say(audio(0.2))
    assert recording.statistics().paused == 10, "the caller is still there"
    caller.leave_room()
    Talk(case, recorder, agent.peer).say(audio(0.6))
    heard, _ = sides_of(recorder, recording)
    assert np.any(heard[-800:])


def test_a_bridge_takes_the_call_and_its_hold_out_of_a_room(case: MediaCase, recorder: ManualRecorder) -> None:
    caller, agent, third = (Side(case) for _ in range(3))
    room = case.plane.open_room()
    of_agent, of_third = recorder.open("agent.wav"), recorder.open("third.wav")
    agent.record(of_agent)
    third.record(of_third)
    caller.join(room)
    third.join(room)
    caller.hold_recording()
    caller.bridge(cast(Any, agent))
    Talk(case, recorder, caller.peer).say(KEYS)
    assert of_agent.statistics().paused == of_agent.statistics().frames
    assert of_third.statistics().paused == 5, "the tail of the hold, and no more"


def test_a_room_that_takes_nobody_leaves_no_hold_behind(case: MediaCase, recorder: ManualRecorder) -> None:
    caller, agent = Side(case), Side(case)
    room = case.plane.open_room()
    recording = recorder.open("agent.wav")
    agent.record(recording)
    agent.join(room)
    caller.hold_recording()
    room.close()
    with pytest.raises(MediaError):
        caller.join(room)
    Talk(case, recorder, agent.peer).say(audio(0.6))
    heard, _ = sides_of(recorder, recording)
    assert np.any(heard[-1600:])
