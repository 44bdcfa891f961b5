"""What a ``<Pay>`` asks for: every attribute, right and wrong, and the numbers by which it is refused (§4.1, §4.4)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.connectors.protocol import Capabilities
from engine.dialects.twiml.pay import (
    ATTRIBUTES,
    DEFAULT_CONNECTOR,
    MAX_ACTIONS,
    PayRefused,
    PayRequest,
    PaySettings,
    pay_request,
    refusal_parameters,
)
from engine.dialects.twiml.verbs import Pause, Pay, PayPrompt, Play, Say, Spoken
from engine.pay import prompt_rules
from engine.pay.fields import Step
from engine.pay.prompt_rules import PlayFile, PromptRule, Silence
from engine.pay.submission import Operation, PaymentMethod, TokenType

BASE = "https://app.example/voice/pay?x=1"
FULL = Capabilities(methods=frozenset(PaymentMethod), token_types=frozenset(TokenType))


def settings_of(**changes: Any) -> PaySettings:
    values: dict[str, Any] = {
        "base_url": BASE,
        "connectors": {"sandbox": FULL, "cards": Capabilities()},
        "default_connector": "sandbox",
    }
    return PaySettings(**values | changes)


def asked(*prompts: PayPrompt, to: Any = None, parameters: Any = (), **attributes: str) -> PayRequest:
    return pay_request(Pay(attributes=attributes, prompts=prompts, parameters=parameters), to or settings_of())


def refused(*prompts: PayPrompt, to: Any = None, **attributes: str) -> tuple[int, str]:
    with pytest.raises(PayRefused) as caught:
        asked(*prompts, to=to, **attributes)
    return caught.value.code, caught.value.field


def prompt(*spoken: Spoken, **attributes: str) -> PayPrompt:
    named = {name.rstrip("_"): value for name, value in attributes.items()}
    return PayPrompt(attributes=named, spoken=spoken or (Say(text="Your number"),))


def rules_of(*prompts: PayPrompt, **attributes: str) -> tuple[PromptRule, ...]:
    return asked(*prompts, **attributes).order.prompts


class TestDefaults:
    def test_a_bare_pay_tokenizes_a_card(self) -> None:
        request = asked()
        order = request.order
        assert order.operation is Operation.TOKENIZE
        assert order.steps == (Step.CARD_NUMBER, Step.EXPIRATION_DATE, Step.SECURITY_CODE, Step.POSTAL_CODE)
        assert (order.timeout_s, order.currency, order.token_type) == (5.0, "usd", "reusable")
        assert order.valid_card_types == ("visa", "mastercard", "amex")
        assert order.prompts_per_step == 2
        assert order.announced == {Step.PROCESSING}
        assert (order.mask_char, order.decline_restarts) == ("x", False)
        assert (request.connector, request.connector_url) == ("sandbox", "")
        assert (request.action, request.status_callback, request.status_method) == (BASE, "", "POST")
        assert request.warnings == ()

    def test_an_empty_attribute_is_as_none(self) -> None:
        assert asked(**dict.fromkeys(ATTRIBUTES, " ")) == asked()


class TestAttributes:
    @pytest.mark.parametrize(
        ("attribute", "text", "field", "value"),
        [
            ("chargeAmount", "25.50", "amount", "25.50"),
            ("chargeAmount", "1000000", "amount", "1000000"),
            ("currency", "JPY", "currency", "JPY"),
            ("description", " Dues 2026 ", "description", "Dues 2026"),
            ("paymentMethod", "ach-debit", "method", "ach-debit"),
            ("timeout", "600", "timeout_s", 600.0),
            ("maxAttempts", "3", "max_attempts", 3),
            ("securityCode", "False", "security_code", False),
            ("postalCode", "FALSE", "postal_code", False),
            ("postalCode", "true", "postal_code", True),
            ("postalCode", "SW1A 1AA", "postal_code", "SW1A 1AA"),
            ("minPostalCodeLength", "5", "min_postal_code_length", 5),
            ("tokenType", "one-time", "token_type", "one-time"),
            ("tokenType", "payment-method", "token_type", "payment-method"),
            ("language", "de-DE", "language", "de-DE"),
            ("validCardTypes", "visa diners-club", "valid_card_types", ("visa", "diners-club")),
            ("validCardTypes", "visa,jcb", "valid_card_types", ("visa", "jcb")),
            ("validCardTypes", "['visa', 'optima']", "valid_card_types", ("visa", "optima")),
        ],
    )
    def test_is_read(self, attribute: str, text: str, field: str, value: object) -> None:
        assert getattr(asked(**{attribute: text}).order, field) == value

    @pytest.mark.parametrize(
        ("attribute", "text", "code"),
        [
            ("input", "speech", 64020),
            ("chargeAmount", "-1", 64003),
            ("chargeAmount", "ten", 64003),
            ("chargeAmount", "1.234", 64003),
            ("chargeAmount", "1000000.01", 64003),
            ("chargeAmount", "1e3", 64003),
            ("currency", "doubloons", 64011),
            ("paymentMethod", "cheque", 64013),
            ("timeout", "0", 64020),
            ("timeout", "601", 64020),
            ("timeout", "2.5", 64020),
            ("timeout", "soon", 64020),
            ("maxAttempts", "0", 64020),
            ("maxAttempts", "4", 64020),
            ("securityCode", "maybe", 64020),
            ("minPostalCodeLength", "-1", 64020),
            ("minPostalCodeLength", "99", 64020),
            ("tokenType", "eternal", 64006),
            ("validCardTypes", "visa unionpay", 64020),
            ("validCardTypes", "[]", 64020),
            ("bankAccountType", "consumer-checking", 64017),
            ("paymentConnector", "nowhere", 64004),
            ("action", "http://app.example/done", 64016),
            ("action", "ftp://app.example/done", 64016),
            ("action", "https://app.example/a b", 64016),
            ("action", "https://[::1", 64016),
            ("statusCallback", "http://app.example/status", 64020),
            ("statusCallbackMethod", "PUT", 64020),
            ("paymentConnectorUrl", "http://gw.example/", 64001),
        ],
    )
    def test_is_refused_with_the_vendors_number_and_name(self, attribute: str, text: str, code: int) -> None:
        assert refused(**{attribute: text}) == (code, attribute)

    def test_the_account_type_is_for_bank_debits(self) -> None:
        order = asked(paymentMethod="ach-debit", bankAccountType="commercial-savings").order
        assert (order.bank_account_type, order.steps) == (
            "commercial-savings",
            (Step.ROUTING_NUMBER, Step.ACCOUNT_NUMBER),
        )
        assert refused(paymentMethod="ach-debit", bankAccountType="piggy-bank") == (64020, "bankAccountType")

    def test_what_max_attempts_counts_is_the_operators_word(self) -> None:
        assert asked(maxAttempts="3").order.prompts_per_step == 4
        assert asked(maxAttempts="3", to=settings_of(retry_rule="tries")).order.prompts_per_step == 3

    def test_the_mask_is_the_operators_word(self) -> None:
        assert asked(to=settings_of(mask_style="dashed")).order.mask_style == "dashed"

    def test_of_parameters_of_one_name_the_last_counts(self) -> None:
        request = asked(parameters=(("AVSName", "A"), ("shop", "1"), ("AVSName", "B")))
        assert request.order.parameters == {"AVSName": "B", "shop": "1"}

    def test_a_parameter_has_a_name(self) -> None:
        with pytest.raises(PayRefused) as caught:
            asked(parameters=(("", "x"),))
        assert (caught.value.code, caught.value.field) == (64020, "Parameter")


class TestUrls:
    @pytest.mark.parametrize(
        ("written", "url"),
        [
            ("done", "https://app.example/voice/done"),
            ("/done?id=7", "https://app.example/done?id=7"),
            ("https://user:pass@other.example/x#top", "https://user:pass@other.example/x"),
            ("", BASE),
        ],
    )
    def test_of_an_action_are_relative_to_the_document(self, written: str, url: str) -> None:
        assert asked(action=written).action == url

    def test_of_a_callback_too(self) -> None:
        request = asked(statusCallback="../status", statusCallbackMethod="get")
        assert (request.status_callback, request.status_method) == ("https://app.example/status", "GET")

    @pytest.mark.parametrize("written", ["", "/done", "done"])
    def test_of_an_inline_document_have_to_be_absolute(self, written: str) -> None:
        assert refused(action=written, to=settings_of(base_url="")) == (64016, "action")

    def test_an_inline_document_can_name_all_it_needs(self) -> None:
        request = asked(action="https://app.example/done", to=settings_of(base_url=""))
        assert request.action == "https://app.example/done"

    def test_a_development_setting_admits_http(self) -> None:
        local = settings_of(base_url="http://127.0.0.1:5000/pay", allow_insecure=True)
        request = asked(statusCallback="status", paymentConnectorUrl="http://127.0.0.1:5001/", to=local)
        assert request.action == "http://127.0.0.1:5000/pay"
        assert request.status_callback == "http://127.0.0.1:5000/status"
        assert request.connector_url == "http://127.0.0.1:5001/"

    def test_without_it_a_document_that_came_by_http_has_no_default_action(self) -> None:
        assert refused(to=settings_of(base_url="http://127.0.0.1:5000/pay")) == (64016, "action")

    def test_no_refusal_repeats_an_url(self) -> None:
        with pytest.raises(PayRefused) as caught:
            asked(action="http://user:hunter2@app.example/")
        assert "hunter2" not in caught.value.message
        assert "hunter2" not in repr(asked(action="https://user:hunter2@app.example/"))


class TestConnector:
    def test_default_is_the_operators(self) -> None:
        assert asked(paymentConnector=DEFAULT_CONNECTOR).connector == "sandbox"

    def test_a_connector_that_is_called_default_is_meant_by_its_name(self) -> None:
        named = settings_of(connectors={"Default": FULL, "sandbox": FULL})
        assert asked(paymentConnector="Default", to=named).connector == "Default"

    def test_by_name(self) -> None:
        assert asked(paymentConnector="cards").connector == "cards"

    def test_by_url(self) -> None:
        request = asked(paymentConnectorUrl="https://gw.example/pay")
        assert (request.connector, request.connector_url) == ("", "https://gw.example/pay")

    def test_never_by_both(self) -> None:
        assert refused(paymentConnector="cards", paymentConnectorUrl="https://gw.example/")[0] == 64020

    @pytest.mark.parametrize(
        ("capabilities", "attributes", "code"),
        [
            ({"operations": frozenset({Operation.CHARGE})}, {}, 64005),
            ({}, {"tokenType": "payment-method"}, 64006),
            ({"operations": frozenset({Operation.TOKENIZE})}, {"chargeAmount": "1"}, 64007),
            ({"currencies": frozenset({"usd"})}, {"chargeAmount": "1", "currency": "eur"}, 64011),
            ({}, {"paymentMethod": "ach-debit"}, 64013),
        ],
    )
    def test_has_to_be_able_to(self, capabilities: dict[str, Any], attributes: dict[str, str], code: int) -> None:
        only = settings_of(connectors={"sandbox": Capabilities(**capabilities)})
        assert refused(to=only, **attributes) == (code, "paymentConnector")

    def test_an_endpoint_of_the_documents_takes_cards_only(self) -> None:
        given = {"paymentConnectorUrl": "https://gw.example/", "paymentMethod": "ach-debit"}
        assert refused(**given) == (64013, "paymentConnectorUrl")


class TestPrompts:
    def test_say_play_and_pause_in_their_order(self) -> None:
        (rule,) = rules_of(
            prompt(
                Say(text="Bonjour", language="fr-FR", voice="woman"),
                Pause(length_s=1.5),
                Play(url="ding.wav", loop=2),
                for_="payment-card-number",
            )
        )
        file = PlayFile("https://app.example/voice/ding.wav")
        spoken = prompt_rules.Say("Bonjour", language="fr-FR", voice="woman")
        assert rule.actions == (spoken, Silence(1500), file, file)

    def test_selectors_as_every_library_writes_them(self) -> None:
        attributes = {"attempt": "[1, 2]", "cardType": "visa optima", "errorType": "['timeout', 'invalid-date']"}
        (rule,) = rules_of(prompt(for_="expiration-date", **attributes))
        assert rule.attempts == (1, 2)
        assert rule.card_types == ("visa", "amex")
        assert rule.error_types == ("timeout", "invalid-date")

    def test_both_names_of_a_silence(self) -> None:
        (rule,) = rules_of(prompt(for_="postal-code", errorType="input-timeout"))
        assert rule.error_types == ("timeout",)

    def test_name_stands_for_for(self) -> None:
        (rule,) = rules_of(prompt(name="security-code"))
        assert rule.step == "security-code"

    def test_for_several_steps(self) -> None:
        assert [rule.step for rule in rules_of(prompt(for_="postal-code security-code"))] == [
            "postal-code",
            "security-code",
        ]

    def test_matching_is_asked_for_by_a_prompt(self) -> None:
        request = asked(
            prompt(for_="bank-account-number"),
            prompt(for_="bank-account-number", requireMatchingInputs="True"),
            paymentMethod="ach-debit",
        )
        assert request.order.matching == {Step.ACCOUNT_NUMBER}
        assert request.warnings == ()

    def test_matching_is_for_bank_debits(self) -> None:
        request = asked(prompt(for_="security-code", requireMatchingInputs="true"))
        assert request.order.matching == frozenset()
        assert "requireMatchingInputs" in request.warnings[0]

    @pytest.mark.parametrize(
        "attributes",
        [
            {},
            {"for_": "payment-joy"},
            {"for_": "postal-code", "attempt": "0"},
            {"for_": "postal-code", "attempt": "11"},
            {"for_": "postal-code", "attempt": "1-3"},
            {"for_": "postal-code", "attempt": "first"},
            {"for_": "postal-code", "cardType": "unionpay"},
            {"for_": "postal-code", "errorType": "bad-mood"},
            {"for_": "postal-code", "requireMatchingInputs": "perhaps"},
        ],
    )
    def test_a_wrong_one_is_refused(self, attributes: dict[str, str]) -> None:
        assert refused(prompt(**attributes)) == (64020, "Prompt")

    def test_a_file_that_cannot_be_had_is_refused(self) -> None:
        assert refused(prompt(Play(url="ding.wav"), for_="postal-code"), to=settings_of(base_url=""), action=BASE) == (
            64020,
            "Prompt",
        )

    def test_a_prompt_in_which_nothing_is_heard_is_passed_over(self) -> None:
        request = asked(prompt(Say(text=" "), Play(digits="1w2"), for_="postal-code"))
        assert request.order.prompts == ()
        assert len(request.warnings) == 2

    def test_a_prompt_for_an_end_is_not_heard(self) -> None:
        assert "payment-completed" in asked(prompt(for_="payment-completed")).warnings[0]

    def test_a_prompt_has_an_end(self) -> None:
        request = asked(prompt(Say(text="for ever", loop=0), Say(text="more"), for_="postal-code"))
        assert len(request.order.prompts[0].actions) == MAX_ACTIONS
        assert str(MAX_ACTIONS) in request.warnings[0]

    def test_a_pause_has_an_end(self) -> None:
        (rule,) = rules_of(prompt(Pause(length_s=1e9), for_="postal-code"))
        assert rule.actions == (Silence(60_000),)


class TestLanguage:
    ALL = ("payment-card-number", "expiration-date", "security-code", "postal-code", "payment-processing")

    def warned(self, *prompts: PayPrompt) -> tuple[str, ...]:
        poor = settings_of(language_warning=lambda language: f"there are no prompts in {language!r}")
        return asked(*prompts, to=poor, language="sv-SE").warnings

    def test_one_without_prompts_of_the_engines_is_told(self) -> None:
        (warning,) = self.warned()
        assert "'sv-SE'" in warning
        assert len(self.warned(*(prompt(for_=step) for step in self.ALL[1:]))) == 1

    def test_unless_every_prompt_is_the_documents(self) -> None:
        assert self.warned(*(prompt(for_=step) for step in self.ALL)) == ()


def test_a_refusal_is_told_to_the_action() -> None:
    pay = Pay(attributes={"paymentMethod": "ach-debit", "timeout": "0"})
    with pytest.raises(PayRefused) as caught:
        pay_request(pay, settings_of())
    assert refusal_parameters(caught.value, pay) == (
        ("Result", "validation-error"),
        ("PaymentMethod", "ach-debit"),
        ("PaymentError", "timeout: 1 to 600"),
        ("PayErrorCode", "64020"),
    )


def test_a_refusal_names_no_method_that_does_not_exist() -> None:
    pay = Pay(attributes={"paymentMethod": "cheque"})
    with pytest.raises(PayRefused) as caught:
        pay_request(pay, settings_of())
    assert dict(refusal_parameters(caught.value, pay))["PaymentMethod"] == "credit-card"
