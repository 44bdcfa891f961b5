"""What every connector is to the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from engine.pay.errors import OrderError
from engine.pay.order import PayOrder
from engine.pay.submission import ConnectorAnswer, Operation, PaymentMethod, Submission, TokenType

__all__ = ("Capabilities", "Connector", "Refusal", "check")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a connector can be asked for; a payment beyond it is refused before the caller hears anything."""

    methods: frozenset[PaymentMethod] = frozenset({PaymentMethod.CREDIT_CARD})
    operations: frozenset[Operation] = frozenset(Operation)
    token_types: frozenset[TokenType] = frozenset({TokenType.REUSABLE, TokenType.ONE_TIME})
    currencies: frozenset[str] | None = None
    "ISO 4217 codes in lower case; None: the gateway decides."
    amount_of: Callable[[str, str], object] | None = None
    """Takes amount and currency of a charge; raises ``OrderError`` for those that the gateway's units cannot say.

    None: whatever ISO 4217 allows."""
    looks_up: bool = False
    "Whether `Connector.look_up` can tell anything at all."
    absence_final_after_s: float = 900.0
    """How old an attempt has to be, in seconds, before "never received" is the gateway's last word on it.

    A request may still lie in a socket's buffer or in a gateway's queue when its sender is long gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a connector cannot take a payment, known before the caller hears anything."""

    pay_error_code: int
    "Number of `dialects.md` §4.4."
    message: str


def check(capabilities: Capabilities, order: PayOrder) -> Refusal | None:
    """Return why a connector with ``capabilities`` cannot take ``order``; None when it can."""
    method, token_type, currency = PaymentMethod(order.method), TokenType(order.token_type), order.currency.lower()
    can, tokenizes = capabilities, order.tokenizes
    rows = (
        (method in can.methods, 64013, f"the connector takes no {method}"),
        (not tokenizes or Operation.TOKENIZE in can.operations, 64005, "the connector does not tokenize"),
        (not tokenizes or token_type in can.token_types, 64006, f"the connector gives no {token_type} tokens"),
        (tokenizes or Operation.CHARGE in can.operations, 64007, "the connector does not charge"),
        (tokenizes or can.currencies is None or currency in can.currencies, 64011, f"it does not charge {currency}"),
    )
    for holds, code, text in rows:
        if not holds:
            return Refusal(pay_error_code=code, message=text)
    if can.amount_of is not None and not tokenizes:
        try:
            can.amount_of(order.charged_amount, order.currency)
        except OrderError as error:
            return Refusal(pay_error_code=64011 if error.field == "currency" else 64003, message=error.reason)
    return None


@runtime_checkable
class Connector(Protocol):
    """Where payments are sent."""

    @property
    def name(self) -> str:
        """The connector's name in the configuration."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can be asked for."""

    async def submit(self, submission: Submission) -> ConnectorAnswer:
        """Send one payment and return what became of it.

        Repeats, if any, happen inside and carry the same transaction id; the secrets are read for as long as this
        runs and wiped by the caller afterwards. Faults of the gateway or of the network are answers: ``FAILED`` only
        when it is certain that nothing was charged, ``UNKNOWN`` otherwise.
        """

    async def look_up(self, transaction_id: str) -> ConnectorAnswer | None:
        """Return what became of an earlier submission; None when this connector or its gateway can't tell.

        ``FAILED`` with the error code ``not_found`` means that the gateway never received it.
        """

    async def close(self) -> None:
        """Give back what the connector holds."""
