"""Whatever comes to the Voice API is judged without a fault of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.fuzz_vonage_requests import GOOD, NCCO, SEEDS, one_input

NAMES = (
    *("to", "from", "random_from_number", "ncco", "answer_url", "answer_method", "event_url", "event_method"),
    *("ringing_timer", "length_timer", "machine_detection", "action", "destination", "text", "language", "style"),
    *("loop", "level", "stream_url", "digits", "paths"),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "number", "uri", "ncco", "url", "action", "text", "x"]), inner)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("data", SEEDS)
def test_the_seeds(data: bytes) -> None:
    one_input(data)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_octets(data: bytes) -> None:
    one_input(data)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6))
def test_any_object(body: dict[str, Any]) -> None:
    one_input(json.dumps(body).encode())
    one_input(json.dumps(GOOD | {"ncco": NCCO} | body).encode())
