"""Preparing a talk-off corpus: any audio in, 8 kHz at -15 dBm0 out, each recording once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from benchmarks.dtmf import corpus
from benchmarks.tune import prepare
from dsp.levels import dbov_of_dbm0
from dsp.meter import active_level_dbov


def talk(seconds: float, rate_hz: int) -> NDArray[np.int16]:
    """Make noise in syllables: a level while active, and pauses."""
    rng = np.random.default_rng(7)
    n = round(seconds * rate_hz)
    syllables = (np.arange(n) // (rate_hz // 5)) % 3 > 0
    out: NDArray[np.int16] = np.clip(rng.normal(0, 1500, n) * syllables, -32768, 32767).astype(np.int16)
    return out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    x = talk(2.0, 8000)
    soundfile.write(source / "a.wav", talk(2.0, 16000), 16000)
    soundfile.write(source / "same.wav", talk(2.0, 16000), 16000)
    soundfile.write(source / "stereo.flac", np.stack([x, x], axis=1) // 3, 8000)
    soundfile.write(source / "silent.wav", np.zeros(8000, dtype=np.int16), 8000)
    (source / "broken.ogg").write_bytes(b"no audio")
    (source / "readme.txt").write_text("no audio either")
    return source


def test_each_recording_is_taken_once_and_what_is_no_sound_is_left_out(folder: Path) -> None:
    assert len(list(prepare.recordings([folder]))) == 2


def test_what_is_left_out_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    list(prepare.recordings([folder]))
    told = capsys.readouterr().err
    assert "broken.ogg" in told
    assert "silent.wav" in told


def test_a_recording_comes_out_at_minus_15_dbm0(folder: Path) -> None:
    for samples in prepare.recordings([folder]):
        assert active_level_dbov(samples, 8000) == pytest.approx(dbov_of_dbm0(-15.0), abs=0.5)


def test_the_result_is_a_corpus(folder: Path, tmp_path: Path) -> None:
    hours = prepare.prepare(tmp_path / "corpus", "talk", "synthesised", [folder])
    found = corpus.talkoff(tmp_path / "corpus")
    assert [(item.corpus, item.kind) for item in found] == [("talk", "synthesised")]
    assert soundfile.info(found[0].path).samplerate == 8000
    assert corpus.duration_s(Path(found[0].path)) == pytest.approx(hours * 3600, abs=0.01)


def test_a_name_that_is_prepared_again_has_its_new_kind(folder: Path, tmp_path: Path) -> None:
    for kind in ("speech", "music"):
        prepare.prepare(tmp_path / "corpus", "talk", kind, [folder])
    assert [item.kind for item in corpus.talkoff(tmp_path / "corpus")] == ["music"]


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        prepare.main([str(tmp_path), "talk", "speech", str(tmp_path / "nowhere")])
    assert "nowhere" in capsys.readouterr().err
