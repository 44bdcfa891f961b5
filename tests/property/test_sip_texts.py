"""Any text into the parsers of URIs, header fields and digests: what their fuzz targets demand."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import fuzz_digest, fuzz_sip_headers, fuzz_sip_uri
from tests.fuzz.drive import mutated

TARGETS = [fuzz_sip_uri, fuzz_sip_headers, fuzz_digest]
each_target = pytest.mark.parametrize(
    ("one_input", "seeds"),
    [(module.one_input, module.SEEDS) for module in TARGETS],
    ids=[module.__name__.rpartition(".")[2] for module in TARGETS],
)
Target = Callable[[bytes], None]


@each_target
@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_text_is_a_value_or_a_parse_error(one_input: Target, seeds: tuple[bytes, ...], data: bytes) -> None:
    one_input(data)


@each_target
@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_so_is_any_text_that_was_damaged(one_input: Target, seeds: tuple[bytes, ...], seed: int) -> None:
    one_input(mutated(Random(seed), seeds))


@each_target
def test_the_seeds_are_taken(one_input: Target, seeds: tuple[bytes, ...]) -> None:
    for data in seeds:
        one_input(data)
