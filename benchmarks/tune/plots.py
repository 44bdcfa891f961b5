"""The trade-off as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.dtmf.plots import COLOURS, DPI, need_matplotlib
from benchmarks.tune.fit import Point

__all__ = ("draw",)

FLOOR = 0.003
"False digits an hour drawn for none: a logarithmic axis has no 0."


def draw(points: Sequence[Point], chosen: Point, conditions: Sequence[str], path: Path) -> None:
    """Draw recall under the hardest conditions against false digits an hour, and mark the chosen point.

    Raises MissingExtra without matplotlib.
    """
    need_matplotlib()
    import_module("matplotlib").use("Agg")
    plt = import_module("matplotlib.pyplot")
    kinds = sorted({kind for point in points for kind in point.hours})
    figure, axes = plt.subplots(1, len(kinds), figsize=(4.2 * len(kinds), 4.4), layout="constrained", sharey=True)
    for axis, kind in zip(axes if len(kinds) > 1 else [axes], kinds, strict=True):
        rates = [max(point.an_hour(kind), FLOOR) for point in points]
        for colour, condition in zip(COLOURS, conditions, strict=False):
            axis.plot(rates, [p.recall[condition] for p in points], color=colour, label=condition)
        axis.axvline(max(chosen.an_hour(kind), FLOOR), color="#999999", linewidth=0.8, linestyle=":")
        axis.text(max(chosen.an_hour(kind), FLOOR), 2, f" chosen: {chosen.threshold:g}", fontsize=7, color="#555555")
        axis.set(xscale="log", xlabel=f"false digits an hour, {kind} ({FLOOR}: none)", ylim=(0, 102))
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    first = axes[0] if len(kinds) > 1 else axes
    first.set_ylabel("keys heard, %")
    first.legend(fontsize=7, loc="lower right", frameon=False)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
