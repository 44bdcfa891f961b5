"""Where there is sound in a recording, and what becomes of its file."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.programs.recorded_audio import FRAME_MS, Finish, Follower, SoundWatch, duration_of, finish_file
from tests.support.recording_scene import silence, speech


def write(path: Path, samples: NDArray[np.int16], *, channels: int = 1) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.repeat(samples, channels).tobytes())


def read(path: Path) -> NDArray[np.int16]:
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


@pytest.mark.parametrize("level", [350, 1000, 8000])  # -36, -27 and -9 dBm0
def test_speech_at_any_level_is_sound_and_the_pause_behind_it_is_none(level: int) -> None:
    watch = SoundWatch()
    watch.look(np.concatenate([silence(0.5), speech(1.0, level=level), silence(1.0)]))
    assert watch.first is not None
    assert abs(watch.first - 25) <= 2
    assert abs(watch.silent_ms - 1000) <= 120, (
        "the end of a soft syllable may count as silence; a margin of 200 ms stays"
    )


def test_a_click_is_no_sound() -> None:
    samples = silence(1.0)
    samples[4000:4080] = 20000
    watch = SoundWatch()
    watch.look(samples)
    assert watch.first is None


def test_noise_that_does_not_end_is_the_line_and_speech_stands_out_of_it() -> None:
    watch = SoundWatch()
    # -41 dBm0: above the quietest sound
    hum = np.random.default_rng(5).normal(0.0, 200.0, 160_000).astype(np.int16)
    watch.look(hum)
    watch.look(hum)
    assert watch.silent_ms > 10_000
    before = watch.frames
    watch.look(speech(1.0, level=4000))
    assert watch.last > before


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 100), max_size=8), seed=st.integers(0, 9))
def test_the_same_whatever_the_pieces_are(cuts: list[int], seed: int) -> None:
    samples = np.concatenate([silence(0.4), speech(1.0, seed=seed), silence(0.6)])
    whole = SoundWatch()
    whole.look(samples)
    pieces = SoundWatch()
    for piece in np.split(samples, sorted(cut * 160 for cut in cuts)):
        pieces.look(piece)
    assert (whole.frames, whole.first, whole.last) == (pieces.frames, pieces.first, pieces.last)


def test_silence_at_both_ends_goes_and_none_within(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    inner = np.concatenate([speech(1.0), silence(1.0), speech(1.0, seed=2)])
    write(path, np.concatenate([silence(2.0), inner, silence(3.0)]))
    duration_ms = finish_file(path, Finish(trim=True))
    assert duration_ms is not None
    assert 3000 <= duration_ms <= 3000 + 300 + 2 * FRAME_MS
    kept = read(path)
    assert len(kept) == duration_ms * 8
    assert duration_of(path) == duration_ms
    assert inner.tobytes() in kept.tobytes()
    assert [one.name for one in tmp_path.iterdir()] == ["a.wav"]


def test_what_is_blanked_is_silence_and_what_is_cut_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    samples = speech(3.0)
    write(path, samples)
    assert finish_file(path, Finish(blank=((50, 75), (140, 10**6)), end=145)) == 2900
    kept = read(path)
    assert not np.any(kept[8000:12000])
    assert not np.any(kept[22400:])
    assert np.array_equal(kept[:8000], samples[:8000])
    assert np.array_equal(kept[12000:22400], samples[12000:22400])


@pytest.mark.parametrize("samples", [silence(0.0), silence(0.01), silence(2.0)])
def test_a_file_without_sound_is_left_as_it_is(tmp_path: Path, samples: NDArray[np.int16]) -> None:
    path = tmp_path / "a.wav"
    write(path, samples)
    before = path.read_bytes()
    assert finish_file(path, Finish(trim=True)) is None
    assert path.read_bytes() == before


def test_an_end_before_the_beginning_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write(path, speech(1.0))
    assert finish_file(path, Finish(end=-5)) is None


def test_a_file_is_followed_while_it_grows_and_when_it_has_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    follower = Follower(path, channels=2)
    assert len(follower.read()) == 0, "there is no file yet"
    part = tmp_path / "a.wav.part"
    samples = speech(1.0)
    write(part, samples[:3200], channels=2)
    assert np.array_equal(follower.read(), samples[:3200])
    assert len(follower.read()) == 0
    with part.open("ab") as file:
        file.write(np.repeat(samples[3200:4800], 2).tobytes() + b"\1")  # half a sample is not read
    assert np.array_equal(follower.read(), samples[3200:4800])
    part.rename(path)
    with path.open("ab") as file:
        file.write(b"\2" + b"\1\2")
    assert follower.read().tolist() == [0x0201]
    follower.close()


def test_of_two_sides_one_may_be_kept_and_both_count_for_what_is_trimmed(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    left = np.concatenate([silence(1.0), speech(1.0), silence(4.0)])
    right = np.concatenate([silence(3.0), speech(1.0, seed=2), silence(2.0)])
    write(path, np.stack([left, right], axis=1).reshape(-1), channels=1)
    raw = bytearray(path.read_bytes())
    raw[22:24], raw[32:34] = (2).to_bytes(2, "little"), (4).to_bytes(2, "little")
    path.write_bytes(raw)
    assert finish_file(path, Finish(trim=True)) in range(3000, 3400)
    with wave.open(str(path), "rb") as file:
        assert file.getnchannels() == 2
    assert finish_file(path, Finish(channel=1, trim=True)) in range(1000, 1400)
    assert right[24000:32000].tobytes() in read(path).tobytes()
