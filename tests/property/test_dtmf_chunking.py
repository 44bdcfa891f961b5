"""How audio is cut into pieces is the network's business: it must change nothing that a detector or generator says."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.channel import add_noise
from dsp.dtmf import DtmfDetection, DtmfDetector, ToneSource
from dsp.levels import peak_of_dbm0
from tests.support.tones import Samples, keys, silence


def _audio() -> Samples:
    rng = np.random.default_rng(3)
    clean = np.concatenate([keys("1A*0#55D", 50, 45, rng), keys("90", 23, 30, rng), silence(40)])
    return add_noise(clean, 12, rng, signal_power=peak_of_dbm0(-9) ** 2)


AUDIO = _audio()
WHOLE = DtmfDetector().process(AUDIO)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, len(AUDIO)), max_size=60))
def test_any_cut_gives_the_same_events(cuts: list[int]) -> None:
    assert len(WHOLE) == 16
    detector = DtmfDetector()
    found: list[DtmfDetection] = []
    for part in np.split(AUDIO, sorted(cuts)):
        found += detector.process(part)
    assert found == WHOLE


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 400), st.integers(0, 200))
def test_any_piece_size_gives_the_same_events(size: int, lead: int) -> None:
    padded = np.concatenate([np.zeros(lead * 40, dtype=np.int16), AUDIO[:6000]])
    detector = DtmfDetector()
    found: list[DtmfDetection] = []
    for at in range(0, len(padded), size):
        found += detector.process(padded[at : at + size])
    assert found == DtmfDetector().process(padded)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from("0123456789*#ABCD"),
    st.integers(0, 1200),
    st.floats(0, 20),
    st.lists(st.integers(0, 1500), max_size=20),
)
def test_a_tone_is_the_same_however_its_buffers_are_cut(digit: str, n: int, ramp_ms: float, cuts: list[int]) -> None:
    whole = np.zeros(1500, dtype=np.int16)
    assert ToneSource(digit, on_ms=n / 8, ramp_ms=ramp_ms).fill(whole) == n
    pieces = np.split(np.zeros(1500, dtype=np.int16), sorted(cuts))
    source = ToneSource(digit, on_ms=n / 8, ramp_ms=ramp_ms)
    assert sum(source.fill(piece) for piece in pieces) == n
    assert np.array_equal(np.concatenate(pieces), whole)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2000)), max_size=30), st.integers(0, 2**32 - 1))
def test_starts_and_ends_alternate_whatever_comes(plan: list[tuple[bool, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    detector = DtmfDetector()
    found: list[DtmfDetection] = []
    at = 0
    for lost, n in plan:
        if lost:
            found += detector.lost(n)
        else:
            kind = rng.integers(0, 3)
            part = AUDIO[at : at + n] if kind < 2 else rng.integers(-32768, 32768, n).astype(np.int16)
            found += detector.process(part)
            at = (at + n) % len(AUDIO)
    found += detector.flush()
    assert [d.end is None for d in found] == [True, False] * (len(found) // 2)
    for start, end in zip(found[::2], found[1::2], strict=True):
        assert start.digit == end.digit
        assert end.end is not None
        assert 0 <= start.start < end.end
