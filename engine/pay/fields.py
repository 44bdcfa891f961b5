"""The steps of a payment, what is wrong with an entry, and when an entry needs no further key (`dialects.md` §1).

A check sees the ASCII digits in place (``Secret.view()``) and answers with an error type or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType

from engine.pay.accounts import MAX_ACCOUNT_DIGITS, ROUTING_DIGITS, account_is_valid, routing_is_valid
from engine.pay.cards import BRANDS, accepted_as, is_complete, number_is_valid, security_code_length

__all__ = ("ErrorType", "Facts", "FieldSpec", "Step", "field_of", "parse_expiry")

_ZERO = ord("0")
_EXPIRY_DIGITS = 4
_MAX_EXPIRY_YEARS = 20  # D-6: the vendors name no bound; no issuer dates a card further ahead
# The longest postal codes keyed in digits have 11 (US ZIP+4 and delivery point). They are shown in clear, so a card
# number keyed here by mistake (12 digits and more) must not pass for one.
_MAX_POSTAL_DIGITS = 11


class Step(StrEnum):
    """What is asked or announced (`dialects.md` §1.1)."""

    CARD_NUMBER = "payment-card-number"
    EXPIRATION_DATE = "expiration-date"
    SECURITY_CODE = "security-code"
    POSTAL_CODE = "postal-code"
    ROUTING_NUMBER = "bank-routing-number"
    ACCOUNT_NUMBER = "bank-account-number"
    PROCESSING = "payment-processing"
    COMPLETED = "payment-completed"
    FAILED = "payment-failed"
    CANCELED = "payment-canceled"


class ErrorType(StrEnum):
    """What went wrong with an entry or a payment, as prompts and webhooks name it (`dialects.md` §1.3)."""

    TIMEOUT = "timeout"
    CARD_NUMBER = "invalid-card-number"
    CARD_TYPE = "invalid-card-type"
    DATE = "invalid-date"
    SECURITY_CODE = "invalid-security-code"
    POSTAL_CODE = "invalid-postal-code"
    ROUTING_NUMBER = "invalid-bank-routing-number"
    ACCOUNT_NUMBER = "invalid-bank-account-number"
    ACCOUNT_TYPE = "invalid-bank-account-type"
    MATCHING_FAILED = "input-matching-failed"
    CARD_DECLINED = "card-declined"
    SESSION_IN_PROGRESS = "session-in-progress"
    CAPTURE_SEQUENCE = "invalid-card-number-security-code-capture-sequence"
    INTERNAL_ERROR = "internal-error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a check has to know beside the entry."""

    today: date
    accepted: frozenset[str] = frozenset()
    "Brand names that are wanted, aliases resolved."
    card_type: str = ""
    "Brand of the card number taken, empty before."
    min_postal_code_length: int = 0


_Check = Callable[[memoryview | bytes, Facts], ErrorType | None]
_Complete = Callable[[memoryview | bytes, Facts], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSpec:
    """How the entry of one step is judged."""

    max_digits: int
    "Digits beyond these cannot be part of any valid entry."
    error: ErrorType
    "What a longer entry is called."
    check: _Check
    is_complete: _Complete
    also: tuple[ErrorType, ...] = ()
    "Other errors that ``check`` may name."
    open_ended: bool = False
    "Whether a right entry may have to wait for ``#`` or for silence, because a longer one could be right too."


def _check_card_number(digits: memoryview | bytes, facts: Facts) -> ErrorType | None:
    if not number_is_valid(digits):
        return ErrorType.CARD_NUMBER
    # Only of a number that is right can the brand be the matter (§1.3).
    return None if accepted_as(digits, facts.accepted) else ErrorType.CARD_TYPE


def parse_expiry(digits: memoryview | bytes) -> tuple[int, int] | None:
    """Return (year, month) of four ASCII digits MMYY, with YY of 20YY; None when there is no such month."""
    if len(digits) != _EXPIRY_DIGITS:
        return None
    values = [byte - _ZERO for byte in digits]
    if not all(0 <= value <= 9 for value in values):
        return None
    month = values[0] * 10 + values[1]
    return (2000 + values[2] * 10 + values[3], month) if 1 <= month <= 12 else None


def _check_expiry(digits: memoryview | bytes, facts: Facts) -> ErrorType | None:
    expiry = parse_expiry(digits)
    first = (facts.today.year, facts.today.month)  # a card is valid through the last day of its month
    last = (facts.today.year + _MAX_EXPIRY_YEARS, facts.today.month)
    return None if expiry is not None and first <= expiry <= last else ErrorType.DATE


def _check_security_code(digits: memoryview | bytes, facts: Facts) -> ErrorType | None:
    return None if len(digits) == security_code_length(facts.card_type) else ErrorType.SECURITY_CODE


def _check_postal_code(digits: memoryview | bytes, facts: Facts) -> ErrorType | None:
    return None if len(digits) >= max(1, facts.min_postal_code_length) else ErrorType.POSTAL_CODE  # D-7


def _check_routing_number(digits: memoryview | bytes, facts: Facts) -> ErrorType | None:
    return None if routing_is_valid(digits) else ErrorType.ROUTING_NUMBER


def _check_account_number(digits: memoryview | bytes, facts: Facts) -> ErrorType | None:
    return None if account_is_valid(digits) else ErrorType.ACCOUNT_NUMBER


def _at(n_digits: int) -> _Complete:
    return lambda digits, facts: len(digits) >= n_digits


_FIELDS: Mapping[Step, FieldSpec] = MappingProxyType(
    {
        Step.CARD_NUMBER: FieldSpec(
            max_digits=max(max(brand.lengths) for brand in BRANDS),
            error=ErrorType.CARD_NUMBER,
            check=_check_card_number,
            is_complete=lambda digits, facts: is_complete(digits),
            also=(ErrorType.CARD_TYPE,),
            open_ended=True,
        ),
        Step.EXPIRATION_DATE: FieldSpec(
            max_digits=_EXPIRY_DIGITS, error=ErrorType.DATE, check=_check_expiry, is_complete=_at(_EXPIRY_DIGITS)
        ),
        Step.SECURITY_CODE: FieldSpec(
            max_digits=max(brand.code_digits for brand in BRANDS),
            error=ErrorType.SECURITY_CODE,
            check=_check_security_code,
            is_complete=lambda digits, facts: len(digits) >= security_code_length(facts.card_type),
        ),
        # Postal codes and account numbers have no one length: they wait for # or the timeout (D-5).
        Step.POSTAL_CODE: FieldSpec(
            max_digits=_MAX_POSTAL_DIGITS,
            error=ErrorType.POSTAL_CODE,
            check=_check_postal_code,
            is_complete=lambda digits, facts: False,
            open_ended=True,
        ),
        Step.ROUTING_NUMBER: FieldSpec(
            max_digits=ROUTING_DIGITS,
            error=ErrorType.ROUTING_NUMBER,
            check=_check_routing_number,
            is_complete=_at(ROUTING_DIGITS),
        ),
        Step.ACCOUNT_NUMBER: FieldSpec(
            max_digits=MAX_ACCOUNT_DIGITS,
            error=ErrorType.ACCOUNT_NUMBER,
            check=_check_account_number,
            is_complete=lambda digits, facts: False,
            open_ended=True,
        ),
    }
)


def field_of(step: Step) -> FieldSpec:
    """Return how the entry of a step is judged; raise KeyError for a step that is announced, not asked."""
    return _FIELDS[step]
