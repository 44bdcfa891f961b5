"""What each dialect admits, defaults to, and calls things (`dialects.md` §1, §2.5, §3.2, §4.1, §4.4, §5.2, §6.1)."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from engine.pay.errors import OrderError
from engine.pay.fields import ErrorType, Step
from engine.pay.order import PayOrder, RetryRule
from engine.pay.prompt_rules import PromptRule, Say
from engine.pay.results import PayResult, Result
from engine.pay.rules import RULES, Dialect, DialectRules, PayErrorCode, order_for
from engine.pay.states import State
from engine.pay.submission import Operation, Outcome, PaymentMethod
from tests.unit.engine.pay.driver import DECLINED, VISA, Driver, said

RELAY, SWML, TWIML = Dialect.RELAY, Dialect.SWML, Dialect.TWIML
PAYMENTS, NCCO, FORM = Dialect.PAYMENTS, Dialect.NCCO, Dialect.FORM
OUTCOMES = frozenset({Step.PROCESSING, Step.COMPLETED, Step.FAILED, Step.CANCELED})
LEAST = {NCCO: {"amount": "1.00"}}


def least(dialect: Dialect, **values: Any) -> PayOrder:
    """Return the dialect's order with nothing given but what it cannot do without."""
    return order_for(dialect, **{**LEAST.get(dialect, {}), **values})


def refused(dialect: Dialect, **values: Any) -> OrderError:
    with pytest.raises(OrderError) as caught:
        least(dialect, **values)
    return caught.value


def ask(step: str, **conditions: Any) -> PromptRule:
    return PromptRule(step=step, actions=(Say("x"),), **conditions)


# -- the rows --------------------------------------------------------------------------------------------------------


def test_every_dialect_has_a_row_and_every_row_an_order() -> None:
    assert set(RULES) == set(Dialect)
    for dialect in Dialect:
        assert isinstance(least(dialect), PayOrder)


@pytest.mark.parametrize("rules", RULES.values(), ids=[str(dialect) for dialect in RULES])
def test_a_row_speaks_of_fields_that_an_order_has(rules: DialectRules) -> None:
    fields = set(PayOrder.__dataclass_fields__)
    assert rules.settable | set(rules.defaults) | set(rules.names) | set(rules.codes) <= fields
    assert set(rules.names) <= rules.settable


@pytest.mark.parametrize("rules", RULES.values(), ids=[str(dialect) for dialect in RULES])
def test_a_row_has_a_word_for_every_result(rules: DialectRules) -> None:
    assert set(rules.results) == set(Result)


@pytest.mark.parametrize(
    ("dialect", "announced"),
    [
        (RELAY, OUTCOMES),
        (SWML, OUTCOMES),
        (FORM, OUTCOMES),
        (TWIML, {Step.PROCESSING}),
        (PAYMENTS, frozenset()),
        (NCCO, frozenset()),
    ],
)
def test_the_steps_that_ask_nothing_are_announced_as_the_dialect_does(dialect: Dialect, announced: Any) -> None:
    assert least(dialect).announced == announced


@pytest.mark.parametrize(
    ("dialect", "prompts", "restarts"),
    [(RELAY, 2, True), (SWML, 2, True), (FORM, 2, True), (TWIML, 2, False), (PAYMENTS, 1, False), (NCCO, 2, False)],
)
def test_attempts_are_counted_as_the_dialect_does(dialect: Dialect, prompts: int, *, restarts: bool) -> None:
    order = least(dialect)
    assert order.prompts_per_step == prompts  # D-12, D-14
    assert order.decline_restarts is restarts  # D-13


@pytest.mark.parametrize("dialect", [RELAY, SWML, TWIML, FORM])
def test_a_setting_makes_retries_tries(dialect: Dialect) -> None:
    order = order_for(dialect, max_attempts="2", retry_rule="tries")
    assert (order.retry_rule, order.prompts_per_step) == (RetryRule.TRIES, 2)


def test_a_setting_ends_a_payment_with_the_first_decline() -> None:
    assert not order_for(SWML, decline_restarts="false").decline_restarts


@pytest.mark.parametrize(
    ("dialect", "first_s"),
    [(RELAY, None), (SWML, None), (TWIML, None), (FORM, None), (NCCO, 10.0), (PAYMENTS, math.inf)],
)
def test_the_wait_for_the_first_key_is_the_dialects(dialect: Dialect, first_s: float | None) -> None:
    assert least(dialect).first_digit_timeout_s == first_s  # D-4
    assert least(dialect).timeout_s == 5.0


@pytest.mark.parametrize(
    ("dialect", "char"), [(RELAY, "*"), (SWML, "*"), (FORM, "*"), (NCCO, "*"), (TWIML, "x"), (PAYMENTS, "x")]
)
def test_the_mask_is_the_dialects(dialect: Dialect, char: str) -> None:
    assert (least(dialect).mask_char, least(dialect).mask_style) == (char, "plain")  # D-19
    assert least(dialect, mask_style="dashed").mask_style == "dashed"


@pytest.mark.parametrize("dialect", Dialect)
def test_the_default_currency_and_brands(dialect: Dialect) -> None:
    order = least(dialect)
    assert order.currency == ("USD" if dialect is PAYMENTS else "usd")
    assert order.valid_card_types == (("visa", "mastercard") if dialect is NCCO else ("visa", "mastercard", "amex"))


def test_what_ncco_fixes_cannot_be_set() -> None:
    for name in (
        "valid_card_types",
        "postal_code",
        "security_code",
        "method",
        "max_attempts",
        "parameters",
        "description",
    ):
        assert refused(NCCO, **{name: "1"}).field == name
    assert least(NCCO).steps == (Step.CARD_NUMBER, Step.EXPIRATION_DATE, Step.SECURITY_CODE)


@pytest.mark.parametrize("dialect", Dialect)
def test_a_setting_that_does_not_exist_is_named(dialect: Dialect) -> None:
    assert refused(dialect, colour="red").field == "colour"


# -- methods, brands, tokens -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "has_debits"),
    [(RELAY, False), (SWML, False), (TWIML, True), (PAYMENTS, True), (FORM, True)],
)
def test_bank_debits_are_for_those_that_have_them(dialect: Dialect, *, has_debits: bool) -> None:
    if has_debits:
        order = order_for(dialect, method="ach-debit", bank_account_type="consumer-savings")
        assert order.steps == (Step.ROUTING_NUMBER, Step.ACCOUNT_NUMBER)
        assert order.bank_account_type == "consumer-savings"
        assert order_for(dialect, method="ach-debit").bank_account_type == "consumer-checking"
        assert refused(dialect, method="ach-debit", bank_account_type="business").field == "bank_account_type"
    else:
        assert refused(dialect, method="ach-debit").field == "method"


@pytest.mark.parametrize("dialect", [TWIML, PAYMENTS])
def test_an_account_type_with_a_card_has_a_number_of_its_own(dialect: Dialect) -> None:
    error = refused(dialect, bank_account_type="consumer-checking")
    assert RULES[dialect].code_of(error) == 64017


VENDOR_TYPES = "visa mastercard amex maestro discover optima jcb diners-club enroute"


@pytest.mark.parametrize(
    ("dialect", "admitted"),
    [
        (TWIML, VENDOR_TYPES),
        (PAYMENTS, VENDOR_TYPES),
        (FORM, VENDOR_TYPES),
        (SWML, "visa mastercard amex maestro discover jcb diners-club"),
        (RELAY, "visa mastercard amex maestro discover jcb diners-club"),
    ],
)
def test_lists_of_brands_name_what_the_dialect_knows(dialect: Dialect, admitted: str) -> None:
    names = tuple(admitted.split())
    assert order_for(dialect, valid_card_types=admitted).valid_card_types == names
    assert order_for(dialect, valid_card_types=admitted.replace(" ", ",")).valid_card_types == names  # D-11
    assert order_for(dialect, valid_card_types=str(list(names))).valid_card_types == names  # D-16
    assert order_for(dialect, valid_card_types=list(names)).valid_card_types == names
    for name in ({"unionpay", "gold"} | set(VENDOR_TYPES.split())) - set(names):
        assert refused(dialect, valid_card_types=f"visa {name}").field == "valid_card_types"


@pytest.mark.parametrize("dialect", [RELAY, SWML])
def test_a_prompt_may_name_optima_where_the_list_may_not(dialect: Dialect) -> None:
    assert order_for(dialect, prompts=[ask("security-code", card_types=("optima",))]).prompts


@pytest.mark.parametrize(
    ("dialect", "admitted"),
    [
        (RELAY, {"reusable", "one-time"}),
        (SWML, {"reusable", "one-time"}),
        (TWIML, {"reusable", "one-time", "payment-method"}),
        (PAYMENTS, {"reusable", "one-time", "payment-method"}),
    ],
)
def test_token_types(dialect: Dialect, admitted: set[str]) -> None:
    for name in ("reusable", "one-time", "payment-method", "forever"):
        if name in admitted:
            assert order_for(dialect, token_type=name).token_type == name
        else:
            assert refused(dialect, token_type=name).field == "token_type"


# -- amounts ---------------------------------------------------------------------------------------------------------

WRONG_AMOUNTS: tuple[Any, ...] = (
    "-1",
    "abc",
    "1,5",
    "1e3",
    "1.005",
    "1000000.01",
    "1_0",
    "١",
    "nan",
    "0x10",
    True,
    [],
    "٣",
)


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("amount", WRONG_AMOUNTS, ids=str)
def test_a_wrong_amount_is_refused_with_the_dialects_number(dialect: Dialect, amount: Any) -> None:
    error = refused(dialect, amount=amount)
    assert error.field == "amount"
    assert RULES[dialect].code_of(error) == {TWIML: 64003, PAYMENTS: 64003, RELAY: 422}.get(dialect)


@pytest.mark.parametrize("dialect", Dialect)
def test_a_million_is_admitted_by_one_dialect_only(dialect: Dialect) -> None:
    if dialect is TWIML:
        assert order_for(dialect, amount="1000000").charged_amount == "1000000"
    else:
        assert refused(dialect, amount="1000000").field == "amount"
    assert order_for(dialect, amount="999999.99").operation is Operation.CHARGE


@pytest.mark.parametrize("dialect", [d for d in Dialect if d is not NCCO])
@pytest.mark.parametrize("amount", [None, "", " ", "0", "0.00", 0, 0.0, Decimal("0.00")])
def test_no_amount_tokenizes(dialect: Dialect, amount: Any) -> None:
    assert order_for(dialect, amount=amount).operation is Operation.TOKENIZE


@pytest.mark.parametrize("amount", [None, "", "0", 0, "0.00"])
def test_where_nothing_can_be_tokenized_an_amount_is_wanted(amount: Any) -> None:
    assert refused(NCCO, amount=amount).field == "amount"


@pytest.mark.parametrize(
    ("given", "sent"),
    [("10.50", "10.50"), (10, "10"), (10.5, "10.5"), (Decimal("10.50"), "10.50"), (" 7 ", "7"), (0.1, "0.1")],
)
def test_an_amount_may_be_a_number_and_is_sent_as_it_was_written(given: Any, sent: str) -> None:
    assert order_for(SWML, amount=given).charged_amount == sent


def test_the_currency_goes_on_in_the_case_it_came_in() -> None:
    assert order_for(RELAY, currency="USD").currency == "USD"
    assert order_for(PAYMENTS, currency="eur").currency == "eur"
    error = refused(TWIML, currency="zzz")
    assert RULES[TWIML].code_of(error) == 64011


def test_ncco_takes_the_currencies_of_its_list() -> None:
    assert least(NCCO, currency="EUR").currency == "EUR"
    assert refused(NCCO, currency="kwd").field == "currency"


# -- scalars in any form (D-24) --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", [RELAY, SWML, TWIML, PAYMENTS, FORM])
@pytest.mark.parametrize(
    ("given", "asked"), [(True, True), ("true", True), ("True", True), ("false", False), (0, None)]
)
def test_flags(dialect: Dialect, given: Any, asked: Any) -> None:
    if asked is None:
        assert refused(dialect, security_code=given).field == "security_code"
    else:
        assert order_for(dialect, security_code=given).security_code is asked


@pytest.mark.parametrize(("given", "seconds"), [("10", 10.0), (10, 10.0), (10.0, 10.0), ("600", 600.0), (1, 1.0)])
@pytest.mark.parametrize("dialect", [RELAY, SWML, TWIML, PAYMENTS, FORM])
def test_timeouts(dialect: Dialect, given: Any, seconds: float) -> None:
    assert order_for(dialect, timeout_s=given).timeout_s == seconds


@pytest.mark.parametrize("given", ["0", "-5", "601", "2.5", "five", True, [5], math.nan, math.inf])
@pytest.mark.parametrize("dialect", [RELAY, SWML, TWIML, PAYMENTS])
def test_wrong_timeouts(dialect: Dialect, given: Any) -> None:
    assert refused(dialect, timeout_s=given).field == "timeout_s"


def test_a_form_may_wait_fractions_of_a_second() -> None:
    assert order_for(FORM, timeout_s=2.5).timeout_s == 2.5


@pytest.mark.parametrize(
    ("dialect", "right", "wrong"),
    [(TWIML, ("1", "3"), ("0", "4", "none", "1.5")), (SWML, (0, "10"), (-1, 11, "x", True)), (FORM, (0, 9), (11,))],
)
def test_attempts(dialect: Dialect, right: tuple[Any, ...], wrong: tuple[Any, ...]) -> None:
    for given in right:
        assert order_for(dialect, max_attempts=given).max_attempts == int(given)
    for given in wrong:
        assert refused(dialect, max_attempts=given).field == "max_attempts"


@pytest.mark.parametrize("dialect", [RELAY, SWML, TWIML, FORM])
@pytest.mark.parametrize(
    ("given", "known"), [("true", True), (False, False), ("94105", "94105"), (94105, "94105"), ("SW1A 1AA", "SW1A 1AA")]
)
def test_a_postal_code_may_be_known(dialect: Dialect, given: Any, known: Any) -> None:
    assert order_for(dialect, postal_code=given).postal_code == known


def test_the_payments_resource_takes_no_postal_code() -> None:
    assert order_for(PAYMENTS, postal_code="False").postal_code is False
    error = refused(PAYMENTS, postal_code="94105")
    assert RULES[PAYMENTS].code_of(error) == 64020


@pytest.mark.parametrize(
    "given",
    [
        {"a": "1", "b": 2, "c": True},
        [{"name": "a", "value": "1"}, {"name": "b", "value": 2}, {"name": "c", "value": True}],
        [
            {"name": "a", "value": "0"},
            {"name": "b", "value": "2"},
            {"name": "a", "value": 1},
            {"name": "c", "value": "true"},
        ],
    ],
)
def test_parameters_become_one_flat_object_and_the_last_of_a_name_counts(given: Any) -> None:
    assert dict(order_for(SWML, parameters=given).parameters) == {"a": "1", "b": "2", "c": "true"}


@pytest.mark.parametrize("given", ["a", 1, [1], [{"value": "x"}], {"": "x"}, {"a": {}}, {"a": [1]}, [{"name": "a"}]])
def test_wrong_parameters(given: Any) -> None:
    assert refused(SWML, parameters=given).field == "parameters"


@pytest.mark.parametrize("dialect", Dialect)
def test_what_is_not_given_has_its_default(dialect: Dialect) -> None:
    order = least(dialect)
    names = sorted(RULES[dialect].settable - set(LEAST.get(dialect, {})))
    assert least(dialect, **dict.fromkeys(names)) == order
    assert least(dialect, **dict.fromkeys(names, "")) == order


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("value", [object(), b"4111111111111111", {1: 2}, [object()], "4111111111111111" * 9, -1])
def test_no_value_whatever_raises_anything_else_or_is_repeated(dialect: Dialect, value: Any) -> None:
    for name in RULES[dialect].settable - {"description", "language", "voice", "postal_code"}:
        error = refused(dialect, **{name: value})
        assert error.field == name
        assert "4111" not in str(error)


# -- prompts, matching, confirmation ---------------------------------------------------------------------------------


def test_a_prompt_for_the_second_entry_makes_twiml_ask_twice() -> None:
    prompts = [ask("bank-account-number"), ask("bank-account-number", matching=True)]
    assert order_for(TWIML, method="ach-debit", prompts=prompts).matching == {Step.ACCOUNT_NUMBER}
    assert order_for(TWIML, method="ach-debit", prompts=prompts[:1]).matching == frozenset()


def test_twiml_asks_card_fields_once_whatever_the_prompts_say() -> None:
    assert order_for(TWIML, prompts=[ask("security-code", matching=True)]).matching == frozenset()


def test_the_payments_resource_lists_what_is_keyed_twice() -> None:
    order = order_for(PAYMENTS, matching="payment-card-number, postal-code", confirm="true")
    assert order.matching == {Step.CARD_NUMBER, Step.POSTAL_CODE}
    assert order.confirm
    for wrong in ("bank-account-number", "payment-completed", "nonsense"):
        error = refused(PAYMENTS, matching=wrong)
        assert (error.field, RULES[PAYMENTS].code_of(error)) == ("matching", 64020)


@pytest.mark.parametrize("dialect", [RELAY, SWML, TWIML, NCCO])
def test_confirmation_is_for_those_that_have_it(dialect: Dialect) -> None:
    assert refused(dialect, confirm=True).field == "confirm"


def test_prompts_have_to_be_for_steps_errors_and_brands_of_the_dialect() -> None:
    assert least(NCCO, prompts=[ask("security-code", error_types=("timeout",))]).prompts
    assert refused(NCCO, prompts=[ask("postal-code")]).field == "prompts"
    assert refused(NCCO, prompts=[ask("security-code", error_types=("card-declined",))]).field == "prompts"
    assert refused(SWML, prompts=[ask("postal-code", error_types=("invalid-mood",))]).field == "prompts"
    assert refused(TWIML, prompts=[ask("postal-code", card_types=("gold",))]).field == "prompts"
    assert refused(SWML, prompts="x").field == "prompts"
    assert refused(PAYMENTS, prompts=[ask("postal-code")]).field == "prompts"


def test_an_order_tells_whether_the_caller_may_hear_a_prompt_of_the_engines_own() -> None:
    steps = ("payment-card-number", "expiration-date", "security-code", "postal-code", "payment-processing")
    own = [ask(step) for step in steps]
    assert not order_for(TWIML, prompts=own).speaks_by_itself
    assert order_for(TWIML, prompts=own[1:]).speaks_by_itself
    assert order_for(TWIML, prompts=[*own[1:], ask(steps[0], attempts=(1,))]).speaks_by_itself
    assert not order_for(TWIML, postal_code=False, prompts=[*own[:3], own[4]]).speaks_by_itself
    assert order_for(SWML, prompts=own).speaks_by_itself  # the outcome is announced too
    assert PayOrder(prompts=tuple(own), announced=frozenset({Step.PROCESSING}), confirm=True).speaks_by_itself


def test_a_second_entry_needs_a_prompt_of_its_own_too() -> None:
    steps = ("bank-routing-number", "bank-account-number", "payment-processing")
    own = [ask(step) for step in steps]
    second = ask(steps[1], matching=True)
    assert not order_for(TWIML, method="ach-debit", prompts=[*own, second]).speaks_by_itself
    again = ask(steps[1], matching=True, attempts=(2,))
    assert order_for(TWIML, method="ach-debit", prompts=[*own, again]).speaks_by_itself


@pytest.mark.parametrize(
    ("language", "method", "known"),
    [
        ("en-us", PaymentMethod.CREDIT_CARD, True),
        ("de-DE", PaymentMethod.CREDIT_CARD, True),
        ("de-DE", PaymentMethod.ACH_DEBIT, False),
        ("en-IN", PaymentMethod.ACH_DEBIT, True),
        ("nl-NL", PaymentMethod.CREDIT_CARD, False),
    ],
)
def test_twiml_has_default_prompts_in_the_languages_of_its_page(
    language: str, method: PaymentMethod, *, known: bool
) -> None:
    assert RULES[TWIML].has_prompts_in(language, method) is known
    assert RULES[SWML].has_prompts_in(language, method)


# -- names and numbers -----------------------------------------------------------------------------------------------

TABLE = {
    # result: RELAY and SWML, TwiML, Payments, NCCO (`dialects.md` §1.8)
    Result.SUCCESS: ("success", "success", "success", "success"),
    Result.TOO_MANY_FAILED_ATTEMPTS: ("too-many-failed-attempts", "too-many-failed-attempts", "", "failure"),
    Result.PAYMENT_CONNECTOR_ERROR: ("payment-connector-error",) * 3 + ("failure",),
    Result.CALLER_INTERRUPTED_WITH_STAR: ("caller-interrupted-with-star",) * 3 + ("failure",),
    Result.CALLER_HUNG_UP: ("caller-hung-up",) * 3 + ("failure",),
    Result.RELAY_PAY_STOP: ("relay-pay-stop", "", "canceled", "failure"),
    Result.VALIDATION_ERROR: ("validation-error",) * 3 + ("",),
    Result.INTERNAL_ERROR: ("internal-error",) * 3 + ("failure",),
}


@pytest.mark.parametrize("result", TABLE)
def test_results_are_named_as_the_table_has_it(result: Result) -> None:
    relay, twiml, payments, ncco = TABLE[result]
    named = {dialect: RULES[dialect].result_name(result) for dialect in Dialect}
    assert named == {RELAY: relay, SWML: relay, TWIML: twiml, PAYMENTS: payments, NCCO: ncco, FORM: str(result)}


def test_a_payment_that_was_not_confirmed_is_canceled() -> None:
    assert RULES[PAYMENTS].result_name(Result.CANCELED) == "canceled"  # D-50, D-51
    assert RULES[FORM].result_name(Result.CANCELED) == "canceled"


@pytest.mark.parametrize("dialect", Dialect)
def test_a_timeout_is_an_input_timeout_in_some_webhooks(dialect: Dialect) -> None:
    rules = RULES[dialect]
    assert rules.error_name("timeout") == ("input-timeout" if dialect in {TWIML, PAYMENTS} else "timeout")
    assert rules.error_name("") == ""
    for error in ErrorType:
        if error is not ErrorType.TIMEOUT:
            assert rules.error_name(error) == error


def test_names_of_steps_and_errors_are_read_as_the_dialect_writes_them() -> None:
    assert RULES[NCCO].steps_by_name["CardNumber"] is Step.CARD_NUMBER
    assert RULES[NCCO].errors_by_name["InvalidExpirationDate"] is ErrorType.DATE
    assert "postal-code" not in RULES[NCCO].steps_by_name
    assert RULES[SWML].steps_by_name["payment-cancelled"] is Step.CANCELED  # D-1
    assert RULES[TWIML].errors_by_name["input-timeout"] is ErrorType.TIMEOUT


def test_fields_are_called_as_the_dialect_calls_them() -> None:
    assert RULES[TWIML].name_of("amount") == "chargeAmount"
    assert RULES[PAYMENTS].name_of("matching") == "RequireMatchingInputs"
    assert RULES[SWML].name_of("amount") == "charge_amount"
    assert RULES[SWML].name_of("currency") == "currency"
    assert RULES[NCCO].name_of("amount") == "amount"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("amount", "x", 64003),
        ("token_type", "x", 64006),
        ("currency", "x", 64011),
        ("method", "x", 64013),
        ("timeout_s", "x", 64020),
        ("valid_card_types", "x", 64020),
    ],
)
@pytest.mark.parametrize("dialect", [TWIML, PAYMENTS])
def test_wrong_fields_have_numbers(dialect: Dialect, field: str, value: str, code: int) -> None:
    assert RULES[dialect].code_of(refused(dialect, **{field: value})) == code


@pytest.mark.parametrize("dialect", [TWIML, PAYMENTS])
def test_what_a_connector_is_not_or_cannot_do_has_a_number(dialect: Dialect) -> None:
    rules = RULES[dialect]
    assert rules.unknown_connector_code == 64004
    assert dict(rules.operation_codes) == {Operation.CHARGE: 64007, Operation.TOKENIZE: 64005}


def test_a_second_session_has_a_number() -> None:
    assert (RULES[RELAY].busy_code, RULES[PAYMENTS].busy_code, RULES[TWIML].busy_code) == (409, 64021, 64021)


@pytest.mark.parametrize(
    ("operation", "outcome", "code"),
    [
        (Operation.CHARGE, Outcome.DECLINED, PayErrorCode.CHARGE_REFUSED),
        (Operation.TOKENIZE, Outcome.DECLINED, PayErrorCode.TOKEN_REFUSED),
        (Operation.CHARGE, Outcome.FAILED, PayErrorCode.SERVICE_UNAVAILABLE),
        (Operation.CHARGE, Outcome.UNKNOWN, PayErrorCode.SERVICE_UNAVAILABLE),
        (Operation.CHARGE, Outcome.SUCCEEDED, None),
        (Operation.CHARGE, None, None),
    ],
)
def test_what_the_connector_said_has_a_number(operation: Operation, outcome: Outcome | None, code: int | None) -> None:
    result = PayResult(result=Result.PAYMENT_CONNECTOR_ERROR, operation=operation, outcome=outcome)
    assert RULES[TWIML].result_code(result) == code
    assert RULES[SWML].result_code(result) is None


# -- the rows at work ------------------------------------------------------------------------------------------------


def test_ncco_waits_ten_seconds_says_it_once_more_and_fails() -> None:
    caller = Driver(least(NCCO))
    caller.start()
    caller.prompt_ends()
    assert caller.wait(9.9) == []
    assert said(caller.wait(0.2))[0] == "error.timeout"
    caller.keys("1#")  # invalid data after silence: one repeat for a step, whatever the cause
    assert caller.result.result is Result.TOO_MANY_FAILED_ATTEMPTS
    assert RULES[NCCO].result_name(caller.result.result) == "failure"


@pytest.mark.parametrize("dialect", [TWIML, NCCO])
def test_a_decline_ends_where_the_dialect_never_asks_again(dialect: Dialect) -> None:
    caller = Driver(least(dialect, amount="1.00"))
    caller.pay_until_submitted()
    caller.prompt_ends()
    caller.answer(DECLINED)
    assert caller.result.result is Result.PAYMENT_CONNECTOR_ERROR


def test_swml_asks_for_another_card_after_a_decline() -> None:
    caller = Driver(order_for(SWML, amount="1.00"))
    caller.pay_until_submitted()
    caller.prompt_ends()
    caller.answer(DECLINED)
    assert caller.is_in(State.RETRYING)


def test_twiml_is_told_of_the_steps_it_has() -> None:
    caller = Driver(order_for(TWIML, amount="1.00", postal_code="94105"))
    caller.start()
    caller.keys(VISA + "#1228123")
    caller.prompt_ends()
    caller.answer()
    assert caller.result.result is Result.SUCCESS
    assert [str(status.step) for status in caller.statuses] == [
        "payment-card-number",
        "expiration-date",
        "security-code",
        "payment-processing",
    ]
    assert caller.statuses[-1].card_number == "xxxxxxxxxxxx1111"
