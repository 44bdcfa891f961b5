"""Results: JSON, CSV, a table side by side for people, and the same as Markdown."""

from __future__ import annotations

import csv
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import scipy
import soundfile

from benchmarks.dtmf.suite import MISSED, Row
from benchmarks.dtmf.suites import SUITES

__all__ = ("FORMAT", "Report", "load", "machine", "markdown", "tables", "write_csv", "write_json")

FORMAT = 1
"Changes when a field changes its meaning."


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All of a run."""

    machine: dict[str, str]
    method: dict[str, Any]
    detectors: dict[str, str]
    "Name and version of each."
    rows: list[Row]
    problems: list[str]
    "Files and detectors that failed; they are in no figure."


@dataclass(frozen=True, slots=True)
class Table:
    """A suite's figures, a row for each condition, a column for each detector."""

    title: str
    head: list[str]
    body: list[list[str]]


def machine() -> dict[str, str]:
    """Name processor and software, nothing that tells whose machine it is."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model or platform.machine(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "libsndfile": soundfile.__libsndfile_version__,
    }


def write_json(report: Report, out: TextIO) -> None:
    """Write everything."""
    head = {"format": FORMAT} | asdict(report)
    rows = ",\n".join(json.dumps(row) for row in head.pop("rows"))  # a line each: a new run differs where it does
    out.write(json.dumps(head, indent=1).removesuffix("\n}") + f',\n "rows": [\n{rows}\n]}}\n')


def load(path: Path) -> Report:
    """Read what `write_json` wrote.

    Raises ValueError when it is something else.
    """
    found = json.loads(path.read_text())
    if not isinstance(found, dict) or found.pop("format", None) != FORMAT:
        raise ValueError(f"{path}: not results of this benchmark")
    found["rows"] = [Row(**row) for row in found["rows"]]
    return Report(**found)


def write_csv(report: Report, out: TextIO) -> None:
    """Write the rows."""
    writer = csv.DictWriter(out, [f.name for f in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in report.rows)


def tables(report: Report) -> list[Table]:
    """Return the tables, one for each suite that has figures."""
    found = []
    for suite in SUITES.values():
        rows = [row for row in report.rows if row.suite == suite.name and not row.detail]
        if not rows:
            continue
        names = [name for name in report.detectors if any(row.detector == name for row in rows)]
        lines: dict[str, dict[str, str]] = {}
        for row in rows:
            for label, cell in _cells(row, rows):
                lines.setdefault(label, {})[row.detector] = cell
        body = [[label, *(cells.get(name, "–") for name in names)] for label, cells in lines.items()]
        found.append(Table(suite.title, ["", *names], body))
    return found + _why(report)


def _why(report: Report) -> list[Table]:
    """Return the table of the limits that missed keys broke, if that was asked for."""
    reasons: dict[str, dict[str, list[str]]] = {}
    for row in report.rows:
        if row.figure.startswith(MISSED) and row.value is not None:
            reason = f"{row.figure.removeprefix(MISSED)} {row.value:.0f}"
            reasons.setdefault(f"{row.suite}, {row.condition}", {}).setdefault(row.detector, []).append(reason)
    if not reasons:
        return []
    names = [name for name in report.detectors if any(name in cells for cells in reasons.values())]
    body = [[label, *("; ".join(cells.get(name, [])) for name in names)] for label, cells in reasons.items()]
    return [Table("Missed keys, by the limit they broke", ["", *names], body)]


def _cells(row: Row, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return the line and the text of a figure; none when another figure's cell tells it."""
    if row.figure in ("inserted", "hours", "per hour", "95 %", "most") or row.unit == "x":
        return []
    label = (
        row.condition
        if row.figure in ("recall", "false", "limit", "false digits", "median", "Msamples/s")
        else f"{row.condition}: {row.figure}"
    )

    def beside(figure: str) -> Row | None:
        wanted = (row.condition, row.detector, figure)
        return next((r for r in rows if (r.condition, r.detector, r.figure) == wanted), None)

    if row.value is None:
        return [(label, "never")]
    if row.figure == "recall":
        inserted = beside("inserted")
        extra = f" +{inserted.value:.0f}" if inserted is not None and inserted.value else ""
        return [(label, f"{_percent(row)} %{extra}")]
    if row.figure == "false":
        return [(f"{label}: false", f"{_percent(row)} %")]
    if row.figure == "false digits":
        hours, rate = beside("hours"), beside("per hour")
        assert hours is not None
        assert hours.value is not None
        text = f"{row.value:.0f}" + (f" ({rate.value:.2f}/h)" if rate is not None and rate.value else "")
        return [(f"{label}, {hours.value:.2f} h", text)]
    if row.figure == "median":
        values = [r.value for r in (row, beside("95 %"), beside("most")) if r is not None and r.value is not None]
        return [(f"{label}: median / 95 % / most", " / ".join(f"{value:.0f}" for value in values) + f" {row.unit}")]
    if row.unit == "of":
        return [(label, f"{row.value:.0f} of {row.n}")]
    if row.unit == "Msamples/s":
        ratio = beside("x spandsp")
        extra = f" ({ratio.value:.2f} x)" if ratio is not None and ratio.value is not None else ""
        return [(label, f"{row.value:.0f}{extra}")]
    if row.unit == "instructions":
        return [(label, f"{row.value:.2f}")]
    if row.unit == "":
        return [(label, f"{row.value:.0f}")]
    return [(label, f"{row.value:g} {row.unit}")]


def _percent(row: Row) -> str:
    """Return a percentage that says 100 only when it is all of them, and 0 only when it is none."""
    assert row.value is not None
    text = f"{row.value:.1f}"
    if (text == "100.0" and row.value < 100) or (text == "0.0" and row.value > 0):
        return f"{row.value:.2f}"
    return text


def _preamble(report: Report) -> list[str]:
    about = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    how = ", ".join(f"{name} {value}" for name, value in report.method.items())
    who = "; ".join(f"{name}: {version}" for name, version in report.detectors.items())
    return [about, how, who]


def plain(report: Report) -> str:
    """Return the tables for a terminal."""
    lines = _preamble(report)
    for table in tables(report):
        widths = [max(len(row[i]) for row in [table.head, *table.body]) for i in range(len(table.head))]
        lines += ["", table.title]
        for row in [table.head, *table.body]:
            first, *rest = (
                cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
            lines.append("  " + "  ".join([first, *rest]))
    lines += [f"problem: {problem}" for problem in report.problems]
    return "\n".join(lines)


def markdown(report: Report) -> str:
    """Return the tables as Markdown."""
    lines = ["# DTMF benchmark", "", *(f"- {line}" for line in _preamble(report))]
    lines += ["", "How to read and repeat this: `docs/benchmarks.md`. `+3` behind a recall: three digits inserted."]
    for table in tables(report):
        lines += ["", f"## {table.title}", "", "| " + " | ".join(table.head) + " |"]
        lines.append("|---" + "|---:" * (len(table.head) - 1) + "|")
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table.body]
    if report.problems:
        lines += ["", "## Problems", "", *(f"- {problem}" for problem in report.problems)]
    return "\n".join(lines) + "\n"
