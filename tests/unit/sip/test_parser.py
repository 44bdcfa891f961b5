"""Datagrams of real peers, whole."""

from __future__ import annotations

import pytest

from sip.errors import ParseError
from sip.headers import CSeq, Via
from sip.message import Request, Response
from sip.parser import parse_message
from sip.sdp import parse as parse_sdp
from sip.uri import NameAddr, Uri

INVITE = (
    b"INVITE sip:4000@192.0.2.10:5060 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.20:5060;rport;branch=z9hG4bKPj7f3c9a1e\r\n"
    b'From: "Alice Example" <sip:1001@192.0.2.20>;tag=8a4d33b1\r\n'
    b"To: <sip:4000@192.0.2.10>\r\n"
    b"Contact: <sip:asterisk@192.0.2.20:5060>\r\n"
    b"Call-ID: 1b8e5a4e-77c0-4a4d-9a3e-5d8e3a3f4b7c\r\n"
    b"CSeq: 24310 INVITE\r\n"
    b"Allow: OPTIONS, REGISTER, INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO, MESSAGE, REFER\r\n"
    b"Supported: 100rel, timer, replaces\r\n"
    b"Session-Expires: 1800\r\n"
    b'P-Asserted-Identity: "Alice Example" <sip:1001@192.0.2.20>\r\n'
    b"Max-Forwards: 70\r\n"
    b"User-Agent: PBX 22.10.0\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 122\r\n"
    b"\r\n"
    b"v=0\r\n"
    b"o=- 1868763 1868763 IN IP4 192.0.2.20\r\n"
    b"s=PBX\r\n"
    b"c=IN IP4 192.0.2.20\r\n"
    b"t=0 0\r\n"
    b"m=audio 14562 RTP/AVP 0 8 101\r\n"
    b"a=ptime:20\r\n"
)
RINGING = (
    b"SIP/2.0 180 Ringing\r\n"
    b"v: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1;received=192.0.2.10;rport=5060\r\n"
    b"Record-Route: <sip:192.0.2.30;lr>,<sip:192.0.2.31;lr>\r\n"
    b"f: <sip:a@192.0.2.10>;tag=1\r\n"
    b"t: <sip:b@192.0.2.20>;tag=2\r\n"
    b"i: c\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"l: 0\r\n"
    b"\r\n"
)


def test_invite_of_a_pbx() -> None:
    message = parse_message(INVITE)
    assert isinstance(message, Request)
    assert message.method == "INVITE"
    assert (message.uri.user, message.uri.host, message.uri.port) == ("4000", "192.0.2.10", 5060)
    assert message.from_.display_name == "Alice Example"
    assert message.headers.get_all("Supported") == ["100rel", "timer", "replaces"]
    assert parse_sdp(message.body).media[0].formats == ("0", "8", "101")
    assert message.serialize() == INVITE


def test_response_of_a_peer() -> None:
    message = parse_message(RINGING)
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (180, "Ringing")
    assert [route.uri.host for route in message.record_routes] == ["192.0.2.30", "192.0.2.31"]
    assert (message.via.received, message.via.rport) == ("192.0.2.10", 5060)
    assert message.to.tag == "2"


@pytest.mark.parametrize("line", ["SIP/2.0 200", "SIP/2.0 200 ", "sip/2.0 200 OK", "SIP/2.0 699 "])
def test_status_line_may_have_no_phrase(line: str) -> None:
    message = parse_message(RINGING.replace(b"SIP/2.0 180 Ringing", line.encode()))
    assert isinstance(message, Response)


@pytest.mark.parametrize(
    "line",
    [
        "SIP/2.0 099 x", "SIP/2.0 700 x", "SIP/2.0 20 OK", "SIP/2.0 2000 OK", "SIP/2.0  200 OK", "SIP/3.0 200 OK",
        "SIP/2.0 200\tOK", "SIP/2.0 ٢٠٠ OK", "SIP/2.0 200 a\rb", "SIP/2.0", "SIP/2.0 -20 OK",
    ],
)  # fmt: skip
def test_status_line_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_message(RINGING.replace(b"SIP/2.0 180 Ringing", line.encode()))
    assert caught.value.where == "status line"
    assert caught.value.partial is None


@pytest.mark.parametrize("name", [b"v: ", b"f: ", b"t: ", b"i: ", b"CSeq: "])
def test_response_without_a_mandatory_header_is_refused(name: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        parse_message(RINGING.replace(name, b"X-" + name))
    assert caught.value.partial is None


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK", b"GET / HTTP/1.1", b"\x80\x08", b"INVITE", b"INVITE sip:a@b", b" "]
)
def test_other_protocols_are_refused(start: bytes) -> None:
    with pytest.raises(ParseError):
        parse_message(start + INVITE[INVITE.index(b"\r\n") :])


def test_version_decides_before_the_rest() -> None:
    broken = INVITE.replace(b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia").replace(b"CSeq: 24310", b"CSeq: x")
    with pytest.raises(ParseError) as caught:
        parse_message(broken)
    assert caught.value.status_hint == 505


def test_rtp_and_stun_on_the_signalling_port_are_refused() -> None:
    for data in (b"\x80\x00" + bytes(170), b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12), b"\xff" * 1200):
        with pytest.raises(ParseError) as caught:
            parse_message(data)
        assert caught.value.partial is None


# Inputs over which a careless expression takes quadratic time: minutes, where the test's own limit is two.
FILLERS = [b" " * 60000, b"\t \r\n" * 15000, b'"' * 60000, b'"a' * 30000, b"<" * 60000, b"\\" * 60000, b"," * 60000]


@pytest.mark.parametrize("filler", [*FILLERS, b";" * 60000, b";a" * 30000, b"=" * 60000, b"%4" * 30000, b"\n " * 30000])
def test_no_filler_takes_more_than_linear_time(filler: bytes) -> None:
    for header in (b"Via: ", b"Contact: ", b"To: ", b"X: ", b"X: a\r\n b"):
        with pytest.raises(ParseError):
            parse_message(INVITE.replace(b"Allow: ", header + filler + b"\r\nAllow: "))
    text = filler.decode()
    for parse in (Uri.parse, NameAddr.parse, Via.parse, CSeq.parse):
        for whole in (text, f"sip:{text}", f"<sip:{text}", f"SIP/2.0/UDP {text}", f'"{text}'):
            with pytest.raises(ParseError):
                parse(whole)
