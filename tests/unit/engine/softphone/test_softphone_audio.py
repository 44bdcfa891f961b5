"""Microphone and loudspeaker: what happens between two clocks, and without PyAudio. No sound card is touched."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from engine.errors import SoftphoneError
from engine.softphone.audio import FRAME_BYTES, FRAME_SAMPLES, MAX_QUEUED_FRAMES, SoundCard


class FakePyAudio:
    """PyAudio's face, as far as it is used."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.closed: list[str] = []
        self.fails = False

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module = SimpleNamespace(paContinue=7, paInt16=8, PyAudio=lambda: self)
        monkeypatch.setitem(sys.modules, "pyaudio", module)

    def open(self, **options: Any) -> SimpleNamespace:
        if self.fails:
            raise OSError("Invalid input device (no default output device)")
        self.options = options
        return SimpleNamespace(close=lambda: self.closed.append("stream"))

    def terminate(self) -> None:
        self.closed.append("library")

    def exchange(self, recorded: bytes) -> bytes:
        frame, status = self.options["stream_callback"](recorded, FRAME_SAMPLES, {}, 0)
        assert status == 7
        return bytes(frame)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> FakePyAudio:
    fake = FakePyAudio()
    fake.install(monkeypatch)
    return fake


def frame(value: int) -> bytes:
    return bytes([value, 0]) * FRAME_SAMPLES


def test_without_pyaudio_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    with pytest.raises(SoftphoneError, match=r"paytone\[audio\]"):
        SoundCard().open()


def test_without_a_device_the_library_is_let_go_and_the_reason_told(library: FakePyAudio) -> None:
    library.fails = True
    with pytest.raises(SoftphoneError, match="no default output device"):
        SoundCard().open()
    assert library.closed == ["library"]


def test_both_directions_carry_8_khz_mono_frames_of_20_ms(library: FakePyAudio) -> None:
    card = SoundCard()
    card.open()
    assert library.options["rate"] == 8000
    assert library.options["channels"] == 1
    card.write_loudspeaker(frame(5))
    assert library.exchange(frame(9)) == frame(5)
    assert card.read_microphone() == frame(9)


def test_an_empty_queue_gives_silence(library: FakePyAudio) -> None:
    card = SoundCard()
    card.open()
    assert library.exchange(b"") == bytes(FRAME_BYTES)
    assert card.read_microphone() == bytes(FRAME_BYTES)


def test_delay_never_grows_beyond_the_queue_and_the_oldest_goes(library: FakePyAudio) -> None:
    card = SoundCard()
    card.open()
    for value in range(20):
        card.write_loudspeaker(frame(value))
        library.options["stream_callback"](frame(value), 0, {}, 0)
    heard = [card.read_microphone() for _ in range(MAX_QUEUED_FRAMES + 1)]
    assert heard[-1] == bytes(FRAME_BYTES)
    assert heard[-2] == frame(19)


def test_closing_twice_closes_once(library: FakePyAudio) -> None:
    card = SoundCard()
    card.open()
    card.close()
    card.close()
    assert library.closed == ["stream", "library"]
