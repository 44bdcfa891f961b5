"""Whom to call: telephones are taken as connect and the Voice API name them, others refused with what is possible."""

from __future__ import annotations

from typing import Any

import pytest

from engine.dialects.ncco.actions import Endpoint
from engine.dialects.ncco.endpoints import MAX_HEADER_CHARS, MAX_HEADERS, endpoint_of
from engine.dialects.ncco.errors import NccoError
from engine.net import dialling

WHERE = "to[0]"


def refusal(value: object) -> NccoError:
    with pytest.raises(NccoError) as caught:
        endpoint_of(value, WHERE)
    return caught.value


@pytest.mark.parametrize("number", ["15551234567", "+15551234567", 15551234567])
def test_a_phone_has_a_number(number: object) -> None:
    assert endpoint_of({"type": "phone", "number": number}, WHERE) == Endpoint(type="phone", to=str(number))


def test_keys_and_an_ncco_may_come_before_both_are_connected() -> None:
    phone = endpoint_of(
        {
            "type": "phone",
            "number": "15551234567",
            "dtmfAnswer": "1p2*#",
            "shaken": "x",
            "onAnswer": {"url": "https://app.example.com/w", "ringbackTone": "https://app.example.com/r.mp3"},
        },
        WHERE,
    )
    assert phone == Endpoint(
        type="phone",
        to="15551234567",
        dtmf_answer="1p2*#",
        on_answer_url="https://app.example.com/w",
        ringback_url="https://app.example.com/r.mp3",
    )


def test_the_ringback_has_an_older_name() -> None:
    value = {"type": "phone", "number": "15551234567", "onAnswer": {"url": "/w", "ringback": "/r.mp3"}}
    assert endpoint_of(value, WHERE).ringback_url == "/r.mp3"


def test_a_sip_uri_may_have_headers() -> None:
    value = {"type": "sip", "uri": "sip:a@example.com;transport=tls", "headers": {"customer-id": "A 1", "n": 2}}
    assert endpoint_of(value, WHERE) == Endpoint(
        type="sip", to="sip:a@example.com;transport=tls", headers=(("customer-id", "A 1"), ("n", "2"))
    )


@pytest.mark.parametrize("extension", ["1001", 1001])
def test_an_extension_is_called(extension: object) -> None:
    assert endpoint_of({"type": "vbc", "extension": extension}, WHERE) == Endpoint(type="vbc", to="1001")


@pytest.mark.parametrize(
    "value", [{"type": "websocket", "uri": "wss://example.com/"}, {"type": "app", "user": "jamie"}]
)
def test_what_is_no_telephone_is_refused_with_what_can_be_called(value: dict[str, Any]) -> None:
    error = refusal(value)
    assert error.where == "to[0].type"
    assert "phone, sip or vbc" in error.reason


@pytest.mark.parametrize("name", ["standard_headers", "standardHeaders"])
def test_headers_without_x_are_refused_rather_than_left_out(name: str) -> None:
    value = {"type": "sip", "uri": "sip:a@example.com", name: {"User-to-User": "342342ef34;encoding=hex"}}
    assert refusal(value).where == f"to[0].{name}"
    assert endpoint_of({**value, name: {}}, WHERE).headers == ()


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ("15551234567", "to[0]"),
        (None, "to[0]"),
        ({}, "to[0].type"),
        ({"type": "fax"}, "to[0].type"),
        ({"type": "phone"}, "to[0].number"),
        ({"type": "phone", "number": True}, "to[0].number"),
        ({"type": "phone", "number": "1555-123"}, "to[0].number"),
        ({"type": "phone", "number": 10**30}, "to[0].number"),
        ({"type": "phone", "number": "15551234567", "dtmfAnswer": "12w"}, "to[0].dtmfAnswer"),
        ({"type": "phone", "number": "15551234567", "dtmfAnswer": "1" * 101}, "to[0].dtmfAnswer"),
        ({"type": "phone", "number": "15551234567", "onAnswer": {}}, "to[0].onAnswer.url"),
        ({"type": "phone", "number": "15551234567", "onAnswer": "/w"}, "to[0].onAnswer"),
        ({"type": "sip"}, "to[0].uri"),
        ({"type": "sip", "uri": "tel:+15551234567"}, "to[0].uri"),
        ({"type": "sip", "uri": "sip:a b@example.com"}, "to[0].uri"),
        ({"type": "sip", "uri": "sip:a@example.com\r\nX-A: b"}, "to[0].uri"),
        ({"type": "sip", "uri": "sip:a", "headers": ["a"]}, "to[0].headers"),
        ({"type": "sip", "uri": "sip:a", "headers": {"a": "b\r\nVia: c"}}, "to[0].headers"),
        ({"type": "sip", "uri": "sip:a", "headers": {"a:": "b"}}, "to[0].headers"),
        ({"type": "sip", "uri": "sip:a", "headers": {"a": "b" * 257}}, "to[0].headers"),
        ({"type": "sip", "uri": "sip:a", "headers": {"a": {"b": 1}}}, "to[0].headers"),
        ({"type": "sip", "uri": "sip:a", "headers": {f"a{i}": "b" for i in range(17)}}, "to[0].headers"),
        ({"type": "vbc", "extension": "12a"}, "to[0].extension"),
    ],
)
def test_what_cannot_be_called_is_refused_with_its_place(value: object, where: str) -> None:
    assert refusal(value).where == where


def test_the_bounds_are_those_of_a_call() -> None:
    assert (MAX_HEADERS, MAX_HEADER_CHARS) == (dialling.MAX_HEADERS, dialling.MAX_HEADER_CHARS)
