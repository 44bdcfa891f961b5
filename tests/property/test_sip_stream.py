"""Whatever comes in a stream: nothing raises, no cut changes it."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.drive import mutated
from tests.fuzz.fuzz_sip_stream import one_input
from tests.support.shared import VECTORS

TORTURE = [file.read_bytes() for file in sorted((VECTORS / "sip" / "rfc4475").glob("*.dat"))]


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=400))
def test_random_octets_do_no_harm(data: bytes) -> None:
    one_input(data)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(1, 255), count=st.integers(1, 4))
def test_damaged_messages_in_a_row_do_no_harm(seed: int, size: int, count: int) -> None:
    random = Random(seed)
    one_input(bytes([size]) + b"".join(mutated(random, TORTURE) for _ in range(count)))


def test_the_torture_messages_do_no_harm_in_a_stream() -> None:
    assert TORTURE
    for data in TORTURE:
        one_input(b"\x07" + data)
        one_input(b"\xff" + data + data)
