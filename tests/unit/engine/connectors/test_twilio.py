"""Twilio's generic wire: what it sends for cards and bank accounts, charged or tokenized (§7.2, D-47, D-48)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.connectors import Twilio
from engine.connectors.twilio import payment_body
from engine.pay.submission import Operation, Outcome, PaymentMethod, Submission
from tests.support.gateway import BASIC_AUTH, FakeGateway
from tests.support.payments import bank_debit_of, submission_of

TOKENIZE: dict[str, Any] = {"operation": Operation.TOKENIZE, "amount": ""}
SUBMISSIONS: Mapping[str, Callable[[], Submission]] = {
    "charge a card": submission_of,
    "tokenize a card": lambda: submission_of(**TOKENIZE),
    "charge an account": bank_debit_of,
    "tokenize an account": lambda: bank_debit_of(**TOKENIZE),
    "with parameters": lambda: submission_of(parameters={"order": "7", "é": '"\u2028'}),
    "without code and postal code": lambda: replace(submission_of(postal_code=""), security_code=None),
}


class TestBody:
    def test_charge_of_a_card(self) -> None:
        assert payment_body(submission_of("4111111111111111", amount="10.0", parameters={"name": "value"})) == (
            b'{"method":"charge","transaction_id":"7f4c9d0a-2d8e-4a55-9a0e-5f1c6b7d8e90",'
            b'"cardnumber":"4111111111111111","cvv":"123","expiry_month":"12","expiry_year":"30",'
            b'"postal_code":"94105","amount":"10.0","currency_code":"usd","description":"Donation",'
            b'"parameters":{"name":"value"}}'
        )

    def test_charge_of_an_account(self) -> None:
        assert payment_body(bank_debit_of("12345678")) == (
            b'{"method":"charge","transaction_id":"7f4c9d0a-2d8e-4a55-9a0e-5f1c6b7d8e90",'
            b'"bankaccountnumber":"12345678","routingnumber":"121181976","bankaccounttype":"consumer-checking",'
            b'"amount":"10.55","currency_code":"usd","description":"Donation","parameters":{}}'
        )

    @pytest.mark.parametrize("make", [submission_of, bank_debit_of])
    def test_tokenizing_sends_neither_amount_nor_currency_nor_token_type(self, make: Any) -> None:
        members = json.loads(payment_body(make(**TOKENIZE)))
        assert members["method"] == "tokenize"
        assert not {"amount", "currency_code", "token_type"} & set(members)

    @given(description=st.text(), name=st.text(), value=st.text(), postal=st.text())
    def test_any_text_survives_json(self, description: str, name: str, value: str, postal: str) -> None:
        body = payment_body(submission_of(description=description, postal_code=postal, parameters={name: value}))
        members = json.loads(body)
        assert (members["description"], members["postal_code"]) == (description, postal)
        assert members["parameters"] == {name: value}


@pytest.mark.asyncio
class TestOnTheWire:
    async def submit(self, gateway: FakeGateway, submission: Submission, **options: Any) -> Any:
        options = {"basic_auth": BASIC_AUTH, **options}
        return await Twilio("gw", url=gateway.url, allow_insecure=True, **options).submit(submission)

    @pytest.mark.parametrize("name", SUBMISSIONS)
    async def test_strict_gateway_takes_it(self, name: str) -> None:
        submission = SUBMISSIONS[name]()
        async with FakeGateway(wire="twilio") as gateway:
            answer = await self.submit(gateway, submission)
        assert (answer.outcome, gateway.violations) == (Outcome.SUCCEEDED, [])
        charges = submission.operation is Operation.CHARGE
        assert (answer.charge_id, answer.token_id) == (("ch_1", "") if charges else ("", "tok_1"))

    @pytest.mark.parametrize("basic_auth", [None, ("shop", "wrong"), ("", "")])
    async def test_wrong_password_fails_and_does_not_blame_the_card(self, basic_auth: tuple[str, str] | None) -> None:
        async with FakeGateway(wire="twilio") as gateway:
            answer = await self.submit(gateway, submission_of(), basic_auth=basic_auth)
        assert (answer.outcome, answer.error_type) == (Outcome.FAILED, "")
        assert gateway.times_booked == {}

    async def test_declined_card_is_declined(self) -> None:
        async with FakeGateway(wire="twilio") as gateway:
            answer = await self.submit(gateway, submission_of("4000000000009995"))
        assert (answer.outcome, answer.error_code) == (Outcome.DECLINED, "insufficient_funds")

    async def test_account_is_refused_unsent_where_bank_debits_are_off(self) -> None:
        async with FakeGateway(wire="twilio") as gateway:
            answer = await self.submit(gateway, bank_debit_of(), bank_debits=False)
        assert (answer.outcome, gateway.requests) == (Outcome.FAILED, [])


class TestCapabilities:
    def test_bank_debits_can_be_switched_off(self) -> None:
        on, off = (Twilio("gw", url="https://a.example", bank_debits=flag) for flag in (True, False))
        assert on.capabilities.methods == set(PaymentMethod)
        assert off.capabilities.methods == {PaymentMethod.CREDIT_CARD}
