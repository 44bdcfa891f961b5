"""The drawn pay machine is the one that runs."""

from __future__ import annotations

import runpy
from pathlib import Path

from engine.pay.states import TABLE

DOCS = Path(__file__).parents[4] / "docs"


def test_the_diagram_is_what_the_table_says() -> None:
    pages = runpy.run_path(str(DOCS / "make_state_diagrams.py"))["PAGES"]
    assert (DOCS / "states" / "pay.md").read_text() == pages["pay.md"](), "run docs/make_state_diagrams.py"


def test_every_transition_is_in_the_diagram() -> None:
    rows = [line for line in (DOCS / "states" / "pay.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == len(TABLE) + 1
