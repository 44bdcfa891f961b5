"""What a RELAY client is told of calls: types and ``params`` of events, and answers to commands (`dialects.md` §2.3 f).

The vendor's client finds a call by ``call_id``, a call that it dials by ``tag``, and what it has begun by
``control_id``; it ends what it waits for by ``state``, or by ``result`` where keys are collected.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.dialects.relay.reading import RequestRefused
from engine.dialects.signalwire.digits import Collected, Ended
from engine.dialects.signalwire.identity import NODE_ID, device_of, direction_of
from engine.program import CallFacts

__all__ = (
    "COLLECT",
    "CONNECT",
    "DETECT",
    "DIAL",
    "HOLD",
    "PAY",
    "PLAY",
    "RECEIVE",
    "RECORD",
    "REFER",
    "SEND_DIGITS",
    "STATE",
    "USER_EVENT",
    "accepted",
    "collected",
    "connected",
    "detected",
    "dialled",
    "of_action",
    "of_call",
    "partial",
    "peer_of",
    "received",
    "recorded",
    "referred",
    "refused",
    "start_of_input",
    "state_changed",
)

RECEIVE = "calling.call.receive"
STATE = "calling.call.state"
DIAL = "calling.call.dial"
PLAY = "calling.call.play"
COLLECT = "calling.call.collect"
RECORD = "calling.call.record"
SEND_DIGITS = "calling.call.send_digits"
CONNECT = "calling.call.connect"
DETECT = "calling.call.detect"
REFER = "calling.call.refer"
HOLD = "calling.call.hold"
PAY = "calling.call.pay"
USER_EVENT = "calling.user_event"

Params = dict[str, Any]


# -- answers


def accepted(*, call_id: str = "", control_id: str = "", message: str = "OK") -> Params:
    """Return the result of a command that is carried out; never empty, for that means a call that is gone."""
    result: Params = {"code": "200", "message": message}
    if call_id:
        result["call_id"] = call_id
    if control_id:
        result["control_id"] = control_id
    return result


def refused(error: RequestRefused) -> Params:
    """Return the result of a command that is not."""
    return {"code": error.code, "message": str(error)}


# -- of the call


def of_call(facts: CallFacts, tag: str = "") -> Params:
    """Return what every event of a call begins with."""
    params: Params = {"call_id": facts.call_id, "node_id": NODE_ID, "segment_id": facts.call_id}
    if tag:
        params["tag"] = tag
    return params


def received(facts: CallFacts, *, context: str, project: str) -> Params:
    """Return the params of `RECEIVE`: here is a call."""
    return of_call(facts) | {
        "tag": "",
        "context": context,
        "call_state": "created",
        "direction": direction_of(facts),
        "project_id": project,
        "device": device_of(facts),
    }


def state_changed(
    facts: CallFacts, state: str, *, tag: str = "", end_reason: str = "", device: Mapping[str, Any] | None = None
) -> Params:
    """Return the params of `STATE`; ``end_reason`` goes with ``ended`` and ``ending``."""
    params = of_call(facts, tag) | {
        "call_state": state,
        "direction": direction_of(facts),
        "device": device_of(facts) if device is None else dict(device),
    }
    if end_reason:
        params["end_reason"] = end_reason
    return params


def dialled(tag: str, state: str, winner: CallFacts | None = None) -> Params:
    """Return the params of `DIAL`: ``dialing``, ``answered`` with who answered, ``failed``."""
    params: Params = {"node_id": NODE_ID, "tag": tag, "dial_state": state}
    if winner is not None:
        params["call"] = {
            "call_id": winner.call_id,
            "node_id": NODE_ID,
            "tag": tag,
            "device": device_of(winner),
            "dial_winner": "true",
        }
    return params


def peer_of(facts: CallFacts, tag: str = "") -> Params:
    """Return a call as the ``peer`` of another."""
    return {"call_id": facts.call_id, "node_id": NODE_ID, "tag": tag, "device": device_of(facts)}


def connected(facts: CallFacts, state: str, peer: CallFacts | None, *, tag: str = "", reason: str = "") -> Params:
    """Return the params of `CONNECT`: ``connecting``, ``connected``, ``disconnected``, ``failed``."""
    params = of_call(facts) | {"connect_state": state, "peer": {} if peer is None else peer_of(peer, tag)}
    if tag:
        params["tag"] = tag
    if reason:
        params["failed_reason"] = reason
    return params


# -- of what takes time


def of_action(facts: CallFacts, control_id: str, state: str) -> Params:
    """Return the params of an event that tells nothing but a state."""
    return of_call(facts) | {"control_id": control_id, "state": state}


def collected(facts: CallFacts, control_id: str, result: Collected) -> Params:
    """Return the params of `COLLECT` for an entry that is over."""
    if result.ended is Ended.DIGITS:
        entry: Params = {"type": "digit", "params": {"digits": result.digits, "terminator": result.terminator}}
        state = "finished"
    elif result.ended is Ended.NO_INPUT:
        entry, state = {"type": "no_input"}, "no_input"
    else:
        entry, state = {"type": "error"}, "error"
    return of_action(facts, control_id, state) | {"result": entry, "final": True}


def partial(facts: CallFacts, control_id: str, digits: str) -> Params:
    """Return the params of `COLLECT` for an entry that goes on: what has been keyed so far."""
    entry = {"type": "digit", "params": {"digits": digits, "terminator": ""}}
    return of_action(facts, control_id, "collecting") | {"result": entry, "final": False}


def start_of_input(facts: CallFacts, control_id: str) -> Params:
    """Return the params of `COLLECT` for the first key of an entry."""
    return of_action(facts, control_id, "collecting") | {"result": {"type": "start_of_input"}, "final": False}


def recorded(
    facts: CallFacts, control_id: str, state: str, *, url: str, duration_s: float, size: int, audio: Mapping[str, Any]
) -> Params:
    """Return the params of `RECORD`; the file is told beside ``record`` and within."""
    told = {"url": url, "duration": round(duration_s, 3), "size": size}
    return of_action(facts, control_id, state) | told | {"record": told | {"audio": dict(audio)}}


def detected(facts: CallFacts, control_id: str, event: str) -> Params:
    """Return the params of `DETECT`: a key, or ``finished``, which is the last."""
    params = of_call(facts) | {"control_id": control_id, "detect": {"type": "digit", "params": {"event": event}}}
    return params | {"state": "finished"} if event == "finished" else params


def referred(facts: CallFacts, state: str, to: str, *, response: int = 0, notified: int = 0) -> Params:
    """Return the params of `REFER`; codes are SIP statuses, 0 for none yet."""
    return of_call(facts) | {
        "state": state,
        "sip_refer_to": to,
        "sip_refer_response_code": str(response) if response else "",
        "sip_notify_response_code": str(notified) if notified else "",
    }
