"""``paytone detect``: digits of any audio file, and a clear word about what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from dsp.dtmf import generate
from engine.cli import app
from engine.detect import AudioFileError, detect_file

runner = CliRunner()


def recording(path: Path, digits: str = "42#", rate_hz: int = 8000, channels: int = 1, lead_s: float = 0.1) -> Path:
    samples = np.concatenate([np.zeros(round(lead_s * rate_hz), np.int16), generate(digits, rate_hz=rate_hz)])
    soundfile.write(path, np.repeat(samples[:, None], channels, axis=1), rate_hz)
    return path


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 44100, 48000])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_digits_and_their_starts_come_out_at_any_rate(tmp_path: Path, rate_hz: int, suffix: str) -> None:
    found = list(detect_file(recording(tmp_path / f"a.{suffix}", rate_hz=rate_hz, channels=2)))
    assert [f.digit for f in found] == ["4", "2", "#"]
    assert [f.start_s for f in found] == pytest.approx([0.1, 0.26, 0.42], abs=0.005)
    assert [f.end_s for f in found] == pytest.approx([0.18, 0.34, 0.5], abs=0.008)


def test_one_line_a_digit_with_three_decimals(tmp_path: Path) -> None:
    result = runner.invoke(app, ["detect", str(recording(tmp_path / "a.wav"))])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line.split()[1] for line in lines] == ["4", "2", "#"]
    assert all(len(line.split()[0].partition(".")[2]) == 3 for line in lines)


def test_json_has_all_fields(tmp_path: Path) -> None:
    result = runner.invoke(app, ["detect", "--json", str(recording(tmp_path / "a.wav"))])
    first = json.loads(result.output.splitlines()[0])
    assert first["file"].endswith("a.wav")
    assert first["digit"] == "4"
    assert set(first) >= {"start_s", "end_s", "low_dbm0", "high_dbm0", "high_minus_low_db", "confidence"}


def test_a_key_that_the_recording_cuts_off_counts_and_ends_with_it(tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros(800, np.int16), generate("5", on_ms=60, off_ms=0)])
    soundfile.write(tmp_path / "a.wav", samples, 8000)
    (found,) = detect_file(tmp_path / "a.wav")
    assert found.end_s <= len(samples) / 8000


def test_a_key_over_the_border_of_blocks_is_one_key(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.wav", digits="1" * 20, lead_s=0.96)
    assert len(list(detect_file(path))) == 20


def test_a_channel_can_be_chosen(tmp_path: Path) -> None:
    left, right = generate("1"), generate("2")
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 8000)
    assert [f.digit for f in detect_file(tmp_path / "a.wav", channel=1)] == ["1"]
    assert [f.digit for f in detect_file(tmp_path / "a.wav", channel=2)] == ["2"]
    with pytest.raises(AudioFileError, match="no channel 3, only 1 to 2"):
        list(detect_file(tmp_path / "a.wav", channel=3))


def bad_files(folder: Path) -> dict[Path, str]:
    (folder / "text.wav").write_text("this is no audio, whatever its name says")
    (folder / "empty.wav").touch()
    (folder / "folder.wav").mkdir()
    soundfile.write(folder / "headeronly.wav", np.zeros(0, np.int16), 8000)
    soundfile.write(folder / "slow.wav", np.zeros(100, np.int16), 2000)
    nan = np.zeros(8000)
    nan[4000] = np.nan
    soundfile.write(folder / "nan.wav", nan, 8000, subtype="FLOAT")
    soundfile.write(folder / "inf.wav", np.full(8000, np.inf), 16000, subtype="FLOAT")
    return {
        folder / "missing.wav": "no such file",
        folder / "text.wav": "cannot be read as audio",
        folder / "empty.wav": "the file is empty",
        folder / "folder.wav": "a directory",
        folder / "headeronly.wav": "holds no samples",
        folder / "slow.wav": "a sample rate of 2000 Hz is not supported",
        folder / "nan.wav": "the sample at 0.500 s is not a number",
        folder / "inf.wav": "not a number (NaN or infinite)",
    }


def test_what_cannot_be_read_is_named_with_status_2_and_the_others_are_done(tmp_path: Path) -> None:
    bad = bad_files(tmp_path)
    good = recording(tmp_path / "good.wav")
    result = runner.invoke(app, ["detect", *map(str, bad), str(good)])
    assert result.exit_code == 2
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["4", "2", "#"]
    told = result.stderr.splitlines()
    for path, reason in bad.items():
        assert any(str(path) in line and reason in line for line in told), path


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recording(tmp_path / "a.wav")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("engine.detect.soundfile.SoundFile", refused)
    with pytest.raises(AudioFileError, match=r"a\.wav: Permission denied"):
        list(detect_file(path))


def test_digits_before_a_fault_are_still_told(tmp_path: Path) -> None:
    samples = np.concatenate([generate("7").astype(np.float64) / 32768, np.zeros(16000), [np.nan]])
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    result = runner.invoke(app, ["detect", str(tmp_path / "a.wav")])
    assert result.exit_code == 2
    assert result.stdout.split()[1:] == ["7"]


@pytest.mark.parametrize("level", [1.0, 40.0])
def test_full_scale_square_waves_and_overdriven_floats_are_no_digits_and_no_fault(tmp_path: Path, level: float) -> None:
    square = level * np.sign(np.sin(2 * np.pi * 300 * np.arange(16000) / 8000))
    soundfile.write(tmp_path / "a.wav", square, 8000, subtype="FLOAT")
    assert list(detect_file(tmp_path / "a.wav")) == []


def test_an_unknown_profile_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    result = runner.invoke(app, ["detect", "--profile", "loud", str(recording(tmp_path / "a.wav"))])
    assert result.exit_code == 2
    assert "itu_q24" in result.stderr


def test_the_benchmark_is_a_command_of_paytone() -> None:
    result = runner.invoke(app, ["bench", "dtmf", "--help"])
    assert result.exit_code == 0
    assert "--suite" in result.output
