"""What a request to the Payments resource is refused with: the vendor's number, and the status of the answer.

==========================================  =======  ======
what                                        code     status
==========================================  =======  ======
a parameter that is missing or wrong        §4.4     400
not exactly one of Capture and Status       64018    400
complete with something missing             64019    400
another session is open, this one is over   64021    409
the call is not in progress                 21220    400
the caller's keys cannot be covered now     64002    503
no such call, no such session               20404    404
==========================================  =======  ======

No message repeats a value of the request: it may hold anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from engine.connectors.protocol import Refusal as ConnectorRefusal
from engine.errors import PayError
from engine.pay.capture import Refusal, RefusalReason
from engine.pay.errors import OrderError
from engine.pay.rules import RULES, Dialect, PayErrorCode

__all__ = (
    "RequestRefused",
    "call_is_over",
    "call_not_found",
    "line_not_covered",
    "no_connector",
    "not_taken",
    "refused_order",
    "refused_update",
    "session_in_progress",
    "session_not_found",
)

_CALL_NOT_IN_PROGRESS = 21220
_NOT_FOUND = 20404

_RULES = RULES[Dialect.PAYMENTS]
_REASONS: Mapping[RefusalReason, tuple[int, int, str]] = MappingProxyType(
    {
        RefusalReason.NO_SUCH_STEP: (PayErrorCode.PARAMETER_VALUE, 400, "Capture: no such step"),
        RefusalReason.NOT_WANTED: (
            PayErrorCode.PARAMETER_VALUE,
            400,
            "Capture: this session does not ask for that step; it was created for others",
        ),
        RefusalReason.INCOMPLETE: (PayErrorCode.DATA_MISSING, 400, "Required payment data is missing; capture first"),
        RefusalReason.NOT_OPEN: (PayErrorCode.INVALID_OPERATION, 409, "The session is over; create another one"),
        RefusalReason.SUBMITTED: (
            PayErrorCode.INVALID_OPERATION,
            409,
            "The payment was sent to the connector already; its result comes to the StatusCallback",
        ),
    }
)


class RequestRefused(PayError):  # noqa: N818
    """A request cannot be done: ``code`` is the vendor's number, ``status`` that of HTTP; nothing has changed."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = int(code)
        self.message = message
        self.status = status


def refused_order(error: OrderError, *, method: str) -> RequestRefused:
    """Return the refusal for a wrong field of the order, by the parameter's name."""
    code = _RULES.code_of(error) or PayErrorCode.PARAMETER_VALUE
    if error.field == "bank_account_type" and method == "ach-debit":
        code = PayErrorCode.PARAMETER_VALUE  # 64017 is for one that comes with a card
    return RequestRefused(code, f"{_RULES.name_of(error.field)}: {error.reason}")


def refused_update(refusal: Refusal) -> RequestRefused:
    """Return the refusal for what the session does not admit now; of what is missing it names all."""
    code, status, message = _REASONS[refusal.reason]
    if refusal.missing:
        message += f": {', '.join(refusal.missing)}"
    return RequestRefused(code, message, status)


def no_connector() -> RequestRefused:
    """Return the refusal for a connector that does not exist."""
    message = "PaymentConnector: there is no connector of this name; it has to be one of the engine's configuration"
    return RequestRefused(_RULES.unknown_connector_code or PayErrorCode.UNKNOWN_CONNECTOR, message)


def not_taken(refusal: ConnectorRefusal) -> RequestRefused:
    """Return the refusal for what the connector does not take."""
    return RequestRefused(refusal.pay_error_code, f"PaymentConnector: {refusal.message}")


def session_in_progress() -> RequestRefused:
    """Return the refusal for a second open session on one call."""
    message = "A payment is in progress on this call; complete or cancel it first"
    return RequestRefused(_RULES.busy_code or PayErrorCode.INVALID_OPERATION, message, 409)


def call_not_found() -> RequestRefused:
    """Return the refusal for a call that is not there."""
    return RequestRefused(_NOT_FOUND, "There is no such call", 404)


def session_not_found() -> RequestRefused:
    """Return the refusal for a session that this call does not have."""
    return RequestRefused(_NOT_FOUND, "This call has no such session", 404)


def call_is_over() -> RequestRefused:
    """Return the refusal for a call that nobody has answered yet, or that is over."""
    return RequestRefused(_CALL_NOT_IN_PROGRESS, "The call is not in progress: nobody can key anything on it")


def line_not_covered() -> RequestRefused:
    """Return the refusal when the engine cannot keep the keys from others: then nobody is asked for any."""
    return RequestRefused(PayErrorCode.SERVICE_UNAVAILABLE, "The caller cannot be masked now; nothing is captured", 503)
