"""A leg that is recorded: what the file holds of both sides, over pauses, masks and the end of the call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.dtmf import SENSITIVE, DtmfDetector, generate
from dsp.g711 import alaw_encode, ulaw_encode
from engine.media.recorder import ManualRecorder, Recording, RecordingFinished
from prompts.clip import Clip
from tests.support.recording import read_recording
from tests.support.rtp_peer import MediaCase, Peer, audio, codes
from tests.support.rtp_peer import media_case as a_media_case

TICK = 160


@pytest.fixture
def case() -> Iterator[MediaCase]:
    with a_media_case() as one:
        yield one


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[ManualRecorder]:
    recorder = ManualRecorder(tmp_path)
    recorder.start()
    yield recorder
    recorder.stop()


def talk(case: MediaCase, recorder: ManualRecorder, peer: Peer, samples: NDArray[np.int16], *, at: int = 0) -> None:
    for start in range(0, len(samples) - TICK + 1, TICK):
        peer.send_audio(samples[start : start + TICK], timestamp=at + start)
        case.tick()
        recorder._core.move()


def finished(recorder: ManualRecorder, recording: Recording) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Close; return what was heard and what was played."""
    recording.close()
    recorder.stop()
    events = recorder.drain_events()
    assert [type(event) for event in events] == [RecordingFinished]
    assert events[0].path == recording.path
    channels, raw = read_recording(recording.path)
    assert channels == 2
    both = np.frombuffer(raw, dtype=np.int16).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def test_both_sides_are_recorded_in_time(case: MediaCase, recorder: ManualRecorder) -> None:
    leg, peer = case.leg()
    recording = recorder.open("call.wav")
    leg.record(recording)
    prompt = audio(0.8, freq_hz=1500.0)
    leg.play([Clip(name="x", pcmu=ulaw_encode(prompt), pcma=alaw_encode(prompt))], token=1, interruptible=False)
    talk(case, recorder, peer, audio(1.0, freq_hz=500.0))
    heard, played = finished(recorder, recording)
    assert len(heard) == len(played) == 8000
    for side, freq_hz in ((heard, 500.0), (played, 1500.0)):
        spectrum = np.abs(np.fft.rfft(side[1600:4000]))
        assert np.argmax(spectrum) * 8000 / 2400 == pytest.approx(freq_hz, abs=60)
    assert not np.any(played[6400:])


def test_a_pause_leaves_true_silence_and_no_key(case: MediaCase, recorder: ManualRecorder) -> None:
    leg, peer = case.leg()
    recording = recorder.open("call.wav")
    leg.record(recording)
    talk(case, recorder, peer, audio(0.4))
    recording.pause()
    tones = generate("4242", on_ms=80, off_ms=80)
    talk(case, recorder, peer, tones, at=3200)
    silence = np.zeros(1600, np.int16)
    talk(case, recorder, peer, silence, at=3200 + len(tones))
    recording.resume()
    talk(case, recorder, peer, audio(0.4), at=4800 + len(tones))
    assert codes(case.events) == [4, 2, 4, 2]
    heard, _ = finished(recorder, recording)
    assert len(heard) == 3200 + len(tones) // TICK * TICK + 1600 + 3200
    assert DtmfDetector(SENSITIVE).process(np.ascontiguousarray(heard)) == []
    assert np.any(heard[-800:])


def test_a_masked_leg_leaves_no_key_in_the_file(case: MediaCase, recorder: ManualRecorder) -> None:
    leg, peer = case.leg()
    recording = recorder.open("call.wav")
    leg.mask_line()
    leg.mask(True)
    leg.record(recording)
    talk(case, recorder, peer, generate("0123456789*#", on_ms=60, off_ms=60))
    assert len(codes(case.events)) == 12
    heard, _ = finished(recorder, recording)
    assert np.any(heard)
    assert DtmfDetector(SENSITIVE).process(np.ascontiguousarray(heard)) == []


def test_a_leg_that_closes_lets_go_of_its_recording(case: MediaCase, recorder: ManualRecorder) -> None:
    leg, peer = case.leg()
    recording = recorder.open("call.wav")
    leg.record(recording)
    talk(case, recorder, peer, audio(0.2))
    leg.close()
    case.tick(5)
    heard, _ = finished(recorder, recording)
    assert len(heard) == 1600


def test_another_recording_takes_over_at_a_frame(case: MediaCase, recorder: ManualRecorder) -> None:
    leg, peer = case.leg()
    first, second = recorder.open("one.wav"), recorder.open("two.wav")
    leg.record(first)
    talk(case, recorder, peer, audio(0.2))
    leg.record(second)
    talk(case, recorder, peer, audio(0.3), at=1600)
    leg.record(None)
    talk(case, recorder, peer, audio(0.3), at=4000)
    first.close()
    second.close()
    recorder.stop()
    assert [len(read_recording(one.path)[1]) // 4 for one in (first, second)] == [1600, 2400]


def test_a_leg_with_everything_on_takes_no_more_than_64_kib(case: MediaCase, recorder: ManualRecorder) -> None:
    leg, _ = case.leg(record=False)
    recording = recorder.open("call.wav")
    ring = len(recording.tap.memory())
    # The playlist is a hundred bytes, its clips are shared.
    assert leg._core.size + ring + 1024 <= 64 * 1024
