"""The debounce's table: every pair of state and input is decided, and each way through it is walked with audio."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from dsp._detector import Detector, default_params, max_events
from dsp.debounce import IGNORED, TRANSITIONS, Action, Input, State
from tests.support.tones import Samples, key, silence


def test_every_pair_is_in_the_table_or_ignored_and_never_both() -> None:
    for pair in product(State, Input):
        assert (pair in TRANSITIONS) != (pair in IGNORED), pair
    assert len(TRANSITIONS) + len(IGNORED) == len(State) * len(Input)


def test_a_key_starts_and_ends_in_one_place_each() -> None:
    starts = [pair for pair, (_, action) in TRANSITIONS.items() if action is Action.START]
    ends = [pair for pair, (_, action) in TRANSITIONS.items() if action is Action.END]
    assert starts == [(State.IDLE, Input.HIT_ENOUGH), (State.MAYBE, Input.HIT_ENOUGH)]
    assert ends == [(State.HELD, Input.GAP)]
    assert all(
        (after is State.HELD) == (action in (Action.START, Action.HOLD, Action.WAIT))
        for after, action in TRANSITIONS.values()
    )


def test_no_action_is_unused() -> None:
    assert {action for _, action in TRANSITIONS.values()} == set(Action) - {Action.NONE}


def walk(samples: Samples) -> tuple[list[State], list[int]]:
    """States after each block without repeats, and kinds of events."""
    detector = Detector(default_params())
    states = [detector.state]
    kinds = []
    for at in range(0, len(samples), 40):
        kinds += [event[0] for event in detector.process(samples[at : at + 40])]
        if detector.state != states[-1]:
            states.append(detector.state)
    return states, kinds


def test_a_key_goes_through_maybe_to_held_and_back() -> None:
    states, kinds = walk(np.concatenate([silence(60), key("5", 80), silence(60)]))
    assert states == [State.IDLE, State.MAYBE, State.HELD, State.IDLE]
    assert kinds == [1, 2]


def test_a_tone_of_25_ms_may_reach_maybe_and_falls_back() -> None:
    seen = set()
    for shift in range(40):
        states, kinds = walk(np.concatenate([np.zeros(480 + shift, dtype=np.int16), key("5", 25), silence(60)]))
        seen |= set(states) if not kinds else set()
    assert seen == {State.IDLE, State.MAYBE}


def test_another_digit_without_a_pause_is_another_key() -> None:
    _, kinds = walk(np.concatenate([silence(60), key("1", 80), key("9", 80), silence(60)]))
    assert kinds == [1, 2, 1, 2]


def until_maybe(detector: Detector, samples: Samples) -> int:
    """Feed blocks until the debounce follows a candidate; return how many samples it took."""
    for at in range(0, len(samples), 40):
        assert detector.process(samples[at : at + 40]) == []
        if detector.state is State.MAYBE:
            return at + 40
    raise AssertionError("no candidate")


def test_a_key_that_a_loss_cuts_needs_one_window_less() -> None:
    detector = Detector(default_params())
    samples = np.concatenate([silence(60), key("5", 200)])
    at = until_maybe(detector, samples)
    (start,) = detector.lost(400)
    assert (start[0], detector.state) == (1, State.HELD)
    (end,) = detector.process(np.concatenate([samples[at + 400 :], silence(60)]))
    assert end[0] == 2
    assert end[3] - end[2] == pytest.approx(1600, abs=60)


def test_a_key_that_ends_in_the_loss_is_heard_too() -> None:
    detector = Detector(default_params())
    until_maybe(detector, np.concatenate([silence(60), key("5", 200)]))
    events = detector.lost(400) + detector.process(silence(200))
    assert [event[0] for event in events] == [1, 2]


def test_a_key_that_begins_in_a_loss_needs_one_window_less() -> None:
    for length, heard in ((160, False), (240, True)):
        detector = Detector(default_params())
        detector.process(silence(400))
        detector.lost(400)
        events = detector.process(np.concatenate([key("5", length / 8), silence(200)]))
        assert [event[0] for event in events] == ([1, 2] if heard else []), length


def test_where_three_windows_are_wanted_one_and_a_loss_are_too_few() -> None:
    detector = Detector({**default_params(), "windows_to_confirm": 3})
    until_maybe(detector, np.concatenate([silence(60), key("5", 200)]))
    detector.lost(400)
    assert detector.state is State.IDLE


def test_a_held_key_is_held_over_a_short_loss() -> None:
    detector = Detector(default_params())
    events = detector.process(np.concatenate([silence(60), key("5", 100)]))
    detector.lost(320)
    events += detector.process(np.concatenate([key("5", 100), silence(60)]))
    assert [event[0] for event in events] == [1, 2]
    assert events[1][3] == pytest.approx(480 + 800 + 320 + 800, abs=40)


def test_a_long_loss_ends_a_held_key_where_it_was_last_heard() -> None:
    detector = Detector(default_params())
    events = detector.process(np.concatenate([silence(60), key("5", 100)]))
    detector.lost(4000)
    events += detector.process(silence(10))
    assert [event[0] for event in events] == [1, 2]
    assert events[1][3] == pytest.approx(480 + 800, abs=60)
    assert detector.position == 480 + 800 + 4000 + 80


def test_a_loss_beside_a_pause_belongs_to_the_pause() -> None:
    # 40 ms between two equal keys, 20 of them lost: still two keys.
    for lost_at in (0, 5, 10, 15, 20):
        detector = Detector(default_params())
        events = detector.process(np.concatenate([silence(60), key("7", 80), silence(lost_at)]))
        detector.lost(400)
        events += detector.process(np.concatenate([silence(20 - lost_at), key("7", 80), silence(60)]))
        assert [event[0] for event in events] == [1, 2, 1, 2], lost_at


def test_losing_less_than_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Detector(default_params()).lost(-1)


def test_room_for_events_grows_with_the_piece() -> None:
    assert max_events(0) >= 2
    assert max_events(160) >= 8
    assert max_events(1000) <= 64  # the buffer in Detector.process


def test_days_of_loss_do_no_harm() -> None:
    detector = Detector(default_params())
    for _ in range(5000):
        detector.lost(2**31 - 1)
    events = detector.process(np.concatenate([silence(60), key("5", 100), silence(60)]))
    assert [event[0] for event in events] == [1, 2]
    assert detector.position == 5000 * (2**31 - 1) + 220 * 8
