"""What a leg tells and learns beside the audio: reports, opinion scores, ICMP, its own SSRC coming back, redundancy."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from engine.errors import MediaError
from engine.media import Leg, ManualPlane, MediaPlane, PeerUnreachable
from engine.rtp import RtpPacket
from engine.rtp import _rtcp as rtcp
from tests.support.rtp_peer import EVENT_PT, MediaCase, Peer, audio, codes
from tests.support.rtp_peer import media_case as a_media_case

RED_PT = 121


@pytest.fixture
def case() -> Iterator[MediaCase]:
    with a_media_case() as one:
        yield one


def speak(case: MediaCase, peer: Peer, n: int, *, at: int = 0, lost: tuple[int, ...] = ()) -> None:
    for i in range(at, at + n):
        if i in lost:
            peer.sequence += 1
        else:
            peer.send_audio(audio(0.02), timestamp=i * 160)
        case.tick()


def compounds(peer: Peer, about: int) -> list[rtcp.Summary]:
    found = [rtcp.parse(data, about) for data in peer.received_raw() if 192 <= data[1] <= 223]
    return [summary for summary in found if summary is not None]


# -- where RTCP goes ---------------------------------------------------------------------------------------------------


def test_with_mux_reports_come_to_the_rtp_port(case: MediaCase) -> None:
    _, peer = case.leg(rtcp_mux=True)
    speak(case, peer, 400)
    reports = compounds(peer, peer.ssrc)
    assert reports
    assert reports[0]["reception"] is not None


def test_reports_go_to_where_the_peers_reports_come_from(case: MediaCase) -> None:
    leg, peer = case.leg()
    ears, behind_nat = case.peer(leg), case.peer(leg)
    case.configure(leg, peer, remote_rtcp=ears.address)
    speak(case, peer, 3)
    behind_nat.socket.sendto(rtcp.build(peer.ssrc, b"x", sender=(1, 2, 3, 4, 5)), peer.rtcp_address)
    speak(case, peer, 400, at=3)
    assert compounds(ears, peer.ssrc) == []
    assert compounds(behind_nat, peer.ssrc)


# -- what they say -----------------------------------------------------------------------------------------------------


def test_voip_metrics_are_told_to_who_asks(case: MediaCase) -> None:
    leg, peer = case.leg()
    ears = case.peer(leg)
    case.configure(leg, peer, remote_rtcp=ears.address, extended_reports=True)
    speak(case, peer, 600, lost=(20, 21, 22, 23, 300))
    metrics = compounds(ears, peer.ssrc)[-1]["metrics"]
    assert metrics is not None
    assert metrics["ssrc"] == peer.ssrc
    # Of 300 to 600 packets that were expected when the last report was written, 4 or 5 were lost.
    assert 256 * 4 // 600 <= metrics["loss_rate"] <= 256 * 5 // 300
    assert 10 * 3.5 < metrics["mos_lq"] <= 45
    assert metrics["mos_cq"] <= metrics["mos_lq"]


def test_and_to_nobody_else(case: MediaCase) -> None:
    _, peer = case.leg(rtcp_mux=True)
    speak(case, peer, 400)
    assert {str(summary["metrics"]) for summary in compounds(peer, peer.ssrc)} == {"None"}


def test_loss_lowers_the_score_and_losses_together_lower_it_more(case: MediaCase) -> None:
    scores = {}
    for name, lost in {
        "none": (),
        "single": tuple(range(20, 1000, 20)),
        "bursts": tuple(i for start in range(100, 1000, 100) for i in range(start, start + 5)),
    }.items():
        leg, peer = case.leg()
        speak(case, peer, 1000, lost=lost)
        scores[name] = leg.statistics()
    assert scores["none"].mos == pytest.approx(4.4, abs=0.02)
    assert scores["none"].mos > scores["single"].mos > scores["bursts"].mos > 1.0
    assert scores["single"].loss_share == pytest.approx(0.05, abs=0.005)
    assert scores["single"].burst_ratio < 1.05 < scores["bursts"].burst_ratio


def test_the_round_trip_is_known_from_the_peers_report(case: MediaCase) -> None:
    leg, peer = case.leg(rtcp_mux=True)
    assert leg.statistics().round_trip_ms is None
    speak(case, peer, 400)
    sender = compounds(peer, peer.ssrc)[-1]["sender"]
    assert sender is not None
    our_ssrc = compounds_ssrc(case, peer)
    last_sr = ((sender[0] << 16) | (sender[1] >> 16)) & 0xFFFFFFFF
    peer.send_raw(rtcp.build(peer.ssrc, b"x", reception=(our_ssrc, 0, 0, 0, 0, last_sr, 0)))
    case.tick(2)
    round_trip_ms = leg.statistics().round_trip_ms
    assert round_trip_ms is not None
    assert 0.0 <= round_trip_ms < 60_000.0


def compounds_ssrc(case: MediaCase, peer: Peer) -> int:
    case.tick()
    return next(packet.ssrc for packet in peer.received())


def test_a_bye_of_somebody_else_is_no_bye_of_the_peer(case: MediaCase) -> None:
    leg, peer = case.leg(rtcp_mux=True)
    speak(case, peer, 3)
    peer.send_raw(rtcp.build(0x9999, b"x", bye=True))
    case.tick(2)
    assert not leg.statistics().peer_bye
    peer.send_raw(rtcp.build(peer.ssrc, b"x", bye=True))
    case.tick(2)
    assert leg.statistics().peer_bye


# -- our own SSRC (RFC 3550 §8.2) --------------------------------------------------------------------------------------


def test_a_peer_with_our_ssrc_makes_us_take_another_after_a_bye(case: MediaCase) -> None:
    leg, peer = case.leg(rtcp_mux=True)
    speak(case, peer, 2)
    before = peer.received()[-1].ssrc
    peer.send(payload=b"\xff" * 160, timestamp=320, ssrc=before)
    case.tick()
    raw = peer.received_raw()
    said = [rtcp.parse(data, 0) for data in raw if 192 <= data[1] <= 223]
    assert [summary["ssrc"] for summary in said if summary is not None and summary["bye"]] == [before]
    after = {RtpPacket.parse(data).ssrc for data in raw if not 192 <= data[1] <= 223}
    assert len(after) == 1
    assert after != {before}
    assert leg.statistics().ssrc_collisions == 1
    assert leg.statistics().discarded_by_cause == {"own-ssrc": 1}


def test_packets_that_loop_back_change_the_ssrc_once(case: MediaCase) -> None:
    leg, peer = case.leg()
    for _ in range(20):
        case.tick()
        for data in peer.received_raw():
            peer.send_raw(data)
    assert leg.statistics().ssrc_collisions == 1
    assert codes(case.events) == []


# -- ICMP --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_nobody_hears_is_counted_and_told_once(host: str) -> None:
    with a_media_case(host=host) as case:
        leg, peer = case.leg()
        peer.close()
        case.tick(10)
        assert [event for event in case.events if isinstance(event, PeerUnreachable)] == [
            PeerUnreachable(leg_id=leg.id)
        ]
        assert leg.statistics().icmp_errors >= 5
        assert leg.statistics().packets_out >= 5


# -- redundancy (RFC 2198) ---------------------------------------------------------------------------------------------


def redundant(blocks: list[tuple[int, int, bytes]], primary: tuple[int, bytes]) -> bytes:
    """(payload type, timestamp offset, payload) of older blocks, and the newest one."""
    headers = b"".join(
        struct.pack("!I", 0x80000000 | pt << 24 | offset << 10 | len(payload)) for pt, offset, payload in blocks
    )
    return headers + bytes([primary[0]]) + b"".join(payload for *_, payload in blocks) + primary[1]


def red_leg(case: MediaCase) -> tuple[Leg, Peer]:
    return case.leg(receive_pts={0: "PCMU", RED_PT: "RED"})


def test_a_key_whose_every_packet_was_lost_is_heard_from_the_next_ones_redundancy(case: MediaCase) -> None:
    _, peer = red_leg(case)
    first = bytes([4, 0x8A, 3, 32])
    second = bytes([2, 0x0A, 0, 160])
    payload = redundant([(EVENT_PT, 1600, first)], (EVENT_PT, second))
    for _ in range(3):
        peer.send(payload=payload, payload_type=RED_PT, timestamp=8000)
        case.tick()
    case.tick(30)
    assert codes(case.events) == [4, 2]


def test_a_packet_of_several_events_is_one_packet(case: MediaCase) -> None:
    leg, peer = case.leg(receive_pts={0: "PCMU", RED_PT: "RED"})
    speak(case, peer, 5)
    first, second = bytes([4, 0x8A, 3, 32]), bytes([2, 0x8A, 3, 32])
    for _ in range(3):
        payload = redundant([(EVENT_PT, 1600, first)], (EVENT_PT, second))
        peer.send(payload=payload, payload_type=RED_PT, timestamp=8000)
        case.tick()
    speak(case, peer, 5, at=60)
    assert leg.statistics().lost == 0


def test_of_redundant_audio_the_newest_is_played(case: MediaCase) -> None:
    leg, peer = case.leg(record=True, receive_pts={0: "PCMU", RED_PT: "RED"})
    for i in range(20):
        payload = redundant([(0, 160, b"\x20" * 160)] if i else [], (0, b"\x10" * 160))
        peer.send(payload=payload, payload_type=RED_PT, timestamp=160 * i)
        case.tick()
    case.tick(5)
    assert leg.statistics().missing_samples == 0
    heard = memoryview(leg.read_received()).cast("h").tolist()
    assert len(set(heard) - {0}) == 1


@pytest.mark.parametrize("payload", [b"", b"\x80", b"\xe5\x00\x00\x04", redundant([], (77, b"\x10" * 160))])
def test_redundancy_that_is_none_is_counted_and_dropped(case: MediaCase, payload: bytes) -> None:
    leg, peer = red_leg(case)
    peer.send(payload=payload, payload_type=RED_PT, timestamp=0)
    case.tick(2)
    assert sum(leg.statistics().discarded_by_cause.values()) == 1


# -- the plane ---------------------------------------------------------------------------------------------------------


def test_a_draining_plane_opens_nothing_and_keeps_what_it_has(case: MediaCase) -> None:
    _, peer = case.leg()
    case.plane.drain()
    with pytest.raises(MediaError, match="draining"):
        case.plane.open_leg()
    case.tick(3)
    assert len(peer.received()) == 3


@pytest.mark.parametrize("dscp", [0, 34, 46])
def test_packets_are_marked_as_configured(dscp: int) -> None:
    plane = MediaPlane(dscp=dscp, threads=1)
    try:
        pair = plane.ports.open_pair(0.0)
        assert pair.rtp.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == dscp << 2
        pair.close()
    finally:
        plane.stop()


@pytest.mark.parametrize(("config", "message"), [({"dscp": 64}, "0 to 63"), ({"realtime_priority": 100}, "1 to 99")])
def test_a_plane_that_cannot_be_is_refused(config: dict[str, int], message: str) -> None:
    with pytest.raises(MediaError, match=message):
        MediaPlane(**config)  # type: ignore[arg-type]


def test_what_the_system_refuses_to_a_thread_is_a_warning_and_no_end(caplog: pytest.LogCaptureFixture) -> None:
    plane = MediaPlane(threads=1, cpus=[1023], realtime_priority=99)
    plane.start()
    try:
        plane.open_leg().close()
    finally:
        plane.stop()
    assert "cannot be bound to processor 1023" in caplog.text


def test_a_manual_plane_has_no_threads_to_start() -> None:
    plane = ManualPlane()
    try:
        with pytest.raises(MediaError, match="by hand"):
            plane.start()
    finally:
        plane.stop()
