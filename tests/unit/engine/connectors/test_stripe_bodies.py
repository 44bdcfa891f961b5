"""What is asked of Stripe, byte for byte."""

from __future__ import annotations

from urllib.parse import parse_qs, parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.connectors.body import form_body
from engine.connectors.stripe_requests import card_body, charge_body, metadata_of, search_path, setup_body
from tests.support.payments import secret_of, submission_of

TRANSACTION = "7f4c9d0a-2d8e-4a55-9a0e-5f1c6b7d8e90"


def form(body: bytearray) -> dict[str, str]:
    return dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))


def test_card_becomes_a_payment_method() -> None:
    assert bytes(card_body(submission_of())) == (
        b"type=card&card[number]=4242424242424242&card[exp_month]=12&card[exp_year]=2030&card[cvc]=123"
        b"&billing_details[address][postal_code]=94105"
    )


def test_what_was_not_collected_is_left_out() -> None:
    body = form(card_body(submission_of(security_code="", postal_code="")))
    assert not {"card[cvc]", "billing_details[address][postal_code]"} & body.keys()


def test_charge_holds_no_digit_of_the_card() -> None:
    assert bytes(charge_body(submission_of(), "pm_1", 1055, moto=True)) == (
        b"amount=1055&currency=usd&payment_method=pm_1&payment_method_types[0]=card&confirm=true"
        b"&payment_method_options[card][moto]=true&description=Donation&metadata[transaction_id]="
        + TRANSACTION.encode()
    )


def test_without_moto_an_intent_that_wants_the_payer_is_refused_at_once() -> None:
    body = form(charge_body(submission_of(currency="EUR"), "pm_1", 1055, moto=False))
    assert body["error_on_requires_action"] == "true"
    assert body["currency"] == "eur"
    assert "payment_method_options[card][moto]" not in body


@pytest.mark.parametrize("customer", ["", "cus_1"])
def test_setup_is_for_use_without_the_caller(customer: str) -> None:
    body = form(setup_body(submission_of(), "pm_1", moto=True, customer=customer))
    assert body.get("customer", "") == customer
    assert (body["usage"], body["confirm"], body["payment_method"]) == ("off_session", "true", "pm_1")
    assert body["payment_method_options[card][moto]"] == "true"


def test_parameters_become_metadata_within_stripes_limits() -> None:
    parameters = {"order": "A & B = ü", "long": "x" * 501, "n" * 41: "1", "a[b]": "1", "": "1", "none": ""}
    parameters |= {"transaction_id": "stolen"} | {f"p{n}": "1" for n in range(60)}
    pairs = metadata_of(submission_of(parameters=parameters))
    assert len(pairs) == 50
    assert pairs["metadata[transaction_id]"] == TRANSACTION
    assert pairs["metadata[order]"] == "A & B = ü"
    assert pairs["metadata[long]"] == "x" * 500
    assert not {f"metadata[{name}]" for name in ("n" * 41, "a[b]", "", "none")} & pairs.keys()


def test_overlong_description_is_cut() -> None:
    assert len(form(charge_body(submission_of(description="ü" * 5000), "pm_1", 1, moto=True))["description"]) == 1000


@pytest.mark.parametrize("transaction_id", [TRANSACTION, "it's", "a\\'b", "a&b=c#d?"])
def test_search_quotes_the_transaction_id(transaction_id: str) -> None:
    path, _, query = search_path(transaction_id).partition("?")
    escaped = transaction_id.replace("\\", "\\\\").replace("'", "\\'")
    assert path == "/v1/payment_intents/search"
    assert parse_qs(query)["query"] == [f"metadata['transaction_id']:'{escaped}'"]


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=5), st.text("0123456789", min_size=1, max_size=19))
def test_form_reads_back_whatever_it_holds(members: dict[str, str], digits: str) -> None:
    body = form_body(members | {"secret": secret_of(digits)})
    assert body.isascii()
    readable = {
        k.encode("utf-8", "replace").decode(): v.encode("utf-8", "replace").decode() for k, v in members.items()
    }
    assert form(body) == readable | {"secret": digits}
