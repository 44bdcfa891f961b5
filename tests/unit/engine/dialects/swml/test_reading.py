"""The text of a document, to plain data: what JSON and YAML say alike, what is refused, and where."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from engine.dialects.swml.errors import ScriptError, SwmlError
from engine.dialects.swml.reading import MAX_DEPTH, MAX_NODES, MAX_NUMBER_CHARS, printable, read

MAX_BYTES = 1 << 20
YAML = "application/yaml"


def data_of(text: bytes | str, content_type: str = "") -> object:
    return read(text, content_type=content_type, max_bytes=MAX_BYTES)


def refusal_of(text: bytes | str, content_type: str = "", code: ScriptError = ScriptError.PARSE_ERROR) -> str:
    with pytest.raises(SwmlError) as caught:
        data_of(text, content_type)
    assert caught.value.code is code
    return str(caught.value)


def test_json_and_yaml_of_a_document_are_the_same_data() -> None:
    in_yaml = """
        # Answers, and asks for a card.
        version: 1.0.0
        sections:
          main:
            - answer: {}
            - pay:
                payment_connector_url: "https://gw.example/pay"
                charge_amount: '10.50'
                timeout: 7
                security_code: false
                description: >-
                  Two tickets
                  for tonight
        """
    in_json = """{"version": "1.0.0", "sections": {"main": [{"answer": {}}, {"pay": {
        "payment_connector_url": "https://gw.example/pay", "charge_amount": "10.50", "timeout": 7,
        "security_code": false, "description": "Two tickets for tonight"}}]}}"""
    assert data_of(in_yaml) == data_of(in_json) == json.loads(in_json)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *[("true", True), ("True", True), ("FALSE", False), ("null", None), ("~", None), ("", None)],
        *[("0", 0), ("-7", -7), ("12.5", 12.5), ("-0.5", -0.5), ("1e3", 1000.0), ("1E-2", 0.01)],
        *[(word, word) for word in ("on", "off", "yes", "No", "y", "n", "TrUe")],
        *[(word, word) for word in ("02134", "-01", "+15550100", "1_000", "0x1F", "0o17", "0b1", "1:30", ".5", "5.")],
        *[(word, word) for word in ("2026-11-22", "2026-11-22T10:00:00Z", "1.0.0", "nan", "Infinity", "=")],
        *[("'12'", "12"), ('"true"', "true"), ("!!str 12", "12"), ("! 12", "12"), ("'~'", "~")],
        ("${vars.count}", "${vars.count}"),
        ("%{call.from}", None),
    ],
)
def test_a_plain_word_of_yaml_is_what_json_would_call_it(written: str, value: object) -> None:
    if written.startswith("%"):
        assert "no YAML" in refusal_of(f"a: {written}")  # a percent sign begins no plain text: it has to be quoted
    else:
        found = data_of(f"a: {written}")
        assert found == {"a": value}
        assert isinstance(found, dict)
        assert type(found["a"]) is type(value)


def test_keys_are_text() -> None:
    assert data_of("1: a\ntrue: b\n~: c\n0.50: d\n") == {"1": "a", "true": "b", "~": "c", "0.50": "d"}


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3", '{"a": 1, "b": 2, "a": 3}', "{a: 1, 'a': 2}"])
def test_a_key_that_stands_twice_is_an_error(text: str) -> None:
    kind = "" if text.startswith('{"') else YAML
    assert "a stands twice" in refusal_of(text, kind, ScriptError.ELEMENT_DUPLICATED)


def test_a_second_key_among_json_that_came_as_yaml_is_not_read_again() -> None:
    refusal_of('{"a": 1, "a": 2}', YAML, ScriptError.ELEMENT_DUPLICATED)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: *x", "line 2, column 4: an alias"),
        ("a: &x [*x]", "line 1, column 8: an alias"),
        ("a: &x b\n*x : c", "line 2, column 1: a key is an alias"),
        ("a: &x {b: 1}\n<<: *x", "line 2, column 1: merged keys"),
        ("a: 1\n<<: {b: 2}", "line 2, column 1: merged keys"),
        ("a: !!python/object/apply:os.system [x]", "line 1, column 4: a tag"),
        ("a: !!int '3'", "line 1, column 4: a tag"),
        ("? [a]\n: b", "line 1, column 3: a key is a list"),
        ("? {a: b}\n: c", "line 1, column 3: a key is a list"),
        ("a: 1\n---\nb: 2", "line 2, column 1: a second document"),
        ("a:\n\t- b", "line 2, column 1: the document is no YAML"),
        ("a: [1, 2", "the document is no YAML"),
        ("a: .nan", "line 1, column 4: NaN"),
        ("a: -.inf", "line 1, column 4: NaN"),
        ("a: 1e999", "line 1, column 4: a number is too large"),
        ("a: \x01", "no YAML"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "NaN"),
        ('{"a": 1e999}', "a number is too large"),
        ('{"a":\n  1,}', "line 2, column 5: the document is no JSON"),
        ('{"a": 1} x', "line 1, column 10: the document is no JSON"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"\\udfff": 1}', "surrogate"),
        ("a: \ud800", "surrogate"),
        (b"a: \xff", "octet 3: the document is not UTF-8"),
        ("a: 1".encode("utf-16"), "not UTF-8"),
        ("", "empty"),
        (" \n", "empty"),
        ("\ufeff", "empty"),
    ],
)
def test_what_is_no_document_is_refused_with_its_place(text: str | bytes, said: str) -> None:
    assert said in refusal_of(text)


def test_an_alias_is_a_copy_of_what_it_names() -> None:
    data: Any = data_of("a: &x {b: [&y 02134, 1]}\nc: *x\nd: [*y, *x]\n")
    value = {"b": ["02134", 1]}
    assert data == {"a": value, "c": value, "d": ["02134", value]}
    assert data["a"] is not data["c"]
    assert data["a"]["b"] is not data["d"][1]["b"]
    assert data_of("- &x 1\n- &x 2\n- *x\n") == [1, 2, 2]


def test_yaml_that_a_tool_wrote_of_data_in_two_places_is_read() -> None:
    prompts = [{"for": "postal-code", "actions": [{"type": "Say", "phrase": "Code?"}]}]
    data = {"first": {"prompts": prompts}, "second": {"prompts": prompts}}
    text = yaml.safe_dump(data)
    assert "*id001" in text
    assert data_of(text) == data


def test_aliases_do_not_get_around_the_bounds() -> None:
    laughs = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    assert "values" in refusal_of(laughs)
    deep = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 200))
    assert "nested deeper" in refusal_of(deep)
    half = MAX_DEPTH // 2
    written = f"a: &x {'[' * half}{']' * half}\nb: {'[' * half}*x{']' * half}"
    assert "nested deeper" in refusal_of(written)
    assert data_of(written.replace("[*x]", "*x"))
    limit = MAX_DEPTH - 2
    fits = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, limit + 1))
    assert json.dumps(data_of(fits)).count("[" * (MAX_DEPTH - 1)) == 1
    assert "nested deeper" in refusal_of(fits + f"b: [*a{limit}]")


def test_a_byte_order_mark_is_passed_over() -> None:
    assert data_of(b"\xef\xbb\xbfa: 1") == data_of("\ufeff" + '{"a": 1}') == {"a": 1}


def test_what_begins_like_json_is_json_unless_it_came_as_yaml() -> None:
    assert data_of("{a: 1}", "text/x-yaml; charset=utf-8") == {"a": 1}
    assert "no JSON" in refusal_of("{a: 1}", "text/plain")
    assert data_of("a: 1", "text/plain") == {"a": 1}
    assert "no JSON" in refusal_of("a: 1", "application/json")
    assert data_of('{"a": 1}', "application/vnd.app+yaml") == {"a": 1}


def test_depth_is_bounded_in_both() -> None:
    whole = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert data_of(whole) == data_of(whole, YAML)
    for text in ("[" + whole + "]", "[" * 100_000, "- " * (MAX_DEPTH + 1) + "a", '{"a":' * 100_000):
        assert "nested deeper" in refusal_of(text)
        assert "nested deeper" in refusal_of(text, YAML)


def test_the_count_of_values_is_bounded_in_both() -> None:
    most = "[" + ",".join(["1"] * (MAX_NODES - 1)) + "]"
    assert data_of(most) == data_of(most.replace("]", "\n]").replace("[", "- ").replace(",", "\n- ").replace("\n]", ""))
    assert "values" in refusal_of(most.replace("]", ",1]"))
    assert "values" in refusal_of("- 1\n" * MAX_NODES)


def test_length_is_bounded_in_octets() -> None:
    assert read("a: é", max_bytes=5) == {"a": "é"}
    with pytest.raises(SwmlError, match="longer than 4 octets"):
        read("a: é", max_bytes=4)


def test_a_number_is_bounded_in_characters() -> None:
    longest = "1" * MAX_NUMBER_CHARS
    assert data_of(f"[{longest}]") == data_of(f"- {longest}") == [int(longest)]
    for text in (f"[{longest}1]", f"- {longest}1", f"[0.{longest}]", f"- 0.{longest}", "[" + "9" * 10_000 + "]"):
        assert "a number has more than" in refusal_of(text)


def test_errors_quote_nothing_of_the_document() -> None:
    for text in (
        "a: 4111 1111: 2",
        "- '4111\n",
        "a: %4111",
        "a: @4111",
        '{"a": 4111 1111}',
        "a: !4111 2",
        "*4111",
        "a: 1\nb: *4111",
    ):
        assert "4111" not in refusal_of(text)


def test_a_name_in_an_error_is_short_and_printable() -> None:
    assert printable("a-b.c_d:1") == "a-b.c_d:1"
    assert printable("\x1b[31m" + "x" * 100) == "??31m" + "x" * 35
