"""The capture machine's table is complete, consistent, and can always end."""

from __future__ import annotations

import pytest

from engine.pay.capture_states import TABLE, Do, Input, State


@pytest.mark.parametrize("state", [s for s in State if s is not State.FINISHED])
def test_whoever_ends_it_ends_it_or_leaves_it_to_the_answer(state: State) -> None:
    for event in (Input.HANG_UP, Input.STOP, Input.FAULT):
        after, _ = TABLE[state, event]
        assert after is (State.SUBMITTED if state is State.SUBMITTED else State.FINISHED)


def test_only_an_answer_ends_a_payment_that_was_submitted() -> None:
    ends = {event for (before, event), (after, _) in TABLE.items() if before is State.SUBMITTED and after != before}
    assert ends == {Input.PAID, Input.NOT_PAID}


@pytest.mark.parametrize("key", [Input.DIGIT, Input.FINISH_KEY, Input.CANCEL_KEY])
def test_keys_count_while_a_capture_runs_and_the_caller_confirms(key: Input) -> None:
    counts = {state for state in State if (state, key) in TABLE}
    assert counts - {State.READING, State.CONFIRMING} == {State.ARMED, State.KEYING}


def test_nothing_is_submitted_but_by_complete_and_by_the_key_that_confirms() -> None:
    submits = {event for (_, event), (_, do) in TABLE.items() if do is Do.SUBMIT}
    assert submits == {Input.COMPLETE, Input.CONFIRMED}
