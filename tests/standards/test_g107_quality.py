"""ITU-T G.107: the default rating (§7.7), delay (§7.4), loss (§7.5), Annex B; G.113 Appendix I for the codecs."""

from __future__ import annotations

import pytest

from engine.rtp.quality import CONCEALED, UNCONCEALED, opinion_score, r_factor


def test_the_default_values_give_93_2() -> None:
    # §7.7: with all parameters at their default values the rating is 93.2.
    assert r_factor("PCMU", loss=0.0) == pytest.approx(93.2, abs=0.05)


@pytest.mark.parametrize(
    ("r", "score"), [(100, 4.5), (94, 4.42), (90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58), (0, 1.0)]
)
def test_the_opinion_scores_of_annex_b(r: float, score: float) -> None:
    assert opinion_score(r) == pytest.approx(score, abs=0.01)


@pytest.mark.parametrize("r", [-50.0, 0.0, 2.0, 6.0])
def test_no_opinion_is_below_one(r: float) -> None:
    assert opinion_score(r) == 1.0


def test_no_opinion_is_above_four_and_a_half() -> None:
    assert opinion_score(120.0) == 4.5


def test_delay_costs_little_until_150_ms_and_much_beyond() -> None:
    # G.114: up to 150 ms most users are very satisfied (R 90, by G.109), beyond 400 ms nearly all are dissatisfied.
    assert r_factor("PCMU", loss=0.0, delay_ms=100) > 90
    assert 89 < r_factor("PCMU", loss=0.0, delay_ms=150) < 90
    assert r_factor("PCMU", loss=0.0, delay_ms=250) == pytest.approx(80, abs=1.5)
    assert 60 < r_factor("PCMU", loss=0.0, delay_ms=400) < 70


@pytest.mark.parametrize("loss", [0.005, 0.01, 0.03, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("concealed", [True, False])
def test_random_loss_costs_what_7_5_says(loss: float, concealed: bool) -> None:
    bpl = 25.1 if concealed else 4.3
    expected = r_factor("PCMA", loss=0.0) - 95 * 100 * loss / (100 * loss + bpl)
    assert r_factor("PCMA", loss=loss, concealed=concealed) == pytest.approx(max(expected, 0), abs=1e-9)


def test_the_values_of_g113_for_g711() -> None:
    assert (UNCONCEALED["PCMU"].ie, UNCONCEALED["PCMU"].bpl) == (0.0, 4.3)
    assert (CONCEALED["PCMU"].ie, CONCEALED["PCMU"].bpl) == (0.0, 25.1)


def test_loss_in_bursts_costs_more_than_random_loss() -> None:
    # §7.5: Ppl over BurstR.
    expected = r_factor("PCMU", loss=0.0) - 95 * 5 / (5 / 2 + 25.1)
    assert r_factor("PCMU", loss=0.05, burst_ratio=2.0) == pytest.approx(expected, abs=1e-9)
    assert r_factor("PCMU", loss=0.05, burst_ratio=2.0) < r_factor("PCMU", loss=0.05)


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "G722"])
@pytest.mark.parametrize("loss", [-1.0, 0.0, 0.5, 2.0])
@pytest.mark.parametrize("delay_ms", [-5.0, 0.0, 0.5, 1.0, 99.0, 101.0, 5000.0, 1e9])
def test_a_rating_is_0_to_100_whatever_was_measured(codec: str, loss: float, delay_ms: float) -> None:
    assert 0.0 <= r_factor(codec, loss=loss, burst_ratio=0.0, delay_ms=delay_ms) <= 93.3


def test_a_codec_that_is_not_known_has_no_rating() -> None:
    with pytest.raises(KeyError):
        r_factor("speex", loss=0.0)
