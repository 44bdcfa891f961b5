"""What an application is told of its calls: the bodies of webhooks (`dialects.md` §6.2, §6.3), and a GET's query.

Nothing here holds its ``timestamp``: who tells it adds when it is told (`identity.timestamp`). Numbers are without the
plus. What a caller keyed stands only in `input_event`. Bytes of a SIP header that are no UTF-8 are question marks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from engine.dialects.ncco.identity import call_uuid, direction_of, number_of, timestamp
from engine.events import CallOutcome
from engine.program import CallFacts

__all__ = (
    "answer_members",
    "answered_event",
    "body_of",
    "call_members",
    "completed_event",
    "error_event",
    "input_event",
    "payment_event",
    "query_of",
    "record_event",
    "state_event",
    "transfer_event",
    "unanswered_status",
)

_UNANSWERED = {
    CallOutcome.BUSY: "busy",
    CallOutcome.NO_ANSWER: "timeout",
    CallOutcome.REFUSED: "rejected",
    CallOutcome.NOT_FOUND: "failed",
    CallOutcome.UNREACHABLE: "unanswered",
    CallOutcome.NO_MEDIA: "failed",
    CallOutcome.CANCELLED: "cancelled",
}
_OF_THE_VENDOR = "x-nexmo"
"Headers that start so are its own, and no application is told of them."
_FREE = "0.00"
"``rate`` and ``price`` of a call: what it costs is the carrier's matter, and not known here."


def unanswered_status(outcome: CallOutcome | None) -> str:
    """Return the last state of a call out that nobody answered; None: it came to no call."""
    return "failed" if outcome is None else _UNANSWERED[outcome]


def call_members(facts: CallFacts, conversation: str) -> dict[str, Any]:
    """Return what every event of a call has: who called whom, and its names."""
    return {
        "from": _readable(number_of(facts.caller)),
        "to": _readable(number_of(facts.dialled)),
        "uuid": call_uuid(facts.call_id),
        "conversation_uuid": conversation,
    }


def state_event(facts: CallFacts, conversation: str, status: str) -> dict[str, Any]:
    """Return what is told of a call that is ``started``, ``ringing``, or over without an answer."""
    return {**call_members(facts, conversation), "status": status, "direction": direction_of(facts)}


def answered_event(facts: CallFacts, conversation: str) -> dict[str, Any]:
    """Return what is told of a call that was answered; what is not known yet is null."""
    return {**state_event(facts, conversation, "answered"), "start_time": None, "rate": None, "network": None}


def completed_event(
    facts: CallFacts, conversation: str, *, answered_at: datetime | None, ended_at: datetime
) -> dict[str, Any]:
    """Return what is told of a call that is over; ``answered_at`` None: it never was, and lasted no second."""
    seconds = 0.0 if answered_at is None else max(0.0, (ended_at - answered_at).total_seconds())
    return {
        **state_event(facts, conversation, "completed"),
        "start_time": None if answered_at is None else timestamp(answered_at),
        "end_time": timestamp(ended_at),
        "duration": str(round(seconds)),
        "rate": _FREE,
        "price": _FREE,
        "network": None,
    }


def input_event(facts: CallFacts, conversation: str, members: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of an ``input``: ``members`` has its ``dtmf``, and ``speech`` where that was asked for."""
    return {**members, **call_members(facts, conversation)}


def record_event(
    conversation: str, *, recording: str, url: str, size: int, started_at: datetime, ended_at: datetime
) -> dict[str, Any]:
    """Return what is told of a recording that is over; ``recording`` is its UUID, ``size`` in octets."""
    return {
        "start_time": timestamp(started_at),
        "recording_url": url,
        "size": size,
        "recording_uuid": recording,
        "end_time": timestamp(ended_at),
        "conversation_uuid": conversation,
    }


def transfer_event(facts: CallFacts, *, before: str, now: str) -> dict[str, Any]:
    """Return what is told of a call that went from one conversation to another."""
    return {
        "conversation_uuid_from": before,
        "conversation_uuid_to": now,
        "uuid": call_uuid(facts.call_id),
        "type": "transfer",
    }


def error_event(conversation: str, reason: str) -> dict[str, Any]:
    """Return what is told of something that is wrong; ``reason`` repeats no value."""
    return {"reason": reason, "conversation_uuid": conversation}


def payment_event(
    facts: CallFacts, conversation: str, *, status: str, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what is told of a payment: ``status`` is ``success`` or ``failure``; ``more`` as of D-43."""
    return {**(more or {}), **call_members(facts, conversation), "type": "payment", "status": status}


def answer_members(facts: CallFacts, conversation: str, *, region_url: str = "") -> dict[str, Any]:
    """Return what a request for the NCCO of a call says; ``region_url`` is where its REST interface is."""
    members = {**call_members(facts, conversation), "endpoint_type": "phone"}
    if region_url:
        members["region_url"] = region_url
    for name, value in facts.headers.items():
        if not name.lower().startswith(_OF_THE_VENDOR):
            members[f"SipHeader_{name}"] = _readable(value)
    return members


def body_of(members: Mapping[str, Any]) -> bytes:
    """Return JSON; raise ``ValueError`` for what it cannot say (a number that is none, nesting without end)."""
    return _text_of(members).encode()


def query_of(members: Mapping[str, Any]) -> bytes:
    """Return form parameters, a GET's query: null is empty, what is no text stands as JSON; raise as `body_of`.

    >>> query_of({"uuid": "a b", "dtmf": {"digits": "1#"}, "start_time": None})
    b'uuid=a+b&dtmf=%7B%22digits%22%3A%221%23%22%7D&start_time='
    """
    pairs = [(str(name), value if isinstance(value, str) else _value_of(value)) for name, value in members.items()]
    return urlencode(pairs, errors="replace").encode("ascii")


def _readable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _value_of(value: Any) -> str:
    return "" if value is None else _text_of(value)


def _text_of(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_number)
    except (TypeError, RecursionError):
        raise ValueError("it is no JSON") from None


def _number(value: object) -> float:
    """Return a number that was read exactly, as JSON's writer takes it."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and abs(value) < 2**63 else float(value)
    raise TypeError
