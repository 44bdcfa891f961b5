"""The multi-map of headers, Via and CSeq."""

from __future__ import annotations

import pytest

from sip.errors import ParseError
from sip.headers import CSeq, Headers, Via, parse_contact, parse_routes


def test_fields_of_a_name_keep_their_order() -> None:
    headers = Headers([("Route", "<sip:a>"), ("X-Thing", "1"), ("route", "<sip:b>,<sip:c>"), ("x-THING", "2")])
    assert headers.get("ROUTE") == "<sip:a>"
    assert headers.lines("Route") == ["<sip:a>", "<sip:b>,<sip:c>"]
    assert headers.get_all("Route") == ["<sip:a>", "<sip:b>", "<sip:c>"]
    assert headers.count("Route") == 2
    assert len(headers) == 4
    assert list(headers.items()) == [
        ("Route", "<sip:a>"),
        ("Route", "<sip:b>,<sip:c>"),
        ("X-Thing", "1"),
        ("X-Thing", "2"),
    ]


def test_known_name_in_odd_case_is_written_as_usual() -> None:
    assert list(Headers([("sUbJeCt", "x"), ("x-OdD", "y")]).items()) == [("Subject", "x"), ("x-OdD", "y")]


def test_missing_header_is_none_and_empty() -> None:
    headers = Headers()
    assert headers.get("Via") is None
    assert headers.get_all("Via") == headers.lines("Via") == []
    assert "Via" not in headers
    assert 1 not in headers
    headers.remove("Via")


def test_prepend_set_first_and_remove() -> None:
    headers = Headers([("v", "a, b"), ("Via", "c")])
    headers.prepend("Via", "top")
    assert headers.get_all("Via") == ["top", "a", "b", "c"]
    headers.set_first("Via", "TOP")
    assert headers.get_all("Via") == ["TOP", "a", "b", "c"]
    headers.set("X-New", ["1", "2"])
    assert headers.lines("x-new") == ["1", "2"]
    headers.set("X-New", [])
    assert "X-New" not in headers
    headers.remove("v")
    assert len(headers) == 0
    headers.set_first("Via", "d")
    assert headers.get_all("Via") == ["d"]


def test_first_of_a_comma_list_is_replaced_alone() -> None:
    headers = Headers([("Via", "a, b")])
    headers.set_first("Via", "A")
    assert headers.get_all("Via") == ["A", "b"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", 'Digest username="a", realm="b"'),
        ("WWW-Authenticate", 'Digest realm="b", nonce="c"'),
        ("Proxy-Authenticate", 'Digest realm="b", nonce="c"'),
        ("Date", "Sat, 13 Nov 2010 23:29:00 GMT"),
        ("Subject", "one, two"),
        ("User-Agent", "a, b"),
        ("X-Unknown", "a, b"),
    ],
)
def test_commas_that_separate_nothing_are_left(name: str, value: str) -> None:
    assert Headers([(name, value)]).get_all(name) == [value]


@pytest.mark.parametrize(
    ("name", "value", "elements"),
    [
        ("Contact", '"A, B" <sip:a@b;x=1,2>;q=1, <sip:c>', ['"A, B" <sip:a@b;x=1,2>;q=1', "<sip:c>"]),
        ("k", "timer, replaces ,100rel", ["timer", "replaces", "100rel"]),
        ("Allow", "", []),
        ("Allow", ",INVITE,,ACK,", ["INVITE", "ACK"]),
    ],
)
def test_lists_are_split_where_the_grammar_has_lists(name: str, value: str, elements: list[str]) -> None:
    assert Headers([(name, value)]).get_all(name) == elements


def test_copy_is_independent_and_equal() -> None:
    headers = Headers([("Via", "a"), ("X-Y", "b")])
    clone = headers.copy()
    assert clone == headers
    clone.add("Via", "c")
    clone.add("X-Z", "d")
    assert clone != headers
    assert headers.lines("Via") == ["a"]
    assert headers != [("Via", "a")]


def test_repr_hides_what_proves_a_password() -> None:
    headers = Headers([("Authorization", 'Digest response="f00"'), ("proxy-authorization", "f00"), ("Via", "a")])
    assert "f00" not in repr(headers)
    assert "('Via', 'a')" in repr(headers)


def test_via_is_read_and_written() -> None:
    via = Via.parse("sip / 2.0/udp  [2001:db8::1] : 5080 ; branch=z9hG4bKx;rport;ttl=1")
    assert (via.protocol, via.transport, via.host, via.port) == ("SIP/2.0", "UDP", "2001:db8::1", 5080)
    assert via.branch == "z9hG4bKx"
    assert via.has_cookie
    assert via.wants_rport
    assert via.rport is None
    assert via.received is None
    assert via.param("TTL") == "1"
    assert str(via) == "SIP/2.0/UDP [2001:db8::1]:5080;branch=z9hG4bKx;rport;ttl=1"


@pytest.mark.parametrize(
    "text",
    [
        "", "SIP/2.0 host", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0/UDP;branch=x", "SIP/2.0/UDPhost", "SIP/2.0/UDP a b",
        "SIP/2.0/UDP a:", "SIP/2.0/UDP a:x", "SIP/2.0/UDP a:65536", "SIP/2.0/UDP a;", "SIP/2.0/UDP a;;b",
        "SIP/2.0/UDP [::1",
        "SIP/2.0/UDP [x]", "SIP/2.0/UDP 2001:db8::1", "SIP/2.0/UDP a;branch=b c", 'SIP/2.0/UDP a;branch="b',
    ],
)  # fmt: skip
def test_what_is_no_via_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Via.parse(text)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("192.0.2.1;branch=b", "192.0.2.1;branch=b"),
        ("192.0.2.9;branch=b", "192.0.2.9;branch=b;received=192.0.2.1"),
        ("host;branch=b", "host;branch=b;received=192.0.2.1"),
        ("192.0.2.1;rport;branch=b", "192.0.2.1;branch=b;rport=7000;received=192.0.2.1"),
        ("192.0.2.9;received=203.0.113.66;branch=b", "192.0.2.9;branch=b;received=192.0.2.1"),
        ("192.0.2.1;RPORT=1;branch=b", "192.0.2.1;branch=b;rport=7000;received=192.0.2.1"),
    ],
)
def test_source_is_noted_in_the_via(sent: str, kept: str) -> None:
    """RFC 3261 §18.2.1, RFC 3581 §4."""
    via = Via.parse(f"SIP/2.0/UDP {sent}").with_source("192.0.2.1", 7000)
    assert str(via) == f"SIP/2.0/UDP {kept}"


def test_source_of_the_other_family_is_noted_with_brackets_and_read_without() -> None:
    via = Via.parse("SIP/2.0/UDP host;rport").with_source("2001:db8::9", 7000)
    assert str(via) == "SIP/2.0/UDP host;rport=7000;received=[2001:db8::9]"
    assert (Via.parse(str(via)).received, via.rport) == ("2001:db8::9", 7000)


@pytest.mark.parametrize("value", ["", "0", "65536", "x", "-1", "999999", "٣"])
def test_rport_that_is_no_port_is_none(value: str) -> None:
    via = Via(host="a", params=(("rport", value),))
    assert via.rport is None
    assert via.wants_rport


@pytest.mark.parametrize("branch", ["", "z9hG4bK", "abc", "Z9hG4bKabc"])
def test_branch_without_cookie_is_of_rfc_2543(branch: str) -> None:
    assert not Via(host="a", params=(("branch", branch),)).has_cookie


def test_cseq() -> None:
    assert CSeq.parse("0009 \t INVITE") == CSeq(9, "INVITE")
    assert str(CSeq(4294967295, "BYE")) == "4294967295 BYE"


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "1INVITE", "-1 INVITE", "1 IN VITE", "4294967296 BYE", "1 a/b", "٣ BYE"]
)
def test_what_is_no_cseq_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        CSeq.parse(text)


def test_contacts_and_routes_are_read_in_order() -> None:
    headers = Headers([("m", "*"), ("Contact", "<sip:a>, sip:b;q=0.1"), ("Route", "<sip:c;lr>,<sip:d;lr>")])
    assert [str(contact.uri) for contact in parse_contact(headers)] == ["sip:a", "sip:b"]
    assert [str(route.uri) for route in parse_routes(headers)] == ["sip:c;lr", "sip:d;lr"]
    with pytest.raises(ParseError):
        parse_routes(Headers([("Route", "sip:c;lr")]))
