from __future__ import annotations

import pytest

from sip import invite_states, reinvite
from sip.events import EndCause
from sip.invite_states import TABLE, Action, Input, State


def test_each_pair_of_state_and_input_is_in_the_table_or_ignored() -> None:
    for state in State:
        for event in Input:
            pair = (state, event)
            assert (pair in TABLE) != (pair in invite_states.IGNORED), pair


def test_each_pair_of_a_reinvite_is_in_the_table_or_ignored() -> None:
    for state in reinvite.State:
        for event in reinvite.Input:
            pair = (state, event)
            assert (pair in reinvite.TABLE) != (pair in reinvite.IGNORED), pair


def test_every_state_leads_to_the_end() -> None:
    reached = {State.ENDED}
    for _ in State:
        reached |= {state for (state, _), step in TABLE.items() if step.state in reached}
    assert reached == set(State)


def test_nothing_leaves_the_end() -> None:
    assert not [pair for pair in TABLE if pair[0] is State.ENDED]


@pytest.mark.parametrize("start", [State.INCOMING, State.CALLING])
def test_on_every_way_to_the_end_a_cause_is_named(start: State) -> None:
    # Walk all ways; a state with a cause behind it needs none any more.
    seen: set[tuple[State, bool]] = set()
    open_ = [(start, False)]
    while open_:
        state, named = open_.pop()
        if (state, named) in seen:
            continue
        seen.add((state, named))
        for (where, _), step in TABLE.items():
            if where is state:
                open_.append((step.state, named or step.cause is not None))
    assert (State.ENDED, False) not in seen
    assert (State.ENDED, True) in seen


def test_bye_is_sent_only_in_a_dialog_that_is_confirmed() -> None:
    for (state, event), step in TABLE.items():
        if Action.BYE in step.actions:
            acknowledged = state in (State.ANSWERED, State.HANGING_UP) and event in (Input.ACK, Input.NO_ACK)
            assert acknowledged or state is State.ESTABLISHED or Action.ACK in step.actions


def test_cancel_is_sent_only_after_a_provisional() -> None:
    for (state, event), step in TABLE.items():
        if Action.CANCEL in step.actions:
            assert state is State.PROCEEDING or event is Input.PROVISIONAL


def test_every_cause_but_the_unused_can_happen() -> None:
    assert {step.cause for step in TABLE.values() if step.cause is not None} == set(EndCause)
