"""DTMF in INFO bodies.

The layouts are those of pjsip/pjproject#2424, #2425, #3014, baresip/baresip#1814 and versatica/JsSIP#307.
"""

from __future__ import annotations

import pytest

from sip.info import DEFAULT_DURATION_MS, parse_dtmf_info, supported_content_types

RELAY = "application/dtmf-relay"
PLAIN = "application/dtmf"
KEYS = {**{str(n): n for n in range(10)}, "*": 10, "#": 11, "A": 12, "B": 13, "C": 14, "D": 15}


def _read(content_type: str, body: bytes) -> tuple[int, int] | None:
    digit = parse_dtmf_info(content_type, body)
    return None if digit is None else (digit.event, digit.duration_ms)


@pytest.mark.parametrize(("key", "event"), KEYS.items())
def test_every_key_is_read_in_both_forms(key: str, event: int) -> None:
    for text in (key, key.lower()):
        assert _read(RELAY, f"Signal={text}\r\nDuration=160\r\n".encode()) == (event, 160)
        assert _read(PLAIN, text.encode()) == (event, DEFAULT_DURATION_MS)


@pytest.mark.parametrize("event", range(10, 16))
def test_event_numbers_stand_for_the_keys_beyond_nine(event: int) -> None:
    assert _read(RELAY, f"Signal={event}\r\nDuration=160\r\n".encode()) == (event, 160)
    assert _read(PLAIN, f"{event}\r\n".encode()) == (event, DEFAULT_DURATION_MS)


@pytest.mark.parametrize(
    "body",
    [
        b"Signal= 5\r\nDuration= 160",
        b"Signal=5\nDuration=160\n",
        b"Signal=5\rDuration=160\r",
        b"signal = 5 \r\nDURATION = 160 \r\n",
        b"\r\nSignal=5\r\nDuration=160\r\n\r\n",
        b"Duration=160\r\nSignal=5\r\n",
        b"Signal=5\r\nDuration=160\r\nExtra: line\r\nVolume=10\r\n",
        b'Signal="5"\r\nDuration=160\r\n',
        b"Signal=5\r\nDuration=160\r\n\0\0",
    ],
)
def test_layout_does_not_matter(body: bytes) -> None:
    assert _read(RELAY, body) == (5, 160)


@pytest.mark.parametrize(
    "content_type", ["Application/DTMF-Relay", "application/dtmf-relay;charset=utf-8", f" {RELAY} "]
)
def test_content_type_is_read_in_any_case_with_parameters(content_type: str) -> None:
    assert _read(content_type, b"Signal=5") == (5, DEFAULT_DURATION_MS)


@pytest.mark.parametrize("text", ["", "0", "x", "-5", "99999", "160.5"])
def test_unusable_duration_is_the_default(text: str) -> None:
    assert _read(RELAY, f"Signal=5\r\nDuration={text}\r\n".encode()) == (5, DEFAULT_DURATION_MS)


@pytest.mark.parametrize("text", ["16", "flash", "Flash", "!", "hf", "", "E", "55", "-1", "1 2", "٣", "5;6"])
def test_what_is_no_key_gives_no_digit(text: str) -> None:
    assert _read(RELAY, f"Signal={text}\r\nDuration=160\r\n".encode()) is None
    assert _read(PLAIN, text.encode()) is None


@pytest.mark.parametrize("body", [b"", b"Duration=160", b"Signal", b"Signa1=5", b"=5", b"\xff\xfe", b"x" * 2000])
def test_body_without_a_signal_gives_no_digit(body: bytes) -> None:
    assert _read(RELAY, body) is None


def test_relay_lines_are_taken_under_the_plain_type_but_a_bare_key_not_under_the_relay_type() -> None:
    assert _read(PLAIN, b"Signal=5\r\nDuration=160\r\n") == (5, 160)
    assert _read(RELAY, b"5") is None


def test_the_first_signal_counts() -> None:
    assert _read(RELAY, b"Signal=5\r\nSignal=6\r\n") == (5, DEFAULT_DURATION_MS)


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/dtmf-relay-x", "application/sdp"])
def test_other_types_are_not_ours(content_type: str) -> None:
    assert _read(content_type, b"Signal=5") is None


def test_supported_types_are_the_two() -> None:
    assert supported_content_types == (RELAY, PLAIN)


def test_digit_does_not_show() -> None:
    digit = parse_dtmf_info(RELAY, b"Signal=9\r\nDuration=160")
    assert digit is not None
    assert "9" not in repr(digit)
    assert "9" not in str(digit)
