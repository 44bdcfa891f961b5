"""Which keys count as heard, and what counts as inserted."""

from __future__ import annotations

import itertools

import pytest

from benchmarks.dtmf.score import Found, Key, common, score

KEYS = (Key(1000, 1400, "1"), Key(2000, 2400, "2"), Key(3000, 3400, "3"))


def test_a_key_is_heard_once_and_the_rest_is_inserted() -> None:
    found = [Found("1", 1300), Found("1", 1350), Found("5", 2300), Found("3", 3500)]
    result = score(KEYS, found)
    assert result.heard.tolist() == [True, False, True]
    assert result.inserted == 2


def test_a_report_before_the_key_or_60_ms_behind_it_does_not_count() -> None:
    assert score(KEYS, [Found("1", 1000), Found("2", 2881)]).heard.tolist() == [False, False, False]
    assert score(KEYS, [Found("1", 1001), Found("2", 2880)]).heard.tolist() == [True, True, False]


def test_equal_keys_close_to_each_other_need_a_report_each() -> None:
    keys = (Key(0, 400, "7"), Key(480, 880, "7"))
    assert score(keys, [Found("7", 600)]).heard.sum() == 1
    assert score(keys, [Found("7", 300), Found("7", 700)]).heard.sum() == 2


def test_reports_without_times_are_aligned() -> None:
    result = score(KEYS, [Found(digit, None) for digit in "1923"])
    assert result.heard.tolist() == [True, True, True]
    assert result.inserted == 1
    assert score(KEYS, [Found(digit, None) for digit in "31"]).heard.sum() == 1


def test_nothing_reported_and_nothing_keyed_are_no_errors() -> None:
    assert score(KEYS, []).heard.tolist() == [False] * 3
    result = score((), [Found("1", None), Found("2", None)])
    assert (len(result.heard), result.inserted) == (0, 2)


@pytest.mark.parametrize(("a", "b"), [("1234", "1234"), ("1234", "2413"), ("", "12"), ("1122", "1212"), ("9", "12")])
def test_the_common_subsequence_is_the_longest_that_both_contain(a: str, b: str) -> None:
    def contains(whole: str, part: tuple[str, ...]) -> bool:
        rest = iter(whole)
        return all(digit in rest for digit in part)

    longest = max(n for n in range(len(a) + 1) if any(contains(b, part) for part in itertools.combinations(a, n)))
    assert common(a, b) == longest
