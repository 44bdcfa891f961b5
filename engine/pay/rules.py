"""What the dialects do differently in a payment, as data: one row for each (`dialects.md` §1).

The machine knows no dialect. A document's or a request's values become a `PayOrder` by `order_for`: what the dialect
does not have is refused, what it leaves open gets its default, what it fixes is fixed. How the payment ended, and what
was wrong on the way, is named by the same row.

Laws:

1. Nothing outside this file asks which dialect it is; a difference is a column here.
2. A value is checked before the caller hears anything, and the error names the field of `PayOrder`;
   `DialectRules.name_of` tells what the dialect calls it, `DialectRules.code_of` its number for the error.
3. ``None`` and empty text are "not given": an unset variable of a document must not fail a payment (§3.7).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from engine.pay.errors import OrderError
from engine.pay.fields import ErrorType, Step
from engine.pay.order import PayOrder, RetryRule
from engine.pay.prompt_rules import PromptRule, matching_steps, tokens
from engine.pay.results import PayResult, Result
from engine.pay.scalars import (
    read_flag,
    read_names,
    read_number,
    read_parameters,
    read_steps,
    read_text,
    read_whole,
)
from engine.pay.submission import Operation, Outcome, PaymentMethod, TokenType

__all__ = ("OPERATOR_SETTINGS", "RULES", "Bounds", "Dialect", "DialectRules", "PayErrorCode", "order_for")


class Dialect(StrEnum):
    """Who asks for the payment."""

    RELAY = "relay"
    SWML = "swml"
    TWIML = "twiml"
    PAYMENTS = "payments"  # the Payments subresource: an agent drives it
    NCCO = "ncco"
    FORM = "form"  # the engine's own, of the configuration file


class PayErrorCode(IntEnum):
    """``PayErrorCode`` of TwiML, ``code`` of the Payments subresource (`dialects.md` §4.4)."""

    CONNECTOR_CONFIGURATION = 64001
    SERVICE_UNAVAILABLE = 64002
    CHARGE_AMOUNT = 64003
    UNKNOWN_CONNECTOR = 64004
    CANNOT_TOKENIZE = 64005
    TOKEN_TYPE = 64006
    CANNOT_CHARGE = 64007
    CHARGE_REFUSED = 64008
    AUTHORIZATION_LOST = 64009
    TOKEN_REFUSED = 64010
    CURRENCY = 64011
    CARD_REFUSED = 64012
    PAYMENT_METHOD = 64013
    AVS_NAME_MISSING = 64014
    PARAMETER_MISSING = 64015
    ACTION_URL = 64016
    BANK_ACCOUNT_TYPE_WITH_CARD = 64017
    CAPTURE_OR_STATUS = 64018
    DATA_MISSING = 64019
    PARAMETER_VALUE = 64020
    INVALID_OPERATION = 64021
    TEST_CARD = 64022
    TEST_ACCOUNT = 64023
    CONNECTOR_NOT_APPROVED = 64024


class Bounds(NamedTuple):
    """A range, both ends included."""

    low: float
    high: float


_VENDOR_SECONDS = Bounds(1, 600)
_ANY_RETRIES = Bounds(0, 10)
_Names = Mapping[str, str]
_NONE: Mapping[Any, Any] = MappingProxyType({})
_OUTCOME_STEPS = frozenset({Step.PROCESSING, Step.COMPLETED, Step.FAILED, Step.CANCELED})
_CARD_STEPS = frozenset({Step.CARD_NUMBER, Step.EXPIRATION_DATE, Step.SECURITY_CODE, Step.POSTAL_CODE})
_BANK_STEPS = frozenset({Step.ROUTING_NUMBER, Step.ACCOUNT_NUMBER})
_STEPS_BY_NAME: Mapping[str, Step] = MappingProxyType({**{str(s): s for s in Step}, "payment-cancelled": Step.CANCELED})
_ERRORS_BY_NAME: Mapping[str, ErrorType] = MappingProxyType(
    {**{str(error): error for error in ErrorType}, "input-timeout": ErrorType.TIMEOUT}
)
OPERATOR_SETTINGS = frozenset({"retry_rule", "decline_restarts", "mask_char", "mask_style"})
"What the engine's settings, not a document, may change in every dialect (D-12, D-13, D-19)."
_COMMON = frozenset({"amount", "currency", "prompts", "language", "voice"}) | OPERATOR_SETTINGS
_CARD = frozenset({"security_code", "postal_code", "min_postal_code_length", "valid_card_types", "token_type"})
_SETTABLE = _COMMON | _CARD | {"method", "timeout_s", "parameters", "description"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DialectRules:
    """One dialect's row. Fields of the order are called by their names in `PayOrder` throughout."""

    settable: frozenset[str]
    "What may be given; anything else is refused."
    defaults: Mapping[str, Any]
    "What holds where nothing is given, and what is fixed; the rest has `PayOrder`'s defaults."
    names: _Names = field(default_factory=lambda: _NONE)
    "What the dialect calls a field, where it calls it otherwise."
    methods: tuple[PaymentMethod, ...] = tuple(PaymentMethod)
    token_types: tuple[TokenType, ...] = tuple(TokenType)
    card_types: tuple[str, ...]
    "What the list of wanted brands may name (§1.4)."
    prompt_card_types: tuple[str, ...]
    "What a prompt's list of brands may name."
    bank_account_types: tuple[str, ...] = ("consumer-checking", "consumer-savings", "commercial-checking")
    account_type_needs_debit: bool = False
    "Whether an account type given with another method is an error, not idle."
    postal_code_text: bool = True
    "Whether a postal code known in advance may be given in place of true and false."
    timeout_bounds: Bounds = _VENDOR_SECONDS
    whole_seconds: bool = True
    attempt_bounds: Bounds = _ANY_RETRIES
    zero_permitted: bool = True
    "Whether no amount means to tokenize; else it is an error."
    currencies: frozenset[str] = frozenset()
    "Codes in small letters; empty: whatever ISO 4217 and the connector know."
    languages: Mapping[PaymentMethod, tuple[str, ...]] = field(default_factory=lambda: _NONE)
    "Languages with default prompts in the vendor's documents; empty: any. Others are no error (D-18)."
    matching: frozenset[Step] = frozenset()
    "Steps that can be keyed twice."
    matching_from_prompts: bool = False
    "Whether a prompt for a second entry is what asks for it."
    steps_by_name: Mapping[str, Step] = field(default_factory=lambda: _STEPS_BY_NAME)
    errors_by_name: Mapping[str, ErrorType] = field(default_factory=lambda: _ERRORS_BY_NAME)
    results: Mapping[Result, str]
    "The dialect's word for each result; empty: the dialect is not told of it."
    error_names: Mapping[ErrorType, str] = field(default_factory=lambda: _NONE)
    "How webhooks name an error, where they name it otherwise than prompts do."
    codes: Mapping[str, int] = field(default_factory=lambda: _NONE)
    "Numbers for wrong fields."
    other_code: int | None = None
    "Number for any other wrong field; None: the dialect has no numbers."
    busy_code: int | None = None
    "Number for a second session on one call (``session-in-progress``)."
    unknown_connector_code: int | None = None
    "Number for a connector that does not exist."
    operation_codes: Mapping[Operation, int] = field(default_factory=lambda: _NONE)
    "Numbers for what the connector cannot do."
    outcome_codes: Mapping[tuple[Operation, Outcome], int] = field(default_factory=lambda: _NONE)
    "Numbers for what the connector said."
    fault_codes: Mapping[str, int] = field(default_factory=lambda: _NONE)
    "Numbers for a connector's own error codes; they go before those of its outcome."

    def name_of(self, name: str) -> str:
        """Return what the dialect calls a field of the order."""
        return self.names.get(name, name)

    def code_of(self, error: OrderError) -> int | None:
        """Return the dialect's number for a wrong field, None where it has no numbers."""
        return self.codes.get(error.field, self.other_code)

    def result_name(self, result: Result) -> str:
        """Return the dialect's word for a result; empty: it is not told."""
        return self.results[result]

    def error_name(self, error_type: str) -> str:
        """Return an error as the dialect's webhooks name it; empty stays empty."""
        return self.error_names.get(ErrorType(error_type), error_type) if error_type in tuple(ErrorType) else error_type

    def result_code(self, result: PayResult) -> int | None:
        """Return the number for what the connector said, None when paid, never asked, or without numbers."""
        if result.outcome is None or result.outcome is Outcome.SUCCEEDED:
            return None
        return self.fault_codes.get(result.payment_error_code) or self.outcome_codes.get(
            (result.operation, result.outcome)
        )

    def has_prompts_in(self, language: str, method: PaymentMethod) -> bool:
        """Tell whether the vendor documents default prompts in a language, in any case (D-18)."""
        known = self.languages.get(method, ())
        return not known or language.lower() in known


# -- the rows --------------------------------------------------------------------------------------------------------


_DEFAULT_TYPES = ("visa", "mastercard", "amex")
_SWML_TYPES = ("visa", "mastercard", "amex", "maestro", "discover", "jcb", "diners-club")
_TWIML_TYPES = ("visa", "mastercard", "amex", "maestro", "discover", "optima", "jcb", "diners-club", "enroute")

_SAME_RESULTS: Mapping[Result, str] = MappingProxyType({result: str(result) for result in Result})
_RELAY_RESULTS = MappingProxyType(
    # There is no confirmation to refuse; should a later one bring it, refusing is the caller's doing.
    {**_SAME_RESULTS, Result.CANCELED: str(Result.CALLER_INTERRUPTED_WITH_STAR)}
)
_TWIML_RESULTS = MappingProxyType({**_RELAY_RESULTS, Result.RELAY_PAY_STOP: ""})  # another document has taken over
_PAYMENTS_RESULTS = MappingProxyType(
    {**_SAME_RESULTS, Result.RELAY_PAY_STOP: "canceled", Result.TOO_MANY_FAILED_ATTEMPTS: ""}  # D-50; the agent decides
)
_NCCO_RESULTS = MappingProxyType(
    {
        **dict.fromkeys(Result, "failure"),
        Result.SUCCESS: "success",
        Result.VALIDATION_ERROR: "",  # an error event tells it
    }
)
_TIMEOUT_NAMES = MappingProxyType({ErrorType.TIMEOUT: "input-timeout"})
_FIELD_CODES = MappingProxyType(
    {
        "amount": int(PayErrorCode.CHARGE_AMOUNT),
        "currency": int(PayErrorCode.CURRENCY),
        "token_type": int(PayErrorCode.TOKEN_TYPE),
        "method": int(PayErrorCode.PAYMENT_METHOD),
        "bank_account_type": int(PayErrorCode.BANK_ACCOUNT_TYPE_WITH_CARD),
    }
)
_OPERATION_CODES = MappingProxyType(
    {
        Operation.CHARGE: int(PayErrorCode.CANNOT_CHARGE),
        Operation.TOKENIZE: int(PayErrorCode.CANNOT_TOKENIZE),
    }
)
_OUTCOME_CODES = MappingProxyType(
    {
        (Operation.CHARGE, Outcome.DECLINED): int(PayErrorCode.CHARGE_REFUSED),
        (Operation.TOKENIZE, Outcome.DECLINED): int(PayErrorCode.TOKEN_REFUSED),
        **{
            (operation, outcome): int(PayErrorCode.SERVICE_UNAVAILABLE)
            for operation in Operation
            for outcome in (Outcome.FAILED, Outcome.UNKNOWN)
        },
    }
)
_TEST_MODE_CODES = MappingProxyType(
    {"test_cards_only": int(PayErrorCode.TEST_CARD), "test_accounts_only": int(PayErrorCode.TEST_ACCOUNT)}
)
_TWIML_ACH_LANGUAGES = ("en-au", "en-ca", "en-gb", "en-in", "en-us")
_TWIML_LANGUAGES = MappingProxyType(
    {
        PaymentMethod.CREDIT_CARD: (*_TWIML_ACH_LANGUAGES, "es-es", "es-mx", "fr-ca", "fr-fr", "de-de", "it-it"),
        PaymentMethod.ACH_DEBIT: _TWIML_ACH_LANGUAGES,
    }
)

_RELAY = DialectRules(
    settable=_SETTABLE | {"max_attempts"},
    defaults=MappingProxyType({"announced": _OUTCOME_STEPS, "language": "en-US", "voice": "woman"}),
    names=MappingProxyType({"amount": "charge_amount", "method": "payment_method", "timeout_s": "timeout"}),
    methods=(PaymentMethod.CREDIT_CARD,),
    token_types=(TokenType.REUSABLE, TokenType.ONE_TIME),
    card_types=_SWML_TYPES,
    prompt_card_types=(*_SWML_TYPES, "optima"),
    results=_RELAY_RESULTS,
    other_code=422,  # D-22
    busy_code=409,
)

_SWML = DialectRules(
    settable=_RELAY.settable,
    defaults=_RELAY.defaults,
    names=_RELAY.names,
    methods=_RELAY.methods,
    token_types=_RELAY.token_types,
    card_types=_RELAY.card_types,
    prompt_card_types=_RELAY.prompt_card_types,
    results=_RELAY_RESULTS,
)

_TWIML = DialectRules(
    settable=(_SETTABLE - {"voice"}) | {"max_attempts", "bank_account_type"},
    defaults=MappingProxyType(
        {
            "announced": frozenset({Step.PROCESSING}),
            "decline_restarts": False,
            "language": "en-US",
            "limit_included": True,
            "mask_char": "x",
        }
    ),
    names=MappingProxyType(
        {
            "amount": "chargeAmount",
            "method": "paymentMethod",
            "bank_account_type": "bankAccountType",
            "timeout_s": "timeout",
            "max_attempts": "maxAttempts",
            "security_code": "securityCode",
            "postal_code": "postalCode",
            "min_postal_code_length": "minPostalCodeLength",
            "token_type": "tokenType",
            "valid_card_types": "validCardTypes",
            "parameters": "Parameter",
            "prompts": "Prompt",
        }
    ),
    card_types=_TWIML_TYPES,
    prompt_card_types=_TWIML_TYPES,
    # One vendor library knows the fourth as well.
    bank_account_types=("consumer-checking", "consumer-savings", "commercial-checking", "commercial-savings"),
    account_type_needs_debit=True,
    attempt_bounds=Bounds(1, 3),
    languages=_TWIML_LANGUAGES,
    matching=_BANK_STEPS,
    matching_from_prompts=True,
    results=_TWIML_RESULTS,
    error_names=_TIMEOUT_NAMES,
    codes=_FIELD_CODES,
    other_code=PayErrorCode.PARAMETER_VALUE,
    busy_code=PayErrorCode.INVALID_OPERATION,
    unknown_connector_code=PayErrorCode.UNKNOWN_CONNECTOR,
    operation_codes=_OPERATION_CODES,
    outcome_codes=_OUTCOME_CODES,
    fault_codes=_TEST_MODE_CODES,
)

_PAYMENTS = DialectRules(
    settable=(_SETTABLE - {"prompts", "language", "voice"}) | {"bank_account_type", "matching", "confirm"},
    defaults=MappingProxyType(
        {
            "announced": frozenset[Step](),
            "currency": "USD",
            "decline_restarts": False,
            "first_digit_timeout_s": math.inf,
            "mask_char": "x",
            "max_attempts": 0,
        }
    ),
    names=MappingProxyType(
        {
            "amount": "ChargeAmount",
            "currency": "Currency",
            "description": "Description",
            "method": "PaymentMethod",
            "bank_account_type": "BankAccountType",
            "timeout_s": "Timeout",
            "security_code": "SecurityCode",
            "postal_code": "PostalCode",
            "min_postal_code_length": "MinPostalCodeLength",
            "token_type": "TokenType",
            "valid_card_types": "ValidCardTypes",
            "parameters": "Parameter",
            "matching": "RequireMatchingInputs",
            "confirm": "Confirmation",
        }
    ),
    card_types=_TWIML_TYPES,
    prompt_card_types=(),
    account_type_needs_debit=True,
    postal_code_text=False,
    matching=_CARD_STEPS,
    results=_PAYMENTS_RESULTS,
    error_names=_TIMEOUT_NAMES,
    codes=_FIELD_CODES,
    other_code=PayErrorCode.PARAMETER_VALUE,
    busy_code=PayErrorCode.INVALID_OPERATION,
    unknown_connector_code=PayErrorCode.UNKNOWN_CONNECTOR,
    operation_codes=_OPERATION_CODES,
    outcome_codes=_OUTCOME_CODES,
    fault_codes=_TEST_MODE_CODES,
)

_NCCO = DialectRules(
    settable=_COMMON,
    defaults=MappingProxyType(
        {
            "announced": frozenset[Step](),
            "decline_restarts": False,
            "first_digit_timeout_s": 10.0,
            "language": "en-US",
            "max_attempts": 1,  # D-14: one repeat of each step, whatever the cause
            "postal_code": False,
            "valid_card_types": ("visa", "mastercard"),
        }
    ),
    methods=(PaymentMethod.CREDIT_CARD,),
    token_types=(TokenType.REUSABLE,),
    card_types=("visa", "mastercard"),
    prompt_card_types=(),
    zero_permitted=False,
    currencies=frozenset(
        tokens(
            "aed ars aud bgn brl cad chf clp cop crc czk dkk dop eur gbp hkd hrk huf idr ils inr isk jpy mxn myr nok "
            "nzd pen pln ron sek sgd thb usd uyu"
        )
    ),
    steps_by_name=MappingProxyType(
        {
            "CardNumber": Step.CARD_NUMBER,
            "ExpirationDate": Step.EXPIRATION_DATE,
            "SecurityCode": Step.SECURITY_CODE,
        }
    ),
    errors_by_name=MappingProxyType(
        {
            "InvalidCardType": ErrorType.CARD_TYPE,
            "InvalidCardNumber": ErrorType.CARD_NUMBER,
            "InvalidExpirationDate": ErrorType.DATE,
            "InvalidSecurityCode": ErrorType.SECURITY_CODE,
            "Timeout": ErrorType.TIMEOUT,
        }
    ),
    results=_NCCO_RESULTS,
)

_FORM = DialectRules(
    settable=_SETTABLE | {"max_attempts", "bank_account_type", "matching", "confirm", "first_digit_timeout_s"},
    defaults=MappingProxyType({"announced": _OUTCOME_STEPS}),
    names=MappingProxyType({"max_attempts": "retries", "valid_card_types": "card_types"}),
    card_types=_TWIML_TYPES,
    prompt_card_types=_TWIML_TYPES,
    bank_account_types=_TWIML.bank_account_types,
    timeout_bounds=Bounds(0.1, 600),
    whole_seconds=False,
    matching=_CARD_STEPS | _BANK_STEPS,
    results=_SAME_RESULTS,
)

RULES: Mapping[Dialect, DialectRules] = MappingProxyType(
    {
        Dialect.RELAY: _RELAY,
        Dialect.SWML: _SWML,
        Dialect.TWIML: _TWIML,
        Dialect.PAYMENTS: _PAYMENTS,
        Dialect.NCCO: _NCCO,
        Dialect.FORM: _FORM,
    }
)
"The row of each dialect."


# -- from values to an order -----------------------------------------------------------------------------------------


def _read_postal_code(value: object) -> bool | str:
    try:
        return read_flag(value)
    except ValueError:
        return read_text(value)


def _read_prompts(value: object) -> tuple[PromptRule, ...]:
    if isinstance(value, list | tuple) and all(isinstance(rule, PromptRule) for rule in value):
        return tuple(value)
    raise ValueError("a list of prompts")


def _read_retry_rule(value: object) -> RetryRule:
    text = read_text(value)
    if text in tuple(RetryRule):
        return RetryRule(text)
    raise ValueError(" or ".join(RetryRule))


_READ: Mapping[str, Callable[[object], Any]] = MappingProxyType(
    {
        "security_code": read_flag,
        "postal_code": _read_postal_code,
        "confirm": read_flag,
        "decline_restarts": read_flag,
        "min_postal_code_length": read_whole,
        "max_attempts": read_whole,
        "timeout_s": read_number,
        "first_digit_timeout_s": read_number,
        "valid_card_types": read_names,
        "matching": read_steps,
        "parameters": read_parameters,
        "prompts": _read_prompts,
        "retry_rule": _read_retry_rule,
    }
)
"How a field is read; those that are not here are text."


def order_for(dialect: Dialect, **values: Any) -> PayOrder:
    """Return the order that a dialect's values make; names are those of `PayOrder`, values as `engine.pay.scalars` has.

    Raise `OrderError`, which names the field, for what the dialect does not have or does not admit.
    """
    rules = RULES[dialect]
    given: dict[str, Any] = {}
    for name, value in values.items():
        if name not in rules.settable:
            raise OrderError(name, "there is no such setting here")
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        try:
            given[name] = _READ.get(name, read_text)(value)
        except ValueError as error:
            raise OrderError(name, f"has to be {error}") from None
    _check(rules, given)
    if rules.matching_from_prompts:
        given["matching"] = matching_steps(given.get("prompts", ())) & rules.matching
    order = PayOrder(**{**rules.defaults, **given})
    if not rules.zero_permitted and order.tokenizes:
        raise OrderError("amount", "more than 0")
    return order


def _check(rules: DialectRules, given: Mapping[str, Any]) -> None:
    """Check what was given against the dialect's row; what holds for every order is `PayOrder`'s to check."""
    admitted: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("method", tuple(map(str, rules.methods))),
        ("token_type", tuple(map(str, rules.token_types))),
        ("bank_account_type", rules.bank_account_types),
    )
    for name, words in admitted:
        if name in given and given[name] not in words:
            raise OrderError(name, f"one of {', '.join(words)}")
    method = given.get("method", PaymentMethod.CREDIT_CARD)
    if rules.account_type_needs_debit and "bank_account_type" in given and method != PaymentMethod.ACH_DEBIT:
        raise OrderError("bank_account_type", "for bank debits only")
    if not set(given.get("valid_card_types", ())) <= set(rules.card_types):
        raise OrderError("valid_card_types", f"some of {', '.join(rules.card_types)}")
    if isinstance(given.get("postal_code"), str) and not rules.postal_code_text:
        raise OrderError("postal_code", "true or false")
    for name, bounds in (("timeout_s", rules.timeout_bounds), ("max_attempts", rules.attempt_bounds)):
        if name in given and not bounds.low <= given[name] <= bounds.high:
            raise OrderError(name, f"{bounds.low:g} to {bounds.high:g}")
    if rules.whole_seconds and given.get("timeout_s", 1) % 1:
        raise OrderError("timeout_s", "whole seconds")
    if rules.currencies and given.get("currency", "usd").lower() not in rules.currencies:
        raise OrderError("currency", "not one that is taken here")
    if not given.get("matching", frozenset()) <= rules.matching:
        raise OrderError("matching", f"some of {', '.join(sorted(rules.matching))}")
    for rule in given.get("prompts", ()):
        _check_prompt(rules, rule)


def _check_prompt(rules: DialectRules, rule: PromptRule) -> None:
    if rule.step not in rules.steps_by_name.values():
        raise OrderError("prompts", f"no prompt for {rule.step} here")
    if not set(rule.error_types) <= set(rules.errors_by_name.values()):
        raise OrderError("prompts", f"the prompt for {rule.step} names an error that does not exist")
    if not set(rule.card_types) <= set(rules.prompt_card_types):
        raise OrderError("prompts", f"the prompt for {rule.step} names a card type that does not exist")
