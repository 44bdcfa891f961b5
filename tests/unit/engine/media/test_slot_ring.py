"""The ring between Python and a clock thread."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.media._ring import SlotRing


@given(st.lists(st.binary(min_size=4, max_size=4) | st.none(), max_size=200))
def test_slots_come_out_as_they_went_in(steps: list[bytes | None]) -> None:
    ring = SlotRing(8, 4)
    waiting: list[bytes] = []
    refused = 0
    for slot in steps:
        if slot is None:
            assert ring.pop() == (waiting.pop(0) if waiting else None)
        elif ring.push(slot):
            waiting.append(slot)
        else:
            assert len(waiting) == 8
            refused += 1
    assert ring.overflow == refused


def test_a_slot_is_wiped_when_it_is_read() -> None:
    ring = SlotRing(2, 4)
    ring.push(b"\x07\x07\x07\x07")
    assert b"\x07" in ring.memory()
    assert ring.pop() == b"\x07\x07\x07\x07"
    assert ring.memory() == bytes(8)


@pytest.mark.parametrize(("slots", "size"), [(0, 4), (3, 4), (4, 0)])
def test_a_ring_that_cannot_be_is_refused(slots: int, size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        SlotRing(slots, size)


def test_a_slot_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="another size"):
        SlotRing(2, 4).push(b"abc")
