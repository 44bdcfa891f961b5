"""The name of every prompt that the engine knows by itself.

A bare key is a step or an announcement; ``error.<type>`` is played before the prompt of a step is repeated; a key with
a card type at its end (``.amex``) replaces the bare key once the card type is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

__all__ = ("MAX_SPOKEN_DIGITS", "PLACEHOLDERS", "PromptKey", "error_key", "step_key")


class PromptKey(StrEnum):
    """Every prompt's name, in the order in which a caller may hear them."""

    CARD_NUMBER = "payment-card-number"
    EXPIRATION_DATE = "expiration-date"
    SECURITY_CODE = "security-code"
    SECURITY_CODE_AMEX = "security-code.amex"
    POSTAL_CODE = "postal-code"
    BANK_ROUTING_NUMBER = "bank-routing-number"
    BANK_ACCOUNT_NUMBER = "bank-account-number"
    PROCESSING = "payment-processing"
    COMPLETED = "payment-completed"
    FAILED = "payment-failed"
    CANCELED = "payment-canceled"
    TOKENIZE_COMPLETED = "tokenize-completed"
    TOKENIZE_FAILED = "tokenize-failed"
    ERROR_TIMEOUT = "error.timeout"
    ERROR_CARD_NUMBER = "error.invalid-card-number"
    ERROR_CARD_TYPE = "error.invalid-card-type"
    ERROR_DATE = "error.invalid-date"
    ERROR_SECURITY_CODE = "error.invalid-security-code"
    ERROR_POSTAL_CODE = "error.invalid-postal-code"
    ERROR_BANK_ROUTING_NUMBER = "error.invalid-bank-routing-number"
    ERROR_BANK_ACCOUNT_NUMBER = "error.invalid-bank-account-number"
    ERROR_MATCHING_FAILED = "error.input-matching-failed"
    ERROR_CARD_DECLINED = "error.card-declined"
    ERROR_SESSION_IN_PROGRESS = "error.session-in-progress"
    PLEASE_REENTER = "please-reenter"
    REENTER_TO_MATCH = "reenter-to-match"
    CONFIRM_LAST_FOUR = "confirm-last-four"
    PRESS_1_TO_CONFIRM = "press-1-to-confirm"
    FINISH_KEY = "finish-key"
    CANCEL_KEY = "cancel-key"


_NAMES = frozenset(key.value for key in PromptKey)

MAX_SPOKEN_DIGITS = 4  # PCI DSS 3.4.1 allows more of a PAN to be shown; nothing needs more than the last four said

# What each text has to hold, and all that it may hold.
PLACEHOLDERS: Mapping[PromptKey, frozenset[str]] = MappingProxyType(
    {PromptKey.CONFIRM_LAST_FOUR: frozenset({"digits"})},
)


def step_key(step: str, card_type: str = "") -> PromptKey | None:
    """Return the prompt of a step, in the variant for ``card_type`` when there is one; None for a step without."""
    for name in (f"{step}.{card_type}", step):
        if name in _NAMES:
            return PromptKey(name)
    return None


def error_key(error_type: str) -> PromptKey | None:
    """Return the prompt that explains an error type; ``input-timeout`` is another name of ``timeout``."""
    name = f"error.{'timeout' if error_type == 'input-timeout' else error_type}"
    return PromptKey(name) if name in _NAMES else None
