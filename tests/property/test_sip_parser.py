"""The SIP parser under any input: random bytes, mutated torture messages, messages built from the grammar."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sip import grammar
from sip.auth import Challenge, authorization, parse_challenge, verify
from sip.errors import ParseError
from sip.headers import CSeq, Headers, Via
from sip.message import Request
from sip.parser import parse_message
from sip.uri import NameAddr, Uri
from tests.fuzz.fuzz_sip_message import one_input
from tests.support.shared import VECTORS

VECTOR_BYTES = [path.read_bytes() for path in sorted((VECTORS / "sip").glob("rfc*/*.dat"))]
SNIPPETS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b"\r\n ", b";", b",", b":", b'"', b"\\", b"<", b">", b"@", b"%", b"%00",
    b"=",
    b"[", b"]", b"::", b"SIP/2.0", b"SIP/", b"Via:", b"v:", b"Content-Length: 1\r\n", b"l:-1\r\n", b"sip:", b"tel:",
    b"*",
    b"z9hG4bK", b"rport", b"4294967296", b"\xff", b"\xc3\xbc", b"\xed\xa0\x80", b"tag", b"\r\n\r\n",
]  # fmt: skip

tokens = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=12)
hosts = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z]{2,5})?", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)
ports = st.none() | st.integers(0, 65535)
user_texts = st.text("abc019-_.!~*'()&=+$,;?/#", min_size=1, max_size=12)
uri_params = st.lists(
    st.tuples(st.text("abc-_.[]/:&+$019", min_size=1, max_size=8), st.none() | st.text("abc[]/:&+$19", max_size=8)),
    max_size=3,
).map(tuple)
uris = st.builds(
    Uri,
    scheme=st.sampled_from(["sip", "sips"]),
    user=user_texts,
    password=st.none() | st.text("abc19&=+$,", max_size=5),
    host=hosts,
    port=ports,
    params=uri_params,
    headers=st.lists(
        st.tuples(st.text("abc[]/?:+$19", min_size=1, max_size=8), st.none() | st.text("abc[]/?:+$%19", max_size=8)),
        max_size=2,
    ).map(tuple),
)
names = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=12)
params = st.lists(
    st.tuples(
        tokens, st.none() | tokens | st.text(st.characters(codec="utf-8"), max_size=8).map(grammar.quote) | hosts
    ).filter(lambda pair: pair[0].lower() != "tag"),
    max_size=3,
).map(tuple)
addresses = st.builds(NameAddr, display_name=names, uri=uris, params=params)


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(VECTOR_BYTES)))
    for _ in range(draw(st.integers(1, 8))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 40)))
        data[start:stop] = draw(st.sampled_from(SNIPPETS) | st.binary(max_size=6))
    return bytes(data)


@given(st.binary(max_size=600))
@settings(max_examples=300)
def test_any_bytes_are_a_message_or_a_parse_error(data: bytes) -> None:
    one_input(data)


@given(mutations())
@settings(max_examples=1500, suppress_health_check=[HealthCheck.too_slow])
def test_any_damage_to_a_message_is_survived(data: bytes) -> None:
    one_input(data)


@given(st.sampled_from(VECTOR_BYTES), st.integers(0, 4000))
@settings(max_examples=300)
def test_any_truncation_is_survived(data: bytes, length: int) -> None:
    one_input(data[:length])


@given(uris)
@settings(max_examples=300)
def test_uri_comes_back_the_same(uri: Uri) -> None:
    assert Uri.parse(str(uri)) == uri
    assert uri.equivalent(uri)


@given(addresses)
@settings(max_examples=300)
def test_name_addr_comes_back_the_same(address: NameAddr) -> None:
    assert NameAddr.parse(str(address)) == address
    assert NameAddr.parse(str(address.with_tag("t1"))).tag == "t1"


@given(st.lists(addresses, min_size=1, max_size=4))
@settings(max_examples=200)
def test_contacts_in_one_line_are_the_contacts_in_many(contacts: list[NameAddr]) -> None:
    one = Headers([("Contact", ", ".join(map(str, contacts)))])
    many = Headers([("Contact", str(contact)) for contact in contacts])
    assert one.get_all("Contact") == many.get_all("Contact")


@given(tokens, hosts, ports, params)
@settings(max_examples=200)
def test_via_comes_back_the_same(transport: str, host: str, port: int | None, extra: grammar.Params) -> None:
    via = Via(transport=transport.upper(), host=host, port=port, params=extra)
    assert Via.parse(str(via)) == via


@given(st.integers(0, 2**32 - 1), tokens)
@settings(max_examples=100)
def test_cseq_comes_back_the_same(number: int, method: str) -> None:
    assert CSeq.parse(str(CSeq(number, method))) == CSeq(number, method)


@given(tokens, uris, addresses, addresses, st.binary(max_size=200), names)
@settings(max_examples=300)
def test_request_comes_back_the_same(
    method: str, uri: Uri, from_: NameAddr, to: NameAddr, body: bytes, subject: str
) -> None:
    request = Request(method, uri.without_headers(), body=body)
    request.headers.set("Via", "SIP/2.0/UDP h;branch=z9hG4bK1")
    request.headers.set("From", str(from_.with_tag("1")))
    request.headers.set("To", str(to))
    request.headers.set("Call-ID", "c")
    request.headers.set("CSeq", f"1 {method}")
    request.headers.set("Subject", subject.strip(grammar.LWS))
    again = parse_message(request.serialize())
    assert isinstance(again, Request)
    assert (again.method, again.uri, again.body) == (method, uri.without_headers(), body)
    assert again.from_ == from_.with_tag("1")
    assert again.to == to
    assert again.headers.get("Subject") == subject.strip(grammar.LWS)


@given(st.text(max_size=60), st.sampled_from([",", ";"]))
@settings(max_examples=300)
def test_splitting_loses_nothing(text: str, separator: str) -> None:
    assert separator.join(grammar.split_list(text, separator)) == text


@given(st.text(max_size=40))
@settings(max_examples=300)
def test_readers_of_text_raise_nothing_but_parse_errors(text: str) -> None:
    for parse in (Uri.parse, NameAddr.parse, Via.parse, CSeq.parse, parse_challenge):
        try:
            parse(text)
        except ParseError:
            pass
    assert not verify(text, method="INVITE", password="p")
    assert not verify(f"Digest {text}", method="INVITE", password="p")


texts = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=16)


@given(texts, texts, texts, texts, st.sampled_from(["MD5", "SHA-256", "MD5-sess"]), st.booleans())
@settings(max_examples=200)
def test_digest_proves_any_password_and_no_other(
    username: str, password: str, realm: str, nonce: str, algorithm: str, with_qop: bool
) -> None:
    challenge = Challenge(realm=realm, nonce=nonce, algorithm=algorithm, qop=("auth",) if with_qop else ())
    assert parse_challenge(str(challenge)) == challenge
    text = authorization(
        challenge, username=username, password=password, method="REGISTER", uri="sip:h", cnonce="c", nonce_count=3
    )
    assert verify(text, method="REGISTER", password=password, challenge=challenge, uri="sip:h")
    assert not verify(text, method="REGISTER", password=password + "x", challenge=challenge)
