"""A bank says, bit for bit, what single detectors say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.channel import add_noise, through_ulaw
from dsp.dtmf import DIGITS, DtmfBank, DtmfDetection, DtmfDetector, generate
from dsp.levels import peak_of_dbm0
from tests.support.tones import Samples


def channels(n: int) -> Samples:
    """Return n rows of two seconds: keys of every kind, some in noise, some at another level."""
    rng = np.random.default_rng(17)
    rows = []
    for i in range(n):
        keys = "".join(rng.choice(list(DIGITS), 12))
        row = generate(keys, on_ms=40 + 5 * (i % 8), off_ms=45, level_dbm0=-5.0 - i % 20, high_minus_low_db=i % 7 - 4.0)
        row = np.concatenate([np.zeros(37 * i % 400, dtype=np.int16), row, np.zeros(16000, dtype=np.int16)])[:16000]
        rows.append(
            add_noise(row, 6 + i % 20, rng, signal_power=peak_of_dbm0(-12) ** 2) if i % 3 else through_ulaw(row)
        )
    return np.stack(rows)


FRAMES = channels(33)
SINGLE: list[list[DtmfDetection]] = [DtmfDetector().process(row) for row in FRAMES]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 700))
def test_the_same_events_for_any_length_of_frame(size: int) -> None:
    bank = DtmfBank(len(FRAMES))
    found: list[list[DtmfDetection]] = [[] for _ in FRAMES]
    for at in range(0, FRAMES.shape[1], size):
        for channel, event in bank.process(FRAMES[:, at : at + size]):
            found[channel].append(event)
    assert found == SINGLE
    assert sum(map(len, found)) > 300


def test_channels_are_lost_and_reset_by_themselves() -> None:
    bank = DtmfBank(2)
    samples = np.tile(generate("5", on_ms=100, off_ms=0), (2, 1))
    assert [channel for channel, _ in bank.process(samples)] == [0, 1]
    bank.lost(0, 4000)
    bank.reset(1)
    ended = bank.process(np.zeros((2, 1600), dtype=np.int16))
    assert [(channel, event.end is not None) for channel, event in ended] == [(0, True)]


def test_wrong_shapes_are_refused() -> None:
    bank = DtmfBank(3)
    with pytest.raises(ValueError, match="3 rows, not 2"):
        bank.process(np.zeros((2, 160), dtype=np.int16))
    with pytest.raises(TypeError, match="two-dimensional int16"):
        bank.process(np.zeros(160, dtype=np.int16))
    with pytest.raises(TypeError, match="float64"):
        bank.process(np.zeros((3, 160)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        DtmfBank(0)
    with pytest.raises(IndexError, match="between 0 and 2"):
        bank.lost(3, 1)
    assert bank.process(np.zeros((3, 0), dtype=np.int16)) == []
