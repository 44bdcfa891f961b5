"""Stimuli are what their names say: levels, ratios, places of keys, and the same from the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.dtmf import codecs, speech, stimuli
from benchmarks.dtmf.stimuli import LEVEL_DBM0, Stimulus, drawn, keyed, through
from benchmarks.dtmf.suite import Condition, Task
from benchmarks.dtmf.suites import codec, loss, noise, q24
from dsp.dtmf import frequencies_hz
from dsp.levels import dbm0_of_peak, rms_dbm0


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def clean(n: int = 20) -> Stimulus:
    return keyed(drawn(rng(), n), rng(), 50, 50)


def power_db(x: NDArray[np.float64]) -> float:
    return float(10 * np.log10(np.mean(x * x)))


def while_keyed(stimulus: Stimulus) -> NDArray[np.bool_]:
    mask = np.zeros(len(stimulus.samples), dtype=bool)
    for key in stimulus.keys:
        mask[key.start : key.end] = True
    return mask


def test_keys_are_where_they_are_said_to_be() -> None:
    made = keyed(drawn(rng(), 30), rng(), 50, 50, in_spec=True)
    mask = while_keyed(made)
    assert not made.samples[~mask].any()
    for key in made.keys:
        assert np.count_nonzero(made.samples[key.start : key.end]) > 0.9 * (key.end - key.start)


def test_a_tone_has_the_level_and_the_twist_that_was_asked_for() -> None:
    made = keyed("5", rng(), 500, 50, level_dbm0=-20, high_minus_low_db=3)
    x = made.samples[made.keys[0].start : made.keys[0].end].astype(np.float64)
    t = np.arange(len(x)) / 8000
    peaks = [2 * abs(np.mean(x * np.exp(-2j * np.pi * f * t))) for f in frequencies_hz("5")]
    assert dbm0_of_peak(peaks[0]) == pytest.approx(-20, abs=0.1)
    assert dbm0_of_peak(peaks[1]) == pytest.approx(-17, abs=0.1)


@pytest.mark.parametrize("snr_db", [10, 4])
def test_white_noise_is_as_far_below_the_tones_as_it_says(snr_db: int) -> None:
    made = noise.conditions()[f"white noise, SNR {snr_db} dB"].make(rng(), 40, None)
    mask = while_keyed(made)
    noise_db = power_db(made.samples[~mask].astype(np.float64))
    both_db = 10 * np.log10(np.mean(np.square(made.samples[mask].astype(np.float64))) - 10 ** (noise_db / 10))
    assert both_db - noise_db == pytest.approx(snr_db, abs=0.3)
    assert rms_dbm0(made.samples[~mask]) == pytest.approx(LEVEL_DBM0 + 3.01 - snr_db, abs=0.2)


@pytest.mark.parametrize(("name", "over_db"), [("hum 50 Hz, +12 dB", 12), ("dial tone 350+440 Hz, +10 dB", 10)])
def test_steady_tones_are_as_far_above_the_keys_as_they_say(name: str, over_db: int) -> None:
    made = noise.conditions()[name].make(rng(), 40, None)
    assert rms_dbm0(made.samples[:3200]) == pytest.approx(LEVEL_DBM0 - 12 + 3.01 + over_db, abs=0.3)
    assert np.abs(made.samples.astype(np.int32)).max() < 32767


def test_babble_has_a_mean_square_of_one_and_a_talker_of_one_while_speaking() -> None:
    mix = speech.babble(None, 5 * 8000, rng())
    assert power_db(mix) == pytest.approx(0, abs=0.01)
    talker = speech.one_talker(None, 5 * 8000, rng())
    assert -6 < power_db(talker) < 1  # pauses count here and not there


def test_the_model_of_a_voice_serves_where_nothing_else_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.dtmf.speech.shutil.which", lambda _: None)
    assert speech.origin(None) == "model"
    talker = speech.one_talker(None, 2 * 8000, rng())
    assert len(talker) == 16000
    assert np.isfinite(talker).all()


def test_a_clock_that_is_off_moves_the_keys() -> None:
    made = stimuli.clock(clean(), 0.015)
    for key, was in zip(made.keys, clean().keys, strict=True):
        assert key.start == pytest.approx(was.start / 1.015, abs=1)
        assert np.abs(made.samples[key.start + 20 : key.end - 20].astype(np.int32)).max() > 5000


def test_slips_drop_or_repeat_8_samples_and_keys_stay_on_their_tones() -> None:
    before = clean(60)
    made = stimuli.slips(before, rng(), 100)
    assert abs(len(made.samples) - len(before.samples)) % 8 == 0
    quiet = ~while_keyed(made)
    assert np.abs(made.samples[quiet].astype(np.int32)).max(initial=0) == 0


def test_dropouts_are_inside_the_keys() -> None:
    before = keyed(drawn(rng(), 20), rng(), 80, 80)
    made = stimuli.dropouts(before, rng(), 10)
    for key in made.keys:
        gone = np.flatnonzero(made.samples[key.start : key.end] != before.samples[key.start : key.end])
        assert gone[0] >= 200
        assert gone[-1] < key.end - key.start - 200
        assert gone[-1] - gone[0] < 80


def test_joined_stimuli_keep_their_keys() -> None:
    whole = stimuli.joined([clean(3), clean(4)])
    assert len(whole.keys) == 7
    assert not whole.samples[~while_keyed(whole)].any()


def test_every_fill_gets_the_same_losses() -> None:
    conditions = loss.conditions()
    zeros, told = conditions["loss 5 %, random, zeros"], conditions["loss 5 %, random, told"]
    assert zeros.drawn_as == told.drawn_as
    gone = told.make(rng(), 50, None).lost
    assert gone is not None
    filled = zeros.make(rng(), 50, None).samples
    for index in np.flatnonzero(gone):
        assert not filled[index * 160 : (index + 1) * 160].any()


@pytest.mark.parametrize("name", sorted(codec.conditions()))
def test_a_codec_returns_the_keys_at_their_place(name: str) -> None:
    made = codec.conditions()[name].make(rng(), 10, None)
    before = keyed(drawn(rng(), 10), rng(), 50, 50)
    mask = while_keyed(made)
    assert len(made.samples) > 0
    inside, outside = rms_dbm0(made.samples[mask]), rms_dbm0(made.samples[~mask])
    assert inside > outside + 10, "the tones have moved"
    assert len(before.keys) == len(made.keys)


def test_opus_costs_about_what_was_asked_for() -> None:
    x = clean(20).samples
    worse, better = codecs.opus(x, 8000), codecs.opus(x, 24_000)
    error = [power_db(y.astype(np.float64) - x) for y in (worse, better)]
    assert error[1] < error[0] - 3


@pytest.mark.parametrize("table", [q24.conditions(), noise.conditions(), loss.conditions()])
def test_the_same_seed_makes_the_same_stimulus(table: dict[str, Condition]) -> None:
    for name, condition in list(table.items())[::6]:
        task = Task(suite="any", condition=name, detectors=(), seed=1, n=4)
        first, second = (condition.make(task.rng(), 4, None) for _ in range(2))
        assert np.array_equal(first.samples, second.samples), name
        assert first.keys == second.keys


def test_another_chunk_is_another_stimulus(tmp_path: Path) -> None:
    tasks = [Task(suite="any", condition="x", detectors=(), seed=1, n=4, chunk=chunk) for chunk in range(2)]
    first, second = (drawn(task.rng(), 20) for task in tasks)
    assert first != second


def test_through_replaces_audio_and_keeps_keys() -> None:
    made = clean(3)
    assert through(made, made.samples[:100]).keys == made.keys
