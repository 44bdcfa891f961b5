"""RELAY: whatever happens to a session, its events come in order and once acknowledged never again."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dialects.relay.frames import MAX_DEPTH, MAX_ID, Malformed, Request, parse, request_text
from tests.fuzz import fuzz_relay_frames

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    SCALARS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60)
@given(happens=st.lists(st.integers(1, 255), max_size=60), text=st.sampled_from(fuzz_relay_frames.SEEDS))
def test_whatever_happens_events_come_in_order_and_are_not_lost(happens: list[int], text: bytes) -> None:
    fuzz_relay_frames.one_input(b"\x01" + bytes(happens) + b"\0" + text.partition(b"\0")[2])


@settings(max_examples=60)
@given(text=st.text(max_size=80) | JSON.map(json.dumps))
def test_any_text_is_a_frame_or_refused(text: str) -> None:
    parse(text)
    fuzz_relay_frames.one_input(b"\x10\x01\x20\x40\x20\0" + text.encode("utf-8", "replace"))


@given(
    frame_id=st.text(st.characters(codec="utf-8"), max_size=MAX_ID) | st.integers(-(2**63), 2**63 - 1),
    method=st.text(st.characters(codec="utf-8"), min_size=1, max_size=MAX_ID),
    params=st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), JSON, max_size=4),
)
def test_a_request_comes_back_as_it_was(frame_id: str | int, method: str, params: dict[str, object]) -> None:
    assert parse(request_text(frame_id, method, params)) == Request(frame_id, method, params)


@given(depth=st.integers(3, 200))
def test_depth_is_counted_rightly(depth: int) -> None:
    value: object = 1
    for _ in range(depth - 2):
        value = [value]
    frame = parse(request_text(1, "m", {"a": value}))
    assert isinstance(frame, Request if depth <= MAX_DEPTH else Malformed)


def test_the_seeds_of_the_fuzz_target_hold() -> None:
    for seed in fuzz_relay_frames.SEEDS:
        fuzz_relay_frames.one_input(seed)
