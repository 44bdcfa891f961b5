"""Tune the DTMF detector: fit its learned decision, choose the profiles' thresholds, judge both on other audio.

``python -m benchmarks.tune_dtmf --corpus DIR [--judge DIR] [--folds K] [--write]``

Windows of audio without keys and of keys under the benchmark's conditions are what `benchmarks.tune.model` learns
from. Thresholds come from cross-validation: sources are dealt to folds, each is judged by a fit that never heard it.
``--judge`` names a second corpus that takes no part in either; its figures are what may be believed. ``--write`` puts
the result in ``benchmarks/tuning`` and ``dsp/_dtmf_model.pxd``. How and why: benchmarks/tuning/README.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tune import fit, model, plots, windows
from benchmarks.tune.fit import Point
from dsp.dtmf import PROFILES

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "tuning"
COMPILED = ROOT / "dsp" / "_dtmf_model.pxd"
SEED = 24
SPEEDS = (1.0, 0.85, 0.95, 1.05, 1.15)
"Each recording is heard so often: other pitches are other chances to sound like a key."
JUDGING_SPEEDS = (1.0, 0.8, 0.9, 0.93, 1.07, 1.1, 1.25)
CHUNKS, KEYS_A_CHUNK = 10, 160
THRESHOLDS = tuple(float(t) for t in np.round(np.arange(-4, 8.01, 0.25), 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a profile's threshold is chosen for."""

    an_hour: Mapping[str, float]
    "False digits an hour that it may give out of fold, by kind of audio."
    margin: float = 0.0
    "Added to the lowest threshold that keeps to that: the next corpus is never like the last."
    refuses: bool = True
    "Nothing that Q.24 refuses may be heard."


GOALS: Mapping[str, Goal] = {
    # A quarter and less of what spandsp was measured to give (speech 0.07, music 0.52 to 0.58, synthesised 1.8).
    "itu_q24": Goal(an_hour={"speech": 0.02, "music": 0.08, "synthesised": 0.05}, margin=1.5),
    "strict": Goal(an_hour={"speech": 0.02, "music": 0.08, "synthesised": 0.05}, margin=3.0),
    # It masks tones in a recording, where a false digit costs 30 ms of a voice; frequencies 3 % off are masked too.
    "sensitive": Goal(an_hour={"speech": 2.0, "music": 5.0, "synthesised": 5.0}, refuses=False),
}
PLOTTED = ("babble of six, 5 dB", "one talker, 10 dB", "white noise, SNR 4 dB", "GSM full rate", "babble of six, 10 dB")


def tune(
    corpus: Path, judge: Path | None, n_folds: int, processes: int
) -> tuple[model.Model, dict[str, Any], list[Point]]:
    """Run the procedure; return the model, everything known of it, and the trade-off."""
    begin = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - begin:6.0f} s  {what}", file=sys.stderr, flush=True)

    shared: dict[str, Any] = {"chunks": CHUNKS, "keys_a_chunk": KEYS_A_CHUNK, "processes": processes}
    audio, keys = windows.material(corpus, SPEEDS, seed=SEED, **shared)
    if not audio:
        raise SystemExit(f"{corpus}: no audio to tune on")
    tell(f"{sum(a.hours for a in audio):.1f} h of audio and {len(keys)} recordings of keys looked at")
    scorer, _ = fit.out_of_fold(audio, keys, n_folds, SEED)
    points = {
        name: [fit.evaluate(audio, keys, scorer, threshold, PROFILES[name]) for threshold in THRESHOLDS]
        for name in GOALS
    }
    tell(f"{n_folds} folds fitted and judged")
    chosen = {name: _chosen(points[name], goal) for name, goal in GOALS.items()}
    final = fit.fit(audio, keys)
    about: dict[str, Any] = {
        "command": f"python -m benchmarks.tune_dtmf --folds {n_folds} --write",
        "seed": SEED,
        "folds": n_folds,
        "hours": _hours(audio),
        "windows": sum(len(a.windows.at) for a in audio),
        "profiles": {name: _figures(point) for name, point in chosen.items()},
    }
    if judge is not None:
        audio, keys = windows.material(judge, JUDGING_SPEEDS, seed=SEED + 1, **shared)
        about["judged_hours"] = _hours(audio)
        about["judged"] = {
            name: _figures(fit.evaluate(audio, keys, fit.by_model(final), point.threshold, PROFILES[name]))
            for name, point in chosen.items()
        }
        tell(f"{sum(a.hours for a in audio):.1f} h of other audio judged")
    return final, about, points["itu_q24"]


def _chosen(points: Sequence[Point], goal: Goal) -> Point:
    """Return the point that a goal asks for: the margin above the lowest that keeps to it."""
    wanted = fit.choose(points, goal.an_hour, refuses=goal.refuses).threshold + goal.margin
    return min(points, key=lambda point: abs(point.threshold - wanted))


def _hours(audio: Sequence[windows.Audio]) -> dict[str, dict[str, float]]:
    """Return hours by kind and source, all speeds together."""
    hours: dict[str, dict[str, float]] = {}
    for item in audio:
        sources = hours.setdefault(item.kind, {})
        sources[item.source] = round(sources.get(item.source, 0.0) + item.hours, 2)
    return hours


def _figures(point: Point) -> dict[str, Any]:
    return {
        "threshold": point.threshold,
        "false_digits": dict(point.false_digits),
        "false_digits_an_hour": {kind: round(point.an_hour(kind), 3) for kind in point.hours},
        "recall_percent": {name: round(value, 2) for name, value in point.recall.items()},
        "heard_but_to_be_refused": fit.refused_digits(point),
    }


def show(fitted: model.Model, about: Mapping[str, Any]) -> None:
    """Print a result for people."""
    for doubt, weight in sorted(zip(model.DOUBTS, fitted.weights, strict=True), key=lambda pair: pair[1]):
        print(f"{weight:9.3f}  {doubt.name:14} {doubt.says}")
    print(f"{fitted.bias:9.3f}  bias")
    for title in ("profiles", "judged"):
        for name, figures in about.get(title, {}).items():
            print(f"\n{'out of fold' if title == 'profiles' else 'judged'}: {name}, threshold {figures['threshold']}")
            false = figures["false_digits"]
            print(
                "  false digits: "
                + ", ".join(f"{k} {n} ({figures['false_digits_an_hour'][k]}/h)" for k, n in false.items())
            )
            missed = {c: r for c, r in figures["recall_percent"].items() if r < 100}
            print("  100 % but: " + ", ".join(f"{c} {r}" for c, r in missed.items()))
            print(f"  heard but to be refused: {figures['heard_but_to_be_refused']}")


def table(about: Mapping[str, Any]) -> str:
    """Return the figures as Markdown: a column for each profile, out of fold and judged."""
    columns = [(title, name) for title in ("profiles", "judged") for name in about.get(title, {})]
    titles = {"profiles": "out of fold", "judged": "judged"}
    lines = [
        "| | " + " | ".join(f"{name}, {titles[title]}" for title, name in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]

    def row(label: str, cells: list[str]) -> None:
        lines.append(f"| {label} | " + " | ".join(cells) + " |")

    figures = [about[title][name] for title, name in columns]
    row("threshold", [f"{f['threshold']:g}" for f in figures])
    for kind in sorted(figures[0]["false_digits"]):
        hours = [sum(about["hours" if title == "profiles" else "judged_hours"][kind].values()) for title, _ in columns]
        counts = [f["false_digits"][kind] for f in figures]
        row(f"false digits, {kind}", [f"{n} in {h:.0f} h" for n, h in zip(counts, hours, strict=True)])
    for condition in figures[0]["recall_percent"]:
        recalls = [f["recall_percent"][condition] for f in figures]
        if min(recalls) < 100:
            row(condition + ", %", [f"{recall:.1f}" if recall < 100 else "100" for recall in recalls])
    return "\n".join(lines) + "\n\nAll other conditions: 100 %.\n"


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune_dtmf", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="audio without keys to tune on (docs/benchmarks.md)")
    parser.add_argument("--judge", type=Path, help="other audio without keys, for the figures only")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help="replace the committed model, plot and generated source")
    options = parser.parse_args(argv)
    if options.folds < 2 or options.folds > CHUNKS:
        parser.error(f"--folds must lie between 2 and {CHUNKS}")
    fitted, about, points = tune(options.corpus, options.judge, options.folds, options.processes)
    show(fitted, about)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        model.save(RESULTS / "model.json", fitted, about)
        (RESULTS / "figures.md").write_text(table(about), encoding="utf-8")
        COMPILED.write_text(model.render(model.load(RESULTS / "model.json")[1]), encoding="utf-8")
        chosen = next(p for p in points if p.threshold == about["profiles"]["itu_q24"]["threshold"])
        plots.draw(points, chosen, [c for c in PLOTTED if c in points[0].recall], RESULTS / "trade_off.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
