"""Plots of the results, as PNG: recall against noise, what is accepted, talk-off, throughput."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dtmf.errors import MissingExtra
from benchmarks.dtmf.report import Report
from benchmarks.dtmf.suite import Row
from benchmarks.dtmf.suites.q24 import MAP_OFFSETS, MAP_TWISTS_DB
from benchmarks.dtmf.suites.throughput import PIECES

__all__ = ("draw", "need_matplotlib")

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"Okabe and Ito: told apart by everyone."
DPI = 130
SHORT, LONG = (f"pieces of {n}" for n in PIECES)


def need_matplotlib() -> None:
    """Raise MissingExtra when there is nothing to draw with."""
    if find_spec("matplotlib") is None:
        raise MissingExtra("matplotlib")


def draw(report: Report, folder: Path) -> list[Path]:
    """Draw what there are figures for; return the files.

    Raises MissingExtra without matplotlib.
    """
    need_matplotlib()
    import_module("matplotlib").use("Agg")
    plt = import_module("matplotlib.pyplot")
    names = list(report.detectors)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, make in (
        ("recall_snr", _recall_snr),
        ("acceptance", _acceptance),
        ("talkoff", _talkoff),
        ("throughput", _throughput),
    ):
        figure = make(plt, report.rows, names)
        if figure is None:
            continue
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
        plt.close(figure)
        files.append(path)
    return files


def _colour(names: Sequence[str], name: str) -> str:
    return COLOURS[names.index(name) % len(COLOURS)]


def _plain(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _recall_snr(plt: Any, rows: Sequence[Row], names: Sequence[str]) -> Any:
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        found = re.fullmatch(r"white noise, SNR (-?\d+) dB", row.condition)
        if row.suite == "noise" and row.figure == "recall" and found and row.value is not None:
            points.setdefault(row.detector, []).append((float(found[1]), row.value))
    if not points:
        return None
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name in [n for n in names if n in points]:
        x, y = zip(*sorted(points[name]), strict=True)
        axes.plot(x, y, marker="o", markersize=4, color=_colour(names, name), label=name)
    axes.set(xlabel="SNR in 0 to 4 kHz, dB (both tones over white noise)", ylabel="keys heard, %", ylim=(-3, 103))
    axes.set_title("Keys of 50/50 ms in white noise", loc="left")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    _plain(axes)
    return figure


def _acceptance(plt: Any, rows: Sequence[Row], names: Sequence[str]) -> Any:
    maps: dict[str, Any] = {}
    for row in rows:
        found = re.fullmatch(r"map: ([+-]\d+) dB, ([+-][\d.]+) %", row.condition)
        if row.suite != "q24" or not found or row.value is None:
            continue
        grid = maps.setdefault(row.detector, np.full((len(MAP_TWISTS_DB), len(MAP_OFFSETS)), np.nan))
        offset = round(float(found[2]) / 100, 4)
        grid[MAP_TWISTS_DB.index(float(found[1])), MAP_OFFSETS.index(offset)] = row.value
    if not maps:
        return None
    shown = [name for name in names if name in maps]
    figure, all_axes = plt.subplots(
        1, len(shown), figsize=(1.2 + 3.6 * len(shown), 4.6), sharey=True, layout="constrained", squeeze=False
    )
    x_step, y_step = 100 * (MAP_OFFSETS[1] - MAP_OFFSETS[0]), MAP_TWISTS_DB[1] - MAP_TWISTS_DB[0]
    extent = (
        100 * MAP_OFFSETS[0] - x_step / 2,
        100 * MAP_OFFSETS[-1] + x_step / 2,
        MAP_TWISTS_DB[0] - y_step / 2,
        MAP_TWISTS_DB[-1] + y_step / 2,
    )
    image = None
    for axes, name in zip(all_axes[0], shown, strict=True):
        image = axes.imshow(
            maps[name],
            origin="lower",
            extent=extent,
            aspect="auto",
            cmap="viridis",
            vmin=0,
            vmax=100,
            interpolation="none",
        )
        axes.add_patch(plt.Rectangle((-1.5, -8), 3, 12, fill=False, edgecolor="white", linewidth=1.8))
        for edge in (-3.5, 3.5):
            axes.axvline(edge, color="white", linestyle="--", linewidth=1)
        axes.set_title(name, loc="left")
        axes.set_xlabel("both tones off by, %")
    all_axes[0][0].set_ylabel("high minus low, dB")
    figure.colorbar(image, ax=list(all_axes[0]), label="keys heard, %", shrink=0.9)
    figure.suptitle(
        "What is accepted. Box: Q.24 (AT&T) wants it; outside the dashed lines: it must be refused", fontsize=10
    )
    return figure


def _bars(
    plt: Any, table: dict[str, dict[str, float]], names: Sequence[str], *, title: str, label: str, digits: int
) -> Any:
    shown = [name for name in names if any(name in row for row in table.values())]
    height = 0.8 / len(shown)
    figure, axes = plt.subplots(figsize=(8, 1.4 + (0.12 + 0.16 * len(shown)) * len(table)), layout="constrained")
    for index, name in enumerate(shown):
        at = [i + (index - (len(shown) - 1) / 2) * height for i in range(len(table))]
        values = [row.get(name, np.nan) for row in table.values()]
        bars = axes.barh(at, values, height * 0.9, color=_colour(names, name), label=name)
        texts = ["" if np.isnan(value) else f"{value:.{digits}f}" for value in values]
        axes.bar_label(bars, texts, padding=3, fontsize=7)
    axes.set_yticks(range(len(table)), list(table))
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_xlabel(label)
    axes.set_xlim(right=1.1 * max(1e-9, axes.get_xlim()[1]))
    axes.set_title(title, loc="left")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(
        frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.5 / figure.get_figheight()), ncols=len(shown)
    )
    _plain(axes)
    return figure


def _talkoff(plt: Any, rows: Sequence[Row], names: Sequence[str]) -> Any:
    hours: dict[str, float] = {}
    table: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.suite != "talkoff" or row.detail or row.value is None:
            continue
        if row.figure == "hours":
            hours[row.condition] = row.value
        elif row.figure == "per hour":
            table.setdefault(row.condition, {})[row.detector] = row.value
    if not table:
        return None
    labelled = {f"{name} ({hours[name]:.1f} h)": table[name] for name in table}
    title = "Talk-off: digits found where there are none"
    return _bars(plt, labelled, names, title=title, label="false digits an hour", digits=2)


def _throughput(plt: Any, rows: Sequence[Row], names: Sequence[str]) -> Any:
    table: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.suite != "throughput" or row.figure != "Msamples/s" or row.value is None:
            continue
        if SHORT not in row.condition:
            table.setdefault(row.condition.removesuffix(f", {LONG}"), {})[row.detector] = row.value
    if not table:
        return None
    title = "Throughput of one core, in pieces of 8,000 samples"
    return _bars(plt, table, names, title=title, label="Msamples/s of CPU time", digits=0)
