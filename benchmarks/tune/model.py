"""The learned decision: is a window of 25 ms part of a key? A weighted sum of doubts.

Every feature is a doubt: 0 or little for a clean key, more the less a window looks like one. Each is one expression in
the fields of a window (`dsp/_window.pxd`, ToneWindow), in words that numpy and C share, so that what is fitted here is
what is compiled. Weights are never positive: more doubt never makes a key. Some get none; those are not compiled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsp.dtmf import DtmfProfile
from dsp.levels import peak_of_dbm0

__all__ = ("DOUBTS", "Doubt", "Model", "doubts", "field_values", "inside", "load", "render", "save")

Array = NDArray[np.float64]
QUIET_DBM0 = -25.0
"Below this a tone is quieter than Q.24 (AT&T) must accept."


@dataclass(frozen=True, slots=True)
class Doubt:
    """One feature: its expression over a window `w`, and what it says."""

    name: str
    expression: str
    says: str


DOUBTS = (
    Doubt("residual", "log(fmax(w.residual, 0.0) + 0.005)", "energy that the two tones leave, over theirs"),
    Doubt("much residual", "fmax(log(fmax(w.residual, 0.0) + 0.005) + 1.2, 0.0)", "the same beyond 0.3"),
    Doubt("excess", "log(fmax(w.residual - 1.4 * w.floor, 0.0) + 0.005)", "the same above the steady noise"),
    Doubt("floor", "fmin(w.floor, 1.0)", "energy of the quietest window of the last second"),
    Doubt("offset", "fmax(fabs(w.low_offset), fabs(w.high_offset)) / 0.017", "deviation of the worse frequency"),
    Doubt("far offset", "fmax(w.low_offset * w.low_offset, w.high_offset * w.high_offset) / 0.00029", "its square"),
    Doubt("twist", "fmax(fabs(w.high_minus_low_db + 2.0) - 6.0, 0.0) / 3.0", "beyond -8 to +4 dB"),
    Doubt("flatness", "fmin(fmax(1.0 - w.flat_min, w.flat_max - 1.0), 1.0)", "amplitude of 5 ms against that of 25 ms"),
    Doubt("slope", "fmin(fmax(fabs(w.low_slope), fabs(w.high_slope)), 1.0)", "growth or decay within the window"),
    Doubt("before", "log(fmin(w.both_before, 1.5) + 0.03)", "the key's own tones in the 30 ms before: no pause"),
    Doubt("no pause", "fmax(log(fmin(w.both_before, 1.5) + 0.03) + 1.2, 0.0)", "the same beyond 0.27"),
    Doubt(
        "below",
        "log(fmin(fmax(w.below - w.below_floor, 0.0), 5.0) + 0.02)",
        "energy below the band, less the steady part",
    ),
    Doubt(
        "much below",
        "fmax(log(fmin(fmax(w.below - w.below_floor, 0.0), 5.0) + 0.02) + 1.0, 0.0)",
        "the same beyond 0.35",
    ),
    Doubt("steady below", "log(fmin(fmax(w.below_floor, 0.0), 10.0) + 0.02)", "steady energy below the band"),
    Doubt("quiet", f"fmax(log({peak_of_dbm0(QUIET_DBM0):.1f} / fmin(w.low_peak, w.high_peak)), 0.0)", "below -25 dBm0"),
)

_NAMES = {"fmin": np.minimum, "fmax": np.maximum, "fabs": np.abs, "log": np.log, "__builtins__": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Weights of `DOUBTS`, in their order, and the score of a window without any doubt."""

    weights: tuple[float, ...]
    bias: float

    def score(self, values: Array) -> Array:
        """Return the score (log odds) of each row of `doubts`."""
        total: Array = values @ np.array(self.weights) + self.bias
        return total


def field_values(rows: Array, fields: tuple[str, ...]) -> SimpleNamespace:
    """Return a trace's columns by name, with the amplitudes that its levels stand for."""
    w = SimpleNamespace(**dict(zip(fields, rows.T, strict=True)))
    w.low_peak, w.high_peak = peak_of(w.low_dbm0), peak_of(w.high_dbm0)
    return w


def peak_of(level_dbm0: Array) -> Array:
    """Return the peak of sines of these levels, element by element."""
    peaks: Array = peak_of_dbm0(0.0) * 10.0 ** (level_dbm0 / 20)
    return peaks


def doubts(w: Any) -> Array:
    """Evaluate every doubt: one column each."""
    return np.stack([eval(doubt.expression, _NAMES, {"w": w}) for doubt in DOUBTS], axis=1)  # our own constants


def inside(w: Any, profile: DtmfProfile) -> NDArray[np.bool_]:
    """Say which windows lie within a profile's limits, score apart."""
    within: NDArray[np.bool_] = (
        (np.maximum(np.abs(w.low_offset), np.abs(w.high_offset)) <= profile.frequency_tolerance)
        & (w.high_minus_low_db >= profile.min_high_minus_low_db)
        & (w.high_minus_low_db <= profile.max_high_minus_low_db)
        & (np.maximum(1 - w.flat_min, w.flat_max - 1) <= profile.max_amplitude_step)
        & (w.residual <= profile.max_residual)
        & (w.floor * profile.min_signal_to_floor <= 1)
        & (np.minimum(w.low_dbm0, w.high_dbm0) >= profile.min_level_dbm0)
    )
    return within


def save(path: Path, model: Model, about: Mapping[str, Any]) -> None:
    """Write a model with what is known of it."""
    document = {
        **about,
        "bias": round(model.bias, 5),
        "doubts": [
            {"name": d.name, "says": d.says, "expression": d.expression, "weight": round(weight, 5)}
            for d, weight in zip(DOUBTS, model.weights, strict=True)
        ],
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> tuple[Model, dict[str, Any]]:
    """Read what `save` wrote. Raises ValueError when its doubts are not those of this module."""
    document = json.loads(path.read_text(encoding="utf-8"))
    if [d["expression"] for d in document["doubts"]] != [d.expression for d in DOUBTS]:
        raise ValueError(f"{path}: other doubts than benchmarks.tune.model has; run the tuning again")
    model = Model(weights=tuple(d["weight"] for d in document["doubts"]), bias=document["bias"])
    return model, document


def render(document: Mapping[str, Any]) -> str:
    """Return the text of ``dsp/_dtmf_model.pxd``."""
    terms = []
    for doubt in document["doubts"]:
        if doubt["weight"]:
            terms += [
                f"        # {doubt['name']}: {doubt['says']}",
                f"        - {-doubt['weight']!r} * {doubt['expression']}",
            ]
    return (
        '"""The learned part of the decision, in C. Generated: do not edit.\n\n'
        f"By ``{document['command']}``, seed {document['seed']};\n"
        "weights and figures: benchmarks/tuning/model.json, the method: benchmarks/tuning/README.md.\n"
        '"""\n\n'
        "from libc.math cimport fabs, fmax, fmin, log\n\n"
        "from dsp._window cimport ToneWindow\n\n"
        "\n"
        "cdef inline double dtmf_score(const ToneWindow* w) noexcept nogil:\n"
        '    """Return the log odds that a window is part of a key. What is not known of the time before is 0."""\n'
        "    return (\n"
        f"        {document['bias']!r}\n" + "\n".join(terms) + "\n    )\n"
    )
