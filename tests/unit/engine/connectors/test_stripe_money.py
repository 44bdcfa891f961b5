"""Amounts in Stripe's minor units (docs.stripe.com/currencies)."""

from __future__ import annotations

import pytest
from iso4217 import Currency

from engine.connectors.stripe_money import EXPONENTS, stripe_amount
from engine.pay.errors import OrderError
from engine.pay.money import minor_units


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("10.55", "usd", 1055),
        ("10.5", "USD", 1050),
        ("10", "eur", 1000),
        ("0.01", "gbp", 1),
        ("999999.99", "usd", 99999999),
        ("500", "jpy", 500),
        ("500", "krw", 500),
        ("5", "isk", 500),
        ("5", "ugx", 500),
        ("10.45", "huf", 1045),
        ("10.45", "twd", 1045),
        ("1500", "mga", 1500),
        ("1500.00", "mga", 1500),
        ("5.12", "kwd", 5120),
        ("5.120", "kwd", 5120),
        ("5", "bhd", 5000),
    ],
)
def test_amount_in_stripes_units(amount: str, currency: str, minor: int) -> None:
    assert stripe_amount(amount, currency) == minor


@pytest.mark.parametrize(
    ("amount", "currency", "field"),
    [
        ("1.234", "kwd", "amount"),
        ("1.001", "bhd", "amount"),
        ("10.50", "mga", "amount"),
        ("5.5", "isk", "amount"),
        ("5.00", "ugx", "amount"),
        ("1.5", "jpy", "amount"),
        ("1.005", "usd", "amount"),
        ("0", "usd", "amount"),
        ("", "usd", "amount"),
        ("-1", "usd", "amount"),
        ("1e3", "usd", "amount"),
        ("١", "usd", "amount"),
        ("1", "xau", "currency"),
        ("1", "zzz", "currency"),
        ("1", "iqd", "currency"),
        ("1", "lyd", "currency"),
        ("1", "clf", "currency"),
    ],
)
def test_what_stripe_cannot_charge_is_refused_by_name(amount: str, currency: str, field: str) -> None:
    with pytest.raises(OrderError) as caught:
        stripe_amount(amount, currency)
    assert caught.value.field == field


def test_only_listed_currencies_deviate_from_iso_4217() -> None:
    """One unit of every currency: as ISO has it, but for the three that Stripe sends otherwise, or refused."""
    differing, refused = set(), set()
    for currency in Currency:
        if currency.exponent is None:
            continue
        try:
            if stripe_amount("1", currency.code) != minor_units("1", currency.code):
                differing.add(currency.code)
        except OrderError:
            refused.add(currency.code)
    assert differing == {"ISK", "UGX", "MGA"}
    assert refused == {c.code for c in Currency if c.exponent not in (None, 2)} - EXPONENTS.keys()
