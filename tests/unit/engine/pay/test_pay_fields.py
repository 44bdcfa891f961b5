"""Each step judges its entry by the rules of `dialects.md` §1.3."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.pay.fields import ErrorType, Facts, Step, field_of, parse_expiry

FACTS = Facts(today=date(2026, 11, 21), accepted=frozenset({"visa", "amex"}))
ASKED = (
    Step.CARD_NUMBER,
    Step.EXPIRATION_DATE,
    Step.SECURITY_CODE,
    Step.POSTAL_CODE,
    Step.ROUTING_NUMBER,
    Step.ACCOUNT_NUMBER,
)


@pytest.mark.parametrize("step", Step)
def test_steps_that_ask_have_a_field_and_the_others_none(step: Step) -> None:
    if step in ASKED:
        assert field_of(step).max_digits > 0
    else:
        with pytest.raises(KeyError):
            field_of(step)


@pytest.mark.parametrize("step", ASKED)
@settings(max_examples=200, deadline=None)
@given(digits=st.text("0123456789", min_size=1, max_size=20), card_type=st.sampled_from(["", "visa", "amex"]))
def test_a_check_names_only_the_errors_that_its_step_has(step: Step, digits: str, card_type: str) -> None:
    field = field_of(step)
    facts = Facts(today=FACTS.today, accepted=FACTS.accepted, card_type=card_type)
    assert field.check(digits.encode(), facts) in {None, field.error, *field.also}


@pytest.mark.parametrize(
    ("digits", "error"),
    [
        (b"4111111111111111", None),
        (b"378282246310005", None),
        (b"5555555555554444", ErrorType.CARD_TYPE),
        (b"5555555555554445", ErrorType.CARD_NUMBER),
        (b"411111111111111", ErrorType.CARD_NUMBER),
    ],
)
def test_card_numbers(digits: bytes, error: ErrorType | None) -> None:
    assert field_of(Step.CARD_NUMBER).check(digits, FACTS) == error


@pytest.mark.parametrize(
    ("digits", "expiry"),
    [(b"0127", (2027, 1)), (b"1299", (2099, 12)), (b"1300", None), (b"0027", None), (b"127", None), (b"12a7", None)],
)
def test_expiry_is_month_and_year_of_this_century(digits: bytes, expiry: tuple[int, int] | None) -> None:
    assert parse_expiry(digits) == expiry


@pytest.mark.parametrize(
    ("digits", "error"),
    [
        (b"1126", None),
        (b"1026", ErrorType.DATE),
        (b"1125", ErrorType.DATE),
        (b"1146", None),
        (b"1246", ErrorType.DATE),
        (b"0147", ErrorType.DATE),
    ],
)
def test_expiry_lies_between_this_month_and_twenty_years_ahead(digits: bytes, error: ErrorType | None) -> None:
    assert field_of(Step.EXPIRATION_DATE).check(digits, FACTS) == error


@pytest.mark.parametrize(
    ("card_type", "length", "error"),
    [
        ("visa", 3, None),
        ("visa", 4, ErrorType.SECURITY_CODE),
        ("visa", 2, ErrorType.SECURITY_CODE),
        ("amex", 4, None),
        ("amex", 3, ErrorType.SECURITY_CODE),
        ("", 3, None),
    ],
)
def test_the_security_code_is_as_long_as_the_brand_has_it(card_type: str, length: int, error: ErrorType | None) -> None:
    facts = Facts(today=FACTS.today, card_type=card_type)
    field = field_of(Step.SECURITY_CODE)
    assert field.check(b"1" * length, facts) == error
    assert field.is_complete(b"1" * length, facts) == (length >= (4 if card_type == "amex" else 3))


@pytest.mark.parametrize(
    ("minimum", "length", "error"),
    [(0, 1, None), (5, 5, None), (5, 9, None), (5, 4, ErrorType.POSTAL_CODE), (0, 0, ErrorType.POSTAL_CODE)],
)
def test_a_postal_code_has_the_least_length_and_is_never_empty(
    minimum: int, length: int, error: ErrorType | None
) -> None:
    facts = Facts(today=FACTS.today, min_postal_code_length=minimum)
    assert field_of(Step.POSTAL_CODE).check(b"1" * length, facts) == error
    assert not field_of(Step.POSTAL_CODE).is_complete(b"1" * length, facts)


def test_bank_numbers() -> None:
    assert field_of(Step.ROUTING_NUMBER).check(b"021000021", FACTS) is None
    assert field_of(Step.ROUTING_NUMBER).check(b"123456789", FACTS) == ErrorType.ROUTING_NUMBER
    assert field_of(Step.ACCOUNT_NUMBER).check(b"1234", FACTS) is None
    assert field_of(Step.ACCOUNT_NUMBER).check(b"123", FACTS) == ErrorType.ACCOUNT_NUMBER
    assert field_of(Step.ROUTING_NUMBER).is_complete(b"1" * 9, FACTS)
    assert not field_of(Step.ACCOUNT_NUMBER).is_complete(b"1" * 17, FACTS)
