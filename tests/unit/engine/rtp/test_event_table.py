"""The telephone-event receiver's table: every state with every input."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from itertools import product

import pytest

from engine.rtp._telephone_event import TelephoneEventReceiver, transitions


class State(IntEnum):
    IDLE = 0
    PRESSED = 1
    ENDED = 2


class Input(IntEnum):
    NEW = 0
    NEW_END = 1
    SAME = 2
    SAME_END = 3
    OLD = 4
    OVERTAKEN = 5
    TIMEOUT = 6


class Action(IntFlag):
    NONE = 0
    END_BEFORE = 1
    START = 2
    END = 4
    START_ASIDE = 8
    COUNT = 16


PACKETS: dict[Input, tuple[int, int, bool]] = {
    # (code, timestamp, end) as they are sent to a receiver whose keys are those of `in_state`
    Input.NEW: (3, 90000, False),
    Input.NEW_END: (3, 90000, True),
    Input.SAME: (2, 20000, False),
    Input.SAME_END: (2, 20000, True),
    Input.OLD: (1, 10000, False),
    Input.OVERTAKEN: (9, 15000, False),
}

IGNORED = {
    # There is no key yet that these could speak of.
    (State.IDLE, Input.SAME),
    (State.IDLE, Input.SAME_END),
    (State.IDLE, Input.OLD),
    # Overtaken and time-out are told only while a key is pressed.
    (State.IDLE, Input.OVERTAKEN),
    (State.IDLE, Input.TIMEOUT),
    (State.ENDED, Input.OVERTAKEN),
    (State.ENDED, Input.TIMEOUT),
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
    assert receiver.state == state
    return receiver


def test_every_pair_has_a_row() -> None:
    assert set(transitions()) == {(int(s), int(i)) for s, i in product(State, Input)}


@pytest.mark.parametrize(("state", "given"), sorted(IGNORED))
def test_an_ignored_pair_changes_nothing(state: State, given: Input) -> None:
    assert transitions()[state, given] == (state, Action.NONE)


@pytest.mark.parametrize(("state", "given"), [pair for pair in product(State, Input) if pair not in IGNORED])
def test_a_pair_does_what_its_row_says(state: State, given: Input) -> None:
    next_state, bits = transitions()[state, given]
    action = Action(bits)
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
    assert receiver.state == next_state
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
