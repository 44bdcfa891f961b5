"""How SWML and RELAY name calls, and what an event looks like (`dialects.md` §2.2, §2.4, §3.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.program import CallFacts, CallState

__all__ = ("CALL_STATES", "NODE_ID", "call_state", "device_of", "direction_of", "end_reason", "envelope")

NODE_ID = "paytone"
"The one node there is; clients send it back with each command."
CALL_STATES: Mapping[CallState, str] = {
    CallState.QUEUED: "created",
    CallState.RINGING: "ringing",
    CallState.ANSWERED: "answered",
    CallState.ENDED: "ended",
}
_REASONS = {
    "busy": "busy",
    "no-answer": "noAnswer",
    "cancelled": "cancel",
    "caller_cancelled": "cancel",
    "refused": "decline",
    "rejected": "decline",
    "not-found": "not_found",
    "unreachable": "error",
    "no-media": "error",
    "time limit": "max_duration",
}


def call_state(facts: CallFacts, state: CallState) -> str:
    """Return what both dialects call the state of a call: one in that waits for its answer is ``created``."""
    if state is CallState.RINGING and facts.direction == "in":
        return "created"
    return CALL_STATES[state]


def direction_of(facts: CallFacts) -> str:
    """Return ``inbound`` or ``outbound``."""
    return "inbound" if facts.direction == "in" else "outbound"


def end_reason(cause: str) -> str:
    """Return why a call ended, from ``CallControl.cause``; ``hangup`` for what has no name of its own."""
    return _REASONS.get(cause, "hangup")


def device_of(facts: CallFacts) -> dict[str, Any]:
    """Return the far end of a call as ``device``: ``phone``, whose numbers are user parts of SIP URIs."""
    headers = [{"name": name, "value": value} for name, value in facts.headers.items()]
    numbers = {"from_number": facts.caller, "to_number": facts.dialled, "headers": headers}
    return {"type": "phone", "params": numbers}


def envelope(
    event_type: str,
    params: Mapping[str, Any],
    *,
    channel: str,
    timestamp: float,
    project: str,
    space: str,
) -> dict[str, Any]:
    """Return the ``params`` of a ``signalwire.event``, or a status post's body; ``timestamp`` is in Unix seconds."""
    return {
        "event_type": event_type,
        "event_channel": channel,
        "timestamp": timestamp,
        "project_id": project,
        "space_id": space,
        "params": dict(params),
    }
