"""SWML as text: JSON and YAML of the same data read alike, and any octets are a document or refused by a name."""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.dialects.spoken import Pause, Ring, Say
from engine.dialects.swml.checking import document_of
from engine.dialects.swml.errors import SwmlError
from engine.dialects.swml.media import items_of
from engine.dialects.swml.reading import MAX_DEPTH, read
from tests.fuzz import fuzz_swml

MAX_BYTES = 1 << 20
TEXTS = st.one_of(
    st.text(
        st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff\u2028\u2029\ufffe\uffff"), max_size=12
    ),
    st.sampled_from(
        ["true", "no", "~", "02134", "+1555", "1e3", "1:30", "2026-01-01", "a: b", "- a", "#", "${a.b}", "*"]
    ),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**18), 10**18),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", re.ASCII)


class Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes YAML as tools do, with each text that a reader of YAML 1.1 or 1.2 could take for more in quotes."""


Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


@settings(deadline=None, max_examples=30)
@given(data=DATA, flow=st.sampled_from([True, False, None]), indent=st.sampled_from([None, 1, 4]))
def test_data_are_the_same_in_json_and_in_yaml(data: Any, flow: bool | None, indent: int | None) -> None:
    if data is None or isinstance(data, str):
        data = [data]
    in_json = json.dumps(data, indent=indent, ensure_ascii=bool(indent))
    in_yaml = yaml.dump(data, Dumper=Dumper, default_flow_style=flow, indent=indent, allow_unicode=bool(indent))
    found = read(in_json, content_type="application/json", max_bytes=MAX_BYTES)
    assert _typed(found) == _typed(data)
    assert _typed(read(in_yaml.encode(), content_type="application/yaml", max_bytes=MAX_BYTES)) == _typed(data)
    assert _typed(read(in_json, content_type="text/x-yaml", max_bytes=MAX_BYTES)) == _typed(data)


def _typed(value: Any) -> Any:
    """Return data in which 1, 1.0 and true differ."""
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return (type(value), value)


@settings(max_examples=60)
@given(word=st.text("0123456789+-.eExoab_", min_size=1, max_size=8).filter(lambda word: word.strip("-.")))
@example("02134")
@example("+1")
@example("-0")
@example("1e5")
def test_a_plain_word_is_a_number_just_when_json_takes_it_for_one(word: str) -> None:
    number: object = word
    if NUMBER.fullmatch(word):
        number = json.loads(word)
    if number in (math.inf, -math.inf):
        with pytest.raises(SwmlError, match="too large"):
            read(f"a: {word}", max_bytes=100)
    else:
        assert _typed(read(f"a: {word}", max_bytes=100)) == _typed({"a": number})


@settings(max_examples=30)
@given(data=st.binary(max_size=60) | TEXTS.map(str.encode), how=st.integers(0, 255))
def test_any_octets_are_data_or_refused(data: bytes, how: int) -> None:
    fuzz_swml.one_input(bytes([how]) + data)
    fuzz_swml.one_input(bytes([how]) + b"sections:\n  main:\n  - play:\n      url: " + data)
    fuzz_swml.one_input(bytes([how]) + b'{"sections":{"main":[{"pay":' + data + b"}]}}")


@pytest.mark.parametrize("seed", fuzz_swml.SEEDS)
def test_the_seeds_of_the_fuzz_target_hold(seed: bytes) -> None:
    for how in (0, 100, 200):
        fuzz_swml.one_input(bytes([seed[0] & 3 | how & ~3]) + seed[1:])


@settings(max_examples=30)
@given(data=DATA)
def test_any_data_are_a_document_or_refused(data: Any) -> None:
    for whole in (data, {"sections": data}, {"sections": {"main": data}}, {"sections": {"main": [{"pay": data}]}}):
        with suppress(SwmlError):
            document_of(whole)


@settings(max_examples=40)
@given(depth=st.integers(1, 3 * MAX_DEPTH), mapping=st.booleans())
def test_depth_is_counted_alike(depth: int, mapping: bool) -> None:
    text = '{"a":' * depth + "1" + "}" * depth if mapping else "[" * depth + "1" + "]" * depth
    taken = []
    for kind in ("application/json", "application/yaml"):
        try:
            read(text, content_type=kind, max_bytes=MAX_BYTES)
            taken.append(True)
        except SwmlError:
            taken.append(False)
    assert taken == [depth <= MAX_DEPTH] * 2


@given(text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(str.strip))
def test_a_text_is_said_as_it_is(text: str) -> None:
    assert items_of([f"say:{text}"]) == (Say(text=text.strip()),)


@given(tenths=st.integers(0, 36000))
def test_a_length_is_as_long_as_it_says(tenths: int) -> None:
    length = tenths / 10
    assert items_of([f"silence:{length}", f"ring:{length}:us"]) == (
        Pause(length_s=length),
        Ring(country="us", length_s=length),
    )
