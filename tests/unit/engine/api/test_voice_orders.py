"""Requests to the Voice API, judged without a server: what is ordered, and which parameter is at fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.api.vonage.answers import VoiceError, read_object, refusal
from engine.api.vonage.orders import call_change, call_order, digits_order, stream_order, talk_order
from engine.config import Config, NccoApp
from tests.support.voice import SHOP, voice_config

NUMBER, OWN = "15550100777", "15550100001"
NCCO = [{"action": "talk", "text": "Hello"}]
ORDER = {"to": [{"type": "phone", "number": NUMBER}], "from": {"type": "phone", "number": OWN}, "ncco": NCCO}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return voice_config(tmp_path)


@pytest.fixture
def app(config: Config) -> NccoApp:
    found = config.apps[SHOP]
    assert isinstance(found, NccoApp)
    return found


def told(error: VoiceError) -> dict[str, Any]:
    """Return what a client is told."""
    body = json.loads(refusal(error).text or "")
    assert error.status == 400
    assert (body["type"], body["error_title"]) == ("BAD_REQUEST", "Bad Request")
    assert isinstance(body, dict)
    return body


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [
        ({"to": None}, "to"),
        ({"to": []}, "to"),
        ({"to": [{"type": "phone", "number": NUMBER}] * 2}, "to"),
        ({"to": [7]}, "to"),
        ({"to": [{"type": "phone"}]}, "to[0].number"),
        ({"to": [{"type": "phone", "number": "nobody"}]}, "to[0].number"),
        ({"to": [{"type": "websocket", "uri": "wss://x"}]}, "to[0].type"),
        ({"from": None}, "from"),
        ({"from": {"type": "phone", "number": "\r\nVia: x"}}, "from.number"),
        ({"from": {"type": "app", "user": "x"}}, "from.type"),
        ({"from": "sip:"}, "from"),
        ({"random_from_number": True}, "random_from_number"),
        ({"ncco": None}, "ncco"),
        ({"answer_url": ["https://x.example"]}, "answer_url"),
        ({"ncco": {}}, "ncco"),
        ({"ncco": [{"action": "dance"}]}, "ncco"),
        ({"ncco": [{"action": "pay", "amount": -1}]}, "ncco"),
        ({"ncco": None, "answer_url": "ftp://x.example"}, "answer_url"),
        ({"ncco": None, "answer_url": ["https://x.example"] * 2}, "answer_url"),
        ({"ncco": None, "answer_url": ["https://x.example"], "answer_method": "PUT"}, "answer_method"),
        ({"event_url": ["/relative"]}, "event_url"),
        ({"event_method": 7}, "event_method"),
        ({"ringing_timer": 0}, "ringing_timer"),
        ({"ringing_timer": 121}, "ringing_timer"),
        ({"length_timer": "soon"}, "length_timer"),
        ({"length_timer": True}, "length_timer"),
        ({"machine_detection": "hangup"}, "machine_detection"),
        ({"advanced_machine_detection": {"mode": "detect"}}, "advanced_machine_detection"),
    ],
)
def test_parameters_that_are_no_good_are_named(
    config: Config, app: NccoApp, parameters: dict[str, Any], wrong: str
) -> None:
    body = {name: value for name, value in (ORDER | parameters).items() if value is not None}
    with pytest.raises(VoiceError) as caught:
        call_order(body, app, config)
    invalid = told(caught.value)["invalid_parameters"]
    assert wrong in invalid
    assert all(isinstance(text, str) and text for text in invalid.values())


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, "action"),
        ({"action": "dance"}, "action"),
        ({"action": ["hangup"]}, "action"),
        ({"action": "transfer"}, "destination"),
        ({"action": "transfer", "destination": []}, "destination"),
        ({"action": "transfer", "destination": {"type": "url", "url": ["https://a.example"]}}, "destination.type"),
        ({"action": "transfer", "destination": {"type": "ncco"}}, "destination"),
        ({"action": "transfer", "destination": {"type": "ncco", "ncco": [], "url": ["x"]}}, "destination"),
        ({"action": "transfer", "destination": {"type": "ncco", "url": ["x"]}}, "destination.url"),
        ({"action": "transfer", "destination": {"type": "ncco", "ncco": [{"action": "x"}]}}, "destination.ncco"),
    ],
)
def test_changes_that_are_no_good(config: Config, app: NccoApp, body: dict[str, Any], wrong: str) -> None:
    with pytest.raises(VoiceError) as caught:
        call_change(body, app, config)
    assert list(told(caught.value)["invalid_parameters"]) == [wrong]


@pytest.mark.parametrize(
    ("part", "body", "wrong"),
    [
        ("talk", {}, "text"),
        ("talk", {"text": 7}, "text"),
        ("talk", {"text": "x" * 20_000}, "text"),
        ("talk", {"text": "x", "language": 7}, "language"),
        ("talk", {"text": "x", "level": 2}, "level"),
        ("talk", {"text": "x", "loop": -1}, "loop"),
        ("stream", {}, "stream_url"),
        ("stream", {"stream_url": ["file:///etc/passwd"]}, "stream_url"),
        ("stream", {"stream_url": ["https://x.example/a.wav"], "loop": "x"}, "loop"),
        ("dtmf", {}, "digits"),
        ("dtmf", {"digits": "1a"}, "digits"),
        ("dtmf", {"digits": "1" * 101}, "digits"),
        ("dtmf", {"digits": True}, "digits"),
    ],
)
def test_what_cannot_be_heard(part: str, body: dict[str, Any], wrong: str) -> None:
    orders: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
        "talk": talk_order,
        "stream": stream_order,
        "dtmf": digits_order,
    }
    with pytest.raises(VoiceError) as caught:
        orders[part](body)
    assert list(told(caught.value)["invalid_parameters"]) == [wrong]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"to=15550100777",
        b"[]",
        b'"text"',
        b"\xff",
        b"[" * 5000,
        b'{"to": 1, "to": 2}',
        b'{"length_timer": NaN}',
        b'{"length_timer": 1e999}',
        b'{"a": ' * 40 + b"1" + b"}" * 40,
        b'{"length_timer": ' + b"9" * 5000 + b"}",
    ],
)
def test_bodies_that_are_no_good(body: bytes) -> None:
    with pytest.raises(VoiceError) as caught:
        read_object(body)
    assert told(caught.value)["detail"]
