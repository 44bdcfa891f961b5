"""Which of several prompts is played (`dialects.md` §1.6, D-15 to D-17)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.pay.errors import OrderError
from engine.pay.fields import ErrorType, Step
from engine.pay.prompt_rules import (
    Action,
    DefaultPrompt,
    PlayFile,
    PromptRule,
    Say,
    choose,
    confirm_actions,
    default_actions,
    matching_steps,
    tokens,
)
from engine.pay.results import MaskedFields


def rule(text: str, step: str = "payment-card-number", **conditions: Any) -> PromptRule:
    return PromptRule(step=step, actions=(Say(text),), **conditions)


def chosen(*rules: PromptRule, **situation: Any) -> str | None:
    actions: tuple[Action, ...] | None = choose(rules, **{"step": "payment-card-number", "attempt": 1, **situation})
    if actions is None:
        return None
    assert isinstance(actions[0], Say)
    return actions[0].text


PLAIN = rule("plain")
ON_TIMEOUT = rule("timeout", error_types=("timeout",))
SECOND = rule("second", attempts=(2, 3))
VISA = rule("visa", card_types=("visa",))


def test_without_rules_nothing_is_chosen() -> None:
    assert chosen() is None


def test_a_rule_of_another_step_is_not_chosen() -> None:
    assert chosen(rule("x", step="postal-code")) is None


def test_a_rule_with_error_types_is_dropped_while_nothing_is_wrong() -> None:
    assert chosen(ON_TIMEOUT) is None
    assert chosen(ON_TIMEOUT, PLAIN) == "plain"


def test_a_rule_for_other_attempts_is_dropped() -> None:
    assert chosen(SECOND) is None
    assert chosen(SECOND, attempt=3) == "second"


def test_a_rule_for_a_brand_is_dropped_until_the_brand_is_known() -> None:
    assert chosen(VISA) is None
    assert chosen(VISA, card_type="amex") is None
    assert chosen(VISA, card_type="visa") == "visa"


def test_an_error_weighs_more_than_an_attempt_and_that_more_than_a_brand() -> None:
    situation = {"attempt": 2, "card_type": "visa", "error_type": "timeout"}
    assert chosen(PLAIN, VISA, SECOND, ON_TIMEOUT, **situation) == "timeout"
    assert chosen(PLAIN, VISA, SECOND, **situation) == "second"
    assert chosen(PLAIN, VISA, **situation) == "visa"
    assert chosen(rule("both", attempts=(2,), card_types=("visa",)), SECOND, ON_TIMEOUT, **situation) == "timeout"
    assert chosen(SECOND, rule("both", attempts=(2,), card_types=("visa",)), **situation) == "both"


def test_of_equals_the_first_in_the_document_is_chosen() -> None:
    assert chosen(rule("one"), rule("two")) == "one"


def test_timeout_and_input_timeout_are_one() -> None:
    assert chosen(rule("x", error_types=("input-timeout",)), error_type="timeout") == "x"


def test_optima_is_amex() -> None:
    assert chosen(rule("x", card_types=("optima",)), card_type="amex") == "x"


def test_a_second_entry_has_prompts_of_its_own() -> None:
    second = rule("again", matching=True)
    assert chosen(PLAIN, second) == "plain"
    assert chosen(PLAIN, second, matching=True) == "again"


def test_cancelled_is_also_written_with_two_l() -> None:
    assert rule("x", step="payment-cancelled").step == "payment-canceled"


@pytest.mark.parametrize(
    "wrong",
    [{"step": "payment"}, {"step": ""}, {"actions": ()}, {"attempts": (0,)}, {"attempts": (1, -2)}],
)
def test_a_rule_that_could_never_play_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OrderError, match=r"^prompts: "):
        PromptRule(**{"step": "postal-code", "actions": (PlayFile("a.wav"),), **wrong})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("visa mastercard", ("visa", "mastercard")),
        ("visa,mastercard, amex", ("visa", "mastercard", "amex")),
        ("['timeout', 'invalid-date']", ("timeout", "invalid-date")),
        ("[1, 2]", ("1", "2")),
        ("Diners-Club", ("diners-club",)),
        ("", ()),
        ("  ", ()),
    ],
)
def test_lists_are_read_however_they_are_written(text: str, names: tuple[str, ...]) -> None:
    assert tokens(text) == names


def keys(step: Step, **situation: Any) -> list[str]:
    return [action.key for action in default_actions(step, **situation)]


def test_the_default_is_the_step() -> None:
    for step in Step:
        assert keys(step) == [str(step)]


def test_after_an_error_the_default_says_it_first() -> None:
    assert keys(Step.EXPIRATION_DATE, error_type="invalid-date") == ["error.invalid-date", "expiration-date"]


def test_an_error_without_a_text_is_passed_over() -> None:
    assert keys(Step.FAILED, error_type="internal-error") == ["payment-failed"]
    assert keys(Step.FAILED, error_type=str(ErrorType.CARD_DECLINED)) == ["error.card-declined", "payment-failed"]


def test_how_to_end_an_entry_is_said_after_an_error_where_length_does_not_end_it() -> None:
    open_ended = {Step.CARD_NUMBER, Step.POSTAL_CODE, Step.ACCOUNT_NUMBER}
    for step in Step:
        assert ("finish-key" in keys(step, error_type="timeout")) == (step in open_ended)
        assert "finish-key" not in keys(step)


def test_a_refused_bank_debit_is_no_declined_card() -> None:
    assert keys(Step.FAILED, error_type="card-declined", bank=True) == ["payment-failed"]
    assert keys(Step.ROUTING_NUMBER, error_type="card-declined", bank=True) == ["bank-routing-number"]
    assert keys(Step.ROUTING_NUMBER, error_type="timeout", bank=True) == ["error.timeout", "bank-routing-number"]


def test_a_second_entry_is_asked_for_once_more() -> None:
    assert keys(Step.ROUTING_NUMBER, matching=True) == ["reenter-to-match"]
    assert keys(Step.ACCOUNT_NUMBER, matching=True, error_type="timeout") == [
        "error.timeout",
        "reenter-to-match",
        "finish-key",
    ]


def test_what_is_read_back_are_digits_that_may_be_shown() -> None:
    card = MaskedFields(card_number="************1111", last_four="1111")
    assert confirm_actions(card)[0] == DefaultPrompt("confirm-last-four", digits="1111")
    account = MaskedFields(routing_number="021000021", account_number="**********89")
    assert confirm_actions(account) == (
        DefaultPrompt("confirm-last-four", digits="89"),
        DefaultPrompt("press-1-to-confirm"),
    )


def test_steps_to_match_are_those_with_a_prompt_for_the_second_entry() -> None:
    rules = [PLAIN, rule("x", step="bank-account-number", matching=True), rule("y", step="bank-routing-number")]
    assert matching_steps(rules) == {Step.ACCOUNT_NUMBER}


def test_the_security_code_of_amex_has_a_prompt_of_its_own() -> None:
    assert keys(Step.SECURITY_CODE, card_type="amex") == ["security-code.amex"]
    assert keys(Step.SECURITY_CODE, card_type="visa") == ["security-code"]


def test_tokenizing_has_its_own_words_for_the_outcome() -> None:
    assert keys(Step.COMPLETED, tokenize=True) == ["tokenize-completed"]
    assert keys(Step.FAILED, tokenize=True) == ["tokenize-failed"]
    assert keys(Step.CANCELED, tokenize=True) == ["payment-canceled"]
    assert default_actions(Step.PROCESSING, tokenize=True) == (DefaultPrompt("payment-processing"),)
