"""Whatever message a secret is put into, wherever and however written, the redaction for traces leaves none of it."""

from __future__ import annotations

import base64
import re
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.redact import redact_sip
from tests.fuzz.drive import mutated
from tests.fuzz.fuzz_sip_redact import SEEDS, one_input
from tests.support.shared import VECTORS

TORTURE = tuple(path.read_bytes() for path in sorted((VECTORS / "sip").glob("rfc*/*.dat")))
PANS = ("4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "36227206271667")
START = "INVITE sip:pay@192.0.2.9 SIP/2.0\r\n"
HEADERS = (
    "Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKab;rport",
    "From: <sip:alice@192.0.2.7>;tag=b",
    "To: <sip:pay@192.0.2.9>",
    "Call-ID: abcdef@192.0.2.7",
    "Max-Forwards: 70",
)

line_ends = st.sampled_from(["\r\n", "\n"])
folds = st.sampled_from([" ", "\r\n ", "\n\t", "\r\n  \t "])
keys = st.binary(min_size=30, max_size=46).map(lambda octets: base64.b64encode(octets).decode())
placings = st.sampled_from(["{}", "<sip:{}@h>", '"{}" <sip:a@b>', "x={};y"])
words = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)


def cased(text: str) -> st.SearchStrategy[str]:
    """Return the text with each letter in either case."""
    flags = st.lists(st.booleans(), min_size=len(text), max_size=len(text))
    return flags.map(
        lambda upper: "".join(char.upper() if up else char.lower() for char, up in zip(text, upper, strict=True))
    )


def message(start: str, headers: list[str], body: str = "", line_end: str = "\r\n") -> bytes:
    return (start + "\r\n".join(headers) + "\r\n\r\n" + body).replace("\r\n", line_end).encode("latin-1")


@st.composite
def written_cards(draw: st.DrawFn) -> tuple[str, str]:
    """Return a card number, and how a careless sender writes it: in groups, folded, escaped."""
    pan = draw(st.sampled_from(PANS))
    cuts = draw(st.sampled_from([(len(pan),), (4, 8, 12, len(pan)), (4, 10, len(pan)), tuple(range(1, len(pan) + 1))]))
    gap = draw(st.sampled_from([" ", "-", ".", "%20", "  ", "/", "_", ", ", "\xa0"]) | folds)
    groups = [pan[start:end] for start, end in zip((0, *cuts), cuts, strict=False)]
    text = gap.join(groups)
    if draw(st.booleans()):
        text = re.sub(r"(?<!%)[0-9](?![0dD])", lambda match: f"%3{match[0]}", text) if "%" not in gap else text
    return pan, text


def assert_no_trace_of(clean: bytes, pan: str) -> None:
    seen = re.sub(r"%20|%2d|[\s.()/,_-]", "", clean.decode("latin-1"), flags=re.IGNORECASE)
    seen = re.sub(r"%3([0-9])", r"\1", seen)
    assert not any(pan[place : place + 5] in seen for place in range(len(pan) - 4))


@settings(max_examples=400, deadline=None)
@given(
    written_cards(),
    st.integers(0, 5),
    words,
    line_ends,
    st.sampled_from(["{}", "<sip:{}@h>", '"{}" <sip:a@b>', "x={};y"]),
)
def test_no_card_number_is_left_in_any_header(
    card: tuple[str, str], place: int, name: str, line_end: str, around: str
) -> None:
    pan, written = card
    headers = list(HEADERS)
    headers.insert(place, f"X-{name}: {around.replace('{}', written)}")
    data = message(START, headers, line_end=line_end)
    clean = redact_sip(data)
    assert len(clean) == len(data)
    assert_no_trace_of(clean, pan)
    one_input(data)


@settings(max_examples=200, deadline=None)
@given(written_cards(), st.sampled_from(["s=", "i=", "a=x:", "o=", "", "u=sip:", "a=fmtp:101 "]), line_ends)
def test_no_card_number_is_left_in_a_session_description(card: tuple[str, str], kind: str, line_end: str) -> None:
    pan, written = card
    headers = [*HEADERS, "CSeq: 1 INVITE", "c: application/sdp"]
    data = message(START, headers, f"v=0\r\n{kind}{written}\r\nt=0 0\r\n", line_end)
    assert_no_trace_of(redact_sip(data), pan)
    one_input(data)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from("0123456789*#ABCD"),
    st.sampled_from(["Signal={}", "Signal= {}\r\nDuration=160", "{}", "signal : {}\n", "d={};x", "\0{}"]),
    st.sampled_from(["application/dtmf-relay", "application/dtmf", "application/sdp", "text/plain", "audio/x"]),
    st.tuples(cased("Content-Type") | st.sampled_from(["c", "C"]), folds),
    st.sampled_from(["start", "cseq", "both"]),
    line_ends,
)
def test_no_key_is_left_of_an_info(
    key: str, body: str, kind: str, field: tuple[str, str], where: str, line_end: str
) -> None:
    start = START if where == "cseq" else START.replace("INVITE", "INFO")
    method = "INVITE" if where == "start" else "INFO"
    headers = [*HEADERS, f"CSeq: 3 {method}", f"{field[0]}:{field[1]}{kind}"]
    text = body.replace("{}", key)
    data = message(start, headers, text, line_end)
    clean = redact_sip(data)
    sent = text.replace("\r\n", line_end)
    assert clean == data[: len(data) - len(sent)] + b"*" * len(sent)
    one_input(data)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["Authorization", "Proxy-Authorization"]).flatmap(cased),
    st.sampled_from(["response", "cnonce", "nonce", "opaque", "x-more"]).flatmap(cased),
    st.text("0123456789abcdef", min_size=16, max_size=64),
    folds,
    folds,
    st.booleans(),
)
def test_no_response_or_nonce_is_left_of_credentials(
    name: str, param: str, secret: str, fold: str, before_colon: str, quoted: bool
) -> None:
    value = f'"{secret}"' if quoted else secret
    field = f'{name}{before_colon}:{fold}Digest username="bob",{fold}{param}{fold}={fold}{value},{fold}realm="pbx"'
    data = message(START, [*HEADERS, field])
    clean = redact_sip(data)
    assert secret.encode() not in clean
    assert b'username="bob"' in clean
    one_input(data)


@settings(max_examples=300, deadline=None)
@given(keys, cased("inline"), cased("crypto"), st.sampled_from(["header", "sdp", "attribute", "lone", "mime"]), folds)
def test_no_media_key_is_left(key: str, inline: str, crypto: str, where: str, fold: str) -> None:
    headers = [*HEADERS, "CSeq: 1 INVITE"]
    body = ""
    line = f"a={crypto}:1 AES_CM_128_HMAC_SHA1_80 {inline}:{key}|2^20"
    if where == "header":
        headers.append(f"X:{fold}{inline}:{fold}{key}")
    else:
        headers.append("Content-Type: application/sdp" if where != "mime" else "Content-Type: multipart/mixed")
        body = {"attribute": f"a=other:{key}", "lone": f"{inline}:{key}"}.get(where, line)
        body = f"v=0\r\n{body}\r\n"
    data = message(START, headers, body)
    clean = redact_sip(data).decode("latin-1")
    assert not any(key[place : place + 8] in clean for place in range(0, len(key) - 8, 4))
    one_input(data)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_damaged_messages_of_every_kind_are_redacted(seed: int) -> None:
    random = Random(seed)
    for _ in range(10):
        one_input(mutated(random, (*SEEDS, *TORTURE)))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_any_octets_are_redacted(data: bytes) -> None:
    one_input(data)
