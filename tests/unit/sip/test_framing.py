"""Messages out of a stream: however it is cut, whatever is in it."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sip.framing
from sip.address import Address, Transport
from sip.framing import Framed, FramingError, KeepAlive, StreamFramer, refusal
from sip.message import Response
from sip.parser import MAX_MESSAGE, parse_message

PEER = Address("192.0.2.1", 40000, Transport.TCP, 1, 7)


def message(length: str = "l: 3", body: bytes = b"abc", method: str = "OPTIONS") -> bytes:
    lines = [
        f"{method} sip:pay@192.0.2.2 SIP/2.0",
        "Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKnashds8",
        "From: <sip:alice@192.0.2.1>;tag=1",
        "To: <sip:pay@192.0.2.2>",
        "Call-ID: a84b4c76e66710",
        f"CSeq: 1 {method}",
        "Max-Forwards: 70",
    ]
    if length:
        lines.append(length)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def pieces(data: bytes, *cuts: int) -> list[Framed]:
    framer, found = StreamFramer(), list[Framed]()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        found += framer.receive(data[start:end])
    return found


def only_error(data: bytes) -> FramingError:
    (error,) = pieces(data)
    assert isinstance(error, FramingError)
    return error


PARTS = st.sampled_from(
    [
        message(),
        message("Content-Length: 0", b""),
        message("CONTENT-LENGTH :\r\n 0003"),
        message("Content-Length:3").replace(b"\r\n", b"\n"),
        message("l: 9", b"\r\n\r\n\r\n\r\n\n"),
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\0",
        message(""),
        message("l: x"),
        message("l: 99999"),
        b"\x16\x03\x01\x02\x00",
    ]
)


@settings(max_examples=300, deadline=None)
@given(parts=st.lists(PARTS, max_size=8), cuts=st.lists(st.integers(0, 4000), max_size=40))
def test_any_cut_gives_the_same(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    assert pieces(data, *cuts) == pieces(data)
    assert pieces(data, *range(len(data))) == pieces(data)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=10))
def test_any_octets_in_any_cut_give_the_same_and_at_most_one_error_which_is_last(data: bytes, cuts: list[int]) -> None:
    found = pieces(data, *cuts)
    assert found == pieces(data)
    assert not any(isinstance(item, FramingError) for item in found[:-1])


@pytest.mark.parametrize(
    "length", ["Content-Length: 3", "l:3", "L : 3", "content-length:\t003", "Content-Length:\r\n 3", "l: 3 "]
)
def test_the_length_is_read_in_every_spelling(length: str) -> None:
    data = message(length)
    assert pieces(data + data) == [data, data]


def test_what_looks_like_a_length_elsewhere_is_none() -> None:
    data = message("Subject: Content-Length: 99\r\nX-l: 88\r\nSubject: a\r\n l: 77\r\nl: 3")
    assert pieces(data) == [data]


def test_a_message_is_there_only_when_it_is_complete() -> None:
    framer, data = StreamFramer(), message()
    assert framer.receive(data[:-1]) == []
    assert framer.is_within_message
    assert framer.receive(data[-1:]) == [data]
    assert not framer.is_within_message


@pytest.mark.parametrize(
    ("length", "status"),
    [
        ("", 400),
        ("l: -1", 400),
        ("l: +3", 400),
        ("l: 3\r\nContent-Length: 3", 400),
        ("l: three", 400),
        ("l:", 400),
        ("l: ٣", 400),
        ("l: 65535", 413),
        ("l: 99999999999999999999999999", 413),
    ],
)
def test_a_length_that_cannot_be_is_refused(length: str, status: int) -> None:
    error = only_error(message(length))
    answer = refusal(error, PEER)
    assert answer is not None
    response = parse_message(answer)
    assert isinstance(response, Response)
    assert (error.status, response.status) == (status, status)
    assert response.to.tag
    assert (response.via.branch, response.via.received) == ("z9hG4bKnashds8", None)
    assert response.call_id == "a84b4c76e66710"


def test_headers_without_an_end_are_refused_at_the_limit_of_a_message() -> None:
    head = message("X-Endless: " + "x" * 100)[:-7]
    framer, found = StreamFramer(), list[Framed]()
    sent = 0
    for piece in [head, *[b"\r\nX-More: 1"] * MAX_MESSAGE]:
        sent += len(piece)
        found += framer.receive(piece)
        if found:
            break
    (error,) = found
    assert isinstance(error, FramingError)
    assert error.status == 513
    assert MAX_MESSAGE <= sent < MAX_MESSAGE + 20
    answer = refusal(error, PEER)
    assert answer is not None
    assert answer.startswith(b"SIP/2.0 513 ")


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS on a port for TCP
        b"\xff\xfd\x18",
        b" OPTIONS",
        b"GET / HTTP/1.1\r\nHost: pay.example.com\r\n\r\n",
    ],
)
def test_what_is_no_sip_ends_the_stream_without_an_answer(data: bytes) -> None:
    assert refusal(only_error(data), PEER) is None


def test_neither_an_ack_nor_a_response_is_answered() -> None:
    assert refusal(only_error(message("", method="ACK")), PEER) is None
    response = message("").replace(b"OPTIONS sip:pay@192.0.2.2 SIP/2.0", b"SIP/2.0 200 OK")
    assert refusal(only_error(response), PEER) is None


def test_behind_an_error_nothing_is_taken_or_kept() -> None:
    framer = StreamFramer()
    framer.receive(message(""))
    assert framer.receive(message()) == []
    assert not framer.is_within_message


def test_an_error_shows_nothing_of_what_the_peer_sent() -> None:
    error = only_error(message("X-Digits: 4111111111111111"))
    assert "4111" not in repr(error) + str(error)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\r\n", []),
        (b"\r\n\r\n", [KeepAlive.PING]),
        (b"\r\n\r\n\r\n\r\n", [KeepAlive.PING, KeepAlive.PING]),
        (b"\n\n", [KeepAlive.PING]),
        (b"\0\0\0\0", []),
    ],
)
def test_two_line_ends_are_a_ping(data: bytes, expected: list[Framed]) -> None:
    assert pieces(data) == expected
    assert pieces(data, *range(len(data))) == expected


def test_a_line_end_before_a_message_and_one_behind_it_are_no_ping() -> None:
    assert pieces(b"\r\n" + message() + b"\r\n") == [message()]


def test_a_line_end_is_a_pong_only_where_one_is_waited_for() -> None:
    framer = StreamFramer()
    framer.expect_pong()
    assert framer.receive(b"\r\n") == [KeepAlive.PONG]
    framer.expect_pong()
    assert framer.receive(b"\r\n\r\n\r\n") == [KeepAlive.PONG, KeepAlive.PING]
    assert framer.receive(b"\r\n") == []


class CountingPattern:
    """A regular expression that counts the octets it is let look at."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self.pattern, self.looked_at = pattern, 0

    def search(self, data: bytearray, start: int, end: int) -> re.Match[bytes] | None:
        self.looked_at += min(end, len(data)) - start
        return self.pattern.search(data, start, end)


def test_a_drip_of_single_octets_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counting = CountingPattern(sip.framing._END_OF_HEAD)
    monkeypatch.setattr(sip.framing, "_END_OF_HEAD", counting)
    data = message("X-Long: " + "x" * 20_000 + "\r\nl: 3")
    assert pieces(data, *range(len(data))) == [data]
    assert counting.looked_at <= 4 * len(data)


def test_a_chunk_with_a_thousand_messages_gives_them_all() -> None:
    assert pieces(message() * 1000) == [message()] * 1000
