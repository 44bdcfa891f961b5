"""Whatever a caller, an NCCO application and whoever is called do: the call ends once, and nothing is left of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.fuzz_ncco_program import SEEDS, one_input

HEADS = st.binary(max_size=30).map(lambda data: data.replace(b"\0", b"\x0c"))  # settle, both of them
PAGES = st.lists(st.binary(max_size=5).map(lambda data: data.replace(b"\0", b"\x0f")), max_size=5)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_has_been_seen(seed: bytes) -> None:
    one_input(seed)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from((b"\x01", b"\x02")), HEADS, PAGES)
def test_any_happenings_in_any_order_end_the_call_once(way: bytes, happenings: bytes, pages: list[bytes]) -> None:
    one_input(b"\0".join((way + happenings, *pages)))
