"""Our own stack as a softphone: what it reads and writes outside a call."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from engine.errors import SoftphoneError
from engine.softphone.native import EVENT_CODES, info_body, parse_uri, read_clip
from engine.softphone.stack import resolve
from sip.address import Address
from sip.info import parse_dtmf_info
from sip.uri import Uri


def write(path: Path, *, channels: int = 1, width: int = 2, rate_hz: int = 8000, n_samples: int = 800) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(bytes(channels * width * n_samples))
    return path


def test_a_wav_file_becomes_a_clip_in_both_laws(tmp_path: Path) -> None:
    clip = read_clip(write(tmp_path / "a.wav"))
    assert clip.pcmu == b"\xff" * 800
    assert clip.pcma == b"\xd5" * 800
    assert clip.duration_ms == 100


@pytest.mark.parametrize("form", [{"channels": 2}, {"width": 1}, {"rate_hz": 16000}])
def test_a_wav_file_of_another_form_is_refused(tmp_path: Path, form: dict[str, int]) -> None:
    with pytest.raises(SoftphoneError, match="mono, 16 bit, 8 kHz"):
        read_clip(write(tmp_path / "a.wav", **form))


def test_what_is_no_wav_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(SoftphoneError, match="WAV"):
        read_clip(tmp_path / "a.wav")
    with pytest.raises(SoftphoneError, match="no such file"):
        read_clip(tmp_path / "b.wav")


@pytest.mark.parametrize("key", EVENT_CODES)
def test_an_info_body_says_to_our_own_reader_what_was_keyed(key: str) -> None:
    digit = parse_dtmf_info("application/dtmf-relay", info_body(key, 80))
    assert digit is not None
    assert (digit.event, digit.duration_ms) == (EVENT_CODES[key], 80)


@pytest.mark.parametrize(
    "text", ["", "pay", "tel:+123", "sips:pay@127.0.0.1", "sip:", "http://127.0.0.1/", "sip:a b@c"]
)
def test_what_cannot_be_called_is_told_how_it_should_look(text: str) -> None:
    with pytest.raises(SoftphoneError, match=r"sip:pay@192\.0\.2\.1:5060"):
        parse_uri(text)


def test_a_uri_without_a_port_means_5060() -> None:
    assert resolve(Uri.parse("sip:pay@127.0.0.1"), "127.0.0.1") == Address("127.0.0.1", 5060)
    assert resolve(Uri.parse("sip:pay@127.0.0.1:5080"), "127.0.0.1") == Address("127.0.0.1", 5080)


def test_an_address_of_the_other_ip_version_is_refused() -> None:
    with pytest.raises(SoftphoneError, match="no address"):
        resolve(Uri.parse("sip:pay@[::1]:5060"), "127.0.0.1")
