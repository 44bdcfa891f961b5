"""What is asked of Stripe: the bodies of its requests, form-encoded, and the keys that make repeats harmless.

A charge is two requests. The first turns the card into a PaymentMethod and may be repeated at will: nothing is charged
by it, and one that nobody uses does no harm. The second charges that PaymentMethod and holds no digit of the card.
"""

from __future__ import annotations

from urllib.parse import quote

from engine.connectors.body import form_body
from engine.pay.secret import Secret
from engine.pay.submission import Submission

__all__ = ("TRANSACTION", "card_body", "charge_body", "metadata_of", "search_path", "setup_body")

TRANSACTION = "transaction_id"
"Metadata key that carries our transaction id, by which a payment is found again."
# Stripe, "Metadata": 50 pairs, names of 40 characters without square brackets, values of 500.
_MAX_PAIRS = 50
_MAX_NAME = 40
_MAX_VALUE = 500
_MAX_DESCRIPTION = 1000
_SEARCHED = 3
"Intents that a search may return; one has the transaction id, more would be somebody else's doing."


def card_body(submission: Submission) -> bytearray:
    """Return the body that makes a PaymentMethod of the card; it holds the digits, the caller wipes it."""
    assert submission.card_number is not None
    members: dict[str, str | Secret] = {
        "type": "card",
        "card[number]": submission.card_number,
        "card[exp_month]": submission.expiry_month,
        "card[exp_year]": f"20{submission.expiry_year}",
    }
    if submission.security_code is not None and len(submission.security_code):
        members["card[cvc]"] = submission.security_code
    if submission.postal_code:
        members["billing_details[address][postal_code]"] = submission.postal_code
    return form_body(members)


def charge_body(submission: Submission, payment_method: str, amount: int, *, moto: bool) -> bytearray:
    """Return the body that charges: a PaymentIntent, created and confirmed at once.

    The types are named because an intent without them may ask for a page to return to. Without ``moto`` an intent that
    wants the payer to authenticate is refused at once: nobody on a telephone can.
    """
    members = {
        "amount": str(amount),
        "currency": submission.currency.lower(),
        "payment_method": payment_method,
        "payment_method_types[0]": "card",
        "confirm": "true",
        **_authentication(moto),
    }
    if not moto:
        members["error_on_requires_action"] = "true"
    return form_body(members | _description(submission) | metadata_of(submission))


def setup_body(submission: Submission, payment_method: str, *, moto: bool, customer: str) -> bytearray:
    """Return the body that checks the card for later use without the caller: a SetupIntent, confirmed at once.

    With a ``customer`` the card is attached to it.
    """
    members = {
        "payment_method": payment_method,
        "payment_method_types[0]": "card",
        "usage": "off_session",
        "confirm": "true",
        **_authentication(moto),
    }
    if customer:
        members["customer"] = customer
    return form_body(members | _description(submission) | metadata_of(submission))


def metadata_of(submission: Submission) -> dict[str, str]:
    """Return the metadata: our transaction id, then the parameters that Stripe's limits admit.

    Values are cut; names that are too long or hold brackets, and those beyond the number of pairs, are left out: a
    payment is not refused for a note at its margin.
    """
    pairs = {TRANSACTION: submission.transaction_id}
    for name, value in submission.parameters.items():
        if len(pairs) < _MAX_PAIRS and 0 < len(name) <= _MAX_NAME and not set(name) & set("[]"):
            # An empty value would ask Stripe to delete the pair. Ours stays, whatever a document calls its own.
            pairs |= {name: value[:_MAX_VALUE]} if value and name != TRANSACTION else {}
    return {f"metadata[{name}]": value for name, value in pairs.items()}


def search_path(transaction_id: str) -> str:
    """Return path and query that search the PaymentIntents of a transaction."""
    escaped = transaction_id.replace("\\", "\\\\").replace("'", "\\'")
    query = quote(f"metadata['{TRANSACTION}']:'{escaped}'", safe="")
    return f"/v1/payment_intents/search?limit={_SEARCHED}&query={query}"


def _authentication(moto: bool) -> dict[str, str]:
    return {"payment_method_options[card][moto]": "true"} if moto else {}


def _description(submission: Submission) -> dict[str, str]:
    return {"description": submission.description[:_MAX_DESCRIPTION]} if submission.description else {}
