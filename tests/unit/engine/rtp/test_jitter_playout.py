"""The jitter buffer: when it plays, holds, catches up, and what it makes of strange timestamps."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.rtp._jitter import Jitter

AUDIO, MISSING, HELD, AGAIN = 1, 2, 4, 8
OK, LATE, DUPLICATE, JUMP, OVERFLOW = range(5)


def frame(value: int, n: int = 160) -> NDArray[np.int16]:
    return np.full(n, value, dtype=np.int16)


def tick(buffer: Jitter) -> list[int | None]:
    """One tick: for each frame the value it holds, None for a frame that is missing; [] for a hold."""
    values: list[int | None] = []
    for _ in range(4):
        flags, raw, valid = buffer.get()
        if flags & HELD:
            break
        samples = np.frombuffer(raw, dtype=np.int16)[np.frombuffer(valid, dtype=np.uint8) == 1]
        values.append(int(samples[0]) if len(samples) else None)
        if not flags & AGAIN:
            break
    return values


def steady(buffer: Jitter, first: int, n: int, *, timestamp: int = 0) -> list[int | None]:
    """n packets of 20 ms, each followed by a tick; the frames are numbered."""
    heard: list[int | None] = []
    for i in range(first, first + n):
        buffer.put((timestamp + 160 * i) & 0xFFFFFFFF, frame(i + 1))
        heard += tick(buffer)
    return heard


def test_playout_begins_forty_milliseconds_after_the_first_packet() -> None:
    assert steady(Jitter(), 0, 5) == [1, 2, 3]


def test_a_lost_packet_is_a_missing_frame_in_its_place() -> None:
    buffer = Jitter()
    heard: list[int | None] = []
    for i in range(10):
        if i != 5:
            buffer.put(160 * i, frame(i + 1))
        heard += tick(buffer)
    assert heard == [1, 2, 3, 4, 5, None, 7, 8]
    assert buffer.counters["missing_samples"] == 160


def test_reordered_packets_are_played_in_order() -> None:
    buffer = Jitter()
    heard: list[int | None] = []
    for i in (1, 0, 3, 2, 5, 4, 7, 6):
        assert buffer.put(160 * i, frame(i + 1)) == OK
        heard += tick(buffer)
    assert heard == [1, 2, 3, 4, 5, 6]


def test_a_packet_after_its_playout_is_late_and_lengthens_the_delay() -> None:
    buffer = Jitter()
    steady(buffer, 0, 10)
    before = buffer.target
    assert buffer.put(160 * 4 + 40, frame(99, 80)) == DUPLICATE
    heard: list[int | None] = []
    for i in range(10, 20):
        if i != 12:
            buffer.put(160 * i, frame(i + 1))
        heard += tick(buffer)
    assert None in heard
    assert buffer.put(160 * 12, frame(13)) == LATE
    assert buffer.target > before
    assert buffer.counters["late"] == 1


def test_a_duplicate_is_counted_before_and_after_its_playout() -> None:
    buffer = Jitter()
    buffer.put(0, frame(1))
    assert buffer.put(0, frame(1)) == DUPLICATE
    steady(buffer, 1, 10)
    assert buffer.put(0, frame(1)) == DUPLICATE
    assert buffer.counters["duplicate"] == 2
    assert buffer.counters["late"] == 0


def test_silence_holds_media_time_and_is_no_loss() -> None:
    buffer = Jitter()
    steady(buffer, 0, 10)
    for _ in range(500):
        tick(buffer)
    heard = []
    for i in range(510, 520):
        buffer.put(160 * i, frame(i), marker=i == 510)
        heard += tick(buffer)
    # What separates the spurts is one delay of nothing; then the spurt from its first sample.
    assert [value for value in heard if value is not None][:3] == [510, 511, 512]
    assert heard.count(None) <= 3
    assert buffer.counters["missing_samples"] <= 480


def test_a_timestamp_that_stood_still_during_silence_goes_on_as_it_was() -> None:
    buffer = Jitter()
    steady(buffer, 0, 10)
    before = buffer.target
    for _ in range(200):
        tick(buffer)
    heard = steady(buffer, 10, 6)
    assert heard[:3] == [11, 12, 13]
    assert buffer.target <= before


def test_the_tail_of_a_talk_spurt_is_played_though_it_is_no_whole_frame() -> None:
    buffer = Jitter()
    buffer.put(0, frame(1, 240))
    heard: list[int] = []
    for _ in range(12):
        _, raw, valid = buffer.get()
        heard += np.frombuffer(raw, dtype=np.int16)[np.frombuffer(valid, dtype=np.uint8) == 1].tolist()
    assert len(heard) == 240


def test_a_damaged_timestamp_moves_nothing() -> None:
    buffer = Jitter()
    steady(buffer, 0, 10)
    assert buffer.put(0x40000000, frame(99)) == JUMP
    assert steady(buffer, 10, 5) == [9, 10, 11, 12, 13]
    assert buffer.counters["resync"] == 0


@pytest.mark.parametrize("base", [0x40000000, 0xC0000000, 20000])
def test_another_time_base_goes_on_where_the_old_one_ends(base: int) -> None:
    buffer = Jitter()
    steady(buffer, 0, 10)
    assert buffer.put(base, frame(100)) == JUMP
    heard = [*tick(buffer)]
    for i in range(1, 6):
        assert buffer.put(base + 160 * i, frame(100 + i)) == OK
        heard += tick(buffer)
    assert [value for value in heard if value is not None][:5] == [9, 10, 101, 102, 103]
    assert buffer.counters["resync"] == 1


def test_a_marker_vouches_for_a_jump() -> None:
    buffer = Jitter()
    steady(buffer, 0, 10)
    assert buffer.put(0x40000000, frame(100), marker=True) == OK


def test_timestamps_set_back_a_little_are_followed_after_a_few_packets() -> None:
    buffer = Jitter()
    steady(buffer, 0, 40)
    verdicts = []
    for i in range(20):
        verdicts.append(buffer.put(160 * (i + 15) + 7, frame(200 + i)))
        tick(buffer)
    assert verdicts[-1] == OK
    assert buffer.counters["resync"] == 1


@pytest.mark.parametrize("behind", [20, 39])
def test_packets_that_come_round_again_are_not_heard_twice(behind: int) -> None:
    # A second path, or a replay: their sequence numbers are old, and no number of them is another time base.
    buffer = Jitter()
    heard = steady(buffer, 0, 40)
    for i in range(20):
        assert buffer.put(160 * (40 - behind + i), frame(40 - behind + i + 1), in_order=False) in (DUPLICATE, LATE)
        heard += tick(buffer)
    assert heard == list(range(1, 41))
    assert buffer.counters["resync"] == 0


def test_old_packets_from_long_ago_are_late_and_move_nothing() -> None:
    buffer = Jitter()
    steady(buffer, 0, 200)
    for i in range(10):
        assert buffer.put(160 * i, frame(i + 1), in_order=False) == LATE
        assert 1 <= len(steady(buffer, 200 + i, 1)) <= 2
    assert buffer.counters["resync"] == 0


def test_another_source_is_played_from_its_first_packet() -> None:
    buffer = Jitter()
    steady(buffer, 0, 10)
    buffer.restart()
    assert steady(buffer, 0, 5, timestamp=0xDEADBEEF) == [1, 2, 3]


def test_a_delay_that_is_never_needed_is_given_up() -> None:
    buffer = Jitter()
    steady(buffer, 0, 3000)
    assert buffer.target == 160
    assert buffer.depth <= 320


def test_a_burst_is_caught_up_without_losing_any_of_it() -> None:
    buffer = Jitter()
    steady(buffer, 0, 10)
    heard: list[int | None] = []
    for i in range(10, 40):
        assert buffer.put(160 * i, frame(i + 1)) == OK
    for _ in range(30):
        heard += tick(buffer)
    assert heard == list(range(9, 41))


def test_more_than_the_ring_holds_is_refused() -> None:
    buffer = Jitter()
    verdicts = [buffer.put(160 * i, frame(1)) for i in range(80)]
    assert verdicts[:51] == [OK] * 51
    assert verdicts[-1] == OVERFLOW


@pytest.mark.parametrize("n", [0, 1921, 8000])
def test_a_packet_of_an_impossible_length_is_refused(n: int) -> None:
    assert Jitter().put(0, frame(1, n)) == OVERFLOW


@pytest.mark.parametrize("skew_ppm", [-200, 200])
def test_a_skewed_clock_loses_nothing_in_five_minutes(skew_ppm: int) -> None:
    buffer = Jitter()
    sent = 0
    heard = 0
    for now in range(15000):
        while sent * (1 - skew_ppm / 1e6) <= now:
            buffer.put((160 * sent) & 0xFFFFFFFF, frame(1))
            sent += 1
        heard += len([value for value in tick(buffer) if value is not None])
    assert buffer.counters["missing_samples"] == 0
    assert buffer.counters["late"] == 0
    assert sent - heard <= 12
    assert buffer.depth <= 2560
