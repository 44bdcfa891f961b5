"""Whatever a document or a request says, it makes an order or an error that names a field of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.pay.errors import OrderError
from engine.pay.money import currency_exponent
from engine.pay.order import PayOrder
from engine.pay.rules import RULES, Dialect, order_for

WORDS = st.sampled_from(
    (
        "true",
        "FALSE",
        "0",
        "1",
        "10.50",
        "-1",
        "1e9",
        "usd",
        "JPY",
        "kwd",
        "zzz",
        "ach-debit",
        "credit-card",
        "visa amex",
    )
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(max_size=12),
    st.binary(max_size=4),
    WORDS,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)
FIELDS = sorted({name for rules in RULES.values() for name in rules.settable})


def tried(dialect: Dialect, values: dict[str, Any]) -> PayOrder | OrderError:
    try:
        return order_for(dialect, **values)
    except OrderError as error:
        return error


@pytest.mark.parametrize("dialect", Dialect)
@settings(max_examples=100, deadline=None)
@given(values=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4))
def test_any_values_make_an_order_or_name_a_field(dialect: Dialect, values: dict[str, Any]) -> None:
    order = tried(dialect, values)
    if isinstance(order, OrderError):
        assert order.field in PayOrder.__dataclass_fields__
        assert order.field in values or order.field == "amount"
        return
    rules = RULES[dialect]
    assert set(values) <= rules.settable
    assert order.method in rules.methods
    assert order.token_type in rules.token_types
    assert set(order.valid_card_types) <= set(rules.card_types)
    assert order.matching <= rules.matching
    assert order.steps
    assert order.prompts_per_step >= 1


@settings(max_examples=300, deadline=None)
@given(
    amount=st.decimals(Decimal("0.001"), Decimal(2_000_000), allow_nan=False, allow_infinity=False, places=3),
    currency=st.sampled_from(("usd", "jpy", "KWD", "EUR", "isk")),
    dialect=st.sampled_from(Dialect),
)
def test_an_amount_is_taken_exactly_when_the_currency_can_express_it_and_it_is_in_range(
    amount: Decimal, currency: str, dialect: Dialect
) -> None:
    text = f"{amount:f}".rstrip("0").rstrip(".")
    decimals = len(text.partition(".")[2])
    limit = Decimal(1_000_000)
    fits = decimals <= currency_exponent(currency) and (
        amount < limit or (amount == limit and dialect is Dialect.TWIML)
    )
    fits = fits and (not RULES[dialect].currencies or currency.lower() in RULES[dialect].currencies)
    order = tried(dialect, {"amount": text, "currency": currency})
    if isinstance(order, OrderError):
        assert order.field in {"amount", "currency"}
        assert not fits
    else:
        assert fits
        assert (order.charged_amount, order.currency) == (text, currency)
