"""RFC 3551: §4.2 any ptime is taken, §4.5.14 G.711, §6 static payload types; RFC 3389 comfort noise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.rtp import STATIC_PAYLOAD_TYPES
from tests.support.rtp_peer import MediaCase, audio
from tests.support.rtp_peer import media_case as a_media_case


@pytest.fixture
def media_case() -> Iterator[MediaCase]:
    with a_media_case() as case:
        yield case


def test_the_static_payload_types_are_those_of_the_table() -> None:
    assert STATIC_PAYLOAD_TYPES == {0: "PCMU", 8: "PCMA", 9: "G722", 13: "CN"}


@pytest.mark.parametrize("payload_type", [0, 8])
@pytest.mark.parametrize("ptime_ms", [5, 10, 20, 30, 40, 60, 120, 200])
def test_audio_of_any_ptime_is_heard_whole(media_case: MediaCase, payload_type: int, ptime_ms: int) -> None:
    leg, peer = media_case.leg(record=True)
    samples = audio(1.0)
    got = bytearray()
    step = ptime_ms * 8
    sent = 0
    for tick in range(90):
        while sent < len(samples) and sent < (tick + 1) * 160:
            peer.send_audio(samples[sent : sent + step], timestamp=sent, payload_type=payload_type)
            sent += step
        media_case.tick()
        got += leg.read_received()
    assert peer.decoded(samples, payload_type) in bytes(got)
    assert leg.statistics().missing_samples == 0


def test_comfort_noise_is_counted_and_is_no_audio(media_case: MediaCase) -> None:
    leg, peer = media_case.leg()
    peer.send(payload=b"\x40", payload_type=13)
    media_case.tick()
    statistics = leg.statistics()
    assert statistics.packets_in == 1
    assert not statistics.discarded_by_cause


@pytest.mark.parametrize("payload_type", [3, 4, 9, 18, 96, 102, 127])
def test_a_payload_type_that_was_not_agreed_on_is_dropped(media_case: MediaCase, payload_type: int) -> None:
    leg, peer = media_case.leg()
    peer.send(payload=bytes(160), payload_type=payload_type)
    media_case.tick()
    statistics = leg.statistics()
    assert statistics.packets_in == 0
    assert statistics.discarded_by_cause == {"payload-type": 1}


def test_silence_is_sent_as_the_zero_of_the_law(media_case: MediaCase) -> None:
    for payload_type, silence in ((0, b"\xff"), (8, b"\xd5")):
        _, peer = media_case.leg(codec="PCMU" if payload_type == 0 else "PCMA")
        media_case.tick()
        (packet,) = peer.received()
        assert packet.payload_type == payload_type
        assert packet.payload == silence * 160
