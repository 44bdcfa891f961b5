from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from dsp import g711, meter
from prompts.errors import AudioFileError
from prompts.synth.file import AudioFileReader, audio_kind, read_file


def speechlike(rate_hz: int, *, seconds: float = 1.5) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Noise in syllables: what the level meter takes for speech."""
    count = int(rate_hz * seconds)
    t = np.arange(count) / rate_hz
    carrier = np.sin(2 * np.pi * 440 * t) + 0.5 * np.sin(2 * np.pi * 1130 * t)
    result: np.ndarray[tuple[int], np.dtype[np.float64]] = 0.2 * carrier * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * t))
    return result


@pytest.mark.parametrize(
    ("name", "rate_hz", "channels", "subtype"),
    [
        ("a.wav", 8000, 1, "PCM_16"),
        ("a.wav", 44100, 2, "PCM_24"),
        ("a.wav", 8000, 1, "ULAW"),
        ("a.wav", 16000, 1, "FLOAT"),
        ("a.flac", 48000, 1, "PCM_16"),
        ("a.ogg", 16000, 2, "VORBIS"),
        ("a.mp3", 22050, 1, "MPEG_LAYER_III"),
    ],
)
def test_a_file_becomes_a_clip_at_its_level(
    tmp_path: Path, name: str, rate_hz: int, channels: int, subtype: str
) -> None:
    audio = np.tile(speechlike(rate_hz)[:, None], (1, channels))
    soundfile.write(tmp_path / name, audio, rate_hz, subtype=subtype)
    pcmu, pcma = read_file(tmp_path / name)
    assert len(pcmu) == len(pcma)
    assert len(pcmu) / 8000 == pytest.approx(1.5, abs=0.2)
    for samples in (g711.ulaw_decode(pcmu), g711.alaw_decode(pcma)):
        assert meter.active_level_dbov(samples, 8000) == pytest.approx(-25.0, abs=1.0)


def test_the_level_of_a_file_can_be_kept(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", speechlike(8000), 8000, subtype="PCM_16")
    pcmu, _ = read_file(tmp_path / "a.wav", level=False)
    wanted = meter.active_level_dbov(np.rint(speechlike(8000) * 32768).astype(np.int16), 8000)
    assert meter.active_level_dbov(g711.ulaw_decode(pcmu), 8000) == pytest.approx(wanted, abs=0.5)


@pytest.mark.parametrize("suffix", ["ulaw", "alaw", "ULAW"])
def test_headerless_g711_is_played_octet_by_octet(tmp_path: Path, suffix: str) -> None:
    data = bytes(range(256)) * 8
    (tmp_path / f"a.{suffix}").write_bytes(data)
    pcmu, pcma = read_file(tmp_path / f"a.{suffix}")
    assert data == (pcma if suffix == "alaw" else pcmu)
    assert len(pcmu) == len(pcma) == len(data)


def test_a_silent_file_is_a_moment_of_silence(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 8000, subtype="PCM_16")
    assert read_file(tmp_path / "a.wav") == (b"\xff" * 160, b"\xd5" * 160)


@pytest.mark.parametrize("wrong_name", ["a.ulaw", "a.mp3", "a.txt", "a.vox", "a"])
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_a_file_is_what_its_first_bytes_say_whatever_it_is_called(tmp_path: Path, kind: str, wrong_name: str) -> None:
    soundfile.write(tmp_path / "right", speechlike(16000), 16000, format=kind)
    (tmp_path / wrong_name).write_bytes((tmp_path / "right").read_bytes())
    pcmu, _ = read_file(tmp_path / wrong_name)
    assert len(pcmu) / 8000 == pytest.approx(1.5, abs=0.2)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "wav"),
        (b"RIFF\x24\x00\x00\x00AVI LIST", ""),
        (b"FORM\x00\x00\x00\x00AIFC....", "aiff"),
        (b"fLaC\x00\x00\x00\x22", "flac"),
        (b"OggS\x00\x02", "ogg"),
        (b".snd\x00\x00\x00\x18", "au"),
        (b"ID3\x04\x00", "mp3"),
        (b"\xff\xfb\x90\x64", "mp3"),
        (b"\xff\xf3\x90\x64", "mp3"),
        (b"\xff\xeb\x90\x64", ""),
        (b"\xff\xff\xff\xff", ""),
        (b"<html>", ""),
        (b"", ""),
    ],
)
def test_the_first_bytes_tell_the_kind(head: bytes, kind: str) -> None:
    assert audio_kind(head) == kind


def test_silence_in_mu_law_is_not_taken_for_mpeg(tmp_path: Path) -> None:
    data = b"\xff\xfb" + b"\xff" * 8000
    (tmp_path / "a.ulaw").write_bytes(data)
    assert read_file(tmp_path / "a.ulaw")[0] == data


def test_many_channels_are_decoded_a_block_at_a_time(tmp_path: Path) -> None:
    wide = np.tile(speechlike(8000)[:, None], (1, 200))
    soundfile.write(tmp_path / "a.wav", wide, 8000, subtype="PCM_16")
    pcmu, _ = read_file(tmp_path / "a.wav")
    assert len(pcmu) / 8000 == pytest.approx(1.5, abs=0.2)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.wav", b"", "is empty"),
        ("a.wav", b"RIFF" + b"\x00" * 100, "cannot be read as audio: use WAV"),
        ("a.mp3", b"\x00" * 5000, "cannot be read as audio"),
        ("a.m4a", b"\x00\x00\x00\x20ftypM4A " + bytes(2000), "cannot be read as audio"),
        ("a.txt", b"hello", "cannot be read as audio"),
        ("a.ulaw", b"RIFF\x00\x00\x00\x00WAVE" + bytes(400), "cannot be read as audio"),
        ("a.ulaw", bytes(601 * 8000), "longer than 600 s"),
    ],
)
def test_a_file_that_cannot_be_played_is_named_with_a_remedy(
    tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AudioFileError, match=complaint) as caught:
        read_file(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.zeros(8000 * 601, dtype=np.int16), 8000)
    with pytest.raises(AudioFileError, match="longer than 600 s"):
        read_file(tmp_path / "a.flac")


def test_a_rate_that_cannot_be_converted_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", speechlike(1000), 1000, subtype="PCM_16")
    with pytest.raises(AudioFileError, match="sampled at 1000 Hz: use 8000"):
        read_file(tmp_path / "a.wav")


def test_a_directory_and_an_absent_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="is not a file"):
        read_file(tmp_path)
    with pytest.raises(AudioFileError, match=r"absent\.wav: No such file"):
        read_file(tmp_path / "absent.wav")


@pytest.mark.asyncio
async def test_files_are_read_in_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "grüße.wav", speechlike(16000), 16000, subtype="PCM_16")
    monkeypatch.chdir(tmp_path)
    reader = AudioFileReader()
    clip = await reader.read(Path("grüße.wav"))
    assert clip.name == "grüße.wav"
    assert clip.duration_ms == pytest.approx(1500, abs=200)
    with pytest.raises(AudioFileError, match="No such file"):
        await reader.read(Path("absent.wav"))
    await reader.close()
