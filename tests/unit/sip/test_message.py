"""Requests and responses as values."""

from __future__ import annotations

import pytest

from sip.errors import LocalProtocolError, ParseError
from sip.headers import Headers
from sip.message import REASON_PHRASES, Request, Response
from sip.uri import Uri


def request(**changed: str) -> Request:
    fields = {
        "Via": "SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2",
        "From": '"A" <sip:a@h>;tag=1',
        "To": "<sip:b@h>",
        "Call-ID": "c",
        "CSeq": "1 INVITE",
        **changed,
    }
    return Request("INVITE", Uri.parse("sip:b@h"), Headers(fields.items()))


def test_properties_are_typed() -> None:
    message = request(
        **{"Contact": "<sip:a@1>, <sip:a@2>", "Max-Forwards": "0070", "Content-Type": "Application / SDP;x=y"}
    )
    assert message.call_id == "c"
    assert str(message.cseq) == "1 INVITE"
    assert message.from_.tag == "1"
    assert message.to.tag is None
    assert message.via.branch == "z9hG4bK1"
    assert [via.branch for via in message.vias] == ["z9hG4bK1", "z9hG4bK2"]
    assert message.contact is not None
    assert message.contact.uri.host == "1"
    assert len(message.contacts) == 2
    assert message.max_forwards == 70
    assert message.content_type == "application/sdp"
    bare = request()
    assert (bare.contact, bare.max_forwards, bare.content_type) == (None, None, None)
    assert bare.routes == bare.record_routes == bare.contacts == ()


def test_properties_follow_the_headers() -> None:
    message = request()
    before = message.to
    assert before.tag is None
    assert message.to is before  # parsed once
    message.headers.set("To", "<sip:b@h>;tag=2")
    assert message.to.tag == "2"
    message.headers.add("Contact", "<sip:a@1>")
    assert len(message.contacts) == 1
    message.headers.add("Contact", "<sip:a@2>")
    assert len(message.contacts) == 2


@pytest.mark.parametrize("name", ["From", "To", "Via", "CSeq", "Contact", "Route", "Record-Route", "Max-Forwards"])
def test_malformed_header_is_named(name: str) -> None:
    message = request(**{name: "<"})
    attribute = {"From": "from_", "CSeq": "cseq", "Contact": "contacts", "Route": "routes"}.get(name)
    attribute = attribute or {"Record-Route": "record_routes"}.get(name, name.lower().replace("-", "_"))
    with pytest.raises(ParseError) as caught:
        getattr(message, attribute)
    assert caught.value.where == name


def test_missing_call_id_is_named() -> None:
    with pytest.raises(ParseError, match="Call-ID"):
        _ = Request("OPTIONS", Uri.parse("sip:h")).call_id


def test_request_on_the_wire_has_the_right_length_once() -> None:
    message = request(**{"Content-Length": "999"})
    message.body = b"h\xc3\xa9llo"
    assert message.serialize() == (
        b"INVITE sip:b@h SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2\r\n"
        b'From: "A" <sip:a@h>;tag=1\r\n'
        b"To: <sip:b@h>\r\n"
        b"Call-ID: c\r\n"
        b"CSeq: 1 INVITE\r\n"
        b"Content-Length: 6\r\n"
        b"\r\n"
        b"h\xc3\xa9llo"
    )


def test_octets_that_are_no_utf_8_come_back_as_they_were() -> None:
    assert b"caf\xe9" in request(Subject=b"caf\xe9".decode("utf-8", "surrogateescape")).serialize()


@pytest.mark.parametrize("value", ["x\r\nContact: <sip:evil@h>", "x\ny", "x\ry"])
def test_line_end_in_a_value_is_not_written(value: str) -> None:
    with pytest.raises(LocalProtocolError):
        request(Subject=value).serialize()
    with pytest.raises(LocalProtocolError):
        Response(200, value).serialize()
    with pytest.raises(LocalProtocolError):
        Request("INVITE", Uri(host=value)).serialize()


def test_start_line_must_be_one() -> None:
    with pytest.raises(LocalProtocolError):
        Request("IN VITE", Uri.parse("sip:h")).serialize()
    with pytest.raises(LocalProtocolError):
        Request("INVITE", Uri(user="a SIP/2.0", host="h")).serialize()
    for status in (0, 99, 700, -1):
        with pytest.raises(LocalProtocolError):
            Response(status, "x").serialize()


def test_response_copies_what_8_2_6_2_says() -> None:
    message = request(**{"Record-Route": "<sip:p;lr>", "Timestamp": "54", "Subject": "x"})
    response = Response.to_request(message, 200, to_tag="t2")
    assert response.reason == "OK"
    assert list(response.headers.items()) == [
        ("Via", "SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2"),
        ("From", '"A" <sip:a@h>;tag=1'),
        ("To", "<sip:b@h>;tag=t2"),
        ("Call-ID", "c"),
        ("CSeq", "1 INVITE"),
    ]
    assert response.to.tag == "t2"


def test_trying_has_the_timestamp_and_no_tag() -> None:
    response = Response.to_request(request(Timestamp="54"), 100, to_tag="t2")
    assert response.headers.get("Timestamp") == "54"
    assert response.to.tag is None


def test_tag_of_the_request_stays() -> None:
    assert Response.to_request(request(To="sip:b@h;tag=t1"), 481, to_tag="t2").to.tag == "t1"
    assert Response.to_request(request(To="sip:b@h"), 481, to_tag="t2").to.tag == "t2"


def test_broken_request_is_answered_with_what_it_has() -> None:
    broken = Request("INVITE", Uri.parse("sip:h"), Headers([("Via", "SIP/2.0/UDP a"), ("To", '"open <sip:b@h>')]))
    response = Response.to_request(broken, 400, "No Call-ID", to_tag="t")
    assert response.serialize() == (
        b'SIP/2.0 400 No Call-ID\r\nVia: SIP/2.0/UDP a\r\nTo: "open <sip:b@h>\r\nContent-Length: 0\r\n\r\n'
    )
    assert "To" not in Response.to_request(Request("INVITE", Uri.parse("sip:h")), 400, to_tag="t").headers


def test_unknown_status_has_an_empty_phrase() -> None:
    assert Response.to_request(request(), 499).reason == ""
    assert REASON_PHRASES[486] == "Busy Here"


def test_repr_holds_no_body() -> None:
    message = request()
    message.body = b"Signal=7"
    assert "Signal" not in repr(message)
    response = Response(200, "OK", body=b"Signal=7")
    assert "Signal" not in repr(response)


@pytest.mark.parametrize(
    "via",
    [
        "SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKa;rport",
        "SIP/2.0/UDP [2001:db8::1]:5070;rport;branch=z9hG4bKa;received=203.0.113.9",
        'SIP / 2.0 / udp pbx.example ;branch=z9hG4bKa;x="a;b";rport=',
        "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa;rport, SIP/2.0/UDP 192.0.2.3;branch=z9hG4bKb",
    ],
)
def test_a_stamped_via_reads_as_its_text_does(via: str) -> None:
    request = Request("OPTIONS", Uri(host="192.0.2.2"), Headers([("Via", via)]))
    request.stamp_via(request.via.with_source("203.0.113.7", 6070))
    assert request.via.rport == 6070
    read = request.via
    request.forget_typed()
    assert request.via == read
    assert len(request.vias) == via.count("SIP")


def test_a_body_is_read_again_when_it_changes() -> None:
    request = Request("INFO", Uri(host="192.0.2.2"), Headers(), b"one")
    assert request.typed_body(len) == 3
    assert request.typed_body(lambda body: -1) == 3
    request.body = b"three"
    assert request.typed_body(len) == 5
