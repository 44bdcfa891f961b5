"""The calls' figures as tables, JSON and a plot."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.load.media import MediaRun

__all__ = ("Row", "draw", "rows", "table", "write_json")

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"Okabe and Ito: told apart by everyone."
DPI = 130
GOAL_US = 300
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """All runs of one load: medians of cost, sums of what must not happen."""

    label: str
    calls: int
    runs: int
    disturbed: int
    "Runs in which others on the machine kept the media threads from their work."
    us_per_call_second: float
    lowest_us: float
    highest_us: float
    media_us: float
    generator_us: float
    cpu_s_per_call_minute: float
    calls_per_core: int
    ticks: int
    late_ticks: int
    skipped_ticks: int
    max_late_us: int
    events_lost: int
    keys_sent: int
    keys_heard: int
    keys_lost: int
    keys_doubled: int
    keys_wrong: int
    bytes_per_call: float

    @property
    def late_share(self) -> float:
        """Late ticks by all ticks, 0 to 1."""
        return self.late_ticks / self.ticks if self.ticks else 0.0


def _label(run: MediaRun) -> str:
    extras = [name for name, is_on in (("SRTP", run.srtp), ("recorded", run.record), ("bridged", run.bridge)) if is_on]
    threads = f"{run.threads} threads" if run.threads > 1 else ""
    return ", ".join(filter(None, (f"keys {run.mode}", *extras, threads)))


def rows(runs: Iterable[MediaRun]) -> list[Row]:
    """Return one row for each load, in the order in which they came first.

    Disturbed runs count only where there is no other.
    """
    groups: dict[tuple[str, int], list[MediaRun]] = {}
    for run in runs:
        groups.setdefault((_label(run), run.calls), []).append(run)
    return [_row(label, calls, group) for (label, calls), group in groups.items()]


def _row(label: str, calls: int, every: Sequence[MediaRun]) -> Row:
    group = [run for run in every if not run.is_disturbed] or list(every)
    cost = statistics.median(run.us_per_call_second for run in group)
    return Row(
        label=label,
        calls=calls,
        runs=len(every),
        disturbed=sum(run.is_disturbed for run in every),
        us_per_call_second=cost,
        lowest_us=min(run.us_per_call_second for run in group),
        highest_us=max(run.us_per_call_second for run in group),
        media_us=statistics.median(run.media_us for run in group),
        generator_us=statistics.median(run.generator_us for run in group),
        cpu_s_per_call_minute=cost * 60 / 1e6,
        calls_per_core=int(1e6 / cost) if cost else 0,
        ticks=sum(run.ticks for run in group),
        late_ticks=sum(run.late_ticks for run in group),
        skipped_ticks=sum(run.skipped_ticks for run in group),
        max_late_us=max(run.max_late_us for run in group),
        events_lost=sum(run.events_lost for run in group),
        keys_sent=sum(run.keys.sent for run in group),
        keys_heard=sum(run.keys.heard for run in group),
        keys_lost=sum(run.keys.lost for run in group),
        keys_doubled=sum(run.keys.doubled for run in group),
        keys_wrong=sum(run.keys.wrong for run in group),
        bytes_per_call=statistics.median(run.bytes_per_call for run in group),
    )


def table(found: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| load | calls | runs (disturbed) | µs a call and second (range) | media thread | CPU-s a call and minute | "
        "calls a core | late ticks | keys sent / lost / doubled / wrong | kB a call | generator µs |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in found:
        lines.append(
            f"| {row.label} | {row.calls} | {row.runs} ({row.disturbed}) | {row.us_per_call_second:.0f} "
            f"({row.lowest_us:.0f}-{row.highest_us:.0f}) "
            f"| {row.media_us:.0f} | {row.cpu_s_per_call_minute:.4f} | {row.calls_per_core} "
            f"| {row.late_ticks} of {row.ticks} ({row.late_share:.3%}) "
            f"| {row.keys_sent} / {row.keys_lost} / {row.keys_doubled} / {row.keys_wrong} "
            f"| {row.bytes_per_call / 1000:.0f} | {row.generator_us:.0f} |"
        )
    return "\n".join(lines)


def write_json(path: Path, method: Mapping[str, Any], runs: Sequence[Any]) -> None:
    """Write what was measured, run by run; keys of callers are in no run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {"format": FORMAT, "method": dict(method), "runs": [asdict(run) for run in runs]}
    path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def draw(path: Path, found: Sequence[Row]) -> bool:
    """Plot cost against calls; return False without matplotlib."""
    if find_spec("matplotlib") is None:
        return False
    import_module("matplotlib").use("Agg")
    plt = import_module("matplotlib.pyplot")
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in found:
        lines.setdefault(row.label, []).append((row.calls, row.us_per_call_second))
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for index, (name, points) in enumerate(lines.items()):
        x, y = zip(*sorted(points), strict=True)
        axes.plot(x, y, marker="o", label=name, color=COLOURS[index % len(COLOURS)])
    axes.axhline(GOAL_US, color="#999999", linewidth=1, linestyle=":", label=f"goal: {GOAL_US}")
    axes.set_ylim(0, 1.1 * max(GOAL_US, *(y for points in lines.values() for _, y in points)))
    axes.set_xlabel("calls at once")
    axes.set_ylabel("µs of CPU a call and second")
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
    return True
