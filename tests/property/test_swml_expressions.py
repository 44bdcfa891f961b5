"""Expressions and variables of SWML: any text is a value or a refusal; data keeps its shape on its way through them."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dialects.swml.errors import SwmlError
from engine.dialects.swml.expressions import UNDEFINED, Value, evaluate, to_text
from engine.dialects.swml.variables import Scopes
from tests.fuzz import fuzz_swml_expression

WORDS = st.sampled_from(
    r"""s n f b z l o long many unset + - * / % == === != !== < <= > >= && || ?? ! ? : ( ) [ ] { } . , ' " ` ${ %{ } ?.
    typeof .length .trim() .slice(1) .split('') .repeat(9) .join() .toFixed(2) .total [0] ['c'] parseInt( Math.max(
    1 2.5 'x' null true undefined NaN = __proto__ \ \u{41}""".split()  # noqa: SIM905
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
DATA = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
NAMES = st.from_regex(r"[a-z]{1,4}", fullmatch=True).filter(lambda name: name not in ("vars", "envs", "call"))


def nothing(name: str) -> Value:
    return UNDEFINED


@settings(max_examples=60)
@given(words=st.lists(WORDS, max_size=30))
def test_any_text_is_a_value_or_a_refusal(words: list[str]) -> None:
    fuzz_swml_expression.one_input(" ".join(words).encode())


@settings(max_examples=40)
@given(text=st.text(max_size=60))
def test_any_characters_are(text: str) -> None:
    fuzz_swml_expression.one_input(text.encode("utf-8", "replace"))


@given(value=DATA)
def test_what_is_set_comes_back_as_it_is(value: Any) -> None:
    made = Scopes(vars={"x": value})
    made.set("y.z", made.substitute("${x}"))
    assert json.dumps(made.get("y.z")) == json.dumps(made.snapshot()["x"])
    assert made.substitute("%{y.z}") == value
    assert made.substitute({"a": value, "b": "${x}"})["b"] == value


@given(value=TEXTS, before=TEXTS, after=TEXTS)
def test_a_text_is_put_in_as_it_is(value: str, before: str, after: str) -> None:
    before, after = (text.replace("{", "").replace("$", "") for text in (before, after))
    assert Scopes(vars={"x": value}).substitute(f"{before}${{x}}{after}") == f"{before}{value}{after}"


@given(text=TEXTS)
def test_a_text_that_was_written_as_json_is_read_as_it_was(text: str) -> None:
    written = json.dumps(text)
    assert evaluate(written, nothing) == text
    assert Scopes(vars={"x": text}).condition(f"x === {written}")
    assert Scopes(vars={"x": text}).condition(f"'${{x}}' === {written}")


@given(number=NUMBERS)
def test_a_number_is_written_as_it_is_read(number: float) -> None:
    text = to_text(number)
    assert float(text) == number
    assert evaluate(f"Number('{text}')", nothing) == number
    assert evaluate(f"{text} === x", {"x": number}.get) is True


@given(left=NUMBERS, right=NUMBERS)
def test_arithmetic_is_that_of_doubles(left: float, right: float) -> None:
    names = {"a": left, "b": right}
    first, second = float(left), float(right)
    assert evaluate("a + b", names.get) == first + second
    assert evaluate("a - b", names.get) == first - second
    assert evaluate("a * b", names.get) == first * second
    assert evaluate("a < b", names.get) is (first < second)
    assert evaluate("a >= b", names.get) is (first >= second)
    if right:
        assert evaluate("a / b", names.get) == first / second
        assert evaluate("a % b", names.get) == math.fmod(first, second)


@given(
    changes=st.lists(
        st.tuples(st.lists(NAMES | st.integers(0, 2), min_size=1, max_size=3), st.none() | DATA), max_size=12
    )
)
def test_variables_are_what_was_set_last(changes: list[tuple[list[str | int], Any]]) -> None:
    made = Scopes()
    for keys, value in changes:
        path = "v" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
        if value is None:
            made.unset(path)
            if not isinstance(keys[-1], int):  # behind a value of a list that is gone comes the next one
                assert made.get(path) is UNDEFINED or keys[-1] == "length"
            continue
        try:
            made.set(path, value)
        except SwmlError:  # a list that does not begin with its first value
            assert any(isinstance(key, int) for key in keys) or isinstance(made.get("v"), list)
        else:
            assert made.get(path) == value
    made.unset("v")
    assert made.snapshot() == {}
    made.set("x", "y" * ((1 << 20) - 1))
