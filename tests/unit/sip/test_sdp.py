"""Session descriptions as peers write them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sip.errors import LocalProtocolError, ParseError
from sip.sdp import MAX_MEDIA, MAX_SDP, Connection, MediaDescription, Origin, SessionDescription, parse

FULL = (
    b"v=0\r\n"
    b"o=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\n"
    b"s=Call to J\xc3\xb8rgen\r\n"
    b"i=A seminar\r\n"
    b"u=http://www.example.com/seminars/sdp.pdf\r\n"
    b"e=j.doe@example.com (Jane Doe)\r\n"
    b"p=+1 617 555-6011\r\n"
    b"c=IN IP4 198.51.100.1\r\n"
    b"b=AS:84\r\n"
    b"t=3724394400 3724398000\r\n"
    b"r=604800 3600 0 90000\r\n"
    b"a=recvonly\r\n"
    b"a=group:BUNDLE a v\r\n"
    b"m=audio 49170 RTP/AVP 0 96 101\r\n"
    b"i=the voice\r\n"
    b"c=IN IP4 233.252.0.1/127/3\r\n"
    b"b=TIAS:64000\r\n"
    b"a=rtpmap:96 opus/48000/2\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\n"
    b"a=fmtp:101 0-16\r\n"
    b"a=x-vendor-thing:keep: this = exactly; so\r\n"
    b"a=x-flag\r\n"
    b"a=ptime:20\r\n"
    b"a=maxptime:150\r\n"
    b"a=rtcp:53020 IN IP4 198.51.100.2\r\n"
    b"a=rtcp-mux\r\n"
    b"m=video 51372/2 RTP/AVP 99\r\n"
    b"c=IN IP6 2001:db8::2\r\n"
    b"a=sendonly\r\n"
)
MINIMAL = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


def test_full_description_comes_back_byte_for_byte() -> None:
    assert parse(FULL).serialize() == FULL


def test_full_description_is_understood() -> None:
    description = parse(FULL)
    assert description.origin == Origin(
        username="jdoe", session_id="3724394400", session_version="3724394405", address="198.51.100.1"
    )
    assert description.session_name == "Call to Jørgen"
    audio, video = description.media
    assert audio.formats == ("0", "96", "101")
    assert audio.rtpmap(0) is None
    opus = audio.rtpmap("96")
    assert opus is not None
    assert (opus.encoding, opus.rate_hz, opus.channels) == ("opus", 48000, 2)
    assert audio.fmtp(101) == "0-16"
    assert audio.fmtp(96) is None
    assert (audio.ptime_ms, audio.maxptime_ms) == (20, 150)
    assert audio.rtcp_port == 53020
    assert audio.rtcp_mux
    assert audio.attribute("x-vendor-thing") == "keep: this = exactly; so"
    assert audio.attribute("x-flag") == ""
    assert audio.attribute("missing") is None
    assert description.attribute("group") == "BUNDLE a v"
    assert description.direction_of(audio) == "recvonly"  # the session's
    assert description.direction_of(video) == "sendonly"  # its own
    assert video.port_count == 2
    assert video.rtcp_port == 51373
    assert not video.rtcp_mux
    connection = description.connection_of(audio)
    assert connection is not None
    assert (connection.address, connection.suffix) == ("233.252.0.1", "/127/3")
    assert description.connection_of(video) == Connection(address_type="IP6", address="2001:db8::2")


def test_minimal_description_has_the_defaults() -> None:
    description = parse(MINIMAL)
    assert description.direction_of(description.media[0]) == "sendrecv"
    assert description.media[0].ptime_ms is None
    assert description.media[0].rtcp_port == 4001


@pytest.mark.parametrize(
    "data",
    [
        MINIMAL.replace(b"\r\n", b"\n"),
        MINIMAL.rstrip(),
        MINIMAL + b"\r\n\r\n",
        MINIMAL + b"\0",
        MINIMAL.replace(b"s=-\r\n", b""),
        MINIMAL.replace(b"s=-", b"s="),
        MINIMAL.replace(b"s=-", b"s= "),
        MINIMAL.replace(b"t=0 0\r\n", b""),
        MINIMAL.replace(b"t=0 0\r\n", b"t=0 0\r\n\r\n"),
        MINIMAL.replace(b"t=0 0\r\n", b"t=0 0\r\na=\r\na=:\r\n"),
        MINIMAL.replace(b"RTP/AVP 0", b"RTP/AVP 0 "),
    ],
)
def test_harmless_slips_are_taken(data: bytes) -> None:
    assert parse(data) == parse(MINIMAL)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        (b"v=0", b"v=1", "line 1 (v=)"),
        (b"v=0\r\n", b"", "line 1 (o=)"),
        (b"v=0\r\n", b"v=0\r\nv=0\r\n", "line 2 (v=)"),
        (b"o=- 1 1 IN IP4 192.0.2.1", b"o=- 1 1 IN IP4", "line 2 (o=)"),
        (b"o=- 1 1 IN IP4 192.0.2.1\r\n", b"", "SDP"),
        (b"s=-\r\n", b"o=- 1 1 IN IP4 192.0.2.1\r\n", "line 3 (o=)"),
        (b"c=IN IP4 192.0.2.1", b"c=IN IP5 192.0.2.1", "line 4 (c=)"),
        (b"c=IN IP4 192.0.2.1", b"c=192.0.2.1", "line 4 (c=)"),
        (b"t=0 0", b"t 0 0", "line 5"),
        (b"t=0 0", b"y=0 0", "line 5"),
        (b"t=0 0", b"t =0 0", "line 5"),
        (b"t=0 0", b"a=x\ry", "line 5"),
        (b"m=audio 4000 RTP/AVP 0", b"m=audio 4000 RTP/AVP", "line 6 (m=)"),
        (b"m=audio 4000 RTP/AVP 0", b"m=audio 65536 RTP/AVP 0", "line 6 (m=)"),
        (b"m=audio 4000 RTP/AVP 0", b"m=audio x RTP/AVP 0", "line 6 (m=)"),
        (b"m=audio 4000 RTP/AVP 0", b"m=audio -1 RTP/AVP 0", "line 6 (m=)"),
        (b"m=audio 4000 RTP/AVP 0\r\n", b"m=audio 4000 RTP/AVP 0\r\nt=0 0\r\n", "line 7 (t=)"),
    ],
)
def test_broken_line_is_named(old: bytes, new: bytes, where: str) -> None:
    assert old in MINIMAL
    with pytest.raises(ParseError) as caught:
        parse(MINIMAL.replace(old, new))
    assert where in caught.value.where


def test_sizes_are_bounded() -> None:
    with pytest.raises(ParseError, match="too large"):
        parse(MINIMAL + b"a=" + b"x" * MAX_SDP)
    with pytest.raises(ParseError, match="too many"):
        parse(MINIMAL + b"m=audio 0 RTP/AVP 0\r\n" * MAX_MEDIA)


@pytest.mark.parametrize("value", ["x ", "x\0", " x", "\x0b", "\x85x", "\udcff"])
def test_odd_characters_at_the_ends_of_a_value_are_kept(value: str) -> None:
    description = replace(parse(MINIMAL), attributes=(("odd", value),))
    assert parse(description.serialize()) == description


def test_empty_body_is_no_description() -> None:
    with pytest.raises(ParseError):
        parse(b"")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("20", 20), ("20.0", 20), (" 30 ", 30), ("", None), ("x", None), ("-20", None), ("99999", None), ("٣", None)],
)
def test_ptime_is_read_or_ignored(value: str, expected: int | None) -> None:
    media = MediaDescription(media="audio", port=1, attributes=(("ptime", value),))
    assert media.ptime_ms == expected


@pytest.mark.parametrize("value", ["0", "x PCMU/8000", "0 PCMU", "0 PCMU/", "0 PCMU/8000/x", "0 /8000", "0 a b/8000"])
def test_malformed_rtpmap_is_none(value: str) -> None:
    assert MediaDescription(media="audio", port=1, attributes=(("rtpmap", value),)).rtpmap(0) is None


@pytest.mark.parametrize(
    ("port", "rtcp", "expected"),
    [(4000, None, 4001), (4000, "5", 5), (4000, "x", 4001), (4000, "99999", 4001), (65535, None, 0), (0, None, 0)],
)
def test_rtcp_port(port: int, rtcp: str | None, expected: int) -> None:
    attributes = () if rtcp is None else (("rtcp", rtcp),)
    assert MediaDescription(media="audio", port=port, attributes=attributes).rtcp_port == expected


def test_direction_with_a_value_is_not_a_direction() -> None:
    assert MediaDescription(media="audio", port=1, attributes=(("sendonly", "x"),)).direction is None


def test_value_with_a_line_end_is_not_written() -> None:
    description = parse(MINIMAL)
    for value in ("x\r\na=evil", "x\ny", "x\ry"):
        with pytest.raises(LocalProtocolError):
            replace(description, session_name=value).serialize()


def test_empty_session_name_is_written_as_a_space() -> None:
    origin = Origin(session_id="1", session_version="1", address="192.0.2.1")
    assert b"s= \r\n" in SessionDescription(origin=origin, session_name="").serialize()
