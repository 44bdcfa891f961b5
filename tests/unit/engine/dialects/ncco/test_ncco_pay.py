"""What ``pay`` of NCCOs asks for: every member, right and wrong, and what is said of it (`dialects.md` §6.1)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.connectors.protocol import Capabilities
from engine.dialects.ncco.errors import NccoError
from engine.dialects.ncco.pay import (
    MAX_PROMPTS,
    MAX_TEXT,
    PayRequest,
    PaySettings,
    check_pay,
    pay_request,
    payment_details,
    payment_status,
)
from engine.pay.fields import ErrorType, Step
from engine.pay.money import parse_amount
from engine.pay.prompt_rules import Action, DefaultPrompt, Say, choose
from engine.pay.results import Result
from engine.pay.rules import RULES, Dialect
from engine.pay.submission import Operation
from prompts.catalog import Catalog
from prompts.keys import PromptKey

NUMBER = {"type": "CardNumber", "text": "Your number"}
CATALOG = Catalog.load()


def asked(known: PaySettings | None = None, **members: Any) -> PayRequest:
    return pay_request({"amount": "10.00", **members}, known or PaySettings())


def refused(where: str = "[2]", **members: Any) -> NccoError:
    with pytest.raises(NccoError) as caught:
        check_pay({"amount": "10.00", **members}, where)
    return caught.value


def heard(request: PayRequest, step: Step, error: str = "") -> tuple[Action, ...] | None:
    return choose(request.order.prompts, step=step, attempt=2 if error else 1, error_type=error)


class TestAmount:
    @pytest.mark.parametrize(
        ("given", "currency", "sent"),
        [
            ("25.50", "usd", "25.50"),
            ("25.5", "usd", "25.50"),
            (" 7 ", "EUR", "7.00"),
            (7, "usd", "7.00"),
            (25.5, "usd", "25.50"),
            (0.1, "usd", "0.10"),
            (Decimal("0.10"), "usd", "0.10"),
            (Decimal("2.55E+1"), "usd", "25.50"),
            (Decimal("1E+3"), "usd", "1000.00"),
            (500.0, "jpy", "500"),
            (Decimal("500.0"), "JPY", "500"),
            ("0500", "jpy", "500"),
            ("10.000", "usd", "10.00"),
            (999_999.99, "usd", "999999.99"),
        ],
    )
    def test_is_charged_with_the_decimals_of_its_currency(self, given: Any, currency: str, sent: str) -> None:
        order = asked(amount=given, currency=currency).order
        assert (order.amount, order.operation) == (sent, Operation.CHARGE)  # D-49

    @pytest.mark.parametrize(
        "given",
        [
            *(None, "", "free", True, [], {}, "-1", -1, -0.5, "+1", "1,50", "1e3", "٣", "1.", ".5"),
            *(0, 0.0, "0", "0.00", Decimal(0), Decimal("0E+99999"), Decimal("-0")),
            *(1_000_000, "1000000", 1e6, 1e300, 10**400, Decimal("1E+999999"), Decimal("1E-999999")),
            *(float("nan"), float("inf"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")),
        ],
    )
    def test_has_to_be_a_number_above_0_and_below_a_million(self, given: Any) -> None:
        assert refused(amount=given).where == "[2].amount"

    @pytest.mark.parametrize(
        ("given", "currency"),
        [("1.001", "usd"), (0.005, "usd"), ("1.5", "jpy"), (500.5, "jpy"), (Decimal("1E-9"), "usd")],
    )
    def test_has_no_more_decimals_than_its_currency(self, given: Any, currency: str) -> None:
        error = refused(amount=given, currency=currency)
        assert (error.where, "decimals" in error.reason) == ("[2].amount", True)

    @settings(max_examples=60)
    @given(st.decimals(allow_nan=True, allow_infinity=True) | st.integers() | st.floats() | st.text(max_size=20))
    def test_whatever_it_is_what_is_charged_is_what_was_meant(self, given: Any) -> None:
        try:
            order = asked(amount=given).order
        except NccoError:
            return
        meant = Decimal(given.strip() if isinstance(given, str) else repr(given) if isinstance(given, float) else given)
        assert parse_amount(order.amount, "usd") == meant

    @settings(max_examples=30)
    @given(st.integers(min_value=1, max_value=99_999_999), st.sampled_from([Decimal, None]))
    def test_every_amount_of_the_vendors_library_is_taken_as_it_stands(self, cents: int, exact: Any) -> None:
        text = json.dumps(round(cents / 100, 2))  # as its model rounds it
        given = json.loads(text, parse_float=exact)
        assert asked(amount=given).order.amount == f"{cents // 100}.{cents % 100:02}"


class TestCurrency:
    @pytest.mark.parametrize("currency", sorted(RULES[Dialect.NCCO].currencies - {"bgn", "hrk"}))  # euros by now
    def test_is_one_of_the_vendors_list(self, currency: str) -> None:
        assert asked(amount=100, currency=currency).order.currency == currency

    @pytest.mark.parametrize("currency", [None, "", " "])
    def test_is_usd_by_default(self, currency: Any) -> None:
        assert asked(currency=currency).order.currency == "usd"

    @pytest.mark.parametrize("currency", ["kwd", "xyz", "dollars", 5, True, ["usd"]])
    def test_another_one_is_refused(self, currency: Any) -> None:
        assert refused(currency=currency).where == "[2].currency"


class TestWhatIsFixed:
    def test_visa_and_mastercard_and_three_questions(self) -> None:
        order = asked().order
        assert order.valid_card_types == ("visa", "mastercard")
        assert order.steps == (Step.CARD_NUMBER, Step.EXPIRATION_DATE, Step.SECURITY_CODE)
        assert (order.prompts_per_step, order.decline_restarts) == (2, False)  # D-14, D-13
        assert (order.first_digit_timeout_s, order.announced) == (10.0, frozenset())  # D-4

    def test_what_is_not_known_is_passed_over_with_a_warning(self) -> None:
        (warning,) = asked(postal_code="94105", eventMethod="GET").warnings
        assert "94105" not in warning
        assert asked().warnings == ()
        assert asked(prompts=[{**NUMBER, "attempt": 2}]).warnings

    def test_what_the_connector_cannot_do_is_refused(self) -> None:
        only_eur = PaySettings(capabilities=Capabilities(currencies=frozenset({"eur"})))
        assert asked(only_eur, currency="eur")
        with pytest.raises(NccoError, match="usd"):
            asked(only_eur)
        no_charge = PaySettings(capabilities=Capabilities(operations=frozenset({Operation.TOKENIZE})))
        with pytest.raises(NccoError, match="charge"):
            asked(no_charge)


class TestVoice:
    @pytest.mark.parametrize("voice", [None, {}, {"language": None, "style": None}, {"language": " ", "style": 0}])
    def test_is_american_by_default(self, voice: Any) -> None:
        assert asked(voice=voice).order.language == "en-US"

    @pytest.mark.parametrize("style", [0, 7, "3"])
    def test_style_is_of_no_effect(self, style: Any) -> None:
        assert asked(voice={"language": "es-MX", "style": style}).order.language == "es-MX"

    @pytest.mark.parametrize(
        ("voice", "where"),
        [
            ("en-US", "[2].voice"),
            ({"language": 5}, "[2].voice.language"),
            ({"language": "../../etc"}, "[2].voice.language"),
            ({"language": "e" * 100}, "[2].voice.language"),
            ({"style": "loud"}, "[2].voice.style"),
            ({"style": -1}, "[2].voice.style"),
            ({"style": True}, "[2].voice.style"),
            ({"style": 10**5000}, "[2].voice.style"),
            ({"style": []}, "[2].voice.style"),
        ],
    )
    def test_one_that_cannot_be_is_refused(self, voice: Any, where: str) -> None:
        assert refused(voice=voice).where == where

    def test_a_language_without_prompts_is_a_warning(self) -> None:
        known = PaySettings(language_warning=lambda language: CATALOG.resolve(language).warning)
        (warning,) = asked(known, voice={"language": "xx-XX"}).warnings  # D-18
        assert "en-US" in warning
        assert asked(known, voice={"language": "fr-FR"}).warnings == ()
        every = [{"type": name, "text": "t"} for name in ("CardNumber", "ExpirationDate", "SecurityCode")]
        assert asked(known, voice={"language": "xx-XX"}, prompts=every).warnings == ()


class TestPrompts:
    def test_their_texts_are_said(self) -> None:
        request = asked(prompts=[{**NUMBER, "errors": {"Timeout": {"text": "Are you there?"}}}])
        assert heard(request, Step.CARD_NUMBER) == (Say("Your number"),)
        assert heard(request, Step.CARD_NUMBER, "timeout") == (Say("Are you there?"),)

    @pytest.mark.parametrize(
        ("kind", "name", "step", "error"),
        [
            ("CardNumber", "InvalidCardType", Step.CARD_NUMBER, ErrorType.CARD_TYPE),
            ("CardNumber", "InvalidCardNumber", Step.CARD_NUMBER, ErrorType.CARD_NUMBER),
            ("CardNumber", "Timeout", Step.CARD_NUMBER, ErrorType.TIMEOUT),
            ("ExpirationDate", "InvalidExpirationDate", Step.EXPIRATION_DATE, ErrorType.DATE),
            ("ExpirationDate", "Timeout", Step.EXPIRATION_DATE, ErrorType.TIMEOUT),
            ("SecurityCode", "InvalidSecurityCode", Step.SECURITY_CODE, ErrorType.SECURITY_CODE),
            ("SecurityCode", "Timeout", Step.SECURITY_CODE, ErrorType.TIMEOUT),
        ],
    )
    def test_an_errors_text_is_said_for_that_error_alone(
        self, kind: str, name: str, step: Step, error: ErrorType
    ) -> None:
        request = asked(prompts=[{"type": kind, "text": "ask", "errors": {name: {"text": "wrong"}}}])
        assert heard(request, step, error) == (Say("wrong"),)
        assert heard(request, step) == (Say("ask"),)
        others = {other for other in ErrorType if other is not error}
        assert {heard(request, step, other) for other in others} == {(Say("ask"),)}

    @pytest.mark.parametrize("errors", [None, {}, {"Timeout": None}, {"Timeout": {}}, {"Timeout": {"text": " "}}])
    def test_without_a_text_for_an_error_its_own_is_said_again(self, errors: Any) -> None:
        request = asked(prompts=[{**NUMBER, "errors": errors}])
        assert heard(request, Step.CARD_NUMBER, "timeout") == (Say("Your number"),)

    def test_one_alone_may_stand_without_a_list(self) -> None:
        assert asked(prompts=NUMBER).order.prompts == asked(prompts=[NUMBER]).order.prompts  # D-41
        assert refused(prompts={**NUMBER, "type": "PostalCode"}).where == "[2].prompts.type"

    def test_of_two_for_one_step_the_first_counts(self) -> None:
        request = asked(prompts=[NUMBER, {**NUMBER, "text": "Another"}])
        assert heard(request, Step.CARD_NUMBER) == (Say("Your number"),)

    @pytest.mark.parametrize(
        ("prompts", "where"),
        [
            ("CardNumber", "[2].prompts"),
            (7, "[2].prompts"),
            ([NUMBER] * (MAX_PROMPTS + 1), "[2].prompts"),
            (["CardNumber"], "[2].prompts[0]"),
            ([NUMBER, None], "[2].prompts[1]"),
            ([{"text": "x"}], "[2].prompts[0].type"),
            ([{"type": "PostalCode", "text": "x"}], "[2].prompts[0].type"),
            ([{"type": ["CardNumber"], "text": "x"}], "[2].prompts[0].type"),
            ([{"type": "CardNumber"}], "[2].prompts[0].text"),
            ([{"type": "CardNumber", "text": " "}], "[2].prompts[0].text"),
            ([{"type": "CardNumber", "text": 5}], "[2].prompts[0].text"),
            ([{"type": "CardNumber", "text": "x" * (MAX_TEXT + 1)}], "[2].prompts[0].text"),
            ([{"type": "CardNumber", "text": "\ud800"}], "[2].prompts[0].text"),
            ([{**NUMBER, "errors": []}], "[2].prompts[0].errors"),
            ([{**NUMBER, "errors": {"Foo": {}}}], "[2].prompts[0].errors.Foo"),
            ([{**NUMBER, "errors": {"InvalidSecurityCode": {}}}], "[2].prompts[0].errors.InvalidSecurityCode"),
            ([{**NUMBER, "errors": {"4111111111111111": {}}}], "[2].prompts[0].errors"),
            ([{**NUMBER, "errors": {"Timeout": "Again"}}], "[2].prompts[0].errors.Timeout"),
            ([{**NUMBER, "errors": {"Timeout": {"text": 5}}}], "[2].prompts[0].errors.Timeout.text"),
        ],
    )
    def test_what_is_wrong_is_refused_with_its_place(self, prompts: Any, where: str) -> None:
        error = refused(prompts=prompts)
        assert error.where == where
        assert str(error) == f"{where}: {error.reason}"

    def test_a_refusal_without_a_place_names_the_member(self) -> None:
        assert refused("", amount="x").where == "amount"


class TestDefaultPrompts:
    @pytest.mark.parametrize("language", ["en-US", "en-GB", "EN_au", "en"])
    def test_are_the_vendors_in_english(self, language: str) -> None:
        request = asked(voice={"language": language})
        assert heard(request, Step.CARD_NUMBER) == (Say("Please enter your long card number"),)
        date = "Please enter your four-digit credit card expiration date"
        assert heard(request, Step.EXPIRATION_DATE) == (Say(date),)
        code = "Please enter your three-digit credit card security code"
        assert heard(request, Step.SECURITY_CODE) == (Say(code),)

    def test_say_first_what_was_wrong(self) -> None:
        request = asked()
        number = Say("Please enter your long card number")
        for error in ("invalid-card-number", "invalid-card-type", "timeout"):
            assert heard(request, Step.CARD_NUMBER, error) == (
                DefaultPrompt(f"error.{error}"),
                number,
                DefaultPrompt(str(PromptKey.FINISH_KEY)),
            )
        code = Say("Please enter your three-digit credit card security code")
        wrong = DefaultPrompt("error.invalid-security-code")
        assert heard(request, Step.SECURITY_CODE, "invalid-security-code") == (wrong, code)

    def test_serve_the_steps_that_the_application_left_out(self) -> None:
        request = asked(prompts=[NUMBER])
        assert heard(request, Step.CARD_NUMBER, "timeout") == (Say("Your number"),)
        assert heard(request, Step.SECURITY_CODE) == (Say("Please enter your three-digit credit card security code"),)

    def test_are_the_engines_own_in_other_languages(self) -> None:
        request = asked(voice={"language": "de-DE"})
        assert request.order.prompts == ()
        assert request.order.speaks_by_itself


class TestWhatIsTold:
    def test_every_payment_that_was_not_refused_is_a_success_or_a_failure(self) -> None:
        told = {result: payment_status(str(result)) for result in Result}
        assert told.pop(Result.SUCCESS) == "success"
        assert told.pop(Result.VALIDATION_ERROR) == ""
        assert set(told.values()) == {"failure"}

    def test_details_are_those_that_are_known(self) -> None:
        paid = payment_details(result="success", error="", charge_id="ch_1", card_number="************1111")
        assert paid == {"confirmation_code": "ch_1", "card": "************1111"}
        failed = payment_details(result="caller-hung-up", error="", charge_id="", card_number="")
        assert failed == {"reason": "caller-hung-up"}

    def test_a_connector_that_repeats_the_card_is_masked(self) -> None:
        error = "card 4111111111111111 refused"
        details = payment_details(result="payment-connector-error", error=error, charge_id="", card_number="")
        assert "4111111111111111" not in details["reason"]
        assert details["reason"].startswith("payment-connector-error: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["CardNumber"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "errors", "Timeout", "language", "style"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(["amount", "currency", "voice", "prompts", "x"]), JSON))
def test_any_members_make_a_payment_or_a_refusal(members: dict[str, Any]) -> None:
    try:
        order = pay_request({"amount": 5, **members}, PaySettings(capabilities=Capabilities())).order
    except NccoError:
        return
    assert order.operation is Operation.CHARGE
