"""A streamed string of digits is the string made at once, however it is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.dtmf import DIGITS, generate
from dsp.generator import DigitSource
from tests.support.tones import detect, digits

SHAPES = st.fixed_dictionaries(
    {
        "level_dbm0": st.floats(-40, 0),
        "high_minus_low_db": st.floats(-12, 12),
        "on_ms": st.floats(0, 90),
        "off_ms": st.floats(0, 60),
        "frequency_offset": st.tuples(st.floats(-0.05, 0.05), st.floats(-0.05, 0.05)),
        "phase": st.tuples(st.floats(-7, 7), st.floats(-7, 7)),
        "ramp_ms": st.floats(0, 20),
    }
)


@settings(max_examples=150, deadline=None)
@given(st.text(DIGITS, max_size=8), SHAPES, st.lists(st.integers(0, 10000), max_size=20))
def test_any_cut_gives_what_is_made_at_once(text: str, shape: dict[str, float], cuts: list[int]) -> None:
    whole = generate(text, **shape)  # type: ignore[arg-type]
    source = DigitSource(text, **shape)  # type: ignore[arg-type]
    one = source.read(len(whole) + 10)
    assert source.done
    assert len(one) == len(whole)
    assert int(np.abs(one.astype(int) - whole).max(initial=0)) <= 1
    source = DigitSource(text, **shape)  # type: ignore[arg-type]
    pieces = np.split(np.zeros(len(whole) + 10, dtype=np.int16), sorted(min(cut, len(whole) + 10) for cut in cuts))
    assert sum(source.fill(piece) for piece in pieces) == len(whole)
    assert np.array_equal(np.concatenate(pieces)[: len(whole)], one)


@pytest.mark.parametrize("text", [DIGITS, "55", "1", ""])
def test_what_is_keyed_is_heard(text: str) -> None:
    source = DigitSource(text, on_ms=50, off_ms=50, lead_in_ms=200)
    audio = source.read(100_000)
    assert len(audio) == 1600 + 800 * len(text)
    assert not audio[:1600].any()
    assert digits(detect(audio)) == text


def test_a_key_neither_starts_nor_ends_with_a_click() -> None:
    audio = DigitSource("D", on_ms=50, off_ms=10, ramp_ms=2, phase=(1.0, 2.0)).read(1000).astype(int)
    steady = int(np.abs(np.diff(audio[100:300])).max())
    assert int(np.abs(np.diff(np.concatenate([[0], audio]))).max()) <= steady


def test_it_is_mixed_into_what_is_there_and_saturates() -> None:
    out = np.full(400, 30000, dtype=np.int16)
    assert DigitSource("1", level_dbm0=0, on_ms=25, off_ms=5).fill(out) == 240
    assert out[:200].max() == 32767
    assert (out[200:] == 30000).all()


def test_an_empty_source_is_done_and_gives_nothing() -> None:
    source = DigitSource("")
    assert source.done
    assert len(source.read(100)) == 0


@pytest.mark.parametrize(
    "bad",
    [
        {"on_ms": -1.0},
        {"off_ms": -1.0},
        {"lead_in_ms": -1.0},
        {"ramp_ms": -1.0},
        {"level_dbm0": math.nan},
        {"phase": (0.0, math.inf)},
        {"frequency_offset": math.nan},
    ],
)
def test_impossible_shapes_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"negative|finite"):
        DigitSource("1", **bad)  # type: ignore[arg-type]


def test_an_unknown_digit_is_refused_without_being_named() -> None:
    with pytest.raises(ValueError, match="a digit is one of") as caught:
        DigitSource("4Z")
    assert "Z" not in str(caught.value)


def test_wrong_buffers_are_refused() -> None:
    with pytest.raises(TypeError):
        DigitSource("1").fill(np.zeros(10))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        DigitSource("1").read(-1)
