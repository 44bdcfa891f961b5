"""Offers as real peers send them, one test for each peer's way."""

from __future__ import annotations

from dataclasses import replace

from sip.offer_answer import LocalCapabilities, accept_answer, answer, make_offer
from sip.payload_types import CODECS
from sip.sdp import parse

LOCAL = LocalCapabilities(address="192.0.2.10", rtp_port=30000, session_id=77, session_version=1)


def test_webrtc_gateway_with_twenty_formats_gets_one_codec_and_events() -> None:
    body = (
        "v=0\no=- 1 2 IN IP4 192.0.2.20\ns=-\nt=0 0\na=group:BUNDLE 0\na=msid-semantic: WMS *\n"
        "m=audio 9000 RTP/AVPF 111 63 9 0 8 13 110 126\nc=IN IP4 192.0.2.20\na=rtcp:9 IN IP4 0.0.0.0\n"
        "a=ice-ufrag:abcd\na=mid:0\na=sendrecv\na=rtcp-mux\na=rtpmap:111 opus/48000/2\na=rtpmap:63 red/48000/2\n"
        "a=rtpmap:9 G722/8000\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=rtpmap:13 CN/8000\n"
        "a=rtpmap:110 telephone-event/48000\na=rtpmap:126 telephone-event/8000\n"
    )
    described, parameters = answer(parse(body.encode()), LOCAL)
    assert described.media[0].formats == ("0", "126")
    assert parameters.receive_pts == {0: "PCMU", 8: "PCMA"}
    described, parameters = answer(parse(body.encode()), replace(LOCAL, codecs=CODECS, comfort_noise=True))
    assert described.media[0].formats == ("111", "110")
    assert parameters.receive_pts == {111: "opus", 9: "G722", 0: "PCMU", 8: "PCMA"}


def test_call_resumed_after_hold_speaks_again() -> None:
    head = "v=0\r\no=- 1 {} IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n"
    media = "m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na={}\r\n"
    local = LOCAL
    seen = []
    for version, direction in enumerate(("sendrecv", "sendonly", "sendrecv"), start=1):
        described, parameters = answer(parse((head + media).format(version, direction).encode()), local)
        seen.append((parameters.direction, parameters.held, described.origin.session_version))
        local = local.bumped()
    assert seen == [("sendrecv", False, "1"), ("recvonly", True, "2"), ("sendrecv", False, "3")]


def test_transfer_moves_media_and_keeps_events() -> None:
    """asterisk-i#11, rtpengine#614: a re-INVITE to another address must not lose telephone-event."""
    first = (
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n"
        b"m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
    )
    moved = first.replace(b"192.0.2.20", b"198.51.100.20").replace(b"101", b"97").replace(b"4000", b"6000")
    _, before = answer(parse(first), LOCAL)
    _, after = answer(parse(moved), LOCAL.bumped())
    assert (before.remote_address, before.event_receive_pt) == ("192.0.2.20", 101)
    assert (after.remote_address, after.remote_rtp_port, after.event_receive_pt) == ("198.51.100.20", 6000, 97)


def test_late_offer_is_settled_by_the_ack() -> None:
    sent = make_offer(LOCAL)
    reply = parse(
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n"
        b"m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:30\r\n"
    )
    parameters = accept_answer(sent, reply)
    assert (parameters.codec, parameters.ptime_ms, parameters.event_send_pt) == ("PCMA", 30, 101)
