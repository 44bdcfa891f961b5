"""The pay machine's table is complete, consistent, and can always end."""

from __future__ import annotations

import pytest

from engine.pay.states import IGNORED, TABLE, Do, Input, State


@pytest.mark.parametrize("state", [s for s in State if s is not State.FINISHED])
def test_a_hang_up_a_stop_and_a_fault_end_every_state_or_leave_it_to_the_answer(state: State) -> None:
    for event in (Input.HANG_UP, Input.STOP, Input.FAULT):
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
    assert ending == {Do.LEAVE, Do.END_STOPPED, Do.END_FAULTY, Do.SETTLE, Do.CLOSE}


@pytest.mark.parametrize("state", [State.CONFIRMING, State.DECIDING])
def test_only_a_confirmation_leads_from_the_reading_to_the_connector(state: State) -> None:
    leading = {event for (before, event), (after, _) in TABLE.items() if before is state and after is State.PROCESSING}
    assert leading == {Input.CONFIRMED}


def test_a_fault_never_gives_up_a_payment_that_was_submitted() -> None:
    for state in (State.PROCESSING, State.AWAITING, State.ABANDONED):
        assert TABLE[state, Input.FAULT] == (State.ABANDONED, Do.ABANDON)
