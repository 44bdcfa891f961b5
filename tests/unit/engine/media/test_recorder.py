"""Recordings: what is in the file, when, and what happens when the disk is slow, full or not there."""

from __future__ import annotations

import gc
import os
import resource
import select
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.errors import MediaError
from engine.media._recorder import RecordingCore, push_all
from engine.media.recorder import (
    Channels,
    ManualRecorder,
    Recorder,
    RecorderEvent,
    Recording,
    RecordingFailed,
    RecordingFinished,
    RecordingLagging,
)
from tests.support.memory_scan import scan
from tests.support.recording import RecordingOracle, read_recording, recorded_frame

PATIENCE_S = 30.0
RING = 32
BLOCK = 50


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[ManualRecorder]:
    one = ManualRecorder(tmp_path)
    one.start()
    try:
        yield one
    finally:
        one.stop()


def small(directory: Path, *, seconds: int, blocks: int = 1000) -> ManualRecorder:
    """A recorder that holds little."""
    one = ManualRecorder(directory, buffer_s=seconds, buffer_bytes=blocks * 32_016)
    one.start()
    return one


def push(recording: Recording, oracle: RecordingOracle, frames: range) -> None:
    for n in frames:
        caller, played = recorded_frame(n), recorded_frame(n, side=1)
        recording.tap.push(caller, played)
        oracle.push(caller, played)


def drive(recorder: ManualRecorder, recording: Recording, oracle: RecordingOracle, frames: range) -> None:
    """Push frames while mover and writer keep up."""
    for start in range(frames.start, frames.stop, 5):
        push(recording, oracle, range(start, min(start + 5, frames.stop)))
        recorder.move()
        oracle.moved()
        recorder.write()


def finish(recorder: ManualRecorder, *recordings: Recording) -> list[RecorderEvent]:
    for recording in recordings:
        recording.close()
    recorder.move()
    recorder.write()
    return recorder.drain_events()


def await_events(recorder: Recorder, fd: int, n: int) -> list[RecorderEvent]:
    """Take n events of a recorder with threads as they come."""
    events: list[RecorderEvent] = []
    while len(events) < n:
        assert select.select([fd], [], [], PATIENCE_S)[0], f"only {events}"
        os.eventfd_read(fd)
        events += recorder.drain_events()
    return events


# What is in the file.


@pytest.mark.parametrize("channels", ["stereo", "mono"])
def test_a_recording_holds_every_sample_of_both_sides(
    recorder: ManualRecorder, channels: Channels, tmp_path: Path
) -> None:
    recording = recorder.open("call.wav", channels=channels)
    oracle = RecordingOracle(mono=channels == "mono")
    drive(recorder, recording, oracle, range(3 * BLOCK + 7))
    events = finish(recorder, recording)
    assert read_recording(tmp_path / "call.wav") == (1 if channels == "mono" else 2, oracle.audio())
    assert events == [RecordingFinished(path=tmp_path / "call.wav", duration_ms=157 * 20, lost_ms=0, paused_ms=0)]


def test_left_is_the_caller_and_right_is_what_is_played(recorder: ManualRecorder, tmp_path: Path) -> None:
    recording = recorder.open("call.wav")
    recording.tap.push(recorded_frame(1), None)
    recording.tap.push(None, recorded_frame(2))
    finish(recorder, recording)
    samples = np.frombuffer(read_recording(tmp_path / "call.wav")[1], dtype="<i2").reshape(2, 160, 2)
    assert samples[0, :, 0].tobytes() == recorded_frame(1)
    assert not samples[0, :, 1].any()
    assert not samples[1, :, 0].any()
    assert samples[1, :, 1].tobytes() == recorded_frame(2)


def test_a_mix_is_limited_and_does_not_wrap(recorder: ManualRecorder, tmp_path: Path) -> None:
    recording = recorder.open("call.wav", channels="mono")
    loud = np.full(160, 30000, dtype="<i2")
    recording.tap.push(loud.tobytes(), loud.tobytes())
    recording.tap.push((-loud).tobytes(), (-loud).tobytes())
    finish(recorder, recording)
    samples = np.frombuffer(read_recording(tmp_path / "call.wav")[1], dtype="<i2")
    assert set(samples[:160].tolist()) == {32767}
    assert set(samples[160:].tolist()) == {-32768}


def test_only_its_owner_may_read_a_recording(recorder: ManualRecorder, tmp_path: Path) -> None:
    recording = recorder.open("call.wav")
    recorder.move()
    recorder.write()
    assert stat.S_IMODE((tmp_path / "call.wav.part").stat().st_mode) == 0o600
    finish(recorder, recording)
    assert stat.S_IMODE((tmp_path / "call.wav").stat().st_mode) == 0o600


def test_a_file_has_its_name_when_it_is_complete(recorder: ManualRecorder, tmp_path: Path) -> None:
    recording = recorder.open("call.wav")
    drive(recorder, recording, RecordingOracle(), range(60))
    assert [path.name for path in tmp_path.iterdir()] == ["call.wav.part"]
    finish(recorder, recording)
    assert [path.name for path in tmp_path.iterdir()] == ["call.wav"]


def test_close_brings_everything_to_the_file(recorder: ManualRecorder, tmp_path: Path) -> None:
    recording = recorder.open("call.wav")
    oracle = RecordingOracle()
    push(recording, oracle, range(RING))
    recording.close()
    recording.tap.push(recorded_frame(99), None)
    assert finish(recorder) == [
        RecordingFinished(path=tmp_path / "call.wav", duration_ms=RING * 20, lost_ms=0, paused_ms=0)
    ]
    assert read_recording(tmp_path / "call.wav")[1] == oracle.audio()
    recording.close()
    assert finish(recorder) == []


def test_a_leg_that_still_has_the_tap_gets_a_round_to_leave(recorder: ManualRecorder) -> None:
    recording = recorder.open("call.wav")
    recording.tap.pin(True)
    assert finish(recorder, recording) == []
    assert len(finish(recorder)) == 1
    recording.tap.pin(False)


def test_the_memory_outlives_a_leg_that_has_the_tap() -> None:
    core = RecordingCore(1, b"", b"", bytes(44), stereo=True, limit_frames=9, leave_out=False, tail_frames=0)
    core.pin(True)
    del core
    gc.collect()


def test_a_recording_completes_itself_at_its_limit(recorder: ManualRecorder, tmp_path: Path) -> None:
    recording = recorder.open("call.wav", limit_s=1.2)
    oracle = RecordingOracle(limit=60)
    drive(recorder, recording, oracle, range(100))
    (event,) = recorder.drain_events()
    assert event == RecordingFinished(path=tmp_path / "call.wav", duration_ms=1200, lost_ms=0, paused_ms=0)
    assert read_recording(tmp_path / "call.wav")[1] == oracle.audio()


def test_an_empty_recording_is_a_file_without_audio(recorder: ManualRecorder, tmp_path: Path) -> None:
    finish(recorder, recorder.open("call.wav"))
    assert read_recording(tmp_path / "call.wav") == (2, b"")


@pytest.mark.parametrize("channels", ["stereo", "mono"])
def test_a_tap_lasts_half_a_second_and_takes_24_kib(recorder: ManualRecorder, channels: Channels) -> None:
    recording = recorder.open("call.wav", channels=channels)
    push(recording, RecordingOracle(), range(25))
    assert recording.statistics().lost == 0
    assert len(recording.tap.memory()) + RING * 8 <= 24 * 1024


def test_no_frame_is_torn_between_two_threads(tmp_path: Path) -> None:
    recorder = small(tmp_path, seconds=1000)
    recording = recorder.open("call.wav")
    oracle = RecordingOracle()
    frames = [(recorded_frame(n), recorded_frame(n, side=1)) for n in range(64)]
    mover = threading.Thread(target=recorder.move, args=(10_000_000,))
    mover.start()
    lost = 0
    while mover.is_alive() and len(oracle.frames) < 20_000:
        caller, played = frames[len(oracle.frames) % 64]
        recording.tap.push(caller, played)
        before, lost = lost, recording.tap.counters()["lost"]
        oracle.push(caller, played, lost=lost > before)
        if lost > before:
            os.sched_yield()
    mover.join()
    recording.close()
    recorder.stop()
    assert len(oracle.frames) > RING
    assert read_recording(tmp_path / "call.wav")[1] == oracle.audio()


# Its timing.


def test_what_is_lost_is_silence_of_the_same_length(recorder: ManualRecorder, tmp_path: Path) -> None:
    recording = recorder.open("call.wav")
    oracle = RecordingOracle()
    push(recording, oracle, range(RING + 8))
    assert recording.statistics().lost == oracle.lost == 8
    drive(recorder, recording, oracle, range(40, 60))
    push(recording, oracle, range(60, 100))
    events = finish(recorder, recording)
    assert read_recording(tmp_path / "call.wav")[1] == oracle.audio()
    lost_ms = (8 + 5 + 8) * 20  # the first round of `drive` came late, too
    assert events[-1] == RecordingFinished(path=tmp_path / "call.wav", duration_ms=2000, lost_ms=lost_ms, paused_ms=0)


def test_cycles_that_the_clock_gave_up_are_silence(recorder: ManualRecorder, tmp_path: Path) -> None:
    recording = recorder.open("call.wav")
    oracle = RecordingOracle()
    push(recording, oracle, range(3))
    recording.tap.skip(120)
    oracle.skip(120)
    push(recording, oracle, range(3, 6))
    (event,) = finish(recorder, recording)
    assert read_recording(tmp_path / "call.wav")[1] == oracle.audio()
    assert event == RecordingFinished(path=tmp_path / "call.wav", duration_ms=126 * 20, lost_ms=2400, paused_ms=0)


def test_a_long_pause_grows_the_file_in_true_time(recorder: ManualRecorder, tmp_path: Path) -> None:
    recording = recorder.open("call.wav")
    recording.pause()
    drive(recorder, recording, RecordingOracle(), range(3 * BLOCK))
    assert len(read_recording(tmp_path / "call.wav.part")[1]) == 2 * BLOCK * 640
    assert recording.statistics().bytes == 2 * BLOCK * 640


# Pauses.


def test_a_pause_is_silence_from_the_next_frame_to_the_last(recorder: ManualRecorder, tmp_path: Path) -> None:
    recording = recorder.open("call.wav", resume_tail_ms=0)
    oracle = RecordingOracle()
    push(recording, oracle, range(7))
    recording.pause()
    oracle.hold("request", True)
    push(recording, oracle, range(7, 20))
    recording.resume()
    oracle.hold("request", False)
    push(recording, oracle, range(20, 25))
    (event,) = finish(recorder, recording)
    audio = read_recording(tmp_path / "call.wav")[1]
    assert audio == oracle.audio()
    assert not any(audio[7 * 640 : 20 * 640])
    assert event == RecordingFinished(path=tmp_path / "call.wav", duration_ms=500, lost_ms=0, paused_ms=260)


def test_paused_frames_may_be_left_out(recorder: ManualRecorder, tmp_path: Path) -> None:
    recording = recorder.open("call.wav", resume_tail_ms=0, paused="left-out")
    oracle = RecordingOracle(leave_out=True)
    push(recording, oracle, range(7))
    recording.pause()
    oracle.hold("request", True)
    push(recording, oracle, range(7, 20))
    recording.tap.skip(4)
    oracle.skip(4)
    recording.resume()
    oracle.hold("request", False)
    push(recording, oracle, range(20, 25))
    (event,) = finish(recorder, recording)
    assert read_recording(tmp_path / "call.wav")[1] == oracle.audio()
    assert event == RecordingFinished(path=tmp_path / "call.wav", duration_ms=240, lost_ms=0, paused_ms=340)


def test_a_tail_stays_paused_by_default(recorder: ManualRecorder, tmp_path: Path) -> None:
    recording = recorder.open("call.wav")
    recording.pause()
    recording.resume()
    push(recording, RecordingOracle(), range(8))
    finish(recorder, recording)
    audio = read_recording(tmp_path / "call.wav")[1]
    assert not any(audio[: 5 * 640])
    assert audio[5 * 640 :][:2] == recorded_frame(5)[:2]


def test_who_resumes_resumes_for_himself_only(recorder: ManualRecorder, tmp_path: Path) -> None:
    recording = recorder.open("call.wav", resume_tail_ms=0)
    oracle = RecordingOracle()
    recording.tap.pause_capture(True)
    oracle.hold("capture", True)
    recording.pause()
    oracle.hold("request", True)
    push(recording, oracle, range(3))
    recording.resume()
    oracle.hold("request", False)
    push(recording, oracle, range(3, 6))
    recording.tap.pause_capture(False)
    oracle.hold("capture", False)
    push(recording, oracle, range(6, 9))
    finish(recorder, recording)
    audio = read_recording(tmp_path / "call.wav")[1]
    assert audio == oracle.audio()
    assert not any(audio[: 6 * 640])


def test_nothing_of_a_paused_frame_reaches_memory(recorder: ManualRecorder) -> None:
    recording = recorder.open("call.wav")
    recording.pause()
    push(recording, RecordingOracle(), range(RING))
    assert not any(recording.tap.memory())


# A slow disk.


def test_a_slow_disk_loses_nothing_until_the_bound(tmp_path: Path) -> None:
    recorder = small(tmp_path, seconds=2)
    recording = recorder.open("call.wav")
    oracle = RecordingOracle(slots=2 * BLOCK + RING)  # what two blocks and the ring hold
    for n in range(2 * BLOCK + RING):
        push(recording, oracle, range(n, n + 1))
        recorder.move()
    assert recording.statistics().lost == 0
    assert recorder.drain_events() == []
    push(recording, oracle, range(132, 140))
    recorder.move()
    recorder.move()
    assert recorder.drain_events() == [RecordingLagging(path=tmp_path / "call.wav", lost_ms=160)]
    assert recording.statistics().lagging
    assert recorder.statistics().lagging == 1
    # The disk is back.
    recorder.write()
    recorder.move()
    recorder.write()
    recorder.move()
    oracle.moved()
    assert not recording.statistics().lagging
    push(recording, oracle, range(140, 150))
    assert finish(recorder, recording) == [
        RecordingFinished(path=tmp_path / "call.wav", duration_ms=3000, lost_ms=160, paused_ms=0)
    ]
    assert read_recording(tmp_path / "call.wav")[1] == oracle.audio()
    assert recorder.statistics().lost_ms == 160


def test_a_closed_recording_waits_for_the_disk(tmp_path: Path) -> None:
    recorder = small(tmp_path, seconds=1)
    recording = recorder.open("call.wav")
    oracle = RecordingOracle()
    for n in range(0, BLOCK + RING - 2, 5):
        push(recording, oracle, range(n, n + 5))
        recorder.move()
        oracle.moved()
    recording.close()
    for _ in range(5):
        recorder.move()
    assert recorder.drain_events() == []
    recorder.write()
    (event,) = finish(recorder)
    assert event == RecordingFinished(path=tmp_path / "call.wav", duration_ms=1600, lost_ms=0, paused_ms=0)
    assert read_recording(tmp_path / "call.wav")[1] == oracle.audio()


def test_memory_is_bounded_for_all_recordings_together(tmp_path: Path) -> None:
    recorder = small(tmp_path, seconds=10, blocks=3)
    recordings = [recorder.open(f"{n}.wav") for n in range(4)]
    oracles = [RecordingOracle() for _ in recordings]
    for start in range(0, 30, 10):
        for index, (recording, oracle) in enumerate(zip(recordings, oracles, strict=True)):
            push(recording, oracle, range(start, start + 10))
            # The mover begins with the recording opened last: the first one keeps its ring only.
            if index:
                oracle.moved()
        recorder.move()
    assert recorder.statistics().buffer_bytes == 3 * 32_016
    assert [one.statistics().lost for one in recordings] == [0, 0, 0, 0]
    finish(recorder, *recordings)
    finish(recorder)
    assert [read_recording(tmp_path / f"{n}.wav")[1] for n in range(4)] == [oracle.audio() for oracle in oracles]


def test_one_writer_stuck_in_a_write_costs_the_others_nothing(tmp_path: Path) -> None:
    wake = os.eventfd(0, os.EFD_NONBLOCK)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    full = 0
    while True:
        try:
            full += os.write(writer, bytes(4096))
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    recorder = Recorder(tmp_path, wake_fd=wake)
    recorder.start()
    stuck = recorder.open_descriptor(writer, "pipe")
    other = recorder.open("call.wav")
    oracle = RecordingOracle()
    push(stuck, RecordingOracle(), range(RING))
    push(other, oracle, range(RING))
    stuck.close()
    other.close()
    taken = b""
    while len(taken) < full + 44 + RING * 640:
        taken += os.read(reader, 65536)
    events = await_events(recorder, wake, 2)
    assert {type(event) for event in events} == {RecordingFinished}
    assert read_recording(tmp_path / "call.wav")[1] == oracle.audio()
    assert taken[full + 44 :] == oracle.audio()
    recorder.stop()
    os.close(reader)
    os.close(wake)


def test_a_stop_does_not_wait_forever_for_a_stuck_disk(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(4096))
    except BlockingIOError:
        os.set_blocking(writer, True)
    recorder = Recorder(tmp_path)
    recorder.start()
    recorder.open_descriptor(writer, "pipe")
    recorder.stop(timeout_s=0.3)
    (event,) = recorder.drain_events()
    assert isinstance(event, RecordingFailed)
    assert "too slow" in event.reason
    assert recorder.drain_events() == []
    os.close(reader)  # EPIPE: the writer leaves


# A disk that refuses.


def test_a_full_disk_ends_the_recording_and_not_the_call(recorder: ManualRecorder, tmp_path: Path) -> None:
    recording = recorder.open_descriptor(os.open("/dev/full", os.O_WRONLY), "call.wav")
    other = recorder.open("other.wav")
    oracle = RecordingOracle()
    for start in range(0, 100, 10):
        push(recording, RecordingOracle(), range(start, start + 10))
        push(other, oracle, range(start, start + 10))
        recorder.move()
        oracle.moved()
        recorder.write()
    assert recorder.drain_events() == [RecordingFailed(path=Path("call.wav"), reason="No space left on device")]
    assert recorder.statistics().failed == 1
    assert not any(recording.tap.memory())
    finish(recorder, other)
    assert read_recording(tmp_path / "other.wav")[1] == oracle.audio()


def test_what_was_written_before_a_failure_stays_a_valid_file(recorder: ManualRecorder, tmp_path: Path) -> None:
    recording = recorder.open("call.wav")
    oracle = RecordingOracle()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, limits[1]))
    try:
        drive(recorder, recording, oracle, range(4 * BLOCK))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (event,) = recorder.drain_events()
    assert event == RecordingFailed(path=tmp_path / "call.wav", reason="File too large")
    assert not (tmp_path / "call.wav").exists()
    raw = (tmp_path / "call.wav.part").read_bytes()
    assert int.from_bytes(raw[40:44], "little") == 2 * BLOCK * 640
    assert raw[44 : 44 + 2 * BLOCK * 640] == oracle.audio()[: 2 * BLOCK * 640]


@pytest.mark.parametrize("taken", ["call.wav", "call.wav.part"])
def test_nothing_is_overwritten(recorder: ManualRecorder, tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_bytes(b"mine")
    recording = recorder.open("call.wav")
    drive(recorder, recording, RecordingOracle(), range(60))
    events = recorder.drain_events() + finish(recorder, recording)
    assert events == [RecordingFailed(path=tmp_path / "call.wav", reason="File exists")]
    assert (tmp_path / taken).read_bytes() == b"mine"


def test_a_directory_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=f"there is no directory {tmp_path}/nowhere for recordings: create it"):
        Recorder(tmp_path / "nowhere").start()


def test_a_directory_that_takes_no_files_is_told_at_the_start() -> None:
    with pytest.raises(MediaError, match=r"cannot be written to /proc \(.*\): let the engine's user write there"):
        Recorder("/proc").start()


@pytest.mark.parametrize("path", ["../call.wav", "/tmp/call.wav", "a/../../call.wav", "", "a\0b"])
def test_a_recording_lies_in_the_directory(recorder: ManualRecorder, path: str) -> None:
    with pytest.raises(MediaError, match="a recording lies below"):
        recorder.open(path)


@pytest.mark.parametrize("limit_s", [0.0, -1.0, 1e6, float("nan")])
def test_a_length_that_wav_cannot_have_is_refused(recorder: ManualRecorder, limit_s: float) -> None:
    with pytest.raises(MediaError, match="RIFF sizes have 32 bits"):
        recorder.open("call.wav", limit_s=limit_s)


def test_a_recorder_that_does_not_run_opens_nothing(tmp_path: Path) -> None:
    recorder = ManualRecorder(tmp_path)
    with pytest.raises(MediaError, match="does not run"):
        recorder.open("call.wav")
    recorder.start()
    recorder.stop()
    recorder.stop()
    with pytest.raises(MediaError, match="does not run"):
        recorder.open("call.wav")
    with pytest.raises(MediaError, match="started once"):
        recorder.start()


# After a crash, and many at once.


def test_the_file_is_valid_after_every_write(recorder: ManualRecorder, tmp_path: Path) -> None:
    recording = recorder.open("call.wav")
    oracle = RecordingOracle()
    lengths = set()
    for start in range(0, 5 * BLOCK, 10):
        push(recording, oracle, range(start, start + 10))
        recorder.move()
        oracle.moved()
        while recorder.write(1):
            audio = read_recording(tmp_path / "call.wav.part")[1]
            assert oracle.audio().startswith(audio)
            lengths.add(len(audio))
    assert lengths == {seconds * BLOCK * 640 for seconds in range(5)}


KILLED = """
import sys
from engine.media.recorder import ManualRecorder
from tests.support.recording import recorded_frame
recorder = ManualRecorder(sys.argv[1])
recorder.start()
recording = recorder.open("call.wav")
for n in range(130):
    recording.tap.push(recorded_frame(n), recorded_frame(n, side=1))
    recorder.move()
    recorder.write()
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_leaves_a_valid_file(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.kill()
    oracle = RecordingOracle(slots=1000)
    for n in range(2 * BLOCK):
        oracle.push(recorded_frame(n), recorded_frame(n, side=1))
    assert read_recording(tmp_path / "call.wav.part") == (2, oracle.audio())


WIPED = """
import sys
import numpy as np
from engine.media._recorder import push_all
from engine.media.recorder import ManualRecorder
recorder = ManualRecorder(sys.argv[1])
recorder.start()
recording = recorder.open("call.wav", channels="mono", limit_s=1.0)
secret = np.frombuffer(bytes.fromhex(sys.argv[2]) * 20, dtype=np.uint8).copy()
played = np.zeros(160, dtype=np.int16)
secret ^= 0x55  # the text itself stands nowhere else
for step in range(3):
    if step == 0:
        push_all([recording.tap], secret.view(np.int16), played)
        secret[:] = 0
    elif step == 1:
        recorder.move()
    else:
        recording.close()
        recorder.move()
        recorder.write()
    print(step, flush=True)
    sys.stdin.readline()
"""


@pytest.mark.soak  # long; CI runs it
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="AddressSanitizer maps terabytes to scan")
def test_audio_is_wiped_from_memory_when_it_is_written(tmp_path: Path) -> None:
    text = "4927305186620943"
    masked = bytes(byte ^ 0x55 for byte in text.encode()).hex()
    found = []
    with subprocess.Popen(
        [sys.executable, "-c", WIPED, str(tmp_path), masked], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        for step in range(3):
            assert child.stdout.readline() == f"{step}\n".encode()
            found.append(len(scan(child.pid, [text])) > 0)
            child.stdin.write(b"\n")
            child.stdin.flush()
    assert found == [True, True, False]
    assert text.encode() in read_recording(tmp_path / "call.wav")[1]


def test_two_hundred_recordings_at_once_are_complete(recorder: ManualRecorder, tmp_path: Path) -> None:
    recordings = [recorder.open(f"{n}.wav") for n in range(200)]
    oracles = [RecordingOracle() for _ in recordings]
    for start in range(0, 120, 20):
        for index, (recording, oracle) in enumerate(zip(recordings, oracles, strict=True)):
            push(recording, oracle, range(index + start, index + start + 20))
            oracle.moved()
        recorder.move()
        recorder.write(77)  # as far as the disk gets
    assert len(finish(recorder, *recordings)) == 200
    for index, oracle in enumerate(oracles):
        assert read_recording(tmp_path / f"{index}.wav")[1] == oracle.audio()
    assert recorder.statistics().finished == 200


def test_two_hundred_recordings_are_complete_with_threads(tmp_path: Path) -> None:
    wake = os.eventfd(0, os.EFD_NONBLOCK)
    recorder = Recorder(tmp_path, wake_fd=wake)
    recorder.start()
    recordings = [recorder.open(f"{n}.wav") for n in range(200)]
    oracles = [RecordingOracle() for _ in recordings]
    for index, (recording, oracle) in enumerate(zip(recordings, oracles, strict=True)):
        push(recording, oracle, range(index, index + RING))
        recording.close()
    events = await_events(recorder, wake, 200)
    assert all(isinstance(event, RecordingFinished) and event.lost_ms == 0 for event in events)
    for index, oracle in enumerate(oracles):
        assert read_recording(tmp_path / f"{index}.wav")[1] == oracle.audio()
    recorder.stop()
    os.close(wake)


def test_a_stop_completes_what_is_open(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.start()
    recording = recorder.open("call.wav")
    oracle = RecordingOracle()
    push(recording, oracle, range(20))
    recorder.stop()
    assert recorder.drain_events() == [
        RecordingFinished(path=tmp_path / "call.wav", duration_ms=400, lost_ms=0, paused_ms=0)
    ]
    assert read_recording(tmp_path / "call.wav")[1] == oracle.audio()


def test_a_frame_of_another_size_is_refused(recorder: ManualRecorder) -> None:
    recording = recorder.open("call.wav")
    with pytest.raises(ValueError, match="160 samples"):
        recording.tap.push(b"ab", None)
    with pytest.raises(ValueError, match="160 samples"):
        push_all([recording.tap], np.zeros(1, dtype=np.int16), np.zeros(160, dtype=np.int16))
