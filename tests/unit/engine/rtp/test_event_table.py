"""The telephone-event receiver's table: every state with every input."""

from __future__ import annotations

from itertools import product

import pytest

from engine.rtp._telephone_event import TelephoneEventReceiver
from engine.rtp.telephone_event import IGNORED, TABLE, Action, Input, State

STATES = tuple(State)


PACKETS: dict[Input, tuple[int, int, bool]] = {
    # (code, timestamp, end) as they are sent to a receiver whose keys are those of `in_state`
    Input.NEW: (3, 90000, False),
    Input.NEW_END: (3, 90000, True),
    Input.SAME: (2, 20000, False),
    Input.SAME_END: (2, 20000, True),
    Input.OLD: (1, 10000, False),
    Input.OVERTAKEN: (9, 15000, False),
}


def send(receiver: TelephoneEventReceiver, code: int, timestamp: int, end: bool, now: float) -> list[tuple[int, int]]:
    payload = bytes([code, 0x8A if end else 0x0A, 0, 160])
    return [(kind, got) for kind, got, *_ in receiver.receive(1, timestamp, False, payload, now)]


def in_state(state: State) -> TelephoneEventReceiver:
    """A receiver that knows key 1 (over) and, unless idle, key 2 (pressed or over)."""
    receiver = TelephoneEventReceiver()
    if state is not State.IDLE:
        send(receiver, 1, 10000, True, 1.0)
        send(receiver, 2, 20000, state is State.ENDED, 1.1)
    assert STATES[receiver.state] is state
    return receiver


def test_every_pair_has_a_row() -> None:
    assert set(TABLE) == set(product(State, Input))


@pytest.mark.parametrize(("state", "given"), sorted(IGNORED))
def test_an_ignored_pair_changes_nothing(state: State, given: Input) -> None:
    assert TABLE[state, given] == (state, Action.NONE)


@pytest.mark.parametrize(("state", "given"), [pair for pair in product(State, Input) if pair not in IGNORED])
def test_a_pair_does_what_its_row_says(state: State, given: Input) -> None:
    next_state, action = TABLE[state, given]
    receiver = in_state(state)
    repeated = receiver.counters["repeated"]
    if given is Input.TIMEOUT:
        reports = [(kind, code) for kind, code, *_ in receiver.poll(9.0)]
        code = 2
    else:
        code, timestamp, end = PACKETS[given]
        reports = send(receiver, code, timestamp, end, 1.2)
    expected = []
    if Action.END_BEFORE in action:
        expected.append((2, 2))
    if action & (Action.START | Action.START_ASIDE):
        expected.append((1, code))
    if action & (Action.END | Action.START_ASIDE):
        expected.append((2, code))
    assert reports == expected
    assert STATES[receiver.state] is next_state
    assert receiver.counters["repeated"] - repeated == (1 if Action.COUNT in action else 0)


def test_an_overtaken_key_while_none_is_pressed_is_a_new_one() -> None:
    receiver = in_state(State.ENDED)
    assert send(receiver, 9, 15000, False, 1.2) == [(1, 9)]


def test_a_key_is_forgotten_after_a_minute() -> None:
    receiver = TelephoneEventReceiver()
    assert send(receiver, 1, 10000, True, 1.0) == [(1, 1), (2, 1)]
    assert send(receiver, 1, 10000, True, 60.0) == []
    assert send(receiver, 1, 10000, True, 121.0) == [(1, 1), (2, 1)]


def test_no_time_out_comes_while_packets_do() -> None:
    receiver = TelephoneEventReceiver()
    send(receiver, 1, 10000, False, 1.0)
    for i in range(1, 50):
        assert receiver.poll(1.0 + i * 0.4) == []
        assert send(receiver, 1, 10000, False, 1.0 + i * 0.4) == []
    assert [kind for kind, *_ in receiver.poll(21.2)] == [2]
