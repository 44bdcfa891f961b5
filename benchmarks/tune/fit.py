"""Fit the decision, replay the debounce, and choose the working points.

A logistic regression whose weights may not be positive, by L-BFGS-B: deterministic, no seed. What counts is digits and
not windows: a digit needs consecutive windows above the threshold, and what follows within 40 ms belongs to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.dtmf.score import Found, score
from benchmarks.tune.model import DOUBTS, Model
from benchmarks.tune.windows import HOP, Audio, Keys, Windows
from dsp.dtmf import DIGITS, ITU_Q24, DtmfProfile

__all__ = (
    "Point",
    "by_model",
    "choose",
    "digits",
    "evaluate",
    "fit",
    "folds_of",
    "out_of_fold",
    "refused_digits",
    "rules_of",
)

Array = NDArray[np.float64]
PENALTY = 1e-4
"On squared weights of standardised doubts: only to keep doubts that say the same from growing against each other."
SPEECH_WEIGHT = 3.0
"A window of speech or synthesis against one of music: callers talk more than they sing."
TALK_OFF_WEIGHT = 10.0
"All audio without keys against all keys: errors in it are the dearer ones, so the fit looks at them more closely."
JOINS = 8 * HOP
"Samples within which more of the same digit belongs to it."
Rule = tuple[int, NDArray[np.bool_]]
Scorer = Callable[[Audio | Keys], Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What a threshold costs and brings."""

    threshold: float
    false_digits: Mapping[str, int]
    "By kind of audio."
    hours: Mapping[str, float]
    recall: Mapping[str, float]
    "Percent, by condition."
    refused: Mapping[str, int]
    "Digits heard where none must be, by condition."

    def an_hour(self, kind: str) -> float:
        """Return false digits an hour."""
        return self.false_digits.get(kind, 0) / self.hours[kind] if self.hours.get(kind) else 0.0


def fit(audio: Sequence[Audio], keys: Sequence[Keys], box: DtmfProfile = ITU_Q24) -> Model:
    """Fit the weights on what lies within a profile's limits.

    Keys of all conditions count alike, and together a part of all audio without keys.
    """
    values: list[Array] = []
    weights: list[Array] = []
    labels: list[Array] = []
    for item in audio:
        part = item.windows.doubts[item.windows.inside(box)]
        values.append(part)
        weights.append(np.full(len(part), 1.0 if item.kind == "music" else SPEECH_WEIGHT))
        labels.append(np.zeros(len(part)))
    without = float(sum(w.sum() for w in weights))
    parts = [k.windows.doubts[k.of_keys & k.windows.inside(box)] for k in keys if not k.refused]
    parts = [part for part in parts if len(part)]
    for part in parts:
        values.append(part)
        weights.append(np.full(len(part), without / TALK_OFF_WEIGHT / len(parts) / len(part)))
        labels.append(np.ones(len(part)))
    return _logistic(np.concatenate(values), np.concatenate(labels), np.concatenate(weights))


def _logistic(values: Array, labels: Array, weights: Array) -> Model:
    spread = values.std(axis=0) + 1e-9
    middle = values.mean(axis=0)
    x = np.column_stack([(values - middle) / spread, np.ones(len(values))])
    weights = weights / weights.sum()
    n = len(DOUBTS)

    def loss(b: Array) -> tuple[float, Array]:
        z = x @ b
        p = 1 / (1 + np.exp(-np.clip(z, -40, 40)))
        value = float(weights @ np.where(labels > 0, np.logaddexp(0, -z), np.logaddexp(0, z)))
        slope = x.T @ (weights * (p - labels))
        slope[:n] += 2 * PENALTY * b[:n]
        return value + PENALTY * float(b[:n] @ b[:n]), slope

    bounds = [(None, 0.0)] * n + [(None, None)]
    found = minimize(loss, np.zeros(n + 1), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 1000}).x
    raw = found[:n] / spread
    return Model(weights=tuple(float(w) for w in raw), bias=float(found[n] - raw @ middle))


def digits(windows: Windows, rules: Sequence[Rule]) -> list[tuple[int, int]]:
    """Replay the debounce; return (code, sample at which it was known) of each digit.

    A rule is a number of windows in a row that make a digit, and which windows it takes.
    """
    found: list[tuple[int, int]] = []
    runs = [0] * len(rules)
    held_until = 0
    held = last = -1
    last_at = -HOP
    for index in np.flatnonzero(np.any([taken for _, taken in rules], axis=0)):
        at, code = int(windows.at[index]), int(windows.digit[index])
        follows = code == last and at == last_at + HOP
        last, last_at = code, at
        runs = [(run + 1 if follows else 1) if taken[index] else 0 for run, (_, taken) in zip(runs, rules, strict=True)]
        if code == held and at <= held_until:
            held_until = at + JOINS
        elif any(run >= needed for run, (needed, _) in zip(runs, rules, strict=True)):
            found.append((code, at))
            held, held_until = code, at + JOINS
    return found


def rules_of(profile: DtmfProfile, threshold: float, scores: Array, within: NDArray[np.bool_]) -> list[Rule]:
    """Return a profile's rules with another `min_score`."""
    rules = [(profile.windows_to_confirm, (scores >= threshold) & within)]
    if profile.windows_to_confirm > 1:
        rules.append((profile.windows_to_confirm - 1, (scores >= profile.strong_score) & within))
    return rules


def evaluate(
    audio: Sequence[Audio], keys: Sequence[Keys], scorer: Scorer, threshold: float, profile: DtmfProfile = ITU_Q24
) -> Point:
    """Count digits at a threshold, within the limits of a profile."""

    def found_in(item: Audio | Keys) -> list[tuple[int, int]]:
        return digits(item.windows, rules_of(profile, threshold, scorer(item), item.windows.inside(profile)))

    false: dict[str, int] = {}
    hours: dict[str, float] = {}
    for item in audio:
        found = found_in(item)
        false[item.kind] = false.get(item.kind, 0) + len(found)
        hours[item.kind] = hours.get(item.kind, 0.0) + item.hours
    heard: dict[str, list[int]] = {}
    refused: dict[str, int] = {}
    for key in keys:
        found = found_in(key)
        if key.refused:
            refused[key.condition] = refused.get(key.condition, 0) + len(found)
            continue
        hits = score(key.keys, [Found(DIGITS[code], at) for code, at in found]).heard
        total = heard.setdefault(key.condition, [0, 0])
        total[0] += int(hits.sum())
        total[1] += len(hits)
    return Point(
        threshold=threshold,
        false_digits=false,
        hours=hours,
        recall={name: 100.0 * hits / n for name, (hits, n) in heard.items()},
        refused=refused,
    )


def refused_digits(point: Point) -> int:
    """Return all digits heard where none must be."""
    return sum(point.refused.values())


def folds_of(audio: Sequence[Audio], n_folds: int, rng: np.random.Generator) -> dict[str, int]:
    """Deal sources to folds, kind by kind and the longest first, so that each fold has some of each."""
    hours: dict[tuple[str, str], float] = {}
    for item in audio:
        hours[item.kind, item.source] = hours.get((item.kind, item.source), 0.0) + item.hours
    fold_of: dict[str, int] = {}
    for kind in sorted({kind for kind, _ in hours}):
        load = np.zeros(n_folds)
        order = rng.permutation(n_folds)
        for source in sorted((s for k, s in hours if k == kind), key=lambda s: (-hours[kind, s], s)):
            fold = int(order[np.argmin(load[order])])
            fold_of[source] = fold
            load[fold] += hours[kind, source]
    return fold_of


def out_of_fold(audio: Sequence[Audio], keys: Sequence[Keys], n_folds: int, seed: int) -> tuple[Scorer, list[Model]]:
    """Fit once for each fold without it; the scorer judges everything by the model that has not seen it."""
    fold_of = folds_of(audio, n_folds, np.random.default_rng(seed))
    models = [
        fit([a for a in audio if fold_of[a.source] != fold], [k for k in keys if k.chunk % n_folds != fold])
        for fold in range(n_folds)
    ]

    def scorer(item: Audio | Keys) -> Array:
        fold = fold_of[item.source] if isinstance(item, Audio) else item.chunk % n_folds
        return _score(models[fold], item)

    return scorer, models


def _score(model: Model, item: Audio | Keys) -> Array:
    return model.score(item.windows.doubts)


def by_model(model: Model) -> Scorer:
    """Return a scorer for one model."""
    return lambda item: _score(model, item)


def choose(points: Sequence[Point], limits: Mapping[str, float], *, refuses: bool = True) -> Point:
    """Return the lowest threshold that keeps false digits an hour within each kind's limit.

    Talk-off decides, recall is what is left. With `refuses` nothing may be heard that must be refused. Where no
    threshold does, the highest is returned.
    """
    for point in sorted(points, key=lambda p: p.threshold):
        if refuses and refused_digits(point):
            continue
        if all(point.an_hour(kind) <= limit for kind, limit in limits.items()):
            return point
    return max(points, key=lambda p: p.threshold)
