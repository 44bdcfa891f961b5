"""Corpora: what is found in a folder, and errors that name file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.dtmf import corpus
from benchmarks.dtmf.detectors import Ours
from benchmarks.dtmf.errors import CorpusError
from benchmarks.dtmf.score import score
from benchmarks.dtmf.suites import real
from dsp.dtmf import generate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.wav", np.concatenate([np.zeros(800, np.int16), generate("42")]), 8000)
    return tmp_path


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line.replace(" ", "\t") + "\n" for line in lines))
    return path


def silence(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(800, np.int16), 8000)


def test_labels_name_files_and_digits(folder: Path) -> None:
    write(folder / "labels.tsv", "file digits label", "a.wav 42 published")
    (found,) = corpus.labelled(folder)
    assert (found.path, found.digits, found.label, found.keys) == (str(folder / "a.wav"), "42", "published", None)


def test_timed_labels_tell_where_the_digits_are(folder: Path) -> None:
    write(folder / "a.labels.tsv", "start end digit", "0.1 0.18 4", "0.26 0.34 2")
    (found,) = corpus.labelled(folder)
    assert found.keys is not None
    assert [(key.start, key.end, key.digit) for key in found.keys] == [(800, 1440, "4"), (2080, 2720, "2")]
    assert score(found.keys, Ours().detect(real._pieces(found.path))).heard.all()


@pytest.mark.parametrize(
    ("lines", "line", "reason"),
    [
        (("file label",), 1, "no column 'digits'"),
        (("file digits", "a.wav"), 2, "a field is missing"),
        (("file digits", "a.wav 42", "b.wav 1"), 3, "no such file: b.wav"),
        (("file digits", "a.wav 4x2"), 2, "digits are"),
        (("file digits", "a.wav 42", "a.wav 42"), 3, "labelled twice"),
        ((), 1, "no column 'file'"),
    ],
)
def test_a_wrong_label_is_an_error_that_names_file_and_line(
    folder: Path, lines: tuple[str, ...], line: int, reason: str
) -> None:
    table = write(folder / "labels.tsv", *lines)
    with pytest.raises(CorpusError) as caught:
        corpus.labelled(folder)
    assert str(caught.value).startswith(f"{table}:{line}: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "line", "reason"),
    [
        (("start end", "0 1"), 1, "no column 'digit'"),
        (("start end digit", "0.1 soon 4"), 2, "must be seconds"),
        (("start end digit", "0.2 0.1 4"), 2, "start must be less"),
        (("start end digit", "nan 0.1 4"), 2, "start must be less"),
        (("start end digit", "-1 0.1 4"), 2, "start must be less"),
        (("start end digit", "0.1 99 4"), 2, "behind the recording"),
        (("start end digit", "0.2 0.25 4", "0.1 0.15 2"), 3, "before the line above"),
        (("start end digit", "0.1 0.2 42"), 2, "one digit a line"),
        (("start end digit", "0.1 0.2 E"), 2, "digits are"),
    ],
)
def test_a_wrong_timed_label_is_an_error_that_names_file_and_line(
    folder: Path, lines: tuple[str, ...], line: int, reason: str
) -> None:
    table = write(folder / "a.labels.tsv", *lines)
    with pytest.raises(CorpusError) as caught:
        corpus.labelled(folder)
    assert str(caught.value).startswith(f"{table}:{line}: ")
    assert reason in str(caught.value)


def test_timed_labels_without_their_recording_are_an_error(folder: Path) -> None:
    table = write(folder / "b.labels.tsv", "start end digit")
    with pytest.raises(CorpusError, match="needs exactly one audio file"):
        corpus.labelled(folder)
    table.unlink()
    assert corpus.labelled(folder) == []


def test_labels_that_are_no_text_are_an_error(folder: Path) -> None:
    (folder / "labels.tsv").write_bytes(b"file\tdigits\na.wav\t\xff\xfe\n")
    with pytest.raises(CorpusError, match="not UTF-8 text"):
        corpus.labelled(folder)


def test_a_labelled_file_that_is_not_audio_is_named(folder: Path) -> None:
    (folder / "b.wav").write_text("no audio")
    write(folder / "labels.tsv", "file digits", "b.wav 1")
    with pytest.raises(CorpusError, match=r"b\.wav: cannot be read as audio"):
        corpus.labelled(folder)


def test_talk_off_has_a_kind_by_table_by_name_or_it_is_speech(tmp_path: Path) -> None:
    for name in ("moh-this", "prompts", "birds"):
        silence(tmp_path / "talkoff" / name / "0.wav")
    write(tmp_path / "talkoff" / "kinds.tsv", "folder kind", "birds animals")
    (tmp_path / "talkoff" / "prompts" / "LICENSE").write_text("not audio, and no error")
    found = {item.corpus: item.kind for item in corpus.talkoff(tmp_path)}
    assert found == {"birds": "animals", "moh-this": "music", "prompts": "speech"}


def test_a_folder_without_labels_is_all_talk_off(tmp_path: Path) -> None:
    silence(tmp_path / "x.wav")
    assert [item.path for item in corpus.talkoff(tmp_path)] == [str(tmp_path / "x.wav")]


def test_a_corpus_that_does_not_exist_is_named(tmp_path: Path) -> None:
    for find in (corpus.talkoff, corpus.labelled):
        with pytest.raises(CorpusError, match="nowhere: no such folder"):
            find(tmp_path / "nowhere")


def test_speech_for_backgrounds_is_speech_at_8_khz(tmp_path: Path) -> None:
    silence(tmp_path / "talkoff" / "voices" / "0.wav")
    silence(tmp_path / "talkoff" / "moh" / "0.wav")
    soundfile.write(tmp_path / "talkoff" / "voices" / "1.wav", np.zeros(1600, np.int16), 16000)
    assert corpus.speech_files(tmp_path) == [str(tmp_path / "talkoff" / "voices" / "0.wav")]


def test_another_speed_changes_length_and_pitch(folder: Path) -> None:
    slow, fast = (sum(map(len, corpus.blocks(str(folder / "a.wav"), speed=speed))) for speed in (0.8, 1.25))
    normal = sum(map(len, corpus.blocks(str(folder / "a.wav"))))
    assert slow == pytest.approx(normal / 0.8, abs=2)
    assert fast == pytest.approx(normal / 1.25, abs=2)
