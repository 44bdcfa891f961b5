"""A gateway that speaks the wire of Twilio's Generic Pay Connector (`dialects.md` §7.2).

One endpoint takes charges and tokens, of cards and of bank accounts; ``method`` says which of the former. What an
answer means is ``generic``'s; its ``parameters`` go on to the application, its ``profile_id`` too (D-48).
"""

from __future__ import annotations

from typing import Any, Unpack

from engine.connectors.body import json_body
from engine.connectors.generic import GatewayOptions, JsonConnector
from engine.connectors.protocol import Capabilities
from engine.pay.submission import Operation, PaymentMethod, Submission

__all__ = ("Twilio", "payment_body")


def payment_body(submission: Submission) -> bytearray:
    """Return the JSON body of a payment; the caller wipes it.

    Digits are real, the amount is text as it was configured. Amount and currency stand in charges only. The type of a
    bank account, for which the wire has no member, is an extra one (D-47). What was not collected is an empty string.
    """
    members: dict[str, Any] = {"method": submission.operation.value, "transaction_id": submission.transaction_id}
    if submission.method is PaymentMethod.CREDIT_CARD:
        members |= {
            "cardnumber": submission.card_number,
            "cvv": submission.security_code,
            "expiry_month": submission.expiry_month,
            "expiry_year": submission.expiry_year,
            "postal_code": submission.postal_code,
        }
    else:
        members |= {
            "bankaccountnumber": submission.account_number,
            "routingnumber": submission.routing_number,
            "bankaccounttype": submission.account_type,
        }
    if submission.operation is Operation.CHARGE:
        members |= {"amount": submission.amount, "currency_code": submission.currency}
    members |= {"description": submission.description, "parameters": submission.parameters}
    return json_body(members)


class Twilio(JsonConnector):
    """Posts payments to one URL and reads the answers.

    ``basic_auth`` is the user and the password that the wire wants. Without ``bank_debits`` it takes cards only. The
    rest is ``JsonConnector``'s.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str,
        basic_auth: tuple[str, str] | None = None,
        bank_debits: bool = True,
        **options: Unpack[GatewayOptions],
    ) -> None:
        super().__init__(name, url=url, basic_auth=basic_auth, **options)
        methods = frozenset(PaymentMethod) if bank_debits else frozenset({PaymentMethod.CREDIT_CARD})
        self._capabilities = Capabilities(methods=methods)

    @property
    def capabilities(self) -> Capabilities:
        """Cards and, unless switched off, bank accounts, charged or tokenized; no tokens of the Stripe kind (64006)."""
        return self._capabilities

    def body_of(self, submission: Submission) -> bytearray:
        """Return the body of §7.2."""
        return payment_body(submission)
