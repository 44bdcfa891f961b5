"""Whatever a caller, an application, its verbs and the REST interface do: a call ends once, and no outcome is lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.fuzz_document_run import SEEDS, one_input

HEADS = st.binary(max_size=30).map(lambda data: data.replace(b"\0", b"\x08"))  # settle, both of them
PAGES = st.lists(st.binary(max_size=4).map(lambda data: data.replace(b"\0", b"\x0d")), max_size=6)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_has_been_seen(seed: bytes) -> None:
    one_input(seed)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from((b"\x01", b"\x02")), HEADS, PAGES)
def test_any_happenings_in_any_order_end_the_call_once_and_tell_every_outcome(
    way: bytes, happenings: bytes, pages: list[bytes]
) -> None:
    one_input(b"\0".join((way + happenings, *pages)))
