"""Fuzz target: any text as an expression, a condition, the text of a step, and the path of a variable.

What must hold: a value of plain data within its bounds, or an `ExpressionError` or `SwmlError` whose text repeats
nothing of a variable; the same once more gives the same; no variable has changed but by being set, and their sizes are
kept right.

Runs by ``tests/fuzz/drive.py`` or under atheris.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.dialects.swml.errors import SwmlError
from engine.dialects.swml.expressions import (
    MAX_LIST,
    MAX_STEPS,
    MAX_TEXT,
    UNDEFINED,
    ExpressionError,
    evaluate,
    to_text,
    truthy,
)
from engine.dialects.swml.plain import sized
from engine.dialects.swml.variables import MAX_CHARS, MAX_STEP_CHARS, MAX_VALUES, Scopes

__all__ = ("SEEDS", "one_input")

PLANTED = "8642097531"
VARS = {
    "s": PLANTED,
    "n": 7,
    "f": -0.5,
    "b": True,
    "z": None,
    "l": [1, "two", {"c": [PLANTED]}],
    "o": {"total": "12.50", "content-type": "x", "length": 3},
    "long": "ab" * (MAX_TEXT // 2 - 8),
    "many": list(range(40)),
}
SEEDS = (
    b"o.total * 2 + parseInt(s) % n >= 1 && !b || l[2].c[0] === '8' ? `x${n - 1}y` : [1, {a: z}].length",
    b"s.substring(1, 3).toUpperCase().padStart(9, 'xy') + 'a,b'.split(',').join('-').replace('a', \"b\\u0041\\n\")",
    b"typeof q ?? (1.5e3).toFixed(2) == -Infinity !== NaN + +' 0x1F ' / Math.max(n, Number('3'), f)",
    b"say: ${s} and %{o.total}, ${l[1].length - 'x'.repeat(3).length} ${'}'} ${`${n}}`} ${broken",
    b"'${s}' == %{n} && '%{o['total']}' != ${z}",
    b"vars.o.content-type",
    b"l[3].new.deep['k'][0]",
    b"many.concat(many).slice(-9).includes(39) + long.replaceAll('a', 'bb').indexOf('b', 5)",
    b"s.constructor.__proto__ = function () { return this; }",
    b"`${1}${null}${true}${[`${n}`]}` + '' + `a` + {a: 1, 'b': `${'c'}`}['b']",
    b"((((((((1))))))))+[[[[]]]]+!!!!1+----1",
)


def scopes() -> Scopes:
    """Return what every input finds."""
    return Scopes(call={"from": "+1", "headers": [{"name": "a"}]}, envs={"E": "e"}, params={"p": 1}, vars=VARS)


def plain(value: Any) -> None:
    """Check that a value of an expression is plain data within its bounds."""
    if isinstance(value, str):
        assert len(value) <= MAX_TEXT
        value.encode()
    elif isinstance(value, list):
        assert len(value) <= max(MAX_LIST, MAX_STEPS)
    else:
        assert value is None or value is UNDEFINED or isinstance(value, bool | int | float | dict)
    try:
        assert isinstance(to_text(value), str)
    except ExpressionError:
        assert isinstance(value, list)
    assert isinstance(truthy(value), bool)


def told(error: ExpressionError | SwmlError, text: str) -> str:
    """Check what an error tells, and return it."""
    assert PLANTED not in str(error)
    assert isinstance(error, SwmlError) or 0 <= error.at <= len(text)
    return str(error)


def outcome(text: str, made: Scopes, placeholders: bool) -> str:
    """Return what an expression comes to, for comparison."""
    try:
        value = evaluate(text, made.lookup, placeholders=placeholders)
    except ExpressionError as error:
        return told(error, text)
    plain(value)
    return repr(value)


def one_input(data: bytes) -> None:
    """Evaluate, decide, substitute and set; raises whatever should not happen."""
    text = data.decode("utf-8", "replace")
    made = scopes()
    before = made.snapshot()
    for placeholders in (False, True):
        assert outcome(text, made, placeholders) == outcome(text, made, placeholders)
    failures: list[ExpressionError] = []
    try:
        step = made.substitute([text, {"a": "${" + text + "}"}], failed=failures.append)
    except SwmlError as error:
        told(error, text)
    else:
        json.dumps(step, allow_nan=False)
        chars, values = sized(step)
        assert chars <= MAX_STEP_CHARS
        assert values <= MAX_VALUES
    for failure in failures:
        told(failure, text + "xx")
    for take in (made.condition, made.value_of, made.get):
        try:
            take(text)
        except (ExpressionError, SwmlError) as error:
            told(error, text)
    assert made.snapshot() == before
    try:
        made.set(text, [PLANTED])
    except SwmlError as error:
        told(error, text)
        assert made.snapshot() == before
    else:
        made.unset(text)
    for name in VARS:
        made.unset(name)
    if len(data) % 8 == 0 and not made.snapshot():
        made.set("room", "x" * (MAX_CHARS - 4))  # all of it is free again


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
