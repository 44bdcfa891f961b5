"""What a payment tells: parameters of the status callback (§4.2) and of the action (§4.3), masked as §1.9 has it."""

from __future__ import annotations

from typing import Any

import pytest

from engine.dialects.twiml.pay import interrupted_parameters, result_parameters, status_parameters
from engine.pay.order import PayOrder
from engine.pay.results import ConnectorFault, PayResult, PayStatus, Result
from engine.pay.rules import Dialect, order_for
from engine.pay.submission import Operation, Outcome, PaymentMethod

ACCOUNT = "AC" + "0" * 32
CALL = "a" * 32
CARD: dict[str, Any] = {
    "card_number": "xxxxxxxxxxxx1111",
    "card_type": "visa",
    "expiration_date": "1228",
    "security_code": "xxx",
    "postal_code": "94105",
}
CARD_PARAMETERS = (
    ("PaymentCardNumber", "xxxxxxxxxxxx1111"),
    ("PaymentCardType", "visa"),
    ("ExpirationDate", "1228"),
    ("SecurityCode", "xxx"),
    ("PaymentCardPostalCode", "94105"),
)


def order_of(**values: Any) -> PayOrder:
    return order_for(Dialect.TWIML, **values)


def told(result: Result, operation: Operation = Operation.CHARGE, **values: Any) -> dict[str, str]:
    parameters = result_parameters(PayResult(result=result, operation=operation, **values), order_of())
    assert len(dict(parameters)) == len(parameters)
    return dict(parameters)


class TestStatus:
    def of(self, order: PayOrder | None = None, **values: Any) -> tuple[tuple[str, str], ...]:
        return status_parameters(ACCOUNT, CALL, order or order_of(), PayStatus(**values))

    def test_the_first_question_shows_nothing(self) -> None:
        assert self.of(step="payment-card-number") == (
            ("AccountSid", ACCOUNT),
            ("CallSid", f"CA{CALL}"),
            ("For", "payment-card-number"),
            ("ErrorType", ""),
            ("Attempt", "1"),
            ("PaymentMethod", "credit-card"),
        )

    def test_a_later_one_shows_what_was_taken(self) -> None:
        parameters = self.of(step="payment-processing", **CARD)
        assert parameters[6:] == CARD_PARAMETERS

    def test_a_silence_has_another_name_here_than_in_prompts(self) -> None:
        parameters = dict(self.of(step="postal-code", error_type="timeout", attempt=2))
        assert (parameters["ErrorType"], parameters["Attempt"]) == ("input-timeout", "2")

    def test_any_other_error_has_its_own(self) -> None:
        assert dict(self.of(step="postal-code", error_type="invalid-date"))["ErrorType"] == "invalid-date"

    def test_a_bank_debit_shows_the_account(self) -> None:
        order = order_of(method="ach-debit", bank_account_type="commercial-checking")
        parameters = self.of(
            order,
            step="payment-processing",
            payment_method=PaymentMethod.ACH_DEBIT,
            account_number="*******92",
            routing_number="021000021",
        )
        assert parameters[5:] == (
            ("PaymentMethod", "ach-debit"),
            ("BankAccountNumber", "*******92"),
            ("BankRoutingNumber", "021000021"),
            ("BankAccountType", "commercial-checking"),
        )


class TestResult:
    def test_a_charge(self) -> None:
        result = PayResult(
            result=Result.SUCCESS,
            operation=Operation.CHARGE,
            outcome=Outcome.SUCCEEDED,
            charge_id="ch_1",
            parameters={"receipt": "R7", "batch": "3"},
            **CARD,
        )
        assert result_parameters(result, order_of()) == (
            ("Result", "success"),
            ("PaymentMethod", "credit-card"),
            *CARD_PARAMETERS,
            ("PaymentConfirmationCode", "ch_1"),
            ("PayConnector_batch", "3"),
            ("PayConnector_receipt", "R7"),
        )

    def test_a_token_and_a_profile(self) -> None:
        parameters = told(Result.SUCCESS, Operation.TOKENIZE, token_id="tok_1", profile_id="cus_1")
        assert parameters == {
            "Result": "success",
            "PaymentMethod": "credit-card",
            "PaymentToken": "tok_1",
            "ProfileId": "cus_1",
        }

    @pytest.mark.parametrize(
        ("operation", "outcome", "code"),
        [
            (Operation.CHARGE, Outcome.DECLINED, "64008"),
            (Operation.TOKENIZE, Outcome.DECLINED, "64010"),
            (Operation.CHARGE, Outcome.FAILED, "64002"),
            (Operation.CHARGE, Outcome.UNKNOWN, "64002"),
        ],
    )
    def test_what_the_connector_refused(self, operation: Operation, outcome: Outcome, code: str) -> None:
        fault = ConnectorFault(code="51", message="insufficient funds")
        values = {"outcome": outcome, "payment_error": "insufficient funds", "connector_error": fault}
        parameters = told(Result.PAYMENT_CONNECTOR_ERROR, operation, **values)
        assert parameters["Result"] == "payment-connector-error"
        assert parameters["PayErrorCode"] == code
        assert parameters["PaymentError"] == "insufficient funds"
        assert parameters["ConnectorError"] == "51"

    @pytest.mark.parametrize(("error", "code"), [("test_cards_only", "64022"), ("test_accounts_only", "64023")])
    def test_what_a_sandbox_does_not_take_has_a_number_of_its_own(self, error: str, code: str) -> None:
        values: dict[str, Any] = {"outcome": Outcome.DECLINED, "payment_error_code": error}
        assert told(Result.PAYMENT_CONNECTOR_ERROR, **values)["PayErrorCode"] == code

    def test_a_fault_without_a_code_is_told_by_its_words(self) -> None:
        fault = ConnectorFault(code="", message="no")
        parameters = told(Result.PAYMENT_CONNECTOR_ERROR, outcome=Outcome.DECLINED, connector_error=fault)
        assert parameters["ConnectorError"] == "no"

    @pytest.mark.parametrize(("error", "name"), [("timeout", "input-timeout"), ("invalid-date", "invalid-date")])
    def test_used_up_retries_name_the_last_error(self, error: str, name: str) -> None:
        parameters = told(Result.TOO_MANY_FAILED_ATTEMPTS, payment_error=error)
        assert parameters == {
            "Result": "too-many-failed-attempts",
            "PaymentMethod": "credit-card",
            "PaymentError": name,
        }

    @pytest.mark.parametrize(
        ("result", "name"),
        [
            (Result.CALLER_INTERRUPTED_WITH_STAR, "caller-interrupted-with-star"),
            (Result.CALLER_HUNG_UP, "caller-hung-up"),
            (Result.INTERNAL_ERROR, "internal-error"),
        ],
    )
    def test_other_ends(self, result: Result, name: str) -> None:
        assert told(result) == {"Result": name, "PaymentMethod": "credit-card"}

    def test_that_another_document_took_over_is_not_told(self) -> None:
        assert told(Result.RELAY_PAY_STOP) == {}

    def test_what_an_endless_connector_returns_is_bounded(self) -> None:
        parameters = told(Result.SUCCESS, parameters={f"k{n:03}": "v" for n in range(500)})
        assert len(parameters) == 102


class TestInterrupted:
    def of(self, **changes: str) -> dict[str, str]:
        values = {
            "method": "credit-card",
            "result": "success",
            "error": "",
            "card_number": "************4242",
            "card_type": "visa",
            "charge_id": "ch_1",
            "token_id": "",
        }
        return dict(interrupted_parameters(**values | changes))

    def test_a_charge_that_went_through(self) -> None:
        assert self.of() == {
            "Result": "success",
            "PaymentMethod": "credit-card",
            "PaymentCardNumber": "xxxxxxxxxxxx4242",
            "PaymentCardType": "visa",
            "PaymentConfirmationCode": "ch_1",
        }

    def test_one_that_nobody_knows_of(self) -> None:
        parameters = self.of(result="internal-error", error="unknown", charge_id="")
        assert (parameters["Result"], parameters["PaymentError"]) == ("internal-error", "unknown")
        assert "PaymentConfirmationCode" not in parameters

    def test_a_bank_debit_has_no_card(self) -> None:
        parameters = self.of(method="ach-debit", card_number="*******21")
        assert parameters == {
            "Result": "success",
            "PaymentMethod": "ach-debit",
            "PaymentConfirmationCode": "ch_1",
        }
