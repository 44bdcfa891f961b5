"""Whom a leg listens to, and where it sends: symmetric RTP against NAT and injection; garbage on its ports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from engine.media import Leg, MediaTimeout
from engine.rtp import RtpPacket
from engine.rtp import _rtcp as rtcp
from tests.support.rtp_peer import MediaCase, Peer, audio, codes
from tests.support.rtp_peer import media_case as a_media_case

TWO_SECONDS = 100


@pytest.fixture
def case() -> Iterator[MediaCase]:
    with a_media_case() as one:
        yield one


def speak(case: MediaCase, peer: Peer, n: int = 1, *, at: int = 0) -> None:
    for i in range(n):
        peer.send_audio(audio(0.02), timestamp=(at + i) * 160)
        case.tick()


def test_a_leg_sends_to_the_signalled_address_until_it_hears_something(case: MediaCase) -> None:
    _, peer = case.leg()
    case.tick(3)
    assert len(peer.received()) == 3


def test_a_leg_behind_nat_latches_on_the_first_valid_source(case: MediaCase) -> None:
    leg, signalled = case.leg()
    nat = case.peer(leg)
    speak(case, nat, 2)
    signalled.received()
    speak(case, nat, 3, at=2)
    assert len(nat.received()) == 5
    assert signalled.received() == []
    assert leg.statistics().packets_in == 5


def test_a_second_source_is_counted_and_not_heard(case: MediaCase) -> None:
    leg, peer = case.leg()
    stranger = case.peer(leg, ssrc=0x666)
    speak(case, peer)
    stranger.send_event(5, timestamp=1000, marker=True)
    case.tick()
    assert codes(case.events) == []
    assert leg.statistics().discarded_by_cause == {"source": 1}
    assert stranger.received() == []


def test_the_signalled_address_takes_over_from_a_source_that_was_first(case: MediaCase) -> None:
    leg, peer = case.leg()
    early = case.peer(leg, ssrc=0x666)
    speak(case, early)
    speak(case, peer)
    early.received()
    peer.received()
    case.tick(2)
    assert len(peer.received()) == 2
    assert early.received() == []
    assert leg.statistics().relatched == 1


@pytest.mark.parametrize(("silent_ticks", "heard"), [(TWO_SECONDS - 5, 0), (TWO_SECONDS + 5, 1)])
def test_another_source_is_taken_only_after_two_seconds_of_silence(
    case: MediaCase, silent_ticks: int, heard: int
) -> None:
    leg, peer = case.leg()
    speak(case, peer)
    case.tick(silent_ticks)
    other = case.peer(leg, ssrc=0x777)
    # The first key behind a NAT that chose another port: its train alone is long enough to be believed.
    for i in range(6):
        other.send_event(5, timestamp=1000, duration=160 * (i + 1), marker=i == 0, end=i == 5)
        case.tick()
    assert len(codes(case.events)) == heard
    assert leg.statistics().relatched == heard


@pytest.mark.parametrize("gaps", ["few", "holes"])
def test_a_source_that_does_not_send_five_packets_in_a_row_is_not_believed(case: MediaCase, gaps: str) -> None:
    leg, peer = case.leg()
    speak(case, peer)
    case.tick(TWO_SECONDS + 5)
    other = case.peer(leg, ssrc=0x777)
    for i in range(4 if gaps == "few" else 20):
        other.send_event(5, timestamp=1000 * i, marker=True, sequence=i if gaps == "few" else 3 * i)
        case.tick()
    assert codes(case.events) == []
    assert leg.statistics().relatched == 0


def test_a_flood_that_drowns_the_peer_does_not_speak_for_it(case: MediaCase) -> None:
    leg, peer = case.leg()
    speak(case, peer)
    flood = case.peer(leg, ssrc=0x777)
    for _ in range(TWO_SECONDS + 50):
        for _ in range(80):
            flood.send_event(5, timestamp=1000, marker=True)
        case.tick()
    assert codes(case.events) == []
    assert leg.statistics().relatched == 0
    speak(case, peer, 3, at=200)
    assert len(peer.received()) > 100


def test_a_re_invite_to_another_address_latches_anew(case: MediaCase) -> None:
    leg, peer = case.leg()
    speak(case, peer)
    moved = case.peer(leg, ssrc=0x888)
    case.configure(leg, moved)
    peer.received()
    case.tick()
    assert len(moved.received()) == 1
    assert peer.received() == []
    moved.send_event(5, timestamp=1000, marker=True)
    case.tick()
    assert codes(case.events) == [5]


def test_a_re_invite_that_keeps_the_address_keeps_the_latch(case: MediaCase) -> None:
    leg, signalled = case.leg()
    nat = case.peer(leg)
    speak(case, nat)
    case.configure(leg, signalled, ptime_ms=30)
    nat.received()
    case.tick(3)
    assert [len(packet.payload) for packet in nat.received()] == [240, 240]


def test_events_from_a_second_port_of_the_same_gateway_are_heard(case: MediaCase) -> None:
    # Some gateways send events from a port of their own, within the stream they belong to.
    leg, peer = case.leg()
    speak(case, peer)
    beside = case.peer(leg, ssrc=peer.ssrc)
    beside.send_event(5, timestamp=1000, marker=True)
    case.tick()
    assert codes(case.events) == [5]
    beside.received()
    case.tick()
    assert beside.received() == []


def test_an_invalid_packet_latches_nothing(case: MediaCase) -> None:
    leg, peer = case.leg()
    stranger = case.peer(leg)
    stranger.send_raw(b"\x80\x00")
    stranger.send_raw(b"")
    stranger.send(payload=bytes(160), payload_type=3)
    case.tick(2)
    assert stranger.received() == []
    assert len(peer.received()) == 2


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "malformed"),
        (b"\x00" * 40, "malformed"),
        (b"\x80\x00" + bytes(9), "malformed"),
        (b"\x8f\x00" + bytes(20), "malformed"),
        (b"INVITE sip:x SIP/2.0\r\n\r\n", "malformed"),
        (bytes.fromhex("0001 0000 2112a442") + bytes(12), "stun"),
        (bytes.fromhex("80c80006") + bytes(8), "rtcp-malformed"),
        (b"\x80\x00" + bytes(4000), "overflow"),
        (b"\x80\x00" + bytes(10) + bytes(2000), "overflow"),
    ],
    ids=["empty", "zeros", "short", "csrc", "sip", "stun", "rtcp", "oversized", "too-long"],
)
def test_garbage_is_counted_by_its_cause(case: MediaCase, data: bytes, cause: str) -> None:
    leg, peer = case.leg()
    peer.send_raw(data)
    case.tick()
    assert leg.statistics().discarded_by_cause == {cause: 1}


def test_rtcp_on_the_rtp_port_is_read(case: MediaCase) -> None:
    # RFC 5761: a peer that multiplexes, asked or not.
    leg, peer = case.leg()
    peer.send_raw(rtcp.build(1, b"x", bye=True))
    case.tick()
    statistics = leg.statistics()
    assert statistics.rtcp_in == 1
    assert statistics.peer_bye


def test_two_streams_at_once_do_not_tear_each_other_apart(case: MediaCase) -> None:
    leg, peer = case.leg(record=True)
    for i in range(50):
        peer.send_audio(audio(0.02), timestamp=160 * i)
        peer.send_audio(audio(0.02), timestamp=160 * i, ssrc=0x5555, sequence=9000 + 2 * i)
        case.tick()
    statistics = leg.statistics()
    assert statistics.ssrc_changes == 0
    assert statistics.discarded_by_cause == {"ssrc": 50}
    assert statistics.lost == 0


def test_a_flood_is_bounded_per_tick(case: MediaCase) -> None:
    leg, peer = case.leg()
    for i in range(200):
        peer.send(payload=bytes(160), payload_type=99, timestamp=i)
    case.tick()
    assert leg.statistics().discarded_by_cause == {"payload-type": 64}


def test_silence_is_reported_once_and_again_after_sound(case: MediaCase) -> None:
    _, peer = case.leg(rtp_timeout_ms=1000)
    silences = [event for event in case.tick(120) if isinstance(event, MediaTimeout)]
    assert [event.silent_ms for event in silences] == [1000]
    speak(case, peer)
    assert len([event for event in case.tick(120) if isinstance(event, MediaTimeout)]) == 1


@pytest.mark.parametrize("config", [{"rtp_timeout_ms": 0}, {"rtp_timeout_ms": 1000, "receiving": False}])
def test_silence_is_not_reported_when_none_asked_or_none_is_expected(case: MediaCase, config: dict[str, Any]) -> None:
    case.leg(**config)
    assert not [event for event in case.tick(120) if isinstance(event, MediaTimeout)]


def test_a_stream_that_starts_again_goes_on_being_heard(case: MediaCase) -> None:
    leg, peer = case.leg(record=True)
    speak(case, peer, 20)
    peer.sequence = 40000
    for i in range(30):
        peer.send_audio(audio(0.02), timestamp=0x80000000 + 160 * i)
        case.tick()
    statistics = leg.statistics()
    # The first packet after the jump waits for the second (RFC 3550 A.1) and is dropped.
    assert statistics.discarded_by_cause.get("sequence", 0) == 1
    assert statistics.packets_in == 50
    assert statistics.late == 0


@pytest.mark.parametrize("sequence", [65530, 0, 32767])
def test_wraps_of_sequence_and_timestamp_lose_nothing(case: MediaCase, sequence: int) -> None:
    leg, peer = case.leg()
    peer.sequence = sequence
    for i in range(20):
        peer.send_audio(audio(0.02), timestamp=0xFFFFFFFF - 1000 + 160 * i)
        case.tick()
    case.tick(5)
    statistics = leg.statistics()
    assert (statistics.lost, statistics.late, statistics.missing_samples) == (0, 0, 0)


# What a leg sends.


def test_packets_leave_in_sequence_with_timestamps_that_count_samples(case: MediaCase) -> None:
    _, peer = case.leg()
    case.tick(5)
    packets = peer.received()
    first = packets[0]
    assert [packet.marker for packet in packets] == [True] + [False] * 4
    assert [(packet.sequence - first.sequence) & 0xFFFF for packet in packets] == list(range(5))
    assert [(packet.timestamp - first.timestamp) & 0xFFFFFFFF for packet in packets] == [0, 160, 320, 480, 640]
    assert len({packet.ssrc for packet in packets}) == 1


@pytest.mark.parametrize("ptime_ms", [10, 20, 30, 40, 50, 60])
def test_packets_have_the_ptime_that_was_asked_for(case: MediaCase, ptime_ms: int) -> None:
    _, peer = case.leg(ptime_ms=ptime_ms)
    case.tick(30)
    packets = peer.received()
    assert {len(packet.payload) for packet in packets} == {ptime_ms * 8}
    assert len(packets) == 600 // ptime_ms


@pytest.mark.parametrize("hold", [{"sending": False}, {"remote": ("127.0.0.1", 0)}, {"remote": ("0.0.0.0", 4000)}])
def test_nothing_is_sent_on_hold_and_the_clock_runs_on(case: MediaCase, hold: dict[str, object]) -> None:
    leg, peer = case.leg()
    case.tick(2)
    case.configure(leg, peer, **hold)
    before = peer.received()
    case.tick(10)
    assert peer.received() == []
    case.configure(leg, peer)
    case.tick()
    (after,) = peer.received()
    assert after.marker
    assert (after.timestamp - before[-1].timestamp) & 0xFFFFFFFF == 11 * 160
    assert (after.sequence - before[-1].sequence) & 0xFFFF == 1


def test_a_codec_change_leaves_no_packet_with_the_other_law(case: MediaCase) -> None:
    leg, peer = case.leg(ptime_ms=30)
    case.tick(4)
    case.configure(leg, peer, codec="PCMA", ptime_ms=30)
    peer.received()
    case.tick(6)
    packets = peer.received()
    assert {packet.payload_type for packet in packets} == {8}
    assert {packet.payload for packet in packets} == {b"\xd5" * 240}


def reports(peer: Peer, leg: Leg) -> list[rtcp.Summary]:
    found = [rtcp.parse(data, peer.ssrc) for data in peer.received_raw()]
    assert leg.rtcp_port == leg.rtp_port + 1
    return [summary for summary in found if summary is not None]


def test_reports_are_sent_every_few_seconds_and_bye_at_the_end(case: MediaCase) -> None:
    leg, peer = case.leg()
    ears = case.peer(leg)
    case.configure(leg, peer, remote_rtcp=ears.address)
    for i in range(1500):
        if i != 500:
            peer.send_audio(audio(0.02), timestamp=160 * i)
        else:
            peer.sequence += 1
        case.tick()
    packets = [RtpPacket.parse(data) for data in peer.received_raw()]
    summaries = reports(ears, leg)
    assert 30 / 7.5 <= len(summaries) <= 30 / 2.5 + 1
    last = summaries[-1]
    assert last["ssrc"] == packets[0].ssrc
    assert last["sender"] is not None
    assert last["reception"] is not None
    assert last["reception"][1] == 1
    assert not any(summary["bye"] for summary in summaries)
    leg.close()
    case.tick()
    assert [summary["bye"] for summary in reports(ears, leg)] == [True]


def test_what_the_peer_reports_of_our_stream_is_in_the_statistics(case: MediaCase) -> None:
    leg, peer = case.leg()
    case.tick()
    ssrc = peer.received()[0].ssrc
    report = rtcp.build(peer.ssrc, b"x", sender=(10, 20, 30, 40, 50), reception=(ssrc, 64, 12, 0, 80, 0, 0))
    peer.socket.sendto(report, peer.rtcp_address)
    case.tick(30)
    statistics = leg.statistics()
    assert (statistics.peer_fraction_lost, statistics.peer_lost, statistics.peer_jitter_ms) == (0.25, 12, 10.0)


def test_a_report_answers_the_last_sender_report_with_its_time_and_age(case: MediaCase) -> None:
    leg, peer = case.leg()
    ears = case.peer(leg)
    case.configure(leg, peer, remote_rtcp=ears.address)
    speak(case, peer, 2)
    peer.socket.sendto(rtcp.build(peer.ssrc, b"x", sender=(0x11112222, 0x33334444, 0, 0, 0)), peer.rtcp_address)
    for i in range(300):
        speak(case, peer, at=2 + i)
    last = reports(ears, leg)[-1]
    assert last["reception"] is not None
    assert last["reception"][4] == 0x22223333
    assert 0 < last["reception"][5] < 7 * 65536
