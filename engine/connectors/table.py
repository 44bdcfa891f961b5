"""Every gateway error that is known, and what it means for the caller.

A code maps to an error of `dialects.md` §1.3, which chooses the prompt, or to ``None``: the gateway or its processor
failed, the card is not to blame, and asking the caller again would not help. Which of the declines it was (lost,
stolen, fraudulent) is never told to the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from engine.pay.submission import Outcome

__all__ = ("AMBIGUOUS_AFTER_SILENCE", "ERROR_TYPES", "classify")

_DECLINED = "card-declined"

ERROR_TYPES: Mapping[str, str | None] = MappingProxyType(
    {
        "account_closed": "invalid-bank-account-number",
        "account_number_invalid": "invalid-bank-account-number",
        "authentication_required": _DECLINED,
        "card_declined": _DECLINED,
        "card_not_supported": "invalid-card-type",
        "card_velocity_exceeded": _DECLINED,
        "currency_not_supported": _DECLINED,
        "do_not_honor": _DECLINED,
        "expired_card": "invalid-date",
        "fraudulent": _DECLINED,
        "generic_decline": _DECLINED,
        "incorrect_cvc": "invalid-security-code",
        "incorrect_number": "invalid-card-number",
        "incorrect_zip": "invalid-postal-code",
        "insufficient_funds": _DECLINED,
        "invalid_account": _DECLINED,
        "invalid_cvc": "invalid-security-code",
        "invalid_expiry_month": "invalid-date",
        "invalid_expiry_year": "invalid-date",
        "invalid_number": "invalid-card-number",
        "issuer_not_available": None,
        "lost_card": _DECLINED,
        "no_account": "invalid-bank-account-number",
        "pickup_card": _DECLINED,
        "postal_code_invalid": "invalid-postal-code",
        "processing_error": None,
        "routing_number_invalid": "invalid-bank-routing-number",
        "stolen_card": _DECLINED,
        "test_accounts_only": _DECLINED,
        "test_cards_only": _DECLINED,
        "try_again_later": _DECLINED,
    }
)

AMBIGUOUS_AFTER_SILENCE = frozenset(
    {"duplicate", "duplicate_transaction", "idempotency_error", "transaction_in_progress"}
)
"Codes that, after a try without an answer, tell that the gateway knows the transaction but not how it ended."


def classify(error_code: str) -> tuple[Outcome, str]:
    """Return the outcome and the pay machine's error for a code with which a gateway refused a payment.

    An unknown code is a plain decline: the gateway kept to the protocol and said no.
    """
    error_type = ERROR_TYPES.get(error_code.strip().lower(), _DECLINED)
    return (Outcome.FAILED, "") if error_type is None else (Outcome.DECLINED, error_type)
