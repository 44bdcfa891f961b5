"""The command: tiny runs, the shape of what it writes, and errors that say what to do."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from benchmarks.dtmf import detectors, plots, report, runner
from benchmarks.dtmf.cli import main
from benchmarks.dtmf.errors import CorpusError, DetectorError, MissingExtra
from benchmarks.dtmf.suite import CHUNK, Count, Options, Row, Task, chunks
from benchmarks.dtmf.suites import SUITES, mitel
from dsp.dtmf import generate

TINY = ["--detector", "ours", "--digits", "16", "--jobs", "1"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "corpus"
    (root / "talkoff" / "voices").mkdir(parents=True)
    (root / "real").mkdir()
    rng = np.random.default_rng(1)
    soundfile.write(root / "talkoff" / "voices" / "0.flac", rng.normal(0, 0.01, 16000), 8000)
    soundfile.write(root / "real" / "a.flac", generate("0123456789*#"), 8000)
    (root / "real" / "labels.tsv").write_text("file\tdigits\tlabel\na.flac\t0123456789*#\tmade\n")
    return root


def rows_of(path: Path, **wanted: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_a_tiny_run_writes_json_csv_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r.json", tmp_path / "r.csv"
    assert main([*TINY, "--suite", "q24", "--json", str(out[0]), "--csv", str(out[1])]) == 0
    found = json.loads(out[0].read_text())
    assert set(found) == {"format", "machine", "method", "detectors", "rows", "problems"}
    assert set(found["machine"]) >= {"cpu", "cores"}
    (clean,) = rows_of(out[0], condition="clean 80/80 ms", figure="recall")
    assert (clean["value"], clean["n"], clean["detector"]) == (100.0, 16, "paytone")
    (refused,) = rows_of(out[0], condition="refuse: 20 ms")
    assert refused["value"] == 0
    with out[1].open(newline="") as file:
        assert [row["condition"] for row in csv.DictReader(file)] == [row["condition"] for row in found["rows"]]
    printed = capsys.readouterr().out
    assert "clean 80/80 ms" in printed
    assert "paytone" in printed


def test_the_same_seed_gives_the_same_figures_whatever_the_number_of_processes() -> None:
    options = Options(suites=("codec",), detectors=("ours",), digits=24)
    alone, _ = runner.run(options, jobs=1, scheduler=None, progress=lambda *_: None)
    spread, _ = runner.run(options, jobs=2, scheduler=None, progress=lambda *_: None)
    assert alone == spread
    assert alone


def test_json_on_standard_output_is_nothing_but_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "--suite", "latency", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["figure"] for row in found["rows"]} == {"median", "95 %", "most"}


def test_a_corpus_gives_talk_off_by_kind_and_recordings_by_label(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--suite", "talkoff,real", "--corpus", str(corpus), "--speeds", "1,0.5", "--json", str(out)]
    assert main([*TINY, *arguments]) == 0
    (hours,) = rows_of(out, condition="speech, all", figure="hours")
    assert hours["value"] == pytest.approx(6 / 3600, rel=1e-3)
    (false,) = rows_of(out, condition="speech, all", figure="false digits")
    assert false["value"] == 0
    (exact,) = rows_of(out, condition="made", figure="files exact")
    assert (exact["value"], exact["n"]) == (1, 1)
    (digits,) = rows_of(out, condition="all", figure="digits found")
    assert (digits["value"], digits["n"]) == (12, 12)


def test_throughput_is_told_for_each_kind_of_audio(tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    assert main([*TINY, "--suite", "throughput", "--json", str(out)]) == 0
    rates = rows_of(out, figure="Msamples/s")
    assert {row["condition"].split(",")[0] for row in rates} >= {"speech", "noise", "keys"}
    assert all(row["value"] > 0 for row in rates)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--suite", "talkoff"], "needs recordings"),
        (["--detector", "nobody"], "no detector 'nobody'"),
        (["--detector", "ours:nothing"], "no such profile"),
        (["--detector", "command:/nonexistent/program"], "no such program"),
        (["--corpus", "/nonexistent"], "no such folder"),
    ],
)
def test_what_cannot_be_run_ends_with_status_2_and_the_reason(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--digits", "0"], ["--suite", "q25"], ["--speeds", "fast"], ["--speeds", "9"], ["--jobs", "0"]]
)
def test_a_wrong_option_ends_with_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_an_empty_corpus_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "--corpus", str(tmp_path)]) == 2
    assert "no recordings in it" in capsys.readouterr().err


def test_a_recording_that_breaks_off_is_a_problem_and_in_no_figure(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(corpus / "talkoff" / "voices" / "nan.wav", np.full(8000, np.nan), 8000, subtype="FLOAT")
    out = tmp_path / "r.json"
    assert main([*TINY, "--suite", "talkoff", "--corpus", str(corpus), "--json", str(out)]) == 1
    (problem,) = json.loads(out.read_text())["problems"]
    assert "nan.wav" in problem
    assert "nan.wav" in capsys.readouterr().err
    (hours,) = rows_of(out, condition="speech, all", figure="hours")
    assert hours["value"] == pytest.approx(2 / 3600, rel=1e-3)


def test_any_program_can_be_measured(tmp_path: Path) -> None:
    program = tmp_path / "hears_a_seven.py"
    program.write_text("import sys, soundfile\nassert soundfile.info(sys.argv[1]).samplerate == 8000\nprint('0.5 7')\n")
    detector = detectors.make(f"command:{sys.executable} {program}")
    (found,) = detector.detect([np.zeros(8000, np.int16)])
    assert found.digit == "7"
    assert found.at is not None
    assert found.at >= 4000


@pytest.mark.parametrize("line", ["7", "soon 7", "0.5 x", "0.5 77", "-1 7", "nan 7"])
def test_a_program_that_prints_something_else_is_refused(tmp_path: Path, line: str) -> None:
    program = tmp_path / "babbles.py"
    program.write_text(f"print({line!r})\n")
    with pytest.raises(DetectorError, match="not '<seconds> <digit>'"):
        detectors.make(f"command:{sys.executable} {program}").detect([np.zeros(800, np.int16)])


def test_a_program_that_fails_is_told_with_its_words(tmp_path: Path) -> None:
    program = tmp_path / "fails.py"
    program.write_text("import sys\nsys.exit('out of luck')\n")
    with pytest.raises(DetectorError, match="out of luck"):
        detectors.make(f"command:{sys.executable} {program}").detect([np.zeros(800, np.int16)])


@pytest.mark.parametrize("spec", ["spandsp", "multimon"])
def test_a_peer_hears_plain_digits(spec: str) -> None:
    try:
        detector = detectors.make(spec)
    except DetectorError as error:
        pytest.skip(str(error))
    samples = np.concatenate([np.zeros(800, np.int16), generate("147*")])
    assert [found.digit for found in detector.detect(detectors.cut(samples))] == list("147*")


def test_results_read_back_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    row = Row(suite="loss", condition="x", detector="paytone", figure="recall", value=None, unit="%", n=3)
    made = report.Report(machine={}, method={}, detectors={"paytone": "1"}, rows=[row], problems=[])
    with path.open("w") as out:
        report.write_json(made, out)
    assert report.load(path) == made
    path.write_text("{}")
    with pytest.raises(ValueError, match="not results"):
        report.load(path)


def test_a_percentage_says_100_only_when_it_is_all() -> None:
    def row(heard: float) -> Row:
        return Row(
            suite="q24", condition="x", detector="paytone", figure="recall", value=heard / 100, unit="%", n=10_000
        )

    def cell(heard: float) -> str:
        made = report.Report(machine={}, method={}, detectors={"paytone": ""}, rows=[row(heard)], problems=[])
        return report.tables(made)[0].body[0][1]

    assert cell(10_000) == "100.0 %"
    assert cell(9_999) == "99.99 %"
    assert cell(1) == "0.01 %"
    assert cell(0) == "0.0 %"


def test_tasks_hold_so_many_digits_at_most_and_lose_none() -> None:
    assert sum(chunks(1601)) == 1601
    assert max(chunks(1601)) <= CHUNK
    for suite in SUITES.values():
        for task in suite.tasks(Options(suites=(suite.name,), detectors=("ours",), digits=1601)):
            if not suite.alone and suite.name not in ("latency", "mitel"):
                assert task.n <= CHUNK


def test_a_limit_ends_before_the_first_value_that_fails() -> None:
    assert mitel.limit([0, 1, 2, 3], [True, True, False, True]) == 1
    assert mitel.limit([0, 1], [False, True]) is None


def test_an_error_comes_home_from_another_process() -> None:
    import pickle

    for error in (CorpusError("x", remedy="y"), MissingExtra("z")):
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), str(back), back.remedy) == (type(error), str(error), error.remedy)


def test_a_fault_of_one_task_is_an_answer() -> None:
    task = Task(
        suite="talkoff", condition="x", detectors=("ours",), seed=1, extra={"path": "/no.wav", "kind": "k", "speed": 1}
    )
    outcome = runner.run_task(task)
    assert isinstance(outcome, str)
    assert "/no.wav: no such file" in outcome


def test_plots_are_drawn_of_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="the extra `bench` is not installed")
    assert main([*TINY, "--suite", "q24", "--out", str(tmp_path)]) == 0
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["acceptance.png"]
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "results.csv", "results.md", "plots"}
    capsys.readouterr()


def test_without_matplotlib_the_remedy_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plots, "find_spec", lambda _: None)
    monkeypatch.setattr(runner, "run_task", lambda _: pytest.fail("it ran"))
    assert main([*TINY, "--suite", "q24", "--plots", str(tmp_path)]) == 2
    assert "paytone[bench]" in capsys.readouterr().err


def test_without_dask_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main([*TINY, "--suite", "latency", "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "paytone[bench]" in capsys.readouterr().err


def test_counts_of_the_same_name_add_up() -> None:
    counts = [Count("pieces of 5 ms|start", "paytone", "delay", value) for value in (10.0, 30.0)]
    rows = SUITES["latency"].gather(counts)
    assert [row.value for row in rows] == [20.0, 29.0, 30.0]


def test_missed_keys_are_told_with_the_limit_they_broke(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r.json"
    assert main([*TINY, "--suite", "noise", "--why", "--json", str(out)]) == 0
    (recall,) = rows_of(out, condition="white noise, SNR 0 dB", figure="recall")
    missed = [row for row in rows_of(out, condition="white noise, SNR 0 dB") if row["figure"].startswith("missed: ")]
    assert sum(row["value"] for row in missed) == round(16 * (1 - recall["value"] / 100))
    assert "Missed keys, by the limit they broke" in capsys.readouterr().out
