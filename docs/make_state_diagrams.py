"""Write docs/states/*.md from the tables that the code runs on, so that the pictures cannot drift from them.

    PYTHONPATH=. python docs/make_state_diagrams.py

A test fails when a file differs from what this writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from engine.pay.states import TABLE, Do, Input, State

STATES = Path(__file__).parent / "states"


def pay() -> str:
    """Return the page of the pay machine."""
    return _page("The pay machine", "engine.pay.states", State.IDLE, State.FINISHED, TABLE)


def _page(
    title: str,
    module: str,
    first: StrEnum,
    last: StrEnum,
    table: Mapping[tuple[State, Input], tuple[State, Do]],
) -> str:
    edges: dict[tuple[str, str], list[str]] = {}
    for (before, event), (after, do) in table.items():
        edges.setdefault((before.name, after.name), []).append(f"{event} / {do}")
    lines = [
        f"# {title}",
        "",
        f"Generated from the table in `{module}` by `docs/make_state_diagrams.py`; change the table, not this file.",
        "An arrow reads: what happens / what is done. What is not drawn is ignored, and the table says why.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {first.name}",
    ]
    for (source, target), labels in edges.items():
        lines.append(f"    {source} --> {target}: {'<br>'.join(labels)}")
    lines += [f"    {last.name} --> [*]", "```", "", "| state | input | next | action |", "|---|---|---|---|"]
    for (state, event), (following, do) in table.items():
        lines.append(f"| {state} | `{event}` | {following} | {do} |")
    return "\n".join(lines) + "\n"


PAGES = {"pay.md": pay}


def main() -> None:
    """Write every page."""
    STATES.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (STATES / name).write_text(page())


if __name__ == "__main__":
    main()
