"""What Stripe's answers mean, without the network: the table in `engine.connectors.stripe`, row by row.

Everything is read as if the request could have charged; whoever knows that it could not says so (`Verdict.harmless`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from engine.connectors.body import scrub
from engine.connectors.table import ERROR_TYPES, classify
from engine.connectors.tries import Verdict, answer_of, in_doubt
from engine.net.http import HttpResponse
from engine.pay.secret import Secret
from engine.pay.submission import ConnectorAnswer, Outcome
from engine.redact import redact_text

__all__ = (
    "found_ids",
    "intent_answer",
    "members_of",
    "read_answer",
    "read_card",
)

MAX_MESSAGE = 500
REFUSED_UNSEEN = frozenset({429})
OUR_KEY = frozenset({401, 403})
IN_THE_MIDDLE = frozenset({408, 409, 425})
NOT_TOLD = frozenset(
    {"fraudulent", "lost_card", "merchant_blacklist", "pickup_card", "restricted_card", "security_violation"}
    | {"stolen_card"}
)
"Declines that Stripe asks to present as a plain one; they do not leave the connector, as code or as text."
PLAIN_DECLINE = "generic_decline"
UNAUTHENTICATED = "authentication_required"

_CHARGED = frozenset({"succeeded"})
_UNDECIDED = frozenset({"processing", "requires_capture"})
_WANTS_PAYER = frozenset({"requires_action", "requires_source_action"})
_WANTS_CARD = frozenset({"requires_payment_method", "requires_source"})
_NOT_BEGUN = frozenset({"canceled", "requires_confirmation"})
_ID = re.compile(r"[a-z]{1,20}_[A-Za-z0-9_]{1,250}")


def members_of(response: HttpResponse) -> dict[str, Any] | None:
    """Return the JSON object of an answer; None when it is none."""
    try:
        value = json.loads(response.body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_card(response: HttpResponse, secrets: Sequence[Secret | None]) -> Verdict:
    """Return what the answer to making a PaymentMethod means; ``secrets`` are taken out of its texts."""
    members = members_of(response)
    if response.status != 200 or members is None:
        return _read_refusal(response, members, secrets)
    made = _id(members, "id") if members.get("object") == "payment_method" else ""
    if not made:
        return in_doubt("no_id", "Stripe answered without a PaymentMethod")
    return Verdict(answer=answer_of(Outcome.FAILED, "not_charged", "the card was not charged"), payment_method=made)


def read_answer(response: HttpResponse, kind: str) -> Verdict:
    """Return what the answer to a charge or a setup means; ``kind``: ``payment_intent`` or ``setup_intent``."""
    members = members_of(response)
    if response.status != 200 or members is None:
        return _read_refusal(response, members, ())
    if members.get("object") != kind or not _id(members, "id"):
        return in_doubt("no_id", "Stripe answered without an intent", repeat=False)
    answer = intent_answer(members)
    if answer.outcome is Outcome.UNKNOWN:
        # The same key would bring the same words again.
        return Verdict(answer=answer, may_have_charged=True)
    return Verdict(answer=answer, is_final_word=True)


def intent_answer(intent: dict[str, Any]) -> ConnectorAnswer:
    """Return what an intent says of its payment: the state it is in decides, and nothing else."""
    status = _status(intent)
    if status in _CHARGED:
        return _success(intent)
    if status in _WANTS_PAYER:
        outcome, error_type = classify(UNAUTHENTICATED)
        message = "the card wants its holder to authenticate, which nobody can on a call"
        return ConnectorAnswer(
            outcome=outcome, error_code=UNAUTHENTICATED, error_message=message, error_type=error_type
        )
    if status in _WANTS_CARD:
        error = intent.get("last_payment_error") or intent.get("last_setup_error")
        if isinstance(error, dict):
            return _refusal(error, 402, ()).answer
    if status in _WANTS_CARD | _NOT_BEGUN:
        return answer_of(Outcome.FAILED, status, "Stripe did not charge the card")
    code = "in_progress" if status in _UNDECIDED else "unknown_status"
    return answer_of(Outcome.UNKNOWN, code, f"Stripe has not decided yet: {redact_text(status[:40])!r}")


def found_ids(response: HttpResponse, name: str, value: str) -> list[str] | None:
    """Return the ids of the intents that a search found with exactly this metadata; None when it can't be read."""
    members = members_of(response)
    data = members.get("data") if response.status == 200 and members is not None else None
    if not isinstance(data, list):
        return None
    ids = []
    for intent in data:
        if not isinstance(intent, dict) or not isinstance(metadata := intent.get("metadata"), dict):
            return None
        if metadata.get(name) == value:  # a search is blind to case
            ids.append(_id(intent, "id"))
    return ids if all(ids) else None


def _success(intent: dict[str, Any]) -> ConnectorAnswer:
    intent_id, payment_method = _id(intent, "id"), _id(intent, "payment_method")
    if intent.get("object") == "setup_intent":
        if not payment_method:
            return answer_of(Outcome.UNKNOWN, "no_id", "Stripe answered without a PaymentMethod")
        return ConnectorAnswer(
            outcome=Outcome.SUCCEEDED, token_id=payment_method, parameters={"setup_intent": intent_id}
        )
    parameters = {"payment_intent": intent_id} | ({"payment_method": payment_method} if payment_method else {})
    charge_id = _id(intent, "latest_charge") or intent_id
    return ConnectorAnswer(outcome=Outcome.SUCCEEDED, charge_id=charge_id, parameters=parameters)


def _read_refusal(response: HttpResponse, members: dict[str, Any] | None, secrets: Sequence[Secret | None]) -> Verdict:
    status = response.status
    error = (members or {}).get("error")
    error = error if isinstance(error, dict) else {}
    code, message = _said(error, status, secrets)
    if status >= 500 or status in IN_THE_MIDDLE:
        return in_doubt(code, message, repeat=_should_retry(response))
    if status < 300:
        # 200 with no JSON object; Stripe gives no other 2xx.
        return in_doubt("bad_answer", f"Stripe's answer with status {status} cannot be read", repeat=status == 200)
    intent = error.get("payment_intent")
    if isinstance(intent, dict) and (state := _status(intent)) in _CHARGED | _UNDECIDED:
        return in_doubt("contradiction", f"Stripe refused a payment that it calls {state}", repeat=False)
    if status in REFUSED_UNSEEN:
        return Verdict(answer=answer_of(Outcome.FAILED, code, message), repeat=_should_retry(response))
    if error.get("type") == "idempotency_error":
        # The key was used before, with something else: what became of that is not known here.
        return in_doubt("idempotency_error", message, repeat=False)
    return _refusal(error, status, secrets)


def _refusal(error: dict[str, Any], status: int, secrets: Sequence[Secret | None]) -> Verdict:
    """Return what an error object means; the issuer's word is final, that on our request only without a doubt."""
    code, message = _said(error, status, secrets)
    by_issuer = status == 402
    if not by_issuer and code.lower() not in ERROR_TYPES:
        return Verdict(answer=answer_of(Outcome.FAILED, code, message))
    outcome, error_type = classify(code)
    answer = ConnectorAnswer(outcome=outcome, error_code=code, error_message=message, error_type=error_type)
    return Verdict(answer=answer, is_final_word=by_issuer)


def _said(error: dict[str, Any], status: int, secrets: Sequence[Secret | None]) -> tuple[str, str]:
    """Return code and message to go by: the decline code where the code says only that the card was declined."""
    code, reason = _text(error, "code", secrets), _text(error, "decline_code", secrets)
    if {code.lower(), reason.lower()} & NOT_TOLD:
        return PLAIN_DECLINE, "the card was declined"
    if reason and (code.lower() == "card_declined" or code.lower() not in ERROR_TYPES):
        code = reason
    message = _text(error, "message", secrets) or f"Stripe answered with status {status}"
    if status in OUR_KEY:
        message = "Stripe does not accept the key, or not for this"  # its own words quote the key
    return code or f"http_{status}", message


def _should_retry(response: HttpResponse) -> bool:
    """Tell whether to ask again: Stripe says no where the answer is kept under the key and would be the same."""
    return not any(name == b"stripe-should-retry" and value == b"false" for name, value in response.headers)


def _status(intent: dict[str, Any]) -> str:
    status = intent.get("status")
    return status if isinstance(status, str) else ""


def _id(members: dict[str, Any], name: str) -> str:
    """Return an id, of an object that may be expanded; empty when it is none."""
    value = members.get(name)
    if isinstance(value, dict):
        value = value.get("id")
    return redact_text(value) if isinstance(value, str) and _ID.fullmatch(value) else ""


def _text(members: dict[str, Any], name: str, secrets: Sequence[Secret | None]) -> str:
    """Return a member as text without anything that the caller keyed."""
    value = members.get(name)
    return redact_text(scrub(value[:MAX_MESSAGE].strip(), secrets)) if isinstance(value, str) else ""
