"""What a payment tells others: a status while it goes on, one result at its end. Masked values only.

No value here holds a digit that has to be masked: of a card number the last four, of an account number the last two, of
a security code none (`dialects.md` §1.9). What is not known yet is an empty string (D-32).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from engine.pay.fields import Step
from engine.pay.submission import Operation, Outcome, PaymentMethod

__all__ = ("ConnectorFault", "MaskedFields", "PayResult", "PayStatus", "Result")

_NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})


class Result(StrEnum):
    """How a payment ended (`dialects.md` §1.8)."""

    SUCCESS = "success"
    TOO_MANY_FAILED_ATTEMPTS = "too-many-failed-attempts"
    PAYMENT_CONNECTOR_ERROR = "payment-connector-error"
    CALLER_INTERRUPTED_WITH_STAR = "caller-interrupted-with-star"
    CALLER_HUNG_UP = "caller-hung-up"
    RELAY_PAY_STOP = "relay-pay-stop"
    CANCELED = "canceled"  # by the agent, or by the caller who did not confirm (D-50, D-51)
    VALIDATION_ERROR = "validation-error"
    INTERNAL_ERROR = "internal-error"


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedFields:
    """What was collected, as far as it may be shown."""

    card_number: str = ""
    "One mask character per hidden digit, then the last four."
    last_four: str = ""
    card_type: str = ""
    security_code: str = ""
    "One mask character per digit."
    expiration_date: str = ""
    "MMYY."
    postal_code: str = ""
    routing_number: str = ""
    account_number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayStatus(MaskedFields):
    """A step was asked or announced, perhaps because of an error (`dialects.md` §3.4)."""

    step: Step
    error_type: str = ""
    attempt: int = 1
    "From 1; counts the prompts of this step, and at the card number the payments too."
    payment_method: PaymentMethod = PaymentMethod.CREDIT_CARD
    matching: bool = False
    "The second of two entries that have to match is asked."
    required: tuple[str, ...] = ()
    "Steps that are still missing, where an agent drives the capture; second entries end in ``-matcher`` (D-39)."
    partial: bool = False
    "Whether the values are those of an entry that is still being keyed (D-40)."


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorFault:
    """What the connector said was wrong."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PayResult(MaskedFields):
    """How the payment ended."""

    result: Result
    operation: Operation
    payment_method: PaymentMethod = PaymentMethod.CREDIT_CARD
    transaction_id: str = ""
    "Identity of the last attempt at the connector; empty when there was none."
    outcome: Outcome | None = None
    "The connector's last verdict; None when it was never asked."
    charge_id: str = ""
    token_id: str = ""
    profile_id: str = ""
    "The payer's profile at the gateway, if it named one (D-48)."
    payment_error: str = ""
    "The connector's message or, for exhausted retries, the last error type."
    payment_error_code: str = ""
    connector_error: ConnectorFault | None = None
    parameters: Mapping[str, str] = field(default_factory=lambda: _NO_PARAMETERS)
    "What the connector returned for the application."
    attempts: int = 0
    "How many times the connector was asked, each with an identity of its own."
    hung_up: bool = False
    "Whether the caller was gone at the end; with `Result.SUCCESS` the caller paid and has not heard so."
    stopped: bool = False
    "Whether the application ended the payment; with `Result.SUCCESS` it did so too late."
