"""RTP, RTCP and events under any bytes: random ones, damaged packets, and datagrams thrown at a leg."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.rtp import RtpPacket
from engine.rtp import _rtcp as rtcp
from tests.fuzz import fuzz_media_leg, fuzz_redundancy, fuzz_rtcp, fuzz_rtp, fuzz_telephone_event
from tests.fuzz.drive import mutated
from tests.support.rtp_peer import media_case

TARGETS = (fuzz_rtp, fuzz_rtcp, fuzz_telephone_event, fuzz_redundancy)

packets = st.builds(
    RtpPacket,
    payload_type=st.sampled_from([0, 8, 13, 101]),
    marker=st.booleans(),
    sequence=st.integers(0, 65535) | st.integers(0, 40),
    timestamp=st.integers(0, 0xFFFFFFFF) | st.integers(0, 40).map(lambda n: n * 160),
    ssrc=st.sampled_from([1, 2]),
    payload=st.binary(max_size=8) | st.integers(0, 255).map(lambda n: bytes([n & 15, n & 128, 1, 64])),
).map(RtpPacket.to_bytes)

reports = st.builds(
    rtcp.build,
    st.integers(0, 3),
    st.just(b"cname"),
    sender=st.none() | st.just((1, 2, 3, 4, 5)),
    reception=st.none() | st.just((1, 2, -3, 4, 5, 6, 7)),
    bye=st.booleans(),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(packets | reports))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        data[start : start + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(data)


trains = st.lists(damaged(), max_size=30)


@given(trains.map(lambda train: b"".join(bytes([min(len(one), 255)]) + one[:255] for one in train)))
@settings(deadline=None, max_examples=120)
def test_damaged_packets_break_nothing(data: bytes) -> None:
    fuzz_rtp.one_input(data)


@given(reports, st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6))
@settings(deadline=None, max_examples=200)
def test_damaged_reports_break_nothing(report: bytes, damage: list[tuple[int, int]]) -> None:
    data = bytearray(report)
    for at, value in damage:
        data[at % len(data)] = value
    fuzz_rtcp.one_input(bytes(data))


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=120)
def test_random_bytes_break_nothing(data: bytes) -> None:
    for target in TARGETS:
        target.one_input(data)


@pytest.mark.parametrize("target", [*TARGETS, fuzz_media_leg], ids=lambda target: target.__name__.rpartition(".")[2])
def test_every_fuzz_target_takes_its_seeds(target: Any) -> None:
    for seed in target.SEEDS:
        target.one_input(seed)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__.rpartition(".")[2])
def test_damaged_seeds_break_nothing(target: Any) -> None:
    random = Random(1)
    for _ in range(300):
        target.one_input(mutated(random, target.SEEDS))


@given(trains)
@settings(deadline=None, max_examples=60)
def test_a_leg_accounts_for_every_datagram(train: list[bytes]) -> None:
    with media_case() as case:
        leg, peer = case.leg(record=True)
        for data in train:
            peer.send_raw(data)
        case.tick(5)
        peer.received()
        case.tick(1)
        # It still sends, and still hears.
        assert len(peer.received()) == 1
        statistics = leg.statistics()
        dropped = sum(statistics.discarded_by_cause.values())
        assert (
            statistics.packets_in + statistics.rtcp_in
            <= len(train)
            <= (statistics.packets_in + statistics.rtcp_in + dropped)
        )
