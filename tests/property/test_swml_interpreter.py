"""SWML on a call: whatever the document and whatever happens, it comes to one end."""

from __future__ import annotations

import json

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz import fuzz_swml_interpreter as fuzz

HAPPENS = st.lists(st.integers(1, 0x9F), max_size=40).map(bytes)
PAGES = st.lists(
    st.binary(min_size=1, max_size=60).map(lambda page: b"\x85" + page.replace(b"\0", b"\x19")), max_size=3
)


@settings(max_examples=150)
@given(kind=st.integers(0, 15), happens=HAPPENS, pages=PAGES)
@example(kind=4, happens=b"\x10\x20", pages=[b"\x85\x01\x00"])
def test_whatever_happens_a_document_comes_to_one_end(kind: int, happens: bytes, pages: list[bytes]) -> None:
    fuzz.one_input(b"\0".join([bytes([kind]) + happens, *pages]))


@settings(max_examples=40)
@given(happens=HAPPENS, pages=PAGES)
def test_a_document_means_the_same_in_json_and_in_yaml(happens: bytes, pages: list[bytes]) -> None:
    fuzz.one_input(b"\0".join([b"\x1c" + happens, *pages]))


@settings(max_examples=40)
@given(text=st.text(max_size=60))
def test_any_text_is_a_document_or_refused(text: str) -> None:
    fuzz.one_input(b"\x04\0" + text.encode("utf-8", "replace"))
    steps = json.dumps({"sections": {"main": [{"set": {"x": text}}, {"cond": [{"when": text or "x", "then": []}]}]}})
    fuzz.one_input(b"\x0c\x20\0" + steps.encode())


def test_the_seeds_of_the_fuzz_target_hold() -> None:
    for seed in fuzz.SEEDS:
        fuzz.one_input(seed)
        fuzz.one_input(bytes([seed[0] | 16]) + seed[1:])


@given(data=st.binary(max_size=80))
def test_the_documents_of_the_fuzz_target_are_plain_data(data: bytes) -> None:
    document = fuzz.document_of(data)
    assert yaml.safe_load(yaml.safe_dump(document)) == json.loads(json.dumps(document)) == document
