"""Write docs/states/*.md from the tables that the code runs on, so that the pictures cannot drift from them.

    PYTHONPATH=. python docs/make_state_diagrams.py

A test fails when a file differs from what this writes.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

STATES = Path(__file__).parent / "states"
MACHINES = {
    "pay.md": ("The pay machine", "engine.pay.states"),
    "pay-capture.md": ("The capture machine", "engine.pay.capture_states"),
}
"Page, title, and the module whose ``TABLE`` is drawn; a machine that is not built in is passed over."

Table = Mapping[tuple[StrEnum, StrEnum], tuple[StrEnum, StrEnum]]


def table_of(module: str) -> Table:
    """Return the table of a module."""
    table: Table = importlib.import_module(module).TABLE
    return table


def diagram(table: Table) -> list[str]:
    """Return the lines of a Mermaid diagram: from the first state of the enumeration to the one that nothing leaves."""
    states = list(type(next(iter(table))[0]))
    last = next(state for state in states if all(before is not state for before, _ in table))
    edges: dict[tuple[str, str], list[str]] = {}
    for (before, event), (after, do) in table.items():
        edges.setdefault((before.name, after.name), []).append(f"{event} / {do}")
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {states[0].name}"]
    for (source, target), labels in edges.items():
        lines.append(f"    {source} --> {target}: {'<br>'.join(labels)}")
    return [*lines, f"    {last.name} --> [*]", "```"]


def _page(title: str, module: str) -> str:
    table = table_of(module)
    lines = [
        f"# {title}",
        "",
        f"Generated from the table in `{module}` by `docs/make_state_diagrams.py`; change the table, not this file.",
        "An arrow reads: what happens / what is done. What is not drawn is ignored, and the table says why.",
        "",
        *diagram(table),
        "",
        "| state | input | next | action |",
        "|---|---|---|---|",
    ]
    for (state, event), (following, do) in table.items():
        lines.append(f"| {state} | `{event}` | {following} | {do} |")
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Return what every page holds, by its name."""
    return {name: _page(*machine) for name, machine in MACHINES.items() if find_spec(machine[1]) is not None}


def main() -> None:
    """Write every page."""
    STATES.mkdir(exist_ok=True)
    for name, page in pages().items():
        (STATES / name).write_text(page)


if __name__ == "__main__":
    main()
