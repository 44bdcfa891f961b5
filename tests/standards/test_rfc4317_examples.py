"""RFC 4317: the examples of offer and answer, as an endpoint with one audio stream answers them."""

from __future__ import annotations

from sip.offer_answer import LocalCapabilities, MediaParameters, answer
from sip.sdp import SessionDescription, parse

LOCAL = LocalCapabilities(address="192.0.2.10", rtp_port=30000, session_id=1, session_version=1)


def offered(*lines: str, version: int = 2890844526) -> SessionDescription:
    head = ("v=0", f"o=alice 2890844526 {version} IN IP4 host.atlanta.example.com", "s=", "c=IN IP4 192.0.2.1", "t=0 0")
    return parse("".join(f"{line}\r\n" for line in (*head, *lines)).encode())


def answered(
    *lines: str, previous: MediaParameters | None = None
) -> tuple[list[tuple[str, bool, tuple[str, ...]]], MediaParameters]:
    """Return (kind, taken, formats) of each stream of our answer, and what was agreed."""
    description, media = answer(offered(*lines), LOCAL, previous)
    return [(one.media, one.port != 0, tuple(one.formats)) for one in description.media], media


AUDIO = ("m=audio 49170 RTP/AVP 0 8 97", "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:97 iLBC/8000")
VIDEO = ("m=video 51372 RTP/AVP 31 32", "a=rtpmap:31 H261/90000", "a=rtpmap:32 MPV/90000")


def test_2_1_audio_is_taken_and_video_is_refused_in_its_place() -> None:
    streams, media = answered(*AUDIO, *VIDEO)
    assert [(kind, taken) for kind, taken, _ in streams] == [("audio", True), ("video", False)]
    assert media.codec == "PCMU"
    assert (media.remote_address, media.remote_rtp_port) == ("192.0.2.1", 49170)


def test_2_2_of_several_codecs_those_that_we_have_are_answered() -> None:
    streams, _ = answered(*AUDIO)
    assert set(streams[0][2]) <= {"0", "8"}
    assert streams[0][2][0] == "0"


def test_2_3_the_offerer_narrows_the_codecs_to_the_one_that_is_spoken() -> None:
    _, first = answered(*AUDIO)
    streams, media = answered("m=audio 49170 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", previous=first)
    assert streams == [("audio", True, ("0",))]
    assert media.codec == "PCMU"


def test_2_4_of_two_audio_streams_the_one_with_speech_is_taken() -> None:
    streams, media = answered(
        "m=audio 49170 RTP/AVP 0 97",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:97 iLBC/8000",
        "m=audio 49172 RTP/AVP 98",
        "a=rtpmap:98 telephone-event/8000",
        "a=sendonly",
    )
    assert [taken for _, taken, _ in streams] == [True, False]
    assert media.remote_rtp_port == 49170


def test_3_1_hold_and_unhold() -> None:
    _, talking = answered(*AUDIO)
    held, media = answer(offered(*AUDIO, "a=sendonly"), LOCAL, talking)
    assert held.media[0].direction == "recvonly"
    assert media.held
    resumed, media = answer(offered(*AUDIO), LOCAL, media)
    assert resumed.media[0].direction == "sendrecv"
    assert not media.held


def test_4_1_a_stream_that_is_added_is_refused_and_the_first_goes_on() -> None:
    _, first = answered(*AUDIO)
    streams, media = answered(*AUDIO, *VIDEO, previous=first)
    assert [taken for _, taken, _ in streams] == [True, False]
    assert media.codec == "PCMU"


def test_4_3_a_stream_that_is_deleted_keeps_its_place() -> None:
    streams, media = answered(*AUDIO, "m=video 0 RTP/AVP 31", "a=rtpmap:31 H261/90000")
    assert [(kind, taken) for kind, taken, _ in streams] == [("audio", True), ("video", False)]
    assert media.codec == "PCMU"
