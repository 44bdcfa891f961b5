"""A payment order is checked before anything is played, and an error names the field."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.pay.errors import OrderError
from engine.pay.fields import Step
from engine.pay.order import PayOrder, RetryRule
from engine.pay.submission import Operation


def test_the_defaults_are_the_documented_ones() -> None:
    order = PayOrder()
    assert order.operation is Operation.TOKENIZE
    assert (order.currency, order.timeout_s, order.max_attempts, order.prompts_per_step) == ("usd", 5.0, 1, 2)
    assert order.accepted == {"visa", "mastercard", "amex"}
    assert order.steps == (Step.CARD_NUMBER, Step.EXPIRATION_DATE, Step.SECURITY_CODE, Step.POSTAL_CODE)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", "abc"),
        ("amount", "1000000"),
        ("amount", "1.005"),
        ("currency", "zzz"),
        ("method", "cash"),
        ("token_type", "forever"),
        ("timeout_s", 0.0),
        ("timeout_s", -1.0),
        ("timeout_s", 601.0),
        ("timeout_s", math.nan),
        ("first_digit_timeout_s", 0.0),
        ("first_digit_timeout_s", math.nan),
        ("max_attempts", -1),
        ("max_attempts", 11),
        ("min_postal_code_length", -1),
        ("min_postal_code_length", 12),
        ("mask_char", ""),
        ("mask_char", "**"),
        ("mask_char", "4"),
        ("mask_style", "dotted"),
        ("matching", frozenset({Step.PROCESSING})),
        ("valid_card_types", ()),
        ("valid_card_types", ("visa", "gold")),
        ("announced", frozenset({Step.CARD_NUMBER})),
    ],
)
def test_a_wrong_field_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(OrderError) as caught:
        PayOrder(**{field: value})
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("amount", "operation", "sent"),
    [
        ("", Operation.TOKENIZE, ""),
        ("0", Operation.TOKENIZE, ""),
        ("0.00", Operation.TOKENIZE, ""),
        ("0.01", Operation.CHARGE, "0.01"),
        ("10.5", Operation.CHARGE, "10.5"),
    ],
)
def test_an_amount_above_zero_is_charged(amount: str, operation: Operation, sent: str) -> None:
    order = PayOrder(amount=amount)
    assert order.operation is operation
    assert order.charged_amount == sent


def test_a_million_is_admitted_when_the_dialect_says_so() -> None:
    assert PayOrder(amount="1000000", limit_included=True).operation is Operation.CHARGE


@pytest.mark.parametrize(
    ("max_attempts", "rule", "prompts"),
    [
        (0, RetryRule.RETRIES, 1),
        (1, RetryRule.RETRIES, 2),
        (3, RetryRule.RETRIES, 4),
        (0, RetryRule.TRIES, 1),
        (1, RetryRule.TRIES, 1),
        (3, RetryRule.TRIES, 3),
    ],
)
def test_max_attempts_counts_retries_or_tries(max_attempts: int, rule: RetryRule, prompts: int) -> None:
    assert PayOrder(max_attempts=max_attempts, retry_rule=rule).prompts_per_step == prompts


def test_optima_makes_amex_acceptable() -> None:
    assert PayOrder(valid_card_types=("optima",)).accepted == {"amex"}


@pytest.mark.parametrize(("postal_code", "asked"), [(True, True), (False, False), ("90210", False), ("", False)])
def test_the_postal_code_is_asked_only_when_wanted_and_unknown(*, postal_code: bool | str, asked: bool) -> None:
    assert (Step.POSTAL_CODE in PayOrder(postal_code=postal_code).steps) is asked
