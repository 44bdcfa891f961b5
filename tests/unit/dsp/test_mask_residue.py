"""Behind the mask a key can be told by nobody: receivers at their most sensitive, least squares, the spectrum.

A small part of `python -m benchmarks.residue`, whose full run is in docs/mask.md.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.dtmf.score import Key
from benchmarks.residue import LOSSES, NOISES, WINDOWS, Attack, Case, Receivers, Recording, Tally, examine, recording
from dsp import channel
from dsp._mask import state_size
from dsp.dtmf import DIGITS
from dsp.levels import peak_of_dbm0
from dsp.mask import DELAY_SAMPLES, MaskFill, ToneMask
from tests.support.tones import key, silence

NEARLY_ALL = 0.999


@pytest.fixture(scope="module")
def attack() -> Attack:
    return Attack()


@pytest.fixture(scope="module")
def receivers() -> Receivers:
    return Receivers()


def run(case: Case, seed: int, attack: Attack, receivers: Receivers | None, n: int = 32, **how: bool) -> Tally:
    rng = np.random.default_rng(seed)
    made = recording(case, [DIGITS[i] for i in rng.permutation(np.arange(n) % 16)], rng, None)
    return examine(made, attack, receivers, rng, **how)


def assert_nothing_is_told(tally: Tally) -> None:
    assert not sum(tally.decoded.values())
    assert max(tally.guessed.values()) <= tally.bound()
    assert np.quantile(tally.excess_db, NEARLY_ALL) < 1.0


@pytest.mark.parametrize(("noise", "snr_db"), NOISES)
def test_without_loss_no_sample_of_a_key_is_left(
    noise: str, snr_db: float, attack: Attack, receivers: Receivers
) -> None:
    for law in ("ulaw", "alaw"):
        tally = run(Case(noise, snr_db, law, "none", 0.0, channel.Fill.ZEROS), 5, attack, receivers)
        assert tally.left == 0
        assert_nothing_is_told(tally)


@pytest.mark.parametrize(("loss", "share", "fill"), LOSSES[1:])
def test_nor_through_loss_that_the_mask_was_told_of(
    loss: str, share: float, fill: channel.Fill, attack: Attack, receivers: Receivers
) -> None:
    for noise, snr_db in (("idle", 0.0), ("white", 15.0)):
        tally = run(Case(noise, snr_db, "ulaw", loss, share, fill), 6, attack, receivers, 48)
        assert tally.left == 0
        assert_nothing_is_told(tally)


@pytest.mark.parametrize("before", [True, False])
def test_what_a_loss_leaves_of_a_key_goes_though_it_is_too_short_for_a_key(before: bool) -> None:
    rng = np.random.default_rng(12)
    for digit in DIGITS * 4:
        n = int(rng.integers(72, 120))  # 9 to 15 ms
        tone = key(digit, n / 8, rng=rng)
        x = np.zeros(4800, dtype=np.int16)
        at = 1600 - n if before else 1760
        x[at : at + n] = tone
        x = channel.add_noise(x, 10, rng, signal_power=peak_of_dbm0(-9) ** 2)
        x[1600:1760] = 0
        mask = ToneMask(fill=MaskFill.SILENCE)
        out = mask.process(x[:1600])
        mask.concealed(1600, 1760)
        y = np.concatenate([out, mask.process(x[1600:]), mask.flush()])[DELAY_SAMPLES:]
        assert not y[at : at + n].any()


def test_nor_with_a_detectors_marks_in_more_noise_than_is_asked_for(attack: Attack) -> None:
    for noise, snr_db in (("white", 4.0), ("babble", 7.0)):
        tally = run(Case(noise, snr_db, "alaw", "none", 0.0, channel.Fill.ZEROS), 7, attack, None, 48, marked=True)
        assert tally.left == 0
        assert_nothing_is_told(tally)


def test_the_attacker_tells_keys_from_two_milliseconds(attack: Attack) -> None:
    rng = np.random.default_rng(8)
    right = 0
    for digit in DIGITS * 4:
        splinter = key(digit, 2, rng=rng)
        x = channel.add_idle_noise(np.concatenate([silence(80), splinter, silence(80)]), -34, rng)  # 25 dB below
        at = Key(640, 656, digit)
        right += digit in (attack.guess(x, at, WINDOWS[0]) or ())
    print(f"{right} of 64 splinters of 2 ms told")
    assert right > 40


def test_every_key_is_found_when_nothing_is_masked(attack: Attack, receivers: Receivers) -> None:
    case = Case("white", 20.0, "ulaw", "none", 0.0, channel.Fill.ZEROS)
    rng = np.random.default_rng(9)
    made = recording(case, DIGITS, rng, None)
    assert all(attack.guess(made.samples, at, 160) == (at.digit, at.digit) for at in made.keys)
    for name, found in receivers.hear(made.samples):
        assert len(found) >= 14, name


def test_chance_is_what_the_attacker_has_where_there_is_nothing(attack: Attack) -> None:
    made = recording(
        Case("idle", 0.0, "ulaw", "none", 0.0, channel.Fill.ZEROS), DIGITS * 4, np.random.default_rng(10), None
    )
    rng = np.random.default_rng(11)
    empty = Recording(replace(made.case), rng.normal(0, 300, len(made.samples)).astype(np.int16), made.keys, made.lost)
    tally = examine(empty, attack, None, rng)
    assert max(tally.guessed.values()) <= tally.bound()
    assert tally.left == len(made.keys)  # noise is no key, and goes through


def test_a_thousand_masks_fit_into_eight_megabytes() -> None:
    assert state_size() <= 8192
