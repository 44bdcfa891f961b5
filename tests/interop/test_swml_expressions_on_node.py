"""Expressions of SWML give what V8, the vendor's engine, gives for the same text: thousands made at random on Node."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from random import Random
from typing import Any

import pytest

from engine.dialects.swml.expressions import UNDEFINED, ExpressionError, Value, evaluate, to_text
from engine.dialects.swml.expressions.values import type_of

pytestmark = [pytest.mark.interop]

NAMES: dict[str, Any] = {
    "word": "Hello",
    "pressed": "1",
    "n": 5,
    "amount": "49.99",
    "empty": "",
    "nothing": None,
    "list": [3, "x", {"c": [7]}],
    "order": {"total": 12.5, "length": "own"},
}
ATOMS = [
    *("word", "pressed", "n", "amount", "empty", "nothing", "list", "order", "unset", "list[2]", "order.total"),
    *("1", "0", "-3.7", "2.5", "1e21", "1e-7", "0.1", "123456789012", "9007199254740993", "true", "false", "null"),
    *(
        "undefined",
        "NaN",
        "Infinity",
        "'12'",
        "' 7 '",
        "''",
        "'abc'",
        "'0x1F'",
        "'-1e3'",
        "'Z'",
        "[1,2]",
        "[]",
        "{a:1}",
    ),
    *("`a${n}b`", "`${1}`"),
]
INFIX = ["+", "-", "*", "/", "%", "==", "!=", "===", "!==", "<", "<=", ">", ">=", "&&", "||"]
PREFIX = ["-", "+", "!", "typeof "]
MEMBERS = [
    *("length", "toUpperCase()", "toLowerCase()", "substring(1,3)", "substring(3,-1)", "slice(-2)", "slice(1,-1)"),
    *("substr(-2,1)", "substr(1)", "includes('1')", "startsWith('a')", "endsWith('o')", "indexOf('l')", "at(-1)"),
    *("lastIndexOf('l')", "trim()", "split('')", "split('l',2)", "replace('l','L')", "replaceAll('l','')"),
    *("charAt(1)", "concat(1)", "padStart(6,'xy')", "padEnd(4)", "toString()", "toFixed(1)", "toFixed(0)"),
    *("repeat(2)", "join('')", "total", "c"),
]
FUNCTIONS = [
    *("parseInt", "parseFloat", "Number", "String", "Boolean", "isNaN", "Math.floor", "Math.ceil", "Math.round"),
    *("Math.abs", "Math.min", "Math.max"),
]
SCRIPT = """
const {names, texts} = JSON.parse(require("fs").readFileSync(0, "utf8"));
names.unset = undefined;
const keys = Object.keys(names), values = keys.map(key => names[key]);
console.log(JSON.stringify(texts.map(text => {
  try {
    const value = Function(...keys, "return (" + text + ")")(...values);
    return typeof value + ":" + (Object.is(value, -0) ? "-0" : String(value));
  } catch (error) { return "error"; }
})));
"""


def nested(random: Random, depth: int) -> str:
    """Return an expression with every operand in parentheses."""
    kind = random.random()
    if not depth or kind < 0.15:
        return random.choice(ATOMS)
    if kind < 0.55:
        return f"({nested(random, depth - 1)} {random.choice(INFIX)} {nested(random, depth - 1)})"
    if kind < 0.65:
        return f"({random.choice(PREFIX)}{nested(random, depth - 1)})"
    if kind < 0.72:
        return " ".join(("(", nested(random, 1), "?", nested(random, depth - 1), ":", nested(random, depth - 1), ")"))
    if kind < 0.9:
        return f"({nested(random, depth - 1)}).{random.choice(MEMBERS)}"
    return f"{random.choice(FUNCTIONS)}({nested(random, depth - 1)})"


def flat(random: Random) -> str:
    """Return operators one after the other, so that precedence decides."""
    operands = [
        f"{random.choice(['', '', '-', '!', '+'])}{random.choice(ATOMS)}" for _ in range(random.randrange(2, 8))
    ]
    text = operands[0]
    for operand in operands[1:]:
        text += f" {random.choice(INFIX)} {operand}"
    return text


def ours(text: str) -> str:
    """Return the type and the text of what an expression gives here."""
    try:
        value: Value = evaluate(text, lambda name: NAMES.get(name, UNDEFINED))
        is_minus_zero = isinstance(value, float) and value == 0 and math.copysign(1, value) < 0
        return f"{type_of(value)}:{'-0' if is_minus_zero else to_text(value)}"
    except ExpressionError:
        return "error"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: apt-get install nodejs")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_expressions_made_at_random_give_what_v8_gives(seed: int) -> None:
    random = Random(seed)
    texts = [nested(random, 3) for _ in range(3000)] + [flat(random) for _ in range(3000)]
    told = subprocess.run(
        ["node", "-e", SCRIPT],
        input=json.dumps({"names": NAMES, "texts": texts}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    theirs = json.loads(told.stdout)
    # A method that is not called is a function in JavaScript, and is not there here.
    differing = [
        (text, there, here)
        for text, there in zip(texts, theirs, strict=True)
        if (here := ours(text)) != there and "function" not in there
    ]
    assert differing == []
    assert sum(there != "error" for there in theirs) > len(texts) / 2
