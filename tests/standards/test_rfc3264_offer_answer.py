"""RFC 3264 §5 (offer), §6 (answer), §8 (changing the session), §8.4 (hold); RFC 3551 §6 (static payload types);
RFC 4733 §2.1 (clock of telephone-event), §2.4 (events in SDP), §3.2 (0-15); RFC 5761 §5.1.1 (rtcp-mux)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sip.errors import LocalProtocolError, NoCommonMedia, RemoteProtocolError
from sip.offer_answer import LocalCapabilities, MediaParameters, accept_answer, answer, make_offer
from sip.sdp import MediaDescription, SessionDescription, parse

LOCAL = LocalCapabilities(address="192.0.2.10", rtp_port=30000, session_id=77, session_version=1)


def offer(*lines: str, connection: str = "c=IN IP4 192.0.2.20", session: tuple[str, ...] = ()) -> SessionDescription:
    head = ["v=0", "o=- 5 5 IN IP4 192.0.2.20", "s=-", connection, "t=0 0", *session]
    return parse("\r\n".join([*(line for line in head if line), *lines]).encode())


def audio(described: SessionDescription) -> MediaDescription:
    return next(media for media in described.media if media.media == "audio" and media.port)


PBX = (
    "m=audio 14562 RTP/AVP 0 8 101",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-16",
    "a=ptime:20",
    "a=sendrecv",
)


def test_offer_of_a_pbx_is_answered() -> None:
    described, parameters = answer(offer(*PBX), LOCAL)
    assert described.serialize() == (
        b"v=0\r\n"
        b"o=- 77 1 IN IP4 192.0.2.10\r\n"
        b"s=-\r\n"
        b"c=IN IP4 192.0.2.10\r\n"
        b"t=0 0\r\n"
        b"m=audio 30000 RTP/AVP 0 101\r\n"
        b"a=rtpmap:0 PCMU/8000\r\n"
        b"a=rtpmap:101 telephone-event/8000\r\n"
        b"a=fmtp:101 0-15\r\n"
        b"a=ptime:20\r\n"
        b"a=sendrecv\r\n"
    )
    assert parameters == MediaParameters(
        remote_address="192.0.2.20",
        remote_rtp_port=14562,
        remote_rtcp_port=14563,
        codec="PCMU",
        send_pt=0,
        receive_pts={0: "PCMU", 8: "PCMA"},
        event_send_pt=101,
        event_receive_pt=101,
    )


@pytest.mark.parametrize(
    ("formats", "codecs", "chosen"),
    [
        ("8 0", ("PCMU", "PCMA"), "PCMA"),
        ("0 8", ("PCMA", "PCMU"), "PCMU"),
        ("18 3 8 0", ("PCMU", "PCMA"), "PCMA"),
        ("0 8", ("PCMA",), "PCMA"),
        ("9 0", ("PCMU", "G722"), "G722"),
    ],
)
def test_6_1_order_of_the_offer_is_the_preference(formats: str, codecs: tuple[str, ...], chosen: str) -> None:
    described, parameters = answer(offer(f"m=audio 4000 RTP/AVP {formats}"), replace(LOCAL, codecs=codecs))
    assert parameters.codec == chosen
    assert audio(described).formats == (str(parameters.send_pt),)


def test_rfc_3551_static_types_need_no_rtpmap() -> None:
    for pt, codec in ((0, "PCMU"), (8, "PCMA")):
        _, parameters = answer(offer(f"m=audio 4000 RTP/AVP {pt}"), LOCAL)
        assert (parameters.codec, parameters.send_pt) == (codec, pt)
        assert parameters.event_send_pt is None
        assert parameters.event_receive_pt is None


def test_dynamic_numbers_are_echoed_and_names_compared_in_any_case() -> None:
    described, parameters = answer(
        offer(
            "m=audio 4000 RTP/AVP 97 126",
            "a=rtpmap:97 pcma/8000/1",
            "a=rtpmap:126 Telephone-Event/8000",
        ),
        LOCAL,
    )
    assert (parameters.codec, parameters.send_pt) == ("PCMA", 97)
    assert parameters.event_send_pt == parameters.event_receive_pt == 126
    assert audio(described).formats == ("97", "126")
    assert audio(described).fmtp(126) == "0-15"


def test_rtpmap_overrides_the_static_meaning() -> None:
    with pytest.raises(NoCommonMedia):
        answer(offer("m=audio 4000 RTP/AVP 0", "a=rtpmap:0 L16/44100"), LOCAL)


@pytest.mark.parametrize("mapping", ["PCMU/16000", "PCMU/8000/2", "opus/48000/2", "G729/8000"])
def test_codec_of_another_clock_or_channel_count_is_not_ours(mapping: str) -> None:
    with pytest.raises(NoCommonMedia):
        answer(offer("m=audio 4000 RTP/AVP 96", f"a=rtpmap:96 {mapping}"), LOCAL)


@pytest.mark.parametrize("order", ["110 101", "101 110"])
def test_rfc_4733_2_1_events_at_the_clock_of_the_codec_are_taken(order: str) -> None:
    """rtpengine#1530, asterisk#1657, pjproject#2679: offers with wideband codecs list several event clocks."""
    _, parameters = answer(
        offer(
            f"m=audio 4000 RTP/AVP 111 0 {order}",
            "a=rtpmap:111 opus/48000/2",
            "a=rtpmap:110 telephone-event/48000",
            "a=rtpmap:101 telephone-event/8000",
        ),
        LOCAL,
    )
    assert parameters.event_send_pt == 101
    assert parameters.event_rate_hz == 8000


def test_rfc_4733_2_1_events_at_another_clock_are_not_taken() -> None:
    described, parameters = answer(
        offer("m=audio 4000 RTP/AVP 0 110", "a=rtpmap:110 telephone-event/48000"),
        LOCAL,
    )
    assert parameters.event_receive_pt is None
    assert audio(described).formats == ("0",)


@pytest.mark.parametrize("fmtp", [(), ("a=fmtp:101 0-15",), ("a=fmtp:101 0-16",), ("a=fmtp:101 0-11,16,32-49",)])
def test_rfc_4733_2_4_answer_lists_the_sixteen_digits(fmtp: tuple[str, ...]) -> None:
    described, _ = answer(offer("m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000", *fmtp), LOCAL)
    assert audio(described).fmtp(101) == "0-15"


def test_6_every_line_of_the_offer_is_answered_in_its_place() -> None:
    described, parameters = answer(
        offer(
            "m=video 5000 RTP/AVP 31 99",
            "m=audio 5002 RTP/SAVP 0",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
            "m=audio 5004 RTP/AVP 0",
            "m=image 5006 udptl t38",
            "m=audio 0 RTP/AVP",
            "m=audio 5008 RTP/AVP 0",
        ),
        LOCAL,
    )
    assert [(media.media, media.port, media.protocol, media.formats) for media in described.media] == [
        ("video", 0, "RTP/AVP", ("31", "99")),
        ("audio", 0, "RTP/SAVP", ("0",)),
        ("audio", 30000, "RTP/AVP", ("0",)),
        ("image", 0, "udptl", ("t38",)),
        ("audio", 0, "RTP/AVP", ("0",)),
        ("audio", 0, "RTP/AVP", ("0",)),
    ]
    assert parameters.remote_rtp_port == 5004


def test_6_times_of_the_answer_are_those_of_the_offer() -> None:
    described, _ = answer(replace(offer(*PBX), times=("3338481189 3370017201",)), LOCAL)
    assert described.times == ("3338481189 3370017201",)


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("m=audio 4000 RTP/AVP 18",),
        ("m=audio 0 RTP/AVP 0",),
        ("m=video 4000 RTP/AVP 0",),
        ("m=audio 4000 RTP/SAVP 0",),
        ("m=audio 4000 UDP/TLS/RTP/SAVPF 0",),
        ("m=audio 4000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"),
        ("m=audio 4000 RTP/AVP 200",),
        ("m=audio 4000 RTP/AVP x",),
        ("m=audio 4000 RTP/AVP 0", "c=IN IP4 224.2.1.1/127"),
        ("m=audio 4000 RTP/AVP 0", "c=IN IP4 255.255.255.255"),
        ("m=audio 4000 RTP/AVP 0", "c=IN IP4 pbx.example.com"),
        ("m=audio 4000 RTP/AVP 0", "c=IN IP6 2001:db8::1"),
    ],
)
def test_offer_with_nothing_for_us_is_488(lines: tuple[str, ...]) -> None:
    with pytest.raises(NoCommonMedia) as caught:
        answer(offer(*lines), LOCAL)
    assert caught.value.status_hint == 488


def test_offer_without_a_connection_is_488() -> None:
    with pytest.raises(NoCommonMedia):
        answer(offer("m=audio 4000 RTP/AVP 0", connection=""), LOCAL)


def test_own_connection_of_the_stream_goes_before_the_session() -> None:
    _, parameters = answer(offer("m=audio 4000 RTP/AVP 0", "c=IN IP4 198.51.100.7"), LOCAL)
    assert parameters.remote_address == "198.51.100.7"


def test_ipv6_offer_meets_an_ipv6_leg() -> None:
    described, parameters = answer(
        offer("m=audio 4000 RTP/AVP 0", connection="c=IN IP6 2001:db8::20"), replace(LOCAL, address="2001:db8::10")
    )
    assert parameters.remote_address == "2001:db8::20"
    assert b"c=IN IP6 2001:db8::10\r\n" in described.serialize()
    assert b" IN IP6 2001:db8::10\r\ns=" in described.serialize()


# §6.1 and §8.4. (theirs, ours wanted) -> (answered, held)
DIRECTIONS = {
    ("sendrecv", "sendrecv"): ("sendrecv", False),
    ("sendrecv", "sendonly"): ("sendonly", False),
    ("sendrecv", "recvonly"): ("recvonly", False),
    ("sendrecv", "inactive"): ("inactive", False),
    ("sendonly", "sendrecv"): ("recvonly", True),
    ("sendonly", "sendonly"): ("inactive", True),
    ("sendonly", "recvonly"): ("recvonly", True),
    ("sendonly", "inactive"): ("inactive", True),
    ("recvonly", "sendrecv"): ("sendonly", False),
    ("recvonly", "sendonly"): ("sendonly", False),
    ("recvonly", "recvonly"): ("inactive", False),
    ("recvonly", "inactive"): ("inactive", False),
    ("inactive", "sendrecv"): ("inactive", True),
    ("inactive", "sendonly"): ("inactive", True),
    ("inactive", "recvonly"): ("inactive", True),
    ("inactive", "inactive"): ("inactive", True),
}


@pytest.mark.parametrize(("theirs", "ours"), DIRECTIONS)
@pytest.mark.parametrize("level", ["media", "session"])
def test_6_1_direction_is_reversed(theirs: str, ours: str, level: str) -> None:
    line = f"a={theirs}"
    described = (
        offer("m=audio 4000 RTP/AVP 0", line) if level == "media" else offer("m=audio 4000 RTP/AVP 0", session=(line,))
    )
    answered, parameters = answer(described, replace(LOCAL, direction=ours))
    assert (parameters.direction, parameters.held) == DIRECTIONS[theirs, ours]
    assert audio(answered).direction == parameters.direction


@pytest.mark.parametrize("connection", ["c=IN IP4 0.0.0.0", "c=IN IP6 ::"])
def test_8_4_address_of_zeros_is_hold(connection: str) -> None:
    described, parameters = answer(offer("m=audio 4000 RTP/AVP 0", connection=connection), LOCAL)
    assert parameters.held
    assert parameters.direction == "recvonly"
    assert audio(described).direction == "recvonly"


@pytest.mark.parametrize(
    ("lines", "ptime_ms"),
    [
        ((), 20), (("a=ptime:30",), 30), (("a=ptime:10",), 10), (("a=ptime:5",), 10), (("a=ptime:25",), 20),
        (("a=ptime:60",), 60), (("a=ptime:200",), 60), (("a=ptime:0",), 20), (("a=ptime:x",), 20),
        (("a=ptime:40", "a=maxptime:20"), 20), (("a=maxptime:10",), 10), (("a=maxptime:15",), 10),
        (("a=maxptime:0",), 20), (("a=maxptime:150",), 20),
    ],
)  # fmt: skip
def test_packets_are_as_long_as_the_far_end_wants_within_reason(lines: tuple[str, ...], ptime_ms: int) -> None:
    described, parameters = answer(offer("m=audio 4000 RTP/AVP 0", *lines), LOCAL)
    assert parameters.ptime_ms == ptime_ms
    assert audio(described).ptime_ms == 20  # what we want ourselves


def test_rfc_3605_rtcp_port_is_taken_from_the_attribute() -> None:
    _, parameters = answer(offer("m=audio 4000 RTP/AVP 0", "a=rtcp:5555"), LOCAL)
    assert parameters.remote_rtcp_port == 5555


@pytest.mark.parametrize(("ours", "theirs"), [(True, True), (True, False), (False, True), (False, False)])
def test_rfc_5761_mux_is_used_when_both_want_it(ours: bool, theirs: bool) -> None:
    lines = ("a=rtcp-mux",) if theirs else ()
    described, parameters = answer(offer("m=audio 4000 RTP/AVP 0", *lines), replace(LOCAL, rtcp_mux=ours))
    both = ours and theirs
    assert parameters.rtcp_mux == both == audio(described).rtcp_mux
    assert parameters.remote_rtcp_port == (4000 if both else 4001)


def test_5_our_offer_lists_what_we_have() -> None:
    described = make_offer(LOCAL)
    assert described.serialize() == (
        b"v=0\r\n"
        b"o=- 77 1 IN IP4 192.0.2.10\r\n"
        b"s=-\r\n"
        b"c=IN IP4 192.0.2.10\r\n"
        b"t=0 0\r\n"
        b"m=audio 30000 RTP/AVP 0 8 101\r\n"
        b"a=rtpmap:0 PCMU/8000\r\n"
        b"a=rtpmap:8 PCMA/8000\r\n"
        b"a=rtpmap:101 telephone-event/8000\r\n"
        b"a=fmtp:101 0-15\r\n"
        b"a=ptime:20\r\n"
        b"a=sendrecv\r\n"
    )


def test_offer_and_answer_between_two_of_us_agree() -> None:
    far = LocalCapabilities(
        address="192.0.2.20", rtp_port=40000, codecs=("PCMA",), event_pt=96, session_id=1, session_version=1
    )
    sent = make_offer(LOCAL)
    answered, theirs = answer(parse(sent.serialize()), far)
    ours = accept_answer(sent, parse(answered.serialize()))
    assert (ours.codec, ours.send_pt) == (theirs.codec, theirs.send_pt) == ("PCMA", 8)
    assert ours.event_send_pt == ours.event_receive_pt == theirs.event_send_pt == 101
    assert (ours.remote_address, ours.remote_rtp_port) == ("192.0.2.20", 40000)
    assert (theirs.remote_address, theirs.remote_rtp_port) == ("192.0.2.10", 30000)
    assert ours.direction == theirs.direction == "sendrecv"
    assert ours.receive_pts == {0: "PCMU", 8: "PCMA"}


def test_5_1_answerer_may_number_differently() -> None:
    """rtpengine#1553, #963: send under the number in the answer, receive under the one we offered."""
    sent = make_offer(LOCAL)
    parameters = accept_answer(
        sent,
        offer("m=audio 4000 RTP/AVP 100 126", "a=rtpmap:100 PCMA/8000", "a=rtpmap:126 telephone-event/8000"),
    )
    assert parameters.send_pt == 100
    assert parameters.receive_pts == {0: "PCMU", 8: "PCMA", 100: "PCMA"}
    assert parameters.event_send_pt == 126
    assert parameters.event_receive_pt == 101


def test_answer_without_events_leaves_none() -> None:
    parameters = accept_answer(make_offer(LOCAL), offer("m=audio 4000 RTP/AVP 8"))
    assert parameters.event_send_pt is None
    assert parameters.event_receive_pt is None


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (("m=audio 0 RTP/AVP 0",), NoCommonMedia),
        (("m=audio 4000 RTP/AVP 18",), NoCommonMedia),
        (("m=audio 4000 RTP/SAVP 0",), NoCommonMedia),
        (("m=audio 4000 RTP/AVP 0", "c=IN IP6 2001:db8::1"), NoCommonMedia),
        (("m=video 4000 RTP/AVP 0",), NoCommonMedia),
        (("m=audio 4000 RTP/AVP 0", "m=video 0 RTP/AVP 31"), RemoteProtocolError),
        ((), RemoteProtocolError),
    ],
)
def test_answer_that_is_none_is_refused(lines: tuple[str, ...], error: type[RemoteProtocolError]) -> None:
    with pytest.raises(error):
        accept_answer(make_offer(LOCAL), offer(*lines))


@pytest.mark.parametrize(("theirs", "ours"), DIRECTIONS)
def test_direction_of_an_answer_is_reversed_too(theirs: str, ours: str) -> None:
    sent = make_offer(replace(LOCAL, direction=ours))
    parameters = accept_answer(sent, offer("m=audio 4000 RTP/AVP 0", f"a={theirs}"))
    assert (parameters.direction, parameters.held) == DIRECTIONS[theirs, ours]


def test_5_3_mux_in_our_offer_needs_the_answer() -> None:
    sent = make_offer(replace(LOCAL, rtcp_mux=True))
    assert not accept_answer(sent, offer("m=audio 4000 RTP/AVP 0")).rtcp_mux
    muxed = accept_answer(sent, offer("m=audio 4000 RTP/AVP 0", "a=rtcp-mux"))
    assert muxed.rtcp_mux
    assert muxed.remote_rtcp_port == 4000


def test_8_next_offer_keeps_session_lines_and_numbers() -> None:
    first, _ = answer(
        offer(
            "m=video 5000 RTP/AVP 31",
            "m=audio 4000 RTP/AVPF 97 126",
            "a=rtpmap:97 PCMA/8000",
            "a=rtpmap:126 telephone-event/8000",
        ),
        LOCAL,
    )
    again = make_offer(replace(LOCAL, direction="sendonly").bumped(), first)
    assert again.origin.session_id == first.origin.session_id
    assert int(again.origin.session_version) == int(first.origin.session_version) + 1
    assert [(media.media, media.port) for media in again.media] == [("video", 0), ("audio", 30000)]
    ours = audio(again)
    assert ours.protocol == "RTP/AVPF"
    assert ours.formats == ("0", "97", "126")  # what was agreed keeps its numbers
    assert ours.rtpmap(97) == audio(first).rtpmap(97)
    assert ours.fmtp(126) == "0-15"
    assert ours.direction == "sendonly"


def test_8_3_2_number_that_means_something_else_is_not_used_again() -> None:
    taken = offer("m=audio 4000 RTP/AVP 8 0", "a=rtpmap:8 PCMU/8000", "a=rtpmap:0 telephone-event/8000")
    again = make_offer(LOCAL, taken)
    assert audio(again).formats == ("8", "0")  # PCMA would be 8, and 8 is PCMU here
    assert audio(again).rtpmap(8) == audio(taken).rtpmap(8)


def test_8_2_stream_that_was_switched_off_comes_back_in_its_place() -> None:
    again = make_offer(LOCAL, offer("m=video 0 RTP/AVP 31", "m=audio 0 RTP/AVP 0"))
    assert [(media.media, media.port) for media in again.media] == [("video", 0), ("audio", 30000)]


def test_our_own_mistakes_are_local_errors() -> None:
    with pytest.raises(LocalProtocolError):
        make_offer(LOCAL, offer("m=video 4000 RTP/AVP 31"))
    with pytest.raises(LocalProtocolError):
        accept_answer(offer("m=audio 0 RTP/AVP 0"), offer("m=audio 4000 RTP/AVP 0"))
    with pytest.raises(LocalProtocolError):
        replace(LOCAL, codecs=("GSM",))
    with pytest.raises(LocalProtocolError):
        replace(LOCAL, direction="both")


# -- codecs with other clocks, comfort noise, redundant events ---------------------------------------------------------

WIDE = replace(LOCAL, codecs=("PCMU", "PCMA", "G722", "L16", "opus"))

WEBRTC = (
    "m=audio 4000 RTP/AVP 111 63 9 0 8 13 110 126",
    "a=rtpmap:111 opus/48000/2",
    "a=fmtp:111 minptime=10;useinbandfec=1",
    "a=rtpmap:63 red/48000/2",
    "a=fmtp:63 111/111",
    "a=rtpmap:13 CN/8000",
    "a=rtpmap:110 telephone-event/48000",
    "a=rtpmap:126 telephone-event/8000",
)


@pytest.mark.parametrize(
    ("mapping", "codec"),
    [
        ("opus/48000/2", "opus"),
        ("OPUS/48000/2", "opus"),
        ("L16/8000", "L16"),
        ("l16/8000/1", "L16"),
        ("G722/8000", "G722"),
    ],
)
def test_codecs_on_dynamic_numbers(mapping: str, codec: str) -> None:
    answered, parameters = answer(offer("m=audio 4000 RTP/AVP 97", f"a=rtpmap:97 {mapping}"), WIDE)
    assert (parameters.codec, parameters.send_pt, parameters.receive_pts) == (codec, 97, {97: codec})
    assert audio(answered).rtpmap(97) is not None
    assert audio(answered).rtpmap(97) == make_rtpmap(codec)


def make_rtpmap(codec: str) -> object:
    described = make_offer(replace(WIDE, codecs=(codec,)))
    return audio(described).rtpmap(audio(described).formats[0])


@pytest.mark.parametrize("mapping", ["opus/48000", "opus/8000/2", "L16/44100", "L16/8000/2", "L16/16000", "G722/16000"])
def test_same_codec_at_another_clock_is_another(mapping: str) -> None:
    with pytest.raises(NoCommonMedia):
        answer(offer("m=audio 4000 RTP/AVP 97", f"a=rtpmap:97 {mapping}"), WIDE)


def test_our_own_order_chooses_when_asked_to() -> None:
    for prefer_ours, chosen in ((False, "opus"), (True, "PCMU")):
        _, parameters = answer(offer(*WEBRTC), replace(WIDE, prefer_ours=prefer_ours))
        assert parameters.codec == chosen
        assert parameters.receive_pts == {111: "opus", 9: "G722", 0: "PCMU", 8: "PCMA"}


def test_rfc_4733_2_1_events_run_at_the_clock_of_opus() -> None:
    answered, parameters = answer(offer(*WEBRTC), WIDE)
    assert (parameters.event_receive_pt, parameters.event_rate_hz) == (110, 48000)
    assert audio(answered).formats == ("111", "110")
    answered, parameters = answer(offer(*WEBRTC), replace(WIDE, prefer_ours=True))
    assert (parameters.event_receive_pt, parameters.event_rate_hz) == (126, 8000)
    assert audio(answered).formats == ("0", "126")


def test_events_at_8000_are_taken_beside_opus_when_there_are_no_others() -> None:
    lines = ("m=audio 4000 RTP/AVP 111 126", "a=rtpmap:111 opus/48000/2", "a=rtpmap:126 telephone-event/8000")
    _, parameters = answer(offer(*lines), WIDE)
    assert (parameters.event_receive_pt, parameters.event_send_pt, parameters.event_rate_hz) == (126, 126, 8000)


def test_5_offer_of_every_codec() -> None:
    described = audio(make_offer(replace(WIDE, comfort_noise=True)))
    assert described.formats == ("0", "8", "9", "96", "97", "13", "101", "98")
    names = [described.rtpmap(pt) for pt in described.formats]
    assert [(of.encoding, of.rate_hz, of.channels) for of in names if of is not None] == [
        ("PCMU", 8000, 1),
        ("PCMA", 8000, 1),
        ("G722", 8000, 1),
        ("L16", 8000, 1),
        ("opus", 48000, 2),
        ("CN", 8000, 1),
        ("telephone-event", 8000, 1),
        ("telephone-event", 48000, 1),
    ]
    assert described.fmtp(101) == described.fmtp(98) == "0-15"


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "G722", "L16", "opus"])
def test_two_of_us_agree_on_every_codec(codec: str) -> None:
    far = replace(WIDE, address="192.0.2.20", codecs=(codec,), event_pt=99, comfort_noise=True)
    sent = make_offer(replace(WIDE, comfort_noise=True))
    answered, theirs = answer(parse(sent.serialize()), far)
    ours = accept_answer(sent, parse(answered.serialize()))
    assert ours.codec == theirs.codec == codec
    assert ours.send_pt == theirs.send_pt
    assert ours.event_rate_hz == theirs.event_rate_hz == (48000 if codec == "opus" else 8000)
    assert ours.event_send_pt == theirs.event_receive_pt == ours.event_receive_pt == (98 if codec == "opus" else 101)
    assert theirs.receive_pts == {ours.send_pt: codec} | ({} if codec == "opus" else {13: "CN"})
    assert ours.receive_pts == {0: "PCMU", 8: "PCMA", 9: "G722", 96: "L16", 97: "opus", 13: "CN"}


def test_event_clock_that_we_did_not_offer_is_none() -> None:
    sent = make_offer(LOCAL)
    lines = ("m=audio 4000 RTP/AVP 0 97", "a=rtpmap:97 telephone-event/16000")
    parameters = accept_answer(sent, offer(*lines))
    assert (parameters.event_send_pt, parameters.event_receive_pt) == (None, None)


@pytest.mark.parametrize(
    ("lines", "pt"),
    [
        (("m=audio 4000 RTP/AVP 0 13",), 13),
        (("m=audio 4000 RTP/AVP 0 13", "a=rtpmap:13 CN/8000"), 13),
        (("m=audio 4000 RTP/AVP 0 98", "a=rtpmap:98 cn/8000"), 98),
        (("m=audio 4000 RTP/AVP 0 98", "a=rtpmap:98 CN/16000"), None),
        (("m=audio 4000 RTP/AVP 0 13", "a=rtpmap:13 CN/32000"), None),
        (("m=audio 4000 RTP/AVP 0",), None),
    ],
)
def test_rfc_3389_comfort_noise_is_taken(lines: tuple[str, ...], pt: int | None) -> None:
    answered, parameters = answer(offer(*lines), replace(LOCAL, comfort_noise=True))
    assert {number for number, name in parameters.receive_pts.items() if name == "CN"} == ({pt} if pt else set())
    assert audio(answered).formats == ("0", *((str(pt),) if pt else ()))
    _, parameters = answer(offer(*lines), LOCAL)
    assert "CN" not in parameters.receive_pts.values()


EVENTS = ("a=rtpmap:101 telephone-event/8000",)


@pytest.mark.parametrize(
    ("lines", "taken"),
    [
        (("a=rtpmap:97 red/8000", "a=fmtp:97 101/101"), True),
        (("a=rtpmap:97 RED/8000/1", "a=fmtp:97 101/101/101/101"), True),
        # Audio in it too: what is not taken apart would not be heard.
        (("a=rtpmap:97 red/8000", "a=fmtp:97 0/101/101"), False),
        (("a=rtpmap:97 red/8000", "a=fmtp:97 0/0"), False),
        (("a=rtpmap:97 red/8000", "a=fmtp:97 101"), False),
        (("a=rtpmap:97 red/8000", "a=fmtp:97 /"), False),
        (("a=rtpmap:97 red/8000",), False),
        (("a=rtpmap:97 red/48000/2", "a=fmtp:97 101/101"), False),
    ],
)
def test_rfc_2198_redundant_events_are_taken_and_not_offered(lines: tuple[str, ...], taken: bool) -> None:
    ours = replace(LOCAL, redundancy=True)
    answered, parameters = answer(offer("m=audio 4000 RTP/AVP 0 97 101", *EVENTS, *lines), ours)
    assert (parameters.receive_pts.get(97) == "RED") == taken
    assert audio(answered).formats == (("0", "97", "101") if taken else ("0", "101"))
    if taken:
        assert audio(answered).fmtp(97) == "101/101"
        # Its number is not given another meaning later.
        assert "97" not in audio(make_offer(replace(WIDE, codecs=("L16", "opus")), answered)).formats
    _, parameters = answer(offer("m=audio 4000 RTP/AVP 0 97 101", *EVENTS, *lines), LOCAL)
    assert 97 not in parameters.receive_pts


def test_8_3_2_later_offer_keeps_every_number() -> None:
    ours = replace(WIDE, comfort_noise=True)
    lines = (
        "m=audio 4000 RTP/AVP 120 96 99 100",
        "a=rtpmap:120 opus/48000/2",
        "a=rtpmap:96 CN/8000",
        "a=rtpmap:99 telephone-event/48000",
        "a=rtpmap:100 L16/8000",
    )
    answered, _ = answer(offer(*lines), ours)
    again = audio(make_offer(ours.bumped(), answered))
    assert again.formats == ("0", "8", "9", "96", "120", "13", "101", "99")
    assert [of.encoding for pt in again.formats if (of := again.rtpmap(pt)) is not None] == [
        "PCMU", "PCMA", "G722", "L16", "opus", "CN", "telephone-event", "telephone-event",
    ]  # fmt: skip
    # What we said ourselves stays too.
    once_more = make_offer(ours.bumped(), make_offer(ours, answered))
    assert audio(once_more).formats == again.formats


def test_no_payload_type_left_is_our_own_mistake() -> None:
    everything = " ".join(str(pt) for pt in range(20, 128))
    with pytest.raises(LocalProtocolError):
        make_offer(WIDE, offer(f"m=audio 4000 RTP/AVP {everything}"))


def test_answered_number_of_our_events_stays_that_of_events() -> None:
    lines = ("m=audio 4000 RTP/AVP 101 8", "a=rtpmap:101 PCMA/8000")
    parameters = accept_answer(make_offer(LOCAL), offer(*lines))
    assert parameters.receive_pts == {0: "PCMU", 8: "PCMA"}
