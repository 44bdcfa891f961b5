from __future__ import annotations

from sip.events import RegistrationStatus
from sip.register import TABLE, Action, Input, State


def test_every_state_can_be_left_by_unregistering() -> None:
    reached = {State.UNREGISTERED}
    for _ in State:
        reached |= {state for (state, _), (target, _) in TABLE.items() if target in reached}
    assert reached == set(State)


def test_a_request_is_sent_only_when_none_is_out() -> None:
    out = {State.REGISTERING, State.REFRESHING, State.LEAVING, State.UNREGISTERING}
    answers = {Input.ACCEPTED, Input.CHALLENGED, Input.AMENDED, Input.REFUSED, Input.UNANSWERED}
    answers |= {Input.ANOTHER_WAY}
    for (state, event), (_, actions) in TABLE.items():
        if Action.SEND in actions or Action.SEND_REMOVAL in actions:
            assert state not in out or event in answers


def test_a_timer_is_started_wherever_the_next_step_is_ours() -> None:
    for _, (target, actions) in TABLE.items():
        refreshed = Action.SCHEDULE_REFRESH in actions or Action.SCHEDULE_RECOVERY in actions
        assert (target is State.REGISTERED) == refreshed
        assert (target is State.FAILED) == (Action.SCHEDULE_RETRY in actions)


def test_states_are_told_by_the_names_the_application_knows() -> None:
    assert {status.value for status in RegistrationStatus} == {
        "unregistered", "registering", "registered", "failed", "unregistering",
    }  # fmt: skip
