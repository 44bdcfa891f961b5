"""The trade-off as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.dtmf.plots import COLOURS, DPI, need_matplotlib
from benchmarks.tune.fit import Point

__all__ = ("draw",)


def draw(points: Sequence[Point], chosen: Point, conditions: Sequence[str], path: Path) -> None:
    """Draw recall under the hardest conditions against false digits an hour, and both against the threshold.

    Raises MissingExtra without matplotlib.
    """
    need_matplotlib()
    import_module("matplotlib").use("Agg")
    plt = import_module("matplotlib.pyplot")
    kinds = sorted(chosen.hours)
    rates = [sum(p.false_digits.values()) / sum(p.hours.values()) for p in points]
    least = 0.5 / sum(chosen.hours.values())  # half a digit stands for none: a logarithmic axis has no 0
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    for colour, condition in zip(COLOURS, conditions, strict=False):
        left.plot(
            [max(rate, least) for rate in rates],
            [p.recall[condition] for p in points],
            color=colour,
            marker="o",
            markersize=3,
            label=condition,
        )
    at = max(rates[points.index(chosen)], least)
    left.axvline(at, color="#999999", linewidth=0.8, linestyle=":")
    left.annotate(f"chosen: {chosen.threshold:g} ", (at, 41), fontsize=8, color="#555555", ha="right")
    left.set(
        xscale="log", xlabel="false digits an hour of all audio, out of fold", ylabel="keys heard, %", ylim=(40, 101)
    )
    left.legend(fontsize=8, loc="lower right", frameon=False)
    for colour, kind in zip(COLOURS, kinds, strict=False):
        least = 0.5 / chosen.hours[kind]
        right.plot(
            [p.threshold for p in points],
            [max(p.an_hour(kind), least) for p in points],
            color=colour,
            marker="o",
            markersize=3,
            label=f"{kind}, {chosen.hours[kind]:.0f} h",
        )
    right.axvline(chosen.threshold, color="#999999", linewidth=0.8, linestyle=":")
    right.set(yscale="log", xlabel="threshold of the score", ylabel="false digits an hour (lowest: none)")
    right.legend(fontsize=8, frameon=False)
    for axis in (left, right):
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
