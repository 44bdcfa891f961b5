"""What looks like a card number or like pressed keys leaves only as a mask."""

from __future__ import annotations

import json

import pytest

from engine.redact import mask_card, redact_text

PANS = (
    "4111111111111111",
    "4222222222222",
    "4000000000000000006",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "6011111111111117",
    "36227206271667",
    "30569309025904",
    "3566002020360505",
    "6200000000000005",
    "6771798021000008",
    "500000000009",
)


def masked(pan: str) -> str:
    return "*" * (len(pan) - 4) + pan[-4:]


@pytest.mark.parametrize("pan", PANS)
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "card {} refused",
        '{{"n":"{}"}}',
        "n={}&x=1",
        "<{}>",
        "{}.",
        "sip:{}@host",
        "+{}",
        "a\n{}\nb",
    ],
)
def test_a_card_number_is_masked_whatever_stands_around_it(pan: str, around: str) -> None:
    assert redact_text(around.format(pan)) == around.format(masked(pan))


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "3782 822463 10005",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "41 11 11 11 11 11 11 11",
        "4111-11111111-1111",
    ],
)
def test_separators_hide_nothing(text: str) -> None:
    digits = text.replace(" ", "").replace("-", "")
    assert redact_text(f"number {text} end") == f"number {masked(digits)} end"


@pytest.mark.parametrize("pan", PANS)
@pytest.mark.parametrize("around", ["12 {} 34", "4711 {} 4711", "4 {} 5", "3600 {}-1 1 1", "{} {}"])
@pytest.mark.parametrize("grouped", [True, False])
def test_figures_beside_a_card_number_do_not_draw_the_mask_away(pan: str, around: str, *, grouped: bool) -> None:
    written = " ".join(pan[place : place + 4] for place in range(0, len(pan), 4)) if grouped else pan
    clean = redact_text(around.replace("{}", written)).replace(" ", "").replace("-", "")
    assert not any(pan[place : place + 8] in clean for place in range(len(pan) - 7))


@pytest.mark.parametrize("pan", ["4111111111111112", "5555555555554440", "378282246310006", "6011111111111110"])
def test_a_card_number_with_one_wrong_key_is_masked(pan: str) -> None:
    assert redact_text(f"got {pan}") == f"got {masked(pan)}"


def test_a_card_number_inside_a_word_is_masked() -> None:
    assert redact_text("pan4111111111111111x") == "pan************1111x"


def test_several_numbers_in_a_row_are_masked() -> None:
    assert redact_text("4111111111111111 5555555555554444") == "************1111 ************4444"
    text = redact_text("4111111111111111" * 3)
    assert text == "*" * 48


def test_a_number_beside_other_figures_is_found() -> None:
    assert redact_text("5060 4111111111111111 20") == "5060 ************1111 20"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "call answered codec=PCMU call=b7f3",
        "from +15551234567 to 4711",
        "2026-11-21 09:07:01,123 INFO",
        "at 1743707517.12267 s",
        "ts 1743707517123",
        "stats 160 320 480 640 800",
        "rtp seq 12345 ts 4294967295",
        "127.0.0.1:5060",
        "************1111",
        "transaction 3f2b8c1e-9d4a-4c6e-8f1a-2b3c4d5e6f70",
        "payment 9c1185a5c5e9fc54612808977ee8f548",
        "max 18446744",
    ],
)
def test_ordinary_lines_stay_as_they_are(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Signal=5\r\nDuration=160", "Signal=*\r\nDuration=160"),
        ("Signal= 5", "Signal= *"),
        ("signal=11", "signal=**"),
        ('{"cvv": "737"}', '{"cvv": "***"}'),
        (json.dumps({"body": '{"cvv":"737"}'}), json.dumps({"body": '{"cvv":"***"}'})),
        ("Digits=4111&To=1", "Digits=****&To=1"),
        ("digit: 5", "digit: *"),
        ("SecurityCode=123", "SecurityCode=***"),
        ("security_code=1234", "security_code=****"),
        ("cardnumber='4111'", "cardnumber='****'"),
        ("bankaccountnumber=000123", "bankaccountnumber=******"),
        ("digits=12*#", "digits=****"),
        ("SecurityCode=xxx", "SecurityCode=xxx"),
        ("undigits=5", "undigits=5"),
        ("signal: 5ms", "signal: 5ms"),
    ],
)
def test_values_that_carry_keys_are_masked(text: str, clean: str) -> None:
    assert redact_text(text) == clean


def test_redacting_twice_changes_nothing_more() -> None:
    for pan in PANS:
        once = redact_text(f"Signal=5 card {pan} digits=411")
        assert redact_text(once) == once


def test_a_long_line_is_redacted_in_linear_steps() -> None:
    text = "1" * 11 + "x"
    assert redact_text(text * 5000) == text * 5000


@pytest.mark.parametrize(
    ("last_four", "length", "char", "mask"),
    [
        ("1111", 16, "*", "************1111"),
        ("", 3, "x", "xxx"),
        ("0005", 15, "x", "xxxxxxxxxxx0005"),
        ("", 0, "*", ""),
    ],
)
def test_a_card_mask_has_a_character_for_each_digit(last_four: str, length: int, char: str, mask: str) -> None:
    assert mask_card(last_four, length, char) == mask
