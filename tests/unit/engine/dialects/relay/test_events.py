"""Events of calls are what the vendor's own client makes of them."""

from __future__ import annotations

from typing import Any

import pytest
from signalwire.relay.event import (
    CallReceiveEvent,
    CallStateEvent,
    CollectEvent,
    ConnectEvent,
    DetectEvent,
    DialEvent,
    PlayEvent,
    RecordEvent,
    ReferEvent,
    parse_event,
)

from engine.dialects.relay import events
from engine.dialects.relay.reading import RequestRefused
from engine.dialects.signalwire.digits import Collected, Ended
from tests.support.call_control import FACTS


def parsed(event_type: str, params: dict[str, Any]) -> Any:
    event = parse_event({"event_type": event_type, "params": params, "timestamp": 1.5})
    assert event.params is params
    return event


def test_a_call_that_is_received() -> None:
    event = parsed(events.RECEIVE, events.received(FACTS, context="shop", project="p"))
    assert isinstance(event, CallReceiveEvent)
    assert (event.call_id, event.node_id, event.context, event.tag) == (FACTS.call_id, "paytone", "shop", "")
    assert (event.call_state, event.direction, event.project_id) == ("created", "inbound", "p")
    assert event.device == {
        "type": "phone",
        "params": {"from_number": "+15551234567", "to_number": "4711", "headers": []},
    }


def test_a_state_of_a_call() -> None:
    event = parsed(events.STATE, events.state_changed(FACTS, "ended", tag="t", end_reason="busy"))
    assert isinstance(event, CallStateEvent)
    assert (event.call_state, event.end_reason, event.direction) == ("ended", "busy", "inbound")
    assert event.params["tag"] == "t"
    assert "end_reason" not in events.state_changed(FACTS, "answered")


def test_a_dialling() -> None:
    event = parsed(events.DIAL, events.dialled("t", "answered", FACTS))
    assert isinstance(event, DialEvent)
    assert (event.tag, event.dial_state, event.call["call_id"]) == ("t", "answered", FACTS.call_id)
    assert parsed(events.DIAL, events.dialled("t", "failed")).call == {}


@pytest.mark.parametrize(
    ("result", "entry", "state"),
    [
        (
            Collected(ended=Ended.DIGITS, digits="12", terminator="#"),
            {"type": "digit", "params": {"digits": "12", "terminator": "#"}},
            "finished",
        ),
        (Collected(ended=Ended.NO_INPUT), {"type": "no_input"}, "no_input"),
        (Collected(ended=Ended.STOPPED, digits="4111"), {"type": "error"}, "error"),
    ],
)
def test_an_entry(result: Collected, entry: dict[str, Any], state: str) -> None:
    event = parsed(events.COLLECT, events.collected(FACTS, "a", result))
    assert isinstance(event, CollectEvent)
    assert (event.control_id, event.result, event.state, event.final) == ("a", entry, state, True)


def test_a_recording() -> None:
    params = events.recorded(
        FACTS, "a", "finished", url="https://a.example/1.wav", duration_s=2.5, size=40044, audio={"format": "wav"}
    )
    event = parsed(events.RECORD, params)
    assert isinstance(event, RecordEvent)
    assert (event.url, event.duration, event.size, event.state) == ("https://a.example/1.wav", 2.5, 40044, "finished")
    assert event.params["url"] == event.url  # as the vendor's guide reads it


def test_the_others() -> None:
    play = parsed(events.PLAY, events.of_action(FACTS, "a", "playing"))
    assert isinstance(play, PlayEvent)
    assert (play.control_id, play.state) == ("a", "playing")
    connect = parsed(events.CONNECT, events.connected(FACTS, "connected", FACTS, tag="t"))
    assert isinstance(connect, ConnectEvent)
    assert (connect.connect_state, connect.peer["call_id"]) == ("connected", FACTS.call_id)
    detect = parsed(events.DETECT, events.detected(FACTS, "a", "5"))
    assert isinstance(detect, DetectEvent)
    assert detect.detect == {"type": "digit", "params": {"event": "5"}}
    refer = parsed(events.REFER, events.referred(FACTS, "success", "sip:a@b", response=202, notified=200))
    assert isinstance(refer, ReferEvent)
    assert (refer.sip_refer_response_code, refer.sip_notify_response_code) == ("202", "200")


def test_results_are_never_empty() -> None:
    assert events.accepted() == {"code": "200", "message": "OK"}
    refused = events.refused(RequestRefused("422", "play: is missing"))
    assert refused == {"code": "422", "message": "play: is missing"}
