"""RFC 4733 telephone-events: §2.3 payload, §2.5.1.2 to §2.5.1.4 sending, §2.5.2.2 and §2.5.2.3 receiving, §3.2 digits.

Each complaint in circulation about DTMF on SIP is a train of packets here, written as the bytes on the wire, with the
keys that must come out of it. Complaints that are not about the receiver of events (in-band and event both heard, INFO,
payload types, re-INVITE, first packet of a call) are in tests/unit/engine/media.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from engine.rtp import RtpPacket
from engine.rtp._event_sender import sender_packets
from engine.rtp._telephone_event import TelephoneEventReceiver

PT = 101
SSRC = 0x11223344
START, END = 1, 2


@dataclass(frozen=True)
class Arrival:
    """A packet on the wire, and when it came (ms)."""

    at_ms: float
    wire: bytes


def packet(
    at_ms: float,
    code: int,
    timestamp: int,
    duration: int,
    *,
    end: bool = False,
    marker: bool = False,
    ssrc: int = SSRC,
    volume: int = 10,
) -> Arrival:
    payload = bytes([code, (0x80 if end else 0) | volume, duration >> 8, duration & 0xFF])
    wire = RtpPacket(
        payload_type=PT,
        marker=marker,
        sequence=round(at_ms / 20) & 0xFFFF,
        timestamp=timestamp & 0xFFFFFFFF,
        ssrc=ssrc,
        payload=payload,
    ).to_bytes()
    return Arrival(at_ms, wire)


def key(
    at_ms: float, code: int, timestamp: int, *, on_ms: int = 100, ssrc: int = SSRC, step_ms: int = 20, ends: int = 3
) -> list[Arrival]:
    """A key as RFC 4733 §2.5.1 has it sent."""
    n = on_ms // step_ms
    train = [
        packet(at_ms + i * step_ms, code, timestamp, (i + 1) * step_ms * 8, marker=i == 0, ssrc=ssrc) for i in range(n)
    ]
    last = at_ms + n * step_ms
    train += [packet(last + i * step_ms, code, timestamp, on_ms * 8, end=True, ssrc=ssrc) for i in range(ends)]
    return train


def heard(train: list[Arrival], *, rate_hz: int = 8000) -> tuple[list[int], list[int], dict[str, int]]:
    """Play a train to a receiver, with polls each 20 ms; return codes started, codes ended, and its counters."""
    receiver = TelephoneEventReceiver(rate_hz)
    started: list[int] = []
    ended: list[int] = []
    arrivals = sorted(train, key=lambda arrival: arrival.at_ms)
    clock_ms = 0.0

    def note(reports: list[tuple[int, int, float, int, float]]) -> None:
        for kind, code, *_ in reports:
            (started if kind == START else ended).append(code)

    for arrival in arrivals:
        while clock_ms + 20 <= arrival.at_ms:
            clock_ms += 20
            note(receiver.poll(100 + clock_ms / 1000))
        got = RtpPacket.parse(arrival.wire)
        note(receiver.receive(got.ssrc, got.timestamp, got.marker, got.payload, 100 + arrival.at_ms / 1000))
    for _ in range(60):
        clock_ms += 20
        note(receiver.poll(100 + clock_ms / 1000))
    return started, ended, receiver.counters


def creeping(
    at_ms: float, code: int, timestamp: int, *, n: int, growing: bool, marked: bool, ends: int
) -> list[Arrival]:
    """A key whose timestamp moves with each packet."""
    train = []
    for i in range(n + ends):
        duration = (i + 1) * 160 if growing else 160
        train.append(packet(at_ms + 20 * i, code, timestamp + 160 * i, duration, marker=marked or i == 0, end=i >= n))
    return train


def test_one_press_is_one_key_though_its_end_is_sent_three_times() -> None:
    started, ended, counters = heard(key(0, 5, 1000))
    assert (started, ended) == ([5], [5])
    assert counters["repeated"] == 2


@pytest.mark.parametrize("growing", [True, False], ids=["duration-grows", "duration-stays"])
@pytest.mark.parametrize("marked", [True, False], ids=["all-marked", "first-marked"])
@pytest.mark.parametrize("ends", [1, 3])
def test_a_timestamp_that_moves_inside_a_press_does_not_make_it_many(growing: bool, marked: bool, ends: int) -> None:
    started, ended, _ = heard(creeping(0, 2, 5000, n=8, growing=growing, marked=marked, ends=ends))
    assert (started, ended) == ([2], [2])


def test_a_moving_timestamp_survives_the_loss_of_a_packet() -> None:
    train = creeping(0, 2, 5000, n=8, growing=False, marked=False, ends=3)
    for lost in range(len(train)):
        started, ended, _ = heard(train[:lost] + train[lost + 1 :])
        assert (started, ended) == ([2], [2]), f"packet {lost} lost"


def test_two_presses_of_a_peer_with_moving_timestamps_are_two() -> None:
    train = creeping(0, 2, 5000, n=4, growing=False, marked=False, ends=3)
    train += creeping(240, 2, 5000 + 240 * 8, n=4, growing=False, marked=False, ends=3)
    assert heard(train)[:2] == ([2, 2], [2, 2])


@pytest.mark.parametrize("code", range(16))
def test_a_key_starts_without_a_marker(code: int) -> None:
    train = [packet(i * 20, code, 1000, (i + 1) * 160, marker=False, end=i == 5) for i in range(6)]
    assert heard(train)[:2] == ([code], [code])


def test_lost_ends_are_made_up_for_by_a_time_out() -> None:
    started, ended, _ = heard(key(0, 7, 1000, ends=0))
    assert (started, ended) == ([7], [7])


def test_lost_ends_are_made_up_for_by_the_next_key() -> None:
    receiver = TelephoneEventReceiver()
    receiver.receive(SSRC, 1000, True, bytes([7, 10, 0, 160]), 1.0)
    reports = receiver.receive(SSRC, 2600, True, bytes([8, 10, 0, 160]), 1.2)
    assert [(kind, code) for kind, code, *_ in reports] == [(END, 7), (START, 8)]


@pytest.mark.parametrize("survivor", range(8))
def test_one_packet_left_of_a_key_is_enough(survivor: int) -> None:
    train = key(0, 9, 1000)
    assert len(train) == 8
    started, ended, _ = heard([train[survivor]])
    assert (started, ended) == ([9], [9])


def test_reordered_and_duplicated_packets_add_no_key_and_lose_none() -> None:
    train = key(0, 1, 1000) + key(200, 1, 2600) + key(400, 4, 4200)
    wires = [arrival.wire for arrival in train]
    for i in range(0, len(wires) - 1, 2):
        wires[i], wires[i + 1] = wires[i + 1], wires[i]
    doubled = [
        Arrival(arrival.at_ms + late, wire) for arrival, wire in zip(train, wires, strict=True) for late in (0, 5, 30)
    ]
    started, ended, _ = heard(doubled)
    assert started == [1, 1, 4]
    assert ended == [1, 1, 4]


def test_an_end_that_overtakes_the_start_of_its_key_ends_it_once() -> None:
    train = key(0, 3, 1000)
    order = [train[5], *train[:5], *train[6:]]
    shuffled = [Arrival(i * 20, arrival.wire) for i, arrival in enumerate(order)]
    assert heard(shuffled)[:2] == ([3], [3])


def test_a_whole_key_overtaken_by_the_next_is_not_lost() -> None:
    receiver = TelephoneEventReceiver()
    receiver.receive(SSRC, 3000, True, bytes([8, 10, 0, 160]), 1.0)
    reports = receiver.receive(SSRC, 1000, True, bytes([7, 0x8A, 3, 32]), 1.01)
    assert [(kind, code) for kind, code, *_ in reports] == [(START, 7), (END, 7)]
    assert receiver.receive(SSRC, 3000, False, bytes([8, 10, 1, 64]), 1.02) == []
    reports = receiver.receive(SSRC, 3000, False, bytes([8, 0x8A, 1, 224]), 1.04)
    assert [(kind, code) for kind, code, *_ in reports] == [(END, 8)]


def test_a_long_press_with_a_gap_between_updates_is_one_key() -> None:
    # Nothing between the first packet and the end five seconds later: the time-out ends it, the end adds no key.
    train = [packet(0, 6, 1000, 160, marker=True)]
    train += [packet(5000 + 20 * i, 6, 1000, 40000, end=True) for i in range(3)]
    assert heard(train)[:2] == ([6], [6])


@pytest.mark.parametrize("segment", [0xFFFF, 65440], ids=["65535", "last-whole-packet"])
@pytest.mark.parametrize("lost_at_the_seam", [0, 1, 5])
def test_a_press_of_twenty_seconds_in_segments_is_one_key(segment: int, lost_at_the_seam: int) -> None:
    train = []
    for i in range(1000):
        elapsed = (i + 1) * 160
        n, duration = divmod(elapsed, segment)
        if n and duration < 160 * lost_at_the_seam:
            continue
        train.append(packet(20 * i, 0, 1000 + n * segment, duration, marker=i == 0))
    last = train[-1]
    got = RtpPacket.parse(last.wire)
    duration = int.from_bytes(got.payload[2:], "big")
    train += [packet(last.at_ms + 20 * (i + 1), 0, got.timestamp, duration, end=True) for i in range(3)]
    assert heard(train)[:2] == ([0], [0])


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
@pytest.mark.parametrize("lost_before_the_seam", [0, 1, 4])
def test_segments_of_whole_packets_are_one_key_at_every_clock(rate_hz: int, lost_before_the_seam: int) -> None:
    # A peer that breaks the press at the last whole packet of 50 ms that the field holds, and its last ones are lost.
    step = rate_hz // 20
    segment = 0xFFFF // step * step
    train = []
    for i in range(8 * segment // step // 3):
        n, elapsed = divmod(i * step, segment)
        duration = elapsed + step
        if duration <= segment - lost_before_the_seam * step:
            train.append(packet(50 * i, 0, 1000 + n * segment, duration, marker=i == 0))
    assert len({RtpPacket.parse(arrival.wire).timestamp for arrival in train}) == 3
    assert heard(train, rate_hz=rate_hz)[:2] == ([0], [0])


def test_our_own_sender_of_a_long_press_is_heard_as_one_key() -> None:
    train = [
        Arrival(
            20 * i,
            RtpPacket(
                payload_type=PT, marker=marker, sequence=i & 0xFFFF, timestamp=at, ssrc=SSRC, payload=payload
            ).to_bytes(),
        )
        for i, (marker, at, payload) in enumerate(sender_packets(5, 0xFFFFF000, 20 * 8000))
    ]
    assert len({RtpPacket.parse(arrival.wire).timestamp for arrival in train}) == 3
    assert heard(train)[:2] == ([5], [5])


def test_a_never_ending_event_is_one_key() -> None:
    train = [packet(20 * i, 1, 1000, min((i + 1) * 160, 0xFFFF)) for i in range(1500)]
    assert heard(train)[:2] == ([1], [1])


def test_keys_in_milliseconds_with_an_ssrc_each_are_heard_once_each() -> None:
    # SIPp 3.6's play_dtmf: durations and timestamps in ms where units of 1/8000 s belong, a new SSRC for each key.
    train = []
    for n, code in enumerate([4, 1, 1, 1]):
        at = n * 200.0
        for i in range(5):
            train.append(
                packet(at + 20 * i, code, 1000 + 200 * n, 20 * (i + 1), marker=i == 0, ssrc=SSRC + n, end=i == 4)
            )
    assert heard(train)[0] == [4, 1, 1, 1]


def test_keys_in_milliseconds_with_one_ssrc_are_heard_once_each() -> None:
    train = []
    for n, code in enumerate([4, 1, 1, 1]):
        at = n * 200.0
        for i in range(7):
            train.append(packet(at + 20 * i, code, 1000 + 200 * n, min(100, 20 * (i + 1)), marker=i == 0, end=i >= 4))
    assert heard(train)[0] == [4, 1, 1, 1]


@pytest.mark.parametrize("code", [16, 17, 32, 66, 89, 127, 173, 192, 255])
def test_flash_and_other_events_are_no_digits(code: int) -> None:
    started, ended, counters = heard(key(0, code, 1000))
    assert (started, ended) == ([], [])
    assert counters["no_digit"] == 8


def test_a_flash_between_two_keys_changes_neither() -> None:
    train = key(0, 1, 1000) + key(200, 16, 2600) + key(400, 1, 4200)
    assert heard(train)[:2] == ([1, 1], [1, 1])


@pytest.mark.parametrize("size", range(4))
def test_a_payload_too_short_is_counted_and_is_no_key(size: int) -> None:
    receiver = TelephoneEventReceiver()
    assert receiver.receive(SSRC, 1000, True, bytes(size), 1.0) == []
    assert receiver.counters["malformed"] == 1


def test_of_several_blocks_only_the_first_is_an_event() -> None:
    receiver = TelephoneEventReceiver()
    reports = receiver.receive(SSRC, 1000, True, bytes([5, 10, 0, 160, 6, 10, 0, 160]), 1.0)
    assert [code for _, code, *_ in reports] == [5]


@pytest.mark.parametrize("timestamp", [0xFFFFFFFF, 0xFFFFFFF0, 0xFFFFFE00, 0x7FFFFFF0, 0])
def test_a_timestamp_that_wraps_during_or_between_keys_changes_nothing(timestamp: int) -> None:
    train = key(0, 8, timestamp) + key(200, 8, timestamp + 1600) + key(400, 3, timestamp + 3200)
    assert heard(train)[:2] == ([8, 8, 3], [8, 8, 3])


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_durations_follow_the_clock_of_the_payload_type(rate_hz: int) -> None:
    receiver = TelephoneEventReceiver(rate_hz)
    units = rate_hz // 10
    receiver.receive(SSRC, 1000, True, bytes([5, 10, 0, 160]), 1.0)
    ((kind, code, _, duration_ms, _),) = receiver.receive(
        SSRC, 1000, False, bytes([5, 0x8A, units >> 8, units & 0xFF]), 1.1
    )
    assert (kind, code, duration_ms) == (END, 5, 100)


@pytest.mark.parametrize("rate_hz", [16000, 48000])
def test_quick_equal_keys_at_another_clock_are_two(rate_hz: int) -> None:
    ms = rate_hz // 1000
    train = []
    for n in range(2):
        for i in range(5):
            train.append(packet(n * 90 + i * 10, 5, 1000 + n * 90 * ms, (i + 1) * 10 * ms, end=i == 4, marker=i == 0))
    assert heard(train, rate_hz=rate_hz)[0] == [5, 5]


def moved(train: list[Arrival], *, at: int, ssrc: int, timestamp: int = 0) -> list[Arrival]:
    """From packet `at` on, another SSRC and base of timestamps."""
    out = []
    for n, arrival in enumerate(train):
        got = RtpPacket.parse(arrival.wire)
        if n >= at:
            got = replace(got, ssrc=ssrc, timestamp=(got.timestamp + timestamp) & 0xFFFFFFFF)
        out.append(Arrival(arrival.at_ms, got.to_bytes()))
    return out


@pytest.mark.parametrize("at", range(1, 8))
@pytest.mark.parametrize("timestamp", [0, 1, 160, 777777, 0x80000000, 0xFFFFFF00])
def test_a_press_whose_ssrc_changes_at_any_packet_is_one_key(at: int, timestamp: int) -> None:
    started, ended, _ = heard(moved(key(0, 5, 1000), at=at, ssrc=9, timestamp=timestamp))
    assert (started, ended) == ([5], [5])


@pytest.mark.parametrize("lost", range(1, 5))
def test_a_change_of_ssrc_survives_the_loss_of_the_packets_around_it(lost: int) -> None:
    train = moved(key(0, 5, 1000, on_ms=300), at=7, ssrc=9, timestamp=4321)
    for first in range(1, 12):
        started, ended, _ = heard(train[:first] + train[first + lost :])
        assert (started, ended) == ([5], [5]), f"{lost} lost from {first}"


def test_an_ssrc_that_changes_with_every_packet_of_a_press_is_one_key() -> None:
    train = key(0, 5, 1000, on_ms=400)
    for at in range(1, len(train)):
        train = moved(train, at=at, ssrc=SSRC + at, timestamp=at * 1000)
    assert heard(train)[:2] == ([5], [5])


@pytest.mark.parametrize("ends", [0, 1, 3])
@pytest.mark.parametrize("pause_ms", [40, 60, 100, 400])
def test_two_presses_with_an_ssrc_each_are_two(ends: int, pause_ms: int) -> None:
    train = key(0, 5, 1000, on_ms=80, ends=min(ends, pause_ms // 20))
    again = 80 + pause_ms
    train += key(again, 5, 1000 + again * 8, on_ms=80, ends=ends, ssrc=9)
    assert heard(train)[:2] == ([5, 5], [5, 5])


def test_another_key_with_another_ssrc_is_another_key() -> None:
    train = key(0, 5, 1000, on_ms=80, ends=0) + key(80, 6, 1000, on_ms=80, ssrc=9)
    assert heard(train)[:2] == ([5, 6], [5, 6])


def test_late_packets_of_the_old_ssrc_add_no_key() -> None:
    train = moved(key(0, 5, 1000, on_ms=200), at=5, ssrc=9, timestamp=50000)
    late = [Arrival(arrival.at_ms + 110, arrival.wire) for arrival in train[:5]]
    assert heard(train + late)[:2] == ([5], [5])


def test_equal_keys_forty_milliseconds_apart_are_two_though_all_their_ends_are_lost() -> None:
    train = key(0, 5, 1000, on_ms=40, ends=0) + key(80, 5, 1000 + 80 * 8, on_ms=40, ends=0)
    assert heard(train)[:2] == ([5, 5], [5, 5])


@pytest.mark.parametrize("volume", range(64))
def test_the_level_is_reported_in_dbm0(volume: int) -> None:
    # §2.3: 0 to -63 dBm0; the R bit beside it means nothing.
    for reserved in (0, 0x40):
        receiver = TelephoneEventReceiver()
        ((_, _, _, _, level),) = receiver.receive(SSRC, 1, True, bytes([5, reserved | volume, 0, 160]), 1.0)
        assert level == -volume


def test_the_start_is_dated_back_by_the_duration_in_the_first_packet_heard() -> None:
    receiver = TelephoneEventReceiver()
    ((_, _, at, _, _),) = receiver.receive(SSRC, 1, False, bytes([5, 10, 0x03, 0x20]), 10.0)
    assert at == pytest.approx(9.9)


# Sending (§2.5.1)


def test_a_sent_key_has_one_timestamp_a_marker_first_and_three_ends() -> None:
    packets = sender_packets(11, 4000, 800)
    assert {at for _, at, _ in packets} == {4000}
    assert [marker for marker, _, _ in packets] == [True] + [False] * (len(packets) - 1)
    assert [payload[1] >> 7 for _, _, payload in packets] == [0, 0, 0, 0, 1, 1, 1]
    assert [int.from_bytes(payload[2:], "big") for _, _, payload in packets] == [160, 320, 480, 640, 800, 800, 800]
    assert {payload[0] for _, _, payload in packets} == {11}
    assert {payload[1] & 0x3F for _, _, payload in packets} == {10}


def test_a_key_shorter_than_a_packet_is_sent_as_three_ends() -> None:
    packets = sender_packets(1, 0, 100)
    assert [(payload[1] >> 7, int.from_bytes(payload[2:], "big")) for _, _, payload in packets] == [(1, 100)] * 3


def test_a_sent_key_longer_than_the_duration_field_is_segmented() -> None:
    packets = sender_packets(1, 0, 100_000)
    assert sorted({at for _, at, _ in packets}) == [0, 0xFFFF]
    assert [marker for marker, _, _ in packets].count(True) == 1
    assert all(payload[1] >> 7 == 0 for _, at, payload in packets if at == 0)
    assert int.from_bytes(packets[-1][2][2:], "big") == 100_000 - 0xFFFF


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
@pytest.mark.parametrize("seconds", [0.04, 1.36, 1.3653125, 2.73, 8.19, 8.2, 20.0])
def test_a_sent_key_is_whole_at_every_clock(rate_hz: int, seconds: float) -> None:
    units, first = round(seconds * rate_hz), 0xFFFF0000
    packets = sender_packets(7, first, units, step=rate_hz // 50)
    segments: dict[int, list[int]] = {}
    for _, at, payload in packets:
        segments.setdefault((at - first) & 0xFFFFFFFF, []).append(int.from_bytes(payload[2:], "big"))
    starts = sorted(segments)
    # §2.5.1.3: each begins where the one before ends, and that one was reported whole.
    assert starts == [n * 0xFFFF for n in range(len(starts))]
    assert all(segments[start][-1] == 0xFFFF for start in starts[:-1])
    assert starts[-1] + segments[starts[-1]][-1] == units
    assert all(durations == sorted(durations) for durations in segments.values())
    # §2.5.1.4: the end three times, and nowhere before.
    assert [payload[1] >> 7 for _, _, payload in packets] == [0] * (len(packets) - 3) + [1, 1, 1]
    assert [marker for marker, _, _ in packets] == [True] + [False] * (len(packets) - 1)
    assert len({payload for _, _, payload in packets[-3:]}) == 1


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
@pytest.mark.parametrize("seconds", [1.3, 1.37, 9.0, 30.0])
def test_a_long_key_of_our_sender_is_heard_as_one_at_every_clock(rate_hz: int, seconds: float) -> None:
    train = [
        Arrival(
            20 * i,
            RtpPacket(
                payload_type=PT, marker=marker, sequence=i & 0xFFFF, timestamp=at, ssrc=SSRC, payload=payload
            ).to_bytes(),
        )
        for i, (marker, at, payload) in enumerate(
            sender_packets(5, 0xFFFFF000, round(seconds * rate_hz), step=rate_hz // 50)
        )
    ]
    assert heard(train, rate_hz=rate_hz)[:2] == ([5], [5])
    # Five packets in a row are lost at each seam of two segments, and the marker with the first packet.
    times = [RtpPacket.parse(arrival.wire).timestamp for arrival in train]
    seams = [n for n in range(1, len(times)) if times[n] != times[n - 1]]
    kept = [one for n, one in enumerate(train) if n and not any(seam - 2 <= n <= seam + 2 for seam in seams)]
    assert heard(kept, rate_hz=rate_hz)[:2] == ([5], [5])


def test_a_sender_refuses_what_is_no_digit() -> None:
    with pytest.raises(ValueError, match="a digit is 0 to 15"):
        sender_packets(16, 0, 800)
