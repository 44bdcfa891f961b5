"""Dial: whatever happens in whatever order, one outcome, and nobody is forgotten on the line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import fuzz_dial


@settings(max_examples=60, deadline=None)
@given(kind=st.integers(0, 15), happens=st.lists(st.integers(0x10, 0x9F), max_size=20))
def test_a_dial_comes_to_one_end_in_any_order_of_things(kind: int, happens: list[int]) -> None:
    fuzz_dial.one_input(bytes([kind, *happens]))


@pytest.mark.parametrize("seed", fuzz_dial.SEEDS)
def test_the_fuzzers_seeds_hold(seed: bytes) -> None:
    fuzz_dial.one_input(seed)
