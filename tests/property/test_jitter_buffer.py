"""The jitter buffer delivers each sample at most once and in order, under loss, duplication, reordering and delay."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.rtp._jitter import Jitter
from engine.rtp._source import Source
from tests.support.delay_traces import gamma, play, sent

AUDIO, MISSING, HELD, AGAIN = 1, 2, 4, 8
MAX_FRAMES = 4


def numbered(first: int, n: int) -> NDArray[np.int16]:
    """Samples that say their place, 1 to 32000."""
    return np.asarray((np.arange(first, first + n) % 32000) + 1, dtype=np.int16)


def take(buffer: Jitter) -> list[int]:
    """One tick: the valid samples of its frames."""
    samples: list[int] = []
    for _ in range(MAX_FRAMES):
        flags, raw, valid = buffer.get()
        frame = np.frombuffer(raw, dtype=np.int16)
        mask = np.frombuffer(valid, dtype=np.uint8)
        assert len(frame) == len(mask) <= 160
        assert not frame[mask == 0].any()
        assert bool(flags & AUDIO) == bool(mask.any())
        assert bool(flags & HELD) == (len(frame) == 0)
        assert bool(flags & MISSING) == bool(len(mask) and not mask.all())
        samples += frame[mask == 1].tolist()
        if not flags & AGAIN:
            return samples
    raise AssertionError("a fifth frame in one tick")


@given(
    ptime_ms=st.sampled_from([10, 20, 30, 40, 60]),
    first=st.integers(0, 0xFFFFFFFF),
    fates=st.lists(
        st.tuples(
            st.floats(0, 150),  # delay in ms
            st.integers(0, 12).map(lambda n: 0 if n == 0 else 2 if n == 12 else 1),  # copies
        ),
        min_size=1,
        max_size=60,
    ),
    marked=st.booleans(),
)
@settings(deadline=None, max_examples=120)
def test_each_sample_comes_at_most_once_and_in_order(
    ptime_ms: int, first: int, fates: list[tuple[float, int]], marked: bool
) -> None:
    step = ptime_ms * 8
    arrivals = sorted(
        (i * ptime_ms + delay + copy * 3, i) for i, (delay, copies) in enumerate(fates) for copy in range(copies)
    )
    buffer = Jitter()
    source = Source(1, arrivals[0][1]) if arrivals else Source(1, 0)
    heard: list[int] = []
    at = 0
    for tick in range((len(fates) * ptime_ms + 800) // 20):
        while at < len(arrivals) and arrivals[at][0] <= tick * 20:
            i = arrivals[at][1]
            buffer.put(
                (first + i * step) & 0xFFFFFFFF,
                numbered(i * step, step),
                marker=marked and i == 0,
                in_order=source.receive(i) == 0,
            )
            at += 1
        heard += take(buffer)
    assert heard == sorted(set(heard))
    assert len(heard) == buffer.counters["delivered_samples"]
    late, duplicate = buffer.counters["late"], buffer.counters["duplicate"]
    assert late + duplicate <= len(arrivals)
    if not late and not buffer.counters["resync"]:
        # Nothing that came in time is withheld.
        assert len(heard) == step * len({i for _, i in arrivals})


@given(
    pieces=st.lists(st.tuples(st.integers(0, 6000), st.integers(1, 500), st.integers(0, 3)), min_size=1, max_size=80),
    first=st.integers(0, 0xFFFFFFFF),
)
@example(pieces=[(0, 1, 3), (2462, 1, 0), (2182, 1, 2)], first=0)
@settings(deadline=None, max_examples=150)
def test_a_sample_is_where_its_timestamp_says_however_packets_overlap(
    pieces: list[tuple[int, int, int]], first: int
) -> None:
    buffer = Jitter()
    last = -1
    for at, n, ticks in pieces:
        # Not in order: nothing of it may be taken for another time base.
        buffer.put((first + at) & 0xFFFFFFFF, numbered(at, n), in_order=False)
        for _ in range(ticks):
            _, raw, valid = buffer.get()
            frame = np.frombuffer(raw, dtype=np.int16).astype(int)
            places = np.flatnonzero(np.frombuffer(valid, dtype=np.uint8))
            if len(places):
                numbers = frame[places]
                assert (numbers - places == numbers[0] - places[0]).all()
                assert numbers[0] > last
                last = int(numbers[-1])


@pytest.mark.parametrize("tail", [8, 80, 159])
@pytest.mark.parametrize("ahead", [1800, 5000, 80_000])
def test_the_tail_of_a_spurt_is_heard_though_the_next_one_comes_before_it_was_played(tail: int, ahead: int) -> None:
    buffer = Jitter()
    n = 320 + tail
    buffer.put(0, numbered(0, n), marker=True)
    heard = [sample for _ in range(5) for sample in take(buffer)]
    assert len(heard) == 320
    buffer.put(n + ahead, numbered(n, 320), marker=True)
    heard += [sample for _ in range(12) for sample in take(buffer)]
    assert heard == numbered(0, n + 320).tolist()
    assert buffer.counters["missing_samples"] == 0


def test_what_was_delivered_is_wiped_and_another_source_finds_nothing() -> None:
    samples = np.random.default_rng(1).integers(-30000, 30000, 1600).astype(np.int16)
    buffer = Jitter()
    buffer.put(0, samples)
    assert buffer.holds(samples[:4].tobytes())
    for _ in range(4):
        take(buffer)
    assert not buffer.holds(samples[:4].tobytes())
    assert buffer.holds(samples[-4:].tobytes())
    buffer.restart()
    assert not buffer.holds(samples[-4:].tobytes())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_share_of_late_packets_is_a_parameter(seed: int) -> None:
    trace = gamma(sent(seconds=60), shape=2.0, mean_ms=25.0, seed=seed)
    few = play(trace, Jitter(late_ppm=1000))
    many = play(trace, Jitter(late_ppm=50_000))
    assert few.late_part <= 0.003
    assert 0.005 <= many.late_part <= 0.06
    assert many.mean_delay_ms() <= few.mean_delay_ms() - 15


@given(
    jitter_ms=st.integers(0, 60),
    ptime_ms=st.sampled_from([10, 20, 30, 60]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=25)
def test_after_a_while_no_packet_is_late(jitter_ms: int, ptime_ms: int, seed: int) -> None:
    random = Random(seed)
    step = ptime_ms * 8
    n = 12_000 // ptime_ms
    arrivals = sorted((i * ptime_ms + random.random() * jitter_ms, i) for i in range(n))
    buffer = Jitter()
    at = 0
    late_after = 0
    for tick in range(12_000 // 20):
        while at < len(arrivals) and arrivals[at][0] <= tick * 20:
            i = arrivals[at][1]
            buffer.put(i * step, numbered(i * step, step))
            at += 1
        take(buffer)
        if tick == 200:
            late_after = buffer.counters["late"]
    # 8 s after it has learned for 4 s. The delay is tried shorter now and then: a packet in a hundred may pay for it.
    assert buffer.counters["late"] - late_after <= n // 100 + 1
    assert buffer.depth <= 1600 + step


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 0xFFFFFFFF), st.integers(0, 2100), st.booleans()),
            st.tuples(st.integers(0, 12000), st.integers(1, 320), st.booleans()),
            st.none(),
        ),
        max_size=120,
    )
)
@settings(deadline=None, max_examples=120)
def test_no_packets_make_it_deliver_what_did_not_come(steps: list[tuple[int, int, bool] | None]) -> None:
    buffer = Jitter()
    given_samples = 0
    heard = 0
    for step in steps:
        if step is None:
            heard += len(take(buffer))
            continue
        timestamp, n, marker = step
        if buffer.put(timestamp, np.full(n, 7, dtype=np.int16), marker=marker) == 0:
            given_samples += n
        assert 0 <= buffer.depth <= 8192
        assert 160 <= buffer.target <= 1600
    heard += sum(len(take(buffer)) for _ in range(200))
    assert heard <= given_samples
