"""ISO/IEC 7812-1: the check digit of annex B, and lengths and prefixes of the brands built on it.

Covered: annex B (Luhn check digit, every single-digit error and every adjacent transposition it promises to find),
length 12 to 19, the published test numbers of each brand, and where one brand's range ends.
"""

from __future__ import annotations

import json

import pytest

from engine.pay.cards import BRANDS, accepted_as, brand_of, is_complete, luhn_is_valid, number_is_valid
from tests.support.shared import SHARED

PUBLISHED = {
    "visa": ("4111111111111111", "4222222222222", "4000000000000000006", "4242424242424242", "4012888888881881"),
    "mastercard": (
        "5555555555554444",
        "5105105105105100",
        "2221000000000009",
        "2720990000000007",
        "2223003122003222",
    ),
    "amex": ("378282246310005", "371449635398431"),
    "discover": (
        "6011111111111117",
        "6011000990139424",
        "6221260000000000",
        "6229250000000003",
        "6440000000000005",
    ),
    "diners-club": ("36227206271667", "38520000023237", "30569309025904", "30100000000002", "3056930009020004"),
    "jcb": ("3566002020360505", "3530111333300000", "3528000000000007", "3589000000000003"),
    "maestro": ("6771798021000008", "500000000009"),
    "unionpay": ("6200000000000005", "6205500000000000004"),
}
NUMBERS = [(brand, number) for brand, numbers in PUBLISHED.items() for number in numbers]
LONGEST = {"visa": 19, "mastercard": 16, "amex": 15, "discover": 19, "diners-club": 19, "jcb": 19, "enroute": 15}


def check_digit(body: str) -> str:
    """Return the check digit that annex B appends to a number; written the other way round than the code under test."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        doubled = int(digit) * 2 if place % 2 == 0 else int(digit)
        total += doubled // 10 + doubled % 10
    return str((10 - total % 10) % 10)


@pytest.mark.parametrize(("brand", "number"), NUMBERS)
def test_published_numbers_are_valid_and_of_their_brand(brand: str, number: str) -> None:
    found = brand_of(number.encode())
    assert found is not None
    assert found.card_type == brand
    assert number_is_valid(number.encode())


@pytest.mark.parametrize(("brand", "number"), NUMBERS)
def test_annex_b_finds_every_single_wrong_digit(brand: str, number: str) -> None:
    for place, digit in enumerate(number):
        for wrong in "0123456789":
            if wrong != digit:
                assert not luhn_is_valid((number[:place] + wrong + number[place + 1 :]).encode())


@pytest.mark.parametrize(("brand", "number"), NUMBERS)
def test_annex_b_finds_every_transposition_but_09_and_90(brand: str, number: str) -> None:
    for place in range(len(number) - 1):
        one, other = number[place], number[place + 1]
        swapped = (number[:place] + other + one + number[place + 2 :]).encode()
        assert luhn_is_valid(swapped) == (one == other or {one, other} == {"0", "9"})


@pytest.mark.parametrize("length", range(2, 20))
def test_annex_b_check_digits_are_accepted_at_every_length(length: int) -> None:
    body = ("7992739871" * 2)[: length - 1]
    right = check_digit(body)
    for digit in "0123456789":
        assert luhn_is_valid((body + digit).encode()) == (digit == right)


@pytest.mark.parametrize("digits", [b"", b"4111 1111 1111 1111", b"411111111111111x", "４１１１".encode()])
def test_what_is_not_ascii_digits_fails(digits: bytes) -> None:
    assert not luhn_is_valid(digits)


@pytest.mark.parametrize(
    ("prefix", "brand"),
    [
        ("2014", "enroute"),
        ("2149", "enroute"),
        ("2015", None),
        ("34", "amex"),
        ("37", "amex"),
        ("300", "diners-club"),
        ("305", "diners-club"),
        ("306", None),
        ("3095", "diners-club"),
        ("3094", None),
        ("36", "diners-club"),
        ("38", "diners-club"),
        ("39", "diners-club"),
        ("3527", None),
        ("3528", "jcb"),
        ("3589", "jcb"),
        ("3590", None),
        ("50", None),
        ("5018", "maestro"),
        ("508499", "maestro"),
        ("508500", None),
        ("508999", None),
        ("51", "mastercard"),
        ("55", "mastercard"),
        ("56", "maestro"),
        ("58", "maestro"),
        ("59", None),
        ("222099", None),
        ("222100", "mastercard"),
        ("23", "mastercard"),
        ("272099", "mastercard"),
        ("272100", None),
        ("4", "visa"),
        ("6011", "discover"),
        ("6012", "maestro"),
        ("606984", "maestro"),
        ("606985", None),
        ("608500", None),
        ("608501", "maestro"),
        ("62", None),
        ("622125", "unionpay"),
        ("622126", "discover"),
        ("622925", "discover"),
        ("622926", "unionpay"),
        ("640", "maestro"),
        ("643", "maestro"),
        ("644", "discover"),
        ("649", "discover"),
        ("65", "discover"),
        ("66", "maestro"),
        ("81", "unionpay"),
        ("6", None),
        ("3", None),
        ("2", None),
        ("", None),
        ("0", None),
        ("1", None),
        ("7", None),
        ("9", None),
    ],
)
def test_the_brand_is_known_as_soon_as_the_prefix_leaves_no_other(prefix: str, brand: str | None) -> None:
    found = brand_of(prefix.encode())
    assert (None if found is None else str(found.card_type)) == brand


@pytest.mark.parametrize("number", ["2220990000000002", "2721000000000004", "3527000000000008", "3590000000000000"])
def test_numbers_just_outside_a_range_are_of_no_brand(number: str) -> None:
    assert luhn_is_valid(number.encode())
    assert not number_is_valid(number.encode())


def test_the_vendors_diners_number_is_not_valid() -> None:
    assert not number_is_valid(b"3065930009020004")


def test_every_brand_takes_its_lengths_and_no_other() -> None:
    for brand in BRANDS:
        prefix = brand.prefixes[0][0]
        for length in range(8, 22):
            body = prefix.ljust(length - 1, "0")
            number = (body + (check_digit(body) if brand.luhn else "0")).encode()
            found = brand_of(number)
            assert found is not None
            assert found.card_type == brand.card_type
            assert number_is_valid(number) == (length in brand.lengths)


def test_enroute_needs_no_check_digit() -> None:
    assert number_is_valid(b"201400000000001")
    assert number_is_valid(b"201400000000002")


@pytest.mark.parametrize(("brand", "number"), NUMBERS)
def test_an_entry_is_complete_only_where_no_longer_number_exists(brand: str, number: str) -> None:
    longest = LONGEST.get(brand, 19)
    for length in range(1, len(number)):
        assert not is_complete(number[:length].encode())
    assert is_complete(number.encode()) == (len(number) == longest)
    assert is_complete(b"9" * 19)
    assert not is_complete(b"9" * 18)


@pytest.mark.parametrize(
    ("number", "accepted", "brand"),
    [
        ("4111111111111111", {"visa"}, "visa"),
        ("4111111111111111", {"mastercard"}, None),
        ("6200000000000005", {"maestro"}, "maestro"),
        ("6200000000000005", {"visa", "discover"}, None),
        ("6200000000000005", {"unionpay", "maestro"}, "unionpay"),
        ("8100000000000003", {"maestro"}, None),
        ("9999999999999995", {"visa"}, None),
    ],
)
def test_a_brand_counts_as_what_is_accepted(number: str, accepted: set[str], brand: str | None) -> None:
    assert accepted_as(number.encode(), frozenset(accepted)) == brand


@pytest.mark.skipif(not (SHARED / "reference/cards.json").exists(), reason="the reference table is not on this machine")
def test_every_card_of_the_reference_table_is_of_its_brand() -> None:
    table = json.loads((SHARED / "reference/cards.json").read_text())
    for card in table["accepted"]:
        found = brand_of(card["number"].encode())
        assert found is not None
        assert found.card_type == card["brand"]
        assert found.code_digits == card["cvc_digits"]
        assert number_is_valid(card["number"].encode())
    for card in table["special"]:
        assert number_is_valid(card["number"].encode()) == (card["stripe_code"] != "invalid_number")
