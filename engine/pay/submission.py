"""What goes to a connector, and what comes back: the border between the pay machine and the money.

A ``Submission`` carries the secrets by reference; whoever sends it reads them through ``Secret.view()`` and copies
them nowhere but into a body that it wipes. A ``ConnectorAnswer`` holds no digit that a caller keyed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from engine.pay.secret import Secret

__all__ = ("ConnectorAnswer", "Operation", "Outcome", "PaymentMethod", "Submission", "TokenType")

_NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})


class PaymentMethod(StrEnum):
    """How the caller pays."""

    CREDIT_CARD = "credit-card"
    ACH_DEBIT = "ach-debit"


class Operation(StrEnum):
    """What the connector is asked to do: take money now, or keep the card for later."""

    CHARGE = "charge"
    TOKENIZE = "tokenize"


class TokenType(StrEnum):
    """What a tokenized card may be used for."""

    REUSABLE = "reusable"
    ONE_TIME = "one-time"
    PAYMENT_METHOD = "payment-method"


class Outcome(StrEnum):
    """How an attempt at the connector ended.

    ``UNKNOWN`` means that the request may have been carried out: it is reconciled, never repeated with a new id.
    """

    SUCCEEDED = "succeeded"
    DECLINED = "declined"  # the processor answered, and said no to this card
    FAILED = "failed"  # refused or unreachable, and certain that nothing was charged
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One payment, ready to be sent."""

    transaction_id: str
    "Identity of the attempt at the connector (UUID text); every repeat carries the same one."
    operation: Operation
    method: PaymentMethod = PaymentMethod.CREDIT_CARD
    card_number: Secret | None = field(default=None, repr=False)
    security_code: Secret | None = field(default=None, repr=False)
    card_type: str = ""
    "Brand name of `dialects.md` §1.4, such as ``visa``."
    expiry_month: str = ""
    "Two digits, ``01`` to ``12``."
    expiry_year: str = ""
    "Two digits of 20YY."
    postal_code: str = ""
    routing_number: str = ""
    "ABA routing number, nine digits; bank debits only. It is not secret."
    account_number: Secret | None = field(default=None, repr=False)
    account_type: str = ""
    "Such as ``consumer-checking``; bank debits only."
    amount: str = ""
    "Decimal text in major units, as configured (``10.50``); empty when tokenizing."
    currency: str = "usd"
    token_type: TokenType = TokenType.REUSABLE
    description: str = ""
    parameters: Mapping[str, str] = field(default_factory=lambda: _NO_PARAMETERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorAnswer:
    """What the connector said about one submission."""

    outcome: Outcome
    charge_id: str = ""
    token_id: str = ""
    profile_id: str = ""
    "Identity of the payer's profile at the gateway, if it keeps one (D-48)."
    error_code: str = ""
    error_message: str = ""
    error_type: str = ""
    "The pay machine's error of `dialects.md` §1.3 that fits (``card-declined``, ``invalid-date`` …), empty if none."
    parameters: Mapping[str, str] = field(default_factory=lambda: _NO_PARAMETERS)
