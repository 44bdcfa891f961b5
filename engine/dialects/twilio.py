"""What TwiML, the Payments resource and the Calls resource have in common: identities, dates, statuses, error bodies.

SIDs are made of the engine's own identities (32 hexadecimal digits) by a prefix, so none needs a table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urlencode

from engine.program import CallFacts, CallState

__all__ = (
    "API_VERSION",
    "call_direction",
    "call_sid",
    "call_status",
    "error_body",
    "final_status",
    "form_body",
    "id_of",
    "iso_date",
    "payment_sid",
    "recording_sid",
    "rfc2822_date",
    "standard_parameters",
)

API_VERSION = "2010-04-01"
_SID = re.compile(r"(?P<kind>[A-Z]{2})(?P<id>[0-9a-f]{32})")
_CALL, _PAYMENT, _RECORDING = "CA", "PK", "RE"
_STATES = {
    CallState.QUEUED: "queued",
    CallState.RINGING: "ringing",
    CallState.ANSWERED: "in-progress",
    CallState.ENDED: "completed",
}
_FINAL = {
    "busy": "busy",
    "no-answer": "no-answer",
    "cancelled": "canceled",
    "refused": "failed",
    "not-found": "failed",
    "unreachable": "failed",
    "no-media": "failed",
}


def call_sid(call_id: str) -> str:
    """Return a call's SID; of an empty id an empty text."""
    return f"{_CALL}{call_id}" if call_id else ""


def payment_sid(payment_id: str) -> str:
    """Return the SID of a Payments session."""
    return f"{_PAYMENT}{payment_id}"


def recording_sid(recording_id: str) -> str:
    """Return a recording's SID."""
    return f"{_RECORDING}{recording_id}"


def id_of(sid: str, kind: str) -> str:
    """Return the engine's identity in a SID of a kind (``CA``, ``PK``, ``RE``); empty when it is none."""
    match = _SID.fullmatch(sid)
    return match["id"] if match is not None and match["kind"] == kind else ""


def rfc2822_date(time: datetime | None) -> str | None:
    """Return a time as REST bodies have it, ``Wed, 18 Dec 2019 20:02:01 +0000``."""
    return None if time is None else format_datetime(time.astimezone(UTC))


def iso_date(time: datetime) -> str:
    """Return a time as callbacks of payments have it, ``2021-08-10T03:55:53.408Z`` (`dialects.md` §5.4)."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"


def call_status(state: CallState) -> str:
    """Return what ``CallStatus`` says of a call that is up, ringing, or just over."""
    return _STATES[state]


def final_status(cause: str, *, answered: bool) -> str:
    """Return what ``CallStatus`` says of a call that is over, by the cause in its record."""
    return "completed" if answered else _FINAL.get(cause, "no-answer" if cause == "rejected" else "canceled")


def call_direction(facts: CallFacts) -> str:
    """Return what ``Direction`` says: inbound, outbound-api, outbound-dial."""
    if facts.direction == "in":
        return "inbound"
    return "outbound-dial" if facts.parent_id else "outbound-api"


def standard_parameters(account_sid: str, facts: CallFacts, status: str) -> tuple[tuple[str, str], ...]:
    """Return the parameters that every request about a call has (`dialects.md` §4.6)."""
    parameters = [
        ("AccountSid", account_sid),
        ("ApiVersion", API_VERSION),
        ("CallSid", call_sid(facts.call_id)),
        ("CallStatus", status),
        ("Direction", call_direction(facts)),
        ("From", facts.caller),
        ("To", facts.dialled),
        ("Caller", facts.caller),
        ("Called", facts.dialled),
    ]
    for name, value in (
        ("CallerName", facts.caller_name),
        ("ForwardedFrom", facts.forwarded_from),
        ("ParentCallSid", call_sid(facts.parent_id)),
    ):
        if value:
            parameters.append((name, value))
    parameters += [(f"SipHeader_{name}", value) for name, value in facts.headers.items()]
    return tuple(parameters)


def form_body(parameters: Sequence[tuple[str, str]]) -> bytes:
    """Return form parameters as the body of a request, in their order.

    What a caller sent that is no text (bytes of a SIP header that are no UTF-8) becomes question marks.
    """
    return urlencode(list(parameters), errors="replace").encode("ascii")


def error_body(code: int, message: str, status: int) -> dict[str, object]:
    """Return the JSON body of an error answer (`dialects.md` §5.1)."""
    return {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
