"""The last four are read back and 1 or 2 decides, before the connector is asked (`dialects.md` §5.2, D-51)."""

from __future__ import annotations

import pytest

from engine.pay.commands import Play
from engine.pay.fields import Step
from engine.pay.prompt_rules import CONFIRMATION, DefaultPrompt
from engine.pay.results import Result
from engine.pay.states import State
from tests.unit.engine.pay.driver import DECLINED, VISA, Driver, kinds, order, said

CARD = VISA + "#1228123"
READ_BACK = ["confirm-last-four", "press-1-to-confirm"]


@pytest.fixture
def caller() -> Driver:
    caller = Driver(order(postal_code=False, confirm=True))
    caller.start()
    return caller


def digits_said(caller: Driver) -> str:
    action = caller.plays[-1].actions[0]
    assert isinstance(action, DefaultPrompt)
    return action.digits


def test_the_last_four_are_read_back_before_anything_is_submitted(caller: Driver) -> None:
    assert said(caller.keys(CARD)) == ["expiration-date", "security-code", *READ_BACK]
    assert caller.plays[-1].step == CONFIRMATION
    assert not caller.plays[-1].interruptible
    assert digits_said(caller) == "1111"
    assert caller.submissions == []


def test_of_a_bank_account_the_last_two_are_read_back() -> None:
    caller = Driver(order(method="ach-debit", confirm=True))
    caller.start()
    caller.keys("021000021" + "000123456789#")
    assert digits_said(caller) == "89"


def test_the_reading_is_no_step_that_an_application_is_told_of(caller: Driver) -> None:
    caller.keys(CARD)
    assert caller.statuses[-1].step is Step.SECURITY_CODE


@pytest.mark.parametrize("read", [True, False])
def test_1_submits(caller: Driver, *, read: bool) -> None:
    caller.keys(CARD)
    if read:
        caller.prompt_ends()
    after = caller.keys("1")
    assert kinds(after) == [*([] if read else ["StopPlaying"]), "EmitStatus", "Play", "Submit"]
    caller.prompt_ends()
    caller.answer()
    caller.prompt_ends()
    assert caller.result.result is Result.SUCCESS


@pytest.mark.parametrize("read", [True, False])
def test_2_cancels_and_the_connector_is_not_asked(caller: Driver, *, read: bool) -> None:
    caller.keys(CARD)
    if read:
        caller.prompt_ends()
    assert said(caller.keys("2")) == ["payment-canceled"]
    assert all(secret.wiped for secret in caller.secrets)
    assert caller.statuses[-1].step is Step.CANCELED
    caller.prompt_ends()
    assert caller.result.result is Result.CANCELED
    assert (caller.result.attempts, caller.result.outcome, caller.result.payment_error) == (0, None, "")
    assert caller.submissions == []


def test_the_star_cancels_as_anywhere(caller: Driver) -> None:
    caller.keys(CARD)
    assert said(caller.keys("*")) == ["payment-canceled"]
    caller.prompt_ends()
    assert caller.result.result is Result.CALLER_INTERRUPTED_WITH_STAR


@pytest.mark.parametrize("keys", ["#", "3", "0", "9", "3456789#0"])
@pytest.mark.parametrize("read", [True, False])
def test_any_other_key_neither_decides_nor_cuts_the_reading_short(caller: Driver, keys: str, *, read: bool) -> None:
    caller.keys(CARD)
    if read:
        caller.prompt_ends()
    assert caller.keys(keys) == []
    assert caller.is_in(State.DECIDING if read else State.CONFIRMING)


def test_another_key_does_not_prolong_the_wait(caller: Driver) -> None:
    caller.keys(CARD)
    caller.prompt_ends()
    due = caller.machine.next_timer()
    caller.keys("3")
    assert caller.machine.next_timer() == due


def test_without_a_key_it_is_read_three_times_and_then_canceled(caller: Driver) -> None:
    caller.keys(CARD)
    for _ in range(2):
        caller.prompt_ends()
        assert caller.wait(4.9) == []
        assert said(caller.wait(0.2)) == READ_BACK
    caller.prompt_ends()
    assert said(caller.wait(5.1)) == ["payment-canceled"]
    caller.prompt_ends()
    assert caller.result.result is Result.CANCELED
    assert caller.submissions == []


def test_a_wait_for_the_first_key_without_limit_does_not_hold_the_reading_for_ever() -> None:
    caller = Driver(order(postal_code=False, confirm=True, first_digit_timeout_s=float("inf")))
    caller.start()
    caller.keys(CARD)
    caller.prompt_ends()
    assert said(caller.wait(5.1)) == READ_BACK


def test_a_reading_that_is_never_reported_finished_does_not_hold_the_call(caller: Driver) -> None:
    caller.keys(CARD)
    caller.wait(3 * 306)
    assert caller.is_in(State.CANCELING)


def test_keys_typed_ahead_confirm_nothing_that_was_not_heard() -> None:
    caller = Driver(order(postal_code=False, confirm=True))
    caller.keys(CARD + "11")
    assert said(caller.start()) == READ_BACK
    assert caller.is_in(State.CONFIRMING)
    assert caller.submissions == []
    assert len(caller.machine._ahead) == 0


def test_after_a_decline_the_next_card_is_read_back_three_times_again(caller: Driver) -> None:
    caller.keys(CARD)
    caller.prompt_ends()
    caller.wait(5.1)
    caller.keys("1")
    caller.prompt_ends()
    caller.answer(DECLINED)
    caller.prompt_ends()
    caller.keys("5555555555554444" + "1228123")
    assert digits_said(caller) == "4444"
    for _ in range(2):
        caller.prompt_ends()
        assert said(caller.wait(5.1)) == READ_BACK
    assert len(caller.submissions) == 1


@pytest.mark.parametrize(
    ("end", "result"),
    [("hang_up", Result.CALLER_HUNG_UP), ("stop", Result.RELAY_PAY_STOP), ("fault", Result.INTERNAL_ERROR)],
)
@pytest.mark.parametrize("read", [True, False])
def test_it_can_end_while_confirmation_is_awaited(caller: Driver, end: str, result: Result, *, read: bool) -> None:
    caller.keys(CARD)
    if read:
        caller.prompt_ends()
    getattr(caller, end)()
    assert caller.result.result is result
    assert all(secret.wiped for secret in caller.secrets)
    assert caller.submissions == []


def test_no_more_than_four_digits_are_ever_handed_to_a_voice(caller: Driver) -> None:
    caller.keys(CARD + "1")
    spoken = [
        action.digits
        for play in caller.log
        if isinstance(play, Play)
        for action in play.actions
        if isinstance(action, DefaultPrompt)
    ]
    assert sorted(set(spoken)) == ["", "1111"]
