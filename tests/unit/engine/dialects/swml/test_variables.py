"""Variables of SWML documents: scopes, paths, what is put into a step, and how much there may be of it."""

from __future__ import annotations

import doctest
import json
from typing import Any

import pytest

from engine.dialects.swml import variables
from engine.dialects.swml.errors import ScriptError, SwmlError
from engine.dialects.swml.expressions import MAX_TEXT, ExpressionError
from engine.dialects.swml.plain import MAX_NESTING
from engine.dialects.swml.variables import MAX_CHARS, MAX_KEYS, MAX_VALUES, UNDEFINED, Scopes


def scopes(**values: Any) -> Scopes:
    """Return the variables of a call to +1 555 0100 with these set."""
    return Scopes(
        call={"from": "+15550199", "to": "+15550100", "headers": [{"name": "X-Order", "value": "7"}]},
        envs={"SHOP": "Corner shop", "to": "an environment's"},
        params={"amount": "12.50"},
        vars=values,
    )


def refusal(made: Scopes, path: str, value: object = 1) -> str:
    before = made.snapshot()
    with pytest.raises(SwmlError) as caught:
        made.set(path, value)
    assert caught.value.code is ScriptError.ELEMENT_INVALID_VALUE
    assert made.snapshot() == before
    return str(caught.value)


# -- scopes and paths


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("SHOP", "Corner shop"),
        ("envs.SHOP", "Corner shop"),
        ("from", "+15550199"),
        ("call.from", "+15550199"),
        ("to", "an environment's"),
        ("call.to", "+15550100"),
        ("call.headers[0].value", "7"),
        ("call['headers'][0][\"name\"]", "X-Order"),
        ("call.headers.0.value", "7"),
        ("call.headers.length", 1),
        ("params.amount", "12.50"),
        ("amount", UNDEFINED),
        ("vars.SHOP", UNDEFINED),
        ("call.headers[1]", UNDEFINED),
        ("call.from.digits", UNDEFINED),
        ("nothing.at.all", UNDEFINED),
        ("", UNDEFINED),
        ("a..b", UNDEFINED),
        ("[0]", UNDEFINED),
    ],
)
def test_where_a_name_is_sought(path: str, value: Any) -> None:
    assert scopes().get(path) == value


def test_a_variable_hides_what_has_its_name_elsewhere_but_not_by_its_scope() -> None:
    made = scopes(SHOP="mine", call="a name like any other")
    assert made.get("SHOP") == made.get("vars.SHOP") == "mine"
    assert made.get("envs.SHOP") == "Corner shop"
    assert made.get("call.to") == "+15550100"
    assert made.get("vars.call") == "a name like any other"


def test_the_scopes_of_call_and_section_are_replaced_as_a_whole() -> None:
    made = scopes()
    made.call = {"call_state": "answered"}
    made.params = {"retry": True}
    assert made.substitute("${call.call_state} ${call.from}${params.retry}${params.amount}") == "answered true"
    assert (made.call, made.params) == ({"call_state": "answered"}, {"retry": True})


@pytest.mark.parametrize(
    ("path", "snapshot"),
    [
        ("a", {"a": 1}),
        ("vars.a", {"a": 1}),
        ("vars", {"vars": 1}),
        ("a.b.c", {"a": {"b": {"c": 1}}}),
        ("a[0].b[0][0]", {"a": [{"b": [[1]]}]}),
        ("headers.content-type", {"headers": {"content-type": 1}}),
        ("a['b.c']", {"a": {"b.c": 1}}),
        ("étage 2.x", {"étage 2": {"x": 1}}),
    ],
)
def test_what_is_missing_on_the_way_is_made(path: str, snapshot: dict[str, Any]) -> None:
    made = scopes()
    made.set(path, 1)
    assert made.snapshot() == snapshot
    assert made.get(path) == 1 or path == "vars"
    made.unset(path)
    assert made.get(path) is UNDEFINED or path == "vars"


def test_a_part_is_set_within_what_is_there() -> None:
    made = scopes(order={"items": ["tea"], "paid": False}, word="text")
    made.set("order.items[1]", "milk")
    made.set("order.items[0]", "coffee")
    made.set("order.paid", True)
    made.set("word.now", "a mapping")
    assert made.snapshot() == {
        "order": {"items": ["coffee", "milk"], "paid": True},
        "word": {"now": "a mapping"},
    }
    made.unset("order.items[0]")
    made.unset("order.paid")
    made.unset("order.missing.far[7]")
    made.unset("order.items[9]")
    made.unset("order.items.name")
    assert made.snapshot() == {"order": {"items": ["milk"]}, "word": {"now": "a mapping"}}


@pytest.mark.parametrize(
    "path",
    ["", " ", ".", ".a", "a.", "a..b", "a[", "a[x]", "a[-1]", "a]b", "[0]", "vars[0]", "call.from", "envs.SHOP",
     "params.x", "list[2]", "list.name", "new[1]", "a[9999999]", ".".join("a" * (MAX_KEYS + 1))],
)  # fmt: skip
def test_what_cannot_be_set(path: str) -> None:
    assert refusal(scopes(list=[0]), path)


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, {"a": object()}, [object()]])
def test_only_plain_data_is_kept(value: object) -> None:
    assert "plain" in refusal(scopes(), "a", value)


def test_what_json_has_no_number_for_is_null() -> None:
    made = scopes(odd=[float("nan"), float("inf"), -0.0, 10**400, 2**70, {"u": UNDEFINED}, UNDEFINED])
    assert json.dumps(made.snapshot(), allow_nan=False)
    assert made.get("odd") == [None, None, 0, None, 2.0**70, {}, None]


def test_nothing_is_shared() -> None:
    given: dict[str, Any] = {"a": [1]}
    made = Scopes(call=given, envs=given, params=given, vars={"x": given})
    taken = [made.call, made.params, made.snapshot()["x"], made.get("x"), made.substitute("${x}"), made.value_of("x")]
    taken += [made.get("vars")["x"], made.substitute("${[x][0]}"), given]
    for one in taken:
        one["a"].append(2)
    assert made.call == made.params == made.get("x") == made.get("envs") == {"a": [1]}
    made.set("y", made.get("x"))
    made.set("y.a[0]", 3)
    assert made.get("x.a[0]") == 1


# -- how much there may be


def test_all_variables_together_are_bounded() -> None:
    made = scopes(half="x" * (MAX_CHARS // 2))
    made.set("b", "y" * (MAX_CHARS // 2 - 5))
    assert "too large" in refusal(made, "c", "z")
    made.set("b", "y")
    made.set("c", "z" * 100)
    assert "too large" in refusal(made, "d", [0] * MAX_VALUES)
    made.set("d", [0] * (MAX_VALUES - 5))
    refusal(made, "e.f", 0)
    made.unset("d")
    made.set("e.f", 0)


def test_what_was_forgotten_makes_room_again() -> None:
    made = scopes()
    for _ in range(8):
        made.set("a.b", {"text": "x" * (MAX_CHARS // 3), "list": [1, [2, {"k": 3}]]})
        made.set("a.c[0]", "x" * (MAX_CHARS // 3))
        made.set("a.c[1].d", "y")
        made.unset("a.c[0]")
        made.unset("a.b.text")
        made.unset("a.b")
    made.unset("a")
    made.set("whole", "x" * (MAX_CHARS - 5))


def test_values_nest_only_so_deep() -> None:
    value: list[Any] = []
    for _ in range(MAX_NESTING + 5):
        value = [value]
    assert "deep" in refusal(scopes(), "a", value)
    with pytest.raises(SwmlError):
        scopes().substitute(value)
    deep = scopes()
    deep.set(".".join("a" * MAX_KEYS), [])
    assert deep.get(".".join("a" * MAX_KEYS)) == []


def test_a_step_is_bounded() -> None:
    made = scopes(text="x" * 60_000, many=[0] * 5000)
    with pytest.raises(SwmlError) as caught:
        made.substitute("${text}${text}")
    assert caught.value.code is ScriptError.ELEMENT_INVALID_VALUE
    assert len(made.substitute(["${text}"] * 17)) == 17
    with pytest.raises(SwmlError):
        made.substitute(["${text}"] * 18)
    with pytest.raises(SwmlError):
        made.substitute(["${many}", "${many}"])
    with pytest.raises(SwmlError):
        made.substitute("${[" + "many," * 100 + "]}")
    assert made.substitute("y" * (MAX_TEXT + 1)) == "y" * (MAX_TEXT + 1)


# -- put into a step


ORDER = {"total": 12.5, "items": ["tea", "milk"], "paid": False, "note": None}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${order.total}", 12.5),
        ("%{order.total}", 12.5),
        ("${ order.paid }", False),
        ("${order}", ORDER),
        ("${order.note}", None),
        ("${vars.order.items}", ["tea", "milk"]),
        ("${missing}", ""),
        ("${order.missing.far}", ""),
        ("${}", ""),
        ("${true}", True),
        ("${null}", None),
        ("${order.total * 2}", 25),
        ("${order.items.length + 1}", 3),
        ("${headers.content-type}", "json"),
        ("${n-1}", 4),
        ("${headers.length-n}", None),  # a text less a number is no number, and JSON has none that is not one
        ("${order.paid ? 'yes' : {a: '}'}.a}", "}"),
        ("${`${n}}`}", "5}"),
        ("${'}' + \"}\" + '\\'}'}", "}}'}"),
        # within a text
        ("You owe ${order.total} dollars", "You owe 12.5 dollars"),
        ("${SHOP}: %{call.to}", "Corner shop: +15550100"),
        ("${n}${n}", "55"),
        (" ${n}", " 5"),
        ("a${missing}b${order.note}c", "abc"),
        ("${order.items} ${order}", "tea,milk [object Object]"),
        ("${order.paid}!", "false!"),
        # none of it
        ("plain", "plain"),
        ("$n {n} $ {n} 100% %%", "$n {n} $ {n} 100% %%"),
        ("${n", "${n"),
        ("a ${n} b ${n", "a 5 b ${n"),
        ("${'n}", "${'n}"),
        ("${ {n }", "${ {n }"),
        (7, 7),
        (None, None),
        (True, True),
    ],
)
def test_what_stands_for_a_placeholder(text: Any, value: Any) -> None:
    made = scopes(order=ORDER, n=5, headers={"content-type": "json", "length": "-"})
    found = made.substitute(text)
    assert found == value
    assert type(found) is type(value)


def test_steps_are_walked_and_names_left_alone() -> None:
    step = {"${n}": [{"a": "${n}"}, ("%{n}", 1)], "b": {"c": {"d": "n=${n}"}}, "e": 1.5}
    assert scopes(n=5).substitute(step) == {"${n}": [{"a": 5}, [5, 1]], "b": {"c": {"d": "n=5"}}, "e": 1.5}
    assert step["b"] == {"c": {"d": "n=${n}"}}


@pytest.mark.parametrize(
    ("text", "made"), [("${n}", "5"), ("${list}", "1,2"), ("${yes}", "true"), ("${gone}", ""), ("${null}", "")]
)
def test_where_text_is_wanted_there_is_text(text: str, made: str) -> None:
    assert scopes(n=5, list=[1, 2], yes=True).substitute({"a": text}, as_text=True) == {"a": made}


def test_a_value_that_is_put_in_is_not_read_again() -> None:
    made = scopes(a="${b}", b="secret", c="%{b} ${", d={"k": "${b}"})
    assert made.substitute("${a}") == "${b}"
    assert made.substitute("x${c}${b}") == "x%{b} ${secret"
    assert made.substitute("${d}") == {"k": "${b}"}


def test_an_expression_that_fails_is_told_or_raised() -> None:
    made = scopes(n=5)
    told: list[ExpressionError] = []
    step = {"a": "${n.x.y}", "b": "1${n = 6}2", "c": "${n}", "d": "${enc:n}!"}
    assert made.substitute(step, failed=told.append) == {"a": "", "b": "12", "c": 5, "d": "!"}
    assert len(told) == 2
    for text in ("${n = 6}", "x${n = 6}", "${" + "1" * 2000 + "}", "${'x'.repeat(60000)}${[n].join(1).trim(}"):
        with pytest.raises(ExpressionError):
            made.substitute(text)


def test_a_text_that_gets_too_long_on_its_way_into_another_fails_as_an_expression_does() -> None:
    made = scopes(list=["x" * 40_000] * 2)
    told: list[ExpressionError] = []
    assert made.substitute("a${list}b", failed=told.append) == "ab"
    assert len(told) == 1
    with pytest.raises(ExpressionError):
        made.substitute("a${list}b")


def test_placeholders_without_an_end_take_no_longer_than_their_text() -> None:
    text = "${'" * (MAX_TEXT // 3)
    assert scopes().substitute(text) == text
    text = "${{" * (MAX_TEXT // 3)
    assert scopes().substitute(text) == text


# -- decisions


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("prompt_value == '1'", True),
        ("vars.prompt_value == 1 && SHOP.startsWith('Corner')", True),
        ("${prompt_value} == '1'", True),
        ("'${prompt_value}' == '1'", True),
        ("%{prompt_value} == 2", False),
        ("${prompt_value == 1}", True),
        ("pay_result === 'success'", False),
        ("missing", False),
        ("!missing", True),
        ("call.to == '+15550100'", True),
        ("parseFloat(params.amount) > 12", True),
        ("'${missing}' == ''", True),
        ("true", True),
        ("call.headers[0].value == 7", True),
    ],
)
def test_when(when: str, holds: bool) -> None:
    assert scopes(prompt_value="1").condition(when) is holds


@pytest.mark.parametrize("when", ["", "prompt_value = '1'", "a.b.c == 1", "==", "${", "${}"])
def test_a_condition_that_cannot_be_evaluated_is_told(when: str) -> None:
    with pytest.raises(ExpressionError):
        scopes().condition(when)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("prompt_value", "1"),
        ("vars.prompt_value", "1"),
        (" ${prompt_value} ", "1"),
        ("%{prompt_value}", "1"),
        ("call.headers[0].value", "7"),
        ("headers.x-y", "z"),
        ("${headers.x-y}", "z"),
        ("missing", ""),
        ("${missing}", ""),
        ("SHOP.toLowerCase()", "corner shop"),
        ("${SHOP.length > 3 ? 'long' : 'short'}", "long"),
        ("${prompt_value}${prompt_value}", None),
    ],
)
def test_what_a_switch_is_about(variable: str, value: Any) -> None:
    made = scopes(prompt_value="1", headers={"x-y": "z"})
    if value is None:
        with pytest.raises(ExpressionError):
            made.value_of(variable)
    else:
        assert made.value_of(variable) == value


def test_the_examples_are_true() -> None:
    assert doctest.testmod(variables).failed == 0
