"""A caller pays: what each key, silence, answer and hang-up leads to (`dialects.md` §1)."""

from __future__ import annotations

import math
from datetime import date

import pytest

from engine.pay.commands import EmitStatus, Finish, Play, StopPlaying, Submit
from engine.pay.fields import Step
from engine.pay.order import PayOrder, RetryRule
from engine.pay.prompt_rules import PlayFile, PromptRule, Say
from engine.pay.results import ConnectorFault, Result
from engine.pay.states import State
from engine.pay.submission import ConnectorAnswer, Operation, Outcome, PaymentMethod, TokenType
from tests.unit.engine.pay.driver import (
    AMEX,
    DECLINED,
    MASTERCARD,
    PAID,
    UNKNOWN,
    VISA,
    Driver,
    kinds,
    order,
    said,
)


@pytest.fixture
def caller() -> Driver:
    return Driver(order())


# -- the straight way ------------------------------------------------------------------------------------------------


def test_the_first_prompt_comes_with_its_status(caller: Driver) -> None:
    status, play = caller.start()
    assert isinstance(status, EmitStatus)
    assert status.status.step is Step.CARD_NUMBER
    assert (status.status.attempt, status.status.error_type) == (1, "")
    assert isinstance(play, Play)
    assert play.interruptible
    assert said([play]) == ["payment-card-number"]


def test_a_payment_from_the_first_key_to_the_receipt(caller: Driver) -> None:
    last = caller.pay_until_submitted()
    assert kinds(last)[-3:] == ["EmitStatus", "Play", "Submit"]
    assert [status.step for status in caller.statuses] == [
        Step.CARD_NUMBER,
        Step.EXPIRATION_DATE,
        Step.SECURITY_CODE,
        Step.POSTAL_CODE,
        Step.PROCESSING,
    ]
    (submission,) = caller.submissions
    assert submission.card_number is not None
    assert bytes(submission.card_number.view()) == VISA.encode()
    assert submission.security_code is not None
    assert bytes(submission.security_code.view()) == b"123"
    assert (submission.expiry_month, submission.expiry_year) == ("12", "28")
    assert submission.postal_code == "94105"
    assert (submission.amount, submission.currency, submission.card_type) == ("10.50", "usd", "visa")
    assert submission.operation is Operation.CHARGE
    assert submission.transaction_id == "tx-1"
    caller.prompt_ends()
    assert said(caller.answer()) == ["payment-completed"]
    assert kinds(caller.prompt_ends()) == ["Finish"]
    result = caller.result
    assert result.result is Result.SUCCESS
    assert result.charge_id == "ch_test"
    assert result.card_number == "************1111"
    assert result.security_code == "***"
    assert result.expiration_date == "1228"
    assert result.postal_code == "94105"
    assert result.last_four == "1111"
    assert (result.attempts, result.outcome, result.transaction_id) == (1, Outcome.SUCCEEDED, "tx-1")
    assert not result.hung_up


def test_an_answer_that_comes_early_lets_the_processing_prompt_end(caller: Driver) -> None:
    caller.pay_until_submitted()
    assert caller.answer() == []
    assert all(secret.wiped or len(secret) == 0 for secret in caller.secrets)
    assert said(caller.prompt_ends()) == ["payment-completed"]


def test_the_secrets_are_wiped_when_the_answer_is_in_and_not_before(caller: Driver) -> None:
    caller.pay_until_submitted()
    (submission,) = caller.submissions
    number, code = submission.card_number, submission.security_code
    assert number is not None
    assert code is not None
    caller.prompt_ends()
    caller.wait(120)
    assert [number.wiped, code.wiped] == [False, False]
    caller.answer()
    assert [number.wiped, code.wiped] == [True, True]


def test_tokenizing_sends_no_amount_and_says_that_the_card_is_saved() -> None:
    caller = Driver(order(amount="0.00", token_type="one-time"))
    caller.pay_until_submitted()
    (submission,) = caller.submissions
    assert submission.operation is Operation.TOKENIZE
    assert submission.amount == ""
    assert submission.token_type is TokenType.ONE_TIME
    caller.prompt_ends()
    assert said(caller.answer(ConnectorAnswer(outcome=Outcome.SUCCEEDED, token_id="tok_1", profile_id="p_1"))) == [
        "tokenize-completed"
    ]
    caller.prompt_ends()
    assert (caller.result.token_id, caller.result.profile_id) == ("tok_1", "p_1")
    assert caller.result.operation is Operation.TOKENIZE


def test_fields_that_are_not_wanted_are_not_asked() -> None:
    caller = Driver(order(security_code=False, postal_code=False))
    caller.start()
    caller.keys(VISA + "#" + "1228")
    (submission,) = caller.submissions
    assert submission.security_code is None
    assert submission.postal_code == ""


def test_a_known_postal_code_is_passed_on_unasked_and_unchecked() -> None:
    caller = Driver(order(postal_code="SW1A 1AA"))
    caller.start()
    caller.keys(VISA + "#" + "1228" + "123")
    (submission,) = caller.submissions
    assert submission.postal_code == "SW1A 1AA"
    assert caller.statuses[0].postal_code == "SW1A 1AA"


def test_a_bank_debit_asks_routing_then_account_number() -> None:
    caller = Driver(order(method="ach-debit"))
    assert said(caller.start()) == ["bank-routing-number"]
    assert said(caller.keys("021000021")) == ["bank-account-number"]
    caller.keys("000123456789#")
    (submission,) = caller.submissions
    assert submission.method is PaymentMethod.ACH_DEBIT
    assert submission.routing_number == "021000021"
    assert submission.account_number is not None
    assert bytes(submission.account_number.view()) == b"000123456789"
    assert submission.account_type == "consumer-checking"
    assert submission.card_number is None
    caller.prompt_ends()
    caller.answer()
    caller.prompt_ends()
    assert caller.result.account_number == "**********89"
    assert caller.result.routing_number == "021000021"
    assert submission.account_number.wiped


@pytest.mark.parametrize(("digits", "error"), [("123456789", "invalid-bank-routing-number"), ("#", "timeout")])
def test_a_wrong_routing_number_is_asked_again(digits: str, error: str) -> None:
    caller = Driver(order(method="ach-debit"))
    caller.start()
    assert said(caller.keys(digits)) == [f"error.{error}", "bank-routing-number"]


def test_a_short_account_number_is_refused() -> None:
    caller = Driver(order(method="ach-debit"))
    caller.start()
    caller.keys("021000021")
    assert said(caller.keys("123#")) == ["error.invalid-bank-account-number", "bank-account-number", "finish-key"]


# -- keys ------------------------------------------------------------------------------------------------------------


def test_the_key_that_barges_in_is_the_first_digit_of_the_entry(caller: Driver) -> None:
    caller.start()
    assert kinds(caller.keys("4")) == ["StopPlaying"]
    assert caller.keys(VISA[1:]) == []
    caller.keys("#")
    assert caller.statuses[-1].card_number == "************1111"


def test_a_prompt_is_stopped_once(caller: Driver) -> None:
    caller.start()
    assert kinds(caller.keys("411")) == ["StopPlaying"]


def test_a_key_after_the_prompt_stops_nothing(caller: Driver) -> None:
    caller.start()
    caller.prompt_ends()
    assert caller.keys("4") == []


@pytest.mark.parametrize("key", "ABCD")
def test_keys_a_to_d_do_nothing_not_even_barge_in(caller: Driver, key: str) -> None:
    caller.start()
    assert caller.keys(key) == []
    assert caller.is_in(State.PROMPTING)


@pytest.mark.parametrize("code", [-1, 16, 99])
def test_codes_that_are_no_keys_are_ignored(caller: Driver, code: int) -> None:
    caller.start()
    caller.machine.digit(code, caller.now)
    assert caller.take() == []


def test_the_finish_key_ends_the_entry_and_is_no_part_of_it(caller: Driver) -> None:
    caller.start()
    caller.keys(VISA)
    assert caller.is_in(State.COLLECTING)
    assert said(caller.keys("#")) == ["expiration-date"]


def test_the_finish_key_alone_is_a_timeout(caller: Driver) -> None:
    caller.start()
    assert said(caller.keys("#")) == ["error.timeout", "payment-card-number", "finish-key"]
    assert caller.statuses[-1].error_type == "timeout"


def test_silence_after_a_key_ends_the_entry(caller: Driver) -> None:
    caller.start()
    caller.keys(VISA)
    assert caller.wait(4.99) == []
    assert said(caller.wait(0.02)) == ["expiration-date"]


def test_each_key_starts_the_silence_anew(caller: Driver) -> None:
    caller.start()
    for key in VISA:
        caller.keys(key)
        assert caller.wait(4.5) == []
    assert said(caller.wait(1)) == ["expiration-date"]


def test_the_wait_for_the_first_key_begins_when_the_prompt_has_ended(caller: Driver) -> None:
    caller.start()
    assert caller.wait(30) == []
    caller.prompt_ends()
    assert caller.wait(4.99) == []
    assert said(caller.wait(0.02)) == ["error.timeout", "payment-card-number", "finish-key"]


def test_the_wait_for_the_first_key_can_be_another() -> None:
    caller = Driver(order(first_digit_timeout_s=10.0))
    caller.start()
    caller.prompt_ends()
    assert caller.wait(9.9) == []
    assert said(caller.wait(0.2)) == ["error.timeout", "payment-card-number", "finish-key"]


def test_the_wait_for_the_first_key_can_be_without_limit() -> None:
    caller = Driver(order(first_digit_timeout_s=math.inf))
    caller.start()
    caller.prompt_ends()
    assert caller.machine.next_timer() is None


def test_a_prompt_that_is_never_reported_finished_does_not_hold_the_call(caller: Driver) -> None:
    caller.start()
    caller.wait(300)
    assert kinds(caller.log)[-1] == "StopPlaying"
    assert said(caller.wait(5)) == ["error.timeout", "payment-card-number", "finish-key"]


def test_a_timer_that_fires_early_changes_nothing(caller: Driver) -> None:
    caller.start()
    caller.prompt_ends()
    due = caller.machine.next_timer()
    assert due is not None
    caller.machine.handle_timer(due - 0.001)
    assert caller.take() == []
    assert caller.machine.next_timer() == due


def test_a_finished_report_of_an_older_or_stopped_prompt_is_ignored(caller: Driver) -> None:
    caller.start()
    old = caller.plays[-1].token
    caller.keys("#")
    caller.machine.prompt_finished(old, caller.now)
    assert caller.is_in(State.PROMPTING)
    caller.keys("4")
    caller.machine.prompt_finished(caller.plays[-1].token, caller.now)
    assert caller.is_in(State.COLLECTING)


@pytest.mark.parametrize(
    ("number", "complete"),
    [(AMEX, True), (MASTERCARD, True), ("4000000000000000006", True), (VISA, False), ("6011111111111117", False)],
)
def test_an_entry_is_complete_when_no_further_digit_could_be_valid(number: str, *, complete: bool) -> None:
    caller = Driver(order(valid_card_types=("visa", "mastercard", "amex", "discover")))
    caller.start()
    assert (said(caller.keys(number)) == ["expiration-date"]) is complete


# The test numbers of `dialects.md` §1.4, each with the brand it has to be taken for.
BRANDED = {
    "visa": ("4111111111111111", "4222222222222", "4000000000000000006"),
    "mastercard": ("5555555555554444", "2221000000000009", "2720990000000007", "2223003122003222"),
    "amex": ("378282246310005",),
    "discover": ("6011111111111117", "6221260000000000", "6229250000000003", "6440000000000005"),
    "diners-club": ("36227206271667", "38520000023237", "30569309025904", "30100000000002"),
    "jcb": ("3566002020360505", "3528000000000007", "3589000000000003"),
    "maestro": ("6771798021000008", "500000000009", "6200000000000005"),
    "enroute": ("201400000000000",),
}
EVERY = tuple(BRANDED)
ENDED_BY_LENGTH = {"mastercard", "amex", "enroute"}


@pytest.mark.parametrize(("brand", "number"), [(brand, n) for brand, numbers in BRANDED.items() for n in numbers])
def test_every_published_number_is_taken_for_its_brand(brand: str, number: str) -> None:
    caller = Driver(order(valid_card_types=EVERY))
    caller.start()
    at_once = said(caller.keys(number)) == ["expiration-date"]
    assert at_once == (brand in ENDED_BY_LENGTH or len(number) == 19)  # D-5, UnionPay taken for Maestro included
    caller.keys("#")
    assert (caller.statuses[-1].step, caller.statuses[-1].card_type) == (Step.EXPIRATION_DATE, brand)


@pytest.mark.parametrize(("brand", "number"), [(brand, numbers[0]) for brand, numbers in BRANDED.items()])
def test_a_right_number_of_a_brand_that_is_not_wanted_is_named_so(brand: str, number: str) -> None:
    caller = Driver(order(valid_card_types=tuple(name for name in EVERY if name != brand)))
    caller.start()
    caller.keys(number + "#")
    assert caller.statuses[-1].error_type == "invalid-card-type"


@pytest.mark.parametrize("number", ["2220990000000002", "2721000000000004", "3527000000000008", "3590000000000000"])
def test_numbers_beside_a_brands_range_are_no_card_numbers(number: str) -> None:
    caller = Driver(order(valid_card_types=EVERY))
    caller.start()
    caller.keys(number + "#")
    assert caller.statuses[-1].error_type == "invalid-card-number"


def test_optima_in_the_list_makes_amex_numbers_welcome_and_is_never_told() -> None:
    caller = Driver(order(valid_card_types=("optima",)))
    caller.start()
    caller.keys(AMEX)
    assert caller.statuses[-1].card_type == "amex"  # D-9


def test_expiry_and_code_are_complete_at_their_length(caller: Driver) -> None:
    caller.start()
    caller.keys(VISA + "#")
    assert said(caller.keys("1228")) == ["security-code"]
    assert said(caller.keys("123")) == ["postal-code"]


def test_an_amex_card_is_asked_for_four_digits_on_the_front(caller: Driver) -> None:
    caller.start()
    caller.keys(AMEX)
    assert said(caller.keys("1228")) == ["security-code.amex"]
    assert caller.keys("123")[1:] == []
    assert said(caller.keys("4")) == ["postal-code"]
    assert caller.statuses[-1].security_code == "****"


def test_a_code_of_the_wrong_length_is_refused(caller: Driver) -> None:
    caller.start()
    caller.keys(AMEX + "1228")
    assert said(caller.keys("123#")) == ["error.invalid-security-code", "security-code.amex"]


def test_a_finish_key_after_a_complete_entry_belongs_to_it(caller: Driver) -> None:
    caller.start()
    caller.keys(AMEX + "#" + "1228#" + "1234#")
    assert [status.error_type for status in caller.statuses] == [""] * 4
    assert caller.statuses[-1].step is Step.POSTAL_CODE
    assert caller.is_in(State.PROMPTING)


def test_only_one_finish_key_belongs_to_a_complete_entry(caller: Driver) -> None:
    caller.start()
    assert said(caller.keys(AMEX + "##")) == ["expiration-date", "error.timeout", "expiration-date"]


def test_a_finish_key_long_after_a_complete_entry_is_an_empty_one(caller: Driver) -> None:
    caller.start()
    caller.keys(AMEX)
    caller.wait(6)
    assert said(caller.keys("#")) == ["error.timeout", "expiration-date"]


def test_a_finish_key_after_a_refused_complete_entry_costs_no_attempt(caller: Driver) -> None:
    caller.start()
    caller.keys(AMEX[:-1] + "6" + "#")
    assert caller.statuses[-1].error_type == "invalid-card-number"
    assert caller.statuses[-1].attempt == 2
    assert caller.is_in(State.PROMPTING)


def test_keys_before_the_start_are_typed_ahead(caller: Driver) -> None:
    caller.keys(VISA + "#12")
    caller.start()
    assert [status.step for status in caller.statuses] == [Step.CARD_NUMBER, Step.EXPIRATION_DATE]
    assert caller.plays == []
    assert said(caller.keys("28")) == ["security-code"]


def test_a_prompt_is_played_when_what_was_typed_ahead_ends_with_its_step(caller: Driver) -> None:
    caller.keys(VISA + "#")
    assert said(caller.start()) == ["expiration-date"]
    caller.keys("1228")
    assert caller.statuses[-1].expiration_date == "1228"


def test_a_whole_payment_can_be_typed_ahead(caller: Driver) -> None:
    caller.keys(VISA + "#1228#123#94105#")
    assert said(caller.start()) == ["payment-processing"]
    assert len(caller.submissions) == 1


def test_an_error_flushes_what_was_typed_ahead(caller: Driver) -> None:
    caller.keys("4111111111111112#1228#123")
    assert said(caller.start()) == ["error.invalid-card-number", "payment-card-number", "finish-key"]
    caller.keys(VISA + "#")
    assert caller.statuses[-1].step is Step.EXPIRATION_DATE
    assert caller.is_in(State.PROMPTING)


def test_fast_keys_run_over_the_borders_of_fields_without_loss(caller: Driver) -> None:
    caller.start()
    caller.keys(AMEX + "1228" + "1234" + "94105#")
    (submission,) = caller.submissions
    assert submission.security_code is not None
    assert bytes(submission.security_code.view()) == b"1234"


# -- errors and attempts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyed", "error"),
    [
        ("4111111111111112#", "invalid-card-number"),
        ("411111111111111#", "invalid-card-number"),
        ("41111111111111111#", "invalid-card-number"),
        ("9999999999999995#", "invalid-card-number"),
        ("1#", "invalid-card-number"),
        ("9" * 25 + "#", "invalid-card-number"),
        ("6011111111111117#", "invalid-card-type"),
        ("#", "timeout"),
    ],
)
def test_a_wrong_card_number_is_named_and_asked_again(caller: Driver, keyed: str, error: str) -> None:
    caller.start()
    # Nineteen digits are complete; what follows barges in on the error and would be the next entry.
    digits = keyed if len(keyed) <= 19 else keyed[:19] + "#"
    assert said(caller.keys(digits)) == [f"error.{error}", "payment-card-number", "finish-key"]
    assert (caller.statuses[-1].error_type, caller.statuses[-1].attempt) == (error, 2)
    assert caller.statuses[-1].card_number == ""


@pytest.mark.parametrize(
    ("keyed", "heard"),
    [
        ("1126", ["security-code"]),
        ("1227", ["security-code"]),
        ("1146", ["security-code"]),
        ("1026", ["error.invalid-date", "expiration-date"]),
        ("1326", ["error.invalid-date", "expiration-date"]),
        ("0027", ["error.invalid-date", "expiration-date"]),
        ("1246", ["error.invalid-date", "expiration-date"]),
        ("112#", ["error.invalid-date", "expiration-date"]),
    ],
)
def test_expiry_is_judged_by_the_date(caller: Driver, keyed: str, heard: list[str]) -> None:
    caller.start()
    caller.keys(VISA + "#")
    assert said(caller.keys(keyed)) == heard


def test_a_card_is_valid_through_the_last_day_of_its_month() -> None:
    for today, heard in ((date(2026, 11, 30), "security-code"), (date(2026, 12, 1), "expiration-date")):
        caller = Driver(order(), today=today)
        caller.start()
        caller.keys(VISA + "#")
        assert said(caller.keys("1126"))[-1] == heard


def test_a_short_postal_code_is_refused() -> None:
    caller = Driver(order(min_postal_code_length=5))
    caller.start()
    caller.keys(VISA + "#1228123")
    assert said(caller.keys("9410#")) == ["error.invalid-postal-code", "postal-code", "finish-key"]
    assert said(caller.keys("94105#")) == ["payment-processing"]


def test_a_postal_code_of_too_many_digits_is_refused_and_not_cut(caller: Driver) -> None:
    caller.start()
    caller.keys(VISA + "#1228123")
    assert said(caller.keys("1" * 12 + "#")) == ["error.invalid-postal-code", "postal-code", "finish-key"]


def test_a_card_number_keyed_as_postal_code_is_refused_and_not_shown(caller: Driver) -> None:
    caller.start()
    caller.keys(VISA + "#1228123")
    assert said(caller.keys(VISA + "#")) == ["error.invalid-postal-code", "postal-code", "finish-key"]
    assert VISA not in repr(caller.log)
    assert VISA[:11] not in repr(caller.log)


@pytest.mark.parametrize("retries", [0, 1, 2, 3])
def test_n_retries_make_n_plus_one_prompts_then_the_payment_fails(retries: int) -> None:
    caller = Driver(order(max_attempts=retries))
    caller.start()
    caller.keys("1#" * (retries + 1))
    asked = [status for status in caller.statuses if status.step is Step.CARD_NUMBER]
    assert [status.attempt for status in asked] == list(range(1, retries + 2))
    assert said([caller.plays[-1]]) == ["error.invalid-card-number", "payment-failed"]
    assert not caller.plays[-1].interruptible
    caller.prompt_ends()
    assert caller.result.result is Result.TOO_MANY_FAILED_ATTEMPTS
    assert caller.result.payment_error == "invalid-card-number"
    assert caller.result.outcome is None


def test_max_attempts_can_count_tries() -> None:
    caller = Driver(order(max_attempts=2, retry_rule=RetryRule.TRIES))
    caller.start()
    caller.keys("1#1#")
    assert caller.is_in(State.FAILING)


def test_the_attempts_are_counted_for_each_step(caller: Driver) -> None:
    caller.start()
    caller.keys("1#" + VISA + "#" + "1328" + "1228" + "12#" + "123" + "#")
    assert [(status.step, status.attempt) for status in caller.statuses] == [
        (Step.CARD_NUMBER, 1),
        (Step.CARD_NUMBER, 2),
        (Step.EXPIRATION_DATE, 1),
        (Step.EXPIRATION_DATE, 2),
        (Step.SECURITY_CODE, 1),
        (Step.SECURITY_CODE, 2),
        (Step.POSTAL_CODE, 1),
    ]


def test_keys_during_the_failed_prompt_do_nothing(caller: Driver) -> None:
    caller.start()
    caller.keys("1#1#")
    assert caller.keys("4*#1") == []
    assert caller.is_in(State.FAILING)


# -- the star --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["", "4", VISA, VISA + "#", VISA + "#1228", VISA + "#12281239"])
def test_the_star_cancels_at_any_moment_before_submission(caller: Driver, before: str) -> None:
    caller.start()
    caller.keys(before)
    assert said(caller.keys("*")) == ["payment-canceled"]
    assert all(secret.wiped for secret in caller.secrets)
    caller.prompt_ends()
    assert caller.result.result is Result.CALLER_INTERRUPTED_WITH_STAR
    assert caller.submissions == []
    assert caller.statuses[-1].step is Step.CANCELED


def test_the_star_stops_the_prompt_first(caller: Driver) -> None:
    caller.start()
    assert kinds(caller.keys("*")) == ["StopPlaying", "EmitStatus", "Play"]


def test_the_star_before_the_start_cancels(caller: Driver) -> None:
    caller.keys("41*")
    caller.prompt_ends()
    assert caller.start() == []
    assert caller.result.result is Result.CALLER_INTERRUPTED_WITH_STAR


def test_the_star_is_ignored_once_submitted(caller: Driver) -> None:
    caller.pay_until_submitted()
    assert caller.keys("*") == []
    caller.prompt_ends()
    assert caller.keys("*") == []
    caller.answer()
    assert caller.keys("*") == []
    caller.prompt_ends()
    assert caller.result.result is Result.SUCCESS


def test_without_announcements_the_star_ends_at_once() -> None:
    caller = Driver(order(announced=frozenset({Step.PROCESSING})))
    caller.start()
    assert kinds(caller.keys("*")) == ["StopPlaying", "Finish"]


# -- the connector says no -------------------------------------------------------------------------------------------


def test_a_decline_asks_for_the_card_again_with_a_new_identity(caller: Driver) -> None:
    caller.pay_until_submitted()
    caller.prompt_ends()
    assert said(caller.answer(DECLINED)) == ["payment-failed"]
    assert not caller.plays[-1].interruptible
    assert caller.keys("4#") == []
    assert said(caller.prompt_ends()) == ["error.card-declined", "payment-card-number", "finish-key"]
    status = caller.statuses[-1]
    assert (status.step, status.attempt, status.error_type) == (Step.CARD_NUMBER, 2, "card-declined")
    assert (status.card_number, status.expiration_date, status.security_code, status.postal_code) == ("", "", "", "")
    caller.keys(MASTERCARD + "1129" + "321" + "10001#")
    assert [submission.transaction_id for submission in caller.submissions] == ["tx-1", "tx-2"]
    caller.prompt_ends()
    caller.answer()
    caller.prompt_ends()
    assert caller.result.result is Result.SUCCESS
    assert caller.result.payment_error == ""
    assert caller.result.connector_error is None
    assert caller.result.attempts == 2


def test_the_step_after_a_restart_begins_at_attempt_one(caller: Driver) -> None:
    caller.pay_until_submitted()
    caller.prompt_ends()
    caller.answer(DECLINED)
    caller.prompt_ends()
    caller.keys(VISA + "#")
    assert (caller.statuses[-1].step, caller.statuses[-1].attempt) == (Step.EXPIRATION_DATE, 1)


def test_the_last_decline_ends_with_a_connector_error(caller: Driver) -> None:
    caller.pay_until_submitted()
    caller.prompt_ends()
    caller.answer(DECLINED)
    caller.prompt_ends()
    caller.keys(VISA + "#" + "1228" + "123" + "94105#")
    caller.prompt_ends()
    assert said(caller.answer(DECLINED)) == ["error.card-declined", "payment-failed"]
    caller.prompt_ends()
    assert caller.result.result is Result.PAYMENT_CONNECTOR_ERROR
    assert caller.result.connector_error == ConnectorFault(code="51", message="no funds")
    assert (caller.result.payment_error, caller.result.payment_error_code) == ("no funds", "51")
    assert caller.result.card_number == "************1111"
    assert caller.result.outcome is Outcome.DECLINED


def test_a_decline_ends_at_once_where_the_dialect_never_asks_again() -> None:
    caller = Driver(order(decline_restarts=False, max_attempts=3))
    caller.pay_until_submitted()
    caller.prompt_ends()
    assert said(caller.answer(DECLINED)) == ["error.card-declined", "payment-failed"]


@pytest.mark.parametrize(
    "error",
    ["invalid-date", "invalid-security-code", "invalid-card-number", "invalid-card-type", "invalid-postal-code"],
)
@pytest.mark.parametrize("outcome", [Outcome.DECLINED, Outcome.FAILED])
def test_the_error_that_the_connector_names_chooses_the_prompt(caller: Driver, error: str, outcome: Outcome) -> None:
    caller.pay_until_submitted()
    caller.prompt_ends()
    caller.answer(ConnectorAnswer(outcome=outcome, error_type=error))
    assert said(caller.prompt_ends()) == [f"error.{error}", "payment-card-number", "finish-key"]
    assert caller.statuses[-1].error_type == error


@pytest.mark.parametrize(
    "answer",
    [
        UNKNOWN,
        ConnectorAnswer(outcome=Outcome.UNKNOWN, error_type="card-declined"),
        ConnectorAnswer(outcome=Outcome.FAILED, error_message="unreachable"),
        ConnectorAnswer(outcome=Outcome.DECLINED, error_type="payment-connector-error"),
    ],
)
def test_what_a_new_entry_cannot_mend_is_never_asked_again(answer: ConnectorAnswer) -> None:
    caller = Driver(order(max_attempts=3))
    caller.pay_until_submitted()
    caller.prompt_ends()
    assert said(caller.answer(answer)) == ["payment-failed"]
    assert caller.is_in(State.FAILING)
    caller.prompt_ends()
    assert caller.result.result is Result.PAYMENT_CONNECTOR_ERROR
    assert caller.result.outcome is answer.outcome
    assert caller.n_ids == 1


def test_an_answer_to_another_submission_is_ignored(caller: Driver) -> None:
    caller.pay_until_submitted()
    caller.machine.connector_answered(PAID, caller.now, transaction_id="tx-0")
    assert caller.is_in(State.PROCESSING)
    caller.machine.connector_answered(PAID, caller.now, transaction_id="tx-1")
    assert caller.is_in(State.ANSWERED)


def test_a_second_answer_is_ignored(caller: Driver) -> None:
    caller.pay_until_submitted()
    caller.answer(PAID)
    caller.answer(DECLINED)
    caller.prompt_ends()
    caller.prompt_ends()
    assert caller.result.result is Result.SUCCESS


def test_an_answer_that_nobody_asked_for_is_ignored(caller: Driver) -> None:
    caller.start()
    assert caller.answer(PAID) == []
    assert caller.is_in(State.PROMPTING)


def test_what_the_connector_echoes_is_masked(caller: Driver) -> None:
    caller.pay_until_submitted()
    caller.answer(
        ConnectorAnswer(
            outcome=Outcome.FAILED,
            charge_id=VISA,
            error_code=f"E-{VISA}",
            error_message=f"card {VISA} with cvv 123 and 4111-1111-1111-1111 refused, code 1234",
            parameters={"pan": VISA, "note": "x"},
        )
    )
    caller.prompt_ends()
    caller.prompt_ends()
    text = repr(caller.log)
    assert VISA not in text
    assert "1111-1111" not in text
    assert "cvv ***" in text
    assert "code 1234" in text
    assert caller.result.parameters["note"] == "x"


# -- gone and stopped ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["", "4", VISA + "#", VISA + "#1228", VISA + "#12281239"])
def test_a_hang_up_before_submission_ends_at_once_and_wipes(caller: Driver, before: str) -> None:
    caller.start()
    caller.keys(before)
    caller.hang_up()
    assert caller.result.result is Result.CALLER_HUNG_UP
    assert caller.result.hung_up
    assert all(secret.wiped for secret in caller.secrets)
    assert caller.machine.next_timer() is None


def test_a_hang_up_before_the_start_ends(caller: Driver) -> None:
    caller.keys("411")
    caller.hang_up()
    assert caller.result.result is Result.CALLER_HUNG_UP


@pytest.mark.parametrize("processing_prompt_ends", [True, False])
@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (PAID, Result.SUCCESS),
        (DECLINED, Result.PAYMENT_CONNECTOR_ERROR),
        (UNKNOWN, Result.PAYMENT_CONNECTOR_ERROR),
    ],
)
def test_after_submission_the_answer_decides_whoever_hung_up(
    caller: Driver, answer: ConnectorAnswer, result: Result, *, processing_prompt_ends: bool
) -> None:
    caller.pay_until_submitted()
    if processing_prompt_ends:
        caller.prompt_ends()
    caller.hang_up()
    assert caller.is_in(State.ABANDONED)
    assert caller.results == []
    assert not caller.secrets[-1].wiped
    after = caller.answer(answer)
    assert "Play" not in kinds(after)
    assert caller.result.result is result
    assert caller.result.hung_up
    assert all(secret.wiped for secret in caller.secrets)
    assert caller.statuses[-1].step is (Step.COMPLETED if result is Result.SUCCESS else Step.FAILED)


def test_a_hang_up_between_the_answer_and_its_prompt_keeps_the_result(caller: Driver) -> None:
    caller.pay_until_submitted()
    caller.answer(PAID)
    caller.hang_up()
    assert caller.result.result is Result.SUCCESS
    assert caller.result.hung_up


def test_a_hang_up_while_the_outcome_is_said_keeps_the_result(caller: Driver) -> None:
    caller.pay_until_submitted()
    caller.prompt_ends()
    caller.answer(PAID)
    caller.hang_up()
    assert caller.result.result is Result.SUCCESS


def test_a_hang_up_when_the_card_is_asked_again_is_a_hang_up(caller: Driver) -> None:
    caller.pay_until_submitted()
    caller.prompt_ends()
    caller.answer(DECLINED)
    caller.hang_up()
    assert caller.result.result is Result.CALLER_HUNG_UP
    assert caller.result.connector_error == ConnectorFault(code="51", message="no funds")


def test_the_star_counts_again_after_a_decline(caller: Driver) -> None:
    caller.pay_until_submitted()
    caller.prompt_ends()
    caller.answer(DECLINED)
    assert kinds(caller.keys("*")) == ["StopPlaying", "EmitStatus", "Play"]
    caller.prompt_ends()
    assert caller.result.result is Result.CALLER_INTERRUPTED_WITH_STAR


def test_a_stop_before_submission_ends_without_a_prompt(caller: Driver) -> None:
    caller.start()
    caller.keys("41")
    assert kinds(caller.stop()) == ["EmitStatus", "Finish"]
    assert caller.result.result is Result.RELAY_PAY_STOP
    assert caller.result.stopped


def test_a_stop_silences_the_prompt(caller: Driver) -> None:
    caller.start()
    assert kinds(caller.stop()) == ["StopPlaying", "EmitStatus", "Finish"]


def test_a_stop_after_submission_waits_for_the_answer(caller: Driver) -> None:
    caller.pay_until_submitted()
    assert kinds(caller.stop()) == ["StopPlaying"]
    caller.hang_up()
    caller.stop()
    caller.answer(PAID)
    assert caller.result.result is Result.SUCCESS
    assert caller.result.stopped
    assert caller.result.hung_up


def test_after_the_end_nothing_has_any_effect(caller: Driver) -> None:
    caller.start()
    caller.hang_up()
    caller.keys("4*#")
    caller.answer()
    caller.prompt_ends()
    caller.stop()
    caller.hang_up()
    assert len(caller.results) == 1
    assert isinstance(caller.log[-1], Finish)


# -- the engine fails ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["", "4", VISA + "#", VISA + "#1228", VISA + "#12281239"])
def test_a_fault_before_submission_ends_at_once_and_wipes(caller: Driver, before: str) -> None:
    caller.start()
    caller.keys(before)
    caller.fault()
    assert caller.result.result is Result.INTERNAL_ERROR
    assert caller.result.outcome is None
    assert all(secret.wiped for secret in caller.secrets)
    assert caller.machine.next_timer() is None
    assert (caller.statuses[-1].step, caller.statuses[-1].error_type) == (Step.FAILED, "internal-error")


def test_a_fault_before_the_start_ends(caller: Driver) -> None:
    caller.fault()
    assert caller.start() == []
    assert caller.result.result is Result.INTERNAL_ERROR


@pytest.mark.parametrize("processing_prompt_ends", [True, False])
@pytest.mark.parametrize(("answer", "result"), [(PAID, Result.SUCCESS), (UNKNOWN, Result.PAYMENT_CONNECTOR_ERROR)])
def test_a_fault_after_submission_leaves_the_end_to_the_answer(
    caller: Driver, answer: ConnectorAnswer, result: Result, *, processing_prompt_ends: bool
) -> None:
    caller.pay_until_submitted()
    if processing_prompt_ends:
        caller.prompt_ends()
    caller.fault()
    assert caller.results == []
    caller.answer(answer)
    assert caller.result.result is result


@pytest.mark.parametrize("processing_prompt_ends", [True, False])
def test_a_fault_after_the_answer_keeps_what_was_paid(caller: Driver, *, processing_prompt_ends: bool) -> None:
    caller.pay_until_submitted()
    if processing_prompt_ends:
        caller.prompt_ends()
    caller.answer(PAID)
    caller.fault()
    assert caller.result.result is Result.SUCCESS
    assert caller.result.charge_id == "ch_test"


def test_a_fault_when_the_card_is_asked_again_is_an_internal_error(caller: Driver) -> None:
    caller.pay_until_submitted()
    caller.prompt_ends()
    caller.answer(DECLINED)
    caller.fault()
    assert caller.result.result is Result.INTERNAL_ERROR
    assert caller.result.outcome is Outcome.DECLINED


def test_a_refused_bank_debit_is_not_called_a_declined_card() -> None:
    caller = Driver(order(method="ach-debit"))
    caller.start()
    caller.keys("021000021" + "000123456789#")
    caller.prompt_ends()
    assert said(caller.answer(DECLINED)) == ["payment-failed"]
    assert said(caller.prompt_ends()) == ["bank-routing-number"]
    assert (caller.statuses[-1].error_type, caller.statuses[-1].attempt) == ("card-declined", 2)


# -- what is said ----------------------------------------------------------------------------------------------------


def test_custom_prompts_replace_the_default_ones() -> None:
    rules = (
        PromptRule(step="payment-card-number", actions=(Say("number please"),)),
        PromptRule(step="payment-card-number", actions=(Say("again"), PlayFile("a.wav")), error_types=("timeout",)),
        PromptRule(step="security-code", actions=(Say("four digits"),), card_types=("optima",)),
        PromptRule(step="payment-processing", actions=(Say("one moment"),)),
    )
    caller = Driver(order(prompts=rules))
    assert said(caller.start()) == ["number please"]
    assert said(caller.keys("#")) == ["again", "a.wav"]
    assert said(caller.keys(AMEX + "1228"))[-1] == "four digits"
    assert said(caller.keys("1234" + "94105#"))[-1] == "one moment"


def test_the_mask_character_is_the_dialects() -> None:
    caller = Driver(order(mask_char="x"))
    caller.pay_until_submitted()
    assert caller.statuses[-1].card_number == "xxxxxxxxxxxx1111"
    assert caller.statuses[-1].security_code == "xxx"


def test_the_mask_can_be_written_in_groups() -> None:
    caller = Driver(order(mask_char="x", mask_style="dashed"))
    caller.start()
    caller.keys(AMEX)
    assert caller.statuses[-1].card_number == "xxxx-xxxxxx-x0005"


def test_steps_that_are_not_announced_are_neither_played_nor_reported() -> None:
    caller = Driver(order(announced=frozenset[Step]()))
    caller.pay_until_submitted()
    assert caller.is_in(State.AWAITING)
    assert kinds(caller.answer()) == ["Finish"]
    assert {status.step for status in caller.statuses} <= set(caller.order.steps)


def test_tokens_of_prompts_are_never_reused(caller: Driver) -> None:
    caller.pay_until_submitted()
    tokens = [play.token for play in caller.plays]
    assert len(set(tokens)) == len(tokens)


def test_no_submission_leaves_before_every_field_is_right() -> None:
    caller = Driver(PayOrder(amount="1.00"))
    caller.start()
    for part in (VISA + "#", "1228", "123"):
        assert not any(isinstance(command, Submit) for command in caller.keys(part))
    assert any(isinstance(command, Submit) for command in caller.keys("1#"))


def test_stop_playing_is_emitted_before_the_next_play(caller: Driver) -> None:
    caller.start()
    assert [type(command) for command in caller.keys("#")] == [StopPlaying, EmitStatus, Play]
