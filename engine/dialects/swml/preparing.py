"""Puts variables into a step when its turn comes, and decides conditions (`dialects.md` §3.7).

What is decided or run later is left as written: nested steps, conditions, and documents inside a text, whose
placeholders are theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.dialects.swml.destinations import is_inline
from engine.dialects.swml.errors import ScriptError
from engine.dialects.swml.expressions import ExpressionError, to_text
from engine.dialects.swml.flow import Choice
from engine.dialects.swml.methods import Section, Step, Switch
from engine.dialects.swml.variables import Scopes

__all__ = ("Warner", "chosen", "is_true", "prepared")

Warner = Callable[[ScriptError, str, str], None]
"Takes the error's name, where, and the reason."
_AS_WRITTEN = frozenset({"cond", "switch", "label"})
_KEPT = {
    "connect": frozenset({"result"}),
    "execute": frozenset({"on_return", "result"}),
    "goto": frozenset({"when"}),
}
_PERHAPS_INLINE = frozenset({"dest", "transfer_after_bridge"})
_DEVICE_LISTS = ("serial", "parallel", "serial_parallel")


def prepared(step: Step, scopes: Scopes, warn: Warner) -> Any:
    """Return the argument of a step with variables put in. Raises `SwmlError` when it grows too large."""
    argument = step.argument
    if step.method in _AS_WRITTEN:
        return argument
    if not isinstance(argument, dict):
        return _substituted(argument, step, scopes, warn)
    kept = {name: value for name, value in argument.items() if _is_kept(step.method, name, value)}
    rest = {name: value for name, value in argument.items() if name not in kept}
    made = _substituted(rest, step, scopes, warn)
    if step.method == "connect":
        _put_confirms_back(rest, made)
    return {**made, **kept}


def _is_kept(method: str, name: str, value: object) -> bool:
    return name in _KEPT.get(method, ()) or (name in _PERHAPS_INLINE and is_inline(value))


def _put_confirms_back(written: object, made: object) -> None:
    """Put the steps that a called side has to go through, which run on its own call, back as they were written."""
    if isinstance(written, list) and isinstance(made, list):
        for one, other in zip(written, made, strict=True):
            _put_confirms_back(one, other)
    elif isinstance(written, dict) and isinstance(made, dict):
        if isinstance(written.get("confirm"), list):
            made["confirm"] = written["confirm"]
        for name in _DEVICE_LISTS:
            _put_confirms_back(written.get(name), made.get(name))


def _substituted(value: Any, step: Step, scopes: Scopes, warn: Warner) -> Any:
    def failed(error: ExpressionError) -> None:
        warn(ScriptError.JS_EVAL_ERROR, step.path, str(error))

    return scopes.substitute(value, failed=failed)


def is_true(condition: str, scopes: Scopes, where: str, warn: Warner) -> bool:
    """Return what a condition comes to; one that cannot be evaluated is false."""
    try:
        return scopes.condition(condition)
    except ExpressionError as error:
        warn(ScriptError.JS_EVAL_ERROR, where, str(error))
        return False


def chosen(choice: Choice, scopes: Scopes, where: str, warn: Warner, *, unnamed: str) -> Section | None:
    """Return the steps that a choice leads to, None: nothing matched. ``unnamed`` is the variable of a nameless one."""
    if isinstance(choice, Switch):
        return _case(choice, scopes, where, warn, choice.variable or unnamed)
    otherwise: Section | None = None
    for branch in choice:
        if not branch.when:
            otherwise = otherwise or branch.then or branch.otherwise
        elif is_true(branch.when, scopes, where, warn):
            return branch.then
        elif branch.otherwise:
            otherwise = otherwise or branch.otherwise
    return otherwise


def _case(switch: Switch, scopes: Scopes, where: str, warn: Warner, variable: str) -> Section | None:
    try:
        value = to_text(scopes.value_of(variable))
    except ExpressionError as error:
        warn(ScriptError.JS_EVAL_ERROR, where, str(error))
        value = ""
    return switch.cases.get(value, switch.default)
