"""What the Payments resource answers: the session as the vendor prints it (`dialects.md` §5.1)."""

from __future__ import annotations

from datetime import datetime

from engine.dialects.twilio import API_VERSION, call_sid, payment_sid, rfc2822_date

__all__ = ("resource_body", "resource_uri")


def resource_uri(account_sid: str, call_id: str, payment_id: str) -> str:
    """Return the path of a session."""
    call, payment = call_sid(call_id), payment_sid(payment_id)
    return f"/{API_VERSION}/Accounts/{account_sid}/Calls/{call}/Payments/{payment}.json"


def resource_body(
    account_sid: str, call_id: str, payment_id: str, *, created: datetime, updated: datetime
) -> dict[str, object]:
    """Return the JSON body of both answers; times are in UTC."""
    return {
        "account_sid": account_sid,
        "call_sid": call_sid(call_id),
        "sid": payment_sid(payment_id),
        "date_created": rfc2822_date(created),
        "date_updated": rfc2822_date(updated),
        "uri": resource_uri(account_sid, call_id, payment_id),
    }
