"""The clock: phases in time, stalls caught up without bursts, and given up when they are too long."""

from __future__ import annotations

import itertools

import pytest

from engine.media._schedule import ClockSchedule

MS = 1_000_000
START = 5_000 * MS


def run(schedule: ClockSchedule, n: int, *, not_before: int = 0) -> list[tuple[int, int]]:
    """Begin n phases, each as early as it may; return (ms since the start, phase)."""
    begun = []
    for _ in range(n):
        now = max(schedule.next(), not_before)
        begun.append(((now - START) // 1000, schedule.begin(now)))
    return begun


def test_a_phase_begins_every_five_milliseconds() -> None:
    schedule = ClockSchedule(START)
    assert run(schedule, 6) == [(0, 0), (5000, 1), (10000, 2), (15000, 3), (20000, 0), (25000, 1)]
    assert schedule.counters == (6, 0, 0, 0)


@pytest.mark.parametrize("delay_ms", [1, 3, 5])
def test_a_thread_that_always_wakes_late_keeps_the_pace(delay_ms: int) -> None:
    schedule = ClockSchedule(START)
    for i in range(1000):
        assert schedule.next() == START + i * 5 * MS
        schedule.begin(schedule.next() + delay_ms * MS)
    assert schedule.counters == (1000, 0, 0, delay_ms * MS)


@pytest.mark.parametrize("delay_ms", [0, 1, 3])
def test_a_thread_that_always_wakes_late_catches_up_all_the_same(delay_ms: int) -> None:
    schedule = ClockSchedule(START)
    schedule.begin(START + 100 * MS)
    for _ in range(60):
        schedule.begin(schedule.next() + delay_ms * MS)
    assert schedule.next() == START + 61 * 5 * MS


def test_a_stall_is_counted_and_caught_up_at_twice_the_pace() -> None:
    schedule = ClockSchedule(START)
    run(schedule, 4)
    begun = run(schedule, 40, not_before=START + 100 * MS)
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(begun)]
    assert min(gaps) == 2500
    # No cycle is lost, and the phases stay in turn.
    assert [phase for _, phase in begun] == [i % 4 for i in range(40)]
    assert gaps[-1] == 5000
    ticks, late, skipped, longest = schedule.counters
    assert (ticks, skipped, longest) == (44, 0, 80 * MS)
    assert 1 <= late <= 32


def test_a_stall_too_long_to_catch_up_is_given_up_by_whole_cycles() -> None:
    schedule = ClockSchedule(START)
    run(schedule, 4)
    begun = run(schedule, 8, not_before=START + 1020 * MS)
    assert begun[0] == (1020_000, 0)
    assert begun[1] == (1025_000, 1)
    assert schedule.counters == (12, 1, 50, 1000 * MS)
