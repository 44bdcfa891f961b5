"""RFC 3550 §6 and §8.2: compounds, intervals (§6.3), round trip (§6.4.1), what is passed over, our own SSRC heard."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.rtp import _rtcp as rtcp
from engine.rtp._collision import Guard, other_ssrc
from engine.rtp._rtcp_timer import Timer, interval

US, PEER = 0xCAFE, 0xBEEF
RR = bytes.fromhex("80c90001 0000beef")


def packet(kind: int, count: int, body: bytes, *, padding: bytes = b"") -> bytes:
    """One packet of a compound: `count` in the five bits, `body` after the first word."""
    first = 0x80 | (0x20 if padding else 0) | count
    return struct.pack("!BBH", first, kind, (len(body) + len(padding)) // 4) + body + padding


def block(ssrc: int, fraction: int) -> bytes:
    return struct.pack("!IIIIII", ssrc, fraction << 24 | 7, 1, 2, 3, 4)


def read(data: bytes) -> rtcp.Summary:
    summary = rtcp.parse(data, US)
    assert summary is not None
    return summary


# §6.1, §6.4: what is read


@pytest.mark.parametrize("kind", [200, 201])
@pytest.mark.parametrize("ours", [0, 15, 30])
def test_our_block_is_found_among_thirty_one(kind: int, ours: int) -> None:
    blocks = b"".join(block(US if n == ours else 0x1000 + n, n) for n in range(31))
    info = struct.pack("!IIIII", 1, 2, 3, 4, 5) if kind == 200 else b""
    reception = read(packet(kind, 31, struct.pack("!I", PEER) + info + blocks))["reception"]
    assert reception == (ours, 7, 1, 2, 3, 4)


def test_blocks_in_a_second_report_of_the_compound_count_too() -> None:
    # §6.1: more than 31 sources go into further RR packets.
    first = packet(200, 0, struct.pack("!IIIIII", PEER, 1, 2, 3, 4, 5))
    second = packet(201, 1, struct.pack("!I", PEER) + block(US, 9))
    summary = read(first + second)
    assert summary["sender"] == (1, 2, 3, 4, 5)
    assert summary["reception"] == (9, 7, 1, 2, 3, 4)


def test_a_profile_specific_extension_of_a_report_is_passed_over() -> None:
    # §6.4.3
    assert read(packet(201, 1, struct.pack("!I", PEER) + block(US, 9) + bytes(40)))["reception"] is not None


def test_every_sdes_item_is_passed_over() -> None:
    items = b"".join(bytes([item, 3]) + b"abc" for item in (*range(1, 9), 200)) + b"\x08\x00"
    chunk = struct.pack("!I", PEER) + items
    chunk += bytes(4 - len(chunk) % 4)
    data = RR + packet(202, 2, chunk + chunk) + packet(203, 1, struct.pack("!I", PEER))
    assert read(data)["leaving"] == [PEER]


@pytest.mark.parametrize(
    "chunk",
    [b"\x01\xff\x61\x61", b"", b"\x01\x02\x61\x61", bytes(8)],
    ids=["overrun", "none", "no-end", "twice-the-end"],
)
def test_a_broken_sdes_costs_nothing_but_itself(chunk: bytes) -> None:
    data = RR + packet(202, 1, struct.pack("!I", PEER) + chunk) + packet(203, 1, struct.pack("!I", PEER))
    assert read(data)["leaving"] == [PEER]


@pytest.mark.parametrize("kind", [192, 195, 204, 205, 206, 208, 223])
def test_app_feedback_and_unknown_types_are_passed_over(kind: int) -> None:
    data = packet(201, 1, struct.pack("!I", PEER) + block(US, 9)) + packet(kind, 31, b"\xff" * 20)
    assert read(data)["reception"] == (9, 7, 1, 2, 3, 4)


# §6.6


@pytest.mark.parametrize(
    "reason", [b"", b"\x03end", b"\x07the end", b"\xffcut"], ids=["none", "one-word", "two", "overrun"]
)
def test_a_bye_names_who_leaves_whatever_its_reason(reason: bytes) -> None:
    summary = read(RR + packet(203, 2, struct.pack("!II", PEER, 5) + reason))
    assert (summary["bye"], summary["leaving"]) == (True, [PEER, 5])


def test_a_bye_without_sources_is_valid_and_useless() -> None:
    summary = read(RR + packet(203, 0, b""))
    assert (summary["bye"], summary["leaving"]) == (False, [])


def test_a_bye_that_counts_more_sources_than_it_has_says_nothing() -> None:
    assert read(RR + packet(203, 2, struct.pack("!I", PEER)))["bye"] is False


def test_no_more_than_thirty_one_sources_leave_at_once() -> None:
    byes = b"".join(packet(203, 31, struct.pack("!31I", *range(k, k + 31))) for k in (0, 31))
    assert read(RR + byes)["leaving"] == list(range(31))


# §6.4.1, padding


@pytest.mark.parametrize("n", [4, 8, 12])
def test_padding_of_the_last_packet_is_no_content(n: int) -> None:
    body = struct.pack("!I", PEER) + struct.pack("!I", 77)
    padded = packet(203, 2, body[: 8 - 4], padding=bytes(n - 1) + bytes([n]))
    # Two sources counted, one there: the padding is not taken for the other.
    assert read(RR + padded)["leaving"] == []
    assert read(RR + packet(203, 2, body, padding=bytes(n - 1) + bytes([n])))["leaving"] == [PEER, 77]


@pytest.mark.parametrize("last", [0, 1, 2, 3, 5, 12, 255])
def test_padding_that_cannot_be_is_refused(last: int) -> None:
    assert rtcp.parse(RR + packet(203, 1, struct.pack("!I", PEER), padding=bytes(3) + bytes([last])), US) is None


# §6.4.1: round-trip time


def test_the_round_trip_of_figure_2() -> None:
    # A is 46864.500 s, LSR 46853.125 s, DLSR 5.250 s: 6.125 s.
    assert rtcp.round_trip(0xB7108000, 0xB7052000, 0x00054000) == 6.125


def test_a_round_trip_over_the_wrap_of_the_clock() -> None:
    assert rtcp.round_trip(0x00004000, 0xFFFF8000, 0x00008000) == 0.25


@pytest.mark.parametrize(
    ("now", "last", "delay"),
    [(5, 0, 0), (0x10000, 0x20000, 0), (0x10000, 0x8000, 0x10000)],
    ids=["none", "set", "held"],
)
def test_no_round_trip_where_there_is_none(now: int, last: int, delay: int) -> None:
    assert rtcp.round_trip(now, last, delay) is None


# §6.3, A.7

COMPENSATION = 2.718281828459045 - 1.5
HALF, WHOLE = 1 << 31, (1 << 32) - 1


@pytest.mark.parametrize(("random", "factor"), [(0, 0.5), (HALF, 1.0), (WHOLE, 1.5)])
def test_a_call_reports_every_five_seconds_times_half_to_one_and_a_half(random: int, factor: float) -> None:
    assert interval(2, 2, True, 120.0, 500.0, False, random) == pytest.approx(5 * factor / COMPENSATION)


def test_the_first_report_comes_after_half_the_minimum() -> None:
    assert interval(1, 0, False, 120.0, 500.0, True, HALF) == pytest.approx(2.5 / COMPENSATION)


@pytest.mark.parametrize(
    ("members", "senders", "we_sent", "seconds"),
    [
        # Senders are a quarter or fewer: they share 25 % of the bandwidth, receivers the rest.
        (1000, 10, True, 100.0 * 10 / (400 * 0.25)),
        (1000, 10, False, 100.0 * 990 / (400 * 0.75)),
        # More senders than that: all share alike.
        (1000, 500, True, 100.0 * 1000 / 400),
        (1000, 500, False, 100.0 * 1000 / 400),
    ],
)
def test_many_members_share_the_bandwidth(members: int, senders: int, we_sent: bool, seconds: float) -> None:
    assert interval(members, senders, we_sent, 100.0, 400.0, False, HALF) == pytest.approx(seconds / COMPENSATION)


def test_no_bandwidth_is_no_endless_wait_and_no_flood() -> None:
    assert interval(2, 1, True, 100.0, 0.0, False, HALF) == pytest.approx(3600 / COMPENSATION)


def test_the_average_size_moves_by_sixteenths() -> None:
    timer = Timer(bandwidth=400.0, average=100.0, now=0.0, random=0)
    timer.heard(260)
    assert timer.average == 110.0


def test_a_report_is_reconsidered_when_members_came_meanwhile() -> None:
    # §6.3.6: two thousand joined before the first report, so that its time is put off.
    timer = Timer(bandwidth=400.0, average=100.0, now=0.0, random=HALF)
    timer.count(2000, 0, 1.0)
    assert not timer.due(2.0, HALF)
    assert not timer.due(2.06, HALF)
    assert timer.next == pytest.approx(2000 * 100 / 300 / COMPENSATION)


def test_a_report_that_is_due_is_sent_once() -> None:
    timer = Timer(bandwidth=400.0, average=100.0, now=0.0, random=HALF)
    assert not timer.due(2.0, HALF)
    assert timer.due(2.06, HALF)
    timer.sent(100, 2.06, HALF)
    assert not timer.due(2.08, HALF)
    assert timer.next == pytest.approx(2.06 + 5 / COMPENSATION)


def test_members_that_leave_bring_the_report_forward() -> None:
    # §6.3.4: of a thousand a hundred are left, so that a tenth of the wait is.
    timer = Timer(bandwidth=400.0, average=100.0, now=0.0, random=HALF)
    timer.count(1000, 0, 0.0)
    timer.sent(100, 10.0, HALF)
    planned = timer.next
    timer.count(100, 0, 20.0)
    assert timer.next == pytest.approx(20 + (planned - 20) / 10)


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, WHOLE)), max_size=100))
@settings(deadline=None, max_examples=60)
def test_reports_never_follow_each_other_faster_than_the_minimum_allows(steps: list[tuple[int, int, int]]) -> None:
    timer = Timer(bandwidth=400.0, average=100.0, now=0.0, random=0)
    sent: list[float] = []
    now = 0.0
    members = 1
    for later_ms, joined, random in steps:
        now += later_ms / 1000
        members += joined
        timer.count(members, members // 2, now)
        if timer.due(now, random):
            timer.sent(100, now, random)
            sent.append(now)
    assert all(b - a >= 2.5 / COMPENSATION - 1e-6 for a, b in pairwise(sent))


# §8.2

NONE, NEW, LOOP = range(3)


def test_another_ssrc_is_no_collision() -> None:
    assert Guard().check(1, 2, b"a", 0.0) == NONE


def test_our_ssrc_from_elsewhere_is_a_collision_once_and_then_a_loop() -> None:
    guard = Guard()
    assert guard.check(1, 1, b"a", 0.0) == NEW
    # The old SSRC has said BYE; with the new one the same address can only give our own packets back.
    assert guard.check(5, 5, b"a", 0.02) == LOOP
    assert guard.check(5, 1, b"a", 0.04) == NONE
    assert guard.counters == {"collisions": 1, "loops": 1}


def test_an_address_is_forgotten_after_ten_intervals_of_silence() -> None:
    guard = Guard()
    guard.check(1, 1, b"a", 0.0)
    assert guard.check(5, 5, b"a", 49.0) == LOOP
    assert guard.check(5, 5, b"a", 98.0) == LOOP
    assert guard.check(5, 5, b"a", 149.0) == NEW


def test_many_addresses_do_not_make_us_change_without_end() -> None:
    guard = Guard()
    verdicts = [guard.check(1, 1, bytes([n]) * 18, n / 50) for n in range(100)]
    assert verdicts == [NEW] * 4 + [LOOP] * 96


def test_addresses_of_another_length_are_others() -> None:
    guard = Guard()
    assert [guard.check(1, 1, address, 0.0) for address in (b"a", b"ab", b"", b"a" * 80)] == [NEW, NEW, LOOP, NEW]


@pytest.mark.parametrize("random", [0, 1, 2, 3, 0xFFFFFFFE, 0xFFFFFFFF])
def test_the_new_ssrc_is_neither_the_old_one_nor_the_peers(random: int) -> None:
    for own, peer in ((1, 2), (2, 1), (0xFFFFFFFE, 0xFFFFFFFF), (0xFFFFFFFF, 0)):
        assert other_ssrc(random, own, peer) not in (own, peer)
