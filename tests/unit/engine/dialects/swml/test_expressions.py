"""The expressions of SWML: what JavaScript gives for them is what they give, and nothing else can be done by them."""

from __future__ import annotations

import doctest
import math
from typing import Any

import pytest

from engine.dialects.swml.expressions import (
    MAX_CHARS,
    MAX_LIST,
    MAX_TEXT,
    UNDEFINED,
    ExpressionError,
    evaluate,
    evaluator,
    to_text,
    truthy,
    values,
)
from engine.errors import ProgramError

NAMES: dict[str, Any] = {
    "word": "Hello",
    "pressed": "1",
    "n": 5,
    "amount": "49.99",
    "empty": "",
    "nothing": None,
    "list": [3, "x", {"c": [7]}],
    "order": {"total": 12.5, "length": "own", "my-key": True, "2": "two"},
    "long": "a" * MAX_TEXT,
    "many": list(range(MAX_LIST)),
    "étage_2": "floor",
}


def lookup(name: str) -> Any:
    return NAMES.get(name, UNDEFINED)


def result(text: str) -> Any:
    return evaluate(text, lookup)


def refusal(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text, lookup)
    return caught.value


# Each value is what ECMA-262 gives for the same expression.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # numbers
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 4 - 3", 3),
        ("7 % 3", 1),
        ("-7 % 3", -1),
        ("7.5 % 2", 1.5),
        ("1 / 2", 0.5),
        ("1 / 0", math.inf),
        ("-1 / 0", -math.inf),
        ("-2 * -3", 6),
        ("- - 1", 1),
        ("0x1F + 0b11 + 0o17", 49),
        (".5 + 1. + 1e2", 101.5),
        ("+' 12\\n'", 12),
        ("+''", 0),
        ("+true + +null", 1),
        ("!0 + 1", 2),
        ("9007199254740992 + 1", 9007199254740992.0),
        # text
        ("'a' + 1 + 2", "a12"),
        ("1 + 2 + 'a'", "3a"),
        ("'3' * '4'", 12),
        ("'3' - 1", 2),
        ("null + 1", 1),
        ("true + true", 2),
        ("[] + []", ""),
        ("[1, 2] + 'x'", "1,2x"),
        ("'' + {a: 1}", "[object Object]"),
        ("'it\\'s ' + \"a \\\"b\\\"\"", "it's a \"b\""),
        ("'\\u0041\\x42\\u{1F600}\\uD83D\\uDE00\\t\\0'", "AB😀😀\t\0"),
        ("'\\uD800'", "\ufffd"),
        ("'a\\\nb'", "ab"),
        ("`${1}` + `${null} ${true}` + ``", "1null true"),
        ("`n is ${n + 1}, ${`in ${'}'}`} $n {}`", "n is 6, in } $n {}"),
        # comparisons
        ("pressed == 1", True),
        ("pressed === 1", False),
        ("pressed === '1'", True),
        ("pressed != 2", True),
        ("n !== 5", False),
        ("1 == 1.0", True),
        ("'1.0' == 1", True),
        ("null == undefined", True),
        ("null === undefined", False),
        ("null == 0", False),
        ("null >= 0", True),
        ("'' == 0", True),
        ("'0' == false", True),
        ("'a' == 0", False),
        ("true == 1", True),
        ("true === 1", False),
        ("NaN == NaN", False),
        ("NaN != NaN", True),
        ("[5] == 5", True),
        ("[1] == [1]", False),
        ("list === list", True),
        ("'b' > 'a'", True),
        ("'10' < '9'", True),
        ("10 < '9'", False),
        ("n >= 5 && n <= 5", True),
        ("undefined < 1", False),
        ("undefined >= 1", False),
        ("1 < 2 == true", True),
        # decisions give values
        ("n > 3 && word", "Hello"),
        ("0 && word", 0),
        ("empty || 'default'", "default"),
        ("unset || null || 0", 0),
        ("0 ?? 1", 0),
        ("unset ?? 1", 1),
        ("n ? 'yes' : 'no'", "yes"),
        ("0 ? 1 : '' ? 2 : 3", 3),
        ("1 ? 0 ? 'a' : 'b' : 'c'", "b"),
        ("!'' && !null && !NaN && ![] === false", True),
        ("true || unset.x.y", True),
        ("false ? unset.x : 2", 2),
        ("typeof unset + typeof null + typeof 1 + typeof '' + typeof true + typeof []", "undefinedobjectnumberstring"
         "booleanobject"),
        # members
        ("order.total * 2", 25),
        ("order['my-key']", True),
        ("order[2]", "two"),
        ("order.length", "own"),
        ("order.missing", UNDEFINED),
        ("list[2].c[0]", 7),
        ("list['1']", "x"),
        ("list[9]", UNDEFINED),
        ("list[-1]", UNDEFINED),
        ("list.length", 3),
        ("word.length + word[1] + word['length']", "5e5"),
        ("word.other", UNDEFINED),
        ("unset?.a.b", UNDEFINED),
        ("order?.['total']", 12.5),
        ("{a: 1, 'b': [2], 3: 4,}.b[0]", 2),
        ("[1, 2,].length", 2),
        ("étage_2", "floor"),
        ("$x == undefined", True),
        # methods of texts
        ("word.toUpperCase() + word.toLowerCase()", "HELLOhello"),
        ("word.substring(3, 1) + word.substring(-2, 99) + word.substring(4)", "elHelloo"),
        ("word.slice(-3) + word.slice(1, -1) + word.slice(3, 1)", "lloell"),
        ("word.substr(-3, 2) + word.substr(1) + word.substr(1, -1)", "llello"),
        ("word.includes('ell') && !word.includes('H', 1)", True),
        ("word.startsWith('He') && word.startsWith('l', 2) && word.endsWith('lo') && word.endsWith('He', 2)", True),
        ("word.indexOf('l') + 10 * word.lastIndexOf('l') + 100 * word.indexOf('z')", -68),
        ("word.indexOf('l', 3) + word.lastIndexOf('l', 2)", 5),
        ("'\\u00a0 a b\\n'.trim() + ' x '.trimStart() + ' x '.trimEnd()", "a bx  x"),
        ("'a,b,,c'.split(',').length", 4),
        ("'abc'.split('').join('-') + 'abc'.split() + 'a b'.split(' ', 1)", "a-b-cabca"),
        ("'aXbX'.replace('X', '-') + 'aXbX'.replaceAll('X', '')", "a-bXab"),
        ("word.charAt(1) + word.charAt(9) + word.at(-1)", "eo"),
        ("'a'.concat(1, null, [2])", "a1null2"),
        ("'5'.padStart(3, '0') + 'ab'.padEnd(5, 'xy') + 'abc'.padStart(2)", "005abxyxabc"),
        ("'ab'.repeat(2) + ''.repeat(1e9)", "abab"),
        ("word.toString()", "Hello"),
        # methods of numbers, lists and others
        ("(0.1 + 0.2).toFixed(2)", "0.30"),
        ("(1.005).toFixed(2)", "1.00"),
        ("(2.5).toFixed(0) + (1.45).toFixed(1) + (-1.5).toFixed(0)", "31.4-2"),
        ("(1e21).toFixed(2)", "1e+21"),
        ("parseFloat(amount).toFixed(1)", "50.0"),
        ("5..toFixed(1)", "5.0"),
        ("n.toString() + true.toString()", "5true"),
        ("[1, null, 'x'].join() + [1, 2].join('')", "1,,x12"),
        ("list.includes('x') && list.indexOf(3) === 0 && [1, 2, 1].lastIndexOf(1) === 2", True),
        ("[NaN].includes(NaN) && [NaN].indexOf(NaN) === -1", True),
        ("[1, 2, 3].slice(1).concat(4, [5]).toString()", "2,3,4,5"),
        ("[1, 2].at(-1)", 2),
        # functions
        ("parseInt('42px') + parseInt(' -7.9') + parseInt('0x1f') + parseInt('101', 2)", 71),
        ("parseInt('z', 36)", 35),
        ("parseFloat('3.14abc') + parseFloat('.5') + parseFloat('1e2x')", 103.64),
        ("Number('0x10') + Number('') + Number(null) + Number(true) + Number([7])", 24),
        ("Number()", 0),
        ("Number('-Infinity')", -math.inf),
        ("String(1.0) + String(null) + String([1, [2, 3]]) + String()", "1null1,2,3"),
        ("Boolean('false') && !Boolean('')", True),
        ("isNaN('x') && !isNaN('1') && isNaN(parseInt('')) && isNaN(Number('1_0')) && isNaN(+'nan')", True),
        ("Math.floor(-1.5) + Math.ceil(1.2) + Math.round(2.5) + Math.round(-2.5) + Math.abs('-4')", 5),
        ("Math.round(0.49999999999999994)", 0),
        ("Math.min(3, '1', 2) + Math.max(3, '1')", 4),
        ("Math.max()", -math.inf),
    ],
)  # fmt: skip
def test_what_an_expression_gives(text: str, expected: Any) -> None:
    found = result(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "text",
    ["0 / 0", "1 % 0", "-'x'", "parseInt('x')", "parseInt('9', 1)", "Math.min(1, 'x')", "Number(undefined)",
     "Number({})", "+'1 2'", "parseFloat('-')", "undefined + 1", "Infinity - Infinity", "Infinity * 0", "Infinity % 2"],
)  # fmt: skip
def test_what_is_not_a_number(text: str) -> None:
    assert math.isnan(result(text))


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (-0.0, "0"),
        (100.0, "100"),
        (0.1, "0.1"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1.25e-7, "1.25e-7"),
        (-123.456, "-123.456"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (123456789.125, "123456789.125"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (4111111111111111, "4111111111111111"),
        (18446744073709551615, "18446744073709551615"),
        (10**30, "1e+30"),
        (10**400, "Infinity"),
    ],
)
def test_how_a_number_is_written(number: float, text: str) -> None:
    assert to_text(number) == text


@pytest.mark.parametrize("value", [False, None, UNDEFINED, 0, 0.0, -0.0, math.nan, ""])
def test_what_is_false(value: Any) -> None:
    assert truthy(value) is False


@pytest.mark.parametrize("value", [True, 1, -1, math.inf, "0", "false", " ", [], {}])
def test_what_is_true(value: Any) -> None:
    assert truthy(value) is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${word} == 'Hello'", True),
        ("'%{word}' == 'Hello'", True),
        ('"${word}!" + `${n}%{n}`', "Hello!55"),
        ("%{n} + ${n}", 10),
        ("${n} % 2", 1),
        ("9 %${n}", 4),
        ("'${unset}' == ''", True),
        ("${unset} == ''", True),
        ("'a${nothing}b'", "ab"),
        ("${list[2].c[0] + 1}", 8),
        ("'${order['total']}'", "12.5"),
        ("'$ {n} 100% $n'", "$ {n} 100% $n"),
    ],
)
def test_placeholders_may_stand_around_what_a_condition_names(text: str, expected: Any) -> None:
    assert evaluate(text, lookup, placeholders=True) == expected


@pytest.mark.parametrize("text", ["${word}", "%{word}", "1 + ${n}"])
def test_elsewhere_they_are_no_part_of_an_expression(text: str) -> None:
    assert refusal(text)


def test_a_value_is_never_read_as_a_part_of_the_expression() -> None:
    hostile = "' || true || '"
    assert evaluate("'${x}' == 'yes'", {"x": hostile}.get, placeholders=True) is False
    assert evaluate("'${x}'", {"x": "${x}"}.get, placeholders=True) == "${x}"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", 0),
        ("  ", 2),
        ("1 +", 3),
        ("(1", 2),
        ("1)", 1),
        ("1 2", 2),
        ("1, 2", 1),
        ("1; 2", 1),
        ("'abc", 1),
        ("'a\nb'", 1),
        ("`${1", 4),
        ("`${1]}`", 4),
        ("'\\u12'", 2),
        ("'\\u{110000}'", 2),
        ("1a", 0),
        ("007", 0),
        ("1..2", 2),
        ("a.", 2),
        ("a.1", 1),
        ("a..b", 2),
        ("[1 2]", 3),
        ("{a 1}", 3),
        ("{`${n}`: 1}", 1),
        ("1 ? 2", 5),
        ("#", 0),
        ("é + ☎", 4),
        ("/x/.test(word)", 0),
        ("2 ** 3", 2),
        ("1 & 2", 2),
        ("~1", 0),
        ("1 << 2", 2),
        ("'a' in order", 4),
        ("word instanceof String", 5),
    ],
)
def test_what_is_not_an_expression_is_told_with_its_place(text: str, at: int) -> None:
    assert refusal(text).at == at


@pytest.mark.parametrize(
    "text",
    [
        "n = 6",
        "n += 1",
        "order.total = 0",
        "n++",
        "--n",
        "var x",
        "function () {}",
        "() => 1",
        "(x => x)(1)",
        "new Date()",
        "this",
        "while (true) {}",
        "delete order.total",
        "void 0",
        "import('os')",
        "eval('1')",
        "Function('1')",
        "word.constructor",
        "word['constructor']",
        "word['con' + 'structor']",
        "list['__proto__']",
        "order.__proto__",
        "order['__proto__']",
        "order[['__proto__']]",
        "order.prototype",
        "{constructor: 1}",
        "{'__proto__': 1}",
        "constructor",
        "__proto__",
        "(1)(2)",
        "order.total()",
        "list.map(1)",
        "list.push(1)",
        "word.__class__()",
        "n.__add__(1)",
        "nothing.length",
        "unset.x",
        "unset.trim()",
        "null[0]",
        "true.length()",
        "order.keys()",
        "Math.pow(2, 3)",
        "Math.PI",
        "Math.floor",
        "setTimeout(1)",
        "n.toString(2)",
        "n.toFixed(101)",
        "n.toFixed(-1)",
    ],
)
def test_nothing_else_can_be_done(text: str) -> None:
    before = repr(NAMES)
    assert refusal(text)
    assert repr(NAMES) == before


@pytest.mark.parametrize("name", ["__class__", "__dict__", "upper", "format", "keys", "append"])
@pytest.mark.parametrize("of", ["word", "n", "list", "order", "true"])
def test_no_member_of_the_interpreters_own_objects_is_there(of: str, name: str) -> None:
    assert result(f"{of}.{name}") is UNDEFINED


@pytest.mark.parametrize(
    "text",
    [
        "(" * 500 + "1",
        "[" * 1000,
        "{a:" * 300,
        "!" * 1000 + "1",
        "-" * 1000 + "1",
        "typeof " * 140 + "1",
        "`${" * 300,
        "1?" * 300 + "1",
        "1?1:" * 250 + "1",
        "a[" * 400,
        "String(" * 140,
        "1 && (" * 160,
    ],
)
def test_what_nests_too_deep_is_refused_however_it_nests(text: str) -> None:
    assert refusal(text[:MAX_CHARS])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1" + "+1" * 511, 512),
        ("0" + "||0" * 340 + "||1", 1),
        ("word" + ".trim()" * 140, "Hello"),
        ("1" + "*1" * 250 + "+1" * 250, 251),
        ("(" * 30 + "1" + "+1)" * 30, 31),
    ],
)
def test_what_is_only_long_is_not(text: str, expected: Any) -> None:
    assert result(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "'x'.repeat(65537)",
        "'x'.repeat(-1)",
        "'x'.repeat(Infinity)",
        "'x'.repeat(40000) + 'x'.repeat(40000)",
        "`${'x'.repeat(40000)}${'x'.repeat(40000)}`",
        "'x'.repeat(40000).concat('x'.repeat(40000))",
        "'x'.repeat(40000).replaceAll('x', 'yy')",
        "'x'.padStart(1e9)",
        "'x'.padEnd(Infinity, 'ab')",
        "'\\u0390'.repeat(40000).toUpperCase()",
        "long.split('')",
        "long.split('a')",
        "many.concat(1)",
        "[long, long].join()",
        "String([long, long])",
        "[long, long] == 'x'",
        "many.join('" + "x" * 100 + "')",
        "[" + "many.includes(-1)," * 50 + "]",
    ],
)
def test_what_takes_too_much_is_refused(text: str) -> None:
    assert refusal(text)


def test_an_expression_is_no_longer_than_the_vendors() -> None:
    assert result("1" + " " * (MAX_CHARS - 1)) == 1
    assert refusal("1" + " " * MAX_CHARS).at == MAX_CHARS


@pytest.mark.parametrize("text", ["9" * 1000, "'" + "9" * 1000 + "' * 1", "parseInt('" + "9" * 1000 + "')"])
def test_a_number_of_many_digits_is_beyond_all(text: str) -> None:
    assert result(text) == math.inf


def test_digits_in_a_long_text_are_not_counted_for_ever() -> None:
    assert evaluate("parseInt(x) + parseInt(x, 2) + +x", {"x": "1" * MAX_TEXT}.get) == math.inf


@pytest.mark.parametrize("text", ["word.foo(1)", "word.constructor", "word + + ", "`${word} ${`", "word = 'Hello'"])
def test_an_error_repeats_neither_values_nor_the_expression(text: str) -> None:
    error = refusal(text)
    assert isinstance(error, ProgramError)
    assert "Hello" not in str(error)
    assert "word" not in str(error)
    assert str(error).endswith(f"(at character {error.at})")


@pytest.mark.parametrize("module", [evaluator, values])
def test_the_examples_are_true(module: Any) -> None:
    assert doctest.testmod(module).failed == 0
