"""The drawn machines are those that run."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[4] / "docs"
MADE = runpy.run_path(str(DOCS / "make_state_diagrams.py"))
PAGES: dict[str, str] = MADE["pages"]()


@pytest.mark.parametrize("name", PAGES)
def test_the_diagram_is_what_the_table_says(name: str) -> None:
    assert (DOCS / "states" / name).read_text() == PAGES[name], "run docs/make_state_diagrams.py"


@pytest.mark.parametrize("name", PAGES)
def test_every_transition_is_in_the_diagram(name: str) -> None:
    rows = [line for line in PAGES[name].splitlines() if line.startswith("| ")]
    assert len(rows) == len(MADE["table_of"](MADE["MACHINES"][name][1])) + 1


def test_no_other_page_is_there() -> None:
    assert {path.name for path in (DOCS / "states").glob("pay*.md")} == set(PAGES)
    assert "pay.md" in PAGES
