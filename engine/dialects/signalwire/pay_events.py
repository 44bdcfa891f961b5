"""What SWML and RELAY tell of a payment: status posts, RELAY's events, and the variables of a document.

Laws (`dialects.md` §2.6, §3.4, §3.5):

1. What is shown of a number is masked by `engine.pay` before it comes here. What is not known is empty text (D-32).
2. RELAY's ``finished`` means paid, ``error`` every other end, ``collecting`` everything before it (D-25).
3. Nothing of a URL that is told names its user or password.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from engine.dialects.signalwire.identity import NODE_ID
from engine.dialects.signalwire.pay import PayRefused, PayRequest
from engine.net.http import split_url
from engine.pay.fields import ErrorType, Step
from engine.pay.order import PayOrder
from engine.pay.results import MaskedFields, PayResult, PayStatus, Result
from engine.pay.rules import RULES, Dialect
from engine.pay.submission import Outcome

__all__ = (
    "PAY_EVENT",
    "RelayPayState",
    "end_step",
    "interrupted_params",
    "refused_variables",
    "relay_event_params",
    "result_variables",
    "status_base",
    "status_params",
)

RelayPayState = Literal["collecting", "finished", "error"]
PAY_EVENT = "calling.call.pay"
"``event_type`` of posts and events."
END_STEPS: Mapping[Result, Step] = MappingProxyType(
    {
        Result.SUCCESS: Step.COMPLETED,
        Result.CALLER_INTERRUPTED_WITH_STAR: Step.CANCELED,
        Result.CALLER_HUNG_UP: Step.CANCELED,
        Result.RELAY_PAY_STOP: Step.CANCELED,
        Result.CANCELED: Step.CANCELED,
    }
)
"The step that a result ends in; the others end in ``payment-failed``."


def end_step(result: Result) -> Step:
    """Return the step that a payment with this result ended in."""
    return END_STEPS.get(result, Step.FAILED)


def status_base(request: PayRequest, *, call_id: str, control_id: str) -> dict[str, Any]:
    """Return what stands in every post of one payment."""
    shown = split_url(request.status_url, allow_insecure=True).bare_url if request.status_url else ""
    return {
        "status_url": shown,
        "status_url_method": "POST",
        "payment_method": request.order.method,
        "control_id": control_id,
        "call_id": call_id,
        "node_id": NODE_ID,
    }


def status_params(
    request: PayRequest, what: PayStatus | PayResult, *, call_id: str, control_id: str, error_type: str = ""
) -> dict[str, Any]:
    """Return the ``params`` of a post to the status URL (§3.4); of a result they hold the result as well.

    ``error_type`` is what the last status of a result named, where that is known.
    """
    base = status_base(request, call_id=call_id, control_id=control_id)
    if isinstance(what, PayStatus):
        return {**base, "for": str(what.step), "error_type": _error(request, what.error_type), **_masked(what)}
    return {
        **base,
        "for": str(end_step(what.result)),
        "error_type": error_type or _error_type(what),
        **_masked(what),
        **_outcome(request, what),
    }


def interrupted_params(
    base: Mapping[str, Any],
    *,
    result: str,
    error: str,
    card_number: str,
    card_type: str,
    charge_id: str,
    token_id: str,
) -> dict[str, Any]:
    """Return the ``params`` of the post about a payment that a crash cut off, as far as the ledger knows it.

    ``base`` is `status_base`'s, ``card_number`` is masked.
    """
    paid = result == Result.SUCCESS
    known = MaskedFields(card_number=card_number, card_type=card_type)
    return {
        **base,
        "for": str(Step.COMPLETED if paid else Step.FAILED),
        "error_type": "" if paid else error,
        **_masked(known),
        "result": result,
        "payment_confirmation_code": charge_id,
        "payment_token": token_id,
        "payment_error": "" if paid else error,
        "payment_error_code": "",
    }


def result_variables(result: PayResult, order: PayOrder) -> dict[str, Any]:
    """Return the variables that a ``pay`` sets (§3.5)."""
    return _variables(
        _RULES.result_name(result.result),
        {
            "payment_token": result.token_id,
            "payment_confirmation_code": result.charge_id,
            "payment_card_number": result.card_number,
            "payment_card_type": result.card_type,
            "payment_card_expiration_date": result.expiration_date,
            "payment_card_security_code": result.security_code,
            "payment_card_postal_code": result.postal_code,
            "payment_error": result.payment_error,
            "payment_error_code": result.payment_error_code,
            **_connector_error(result),
        },
    )


def refused_variables(refused: PayRefused) -> dict[str, Any]:
    """Return the variables of a ``pay`` that was refused; the document goes on (D-29)."""
    return _variables(str(Result.VALIDATION_ERROR), {"payment_error": str(refused)})


def relay_event_params(
    request: PayRequest, what: PayStatus | PayResult, *, call_id: str, control_id: str
) -> dict[str, Any]:
    """Return the ``params`` of an event ``calling.call.pay`` (§2.6)."""
    common = {"control_id": control_id, "call_id": call_id, "node_id": NODE_ID}
    masked = {"payment_method": request.order.method, **_masked(what)}
    if isinstance(what, PayStatus):
        step = {"for": str(what.step), "attempt": what.attempt, "error_type": _error(request, what.error_type)}
        return {**common, "state": "collecting", **step, **masked}
    paid = what.result is Result.SUCCESS
    state: RelayPayState = "finished" if paid else "error"
    step = {"for": str(end_step(what.result)), "attempt": max(what.attempts, 1)}
    ended = {name: value for name, value in _outcome(request, what).items() if value}
    return {**common, "state": state, **step, "error_type": _error_type(what), **masked, **ended}


_RULES = RULES[Dialect.SWML]
_NO_RESULTS = dict.fromkeys(
    (
        "payment_token",
        "payment_confirmation_code",
        "payment_card_number",
        "payment_card_type",
        "payment_card_expiration_date",
        "payment_card_security_code",
        "payment_card_postal_code",
        "payment_error",
        "payment_error_code",
    ),
    "",
)


def _variables(result: str, results: Mapping[str, Any]) -> dict[str, Any]:
    return {"pay_result": result, "pay_payment_results": {**_NO_RESULTS, **results}}


def _masked(fields: MaskedFields) -> dict[str, str]:
    return {
        "payment_card_number": fields.card_number,
        "payment_card_type": fields.card_type,
        "security_code": fields.security_code,
        "expiration_date": fields.expiration_date,
        "payment_card_postal_code": fields.postal_code,
    }


def _error(request: PayRequest, error_type: str) -> str:
    return RULES[request.dialect].error_name(error_type)


def _error_type(result: PayResult) -> str:
    """Return what went wrong as far as the result itself tells."""
    if result.result is Result.TOO_MANY_FAILED_ATTEMPTS:
        return result.payment_error
    if result.result is Result.INTERNAL_ERROR:
        return str(ErrorType.INTERNAL_ERROR)
    is_declined = result.result is Result.PAYMENT_CONNECTOR_ERROR and result.outcome is Outcome.DECLINED
    return str(ErrorType.CARD_DECLINED) if is_declined else ""


def _outcome(request: PayRequest, result: PayResult) -> dict[str, Any]:
    return {
        "result": RULES[request.dialect].result_name(result.result),
        "payment_confirmation_code": result.charge_id,
        "payment_token": result.token_id,
        "payment_error": result.payment_error,
        "payment_error_code": result.payment_error_code,
        **_connector_error(result),
    }


def _connector_error(result: PayResult) -> dict[str, Any]:
    fault = result.connector_error
    return {} if fault is None else {"connector_error": {"code": fault.code, "message": fault.message}}
