"""Amounts are decimal text, checked without binary fractions."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.errors import PayError
from engine.pay.errors import OrderError
from engine.pay.money import currency_exponent, minor_units, parse_amount


@pytest.mark.parametrize(
    ("currency", "exponent"),
    [("usd", 2), ("USD", 2), ("Eur", 2), ("jpy", 0), ("clp", 0), ("isk", 0), ("bhd", 3), ("kwd", 3)],
)
def test_the_minor_unit_is_that_of_iso_4217(currency: str, exponent: int) -> None:
    assert currency_exponent(currency) == exponent


@pytest.mark.parametrize("currency", ["", "us", "usdd", "zzz", "xau", "ｕｓｄ", "xts"])
def test_what_cannot_be_charged_in_is_no_currency(currency: str) -> None:
    with pytest.raises(OrderError, match=r"^currency: ") as caught:
        currency_exponent(currency)
    assert caught.value.field == "currency"
    assert isinstance(caught.value, PayError)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("", "usd", 0),
        ("0", "usd", 0),
        ("0.00", "usd", 0),
        ("10.5", "usd", 1050),
        ("10.50", "usd", 1050),
        ("0.01", "usd", 1),
        ("999999.99", "usd", 99_999_999),
        ("0010", "usd", 1000),
        ("500", "jpy", 500),
        ("1.234", "bhd", 1234),
        ("4.35", "usd", 435),
        ("1.1", "eur", 110),
    ],
)
def test_amounts_are_exact(text: str, currency: str, minor: int) -> None:
    assert minor_units(text, currency) == minor
    assert parse_amount(text, currency) == Decimal(minor).scaleb(-currency_exponent(currency))


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "+1",
        "1,5",
        "1.",
        ".5",
        " 1",
        "1 ",
        "1e3",
        "nan",
        "inf",
        "0x1",
        "1.005",
        "１",
        "1_000",
        "--",
        "1000000",
        "9" * 13,
    ],
)
def test_what_is_no_amount_is_refused_and_the_field_named(text: str) -> None:
    with pytest.raises(OrderError, match=r"^amount: ") as caught:
        parse_amount(text, "usd")
    assert caught.value.field == "amount"


def test_decimals_beyond_the_currencys_are_refused_even_zeros() -> None:
    with pytest.raises(OrderError, match="0 decimals"):
        parse_amount("500.0", "jpy")


def test_a_million_is_admitted_where_the_dialect_says_so() -> None:
    assert parse_amount("1000000.00", "usd", limit_included=True) == 1_000_000
    with pytest.raises(OrderError):
        parse_amount("1000000.01", "usd", limit_included=True)
