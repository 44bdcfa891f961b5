"""What a session tells its application: names, order, masks, what is there though empty (`dialects.md` §5.4)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.dialects.payments import (
    SessionFacts,
    capture_parameters,
    created_parameters,
    interrupted_parameters,
    resource_body,
    result_parameters,
    tells_result,
)
from engine.dialects.twilio import form_body
from engine.pay.fields import ErrorType, Step
from engine.pay.results import ConnectorFault, MaskedFields, PayResult, PayStatus, Result
from engine.pay.submission import Operation, Outcome

CREATED = datetime(2021, 8, 10, 3, 55, 53, 408_900, tzinfo=UTC)
UPDATED = datetime(2021, 8, 10, 3, 56, 1, tzinfo=UTC)
ACCOUNT = "AC" + "a" * 32
ALWAYS = [
    ("AccountSid", ACCOUNT),
    ("CallSid", "CA" + "1" * 32),
    ("Sid", "PK" + "2" * 32),
    ("DateCreated", "2021-08-10T03:55:53.408Z"),
    ("PaymentConnector", "Default"),
    ("PaymentMethod", "credit-card"),
    ("ChargeAmount", "20.45"),
]
CARD: dict[str, Any] = {
    "card_number": "xxxxxxxxxxxx1111",
    "card_type": "visa",
    "expiration_date": "1225",
    "security_code": "xxx",
}
IN_CALLBACKS = [
    ("PaymentCardNumber", "xxxxxxxxxxxx1111"),
    ("PaymentCardType", "visa"),
    ("ExpirationDate", "1225"),
    ("SecurityCode", "xxx"),
]


def facts(**changes: str) -> SessionFacts:
    values: dict[str, Any] = {
        "account_sid": ACCOUNT,
        "call_id": "1" * 32,
        "payment_id": "2" * 32,
        "created": CREATED,
        "connector": "Default",
        "method": "credit-card",
        "amount": "20.45",
        "token_type": "reusable",
        "bank_account_type": "consumer-checking",
    }
    return SessionFacts(**values | changes)


def ended(result: Result, **changes: Any) -> list[tuple[str, str]]:
    end = PayResult(**{"result": result, "operation": Operation.CHARGE, **CARD, **changes})
    return list(result_parameters(facts(), end, UPDATED))


def test_the_answer_is_the_vendors() -> None:
    body = resource_body(ACCOUNT, "1" * 32, "2" * 32, created=CREATED, updated=UPDATED)
    call, payment = "CA" + "1" * 32, "PK" + "2" * 32
    assert body == {
        "account_sid": ACCOUNT,
        "call_sid": call,
        "sid": payment,
        "date_created": "Tue, 10 Aug 2021 03:55:53 +0000",
        "date_updated": "Tue, 10 Aug 2021 03:56:01 +0000",
        "uri": f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{call}/Payments/{payment}.json",
    }


class TestCreated:
    def test_a_charge(self) -> None:
        assert list(created_parameters(facts())) == ALWAYS

    def test_a_token(self) -> None:
        told = dict(created_parameters(facts(amount="", token_type="one-time")))
        assert told["TokenType"] == "one-time"
        assert "ChargeAmount" not in told

    def test_a_bank_debit(self) -> None:
        told = dict(created_parameters(facts(method="ach-debit")))
        assert told["BankAccountType"] == "consumer-checking"


class TestCapture:
    def test_digits_arrive(self) -> None:
        status = PayStatus(
            step=Step.CARD_NUMBER, partial=True, card_number="xxxx", required=("payment-card-number", "expiration-date")
        )
        assert list(capture_parameters(facts(), status, UPDATED)) == [
            *ALWAYS,
            ("DateUpdated", "2021-08-10T03:56:01.000Z"),
            ("Capture", "payment-card-number"),
            ("ErrorType", ""),
            ("PartialResult", "true"),
            ("Required", "payment-card-number,expiration-date"),
            ("PaymentCardNumber", "xxxx"),
        ]

    def test_a_complete_entry_tells_all_that_is_known(self) -> None:
        told = list(capture_parameters(facts(), PayStatus(step=Step.SECURITY_CODE, **CARD), UPDATED))
        assert told[-6:] == [("PartialResult", "false"), ("Required", ""), *IN_CALLBACKS]

    def test_a_second_entry_has_its_own_name(self) -> None:
        status = PayStatus(step=Step.POSTAL_CODE, matching=True, postal_code="94105")
        told = dict(capture_parameters(facts(), status, UPDATED))
        assert (told["Capture"], told["PaymentCardPostalCode"]) == ("postal-code-matcher", "94105")

    @pytest.mark.parametrize(
        ("error", "name"),
        [
            (ErrorType.TIMEOUT, "input-timeout"),
            (ErrorType.DATE, "invalid-date"),
            (ErrorType.MATCHING_FAILED, "input-matching-failed"),
            (ErrorType.CAPTURE_SEQUENCE, "invalid-card-number-security-code-capture-sequence"),
        ],
    )
    def test_what_was_wrong(self, error: ErrorType, name: str) -> None:
        status = PayStatus(step=Step.EXPIRATION_DATE, error_type=error, required=("expiration-date",))
        told = dict(capture_parameters(facts(), status, UPDATED))
        assert (told["ErrorType"], told["PartialResult"], told["Required"]) == (name, "false", "expiration-date")

    def test_the_false_may_be_left_out(self) -> None:
        done, partial = PayStatus(step=Step.POSTAL_CODE), PayStatus(step=Step.POSTAL_CODE, partial=True)
        assert "PartialResult" not in dict(capture_parameters(facts(), done, UPDATED, partial_false=False))
        assert dict(capture_parameters(facts(), partial, UPDATED, partial_false=False))["PartialResult"] == "true"

    def test_a_bank_account(self) -> None:
        status = PayStatus(step=Step.ACCOUNT_NUMBER, account_number="*******92", routing_number="121181976")
        told = list(capture_parameters(facts(method="ach-debit"), status, UPDATED))
        assert told[-2:] == [("BankAccountNumber", "*******92"), ("BankRoutingNumber", "121181976")]


class TestResult:
    def test_a_success(self) -> None:
        assert ended(Result.SUCCESS, outcome=Outcome.SUCCEEDED, charge_id="ch_1") == [
            *ALWAYS,
            ("DateUpdated", "2021-08-10T03:56:01.000Z"),
            ("Result", "success"),
            *IN_CALLBACKS,
            ("PaymentConfirmationCode", "ch_1"),
            ("PaymentToken", ""),
            ("ProfileId", ""),
        ]

    def test_a_token(self) -> None:
        told = dict(ended(Result.SUCCESS, token_id="tok_1", profile_id="cus_1"))
        assert (told["PaymentToken"], told["ProfileId"], told["PaymentConfirmationCode"]) == ("tok_1", "cus_1", "")

    @pytest.mark.parametrize(
        ("operation", "outcome", "code"),
        [
            (Operation.CHARGE, Outcome.DECLINED, "64008"),
            (Operation.TOKENIZE, Outcome.DECLINED, "64010"),
            (Operation.CHARGE, Outcome.FAILED, "64002"),
            (Operation.TOKENIZE, Outcome.UNKNOWN, "64002"),
        ],
    )
    def test_a_failure_says_why(self, operation: Operation, outcome: Outcome, code: str) -> None:
        told = ended(
            Result.PAYMENT_CONNECTOR_ERROR,
            operation=operation,
            outcome=outcome,
            payment_error="no funds",
            connector_error=ConnectorFault(code="51", message="no funds"),
        )
        assert told[-3:] == [("PaymentError", "no funds"), ("PayErrorCode", code), ("ConnectorError", "51")]
        assert dict(told)["PaymentConfirmationCode"] == ""

    def test_a_gateway_without_numbers(self) -> None:
        told = ended(Result.PAYMENT_CONNECTOR_ERROR, connector_error=ConnectorFault(code="", message="no funds"))
        assert dict(told)["ConnectorError"] == "no funds"

    @pytest.mark.parametrize(
        ("result", "name"),
        [
            (Result.CANCELED, "canceled"),
            (Result.RELAY_PAY_STOP, "canceled"),
            (Result.CALLER_INTERRUPTED_WITH_STAR, "caller-interrupted-with-star"),
            (Result.CALLER_HUNG_UP, "caller-hung-up"),
        ],
    )
    def test_an_end_without_the_gateway(self, result: Result, name: str) -> None:
        told = dict(ended(result))
        assert (told["Result"], told["PaymentConfirmationCode"], told["PaymentToken"]) == (name, "", "")
        assert not told.keys() & {"PaymentError", "PayErrorCode", "ConnectorError"}

    def test_an_engine_fault(self) -> None:
        told = dict(ended(Result.INTERNAL_ERROR))
        assert (told["Result"], told["PayErrorCode"], told["PaymentError"]) == ("internal-error", "", "")


class TestInterrupted:
    @pytest.mark.parametrize(
        ("result", "charge", "error"),
        [("success", "ch_1", None), ("internal-error", "", "unknown"), ("canceled", "", "unknown")],
    )
    def test_the_end_as_the_record_knows_it(self, result: str, charge: str, error: str | None) -> None:
        told = dict(
            interrupted_parameters(
                facts(),
                result=result,
                error="unknown",
                values=MaskedFields(card_number="xxxxxxxxxxxx1111"),
                charge_id="ch_1",
                token_id="",
                updated=UPDATED,
            )
        )
        assert (told["Result"], told["PaymentConfirmationCode"]) == (result, charge)
        assert (told["PaymentCardNumber"], told.get("PaymentError")) == ("xxxxxxxxxxxx1111", error)

    def test_what_was_told_is_known_by_its_body(self) -> None:
        assert tells_result(form_body(ended(Result.CANCELED))) == "canceled"
        assert tells_result(form_body(created_parameters(facts()))) == ""

    @pytest.mark.parametrize("body", [b"", b"\xff", b'{"Result": 1}', b"a=1&" * 500])
    def test_a_body_that_is_none_of_ours(self, body: bytes) -> None:
        assert tells_result(body) == ""
