"""Bodies with card digits: the wire of dialects.md §7.1 byte for byte, built in place and wiped."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.connectors.body import json_body, scrub, wipe_body
from engine.connectors.signalwire import payment_body
from engine.net.signatures import signalwire_headers
from engine.pay.submission import Operation, TokenType
from tests.support.payments import secret_of, submission_of


def test_charge_is_byte_for_byte_as_the_wire_reference_shows() -> None:
    submission = submission_of("4111111111111111", parameters={"name": "value"})
    assert payment_body(submission) == (
        b'{"transaction_id":"7f4c9d0a-2d8e-4a55-9a0e-5f1c6b7d8e90","method":"credit-card",'
        b'"cardnumber":"4111111111111111","cvv":"123","postal_code":"94105","description":"Donation",'
        b'"chargeAmount":"10.55","token_type":"reusable","expiry_month":"12","expiry_year":"30",'
        b'"currency_code":"usd","parameters":{"name":"value"}}'
    )


def test_tokenizing_sends_amount_0_and_its_token_type() -> None:
    submission = submission_of(operation=Operation.TOKENIZE, amount="", token_type=TokenType.ONE_TIME)
    members = json.loads(payment_body(submission))
    assert (members["chargeAmount"], members["token_type"]) == ("0", "one-time")


def test_fields_that_were_not_collected_are_empty_strings_and_no_parameters_are_left_out() -> None:
    for submission in (
        submission_of(security_code="", postal_code=""),
        replace(submission_of(postal_code=""), security_code=None),
    ):
        members = json.loads(payment_body(submission))
        assert (members["cvv"], members["postal_code"]) == ("", "")
        assert "parameters" not in members


def test_currency_is_passed_in_the_case_received() -> None:
    assert json.loads(payment_body(submission_of(currency="USD")))["currency_code"] == "USD"


@given(description=st.text(), name=st.text(), value=st.text(), postal=st.text())
def test_any_text_survives_json(description: str, name: str, value: str, postal: str) -> None:
    body = payment_body(submission_of(description=description, postal_code=postal, parameters={name: value}))
    assert body.isascii()
    members = json.loads(body)
    assert (members["description"], members["postal_code"], members["parameters"]) == (
        description,
        postal,
        {name: value},
    )


def test_body_is_allocated_once_so_that_no_copy_stays_behind_when_it_grows() -> None:
    body = payment_body(submission_of())
    # One byte for the terminator CPython keeps; a grown buffer is overallocated.
    assert body.__sizeof__() - bytearray().__sizeof__() <= len(body) + 1


def test_wiping_leaves_zeros_of_the_same_length() -> None:
    body = payment_body(submission_of())
    length = len(body)
    wipe_body(body)
    assert body == bytes(length)


def test_body_does_not_keep_the_secret_alive_or_pinned() -> None:
    secret = secret_of("4242424242424242")
    body = json_body({"n": secret})
    secret.wipe()
    assert body == b'{"n":"4242424242424242"}'


def test_empty_object() -> None:
    assert json_body({}) == b"{}"


class TestScrub:
    def test_every_occurrence_is_starred_out(self) -> None:
        secrets = [secret_of("4242424242424242"), secret_of("123"), None, secret_of("")]
        assert scrub("4242424242424242: cvv 123, 1123 é", secrets) == "****************: cvv ***, 1*** é"

    @given(st.text(alphabet="0123456789 é"))
    def test_no_text_keeps_the_digits(self, text: str) -> None:
        assert "42" not in scrub(text, [secret_of("42")])

    def test_text_that_is_no_unicode_is_taken(self) -> None:
        assert scrub("\ud800x", []) == "?x"


class TestSignatures:
    """HMAC of URL + raw body (dialects.md §3.1); figures computed with OpenSSL."""

    def test_both_headers(self) -> None:
        # printf '%s' 'https://a.example/pay{"a":1}' | openssl dgst -sha1 -hmac key  (and -sha256)
        headers = signalwire_headers("key", "https://a.example/pay", bytearray(b'{"a":1}'))
        assert headers == {
            "X-Signalwire-Signature": "f6bfa7e685a64c997300c9dce982fd7708de5ddc",
            "X-Signalwire-SHA256-Signature": "c6c15d2df76bd03db217fe7f01e214b74d3b940457c810fbdd1e6d5b51bc3048",
        }

    @pytest.mark.parametrize("change", ["key", "url", "body"])
    def test_each_part_is_signed(self, change: str) -> None:
        parts = {"key": "k", "url": "https://a/", "body": b"{}"}
        changed = parts | {change: b"[]" if change == "body" else "other"}
        assert signalwire_headers(**parts) != signalwire_headers(**changed)  # type: ignore[arg-type]
