"""Whatever a leg, a capture, the mover and the disk do, and in whatever order: the file is what the oracle says."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.media.recorder import Channels, ManualRecorder, PausedFrames, Recording, RecordingFinished
from tests.support.recording import RecordingOracle, read_recording, recorded_frame

Step = tuple[str, int]

steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["push", "push", "push", "caller", "played", "nothing"]), st.integers(1, 40)),
        st.tuples(st.just("skip"), st.integers(0, 120)),
        st.tuples(st.sampled_from(["request", "capture"]), st.integers(0, 1)),
        st.tuples(st.sampled_from(["move", "move", "move"]), st.just(0)),
        st.tuples(st.just("write"), st.integers(1, 4)),
        st.tuples(st.just("close"), st.just(0)),
    ),
    max_size=60,
)


def push(recording: Recording, oracle: RecordingOracle, kind: str, n: int, *, exact: bool) -> None:
    """Push one frame; where memory is scarce only the recorder knows whether it found room."""
    caller = recorded_frame(n) if kind in ("push", "caller") else None
    played = recorded_frame(n, side=1) if kind in ("push", "played") else None
    before = recording.statistics().lost
    recording.tap.push(caller, played)
    oracle.push(caller, played, lost=None if exact else recording.statistics().lost > before)


def obey(recorder: ManualRecorder, recording: Recording, oracle: RecordingOracle, step: Step, *, exact: bool) -> None:
    """Do one step on both sides."""
    kind, n = step
    if kind == "skip":
        recording.tap.skip(n)
        oracle.skip(n)
    elif kind == "request":
        (recording.pause if n else recording.resume)()
        oracle.hold(kind, bool(n))
    elif kind == "capture":
        recording.tap.pause_capture(bool(n))
        oracle.hold(kind, bool(n))
    elif kind == "move":
        recorder.move()
        oracle.moved()
    elif kind == "write":
        recorder.write(n)
    elif kind == "close":
        recording.close()
        oracle.close()
    else:
        for i in range(n):
            push(recording, oracle, kind, i, exact=exact)


def check(recorder: ManualRecorder, recording: Recording, oracle: RecordingOracle, channels: Channels) -> None:
    """Complete the recording and hold it against the oracle."""
    recorder.stop()
    finished = [event for event in recorder.drain_events() if isinstance(event, RecordingFinished)]
    assert read_recording(recording.path) == (1 if channels == "mono" else 2, oracle.audio())
    assert finished == [
        RecordingFinished(
            path=recording.path,
            duration_ms=len(oracle.frames) * 20,
            lost_ms=(oracle.lost + oracle.skipped) * 20,
            paused_ms=oracle.paused * 20,
        )
    ]
    assert not any(recording.tap.memory())


@given(
    steps=steps,
    channels=st.sampled_from(["stereo", "mono"]),
    paused=st.sampled_from(["silence", "left-out"]),
    tail=st.integers(0, 6),
    limit=st.integers(1, 400),
)
@settings(deadline=None, max_examples=150)
def test_the_file_is_what_was_pushed_and_not_paused_or_lost(
    steps: list[Step], channels: Channels, paused: PausedFrames, tail: int, limit: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        recorder = ManualRecorder(directory, buffer_s=1000)
        recorder.start()
        recording = recorder.open(
            "call.wav", channels=channels, paused=paused, resume_tail_ms=tail * 20, limit_s=limit * 0.02
        )
        oracle = RecordingOracle(mono=channels == "mono", tail=tail, leave_out=paused == "left-out", limit=limit)
        for step in steps:
            obey(recorder, recording, oracle, step, exact=True)
        check(recorder, recording, oracle, channels)


@given(steps=steps, blocks=st.integers(1, 4), seconds=st.integers(1, 3))
@settings(deadline=None, max_examples=150)
def test_a_disk_that_is_too_slow_costs_audio_and_never_time(steps: list[Step], blocks: int, seconds: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        recorder = ManualRecorder(directory, buffer_s=seconds, buffer_bytes=blocks * 32_016)
        recorder.start()
        recording = recorder.open("call.wav", resume_tail_ms=0)
        oracle = RecordingOracle()
        for step in steps:
            obey(recorder, recording, oracle, step, exact=False)
            audio = _so_far(recording.path.with_name("call.wav.part"))
            assert oracle.audio().startswith(audio)
        check(recorder, recording, oracle, "stereo")


def _so_far(part: Path) -> bytes:
    """Return what a reader finds now; a recording that has completed itself or not begun has no such file."""
    return read_recording(part)[1] if part.exists() else b""
