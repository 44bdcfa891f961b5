"""``pay`` of NCCOs: from its members to an order, and what is told of its end (`dialects.md` §6.1).

Laws:

1. All that can be wrong is found before the caller hears anything, and refused with its place (`NccoError`); what is
   only odd is a warning, and the payment goes on. A refusal repeats no value.
2. An amount is never binary: of a JSON number its digits count. The vendor's library writes all of them as fractions
   (``500.0``), so zeros that a currency has no decimals for are none too many.
3. A prompt's error texts are played in place of its text, and its text where there is none for the error. A step
   without a prompt has, in English, the vendor's wording, behind what was wrong; in other languages the engine's own.
4. Every payment that began is told of once, as ``success`` or ``failure``, whoever ended it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from engine.connectors.protocol import Capabilities, check
from engine.dialects.ncco.errors import NccoError
from engine.pay.errors import OrderError
from engine.pay.fields import ErrorType, Step, field_of
from engine.pay.money import currency_exponent
from engine.pay.order import PayOrder
from engine.pay.prompt_rules import Action, PromptRule, Say, default_actions
from engine.pay.results import Result
from engine.pay.rules import RULES, Dialect, order_for
from engine.redact import redact_text

__all__ = (
    "MAX_PROMPTS",
    "MAX_TEXT",
    "PayRequest",
    "PaySettings",
    "check_pay",
    "pay_request",
    "payment_details",
    "payment_status",
)

LIMIT = 1_000_000
"No amount reaches it, in any currency (`dialects.md` §1.10)."
MAX_PROMPTS = 100
MAX_TEXT = 10_000
"Characters of a text."
_MEMBERS = frozenset({"amount", "currency", "voice", "prompts"})
_PROMPT_MEMBERS = frozenset({"type", "text", "errors"})
_RULES = RULES[Dialect.NCCO]
_TYPES = {step: name for name, step in _RULES.steps_by_name.items()}
_ERRORS = {error: name for name, error in _RULES.errors_by_name.items()}
_ERRORS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        name: tuple(_ERRORS[error] for error in (*field_of(step).also, field_of(step).error, ErrorType.TIMEOUT))
        for name, step in _RULES.steps_by_name.items()
    }
)
"Which errors a prompt of a type may have texts for."
_ENGLISH: Mapping[Step, str] = MappingProxyType(
    {
        Step.CARD_NUMBER: "Please enter your long card number",
        Step.EXPIRATION_DATE: "Please enter your four-digit credit card expiration date",
        Step.SECURITY_CODE: "Please enter your three-digit credit card security code",
    }
)
"What is said by default (`dialects.md` §1.7)."
_AMOUNT = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")
_WORD = re.compile(r"[A-Za-z]{1,40}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8}){0,4}")  # as RFC 5646 §2.1 writes them
_STYLE = re.compile(r"[0-9]{1,4}")
_DIGITS_OF_AMOUNT = 30
"A number with more of them, before or behind the point, is none."


@dataclass(frozen=True, slots=True, kw_only=True)
class PaySettings:
    """What besides the action decides about a payment."""

    capabilities: Capabilities | None = None
    "Of the connector; None: not looked at."
    language_warning: Callable[[str], str] = field(default=lambda language: "", repr=False)
    "Says that there are no prompts in a language; empty: there are (D-18)."


@dataclass(frozen=True, slots=True, kw_only=True)
class PayRequest:
    """A payment that can be carried out."""

    order: PayOrder
    warnings: tuple[str, ...] = ()
    "What is odd about it, with the remedy; may be logged."


def check_pay(properties: Mapping[str, Any], where: str) -> None:
    """Raise `NccoError` for what cannot be done, whatever the connector; ``where`` is the action's place: ``[2]``."""
    pay_request(properties, PaySettings(), where)


def pay_request(properties: Mapping[str, Any], settings: PaySettings, where: str = "") -> PayRequest:
    """Return what an action asks for, without its ``eventUrl``; raise `NccoError` for what cannot be done.

    Numbers are int, ``Decimal`` or, by their shortest text, float; in text they are decimal.
    """
    warnings: list[str] = []
    if not properties.keys() <= _MEMBERS:
        warnings.append(f"there is a member that is passed over; known are {', '.join(sorted(_MEMBERS))}")
    currency = _currency(properties.get("currency"), _at(where, "currency"))
    language = _language(properties.get("voice"), _at(where, "voice"))
    try:
        order = order_for(
            Dialect.NCCO,
            amount=_amount(properties.get("amount"), currency, _at(where, "amount")),
            currency=currency,
            language=language,
            prompts=_prompts(properties.get("prompts"), language, _at(where, "prompts"), warnings),
        )
    except OrderError as error:
        raise NccoError(_at(where, error.field), error.reason) from None
    refusal = None if settings.capabilities is None else check(settings.capabilities, order)
    if refusal is not None:
        raise NccoError(where, refusal.message)
    if order.speaks_by_itself and (warning := settings.language_warning(order.language)):
        warnings.append(f"{warning}; give every prompt, or another language")
    return PayRequest(order=order, warnings=tuple(warnings))


def _at(where: str, member: str) -> str:
    return f"{where}.{member}" if where else member


def _currency(value: object, where: str) -> str:
    if value is None:
        return "usd"
    if not isinstance(value, str):
        raise NccoError(where, "has to be text, such as usd")
    currency = value.strip().lower() or "usd"
    if currency not in _RULES.currencies:
        raise NccoError(where, f"has to be one of {', '.join(sorted(_RULES.currencies))}")
    return currency


def _amount(value: object, currency: str, where: str) -> str:
    """Return an amount with as many decimals as its currency has (D-49)."""
    text = _decimal_text(value)
    if not text or not 0 < Decimal(text) < LIMIT:
        raise NccoError(where, f"has to be a number above 0 and below {LIMIT:,}, such as 25.50")
    whole, _, rest = text.partition(".")
    decimals = currency_exponent(currency)
    if rest[decimals:].strip("0"):
        raise NccoError(where, f"has more than the {decimals} decimals of its currency")
    fraction = rest[:decimals].ljust(decimals, "0")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{fraction}" if fraction else whole


def _decimal_text(value: object) -> str:
    """Return the digits of a number, or of its text; empty for what is none."""
    if isinstance(value, str):
        text = value.strip()
        return text if _AMOUNT.fullmatch(text) else ""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return ""
    if isinstance(value, int):
        return str(value) if abs(value) < 10**_DIGITS_OF_AMOUNT else ""
    number = Decimal(repr(value)) if isinstance(value, float) else value
    if not number.is_finite():
        return ""
    exponent = number.as_tuple().exponent
    fits = isinstance(exponent, int) and exponent >= -_DIGITS_OF_AMOUNT and number.adjusted() < _DIGITS_OF_AMOUNT
    return format(number, "f") if fits else ""


def _language(value: object, where: str) -> str:
    """Return the language of ``voice``; its ``style`` is judged and of no effect, for each language has one voice."""
    if value is None:
        return "en-US"
    if not isinstance(value, Mapping):
        raise NccoError(where, "has to be an object")
    style = value.get("style")
    if isinstance(style, bool) or not (style is None or _STYLE.fullmatch(_short(style))):
        raise NccoError(_at(where, "style"), "has to be a whole number from 0")
    language = value.get("language")
    if language is None or (isinstance(language, str) and not language.strip()):
        return "en-US"
    if not isinstance(language, str) or not _LANGUAGE.fullmatch(language.strip()):
        raise NccoError(_at(where, "language"), "has to be a language, such as en-US")
    return language.strip()


def _short(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and abs(value) < 10**5 else "?"


# -- prompts ---------------------------------------------------------------------------------------------------------


def _prompts(value: object, language: str, where: str, warnings: list[str]) -> tuple[PromptRule, ...]:
    rules: list[PromptRule] = []
    if isinstance(value, Mapping):
        rules += _rules_of(value, where, warnings)  # D-41: one that stands alone
    elif isinstance(value, list | tuple):
        if len(value) > MAX_PROMPTS:
            raise NccoError(where, f"has more than {MAX_PROMPTS}")
        for index, prompt in enumerate(value):
            rules += _rules_of(prompt, f"{where}[{index}]", warnings)
    elif value is not None:
        raise NccoError(where, "has to be a list of prompts")
    if language.lower().replace("_", "-").partition("-")[0] == "en":
        asked = {rule.step for rule in rules}
        for step, text in _ENGLISH.items():
            if step not in asked:
                rules += _english(step, text)
    return tuple(rules)


def _english(step: Step, text: str) -> list[PromptRule]:
    """Return the vendor's wording of a step, and behind what was wrong: the vendor has no words for that."""
    rules = [PromptRule(step=step, actions=(Say(text),))]
    for name in _ERRORS_OF[_TYPES[step]]:
        error = _RULES.errors_by_name[name]
        # What was wrong, the step, and how to end an entry that does not end by its length.
        actions = tuple(
            Say(text) if action.key == step else action for action in default_actions(step, error_type=error)
        )
        rules.append(PromptRule(step=step, actions=actions, error_types=(error,)))
    return rules


def _rules_of(prompt: object, where: str, warnings: list[str]) -> list[PromptRule]:
    if not isinstance(prompt, Mapping):
        raise NccoError(where, "has to be an object")
    if not prompt.keys() <= _PROMPT_MEMBERS:
        warnings.append(f"a prompt has a member that is passed over; known are {', '.join(sorted(_PROMPT_MEMBERS))}")
    kind = prompt.get("type")
    if not isinstance(kind, str) or kind not in _ERRORS_OF:
        raise NccoError(f"{where}.type", f"has to be one of {', '.join(_ERRORS_OF)}")
    step = _RULES.steps_by_name[kind]
    text = _text(prompt.get("text"), f"{where}.text")
    if not text:
        raise NccoError(f"{where}.text", "is missing")
    rules = [PromptRule(step=step, actions=_said(text))]
    errors = prompt.get("errors")
    if errors is None:
        return rules
    if not isinstance(errors, Mapping):
        raise NccoError(f"{where}.errors", "has to be an object")
    for name, error in errors.items():
        if name not in _ERRORS_OF[kind]:
            known = isinstance(name, str) and _WORD.fullmatch(name) is not None
            place = f"{where}.errors.{name}" if known else f"{where}.errors"
            raise NccoError(place, f"is no error of a {kind}; known are {', '.join(_ERRORS_OF[kind])}")
        place = f"{where}.errors.{name}"
        if error is not None and not isinstance(error, Mapping):
            raise NccoError(place, "has to be an object with a text")
        if said := _text((error or {}).get("text"), f"{place}.text"):
            rules.append(PromptRule(step=step, actions=_said(said), error_types=(_RULES.errors_by_name[name],)))
    return rules


def _said(text: str) -> tuple[Action, ...]:
    return (Say(text),)


def _text(value: object, where: str) -> str:
    """Return a text without blanks around it, empty when none is given."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise NccoError(where, "has to be text")
    if len(value) > MAX_TEXT:
        raise NccoError(where, f"is longer than {MAX_TEXT} characters")
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can write half of a surrogate pair
        raise NccoError(where, "holds what is no Unicode text") from None
    return value.strip()


# -- what is told ----------------------------------------------------------------------------------------------------


def payment_status(result: str) -> str:
    """Return ``success`` or ``failure`` for one of `Result`; empty: it is told as an error."""
    return _RULES.result_name(Result(result))


def payment_details(*, result: str, error: str, charge_id: str, card_number: str) -> dict[str, str]:
    """Return the members that the vendor has not (D-43); those that are not known are left out.

    ``error`` is the connector's message or the last error type; ``card_number`` is masked.
    """
    reason = "" if result == Result.SUCCESS else redact_text(f"{result}: {error}" if error else result)
    known = {"reason": reason, "confirmation_code": charge_id, "card": card_number}
    return {name: value for name, value in known.items() if value}
