"""URIs and name-addrs of real peers."""

from __future__ import annotations

import pytest

from sip.errors import ParseError
from sip.uri import NameAddr, Uri


@pytest.mark.parametrize(
    "text",
    [
        "sip:192.0.2.1",
        "sip:100@192.0.2.1:5080",
        "sips:bob@example.com",
        "sip:bob:secret@example.com;transport=tcp;lr?Subject=a%20b&Priority=urgent",
        "sip:[2001:db8::1]:5061;lr",
        "sip:*72#@pbx",
        "sip:+49%2030@my_pbx.local",
        "sip:a@b;lr=;x=y=z",
        "tel:+1-201-555-0123",
        "tel:7042;phone-context=example.com",
        "isbn:2983792873",
        "http://www.example.com/a;b?c=d",
        "urn:service:sos",
    ],
)
def test_uri_is_written_as_it_was_read(text: str) -> None:
    assert str(Uri.parse(text)) == text


def test_parts_of_a_uri() -> None:
    uri = Uri.parse("SIP:bob:secret@Example.com:5061;Transport=TCP;lr?Subject=a%20b&x")
    assert uri == Uri(
        scheme="sip",
        user="bob",
        password="secret",
        host="Example.com",
        port=5061,
        params=(("Transport", "TCP"), ("lr", None)),
        headers=(("Subject", "a%20b"), ("x", None)),
    )
    assert uri.param("transport") == "TCP"
    assert uri.param("LR") == ""
    assert uri.param("maddr") is None
    assert uri.without_headers().headers == ()
    assert uri.is_sip


def test_telephone_uri_keeps_number_and_parameters_apart() -> None:
    uri = Uri.parse("TEL:+1-201-555-0123;ext=12")
    assert (uri.scheme, uri.user, uri.host, uri.param("ext")) == ("tel", "+1-201-555-0123", "", "12")
    assert not uri.is_sip


def test_uris_of_other_schemes_are_equivalent_when_they_are_the_same() -> None:
    assert Uri.parse("urn:service:sos").equivalent(Uri.parse("URN:service:sos"))
    assert not Uri.parse("urn:service:sos").equivalent(Uri.parse("urn:service:police"))


@pytest.mark.parametrize(
    "text",
    [
        "", "sip", "sip:", "sip:@host", "sip:a@", "sip:a@b@c", "sip:a b@c", "sip:a@b:", "sip:a@b:port", "sip:a@b:65536",
        "sip:a@b;", "sip:a@b;;lr", "sip:a@b;?x=y", "sip:a@b;=x", "sip:a@b?", "sip:a@b?&", "sip:a@[::1", "sip:a@[::1]x",
        "sip:a@[:::]", "sip:a@[192.0.2.1]", "sip:a@ho st", "sip:a@hö", "sip:<a@b>", 'sip:"a"@b', "sip:a@b\r\n",
        "sip:a@b\0", ":x", "1a:b",
        "tel:", "tel:1;", "a:", "sip:a@b;x=y z",
    ],
)  # fmt: skip
def test_what_is_no_uri_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Uri.parse(text)


@pytest.mark.parametrize(
    ("text", "display", "uri", "tag"),
    [
        ("<sip:a@b>", "", "sip:a@b", None),
        ("sip:a@b;tag=1", "", "sip:a@b", "1"),
        ("sip:a@b ; tag = 1", "", "sip:a@b", "1"),
        ("<sip:a@b;tag=no>", "", "sip:a@b;tag=no", None),
        ('"A, \\"B\\" <x>" <sip:a@b>;TAG=1', 'A, "B" <x>', "sip:a@b", "1"),
        ("Alice  Example<sip:a@b>", "Alice Example", "sip:a@b", None),
        ("Müller, K. <sip:a@b>;x", "Müller, K.", "sip:a@b", None),
        ('"" <sip:a@b>;tag=', "", "sip:a@b", None),
        ("<tel:+1201>;tag=1", "", "tel:+1201", "1"),
    ],
)
def test_name_addr_is_read(text: str, display: str, uri: str, tag: str | None) -> None:
    address = NameAddr.parse(text)
    assert (address.display_name, str(address.uri), address.tag) == (display, uri, tag)


@pytest.mark.parametrize(
    "text",
    [
        "", "<>", "<sip:a@b", "sip:a@b>", '"A <sip:a@b>', '"A"', '"A" sip:a@b', 'A "B" <sip:a@b>', "A> <sip:a@b>",
        "<sip:a@b> x", "<sip:a@b>;", "<sip:a@b>;;x", "<sip:a@b>;=x", "<sip:a@b>;x y", '<sip:a@b>;x="y',
        "<sip:a@b>;x=y z",
        "sip:a@b?x=y", "sip:a,b@c", "< sip:a@b >", "<sip:a@b>,<sip:c@d>", "*",
    ],
)  # fmt: skip
def test_what_is_no_name_addr_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        NameAddr.parse(text)


def test_name_addr_is_written_with_quotes_and_brackets() -> None:
    address = NameAddr(display_name='A "B"', uri=Uri.parse("sip:a@b;lr"), params=(("x", None), ("q", "0.5")))
    assert str(address) == '"A \\"B\\"" <sip:a@b;lr>;x;q=0.5'
    assert NameAddr.parse(str(address)) == address


def test_tag_is_put_in_place_of_another() -> None:
    address = NameAddr.parse("<sip:a@b>;Tag=1;x=y")
    assert str(address.with_tag("2")) == "<sip:a@b>;x=y;tag=2"
    assert str(address.without_params()) == "<sip:a@b>"


def test_parameters_are_found_in_any_case_and_unquoted() -> None:
    address = NameAddr.parse('<sip:a@b>;+sip.instance="<urn:uuid:1;2>";lr')
    assert address.param("+SIP.Instance") == "<urn:uuid:1;2>"
    assert address.param("lr") == ""
    assert address.param("q") is None
