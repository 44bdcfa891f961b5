"""What was collected shows masks only, and finds itself in what others send."""

from __future__ import annotations

from datetime import date

import pytest

from engine.pay.collected import Collected
from engine.pay.fields import Facts, Step
from engine.pay.secret import Secret

FACTS = Facts(today=date(2026, 11, 21), accepted=frozenset({"visa"}))
PAN = "4111111111111111"


def entry(digits: str) -> Secret:
    secret = Secret(20)
    for digit in digits:
        secret.append(int(digit))
    return secret


@pytest.fixture
def collected() -> Collected:
    collected = Collected(mask_char="*", postal_code="")
    collected.take(Step.CARD_NUMBER, entry(PAN), FACTS)
    collected.take(Step.SECURITY_CODE, entry("737"), FACTS)
    return collected


def test_masks_outlive_the_secrets(collected: Collected) -> None:
    number = collected.card_number
    assert number is not None
    collected.wipe()
    assert number.wiped
    assert collected.card_number is None
    assert collected.masked.card_number == "************1111"
    assert collected.masked.security_code == "***"
    assert collected.masked.card_type == "visa"


@pytest.mark.parametrize("step", [Step.EXPIRATION_DATE, Step.POSTAL_CODE, Step.ROUTING_NUMBER])
def test_entries_that_are_kept_as_text_are_wiped_at_once(collected: Collected, step: Step) -> None:
    keyed = entry("1228")
    collected.take(step, keyed, FACTS)
    assert keyed.wiped


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("", ""),
        ("ok", "ok"),
        (PAN, "*" * 16),
        (f"a{PAN}b{PAN}", f"a{'*' * 16}b{'*' * 16}"),
        (PAN[:-1], PAN[:-1]),
        ("737", "737"),
        ("ch_4111", "ch_4111"),
    ],
)
def test_an_identifier_loses_only_the_number_itself(collected: Collected, text: str, clean: str) -> None:
    assert collected.without_echo(text) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("code 737 wrong", "code *** wrong"),
        ("code 7371 and 1737", "code 7371 and 1737"),
        ("4111 1111 1111 1111", "************1111"),
        ("5555555555554444", "************4444"),
    ],
)
def test_free_text_loses_the_code_and_any_card_number(collected: Collected, text: str, clean: str) -> None:
    assert collected.without_echo(text, free_text=True) == clean


def test_an_account_number_is_found_too() -> None:
    collected = Collected(mask_char="x", postal_code="")
    collected.take(Step.ACCOUNT_NUMBER, entry("12345678"), FACTS)
    assert collected.without_echo("no account 12345678") == "no account xxxxxxxx"


@pytest.mark.parametrize(
    ("number", "plain", "dashed"),
    [
        ("378282246310005", "xxxxxxxxxxx0005", "xxxx-xxxxxx-x0005"),
        ("4111111111111111", "xxxxxxxxxxxx1111", "xxxx-xxxx-xxxx-1111"),
        ("30569309025904", "xxxxxxxxxx5904", "xxxx-xxxxxx-5904"),
        ("4222222222222", "xxxxxxxxx2222", "xxxx-xxxx-x2222"),
        ("500000000009", "xxxxxxxx0009", "xxxx-xxxx-0009"),
        ("4000000000000000006", "xxxxxxxxxxxxxxx0006", "xxxx-xxxx-xxxx-xxx0006"),
    ],
)
def test_a_mask_is_written_plain_or_in_groups_and_shows_the_last_four_whole(
    number: str, plain: str, dashed: str
) -> None:
    for style, shown in (("plain", plain), ("dashed", dashed)):
        collected = Collected(mask_char="x", mask_style=style, postal_code="")
        collected.take(Step.CARD_NUMBER, entry(number), FACTS)
        assert collected.masked.card_number == shown
