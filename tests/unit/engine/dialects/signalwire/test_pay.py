"""What ``pay`` of SWML and RELAY asks for: every property, right and wrong, and what is told of it (§2.5, §2.6, §3)."""

from __future__ import annotations

from typing import Any

import pytest
from signalwire import FunctionResult

from engine.dialects.signalwire.pay import (
    MAX_ACTIONS,
    MAX_PARAMETERS,
    MAX_PROMPTS,
    MAX_TEXT,
    PROPERTIES,
    PayRefused,
    PayRequest,
    PaySettings,
    pay_request,
)
from engine.dialects.signalwire.pay_events import (
    refused_variables,
    relay_event_params,
    result_variables,
    status_params,
)
from engine.pay.fields import Step
from engine.pay.prompt_rules import PlayFile, PromptRule, Say
from engine.pay.results import ConnectorFault, PayResult, PayStatus, Result
from engine.pay.rules import Dialect
from engine.pay.submission import Operation, Outcome, PaymentMethod, TokenType

BOTH = (Dialect.SWML, Dialect.RELAY)
CONNECTOR = "https://gw.example/pay"
STATUS = "https://app.example/status"
PHRASE = {"type": "Say", "phrase": "Your number"}


def asked(dialect: Dialect = Dialect.SWML, *, settings: dict[str, Any] | None = None, **properties: Any) -> PayRequest:
    given = {"payment_connector_url": CONNECTOR, **properties}
    return pay_request(given, PaySettings(dialect=dialect, **settings or {}))


def refused(dialect: Dialect = Dialect.SWML, **properties: Any) -> PayRefused:
    with pytest.raises(PayRefused) as caught:
        asked(dialect, **properties)
    assert caught.value.code == "422"
    return caught.value


def prompt(*actions: Any, **members: Any) -> dict[str, Any]:
    named = {name.rstrip("_"): value for name, value in members.items()}
    return {"for": "payment-card-number", "actions": list(actions) or [PHRASE], **named}


def rules_of(*prompts: Any, **properties: Any) -> tuple[PromptRule, ...]:
    return asked(prompts=list(prompts), **properties).order.prompts


class TestDefaults:
    @pytest.mark.parametrize("dialect", BOTH)
    def test_a_bare_pay_tokenizes_a_card(self, dialect: Dialect) -> None:
        request = asked(dialect)
        order = request.order
        assert (request.connector_url, request.status_url, request.warnings) == (CONNECTOR, "", ())
        assert order.operation is Operation.TOKENIZE
        assert (order.method, order.token_type) == (PaymentMethod.CREDIT_CARD, TokenType.REUSABLE)
        assert order.steps == (Step.CARD_NUMBER, Step.EXPIRATION_DATE, Step.SECURITY_CODE, Step.POSTAL_CODE)
        assert (order.currency, order.language, order.voice) == ("usd", "en-US", "woman")
        assert (order.timeout_s, order.max_attempts, order.prompts_per_step) == (5.0, 1, 2)
        assert order.accepted == {"visa", "mastercard", "amex"}
        assert {Step.PROCESSING, Step.COMPLETED, Step.FAILED, Step.CANCELED} == order.announced
        assert (order.mask_char, order.decline_restarts) == ("*", True)

    @pytest.mark.parametrize("nothing", [None, "", "  "])
    def test_null_and_empty_text_are_not_given(self, nothing: str | None) -> None:
        assert asked(**dict.fromkeys((*PROPERTIES, "status_url", "input", "prompts"), nothing)).order == asked().order

    def test_settings_of_the_operator(self) -> None:
        order = asked(settings={"retry_rule": "tries", "mask_style": "dashed"}, max_attempts=2).order
        assert (order.prompts_per_step, order.mask_style) == (2, "dashed")


class TestScalars:
    """D-24: text, number and boolean stand for each other."""

    @pytest.mark.parametrize("dialect", BOTH)
    @pytest.mark.parametrize("value", [7, "7", " 7 ", 7.0])
    def test_seconds(self, dialect: Dialect, value: Any) -> None:
        assert asked(dialect, timeout=value).order.timeout_s == 7.0

    @pytest.mark.parametrize("value", [3, "3"])
    def test_attempts_and_length(self, value: Any) -> None:
        order = asked(max_attempts=value, min_postal_code_length=value).order
        assert (order.max_attempts, order.min_postal_code_length) == (3, 3)

    @pytest.mark.parametrize(("value", "wanted"), [(True, True), ("true", True), ("False", False), (False, False)])
    def test_flags(self, value: Any, wanted: bool) -> None:
        order = asked(Dialect.RELAY, security_code=value, postal_code=value).order
        assert (order.security_code, order.postal_code) == (wanted, wanted)

    @pytest.mark.parametrize(("value", "code"), [("94105", "94105"), (94105, "94105"), ("SW1A 1AA", "SW1A 1AA")])
    def test_a_postal_code_that_is_known(self, value: Any, code: str) -> None:
        order = asked(postal_code=value).order
        assert order.postal_code == code
        assert Step.POSTAL_CODE not in order.steps

    @pytest.mark.parametrize(
        ("value", "text"), [("29.99", "29.99"), (29.99, "29.99"), (5, "5"), (0.1, "0.1"), ("10.10", "10.10")]
    )
    def test_an_amount_is_charged_as_it_is_written(self, value: Any, text: str) -> None:
        order = asked(charge_amount=value).order
        assert (order.operation, order.charged_amount) == (Operation.CHARGE, text)

    @pytest.mark.parametrize("value", ["0", "0.00", 0, 0.0, None, ""])
    def test_no_amount_means_a_token(self, value: Any) -> None:
        assert asked(charge_amount=value).order.tokenizes

    @pytest.mark.parametrize("value", ["USD", "usd", "Pln", "JPY"])
    def test_a_currency_in_any_case_is_passed_on_as_written(self, value: str) -> None:
        assert asked(currency=value, charge_amount="10").order.currency == value

    @pytest.mark.parametrize("value", ["visa, jcb", "visa jcb", "visa,jcb", ["visa", "jcb"]])
    def test_card_types(self, value: Any) -> None:
        assert asked(Dialect.RELAY, valid_card_types=value).order.accepted == {"visa", "jcb"}

    def test_parameters_become_one_object_whose_last_word_counts(self) -> None:
        given = [{"name": "a", "value": "1"}, {"name": "b", "value": 2}, {"name": "a", "value": "3"}]
        assert asked(parameters=given).order.parameters == {"a": "3", "b": "2"}


class TestRefusal:
    @pytest.mark.parametrize("dialect", BOTH)
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("payment_connector_url", None),
            ("payment_connector_url", ""),
            ("payment_connector_url", "gw.example/pay"),
            ("payment_connector_url", "http://gw.example/pay"),
            ("payment_connector_url", {"a": 1}),
            ("status_url", "http://app.example/status"),
            ("status_url", "ftp://app.example/"),
            ("status_url", 5),
            ("input", "speech"),
            ("input", "dtmf speech"),
            ("payment_method", "ach-debit"),
            ("charge_amount", "-1"),
            ("charge_amount", "free"),
            ("charge_amount", True),
            ("charge_amount", "1.999"),
            ("charge_amount", 1000000),
            ("charge_amount", 1e22),
            ("charge_amount", float("nan")),
            ("charge_amount", [1]),
            ("currency", "dollars"),
            ("timeout", 0),
            ("timeout", 601),
            ("timeout", 1.5),
            ("timeout", "soon"),
            ("timeout", True),
            ("max_attempts", 11),
            ("max_attempts", -1),
            ("max_attempts", "many"),
            ("min_postal_code_length", -1),
            ("security_code", "perhaps"),
            ("security_code", 1),
            ("postal_code", ["94105"]),
            ("token_type", "forever"),
            ("token_type", "payment-method"),
            ("valid_card_types", "visa optima"),
            ("valid_card_types", "bitcoin"),
            ("valid_card_types", 5),
            ("parameters", "name=value"),
            ("parameters", [{"value": "x"}]),
            ("parameters", [{"name": "x", "value": {"deep": 1}}]),
            ("parameters", [{"name": str(n), "value": "x"} for n in range(MAX_PARAMETERS + 1)]),
            ("parameters", [{"name": "x", "value": "x" * (MAX_TEXT + 1)}]),
            ("description", "x" * (MAX_TEXT + 1)),
            ("description", "half a pair: \ud83d"),
            ("parameters", [{"name": "x", "value": "\udc00"}]),
            ("language", {"en": "US"}),
        ],
    )
    def test_names_the_property(self, dialect: Dialect, name: str, value: Any) -> None:
        assert refused(dialect, **{name: value}).parameter == name

    @pytest.mark.parametrize("name", ["payment_connector_url", "status_url"])
    def test_http_is_taken_where_the_operator_allows_it(self, name: str) -> None:
        given: dict[str, Any] = {name: "http://127.0.0.1:8080/x"}
        request = asked(settings={"allow_insecure": True}, **given)
        assert "http://127.0.0.1:8080/x" in (request.connector_url, request.status_url)

    @pytest.mark.parametrize("name", sorted({*PROPERTIES, "status_url", "input", "prompts"} - {"description", "voice"}))
    def test_says_nothing_of_what_was_given(self, name: str) -> None:
        given: dict[str, Any] = {name: [{"4111111111111111": "4111111111111111"}]}
        error = refused(**given)
        assert "4111" not in str(error) + error.reason

    def test_what_it_does_not_know(self) -> None:
        assert asked(Dialect.RELAY, bank_account_type="consumer-checking", node_id="n").order == asked().order
        assert "property" in refused(Dialect.SWML, bank_account_type="consumer-checking").reason


class TestPrompts:
    def test_what_is_said_and_played_in_order(self) -> None:
        (rule,) = rules_of(prompt(PHRASE, {"type": "Play", "phrase": "http://app.example/ding.wav"}))
        assert rule.step == Step.CARD_NUMBER
        assert rule.actions == (Say("Your number"), PlayFile("http://app.example/ding.wav"))

    def test_are_said_in_the_voice_of_the_payment(self) -> None:
        (rule,) = rules_of(prompt(), voice="espeak:en+f3")
        assert rule.actions == (Say("Your number", voice="espeak:en+f3"),)
        (rule,) = rules_of(prompt(), voice="Woman")
        assert rule.actions == (Say("Your number"),), "the default one, which all others are said in"

    @pytest.mark.parametrize("value", ["2 3", "2,3", [2, 3], ["2", "3"]])
    def test_by_attempt(self, value: Any) -> None:
        assert rules_of(prompt(attempts=value))[0].attempts == (2, 3)

    def test_by_one_attempt(self) -> None:
        assert rules_of(prompt(attempts=2))[0].attempts == (2,)

    @pytest.mark.parametrize("value", [None, "", []])
    def test_by_no_attempt(self, value: Any) -> None:
        assert rules_of(prompt(attempts=value))[0].attempts == ()

    def test_by_card_type_and_error(self) -> None:
        (rule,) = rules_of(prompt(card_type="visa optima", error_type="timeout invalid-date"))
        assert rule.card_types == ("visa", "amex")
        assert rule.error_types == ("timeout", "invalid-date")

    @pytest.mark.parametrize("name", ["payment-canceled", "payment-cancelled"])
    def test_both_spellings_of_canceled(self, name: str) -> None:
        assert rules_of(prompt(for_=name))[0].step == Step.CANCELED

    @pytest.mark.parametrize("step", list(Step))
    def test_every_step(self, step: Step) -> None:
        assert rules_of(prompt(for_=str(step)))[0].step == step

    @pytest.mark.parametrize("actions", [[], [{"type": "Say", "phrase": "  "}], [{"type": "Say"}]])
    def test_one_that_says_nothing_is_passed_over(self, actions: list[Any]) -> None:
        request = asked(prompts=[{"for": "postal-code", "actions": actions}])
        assert request.order.prompts == ()
        assert "prompts[0]" in request.warnings[0]

    @pytest.mark.parametrize(
        ("wrong", "where"),
        [
            ("text", "prompts"),
            ({"for": "postal-code"}, "prompts"),
            ([prompt()] * (MAX_PROMPTS + 1), "prompts"),
            (["text"], "prompts[0]"),
            ([prompt(), {"actions": [PHRASE]}], "prompts[1].for"),
            ([prompt(for_="shoe-size")], "prompts[0].for"),
            ([prompt(for_=["x"])], "prompts[0].for"),
            ([prompt(for_=5)], "prompts[0].for"),
            ([{"for": "postal-code"}], "prompts[0].actions"),
            ([{"for": "postal-code", "actions": "Say it"}], "prompts[0].actions"),
            ([prompt(*[PHRASE] * (MAX_ACTIONS + 1))], "prompts[0].actions"),
            ([prompt("Say it")], "prompts[0].actions[0]"),
            ([prompt(PHRASE, {"type": "Sing", "phrase": "la"})], "prompts[0].actions[1].type"),
            ([prompt({"phrase": "la"})], "prompts[0].actions[0].type"),
            ([prompt({"type": "Say", "phrase": ["la"]})], "prompts[0].actions[0].phrase"),
            ([prompt({"type": "Play", "phrase": "ding.wav"})], "prompts[0].actions[0].phrase"),
            ([prompt({"type": "Play"})], "prompts[0].actions[0].phrase"),
            ([prompt(attempts="0")], "prompts[0].attempts"),
            ([prompt(attempts="first")], "prompts[0].attempts"),
            ([prompt(attempts="²")], "prompts[0].attempts"),
            ([prompt(attempts="12")], "prompts[0].attempts"),
            ([prompt(attempts=True)], "prompts[0].attempts"),
            ([prompt(attempts=1.5)], "prompts[0].attempts"),
            ([prompt(attempts=10**5000)], "prompts[0].attempts"),
            ([prompt(attempts=[[1]])], "prompts[0].attempts"),
            ([prompt(card_type="diners")], "prompts[0].card_type"),
            ([prompt(error_type="sadness")], "prompts[0].error_type"),
        ],
    )
    def test_a_wrong_one_is_refused_by_its_place(self, wrong: Any, where: str) -> None:
        for dialect in BOTH:
            assert refused(dialect, prompts=wrong).parameter == where

    def test_what_they_do_not_know(self) -> None:
        odd = [prompt({**PHRASE, "volume": 3}, colour="red")]
        assert len(asked(Dialect.RELAY, prompts=odd).order.prompts) == 1
        assert refused(Dialect.SWML, prompts=odd).parameter == "prompts[0]"
        assert refused(Dialect.SWML, prompts=[prompt({**PHRASE, "volume": 3})]).parameter == "prompts[0].actions[0]"


class TestLanguage:
    @pytest.mark.parametrize("language", ["en", "en-US", "pl-PL"])
    def test_is_as_written(self, language: str) -> None:
        assert asked(language=language).order.language == language

    def test_without_prompts_of_ours_is_a_warning(self) -> None:
        settings = {"language_warning": lambda language: f"no prompts in {language}"}
        assert asked(settings=settings, language="tlh").warnings == (
            "language: no prompts in tlh; give every prompt, or another language",
        )
        every = [prompt(for_=str(step)) for step in Step]
        assert asked(settings=settings, language="tlh", prompts=every).warnings == ()


class TestVendorsLibrary:
    def test_what_its_function_result_writes(self) -> None:
        result = FunctionResult("One moment").pay(
            payment_connector_url=CONNECTOR,
            status_url=STATUS,
            charge_amount="29.99",
            timeout=7,
            max_attempts=3,
            security_code=False,
            postal_code=False,
            min_postal_code_length=5,
            token_type="one-time",
            currency="pln",
            language="pl-PL",
            valid_card_types="visa mastercard",
            description="Dues",
            parameters=[FunctionResult.create_payment_parameter("shop", "7")],
            prompts=[
                FunctionResult.create_payment_prompt(
                    for_situation="payment-card-number",
                    actions=[FunctionResult.create_payment_action("Say", "Numer karty")],
                    card_type="visa",
                    error_type="timeout",
                )
            ],
        )
        (action,) = [one["SWML"] for one in result.to_dict()["action"] if "SWML" in one]
        (properties,) = [step["pay"] for step in action["sections"]["main"] if "pay" in step]
        order = pay_request(properties, PaySettings(dialect=Dialect.SWML)).order
        assert (order.timeout_s, order.max_attempts, order.min_postal_code_length) == (7.0, 3, 5)
        assert (order.security_code, order.postal_code) == (False, False)
        assert (order.amount, order.currency, order.token_type) == ("29.99", "pln", "one-time")
        assert order.parameters == {"shop": "7"}
        assert order.prompts[0].actions == (Say("Numer karty"),)


REQUEST = asked(status_url="https://user:pass@app.example/status?a=1", charge_amount="5")
MASKED: dict[str, Any] = {
    "card_number": "************1111",
    "last_four": "1111",
    "card_type": "visa",
    "security_code": "***",
    "expiration_date": "1228",
    "postal_code": "94105",
}
SHOWN = {
    "payment_card_number": "************1111",
    "payment_card_type": "visa",
    "security_code": "***",
    "expiration_date": "1228",
    "payment_card_postal_code": "94105",
}
IDS = {"call_id": "c1", "control_id": "p1"}


def result_of(result: Result, **values: Any) -> PayResult:
    return PayResult(result=result, operation=Operation.CHARGE, **MASKED | values)


PAID = result_of(Result.SUCCESS, charge_id="ch_1", outcome=Outcome.SUCCEEDED, attempts=1)
DECLINED = result_of(
    Result.PAYMENT_CONNECTOR_ERROR,
    payment_error="insufficient funds",
    payment_error_code="51",
    connector_error=ConnectorFault(code="51", message="insufficient funds"),
    outcome=Outcome.DECLINED,
    attempts=2,
)


class TestStatusPosts:
    def test_a_step(self) -> None:
        status = PayStatus(step=Step.EXPIRATION_DATE, error_type="invalid-date", attempt=2, card_type="visa")
        assert status_params(REQUEST, status, **IDS) == {
            "status_url": "https://app.example/status?a=1",
            "status_url_method": "POST",
            "for": "expiration-date",
            "error_type": "invalid-date",
            "payment_method": "credit-card",
            "payment_card_number": "",
            "payment_card_type": "visa",
            "security_code": "",
            "expiration_date": "",
            "payment_card_postal_code": "",
            "control_id": "p1",
            "call_id": "c1",
            "node_id": "paytone",
        }

    def test_the_end_has_the_result(self) -> None:
        params = status_params(REQUEST, PAID, **IDS)
        assert params.items() >= {"for": "payment-completed", "error_type": "", "result": "success", **SHOWN}.items()
        assert (params["payment_confirmation_code"], params["payment_token"]) == ("ch_1", "")
        assert "connector_error" not in params

    def test_a_decline_says_why(self) -> None:
        params = status_params(REQUEST, DECLINED, **IDS)
        assert (params["for"], params["error_type"]) == ("payment-failed", "card-declined")
        assert params["connector_error"] == {"code": "51", "message": "insufficient funds"}

    @pytest.mark.parametrize(
        ("result", "step", "error"),
        [
            (Result.CALLER_INTERRUPTED_WITH_STAR, "payment-canceled", ""),
            (Result.CALLER_HUNG_UP, "payment-canceled", ""),
            (Result.RELAY_PAY_STOP, "payment-canceled", ""),
            (Result.TOO_MANY_FAILED_ATTEMPTS, "payment-failed", "timeout"),
            (Result.INTERNAL_ERROR, "payment-failed", "internal-error"),
        ],
    )
    def test_every_other_end(self, result: Result, step: str, error: str) -> None:
        spent = "timeout" if result is Result.TOO_MANY_FAILED_ATTEMPTS else ""
        params = status_params(REQUEST, result_of(result, payment_error=spent), **IDS)
        assert (params["for"], params["error_type"], params["result"]) == (step, error, str(result))


class TestVariables:
    def test_of_a_success(self) -> None:
        assert result_variables(PAID, REQUEST.order) == {
            "pay_result": "success",
            "pay_payment_results": {
                "payment_token": "",
                "payment_confirmation_code": "ch_1",
                "payment_card_number": "************1111",
                "payment_card_type": "visa",
                "payment_card_expiration_date": "1228",
                "payment_card_security_code": "***",
                "payment_card_postal_code": "94105",
                "payment_error": "",
                "payment_error_code": "",
            },
        }

    def test_of_what_the_connector_refused(self) -> None:
        variables = result_variables(DECLINED, REQUEST.order)
        results = variables["pay_payment_results"]
        assert variables["pay_result"] == "payment-connector-error"
        assert (results["payment_error"], results["payment_error_code"]) == ("insufficient funds", "51")
        assert results["connector_error"] == {"code": "51", "message": "insufficient funds"}

    def test_of_a_refusal(self) -> None:
        variables = refused_variables(refused(timeout=0))
        assert variables["pay_result"] == "validation-error"
        assert variables["pay_payment_results"]["payment_error"].startswith("timeout: ")
        assert (
            variables["pay_payment_results"].keys()
            == result_variables(PAID, REQUEST.order)["pay_payment_results"].keys()
        )


class TestRelayEvents:
    def test_a_step(self) -> None:
        status = PayStatus(step=Step.SECURITY_CODE, error_type="timeout", attempt=2)
        params = relay_event_params(REQUEST, status, **IDS)
        assert params == {
            "control_id": "p1",
            "call_id": "c1",
            "node_id": "paytone",
            "state": "collecting",
            "for": "security-code",
            "attempt": 2,
            "error_type": "timeout",
            "payment_method": "credit-card",
            **dict.fromkeys(SHOWN, ""),
        }

    def test_paid_is_finished(self) -> None:
        params = relay_event_params(REQUEST, PAID, **IDS)
        assert params.items() >= {"state": "finished", "result": "success", "for": "payment-completed"}.items()
        assert params["payment_confirmation_code"] == "ch_1"
        assert not {"payment_token", "payment_error", "payment_error_code", "connector_error"} & params.keys()

    @pytest.mark.parametrize("result", [result for result in Result if result is not Result.SUCCESS])
    def test_every_other_end_is_an_error(self, result: Result) -> None:
        assert relay_event_params(REQUEST, result_of(result), **IDS)["state"] == "error"

    def test_a_decline_says_why(self) -> None:
        params = relay_event_params(REQUEST, DECLINED, **IDS)
        assert params["result"] == "payment-connector-error"
        assert (params["payment_error"], params["payment_error_code"]) == ("insufficient funds", "51")
        assert params["connector_error"] == {"code": "51", "message": "insufficient funds"}
