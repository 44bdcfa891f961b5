"""RFC 4475 (SIP torture tests) and RFC 5118 (IPv6 in SIP): what concerns the parser.

Covers RFC 4475 §3.1 to §3.4 and RFC 5118 §4. What a user agent must answer to the messages that parse is in
``test_rfc4475_uas.py``.
"""

from __future__ import annotations

import csv
import hashlib

import pytest

from sip.errors import ParseError
from sip.message import Request, Response
from sip.parser import parse_message
from sip.sdp import parse as parse_sdp
from tests.support.shared import VECTORS

ROOT = VECTORS / "sip"


def _rows() -> dict[str, dict[str, str]]:
    with (ROOT / "expected.tsv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}


ROWS = _rows()

# Refused by the user agent, for what the message asks; as a message there is nothing wrong with it.
REFUSED_ABOVE = {
    "rfc4475/unkscm.dat": "416",
    "rfc4475/novelsc.dat": "416",
    "rfc4475/bext01.dat": "420",
    "rfc4475/invut.dat": "415",
    "rfc4475/sdp01.dat": "406",
}
# The RFC allows to be liberal here, and we are.
TAKEN_LIBERALLY = {
    "rfc4475/baddate.dat": "the Date is never read",
    "rfc4475/baddn.dat": "PBXes send unquoted names with commas; before < nothing else can be meant",
}
# Refused, with a top Via that nothing can be sent to.
UNANSWERABLE = {"rfc4475/badinv01.dat"}
STATUS = {"rfc4475/badvers.dat": 505}

PARSED = sorted(
    name for name, row in ROWS.items() if row["verdict"] != "reject" or name in REFUSED_ABOVE or name in TAKEN_LIBERALLY
)
REJECTED = sorted(set(ROWS) - set(PARSED))


def _bytes(name: str) -> bytes:
    return (ROOT / name).read_bytes()


def _request(name: str) -> Request:
    message = parse_message(_bytes(f"rfc4475/{name}.dat" if "/" not in name else name))
    assert isinstance(message, Request)
    return message


def _response(name: str) -> Response:
    message = parse_message(_bytes(f"rfc4475/{name}.dat"))
    assert isinstance(message, Response)
    return message


def test_every_vector_is_in_the_table_and_unchanged() -> None:
    files = {str(path.relative_to(ROOT)) for path in ROOT.glob("rfc*/*.dat")}
    assert files == set(ROWS)
    for line in (ROOT / "SHA256SUMS").read_text(encoding="ascii").splitlines():
        digest, name = line.split()
        assert hashlib.sha256((ROOT / name).read_bytes()).hexdigest() == digest, name


@pytest.mark.parametrize("name", PARSED)
def test_message_is_parsed(name: str) -> None:
    message = parse_message(_bytes(name))
    # What the parser lets through can be read to the end without another error.
    assert message.call_id
    assert message.via.host
    assert message.cseq.method
    assert message.from_.uri.scheme
    assert message.to.uri.scheme
    assert message.max_forwards is None or 0 <= message.max_forwards <= 255
    assert len(message.vias) >= 1
    _ = message.contacts, message.routes, message.record_routes, message.content_type


@pytest.mark.parametrize("name", PARSED)
def test_message_survives_being_written_and_read_again(name: str) -> None:
    message = parse_message(_bytes(name))
    wire = message.serialize()
    again = parse_message(wire)
    assert again.serialize() == wire
    message.headers.set("Content-Length", str(len(message.body)))  # written even where the sender had none
    assert again == message


@pytest.mark.parametrize("name", REJECTED)
def test_message_is_refused_with_the_status_the_rfc_asks(name: str) -> None:
    assert ROWS[name]["verdict"] == "reject"
    with pytest.raises(ParseError) as caught:
        parse_message(_bytes(name))
    error = caught.value
    assert error.where
    if _bytes(name).startswith(b"SIP/"):
        assert error.partial is None  # a response is never answered
    elif name in UNANSWERABLE:
        assert error.partial is None
    else:
        assert error.status_hint == STATUS.get(name, 400)
        assert error.partial is not None
        answer = Response.to_request(error.partial, error.status_hint, to_tag="t")
        assert answer.headers.lines("Via") == error.partial.headers.lines("Via")
        assert answer.serialize().startswith(f"SIP/2.0 {error.status_hint} ".encode())


def test_3_1_1_1_short_tortuous_invite_means_what_it_says() -> None:
    request = _request("wsinv")
    assert request.method == "INVITE"
    assert request.uri.param("unknownparam") == ""
    assert request.to.tag == "1918181833n"
    assert request.from_.display_name == 'J Rosenberg \\"'
    assert request.from_.tag == "98asjd8"
    assert request.max_forwards == 68
    assert request.cseq.number == 9
    assert [(via.transport, via.host, via.branch) for via in request.vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert request.headers.get("Subject") == ""
    assert request.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert request.headers.get("unknownheaderwithunusualvalue") == ";;,,;;,;"
    assert request.contact is not None
    assert request.contact.display_name == 'Quoted string ""'
    assert request.contact.param("newparam") == "newvalue"
    assert request.contact.param("secondparam") == ""
    assert request.contact.param("q") == "0.33"
    assert request.routes[0].uri.param("lr") == ""
    assert len(request.body) == 150


def test_3_1_1_2_wide_range_of_characters() -> None:
    request = _request("intmeth")
    assert request.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert request.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert request.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert request.uri.host == "example.com"
    assert request.to.display_name == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert request.from_.display_name == "token1~` token2'+_ token3*%!.-"
    assert request.from_.param("fromParam''~+*_!.-%") == "работающий"
    assert request.from_.tag == "_token~1'+`*%!-."


def test_3_1_1_3_escapes_do_not_split_the_user() -> None:
    request = _request("esc01")
    assert request.uri.user == "sips%3Auser%40example.com"
    assert request.uri.username == "sips:user@example.com"
    assert request.uri.host == "example.net"
    assert request.to.uri.username == "user"
    assert request.contact is not None
    assert request.contact.uri.username == "caller"
    assert request.contact.uri.param("lr") == ""
    assert request.contact.uri.param("name") == "value%41"


def test_3_1_1_4_escaped_nulls_do_not_end_a_string() -> None:
    request = _request("escnull")
    first, second = request.contacts
    assert first.uri.username == "\0"
    assert second.uri.username == "\0\0"
    assert not first.uri.equivalent(second.uri)


def test_3_1_1_5_percent_in_method_is_no_escape() -> None:
    request = _request("esc02")
    assert request.method == "RE%47IST%45R"


def test_3_1_1_6_no_space_before_the_bracket() -> None:
    assert _request("lwsdisp").from_.display_name == "caller"


def test_3_1_1_7_long_values_are_kept_whole() -> None:
    request = _request("longreq")
    assert len(request.vias) == 34
    assert request.via.host == "sip33.example.com"
    assert len(request.call_id) == 141
    assert len(request.to.display_name) > 90


def test_3_1_1_8_octets_behind_the_body_are_dropped() -> None:
    request = _request("dblreq")
    assert request.method == "REGISTER"
    assert request.body == b""
    assert request.call_id.startswith("dblreq.0ha0isndaksdj99")


def test_3_1_1_9_semicolon_belongs_to_the_user() -> None:
    uri = _request("semiuri").uri
    assert uri.username == "user;par=u@example.net"
    assert uri.params == ()


def test_3_1_1_10_transports_are_read_as_they_are() -> None:
    assert [via.transport for via in _request("transports").vias] == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]


def test_3_1_1_11_binary_body_is_kept_octet_for_octet() -> None:
    request = _request("mpart01")
    assert request.content_type == "multipart/mixed"
    assert _bytes("rfc4475/mpart01.dat").endswith(request.body)
    assert b"\0" in request.body


def test_3_1_1_12_and_13_reason_phrase_may_be_anything_or_nothing() -> None:
    assert _response("unreason").reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    assert _response("noreason").reason == ""


def test_3_1_2_15_unquoted_name_is_taken_as_quoted() -> None:
    request = _request("baddn")
    assert request.from_.display_name == "Bell, Alexander"
    assert str(request.from_).startswith('"Bell, Alexander" <')


def test_3_2_1_cookie_alone_is_no_branch_of_rfc_3261() -> None:
    via = _request("badbranch").via
    assert via.branch == "z9hG4bK"
    assert not via.has_cookie


def test_3_3_unknown_schemes_reach_the_user_agent() -> None:
    assert _request("unkscm").uri.scheme == "nobodyknowsthisscheme"
    assert _request("novelsc").uri.scheme == "soap.beep"
    request = _request("unksm2")
    assert str(request.to.uri) == "isbn:2983792873"
    assert request.from_.tag == "3234233"


def test_3_3_14_headers_in_a_contact_are_kept_and_not_obeyed() -> None:
    contact = _request("regescrt").contact
    assert contact is not None
    assert contact.uri.headers == (("Route", "%3Csip:sip.example.com%3E"),)
    assert _request("regescrt").routes == ()


def test_3_4_1_request_of_rfc_2543() -> None:
    request = _request("inv2543")
    assert request.via.branch is None
    assert request.from_.tag is None
    assert request.max_forwards is None
    assert request.body.startswith(b"v=0")


@pytest.mark.parametrize(
    ("name", "host", "port"),
    [
        ("ipv6-good", "2001:db8::10", None),
        ("port-ambiguous", "2001:db8::10:5070", None),
        ("port-unambiguous", "2001:db8::10", 5070),
        ("ipv6-correct-abnf-2-colons", "2001:db8::192.0.2.1", None),
    ],
)
def test_rfc_5118_4_1_to_4_4_reference_and_port(name: str, host: str, port: int | None) -> None:
    uri = _request(f"rfc5118/{name}.dat").uri
    assert (uri.host, uri.port) == (host, port)


@pytest.mark.parametrize("name", ["via-received-param-with-delim", "via-received-param-no-delim"])
def test_rfc_5118_4_5_received_with_and_without_brackets(name: str) -> None:
    assert _request(f"rfc5118/{name}.dat").via.received == "2001:db8::9:255"


def test_rfc_5118_4_7_families_may_be_mixed_in_via() -> None:
    vias = _request("rfc5118/mult-ip-in-header.dat").vias
    assert [via.host for via in vias] == ["2001:db8::9:1", "192.0.2.1", "2001:db8::9:255"]
    assert vias[2].received == "192.0.2.200"


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("ipv6-in-sdp", ["2001:db8::20", "2001:db8::20"]),
        ("mult-ip-in-sdp", ["192.0.2.1", "2001:db8::1"]),
        ("ipv4-mapped-ipv6", ["::ffff:192.0.2.2", "::ffff:192.0.2.2"]),
    ],
)
def test_rfc_5118_4_6_4_8_4_9_addresses_in_sdp(name: str, addresses: list[str]) -> None:
    description = parse_sdp(_request(f"rfc5118/{name}.dat").body)
    found = [description.connection_of(media) for media in description.media]
    assert [connection.address for connection in found if connection] == addresses
