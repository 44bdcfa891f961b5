"""SignalWire's wire: what it sends, its signatures, and connectors made for a URL of a document (§7.1, D-31, D-45)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from engine.connectors import SignalWire
from engine.connectors.signalwire import BodyForm, payment_body
from engine.errors import ConnectorError
from engine.net.signatures import signalwire_headers
from engine.net.tls import client_context
from engine.pay.submission import Operation, Outcome, TokenType
from tests.support.gateway import TLS_FILES, FakeGateway, server_tls
from tests.support.payments import bank_debit_of, submission_of

URL = "https://gateway.example/pay"
TOKENIZE: dict[str, Any] = {"operation": Operation.TOKENIZE, "amount": ""}


class TestCompatibleForm:
    """The form of the page for TwiML: numbers, and tokens with neither a method nor a chargeAmount (D-45)."""

    def test_charge_sends_its_amount_as_a_number_with_every_decimal(self) -> None:
        body = payment_body(submission_of(amount="10.50"), BodyForm.COMPATIBLE)
        assert b'"method":"credit-card"' in body
        assert b'"chargeAmount":10.50,' in body

    def test_tokenizing_sends_amount_0_and_no_method(self) -> None:
        members = json.loads(payment_body(submission_of(**TOKENIZE), BodyForm.COMPATIBLE))
        assert members["amount"] == 0
        assert not {"method", "chargeAmount"} & set(members)
        assert members["token_type"] == "reusable"

    @pytest.mark.parametrize("amount", ["0.01", "999999.99", "1000000", "1.234", "100", "007.50"])
    def test_amount_is_the_number_that_was_configured(self, amount: str) -> None:
        body = payment_body(submission_of(amount=amount), BodyForm.COMPATIBLE)
        assert json.loads(body, parse_float=Decimal, parse_int=Decimal)["chargeAmount"] == Decimal(amount)
        assert b"E" not in body.split(b'"chargeAmount":')[1].split(b",")[0]


@pytest.mark.asyncio
class TestOnTheWire:
    @pytest.mark.parametrize("form", BodyForm)
    @pytest.mark.parametrize("parameters", [{}, {"order": "7", "é": "\u2028"}])
    async def test_strict_gateway_takes_both_forms(self, form: BodyForm, parameters: dict[str, str]) -> None:
        wire = "signalwire" if form is BodyForm.SWML else "compatible"
        async with FakeGateway(wire=wire) as gateway:
            connector = SignalWire("gw", url=gateway.url, allow_insecure=True, form=form)
            charge = submission_of(parameters=parameters)
            token = submission_of(transaction_id="t2", token_type=TokenType.ONE_TIME, parameters=parameters, **TOKENIZE)
            answers = [await connector.submit(charge), await connector.submit(token)]
        assert gateway.violations == []
        assert [(answer.outcome, answer.charge_id, answer.token_id) for answer in answers] == [
            (Outcome.SUCCEEDED, "ch_1", ""),
            (Outcome.SUCCEEDED, "", "tok_2"),
        ]

    async def test_over_tls_with_credentials_and_signature(self) -> None:
        async with FakeGateway(tls=server_tls()) as gateway:
            url = gateway.url.replace("https://", "https://user:pass@") + "?shop=1"
            connector = SignalWire("gw", url=url, signing_key="k", tls=client_context(str(TLS_FILES / "ca.pem")))
            answer = await connector.submit(submission_of())
            await connector.close()
        received = gateway.requests[0]
        assert answer.outcome is Outcome.SUCCEEDED
        assert received.headers["authorization"] == "Basic dXNlcjpwYXNz"
        expected = signalwire_headers("k", gateway.url + "?shop=1", received.body)
        for name, value in expected.items():
            assert received.headers[name.lower()] == value

    async def test_without_a_key_nothing_is_signed(self) -> None:
        async with FakeGateway() as gateway:
            await SignalWire("gw", url=gateway.url, allow_insecure=True).submit(submission_of())
        assert not any("signature" in name for name in gateway.requests[0].headers)

    async def test_bank_account_is_refused_unsent(self) -> None:
        async with FakeGateway() as gateway:
            connector = SignalWire("gw", url=gateway.url, allow_insecure=True)
            answer = await connector.submit(bank_debit_of())
        assert (answer.outcome, answer.error_code) == (Outcome.FAILED, "unsupported_method")
        assert gateway.requests == []

    async def test_look_up_cannot_tell(self) -> None:
        assert await SignalWire("gw", url=URL).look_up("t") is None

    async def test_connector_for_a_url_of_a_document_pays_there(self) -> None:
        async with FakeGateway(wire="compatible") as gateway:
            connector = SignalWire.for_url(gateway.url, form=BodyForm.COMPATIBLE, allow_insecure=True)
            answer = await connector.submit(submission_of(**TOKENIZE))
        assert (answer.outcome, gateway.violations) == (Outcome.SUCCEEDED, [])


class TestForUrl:
    def test_its_name_is_the_host_and_shows_neither_password_nor_query(self) -> None:
        assert SignalWire.for_url("https://u:secret@a.example:8443/x?token=secret").name == "url:a.example:8443"

    def test_all_share_one_tls_context_for_loading_the_authorities_takes_long(self) -> None:
        first, second = (SignalWire.for_url(f"https://{host}.example/") for host in "ab")
        assert first._tls is second._tls is not None

    @pytest.mark.parametrize("url", ["", "http://a.example/", "https://u:secret@/", "https://a:99999/", "secret"])
    def test_unusable_url_is_refused_without_repeating_it(self, url: str) -> None:
        with pytest.raises(ConnectorError, match="payment_connector_url") as caught:
            SignalWire.for_url(url)
        assert "secret" not in str(caught.value)
