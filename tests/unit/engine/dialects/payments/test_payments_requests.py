"""What may be asked of the Payments resource, and with which number the rest is refused (`dialects.md` §5.2, §5.3)."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from twilio.base import serialize
from twilio.rest.api.v2010.account.call.payment import PaymentInstance

from engine.dialects.payments import CAPTURES, RequestRefused, RequestSettings, read_create, read_update
from engine.dialects.payments.requests import CreateRequest, UpdateRequest
from engine.pay.fields import Step
from engine.pay.submission import Operation

URL = "https://app.example/payments"
STRICT = RequestSettings()
LAX = RequestSettings(allow_insecure=True)


def create(settings: RequestSettings = STRICT, **changes: Any) -> CreateRequest:
    given = {"IdempotencyKey": "k1", "StatusCallback": URL, **changes}
    return read_create([(name, str(text)) for name, text in given.items() if text is not None], settings)


def update(settings: RequestSettings = STRICT, **changes: Any) -> UpdateRequest:
    given = {"IdempotencyKey": "k1", "StatusCallback": URL, **changes}
    return read_update([(name, str(text)) for name, text in given.items() if text is not None], settings)


def refusal_of(read: Any, **changes: Any) -> RequestRefused:
    with pytest.raises(RequestRefused) as caught:
        read(**changes)
    return caught.value


class TestCreate:
    def test_defaults(self) -> None:
        request = create()
        order = request.order
        assert (request.status_callback, request.connector) == (URL, "Default")
        assert (order.operation, order.currency, order.method) == (Operation.TOKENIZE, "USD", "credit-card")
        assert order.steps == (Step.CARD_NUMBER, Step.EXPIRATION_DATE, Step.SECURITY_CODE, Step.POSTAL_CODE)
        assert order.valid_card_types == ("visa", "mastercard", "amex")
        assert (order.timeout_s, order.first_digit_timeout_s) == (5.0, math.inf)
        assert (order.token_type, order.confirm, order.matching) == ("reusable", False, frozenset())
        assert (order.mask_char, order.bank_account_type) == ("x", "consumer-checking")

    def test_every_parameter(self) -> None:
        request = create(
            ChargeAmount="20.45",
            Currency="eur",
            Description="a donation",
            Input="dtmf",
            MinPostalCodeLength="5",
            Parameter='{"AVSName": "Joe", "age": 21, "vip": true, "rate": 0.10}',
            PaymentConnector="My Gateway",
            PaymentMethod="credit-card",
            PostalCode="true",
            SecurityCode="false",
            Timeout="600",
            TokenType="one-time",
            ValidCardTypes="visa optima, jcb",
            RequireMatchingInputs="payment-card-number,postal-code",
            Confirmation="true",
        )
        order = request.order
        assert (order.amount, order.currency, order.description) == ("20.45", "eur", "a donation")
        assert (order.min_postal_code_length, order.timeout_s, order.token_type) == (5, 600, "one-time")
        assert dict(order.parameters) == {"AVSName": "Joe", "age": "21", "vip": "true", "rate": "0.10"}
        assert (request.connector, order.security_code, order.confirm) == ("My Gateway", False, True)
        assert order.valid_card_types == ("visa", "optima", "jcb")
        assert order.matching == {Step.CARD_NUMBER, Step.POSTAL_CODE}

    def test_a_bank_debit(self) -> None:
        order = create(PaymentMethod="ach-debit", BankAccountType="commercial-checking").order
        assert order.steps == (Step.ROUTING_NUMBER, Step.ACCOUNT_NUMBER)
        assert order.bank_account_type == "commercial-checking"

    def test_what_the_sdk_writes(self) -> None:
        request = create(
            Parameter=serialize.object({"a": 1, "b": "two"}),
            PostalCode=serialize.boolean_to_string(False),
            SecurityCode=serialize.boolean_to_string(True),
            ChargeAmount=10.0,
        )
        assert dict(request.order.parameters) == {"a": "1", "b": "two"}
        assert (request.order.postal_code, request.order.security_code) == (False, True)
        assert request.order.charged_amount == "10.0"

    @pytest.mark.parametrize(
        ("amount", "currency", "charged"),
        [
            (500.0, "jpy", "500"),
            ("12.500", "usd", "12.50"),
            ("12.500", "kwd", "12.500"),
            (0.0, "jpy", ""),
            ("0", "usd", ""),
            ("999999.99", "usd", "999999.99"),
        ],
    )
    def test_zeros_that_a_currency_has_no_place_for(self, amount: object, currency: str, charged: str) -> None:
        assert create(ChargeAmount=amount, Currency=currency).order.charged_amount == charged

    def test_what_is_empty_is_not_given_and_what_does_not_exist_is_passed_over(self) -> None:
        request = create(Timeout="", Currency=" ", NoSuchThing="x")
        assert (request.order.timeout_s, request.order.currency) == (5.0, "USD")

    def test_of_one_given_twice_the_last_counts(self) -> None:
        pairs = [("IdempotencyKey", "k"), ("StatusCallback", URL), ("Timeout", "7"), ("Timeout", "9")]
        assert read_create(pairs, RequestSettings()).order.timeout_s == 9

    def test_the_name_of_what_does_not_exist_may_be_anything(self) -> None:
        pairs = [("IdempotencyKey", "k"), ("StatusCallback", URL), ("\udce3\x00", "x")]
        assert read_create(pairs, RequestSettings()).order.timeout_s == 5.0

    def test_the_operator_decides_how_cards_are_shown(self) -> None:
        assert create(RequestSettings(mask_style="dashed")).order.mask_style == "dashed"

    @pytest.mark.parametrize(
        ("name", "value", "code"),
        [
            ("IdempotencyKey", "", 64020),
            ("IdempotencyKey", "k" * 5000, 64020),
            ("BankAccountType", "consumer-checking", 64017),
            ("ChargeAmount", "-1", 64003),
            ("ChargeAmount", "1000000", 64003),
            ("ChargeAmount", "ten", 64003),
            ("ChargeAmount", 1e-05, 64003),
            ("ChargeAmount", 0.1 * 3, 64003),
            ("ChargeAmount", 1e16, 64003),
            ("ChargeAmount", "nan", 64003),
            ("Currency", "xyz", 64011),
            ("Input", "speech", 64020),
            ("MinPostalCodeLength", "-1", 64020),
            ("MinPostalCodeLength", "many", 64020),
            ("Parameter", "{'a': 'b'}", 64020),
            ("Parameter", "[1]", 64020),
            ("Parameter", '"text"', 64020),
            ("Parameter", '{"a": {"b": 1}}', 64020),
            ("Parameter", '{"a": null}', 64020),
            ("Parameter", '{"a": NaN}', 64020),
            ("Parameter", '{"": "x"}', 64020),
            ("Parameter", '{"a": "\\ud800"}', 64020),
            ("Parameter", '{"a": "\\u0000"}', 64020),
            ("Parameter", "[" * 9000, 64020),
            ("Parameter", json.dumps({"a": "x" * 20_000}), 64020),
            ("PaymentMethod", "cash", 64013),
            ("PostalCode", "94105", 64020),
            ("SecurityCode", "1", 64020),
            ("Timeout", "0", 64020),
            ("Timeout", "601", 64020),
            ("Timeout", "1.5", 64020),
            ("TokenType", "forever", 64006),
            ("ValidCardTypes", "visa cash", 64020),
            ("ValidCardTypes", "unionpay", 64020),
            ("RequireMatchingInputs", "bank-account-number", 64020),
            ("RequireMatchingInputs", "payment-completed", 64020),
            ("Confirmation", "maybe", 64020),
            ("Description", "a\x00b", 64020),
            ("Description", "a\ud800b", 64020),
        ],
    )
    def test_what_is_wrong_is_refused_by_its_name_and_without_its_value(
        self, name: str, value: object, code: int
    ) -> None:
        refused = refusal_of(create, **{name: value})
        assert (refused.code, refused.status) == (code, 400)
        assert refused.message.startswith(f"{name}: ")
        assert len(refused.message) < 300
        assert len(str(value)) < 3 or str(value) not in refused.message.removeprefix(name)

    def test_a_wrong_account_type_of_a_debit_is_no_mistake_of_the_method(self) -> None:
        assert refusal_of(create, PaymentMethod="ach-debit", BankAccountType="piggy-bank").code == 64020

    @pytest.mark.parametrize(
        "url",
        [
            *("", None, "/payments", "payments", "//app.example/x", "ftp://app.example/", "https://"),
            *("http://app.example/x", "https://app.example/a b", "https://[::1", "https://app.example:99999/"),
            "https://" + "a" * 254 + "/",
        ],
    )
    def test_a_callback_that_is_not_absolute_and_https_is_refused(self, url: str | None) -> None:
        for read in (create, update):
            refused = refusal_of(read, StatusCallback=url)
            assert (refused.code, refused.status) == (64020, 400)
            assert refused.message.startswith("StatusCallback: ")

    def test_http_is_for_development(self) -> None:
        assert create(LAX, StatusCallback="http://127.0.0.1:5000/p").status_callback == "http://127.0.0.1:5000/p"
        assert "allow_insecure_callbacks" in refusal_of(create, StatusCallback="http://127.0.0.1/").message

    def test_the_same_request_is_known_whatever_its_order(self) -> None:
        pairs = [("IdempotencyKey", "k"), ("StatusCallback", URL), ("Timeout", "7")]
        first, second = read_create(pairs, LAX), read_create(pairs[::-1], LAX)
        assert first.fingerprint == second.fingerprint
        assert first.key == second.key
        others = (
            [*pairs, ("ChargeAmount", "1")],
            [("IdempotencyKey", "l"), *pairs[1:]],
            [pairs[0], ("StatusCallback", URL + "Timeout"), ("Timeout", "7")],
        )
        assert all(read_create(other, LAX).fingerprint != first.fingerprint for other in others)

    def test_nothing_of_a_request_shows_in_its_repr(self) -> None:
        shown = repr(create(Description="secret words", Parameter='{"a": "hidden"}', StatusCallback="https://u:pw@h/"))
        assert "secret" not in shown
        assert "hidden" not in shown
        assert "pw" not in shown


class TestUpdate:
    @pytest.mark.parametrize("name", CAPTURES)
    def test_a_capture(self, name: str) -> None:
        assert update(Capture=name).capture == name

    def test_the_captures_are_those_of_the_vendor(self) -> None:
        theirs = {value for name, value in vars(PaymentInstance.Capture).items() if name.isupper()}
        assert set(CAPTURES) == theirs

    @pytest.mark.parametrize("status", ["complete", "cancel"])
    def test_a_status(self, status: str) -> None:
        request = update(Status=status, Capture="")
        assert (request.status, request.capture) == (status, "")

    @pytest.mark.parametrize(
        "given", [{}, {"Capture": "", "Status": ""}, {"Capture": "postal-code", "Status": "cancel"}]
    )
    def test_not_exactly_one_of_the_two(self, given: dict[str, str]) -> None:
        refused = refusal_of(update, **given)
        assert (refused.code, refused.status) == (64018, 400)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("Capture", "bank-account-number-matcher"),
            ("Capture", "payment-processing"),
            ("Capture", "4111111111111111"),
            ("Status", "completed"),
            ("Status", "Cancel"),
            ("IdempotencyKey", None),
        ],
    )
    def test_what_is_wrong(self, name: str, value: str | None) -> None:
        given = {"Capture": "postal-code"} if name == "IdempotencyKey" else {}
        refused = refusal_of(update, **{**given, name: value})
        assert refused.code == 64020
        assert refused.message.startswith(f"{name}: ")
        assert "4111" not in refused.message
