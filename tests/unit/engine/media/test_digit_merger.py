"""Three sources of keys make one stream."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.media import DigitEnded, DigitMerger, DigitReceived, DigitSource
from engine.media.digits import INFO_WINDOW_S, VERDICTS, WINDOW_S, Verdict

EVENT, TONE, INFO = DigitSource.TELEPHONE_EVENT, DigitSource.IN_BAND, DigitSource.INFO


def press(code: int, source: DigitSource, at: float) -> DigitReceived:
    return DigitReceived(leg_id=1, code=code, source=source, at=at)


def end(code: int, source: DigitSource, duration_ms: int = 100) -> DigitEnded:
    return DigitEnded(leg_id=1, code=code, source=source, duration_ms=duration_ms)


def merged(*presses: DigitReceived) -> list[tuple[int, DigitSource]]:
    merger = DigitMerger()
    taken = [merger.receive(one) for one in presses]
    return [(one.code, one.source) for one in taken if one is not None]


def test_each_source_heard_before_or_not_and_each_match_has_its_verdict() -> None:
    assert set(VERDICTS) == set(product(DigitSource, [False, True], [False, True]))


@pytest.mark.parametrize(("situation", "verdict"), VERDICTS.items())
def test_the_verdict_is_what_comes_out(situation: tuple[DigitSource, bool, bool], verdict: Verdict) -> None:
    source, event_heard, same = situation
    merger = DigitMerger()
    other = INFO if source is not INFO else TONE
    if event_heard:
        # Another key, long ago; and the same press by a source that is not dropped.
        merger.receive(press(15, EVENT, 0.0))
        merger.end(end(15, EVENT), 0.1)
        other = INFO if source is not INFO else EVENT
    if same:
        assert merger.receive(press(5, other, 10.0)) is not None
    assert (merger.receive(press(5, source, 10.1)) is not None) == (verdict is Verdict.REPORT)


@pytest.mark.parametrize("source", DigitSource)
def test_a_source_that_repeats_a_key_means_it(source: DigitSource) -> None:
    assert merged(*(press(1, source, 10 + i * 0.06) for i in range(4))) == [(1, source)] * 4


@pytest.mark.parametrize("first", DigitSource)
@pytest.mark.parametrize("second", DigitSource)
def test_one_press_heard_by_two_sources_is_one_key(first: DigitSource, second: DigitSource) -> None:
    if first is second:
        return
    assert merged(press(5, first, 10.0), press(5, second, 10.08)) == [(5, first)]


def test_one_press_heard_by_three_sources_is_one_key() -> None:
    assert merged(press(5, TONE, 10.0), press(5, EVENT, 10.02), press(5, INFO, 10.3)) == [(5, TONE)]


def test_quick_equal_keys_of_two_sources_pair_off() -> None:
    presses = [press(1, EVENT, 10.0), press(1, EVENT, 10.15), press(1, INFO, 10.2), press(1, INFO, 10.35)]
    assert merged(*presses) == [(1, EVENT)] * 2


def test_different_keys_at_one_time_are_two() -> None:
    assert merged(press(1, EVENT, 10.0), press(2, INFO, 10.0)) == [(1, EVENT), (2, INFO)]


@pytest.mark.parametrize(("apart_s", "keys"), [(WINDOW_S - 0.01, 1), (WINDOW_S + 0.01, 2)])
def test_tone_and_event_are_one_within_the_window_after_the_end(apart_s: float, keys: int) -> None:
    merger = DigitMerger()
    assert merger.receive(press(5, TONE, 10.0)) is not None
    merger.end(end(5, TONE), 10.1)
    assert (merger.receive(press(5, EVENT, 10.1 + apart_s)) is not None) == (keys == 2)


@pytest.mark.parametrize(("apart_s", "keys"), [(INFO_WINDOW_S - 0.01, 1), (INFO_WINDOW_S + 0.01, 2)])
def test_an_info_that_comes_after_a_long_press_is_of_that_press(apart_s: float, keys: int) -> None:
    # Peers send INFO when the key is let go.
    merger = DigitMerger()
    assert merger.receive(press(5, EVENT, 10.0)) is not None
    merger.end(end(5, EVENT, 4000), 14.0)
    assert (merger.receive(press(5, INFO, 14.0 + apart_s)) is not None) == (keys == 2)


def test_tones_count_again_when_the_events_are_withdrawn() -> None:
    merger = DigitMerger()
    merger.receive(press(1, EVENT, 10.0))
    merger.end(end(1, EVENT), 10.1)
    assert merger.receive(press(2, TONE, 20.0)) is None
    merger.events_withdrawn()
    assert merger.receive(press(3, TONE, 30.0)) is not None


def test_a_press_has_one_end() -> None:
    merger = DigitMerger()
    merger.receive(press(5, TONE, 10.0))
    merger.receive(press(5, EVENT, 10.05))
    assert merger.end(end(5, EVENT), 10.1) is not None
    assert merger.end(end(5, TONE), 10.12) is None


def test_the_end_of_a_press_that_was_not_reported_is_none() -> None:
    merger = DigitMerger()
    merger.receive(press(1, EVENT, 10.0))
    merger.receive(press(5, TONE, 12.0))
    assert merger.end(end(5, TONE), 12.1) is None


def test_nothing_is_remembered_of_keys_long_gone() -> None:
    merger = DigitMerger()
    for i in range(20):
        merger.receive(press(i % 10, INFO, float(i)))
    assert len(merger._presses) <= 2


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0.12, 1.0)), max_size=20), st.data())
def test_keys_heard_by_event_and_info_are_heard_once(keys: list[tuple[int, float]], data: st.DataObject) -> None:
    at = 10.0
    events: list[tuple[float, DigitReceived | DigitEnded]] = []
    info_at = 0.0
    for code, pause in keys:
        info_at = max(info_at + 0.001, at + data.draw(st.floats(0.0, 0.6)))
        events += [
            (at, press(code, EVENT, at)),
            (at + 0.08, end(code, EVENT, 80)),
            (info_at, press(code, INFO, info_at)),
        ]
        at += pause
    merger = DigitMerger()
    heard = []
    for now, event in sorted(events, key=lambda pair: pair[0]):
        if isinstance(event, DigitEnded):
            merger.end(event, now)
        elif merger.receive(event) is not None:
            heard.append(event.code)
    assert heard == [code for code, _ in keys]
