"""Whoever comes, goes, pays or is played to: conversations are what they are to be, and nothing is left of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.fuzz_ncco_rooms import SEEDS, one_input

STEP = st.tuples(st.sampled_from((0, 0, 0, *range(12))), st.integers(0, 255))


@pytest.mark.parametrize("seed", SEEDS)
def test_what_has_been_seen(seed: bytes) -> None:
    one_input(seed)


@settings(max_examples=30, deadline=None)
@given(st.lists(STEP, max_size=30))
def test_any_happenings_in_any_order(steps: list[tuple[int, int]]) -> None:
    one_input(bytes(byte for step in steps for byte in step))
