"""Every gateway error maps to one error of the pay machine (dialects.md §1.3)."""

from __future__ import annotations

import json

import pytest

from engine.connectors.table import AMBIGUOUS_AFTER_SILENCE, ERROR_TYPES, classify
from engine.pay.submission import Outcome
from tests.support.shared import SHARED

REFERENCE = SHARED / "reference" / "cards.json"

ROWS = {
    "account_closed": "invalid-bank-account-number",
    "account_number_invalid": "invalid-bank-account-number",
    "authentication_required": "card-declined",
    "card_declined": "card-declined",
    "card_not_supported": "invalid-card-type",
    "card_velocity_exceeded": "card-declined",
    "currency_not_supported": "card-declined",
    "do_not_honor": "card-declined",
    "expired_card": "invalid-date",
    "fraudulent": "card-declined",
    "generic_decline": "card-declined",
    "incorrect_cvc": "invalid-security-code",
    "incorrect_number": "invalid-card-number",
    "incorrect_zip": "invalid-postal-code",
    "insufficient_funds": "card-declined",
    "invalid_account": "card-declined",
    "invalid_cvc": "invalid-security-code",
    "invalid_expiry_month": "invalid-date",
    "invalid_expiry_year": "invalid-date",
    "invalid_number": "invalid-card-number",
    "issuer_not_available": "",
    "lost_card": "card-declined",
    "no_account": "invalid-bank-account-number",
    "pickup_card": "card-declined",
    "postal_code_invalid": "invalid-postal-code",
    "processing_error": "",
    "routing_number_invalid": "invalid-bank-routing-number",
    "stolen_card": "card-declined",
    "test_accounts_only": "card-declined",
    "test_cards_only": "card-declined",
    "try_again_later": "card-declined",
}


@pytest.mark.parametrize(("code", "error_type"), ROWS.items())
def test_code_means(code: str, error_type: str) -> None:
    outcome = Outcome.DECLINED if error_type else Outcome.FAILED
    assert classify(code) == (outcome, error_type)


def test_every_row_is_tested() -> None:
    assert set(ROWS) == set(ERROR_TYPES)


def test_unknown_code_is_a_plain_decline() -> None:
    assert classify("E-4711") == (Outcome.DECLINED, "card-declined")


def test_case_and_blanks_of_a_code_do_not_matter() -> None:
    assert classify(" Expired_Card ") == (Outcome.DECLINED, "invalid-date")


def test_a_code_is_either_a_refusal_or_tells_of_an_earlier_try() -> None:
    assert not AMBIGUOUS_AFTER_SILENCE & set(ERROR_TYPES)


@pytest.mark.skipif(not REFERENCE.exists(), reason="compares with the shared reference, which is not here")
def test_table_agrees_with_the_reference() -> None:
    reference = json.loads(REFERENCE.read_text())["stripe_decline_to_error_type"]
    for code, error_type in reference.items():
        assert (ERROR_TYPES[code] or "payment-connector-error") == error_type
