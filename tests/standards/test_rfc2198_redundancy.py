"""RFC 2198: §3 headers, §4 blocks that cannot be; with telephone-events as RFC 4733 §2.6.2 uses it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.rtp import _redundancy as redundancy
from engine.rtp._telephone_event import TelephoneEventReceiver
from tests.fuzz.fuzz_redundancy import SEEDS, one_input

NOW = 0x10000
EVENTS = 97
START, END = 1, 2


def event(code: int, duration: int, *, end: bool = False) -> bytes:
    return bytes([code, 0x8A if end else 0x0A]) + duration.to_bytes(2, "big")


def test_a_payload_without_redundancy_is_its_primary() -> None:
    assert redundancy.parse(b"\x05abc", NOW) == [(5, NOW, b"abc")]


def test_headers_are_read_bit_for_bit() -> None:
    # F, payload type 5, 160 units earlier, 2 octets; then the primary of payload type 7.
    payload = bytes.fromhex("85 028002 07") + b"xyAB"
    assert redundancy.parse(payload, NOW) == [(5, NOW - 160, b"xy"), (7, NOW, b"AB")]


def test_the_oldest_comes_first_and_timestamps_may_wrap() -> None:
    payload = redundancy.build([(0, 320, b"a"), (0, 160, b"b"), (0, 0, b"c")])
    assert redundancy.parse(payload, 200) == [(0, (200 - 320) % 2**32, b"a"), (0, 40, b"b"), (0, 200, b"c")]


def test_offset_and_length_go_to_the_ends_of_their_fields() -> None:
    payload = redundancy.build([(127, 0x3FFF, bytes(0x3FF)), (127, 0, b"")])
    assert redundancy.parse(payload, NOW) == [(127, NOW - 0x3FFF, bytes(0x3FF)), (127, NOW, b"")]


def test_blocks_may_be_empty() -> None:
    assert redundancy.parse(redundancy.build([(0, 160, b""), (0, 0, b"")]), NOW) == [(0, NOW - 160, b""), (0, NOW, b"")]


@pytest.mark.parametrize("n", range(1, 9))
def test_up_to_eight_blocks_are_taken(n: int) -> None:
    blocks = redundancy.parse(redundancy.build([(0, 160 * (n - 1 - k), bytes([k])) for k in range(n)]), NOW)
    assert blocks is not None
    assert [block for _, _, block in blocks] == [bytes([k]) for k in range(n)]


def test_more_than_eight_blocks_are_none() -> None:
    assert redundancy.parse(bytes.fromhex("80000000") * 8 + b"\x00", NOW) is None
    assert redundancy.parse(bytes.fromhex("80000000") * 7 + b"\x00", NOW) is not None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x80",
        b"\x80\x00\x00",
        b"\x80\x00\x00\x00",
        bytes.fromhex("8000000100"),
        bytes.fromhex("800003ff00") + bytes(1022),
    ],
    ids=["empty", "header-1", "header-3", "no-primary", "block-missing", "block-cut"],
)
def test_a_payload_that_is_cut_off_is_none(payload: bytes) -> None:
    assert redundancy.parse(payload, NOW) is None


@given(
    st.lists(st.tuples(st.integers(0, 127), st.integers(0, 0x3FFF), st.binary(max_size=40)), min_size=0, max_size=7),
    st.tuples(st.integers(0, 127), st.just(0), st.binary(max_size=40)),
    st.integers(0, 0xFFFFFFFF),
)
@settings(deadline=None, max_examples=200)
def test_what_is_built_reads_the_same(
    earlier: list[tuple[int, int, bytes]], primary: tuple[int, int, bytes], timestamp: int
) -> None:
    blocks = [*earlier, primary]
    payload = redundancy.build(blocks)
    expected = [(pt, (timestamp - before) % 2**32, block) for pt, before, block in blocks]
    assert redundancy.parse(payload, timestamp) == expected
    headers = 4 * len(earlier) + 1
    for cut in range(headers):
        assert redundancy.parse(payload[:cut], timestamp) is None


@given(st.binary(max_size=100) | st.sampled_from(SEEDS))
@settings(deadline=None, max_examples=200)
def test_any_bytes_are_blocks_or_none(data: bytes) -> None:
    one_input(data)


# With telephone-events


def hear(payloads: list[tuple[float, int, bytes]]) -> list[tuple[int, int]]:
    receiver = TelephoneEventReceiver()
    reports = []
    for now, timestamp, payload in payloads:
        blocks = redundancy.parse(payload, timestamp)
        assert blocks is not None
        for payload_type, at, block in blocks:
            assert payload_type == EVENTS
            reports += receiver.receive(1, at, False, block, now)
    return [(kind, code) for kind, code, *_ in reports]


def test_a_key_lost_whole_is_found_in_the_next_keys_packet() -> None:
    seven, eight = (EVENTS, 1600, event(7, 800, end=True)), (EVENTS, 0, event(8, 160))
    assert hear([(1.0, NOW, redundancy.build([seven, eight]))]) == [(START, 7), (END, 7), (START, 8)]


def test_a_key_that_every_packet_repeats_is_one_key() -> None:
    trains = []
    for n in range(12):
        keys = [(EVENTS, 1600, event(7, 800, end=True)), (EVENTS, 0, event(8, min(160 * (n + 1), 800), end=n >= 4))]
        trains.append((1.0 + n * 0.02, NOW, redundancy.build(keys)))
    assert [report for report in hear(trains) if report[0] == START] == [(START, 7), (START, 8)]


@pytest.mark.parametrize("survivor", range(5))
def test_of_five_keys_one_packet_with_redundancy_is_enough(survivor: int) -> None:
    # RFC 4733 §2.6.2: each packet of a key carries the four keys before it.
    codes = [9, 1, 1, 0, 5]
    packets = []
    for n in range(5):
        past = [(EVENTS, 1600 * (n - k), event(codes[k], 800, end=True)) for k in range(n)]
        packets.append((1.0 + n * 0.2, NOW + 1600 * n, redundancy.build([*past, (EVENTS, 0, event(codes[n], 160))])))
    heard = hear([packet for n, packet in enumerate(packets) if n in (survivor, 4)])
    assert [code for kind, code in heard if kind == START] == codes
