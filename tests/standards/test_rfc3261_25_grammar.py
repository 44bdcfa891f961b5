"""RFC 3261 §25.1 (lexical rules), §19.1.4 (comparing URIs), §7.3 (header fields), §18.3 (framing over UDP)."""

from __future__ import annotations

import pytest

from sip import grammar
from sip.errors import ParseError
from sip.headers import Headers
from sip.message import Request
from sip.parser import MAX_HEADERS, MAX_LINE, MAX_MESSAGE, is_keepalive, parse_message
from sip.uri import Uri

OPTIONS = (
    b"OPTIONS sip:100@192.0.2.1 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1\r\n"
    b"From: <sip:a@192.0.2.2>;tag=1\r\n"
    b"To: <sip:100@192.0.2.1>\r\n"
    b"Call-ID: c1\r\n"
    b"CSeq: 1 OPTIONS\r\n"
)


def _parse(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize("text", ["INVITE", "a-.!%*_+`'~9"])
def test_token_takes_its_alphabet(text: str) -> None:
    assert grammar.is_token(text)


@pytest.mark.parametrize("text", ["", "a b", "a/b", "a:b", "ä", "a\n", '"a"', "a@b", "a\0"])
def test_token_takes_nothing_else(text: str) -> None:
    assert not grammar.is_token(text)


@pytest.mark.parametrize(
    ("wire", "plain"),
    [('"a b"', "a b"), (r'"a\"b"', 'a"b'), (r'"\\"', "\\"), ('""', ""), ("token", "token"), (r'"\a"', "a")],
)
def test_quoted_string_is_unquoted(wire: str, plain: str) -> None:
    assert grammar.unquote(wire) == plain


@pytest.mark.parametrize("plain", ["", "a", 'say "hi"', "back\\slash", "nul\0bel\x07del\x7f", "Grüße", "tab\there"])
def test_quoting_is_undone_by_unquoting(plain: str) -> None:
    wire = grammar.quote(plain)
    assert grammar.match_quoted(wire) == len(wire)
    assert grammar.unquote(wire) == plain


def test_quoting_never_lets_a_line_end_out() -> None:
    assert grammar.quote("a\r\nVia: x") == '"a  Via: x"'


@pytest.mark.parametrize(
    ("text", "separator", "parts"),
    [
        ("a,b", ",", ["a", "b"]),
        ('"a,b" <sip:x,y>;p="c,d",e', ",", ['"a,b" <sip:x,y>;p="c,d"', "e"]),
        (r'"a\",b",c', ",", [r'"a\",b"', "c"]),
        ("a,,b,", ",", ["a", "", "b", ""]),
        ('"open,b', ",", ['"open,b']),
        ("<open,b", ",", ["<open,b"]),
        ('a="x;y";b', ";", ['a="x;y"', "b"]),
        ("", ",", [""]),
    ],
)
def test_lists_are_split_outside_quotes_and_brackets(text: str, separator: str, parts: list[str]) -> None:
    assert grammar.split_list(text, separator) == parts


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [("a%20b", "a b"), ("%C3%BC", "ü"), ("100%", "100%"), ("%zz", "%zz"), ("%00", "\0"), ("a", "a"), ("ü%41", "üA")],
)
def test_escapes_are_undone(escaped: str, plain: str) -> None:
    assert grammar.unescape(escaped) == plain


@pytest.mark.parametrize("text", ["", "-1", "+1", "1_0", "٣", "1.0", " 1", "256", "99999999999999999999"])
def test_numbers_are_ascii_digits_within_the_limit(text: str) -> None:
    with pytest.raises(ParseError):
        grammar.parse_number(text, where="x", limit=255)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("000", 0), ("0068", 68), ("255", 255), ("0" * 5000 + "7", 7)])
def test_numbers_may_have_leading_zeros(text: str, number: int) -> None:
    assert grammar.parse_number(text, where="x", limit=255) == number


# §19.1.4 gives these as equivalent and as different.
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("sip:[2001:DB8::0:1]", "sip:[2001:db8::1]"),
    ],
)
def test_19_1_4_equivalent_uris(one: str, other: str) -> None:
    assert Uri.parse(one).equivalent(Uri.parse(other))
    assert Uri.parse(other).equivalent(Uri.parse(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com:6000;transport=tcp", "sip:bob@biloxi.com"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@h", "sips:a@h"),
        ("sip:a@h", "sip:h"),
        ("sip:a:secret@h", "sip:a@h"),
        ("sip:a@h;maddr=192.0.2.1", "sip:a@h"),
    ],
)
def test_19_1_4_different_uris(one: str, other: str) -> None:
    assert not Uri.parse(one).equivalent(Uri.parse(other))
    assert not Uri.parse(other).equivalent(Uri.parse(one))


def test_7_3_1_order_of_one_name_is_kept() -> None:
    request = _parse(OPTIONS + b"Route: <sip:one;lr>\r\nSubject: x\r\nRoute: <sip:two;lr>, <sip:three;lr>\r\n\r\n")
    assert [str(route.uri) for route in request.routes] == ["sip:one;lr", "sip:two;lr", "sip:three;lr"]


def test_7_3_1_folded_lines_are_one_line() -> None:
    request = _parse(OPTIONS + b"Subject: I know\r\n you're there,\r\n\tpick up\r\n\r\n")
    assert request.headers.get("Subject") == "I know you're there, pick up"


def test_7_3_1_names_are_compared_in_any_case() -> None:
    request = _parse(OPTIONS + b"sUbJeCt: x\r\n\r\n")
    assert request.headers.get("SUBJECT") == "x"


@pytest.mark.parametrize(
    ("compact", "name"),
    [
        ("v", "Via"), ("f", "From"), ("t", "To"), ("i", "Call-ID"), ("m", "Contact"), ("l", "Content-Length"),
        ("c", "Content-Type"), ("k", "Supported"), ("s", "Subject"), ("e", "Content-Encoding"), ("o", "Event"),
        ("r", "Refer-To"), ("b", "Referred-By"), ("u", "Allow-Events"), ("x", "Session-Expires"),
        ("a", "Accept-Contact"), ("j", "Reject-Contact"), ("d", "Request-Disposition"), ("y", "Identity"),
    ],
)  # fmt: skip
def test_7_3_3_compact_names_are_long_names(compact: str, name: str) -> None:
    for spelling in (compact, compact.upper()):
        headers = Headers([(spelling, "x")])
        assert headers.get(name) == "x"
        assert list(headers.items()) == [(name, "x")]


def test_7_5_line_ends_before_the_start_line_are_ignored() -> None:
    assert _parse(b"\r\n\r\n\n" + OPTIONS + b"\r\n").method == "OPTIONS"


def test_lone_line_feeds_end_lines() -> None:
    request = _parse((OPTIONS + b"Content-Length: 3\r\n\r\n").replace(b"\r\n", b"\n") + b"a\r\n")
    assert request.body == b"a\r\n"
    assert request.call_id == "c1"


def test_empty_line_in_the_body_does_not_move_the_end_of_the_headers() -> None:
    assert _parse(OPTIONS.replace(b"\r\n", b"\n") + b"\nbody\r\n\r\nmore").body == b"body\r\n\r\nmore"


def test_lone_carriage_return_is_refused() -> None:
    with pytest.raises(ParseError, match="lone CR") as caught:
        parse_message(OPTIONS + b"Subject: x\rContact: <sip:evil@192.0.2.66>\r\n\r\n")
    assert caught.value.partial is not None


def test_18_3_body_ends_at_content_length_or_with_the_datagram() -> None:
    assert _parse(OPTIONS + b"Content-Length: 2\r\n\r\nabcd").body == b"ab"
    assert _parse(OPTIONS + b"\r\nabcd").body == b"abcd"
    with pytest.raises(ParseError, match="Content-Length"):
        parse_message(OPTIONS + b"Content-Length: 5\r\n\r\nabcd")


@pytest.mark.parametrize(
    "line",
    [
        b"Call-ID: c2", b"i: c1", b"CSeq: 1 OPTIONS", b"From: <sip:b@c>", b"t: <sip:b@c>",
        b"Max-Forwards: 70\r\nMax-Forwards: 70", b"l: 0\r\nContent-Length: 0", b"c: a/b\r\nContent-Type: a/b",
    ],
)  # fmt: skip
def test_a_header_that_must_be_single_is_refused_twice(line: bytes) -> None:
    with pytest.raises(ParseError, match="more than one"):
        parse_message(OPTIONS + line + b"\r\n\r\n")


@pytest.mark.parametrize("name", [b"Via", b"From", b"To", b"Call-ID", b"CSeq"])
def test_8_1_1_mandatory_headers_are_missed(name: bytes) -> None:
    kept = b"".join(line for line in OPTIONS.splitlines(keepends=True) if not line.startswith(name + b":"))
    with pytest.raises(ParseError, match="missing") as caught:
        parse_message(kept + b"\r\n")
    assert caught.value.where == name.decode()
    assert (caught.value.partial is None) == (name == b"Via")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE"),
        (b"CSeq: 1 OPTIONS", b"CSeq: 1 options"),
        (b"CSeq: 1 OPTIONS", b"CSeq: OPTIONS"),
        (b"CSeq: 1 OPTIONS", b"CSeq: 4294967296 OPTIONS"),
        (b"Call-ID: c1", b"Call-ID: c 1"),
        (b"Call-ID: c1", b"Call-ID:"),
        (b"To: <sip:100@192.0.2.1>", b"To: <sip:100@192.0.2.1"),
        (b"To: <sip:100@192.0.2.1>", b"To: <sip:100@192.0.2.1> x"),
        (b"sip:100@192.0.2.1 SIP/2.0", b"sip:100@192.0.2.1:99999 SIP/2.0"),
        (b"OPTIONS sip", b"OPT/IONS sip"),
        (b"Call-ID: c1", b"Call-ID: c1\r\nno colon here"),
        (b"Call-ID: c1", b"Call-ID: c1\r\nbad name: x"),
        (b"Call-ID: c1", b"Call-ID: c1\r\n: x"),
        (b"Call-ID: c1", b"Call-ID: c1\r\nMax-Forwards: 256"),
        (b"Call-ID: c1", b"Call-ID: c1\r\nMax-Forwards: x"),
        (b"Call-ID: c1", b"Call-ID: c1\r\nRecord-Route: sip:no.brackets;lr"),
        (b"Call-ID: c1", b"Call-ID: c1\r\nRoute: <sip:a b>"),
        (b"Call-ID: c1", b"Call-ID: c1\r\nContact: <sip:a>;"),
    ],
)
def test_what_two_readers_could_read_in_two_ways_is_refused_with_400(old: bytes, new: bytes) -> None:
    assert old in OPTIONS
    with pytest.raises(ParseError) as caught:
        parse_message(OPTIONS.replace(old, new) + b"\r\n")
    assert caught.value.status_hint == 400
    assert caught.value.partial is not None


def test_headers_without_an_empty_line_are_refused_and_can_be_answered() -> None:
    with pytest.raises(ParseError, match="empty line") as caught:
        parse_message(OPTIONS)
    assert caught.value.partial is not None
    assert caught.value.partial.call_id == "c1"


def test_ack_is_known_for_an_ack_however_broken() -> None:
    with pytest.raises(ParseError) as caught:
        parse_message(OPTIONS.replace(b"OPTIONS sip:100@192.0.2.1 SIP/2.0", b"ACK <sip:x> SIP/2.0") + b"\r\n")
    assert caught.value.partial is not None
    assert caught.value.partial.method == "ACK"


def test_limits_are_kept() -> None:
    with pytest.raises(ParseError, match="message too large"):
        parse_message(b"x" * (MAX_MESSAGE + 1))
    with pytest.raises(ParseError, match="too many headers"):
        parse_message(OPTIONS + b"X: y\r\n" * MAX_HEADERS + b"\r\n")
    with pytest.raises(ParseError, match="line too long"):
        parse_message(OPTIONS + b"X: " + b"y" * MAX_LINE + b"\r\n\r\n")
    with pytest.raises(ParseError):
        parse_message(b"OPTIONS sip:" + b"x" * MAX_LINE + OPTIONS[11:] + b"\r\n")


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"\0\0\0\0", b"\n", b"    "])
def test_keepalives_are_told_from_messages(data: bytes) -> None:
    assert is_keepalive(data)
    with pytest.raises(ParseError):
        parse_message(data)


def test_a_message_is_no_keepalive() -> None:
    assert not is_keepalive(OPTIONS + b"\r\n")


def test_errors_do_not_repeat_what_the_peer_sent() -> None:
    with pytest.raises(ParseError) as caught:
        parse_message(OPTIONS.replace(b"CSeq: 1 OPTIONS", b"CSeq: 4155550123 4155550123x x") + b"\r\n")
    assert "4155550123" not in str(caught.value)
    assert caught.value.where == "CSeq"
    assert "§20.16" in str(caught.value)
