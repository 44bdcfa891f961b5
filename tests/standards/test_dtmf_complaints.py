"""What people report about DTMF on SIP, each complaint as packets at a leg: every key once, and nothing that was none.

| # | complaint |
|---|---|
| 1 | the end sent three times is counted three times |
| 2 | a timestamp that changes inside one press makes it many |
| 3 | the marker bit is absent, and the digit never starts |
| 4 | ends are lost or never sent: the digit sticks or is lost |
| 5 | reordered and duplicated packets: extra digits, or the last one lost |
| 6 | the tone in the audio and the event are both heard |
| 7 | the clock of the events differs from the codec's |
| 8 | payload types that differ, or differ by direction |
| 9 | SIP INFO bodies vary |
| 10 | INFO beside events, or instead of them |
| 11 | a long press is counted twice |
| 12 | a re-INVITE drops the events; a transfer changes the SSRC |
| 13 | the first digit is lost: early, or as the first packet |
| 14 | DTX breaks timestamps and the count of loss |
| 15 | talk-off, and fast tones missed |

Trains of events are files in tests/vectors/rtp; what needs audio or SIP is made here. The receiver's own rules are in
test_rfc4733_events.py, the detector's in test_q24_dtmf.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.media import DigitEnded, DigitMerger, DigitReceived, DigitSource, Leg
from sip.info import parse_dtmf_info
from tests.support.rtp_peer import MediaCase, Peer, audio, codes
from tests.support.rtp_peer import media_case as a_media_case
from tests.support.tones import key as key_tone
from tests.support.tones import silence

VECTORS = sorted((Path(__file__).parents[1] / "vectors" / "rtp").glob("*.txt"))
TICK_MS = 20
SSRC = 0x11223344


@dataclass(frozen=True)
class Train:
    """A vector file."""

    keys: list[int]
    config: dict[str, Any]
    packets: list[tuple[int, bytes]]

    @classmethod
    def read(cls, path: Path) -> Train:
        keys: list[int] = []
        config: dict[str, Any] = {}
        packets = []
        for line in path.read_text().splitlines():
            word, *rest = line.split()
            if word == "keys":
                keys = [int(key) for key in rest]
            elif word.isdecimal():
                packets.append((int(word), bytes.fromhex(rest[0])))
            elif word != "#":
                config[word] = int(rest[0])
        return cls(keys, config, sorted(packets, key=lambda packet: packet[0]))


def vector(name: str) -> Train:
    return Train.read(next(path for path in VECTORS if path.stem == name))


@pytest.fixture
def case() -> Iterator[MediaCase]:
    with a_media_case() as one:
        yield one


def play(case: MediaCase, peer: Peer, train: Train, *, with_audio: bool = False) -> None:
    """Send a train tick by tick, by its times; then let a second pass."""
    waiting = list(train.packets)
    now_ms = 0
    while waiting:
        while waiting and waiting[0][0] < now_ms + TICK_MS:
            peer.send_raw(waiting.pop(0)[1])
        if with_audio:
            peer.send_audio(audio(0.02), timestamp=now_ms * 8)
        case.tick()
        now_ms += TICK_MS
    case.tick(50)


def ended(case: MediaCase) -> list[int]:
    return [event.code for event in case.events if isinstance(event, DigitEnded)]


def talk(case: MediaCase, peer: Peer, samples: NDArray[np.int16], *, timestamp: int = 0) -> None:
    """Send audio in packets of 20 ms, one a tick."""
    for i in range(0, len(samples) // 160 * 160, 160):
        peer.send_audio(samples[i : i + 160], timestamp=timestamp + i)
        case.tick()


def tones(text: str, *, on_ms: float, off_ms: float) -> NDArray[np.int16]:
    """Keys in the audio, each followed by its pause."""
    rng = np.random.default_rng(7)
    return np.concatenate([part for digit in text for part in (key_tone(digit, on_ms, rng=rng), silence(off_ms))])


# 1 to 5, 7, 8, 11 to 13, and those without a number: the trains


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_a_train_gives_its_keys_once_each_and_ends_them(case: MediaCase, path: Path) -> None:
    train = Train.read(path)
    leg, peer = case.leg(**train.config)
    play(case, peer, train)
    assert codes(case.events) == train.keys
    assert Counter(ended(case)) == Counter(train.keys)
    assert leg.statistics().keys_by_event == len(train.keys)


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_a_train_beside_audio_gives_the_same_keys(case: MediaCase, path: Path) -> None:
    train = Train.read(path)
    _, peer = case.leg(**train.config)
    peer.ssrc = SSRC
    play(case, peer, train, with_audio=True)
    assert codes(case.events) == train.keys


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_a_train_shifted_within_a_tick_gives_the_same_keys(case: MediaCase, path: Path) -> None:
    # Where a packet falls in a tick is chance; so is which two share one.
    train = Train.read(path)
    _, peer = case.leg(**train.config)
    play(case, peer, Train(train.keys, train.config, [(ms + 13, data) for ms, data in train.packets]))
    assert codes(case.events) == train.keys


def test_every_complaint_about_packets_has_a_vector() -> None:
    numbers = {int(path.stem[:2]) for path in VECTORS if path.stem[:2].isdecimal()}
    assert numbers == {1, 2, 3, 4, 5, 7, 8, 11, 12, 13}


def test_the_length_of_a_press_is_right_though_its_ssrc_changed(case: MediaCase) -> None:
    for name, duration_ms in (
        ("12-ssrc-changes-in-a-press", 160),
        ("12-ssrc-changes-and-the-duration-begins-anew", 160),
        ("12-ssrc-changes-after-a-gap", 400),
    ):
        _, peer = case.leg()
        play(case, peer, vector(name))
        (end,) = [event for event in case.tick() + case.events if isinstance(event, DigitEnded)]
        assert end.duration_ms == duration_ms, name
        case.events.clear()


# 6


@pytest.mark.parametrize("leak_ms", [20, 40, 100], ids=["a-packet", "two", "all"])
def test_6_a_tone_that_leaks_before_and_beside_its_event_is_one_key(case: MediaCase, leak_ms: int) -> None:
    # The gateway cuts the tone out of the audio only once it has recognised it.
    leg, peer = case.leg()
    merger = DigitMerger()
    tone = tones("7", on_ms=leak_ms, off_ms=200)[: 8 * 260]
    for i in range(0, len(tone) // 160 * 160, 160):
        peer.send_audio(tone[i : i + 160], timestamp=i)
        if 320 <= i < 320 + 1280:
            n = (i - 320) // 160
            peer.send_event(7, timestamp=320, duration=min(160 * (n + 1), 800), end=n > 4, marker=n == 0)
        case.tick()
    case.tick(30)
    heard = [event for event in case.events if isinstance(event, DigitReceived)]
    assert [one.code for one in map(merger.receive, heard) if one is not None] == [7]
    assert leg.statistics().keys_by_event == 1


# 8


def test_8_events_leave_with_the_payload_type_that_the_peer_takes(case: MediaCase) -> None:
    leg, peer = case.leg(event_receive_pt=101, event_send_pt=96)
    play(case, peer, vector("01-end-sent-three-times"))
    peer.received()
    leg.send_digits([3], mode="telephone-event")
    case.tick(12)
    sent = [packet for packet in peer.received() if packet.payload_type != 0]
    assert {(packet.payload_type, packet.payload[0]) for packet in sent} == {(96, 3)}
    assert codes(case.events) == [5, 5]


def test_8_what_comes_on_a_payload_type_not_agreed_on_is_counted(case: MediaCase) -> None:
    leg, peer = case.leg()
    play(case, peer, vector("08-payload-type-not-agreed-on"))
    assert leg.statistics().discarded_by_cause == {"payload-type": 8}


# 9, 10

BODIES = [
    ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", 5),
    ("application/dtmf-relay", b"Signal= 5\nDuration= 160", 5),
    ("application/dtmf-relay", b"Signal=5", 5),
    ("application/dtmf-relay", b"Duration=100\r\nX-Other: 1\r\nsignal = 5\r\n\r\n", 5),
    ("application/dtmf-relay", b"Signal=10\r\n", 10),
    ("application/dtmf-relay", b"Signal=*\r\n", 10),
    ("application/dtmf-relay", b"Signal=11\r\n", 11),
    ("application/dtmf-relay", b"Signal=#\r\n", 11),
    ("application/dtmf-relay", b"Signal=a\r\n", 12),
    ("application/dtmf", b"5", 5),
    ("application/dtmf", b"#\r\n", 11),
    ("APPLICATION/DTMF ; charset=utf-8", b" 5 ", 5),
]


@pytest.mark.parametrize(("content_type", "body", "code"), BODIES)
def test_9_a_key_is_read_out_of_every_form_of_info(content_type: str, body: bytes, code: int) -> None:
    digit = parse_dtmf_info(content_type, body)
    assert digit is not None
    assert digit.event == code


def test_10_info_instead_of_events_is_heard_and_beside_them_not_twice(case: MediaCase) -> None:
    merger = DigitMerger()
    leg, peer = case.leg()
    info = DigitReceived(leg_id=leg.id, code=5, source=DigitSource.INFO, at=case.now + 0.3)
    play(case, peer, vector("03-marker-on-every-packet"))
    (event,) = [event for event in case.events if isinstance(event, DigitReceived)]
    assert merger.receive(info) == info
    assert merger.receive(event) == event
    again = DigitReceived(leg_id=leg.id, code=event.code, source=DigitSource.INFO, at=event.at + 0.25)
    assert merger.receive(again) is None


# 12


def test_12_a_re_invite_that_drops_the_events_and_one_that_brings_them_back(case: MediaCase) -> None:
    leg, peer = case.leg()
    play(case, peer, vector("01-end-sent-three-times"))
    case.configure(leg, peer, event_receive_pt=None, event_send_pt=None)
    talk(case, peer, tones("3", on_ms=100, off_ms=300))
    case.configure(leg, peer, event_receive_pt=96, event_send_pt=96)
    play(case, peer, vector("08-payload-type-96"))
    assert codes(case.events) == [5, 5, 3, 9]


def test_12_a_re_invite_in_the_middle_of_a_press_leaves_one_key(case: MediaCase) -> None:
    leg, peer = case.leg()
    train = vector("12-ssrc-changes-in-a-press")
    for ms, data in train.packets:
        if ms == 80:
            case.configure(leg, peer)
        peer.send_raw(data)
        case.tick()
    case.tick(50)
    assert codes(case.events) == [5]


def test_12_keys_come_from_a_new_address_and_ssrc_after_a_transfer(case: MediaCase) -> None:
    leg, peer = case.leg()
    play(case, peer, vector("01-end-sent-three-times"))
    agent = case.peer(leg, ssrc=0x99)
    case.configure(leg, agent)
    play(case, agent, vector("sipp-milliseconds"))
    assert codes(case.events) == [5, 5, 4, 1, 1, 1]


# 13


def test_13_a_key_that_waits_in_the_socket_when_the_leg_is_configured_is_heard(case: MediaCase) -> None:
    # Between our 200 and the ACK: the peer sends at once, our clock ticks later.
    leg = case.plane.open_leg()
    peer = case.peer(leg)
    for _, data in vector("13-first-packets-of-the-call").packets:
        peer.send_raw(data)
    case.configure(leg, peer)
    case.tick(50)
    assert codes(case.events) == [9]


def test_13_a_key_in_early_media_is_heard_before_we_send_anything(case: MediaCase) -> None:
    leg, peer = case.leg(sending=False)
    play(case, peer, vector("13-first-packets-of-the-call"))
    case.configure(leg, peer, sending=True)
    play(case, peer, vector("01-end-sent-three-times"))
    assert codes(case.events) == [9, 5, 5]


# 14


def test_14_dtx_is_no_loss_and_keys_around_it_are_heard(case: MediaCase) -> None:
    # Comfort noise, two seconds of nothing, a marker, and timestamps that count the silence; sequence numbers do not.
    leg, peer = case.leg()
    talk(case, peer, tones("1", on_ms=60, off_ms=140))
    peer.send(payload=b"\x40", payload_type=13, timestamp=1600)
    case.tick(100)
    peer.send_audio(audio(0.02), timestamp=17600, marker=True)
    case.tick()
    talk(case, peer, tones("2", on_ms=60, off_ms=340), timestamp=17760)
    assert codes(case.events) == [1, 2]
    statistics = leg.statistics()
    assert (statistics.lost, statistics.late) == (0, 0)
    assert statistics.jitter_ms < 20


# 15


@pytest.mark.parametrize("ms", [50, 60, 80])
def test_15_fast_tones_are_heard_once_each_through_a_leg(case: MediaCase, ms: int) -> None:
    _, peer = case.leg()
    talk(case, peer, tones("1122334455667788990*#", on_ms=ms, off_ms=ms))
    talk(case, peer, np.zeros(4800, dtype=np.int16), timestamp=21 * 16 * ms)
    assert codes(case.events) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 0, 10, 11]


def test_15_sound_that_is_no_key_gives_none(case: MediaCase) -> None:
    # A voice of 120 Hz with all its harmonics, sweeping: every pair of bins is passed over.
    leg, peer = case.leg()
    t = np.arange(8 * 8000) / 8000
    pitch = np.cumsum(120 + 60 * np.sin(2 * np.pi * 0.7 * t)) / 8000
    voice = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 20))
    talk(case, peer, np.asarray(6000 * voice, dtype=np.int16))
    assert codes(case.events) == []
    assert leg.statistics().packets_in == 400


# NAT


def test_events_from_another_port_than_the_sdp_says_are_heard(case: MediaCase) -> None:
    leg, peer = case.leg()
    talk(case, peer, audio(0.2))
    beside = case.peer(leg)
    peer_ssrc = peer.ssrc.to_bytes(4, "big")
    train = vector("01-end-sent-three-times")
    moved = [(ms, data[:8] + peer_ssrc + data[12:]) for ms, data in train.packets]
    play(case, beside, Train(train.keys, {}, moved))
    assert codes(case.events) == [5, 5]


def test_all_comes_from_another_port_than_the_sdp_says(case: MediaCase) -> None:
    leg: Leg = case.plane.open_leg()
    peer = case.peer(leg)
    case.configure(leg, peer, remote=("127.0.0.1", 9))
    play(case, peer, vector("01-end-sent-three-times"))
    assert codes(case.events) == [5, 5]
