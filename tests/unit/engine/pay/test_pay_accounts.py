"""US bank accounts: routing and account numbers."""

from __future__ import annotations

import pytest

from engine.pay.accounts import account_is_valid, mask_account, routing_is_valid


@pytest.mark.parametrize("number", [b"121181976", b"021000021", b"011000015", b"322271627", b"061000104"])
def test_right_routing_numbers_pass(number: bytes) -> None:
    assert routing_is_valid(number)


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (b"123456789", "checksum"),
        (b"021000022", "checksum"),
        (b"000000000", "all zero"),
        (b"999999992", "prefix not in use, checksum right"),
        (b"130000006", "prefix not in use, checksum right"),
        (b"02100002", "eight digits"),
        (b"0210000210", "ten digits"),
        (b"02100002x", "not a digit"),
        (b"", "empty"),
    ],
)
def test_wrong_routing_numbers_fail(number: bytes, why: str) -> None:
    assert not routing_is_valid(number), why


def test_one_wrong_digit_is_found() -> None:
    right = b"021000021"
    for place in range(9):
        for step in range(1, 10):
            wrong = bytearray(right)
            wrong[place] = 48 + (wrong[place] - 48 + step) % 10
            assert not routing_is_valid(bytes(wrong))


def test_the_prefixes_in_use_are_those_of_the_aba() -> None:
    in_use = set()
    for prefix in range(100):
        for tail in range(10):
            if routing_is_valid(f"{prefix:02}000001{tail}".encode()):
                in_use.add(prefix)
    assert in_use == {*range(13), *range(21, 33), *range(61, 73), 80}


@pytest.mark.parametrize(("length", "valid"), [(0, False), (3, False), (4, True), (17, True), (18, False)])
def test_an_account_number_has_4_to_17_digits(length: int, *, valid: bool) -> None:
    assert account_is_valid(b"1" * length) is valid


def test_an_account_number_has_digits_only() -> None:
    assert not account_is_valid(b"12a4")


@pytest.mark.parametrize(
    ("number", "masked"), [(b"000123492", "*******92"), (b"1234", "**34"), (b"123", "**3"), (b"12", "**"), (b"", "")]
)
def test_all_but_the_last_two_digits_are_masked(number: bytes, masked: str) -> None:
    assert mask_account(number) == masked
