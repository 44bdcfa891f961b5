"""Entries that are keyed twice and have to be the same (`dialects.md` §1.3, §1.6, §4.1)."""

from __future__ import annotations

import pytest

from engine.pay.fields import Step
from engine.pay.prompt_rules import PromptRule, Say
from engine.pay.results import Result
from tests.unit.engine.pay.driver import AMEX, DECLINED, VISA, Driver, kinds, order, said

ACCOUNT = "000123456789"
ROUTING = "021000021"


@pytest.fixture
def caller() -> Driver:
    return Driver(order(method="ach-debit", matching=frozenset({Step.ACCOUNT_NUMBER})))


def card_twice(**changes: object) -> Driver:
    return Driver(order(matching=frozenset({Step.CARD_NUMBER}), **changes))


def test_the_second_entry_is_asked_and_only_then_the_step_is_done(caller: Driver) -> None:
    caller.start()
    caller.keys(ROUTING)
    assert said(caller.keys(ACCOUNT + "#")) == ["reenter-to-match"]
    status = caller.statuses[-1]
    assert (status.step, status.matching, status.attempt, status.error_type) == (Step.ACCOUNT_NUMBER, True, 1, "")
    assert said(caller.keys(ACCOUNT + "#")) == ["payment-processing"]
    (submission,) = caller.submissions
    assert submission.account_number is not None
    assert bytes(submission.account_number.view()) == ACCOUNT.encode()


def test_a_step_that_does_not_have_to_match_is_asked_once(caller: Driver) -> None:
    caller.start()
    assert said(caller.keys(ROUTING)) == ["bank-account-number"]
    assert not any(status.matching for status in caller.statuses)


def test_nothing_of_the_first_entry_is_shown_before_the_second_is_the_same() -> None:
    caller = card_twice()
    caller.start()
    caller.keys(VISA + "#")
    assert (caller.statuses[-1].card_number, caller.statuses[-1].card_type) == ("", "")
    caller.keys(VISA + "#")
    assert (caller.statuses[-1].card_number, caller.statuses[-1].card_type) == ("************1111", "visa")


@pytest.mark.parametrize(
    "second",
    [ACCOUNT[:-1] + "8#", ACCOUNT[:-1] + "#", ACCOUNT + "0#", "0" + ACCOUNT + "#", "9" * 18 + "#", "1#"],
)
def test_two_entries_that_differ_are_a_failed_attempt_and_both_are_asked_again(caller: Driver, second: str) -> None:
    caller.start()
    caller.keys(ROUTING + ACCOUNT + "#")
    assert said(caller.keys(second)) == ["error.input-matching-failed", "bank-account-number", "finish-key"]
    status = caller.statuses[-1]
    assert (status.step, status.error_type, status.attempt) == (Step.ACCOUNT_NUMBER, "input-matching-failed", 2)
    assert not status.matching
    assert all(secret.wiped or len(secret) == 0 for secret in caller.secrets)
    # From the beginning of the step: one right entry is not enough, and the error is said once.
    assert said(caller.keys(ACCOUNT + "#")) == ["reenter-to-match"]
    assert caller.statuses[-1].error_type == ""
    assert said(caller.keys(ACCOUNT + "#")) == ["payment-processing"]


def test_a_second_entry_of_one_digit_more_than_fits_is_another() -> None:
    longest = "12345678901234567"
    caller = Driver(order(method="ach-debit", matching=frozenset({Step.ACCOUNT_NUMBER})))
    caller.start()
    caller.keys(ROUTING + longest + "#")
    assert said(caller.keys(longest + "8#"))[0] == "error.input-matching-failed"


def test_a_second_mismatch_uses_the_attempts_up(caller: Driver) -> None:
    caller.start()
    caller.keys(ROUTING + (ACCOUNT + "#1234#") * 2)
    assert said([caller.plays[-1]]) == ["error.input-matching-failed", "payment-failed"]
    caller.prompt_ends()
    assert caller.result.result is Result.TOO_MANY_FAILED_ATTEMPTS
    assert caller.result.payment_error == "input-matching-failed"


def test_a_wrong_first_entry_is_refused_before_a_second_is_asked(caller: Driver) -> None:
    caller.start()
    caller.keys(ROUTING)
    assert said(caller.keys("123#"))[0] == "error.invalid-bank-account-number"
    assert not caller.statuses[-1].matching


def test_silence_at_the_second_entry_asks_for_the_second_only(caller: Driver) -> None:
    caller.start()
    caller.keys(ROUTING + ACCOUNT + "#")
    caller.prompt_ends()
    assert said(caller.wait(5.1)) == ["error.timeout", "reenter-to-match", "finish-key"]
    assert (caller.statuses[-1].matching, caller.statuses[-1].attempt) == (True, 2)
    assert said(caller.keys(ACCOUNT + "#")) == ["payment-processing"]


def test_silence_at_the_second_entry_uses_the_attempts_up_too(caller: Driver) -> None:
    caller.start()
    caller.keys(ROUTING + ACCOUNT + "###")
    caller.prompt_ends()
    assert caller.result.result is Result.TOO_MANY_FAILED_ATTEMPTS
    assert caller.result.payment_error == "timeout"
    assert all(secret.wiped for secret in caller.secrets)


def test_a_second_entry_does_not_end_at_the_length_of_the_first(caller: Driver) -> None:
    # The mistake that matching is for: a digit left out the first time must not pass because the rest is the same.
    caller.start()
    caller.keys(ROUTING + ACCOUNT[:-1] + "#")
    assert caller.keys(ACCOUNT)[1:] == []
    assert said(caller.keys("#"))[0] == "error.input-matching-failed"


def test_a_second_entry_that_is_complete_by_its_length_needs_no_key() -> None:
    caller = card_twice()
    caller.start()
    assert said(caller.keys(AMEX)) == ["reenter-to-match"]
    assert said(caller.keys(AMEX)) == ["expiration-date"]


def test_finish_keys_after_entries_complete_by_their_length_cost_nothing() -> None:
    caller = card_twice()
    caller.start()
    caller.keys(AMEX + "#" + AMEX + "#")
    assert [status.error_type for status in caller.statuses] == ["", "", ""]


def test_both_entries_can_be_typed_ahead(caller: Driver) -> None:
    caller.keys(ROUTING + f"{ACCOUNT}#{ACCOUNT}#")
    assert said(caller.start()) == ["payment-processing"]


def test_a_mismatch_flushes_what_was_typed_ahead(caller: Driver) -> None:
    caller.keys(ROUTING + f"{ACCOUNT}#1234#{ACCOUNT}#")
    assert said(caller.start())[0] == "error.input-matching-failed"
    assert said(caller.keys(ACCOUNT + "#")) == ["reenter-to-match"]


def test_prompts_for_the_second_entry_are_the_documents(caller: Driver) -> None:
    rules = (
        PromptRule(step="bank-account-number", actions=(Say("account"),)),
        PromptRule(step="bank-account-number", actions=(Say("once more"),), matching=True),
        PromptRule(step="bank-account-number", actions=(Say("differ"),), error_types=("input-matching-failed",)),
    )
    caller = Driver(order(method="ach-debit", matching=frozenset({Step.ACCOUNT_NUMBER}), prompts=rules))
    caller.start()
    assert said(caller.keys(ROUTING)) == ["account"]
    assert said(caller.keys(ACCOUNT + "#")) == ["once more"]
    assert said(caller.keys("1234#")) == ["differ"]
    assert said(caller.keys(ACCOUNT + "#")) == ["once more"]


def test_a_security_code_that_has_to_match_is_as_long_as_the_brand_has_it() -> None:
    caller = Driver(order(matching=frozenset({Step.SECURITY_CODE}), postal_code=False))
    caller.start()
    caller.keys(AMEX + "1228")
    assert said(caller.keys("1234")) == ["reenter-to-match"]
    assert said(caller.keys("1234")) == ["payment-processing"]


@pytest.mark.parametrize("end", ["*", "hang up", "stop", "fault"])
@pytest.mark.parametrize("second", ["", "0001"])
def test_both_entries_are_wiped_when_it_ends_between_them(caller: Driver, end: str, second: str) -> None:
    caller.start()
    caller.keys(ROUTING + ACCOUNT + "#" + second)
    held = caller.secrets
    assert sum(len(secret) for secret in held) == len(ACCOUNT) + len(second)
    if end == "*":
        caller.keys("*")
    else:
        getattr(caller, end.replace(" ", "_"))()
    assert all(secret.wiped for secret in held)
    assert not any(status.matching for status in caller.statuses[-1:])
    assert ACCOUNT not in repr(caller.log)


def test_a_mismatch_after_a_decline_is_judged_anew() -> None:
    caller = card_twice(postal_code=False, security_code=False)
    caller.start()
    caller.keys((VISA + "#") * 2 + "1228")
    caller.prompt_ends()
    caller.answer(DECLINED)
    caller.prompt_ends()
    assert said(caller.keys(VISA + "#")) == ["reenter-to-match"]
    assert kinds(caller.keys(VISA + "#")) == ["StopPlaying", "EmitStatus", "Play"]
