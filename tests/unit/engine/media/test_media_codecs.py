"""Codecs and SRTP on a leg: heard and sent in each, changed in mid-call, and nothing unprotected let through."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.dtmf import generate
from dsp.g711 import alaw_encode, ulaw_encode
from engine.media import Leg
from engine.rtp import RtpPacket
from engine.rtp import _rtcp as rtcp
from engine.rtp._srtp import SrtpCore
from engine.rtp.codec import codec_named, make_codec, why_unavailable
from engine.rtp.srtp import SUITES, SrtpKeysPair
from prompts.clip import Clip
from tests.support.rtp_peer import EVENT_PT, MediaCase, Peer, audio, codes
from tests.support.rtp_peer import media_case as a_media_case

TICK = 160
PTS = {"PCMU": 0, "PCMA": 8, "G722": 9, "L16": 96, "opus": 111}
RECEIVE = {number: name for name, number in PTS.items()}
CODECS = [
    pytest.param(name, marks=[pytest.mark.skipif(why is not None, reason=why or "")])
    for name in PTS
    for why in [why_unavailable(name)]
]


@pytest.fixture
def case() -> Iterator[MediaCase]:
    with a_media_case() as one:
        yield one


def leg_of(case: MediaCase, codec: str, **config: Any) -> tuple[Leg, Peer]:
    receive = {number: name for number, name in RECEIVE.items() if why_unavailable(name) is None}
    return case.leg(codec=codec, send_pt=PTS[codec], receive_pts=receive, **config)


def spoken(peer: Peer, codec: str, samples: NDArray[np.int16], case: MediaCase) -> None:
    coder = make_codec(opus=codec == "opus")
    info = codec_named(codec)
    for start in range(0, len(samples) - TICK + 1, TICK):
        payload = coder.encode(int(info.kind), samples[start : start + TICK])
        assert payload is not None
        peer.send(payload=payload, payload_type=PTS[codec], timestamp=start * info.timestamp_divisor)
        case.tick()


@pytest.mark.parametrize("codec", CODECS)
def test_keys_are_heard_in_every_codec(case: MediaCase, codec: str) -> None:
    _, peer = leg_of(case, codec)
    keys = "0123456789*#ABCD"
    spoken(peer, codec, generate(keys, on_ms=80, off_ms=80), case)
    case.tick(20)
    assert codes(case.events) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("ptime_ms", [10, 20, 40, 60])
def test_a_prompt_is_sent_in_every_codec_at_its_clock(case: MediaCase, codec: str, ptime_ms: int) -> None:
    leg, peer = leg_of(case, codec, ptime_ms=ptime_ms)
    tone = audio(2.0, freq_hz=437.0)
    clip = Clip(name="tone", pcmu=ulaw_encode(tone), pcma=alaw_encode(tone))
    leg.play([clip], token=1, interruptible=False)
    case.tick(60)
    packets = [packet for packet in peer.received() if packet.payload_type == PTS[codec]]
    info = codec_named(codec)
    steps = {(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(packets)}
    assert steps == {ptime_ms * 8 * info.timestamp_divisor}
    decoder = make_codec(opus=codec == "opus")
    frames = [decoder.decode(int(info.kind), packet.payload) for packet in packets]
    heard = np.concatenate([frame for frame in frames if frame is not None])[800:8000]
    assert 20 * np.log10(np.sqrt(np.mean(heard.astype(float) ** 2)) / (8000 / np.sqrt(2))) == pytest.approx(0, abs=1.0)


def test_opus_has_no_frame_of_30_ms(case: MediaCase) -> None:
    if (why := why_unavailable("opus")) is not None:
        pytest.skip(why)
    _, peer = leg_of(case, "opus", ptime_ms=30)
    case.tick(10)
    stamps = [packet.timestamp for packet in peer.received()]
    assert {b - a for a, b in pairwise(stamps)} == {960}


@pytest.mark.parametrize("codec", ["G722", "L16"])
def test_a_change_of_codec_in_a_call_loses_no_key_that_is_held_over_it(case: MediaCase, codec: str) -> None:
    leg, peer = leg_of(case, "PCMU")
    tone = generate("5", on_ms=400, off_ms=200)
    coder = make_codec()
    for i, start in enumerate(range(0, len(tone) - TICK + 1, TICK)):
        name = "PCMU" if i < 10 else codec
        if i == 10:
            receive = {number: n for number, n in RECEIVE.items() if why_unavailable(n) is None}
            case.configure(leg, peer, codec=codec, send_pt=PTS[codec], receive_pts=receive)
        payload = coder.encode(int(codec_named(name).kind), tone[start : start + TICK])
        assert payload is not None
        peer.send(payload=payload, payload_type=PTS[name], timestamp=start)
        case.tick()
    case.tick(10)
    assert codes(case.events) == [5]


def test_a_change_of_what_we_send_loses_nothing_of_the_prompt(case: MediaCase) -> None:
    leg, peer = case.leg(ptime_ms=60)
    clip = Clip(name="x", pcmu=bytes(range(120)) * 20, pcma=bytes(range(120)) * 20)
    leg.play([clip], token=1, interruptible=False)
    case.tick(4)  # 640 samples: 160 of them wait
    case.configure(leg, peer, codec="PCMA", ptime_ms=20)
    case.tick(6)
    packets = peer.received()
    assert sum(len(packet.payload) for packet in packets) == 1600
    stamps = [packet.timestamp for packet in packets]
    assert [b - a for a, b in pairwise(stamps)] == [480] + [160] * (len(stamps) - 2)


# -- SRTP --------------------------------------------------------------------------------------------------------------


class SecurePeer:
    """A peer that protects what it sends and reads what is protected."""

    def __init__(self, peer: Peer, pair: SrtpKeysPair) -> None:
        self.peer = peer
        # The other way round: what the leg sends with is what the peer reads with.
        self.core = SrtpCore(SrtpKeysPair(pair.suite, bytes(pair.remote.reveal()), bytes(pair.local.reveal())))
        self.sequence = 0

    def protected(self, payload: bytes, *, timestamp: int, payload_type: int = 0, sequence: int | None = None) -> bytes:
        if sequence is None:
            sequence, self.sequence = self.sequence, self.sequence + 1
        plain = RtpPacket(
            payload_type=payload_type,
            marker=False,
            sequence=sequence & 0xFFFF,
            timestamp=timestamp & 0xFFFFFFFF,
            ssrc=self.peer.ssrc,
            payload=payload,
        ).to_bytes()
        n, packet = self.core.protect(plain)
        assert n > len(plain)
        return packet

    def received(self) -> list[RtpPacket]:
        packets = []
        for data in self.peer.received_raw():
            n, plain = self.core.unprotect(data)
            assert n > 0
            packets.append(RtpPacket.parse(plain))
        return packets


def keys(suite: str, seed: int = 1) -> SrtpKeysPair:
    octets = SUITES[suite].master_octets
    return SrtpKeysPair(
        suite,
        bytes((seed * 7 + i) & 0xFF for i in range(octets)),
        bytes((seed * 13 + 3 * i) & 0xFF for i in range(octets)),
    )


def secure(case: MediaCase, suite: str = "AES_CM_128_HMAC_SHA1_80") -> tuple[Leg, SecurePeer, SrtpKeysPair]:
    pair = keys(suite)
    leg, peer = case.leg(srtp=pair)
    return leg, SecurePeer(peer, pair), pair


@pytest.mark.parametrize("suite", list(SUITES))
def test_media_goes_both_ways_in_every_suite(case: MediaCase, suite: str) -> None:
    leg, secured, _ = secure(case, suite)
    tones = generate("42", on_ms=80, off_ms=80)
    coder = make_codec()
    for start in range(0, len(tones) - TICK + 1, TICK):
        payload = coder.encode(1, tones[start : start + TICK])
        assert payload is not None
        secured.peer.send_raw(secured.protected(payload, timestamp=start))
        case.tick()
    case.tick(10)
    assert codes(case.events) == [4, 2]
    assert {packet.payload for packet in secured.received()} == {b"\xff" * 160}
    assert leg.statistics().discarded_by_cause == {}


def test_what_is_not_protected_is_not_heard_and_changes_no_address(case: MediaCase) -> None:
    leg, secured, _ = secure(case)
    stranger = case.peer(leg)
    stranger.send_event(5, timestamp=0, marker=True, end=True)
    case.tick(3)
    assert codes(case.events) == []
    assert stranger.received_raw() == []
    assert len(secured.received()) == 3
    assert leg.statistics().discarded_by_cause == {"srtp-authentication": 1}


def test_a_replayed_key_is_pressed_once(case: MediaCase) -> None:
    leg, secured, _ = secure(case)
    packet = secured.protected(bytes([5, 0x8A, 3, 32]), timestamp=0, payload_type=EVENT_PT)
    for _i in range(4):
        secured.peer.send_raw(packet)
    case.tick(3)
    assert codes(case.events) == [5]
    assert leg.statistics().discarded_by_cause == {"srtp-replay": 3}


def test_a_tampered_packet_is_dropped(case: MediaCase) -> None:
    leg, secured, _ = secure(case)
    packet = bytearray(secured.protected(bytes([5, 0x8A, 3, 32]), timestamp=0, payload_type=EVENT_PT))
    packet[13] ^= 1
    secured.peer.send_raw(bytes(packet))
    case.tick(2)
    assert codes(case.events) == []
    assert leg.statistics().discarded_by_cause == {"srtp-authentication": 1}


def test_the_same_keys_again_keep_the_session_over_a_sequence_wrap(case: MediaCase) -> None:
    leg, secured, pair = secure(case)
    for sequence in (65534, 65535, 65536, 65537):
        secured.peer.send_raw(secured.protected(b"\x55" * 160, timestamp=sequence * 160, sequence=sequence))
        case.tick()
    case.configure(leg, secured.peer, srtp=keys(pair.suite))
    secured.peer.send_raw(secured.protected(b"\x55" * 160, timestamp=65538 * 160, sequence=65538))
    case.tick(2)
    statistics = leg.statistics()
    assert statistics.packets_in == 5
    assert statistics.discarded_by_cause == {}
    assert len(secured.received()) == 6


def test_new_keys_are_taken_in_mid_call_and_old_ones_no_longer(case: MediaCase) -> None:
    leg, secured, pair = secure(case)
    secured.peer.send_raw(secured.protected(b"\x55" * 160, timestamp=0))
    case.tick()
    secured.received()
    fresh = keys(pair.suite, seed=99)
    case.configure(leg, secured.peer, srtp=fresh)
    case.tick()
    again = SecurePeer(secured.peer, fresh)
    again.sequence = 7
    assert len(again.received()) == 1
    secured.peer.send_raw(secured.protected(b"\x55" * 160, timestamp=160))
    secured.peer.send_raw(again.protected(b"\x55" * 160, timestamp=320))
    case.tick()
    assert leg.statistics().packets_in == 2
    assert leg.statistics().discarded_by_cause == {"srtp-authentication": 1}


def test_rtcp_is_protected_too(case: MediaCase) -> None:
    pair = keys("AES_CM_128_HMAC_SHA1_80")
    leg, peer = case.leg(srtp=pair, rtcp_mux=True)
    secured = SecurePeer(peer, pair)
    for i in range(400):
        peer.send_raw(secured.protected(b"\x55" * 160, timestamp=160 * i))
        case.tick()
    found = [data for data in peer.received_raw() if 192 <= data[1] <= 223]
    assert found
    n, plain = secured.core.unprotect_rtcp(found[0])
    assert n > 0
    assert rtcp.parse(plain, peer.ssrc) is not None
    report = rtcp.build(peer.ssrc, b"x", sender=(1, 2, 3, 4, 5))
    n, protected = secured.core.protect_rtcp(report)
    peer.send_raw(report)
    peer.send_raw(protected)
    case.tick(2)
    assert leg.statistics().rtcp_in == 1
    assert leg.statistics().discarded_by_cause == {"srtp-authentication": 1}
