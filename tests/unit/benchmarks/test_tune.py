"""Tuning: what is fitted is what is compiled, talk-off decides, and nothing is judged by a fit that has heard it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from benchmarks import tune_dtmf
from benchmarks.dtmf.corpus import Talkoff
from benchmarks.dtmf.score import Key
from benchmarks.tune import fit, model, windows
from benchmarks.tune.fit import Point
from benchmarks.tune.windows import HOP, WINDOW, Audio, Keys, Windows
from dsp import _detector
from dsp.channel import add_noise
from dsp.dtmf import CODES, ITU_Q24, PROFILES, DtmfDetector, generate

CLEAN = {
    "residual": 0.001,
    "floor": 0.0,
    "low_offset": 0.001,
    "high_offset": -0.002,
    "high_minus_low_db": 0.0,
    "flat_min": 0.99,
    "flat_max": 1.01,
    "low_slope": 0.0,
    "high_slope": 0.0,
    "below": 0.01,
    "below_floor": 0.0,
    "low_dbm0": -9.0,
    "high_dbm0": -9.0,
    "both_before": 0.01,
}
"A window of a key that nothing disturbs."
MUSIC = CLEAN | {
    "residual": 0.2,
    "floor": 0.3,
    "low_offset": 0.01,
    "both_before": 0.9,
    "below": 1.0,
}


def _rows(at: list[int], digit: str, **fields: float) -> NDArray[np.float64]:
    values = CLEAN | fields
    rows = np.zeros((len(at), len(_detector.TRACE_FIELDS)))
    for column, name in enumerate(_detector.TRACE_FIELDS):
        rows[:, column] = values.get(name, 0.0)
    rows[:, _detector.TRACE_FIELDS.index("position")] = at
    rows[:, _detector.TRACE_FIELDS.index("digit")] = CODES[digit]
    return rows


def _windows(*parts: NDArray[np.float64]) -> Windows:
    return Windows(np.concatenate(parts) if parts else np.zeros((0, len(_detector.TRACE_FIELDS))))


def _spread(rng: np.random.Generator, n: int, values: dict[str, float]) -> NDArray[np.float64]:
    rows = _rows([400 * i for i in range(n)], "5", **values)
    for name in ("residual", "both_before", "below"):
        rows[:, _detector.TRACE_FIELDS.index(name)] *= rng.uniform(0.3, 2.0, n)
    return rows


def _audio(source: str, kind: str, rows: NDArray[np.float64]) -> Audio:
    return Audio(source=source, kind=kind, speed=1.0, hours=1.0, windows=Windows(rows))


def _keys(rng: np.random.Generator, chunk: int, n: int = 40) -> Keys:
    rows = _spread(rng, 2 * n, CLEAN)
    rows[:, 0] = [400 * (i // 2) + 300 + HOP * (i % 2) for i in range(2 * n)]
    seen = Windows(rows)
    keys = tuple(Key(400 * i + 80, 400 * i + 360, "5") for i in range(n))
    return Keys(
        condition="clean",
        refused=False,
        chunk=chunk,
        keys=keys,
        windows=seen,
        of_keys=np.ones(len(seen.at), dtype=bool),
    )


@pytest.fixture
def heard() -> tuple[list[Audio], list[Keys]]:
    rng = np.random.default_rng(1)
    audio = [_audio(f"band {i}", "music", _spread(rng, 200, MUSIC)) for i in range(4)]
    audio += [_audio(f"voice {i}", "speech", _spread(rng, 100, MUSIC | {"below": 4.0})) for i in range(4)]
    return audio, [_keys(rng, chunk) for chunk in range(4)]


def test_the_compiled_source_is_what_the_committed_model_renders() -> None:
    _, document = model.load(tune_dtmf.RESULTS / "model.json")
    assert tune_dtmf.COMPILED.read_text(encoding="utf-8") == model.render(document)


def test_the_committed_figures_are_those_of_the_model() -> None:
    _, document = model.load(tune_dtmf.RESULTS / "model.json")
    assert (tune_dtmf.RESULTS / "figures.md").read_text(encoding="utf-8") == tune_dtmf.table(document)


@pytest.mark.parametrize("name", tune_dtmf.GOALS)
def test_a_profile_has_the_threshold_that_was_chosen(name: str) -> None:
    _, document = model.load(tune_dtmf.RESULTS / "model.json")
    assert PROFILES[name].min_score == document["profiles"][name]["threshold"]


def test_the_compiled_score_is_the_fitted_one() -> None:
    rng = np.random.default_rng(3)
    samples = np.concatenate([np.zeros(3200, dtype=np.int16), generate("159*", on_ms=60, off_ms=60)])
    samples = add_noise(samples, 5.0, rng)  # so that no score is so high that its confidence is 1
    seen, _ = windows.trace([samples])
    fitted, _ = model.load(tune_dtmf.RESULTS / "model.json")
    scores = fitted.score(seen.doubts)
    starts = [d for d in DtmfDetector().process(samples) if d.end is None]
    assert len(starts) == 4
    for start in starts:
        of_key = (seen.at > start.start) & (seen.at < start.start + 480 + WINDOW) & (seen.digit == start.code)
        assert 0.5 < start.confidence < 0.9999
        log_odds = np.log(start.confidence / (1 - start.confidence))
        assert np.abs(scores[of_key] - log_odds).min() < 0.01


def test_no_doubt_speaks_for_a_key(heard: tuple[list[Audio], list[Keys]]) -> None:
    fitted = fit.fit(*heard)
    assert max(fitted.weights) <= 0
    assert min(fitted.weights) < 0


def test_keys_and_music_are_told_apart(heard: tuple[list[Audio], list[Keys]]) -> None:
    audio, keys = heard
    fitted = fit.fit(audio, keys)
    assert min(fitted.score(k.windows.doubts).min() for k in keys) > 0
    assert max(fitted.score(a.windows.doubts).max() for a in audio) < 0


def test_a_fit_can_be_repeated(heard: tuple[list[Audio], list[Keys]]) -> None:
    assert fit.fit(*heard) == fit.fit(*heard)


def test_a_source_is_in_one_fold_and_each_fold_has_each_kind(heard: tuple[list[Audio], list[Keys]]) -> None:
    audio, _ = heard
    fold_of = fit.folds_of(audio, 4, np.random.default_rng(0))
    assert fold_of.keys() == {a.source for a in audio}
    for kind in ("music", "speech"):
        assert {fold_of[a.source] for a in audio if a.kind == kind} == {0, 1, 2, 3}


def test_a_source_is_judged_by_a_fit_that_has_not_heard_it() -> None:
    """One source alone has the wild windows; a fit that knew them would score them lower than one that does not."""
    rng = np.random.default_rng(2)
    audio = [_audio(f"band {i}", "music", _spread(rng, 100, MUSIC)) for i in range(2)]
    wild = CLEAN | {"residual": 0.02, "below": 0.5}
    audio.append(_audio("odd one", "speech", _spread(rng, 200, wild)))
    keys = [_keys(rng, chunk) for chunk in range(2)]
    scorer, models = fit.out_of_fold(audio, keys, 2, seed=0)
    knowing = fit.fit(audio, keys).score(audio[-1].windows.doubts)
    assert len(models) == 2
    assert scorer(audio[-1]).mean() > knowing.mean()


@pytest.mark.parametrize(
    ("windows_at", "n"),
    [
        ([400], 0),
        ([400, 440], 1),
        ([400, 480], 0),  # not consecutive
        ([400, 440, 480, 520], 1),
        ([400, 440, 640, 680], 1),  # 25 ms apart: the same key
        ([400, 440, 1200, 1240], 2),
    ],
)
def test_a_digit_needs_consecutive_windows_and_more_of_it_belongs_to_it(windows_at: list[int], n: int) -> None:
    seen = _windows(_rows(windows_at, "5"))
    assert len(fit.digits(seen, [(2, np.ones(len(windows_at), dtype=bool))])) == n


@pytest.mark.parametrize(("n_weak", "n"), [(4, 0), (5, 1), (9, 1)])
def test_any_rule_makes_a_digit(n_weak: int, n: int) -> None:
    seen = _windows(_rows([400 + HOP * i for i in range(n_weak)], "5"))
    none = np.zeros(n_weak, dtype=bool)
    assert len(fit.digits(seen, [(2, none), (5, ~none)])) == n


def test_windows_of_one_rule_do_not_make_those_of_another_neighbours() -> None:
    seen = _windows(_rows([400, 440, 480], "5"))
    accepted = np.array([True, False, True])
    assert fit.digits(seen, [(2, accepted), (5, np.ones(3, dtype=bool))]) == []


def test_one_window_is_enough_where_it_is_strong() -> None:
    seen = _windows(_rows([400], "5"))
    profile = replace(ITU_Q24, strong_score=4.0)
    for strength, n in ((3.9, 0), (4.0, 1)):
        rules = fit.rules_of(profile, 1.0, np.array([strength]), np.ones(1, dtype=bool))
        assert len(fit.digits(seen, rules)) == n


def test_windows_of_different_digits_confirm_none() -> None:
    seen = _windows(_rows([400], "5"), _rows([440], "6"))
    assert fit.digits(seen, [(2, np.ones(2, dtype=bool))]) == []


def test_a_point_counts_what_is_heard_and_what_is_false(heard: tuple[list[Audio], list[Keys]]) -> None:
    _, keys = heard
    music = _audio("band", "music", _rows([400, 440, 2000, 2040], "7"))
    everything = fit.evaluate([music], keys, lambda item: np.zeros(len(item.windows.at)), -1.0)
    assert everything.recall == {"clean": 100.0}
    assert everything.false_digits == {"music": 2}
    assert everything.an_hour("music") == 2.0
    nothing = fit.evaluate([music], keys, lambda item: np.zeros(len(item.windows.at)), 1.0)
    assert nothing.recall == {"clean": 0.0}
    assert nothing.false_digits == {"music": 0}


def test_what_a_profile_excludes_no_score_brings_back() -> None:
    off = _audio("band", "music", _rows([400, 440], "7", low_offset=0.025))
    point = fit.evaluate([off], [], lambda item: np.full(len(item.windows.at), 99.0), 0.0, ITU_Q24)
    assert point.false_digits == {"music": 0}


def _point(threshold: float, false: int, refused: int = 0) -> Point:
    return Point(
        threshold=threshold, false_digits={"music": false}, hours={"music": 10.0}, recall={}, refused={"+3 %": refused}
    )


def test_talk_off_decides_and_the_lowest_threshold_within_it_is_chosen() -> None:
    points = [_point(0.0, 9), _point(1.0, 2), _point(2.0, 1), _point(3.0, 0)]
    assert fit.choose(points, {"music": 0.2}).threshold == 1.0
    assert fit.choose(points, {"music": 0.1}).threshold == 2.0


def test_a_threshold_that_hears_what_must_be_refused_is_not_chosen() -> None:
    points = [_point(1.0, 0, refused=1), _point(2.0, 0)]
    assert fit.choose(points, {"music": 1.0}).threshold == 2.0
    assert fit.choose(points, {"music": 1.0}, refuses=False).threshold == 1.0


def test_where_no_threshold_will_do_the_highest_is_chosen() -> None:
    assert fit.choose([_point(1.0, 50), _point(2.0, 40)], {"music": 1.0}).threshold == 2.0


def test_windows_of_a_key_lie_within_it() -> None:
    stimulus = windows.keys_under("white noise, SNR 10 dB", 0, 8, seed=5, voices=None)
    begins = stimulus.windows.at[stimulus.of_keys] - WINDOW
    assert stimulus.of_keys.sum() >= 8 * 4
    for begin in begins:
        assert any(k.start - windows.EDGE <= begin and begin + WINDOW <= k.end + windows.EDGE for k in stimulus.keys)


def test_a_recording_is_looked_at_in_any_piece_size() -> None:
    samples = add_noise(generate("42#"), 15.0, np.random.default_rng(1))
    whole, length = windows.trace([samples])
    parts, _ = windows.trace(np.split(samples, [7, 333, 1000]))
    assert length == len(samples)
    assert len(whole.at) > 20
    np.testing.assert_array_equal(whole.doubts, parts.doubts)


def test_speed_changes_the_hours_of_a_recording(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hum.flac", np.zeros(16000, dtype=np.int16), 8000)
    item = Talkoff(path=str(tmp_path / "hum.flac"), corpus="hum", kind="music")
    assert windows.hear(item, 1.25).hours == pytest.approx(16000 / 8000 / 3600 / 1.25, rel=0.01)


def test_a_model_is_read_back_as_written(tmp_path: Path) -> None:
    written = model.Model(weights=tuple(-0.5 * i for i in range(len(model.DOUBTS))), bias=1.5)
    model.save(tmp_path / "model.json", written, {"seed": 24})
    read, document = model.load(tmp_path / "model.json")
    assert read == written
    assert document["seed"] == 24


def test_a_model_of_other_doubts_is_refused(tmp_path: Path) -> None:
    model.save(tmp_path / "model.json", model.Model(weights=(0.0,) * len(model.DOUBTS), bias=0.0), {})
    document = json.loads((tmp_path / "model.json").read_text())
    document["doubts"][0]["expression"] = "w.residual"
    (tmp_path / "model.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="other doubts"):
        model.load(tmp_path / "model.json")


def test_a_doubt_without_weight_is_not_compiled() -> None:
    document = {
        "command": "x",
        "seed": 1,
        "bias": -7.0,
        "doubts": [
            {"name": "a", "says": "s", "expression": "log(w.residual)", "weight": -2.0},
            {"name": "b", "says": "s", "expression": "w.floor", "weight": 0.0},
        ],
    }
    text = model.render(document)
    assert "- 2.0 * log(w.residual)" in text
    assert "w.floor" not in text


@pytest.mark.parametrize("folds", ["1", "11"])
def test_a_number_of_folds_that_cannot_be_is_refused(folds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tune_dtmf.main(["--corpus", "anything", "--folds", folds])
    assert "--folds must lie between" in capsys.readouterr().err
