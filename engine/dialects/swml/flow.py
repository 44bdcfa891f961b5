"""Where a SWML document is (`dialects.md` §3.6): sections that call each other, blocks within them, labels.

Three things nest. A `Script` is a document with where it came from. A level is one run of a section, the first one or
one that ``execute`` called; it has its own ``params`` and counts of jumps, and ends with its steps or by ``return``.
Blocks are the lists of steps within a section: its own one, and those of ``cond``, ``switch``, ``on_return`` and
``result`` in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.dialects.swml.arguments import arguments_of
from engine.dialects.swml.errors import ScriptError, SwmlError
from engine.dialects.swml.methods import Branch, Document, Execute, Label, Section, Step, Switch

__all__ = ("MAX_DEPTH", "Choice", "Ended", "Flow", "Script")

MAX_DEPTH = 32
"Sections that may be under way, each called by the one before."
MAIN = "main"
Choice = Switch | tuple[Branch, ...]
"What decides how it goes on."
_Way = tuple[tuple[Section, int], ...]
"Where a step is: in each block from the section's own one inwards, the index of the step that leads there."


@dataclass(slots=True, eq=False)
class Script:
    """A document and where it came from; ``base`` is an absolute URL, empty when the document came inline."""

    document: Document = field(repr=False)
    base: str = field(default="", repr=False)
    _labels: dict[str, dict[str, _Way]] = field(default_factory=dict, repr=False)

    def has(self, section: str) -> bool:
        """Return whether there is a section of that name."""
        return section in self.document.sections

    def way_to(self, section: str, label: str) -> _Way | None:
        """Return where a label of a section is, None when there is none."""
        ways = self._labels.get(section)
        if ways is None:
            ways = self._labels[section] = {}
            _note_labels(self.document.sections[section], (), ways)
        return ways.get(label)


def _note_labels(steps: Section, way: _Way, ways: dict[str, _Way]) -> None:
    for index, step in enumerate(steps):
        here = (*way, (steps, index))
        if step.method == "label":
            name = _name_of(step)
            ways.setdefault(name, here)
        for block in step.blocks.values():
            _note_labels(block, here, ways)


def _name_of(label: Step) -> str:
    arguments = arguments_of(label, label.argument)
    assert isinstance(arguments, Label)
    return arguments.name


@dataclass(slots=True)
class _Block:
    steps: Section
    at: int = 0
    afterwards: Choice | None = None
    "Decides how it goes on when the steps are through."


@dataclass(slots=True)
class _Level:
    script: Script
    section: str
    params: Mapping[str, Any]
    blocks: list[_Block]
    caller: Execute | None
    jumps: dict[str, int] = field(default_factory=dict)
    "By the path of the goto."


@dataclass(frozen=True, slots=True)
class Ended:
    """A section is through; ``caller`` is what called it, None of the first one."""

    caller: Execute | None


class Flow:
    """The way through documents; `begin` comes first."""

    def __init__(self) -> None:
        self._levels: list[_Level] = []

    @property
    def script(self) -> Script:
        """The document that runs."""
        return self._levels[-1].script

    @property
    def params(self) -> Mapping[str, Any]:
        """What the section that runs was called with."""
        return self._levels[-1].params if self._levels else {}

    def begin(self, script: Script, section: str, params: Mapping[str, Any]) -> None:
        """Run a section in place of all that runs."""
        self._levels.clear()
        self._push(script, section, params, None)

    def call(self, script: Script, section: str, params: Mapping[str, Any], caller: Execute, where: str) -> None:
        """Run a section, and then go on here. Raises `SwmlError` when too many call each other."""
        if len(self._levels) >= MAX_DEPTH:
            raise SwmlError(
                ScriptError.NESTED_TOO_DEEP, where, f"more than {MAX_DEPTH} sections call each other; return from some"
            )
        self._push(script, section, params, caller)

    def _push(self, script: Script, section: str, params: Mapping[str, Any], caller: Execute | None) -> None:
        steps = script.document.sections[section]
        self._levels.append(_Level(script, section, params, [_Block(steps)], caller))

    def enter(self, steps: Section, afterwards: Choice | None = None) -> None:
        """Run a block next; then what ``afterwards`` decides on."""
        if steps or afterwards is not None:
            self._levels[-1].blocks.append(_Block(steps, 0, afterwards))

    def next(self) -> Step | Choice | Ended:
        """Take the next step; or the choice that is due now; or leave a section that is through."""
        blocks = self._levels[-1].blocks
        while blocks:
            block = blocks[-1]
            if block.at < len(block.steps):
                block.at += 1
                return block.steps[block.at - 1]
            blocks.pop()
            if block.afterwards is not None:
                return block.afterwards
        return self.leave()

    def leave(self) -> Ended:
        """Leave the section that runs, wherever it is; the first one stays where it is, which is its end."""
        level = self._levels[-1]
        level.blocks.clear()
        if level.caller is not None:
            self._levels.pop()
        return Ended(level.caller)

    def jump(self, label: str, at_most: int, goto: str) -> bool:
        """Go on behind a label of the section that runs, unless ``goto`` (a path) did so ``at_most`` times.

        Raises `SwmlError` when there is no such label.
        """
        level = self._levels[-1]
        way = level.script.way_to(level.section, label)
        if way is None:
            raise SwmlError(ScriptError.METHOD_PARAMETER_INVALID_VALUE, goto, "its section has no such label")
        if level.jumps.get(goto, 0) >= at_most:
            return False
        level.jumps[goto] = level.jumps.get(goto, 0) + 1
        level.blocks = [_Block(steps, index + 1) for steps, index in way]
        return True
