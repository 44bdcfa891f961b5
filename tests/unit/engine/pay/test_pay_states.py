"""The pay machine's table is complete, consistent, and can always end."""

from __future__ import annotations

from itertools import product

import pytest

from engine.pay.machine import _ACTIONS
from engine.pay.states import IGNORED, TABLE, Do, Input, State

PRODUCT = sorted(product(State, Input))


@pytest.mark.parametrize(("state", "event"), PRODUCT, ids=lambda value: value.name)
def test_every_pair_is_in_the_table_or_ignored_and_never_both(state: State, event: Input) -> None:
    assert ((state, event) in TABLE) != ((state, event) in IGNORED)


def test_nothing_else_is_in_the_table_or_ignored() -> None:
    assert len(TABLE) + len(IGNORED) == len(PRODUCT)


def test_every_action_is_used_and_can_be_done() -> None:
    assert {do for _, do in TABLE.values()} == set(Do)
    assert set(_ACTIONS) == set(Do)


def test_every_state_can_be_reached_and_finished_is_left_by_nothing() -> None:
    reached = {State.IDLE}
    for _ in State:
        reached |= {after for (before, _), (after, _) in TABLE.items() if before in reached}
    assert reached == set(State)
    assert not [pair for pair in TABLE if pair[0] is State.FINISHED]


@pytest.mark.parametrize("state", [s for s in State if s is not State.FINISHED])
def test_a_hang_up_and_a_stop_end_every_state_or_leave_it_to_the_answer(state: State) -> None:
    for event in (Input.HANG_UP, Input.STOP):
        after, _ = TABLE[state, event]
        assert after in {State.FINISHED, State.ABANDONED}


@pytest.mark.parametrize("state", [State.PROCESSING, State.AWAITING, State.ANSWERED, State.ABANDONED])
def test_no_key_counts_while_the_connector_works(state: State) -> None:
    for key in (Input.DIGIT, Input.FINISH_KEY, Input.CANCEL_KEY):
        assert (state, key) in IGNORED


def test_only_an_answer_ends_an_abandoned_payment() -> None:
    ends = {event for (before, event), (after, _) in TABLE.items() if before is State.ABANDONED and after != before}
    assert ends == {Input.PAID, Input.DECLINED, Input.NOT_PAID}


def test_every_end_goes_through_an_action_that_emits_the_result() -> None:
    ending = {do for (before, _), (after, do) in TABLE.items() if after is State.FINISHED and before != after}
    assert ending == {Do.LEAVE, Do.END_STOPPED, Do.SETTLE, Do.CLOSE}
