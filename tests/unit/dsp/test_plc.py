"""Whatever comes and does not come, the concealer gives a frame for a frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.plc import STEP_SAMPLES, PacketLossConcealer


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=60), st.integers(0, 2**32 - 1))
def test_any_pattern_gives_frames_of_the_same_length_within_what_was_heard(
    plan: list[tuple[bool, int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    concealer = PacketLossConcealer()
    loudest = 0
    for came, steps in plan:
        n = steps * STEP_SAMPLES
        frame = rng.choice(np.array([-32768, 32767], dtype=np.int16), n)
        if came and n:
            loudest = 32768
        out = concealer.good(frame) if came else concealer.lost(n)
        assert len(out) == n
        assert int(np.abs(out.astype(int)).max(initial=0)) <= loudest
        assert 40 <= concealer.pitch_samples <= 120


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), max_size=40))
def test_frames_of_20_ms_are_two_of_10(pattern: list[bool]) -> None:
    samples = np.random.default_rng(1).normal(0, 3000, 160 * 40).astype(np.int16)
    long, short = PacketLossConcealer(), PacketLossConcealer()
    for index, came in enumerate(pattern):
        frame = samples[160 * index : 160 * index + 160]
        one = long.good(frame) if came else long.lost(160)
        halves = [short.good(half) if came else short.lost(80) for half in (frame[:80], frame[80:])]
        assert np.array_equal(one, np.concatenate(halves))


def test_a_lost_frame_is_as_long_as_the_last_that_came() -> None:
    concealer = PacketLossConcealer()
    assert len(concealer.lost()) == 160
    concealer.good(np.zeros(480, dtype=np.int16))
    assert len(concealer.lost()) == 480


def test_silence_is_filled_with_silence_and_reset_forgets() -> None:
    concealer = PacketLossConcealer()
    assert not concealer.lost(480).any()
    concealer.good(np.full(480, 9000, dtype=np.int16))
    concealer.reset()
    assert not concealer.lost(480).any()


def test_wrong_frames_are_refused() -> None:
    concealer = PacketLossConcealer()
    with pytest.raises(ValueError, match="multiple of 80"):
        concealer.good(np.zeros(81, dtype=np.int16))
    with pytest.raises(ValueError, match="multiple of 80"):
        concealer.lost(-80)
    with pytest.raises(TypeError):
        concealer.good(np.zeros(80))  # type: ignore[arg-type]
