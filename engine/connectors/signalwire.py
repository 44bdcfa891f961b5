"""A gateway that speaks SignalWire's ``payment_connector_url`` wire (`dialects.md` §7.1).

What an answer means is ``generic``'s. The wire has two forms of a body (D-45), which differ in how they tokenize and
in the type of the amount:

==============  =======================================================  ============================================
form            charge                                                   tokenize
==============  =======================================================  ============================================
``swml``        ``"method":"credit-card"``, ``"chargeAmount":"10.50"``   the same with ``"chargeAmount":"0"``
``compatible``  ``"method":"credit-card"``, ``"chargeAmount":10.50``     ``"amount":0``, no ``method``
==============  =======================================================  ============================================
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any, Self, Unpack

from engine.connectors.body import json_body
from engine.connectors.generic import GatewayOptions, JsonConnector
from engine.connectors.protocol import Capabilities
from engine.errors import ConnectorError
from engine.net.http import split_url
from engine.net.signatures import signalwire_headers
from engine.pay.submission import Operation, Submission

__all__ = ("BodyForm", "SignalWire", "payment_body")


class BodyForm(StrEnum):
    """Which of SignalWire's pages the body follows."""

    SWML = "swml"
    COMPATIBLE = "compatible"


def payment_body(submission: Submission, form: BodyForm = BodyForm.SWML) -> bytearray:
    """Return the JSON body of a card payment, byte for byte as §7.1 shows it; the caller wipes it.

    Digits are real (D-44). What was not collected is an empty string; ``parameters`` is left out when empty.
    """
    charges = submission.operation is Operation.CHARGE
    amount = submission.amount if charges else "0"
    members: dict[str, Any] = {"transaction_id": submission.transaction_id}
    if charges or form is BodyForm.SWML:
        members["method"] = submission.method.value
    members |= {
        "cardnumber": submission.card_number,
        "cvv": submission.security_code,
        "postal_code": submission.postal_code,
        "description": submission.description,
    }
    if form is BodyForm.SWML:
        members["chargeAmount"] = amount
    else:
        members["chargeAmount" if charges else "amount"] = Decimal(amount)
    members |= {
        "token_type": submission.token_type.value,
        "expiry_month": submission.expiry_month,
        "expiry_year": submission.expiry_year,
        "currency_code": submission.currency,
    }
    if submission.parameters:
        members["parameters"] = submission.parameters
    return json_body(members)


class SignalWire(JsonConnector):
    """Posts payments to one URL and reads the answers.

    ``signing_key`` switches the signature headers on (D-26). ``form`` chooses between the wire's two bodies. The rest
    is ``JsonConnector``'s.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str,
        signing_key: str = "",
        form: BodyForm = BodyForm.SWML,
        **options: Unpack[GatewayOptions],
    ) -> None:
        super().__init__(name, url=url, **options)
        self._signing_key = signing_key
        self._form = form

    @classmethod
    def for_url(
        cls,
        url: str,
        *,
        signing_key: str = "",
        form: BodyForm = BodyForm.SWML,
        **options: Unpack[GatewayOptions],
    ) -> Self:
        """Return a connector for the URL that a document named (``payment_connector_url``, D-31).

        Cheap: unless ``tls`` is given, all share one TLS context. Its name is ``url:HOST[:PORT]``, which no connector
        of the configuration can have. Raise ``ConnectorError`` for a URL that can't be used.
        """
        try:
            target = split_url(url, allow_insecure=options.get("allow_insecure", False))
        except ValueError as error:
            raise ConnectorError(f"payment_connector_url: {error}") from None
        return cls(f"url:{target.authority}", url=url, signing_key=signing_key, form=form, **options)

    @property
    def capabilities(self) -> Capabilities:
        """Cards, charged or tokenized: §7.1 defines no fields for bank accounts."""
        return Capabilities()

    def body_of(self, submission: Submission) -> bytearray:
        """Return the body in this connector's form."""
        return payment_body(submission, self._form)

    def headers_of(self, body: bytearray) -> dict[str, str]:
        """Return the signatures over URL and body when there is a key."""
        return signalwire_headers(self._signing_key, self._bare_url, body) if self._signing_key else {}
