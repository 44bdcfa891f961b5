"""A SWML document as data, to a `Document` whose steps can be run (`dialects.md` §3.1, §3.6, §3.8). Pure.

Laws: what cannot be run whatever the variables are is an error before anything of it is run, by the vendor's name and
with the path of what is wrong; texts with placeholders are checked when their step's turn comes. Sizes are bounded.

- A step is an object with one key. A method of the vendor's that this engine does not carry out (``ai``, ``tap`` ...)
  is undefined, as one that nobody knows: a document that wants it could not do what it is for.
- ``label`` stands once in a section, nested steps included; a ``goto`` needs one in its section.
- ``confirm`` of a device is kept as written; steps in it are checked like others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.dialects.swml.arguments import METHODS, check
from engine.dialects.swml.errors import ScriptError, SwmlError
from engine.dialects.swml.methods import Document, Section, Step
from engine.dialects.swml.parameters import has_placeholder, text_of, wrong_type
from engine.dialects.swml.reading import printable, read

__all__ = ("MAX_NESTING", "MAX_SECTIONS", "MAX_STEPS", "NOT_CARRIED_OUT", "document_of", "read_document")

MAX_SECTIONS = 200
MAX_STEPS = 5000
"Of a document, nested ones included."
MAX_NESTING = 16
"Of steps within steps."
NOT_CARRIED_OUT = frozenset(
    {
        *("ai", "ai_sidecar", "amazon_bedrock", "denoise", "detect_machine", "enter_queue", "join_conference"),
        *("join_room", "live_transcribe", "live_translate", "receive_fax", "send_fax", "send_sms", "stop_denoise"),
        *("stop_tap", "tap"),
    }
)
"Methods of the vendor's that are known and refused."


def read_document(text: bytes | str, *, content_type: str = "", max_bytes: int) -> Document:
    """Return the document that a text holds, JSON or YAML. Raises `SwmlError`."""
    return document_of(read(text, content_type=content_type, max_bytes=max_bytes))


def document_of(data: object) -> Document:
    """Return the document that plain data say. Raises `SwmlError`."""
    if not isinstance(data, dict):
        raise wrong_type("", "an object with sections")
    for name in data:
        if name not in ("version", "sections"):
            raise SwmlError(
                ScriptError.ELEMENT_UNDEFINED, printable(str(name)), "a document has version and sections only"
            )
    if data.get("version", "1.0.0") != "1.0.0":
        raise SwmlError(ScriptError.VERSION_INVALID, "version", "1.0.0 is wanted")
    if data.get("sections") is None:
        raise SwmlError(ScriptError.SECTIONS_MISSING, "", "sections is missing")
    sections = data["sections"]
    if not isinstance(sections, dict):
        raise wrong_type("sections", "an object")
    if "main" not in sections:
        raise SwmlError(ScriptError.MAIN_SECTION_MISSING, "sections", "main is missing")
    if len(sections) > MAX_SECTIONS:
        raise SwmlError(ScriptError.ELEMENT_INVALID_VALUE, "sections", f"at most {MAX_SECTIONS} are taken")
    checker = _Checker()
    return Document(sections={str(name): checker.section(str(name), steps) for name, steps in sections.items()})


class _Checker:
    """Makes steps of one document."""

    def __init__(self) -> None:
        self._steps = 0
        self._labels: dict[str, str] = {}
        "Of the section at hand, with where they stand."
        self._gotos: list[tuple[str, str]] = []
        "Of the section at hand: labels and where they are wanted."

    def section(self, name: str, steps: object) -> Section:
        where = f"sections.{printable(name)}"
        if steps is None:
            raise SwmlError(ScriptError.SECTION_CODE_MISSING, where, "a list of steps is wanted")
        return self._whole(steps, where, 0)

    def _whole(self, steps: object, where: str, depth: int) -> Section:
        """Return steps that jump among themselves only."""
        around = self._labels, self._gotos
        self._labels, self._gotos = {}, []
        section = self._block(steps, where, depth)
        for label, at in self._gotos:
            if label not in self._labels:
                raise SwmlError(
                    ScriptError.METHOD_PARAMETER_INVALID_VALUE, f"{at}.label", "its section has no such label"
                )
        self._labels, self._gotos = around
        return section

    def _block(self, steps: object, where: str, depth: int) -> Section:
        if not isinstance(steps, list):
            raise wrong_type(where, "a list of steps")
        if depth > MAX_NESTING:
            raise SwmlError(ScriptError.NESTED_TOO_DEEP, where, f"steps are nested deeper than {MAX_NESTING}")
        self._steps += len(steps)
        if self._steps > MAX_STEPS:
            raise SwmlError(ScriptError.ELEMENT_INVALID_VALUE, where, f"at most {MAX_STEPS} steps are taken")
        return tuple(self._step(step, f"{where}[{index}]", depth) for index, step in enumerate(steps))

    def _step(self, written: object, where: str, depth: int) -> Step:
        if not isinstance(written, dict):
            raise wrong_type(where, "an object with the name of a method")
        if not written:
            raise SwmlError(ScriptError.METHOD_MISSING_NAME, where, "the name of a method is missing")
        if len(written) > 1:
            raise SwmlError(ScriptError.ELEMENT_INVALID_VALUE, where, "a step has one method; begin each with a dash")
        ((method, argument),) = written.items()
        if method not in METHODS:
            known = "is not carried out by this engine" if method in NOT_CARRIED_OUT else "is no method"
            raise SwmlError(ScriptError.METHOD_UNDEFINED, where, f"{printable(str(method))} {known}")
        path = f"{where}.{method}"
        blocks = {name: self._block(*block, depth + 1) for name, block in _blocks(method, argument, path).items()}
        step = Step(method=method, argument=argument, path=path, blocks=blocks)
        check(step, lambda confirm, at: self._confirm(confirm, at, depth))
        self._note(step)
        return step

    def _note(self, step: Step) -> None:
        """Note a label, or where one is wanted."""
        if step.method == "label":
            name = text_of(step.argument, step.path).strip()
            if name in self._labels:
                raise SwmlError(
                    ScriptError.ELEMENT_DUPLICATED, step.path, f"the label stands at {self._labels[name]} as well"
                )
            self._labels[name] = step.path
        elif step.method == "goto" and isinstance(step.argument, dict):
            label = step.argument.get("label")
            if not has_placeholder(label):
                self._gotos.append((text_of(label, step.path).strip(), step.path))

    def _confirm(self, confirm: Any, where: str, depth: int) -> object:
        """Check what a called side has to agree to: a text, or steps, which have labels of their own."""
        if not isinstance(confirm, str):
            self._whole(confirm, where, depth + 1)
        return confirm


def _blocks(method: str, argument: object, path: str) -> Mapping[str, tuple[object, str]]:
    """Return nested steps as written, by where they stand in the argument, each with its path."""
    found: dict[str, object] = {}
    if method == "cond":
        _note_branches(argument, "", found)
    elif isinstance(argument, dict):
        if method == "switch":
            _note_cases(argument, "", found)
        elif method == "execute" and argument.get("on_return") is not None:
            found["on_return"] = argument["on_return"]
        if method in ("execute", "connect"):
            result = argument.get("result")
            _note_branches(result, "result", found)
            _note_cases(result, "result.", found)
    return {name: (steps, _joined(path, name)) for name, steps in found.items()}


def _joined(path: str, name: str) -> str:
    head, dot, case = name.partition("case.")
    shown = f"{head}{dot}{printable(case)}" if dot else name
    return f"{path}{shown}" if shown.startswith("[") else f"{path}.{shown}"


def _note_branches(items: object, prefix: str, found: dict[str, object]) -> None:
    for index, item in enumerate(items if isinstance(items, list) else []):
        for name in ("then", "else"):
            if isinstance(item, dict) and item.get(name) is not None:
                found[f"{prefix}[{index}].{name}"] = item[name]


def _note_cases(switch: object, prefix: str, found: dict[str, object]) -> None:
    if not isinstance(switch, dict):
        return
    cases = switch.get("case")
    for value, steps in cases.items() if isinstance(cases, dict) else ():
        found[f"{prefix}case.{value}"] = steps
    if switch.get("default") is not None:
        found[f"{prefix}default"] = switch["default"]
