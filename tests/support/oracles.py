"""Slow and plain versions of the compiled kernels, written from the standards and from nothing else of ours."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

__all__ = (
    "alaw_decode",
    "alaw_encode",
    "analyse_block",
    "gate_block",
    "goertzel_power",
    "pitch_lag",
    "ulaw_decode",
    "ulaw_encode",
)


def _ulaw_levels() -> tuple[list[int], list[int]]:
    """G.711 table 2: decision values x1..x127 and output values y0..y127, in 14-bit units, by segment."""
    decisions: list[int] = []
    outputs = [0]
    # Segment 1: one step of 1, then 15 of 2 (x from 0 to 31); segment s: 16 steps of 2**s.
    edge = 1
    for _ in range(15):
        decisions.append(edge)
        outputs.append(edge + 1)
        edge += 2
    for segment in range(2, 9):
        step = 2**segment
        for _ in range(16):
            decisions.append(edge)
            outputs.append(edge + step // 2)
            edge += step
    assert len(outputs) == 128
    assert edge == 8159  # G.711: the virtual decision value
    return decisions, outputs


def _alaw_levels() -> tuple[list[int], list[int]]:
    """G.711 table 1: decision values x1..x127 and output values y1..y128, in units of 1/4096 of the range."""
    decisions: list[int] = []
    outputs_doubled: list[int] = []
    edge = 0
    for segment in range(1, 8):
        for _ in range(32 if segment == 1 else 16):
            step = 2**segment
            if edge:
                decisions.append(edge)
            outputs_doubled.append(2 * edge + step)
            edge += step
    assert edge == 4096
    return decisions, outputs_doubled


ULAW_DECISIONS, ULAW_OUTPUTS = _ulaw_levels()
ALAW_DECISIONS, ALAW_OUTPUTS_DOUBLED = _alaw_levels()


def _magnitude(sample: int) -> int:
    """Magnitude with -1 in the interval of 0, as in the ITU-T software tools (G.191)."""
    return sample if sample >= 0 else -sample - 1


def ulaw_encode(sample: int) -> int:
    """Encode one int16 sample: number of the interval, all bits inverted for the line."""
    interval = bisect_right([4 * d for d in ULAW_DECISIONS], _magnitude(sample))
    return (127 - interval) | (0x80 if sample >= 0 else 0)


def ulaw_decode(code: int) -> int:
    """Decode one code to int16."""
    value = 4 * ULAW_OUTPUTS[127 - (code & 0x7F)]
    return value if code & 0x80 else -value


def alaw_encode(sample: int) -> int:
    """Encode one int16 sample: number of the interval, even bits inverted for the line."""
    interval = bisect_right([8 * d for d in ALAW_DECISIONS], _magnitude(sample))
    return (interval | (0x80 if sample >= 0 else 0)) ^ 0x55


def alaw_decode(code: int) -> int:
    """Decode one code to int16."""
    value = 4 * ALAW_OUTPUTS_DOUBLED[(code ^ 0x55) & 0x7F]
    return value if (code ^ 0x55) & 0x80 else -value


def analyse_block(
    x: Sequence[float], taps: Sequence[float], freqs_hz: Sequence[float]
) -> tuple[list[float], list[complex], float, float]:
    """Filter 80 samples to 40 and take their spectrum at `freqs_hz`, phase zero at the block's centre."""
    y = [sum(taps[k] * x[m + k] for k in range(41)) for m in range(40)]
    bins = []
    for freq_hz in freqs_hz:
        total = 0j
        for m in range(40):
            angle = 2 * math.pi * freq_hz / 8000 * (m - 19.5)
            total += y[m] * complex(math.cos(angle), -math.sin(angle))
        bins.append(total)
    return y, bins, sum(v * v for v in y), sum(v * v for v in x[20:60])


def goertzel_power(samples: Sequence[float], freq_hz: float, rate_hz: int = 8000) -> float:
    """Squared peak of a sine of this frequency over all the samples, by Goertzel's recursion."""
    coefficient = 2 * math.cos(2 * math.pi * freq_hz / rate_hz)
    older = newer = 0.0
    for sample in samples:
        older, newer = newer, sample + coefficient * newer - older
    return (newer * newer + older * older - coefficient * newer * older) * 4 / len(samples) ** 2


def pitch_lag(history: Sequence[float], shortest: int = 40, longest: int = 120, window: int = 160) -> int:
    """G.711 Appendix I's measure: the lag at which the last `window` samples agree most with those before them."""
    recent = history[len(history) - window :]
    best, best_score = shortest, -math.inf
    for lag in range(shortest, longest + 1):
        older = history[len(history) - window - lag : len(history) - lag]
        energy = sum(v * v for v in older)
        score = sum(a * b for a, b in zip(recent, older, strict=True)) / math.sqrt(energy) if energy else 0.0
        if score > best_score:
            best, best_score = lag, score
    return best


def gate_block(x: Sequence[int], frequencies_hz: Sequence[float]) -> tuple[list[float], float, float]:
    """Energies (over 128) of a block: at each frequency, below the band, in all.

    Below the band: the part of the block in the span of six cosines from 0 to 460 Hz and six sines between them. At a
    frequency: the part of what is left along the sine and the cosine, these too without what lies below.
    """
    block = np.array(x, dtype=np.float64)
    t = np.arange(len(x)) - (len(x) - 1) / 2
    low = [np.cos(2 * np.pi * 92 * k * t / 8000) for k in range(6)]
    low += [np.sin(2 * np.pi * (460 / 12 + 92 * k * 11 / 12) * t / 8000) for k in range(6)]
    span, _ = np.linalg.qr(np.stack(low, axis=1))
    bins = []
    for freq_hz in frequencies_hz:
        pair = np.stack([np.cos(2 * np.pi * freq_hz * t / 8000), np.sin(2 * np.pi * freq_hz * t / 8000)], axis=1)
        along, _ = np.linalg.qr(pair - span @ (span.T @ pair))
        bins.append(float(np.sum((along.T @ block) ** 2)) / 128)
    return bins, float(np.sum((span.T @ block) ** 2)) / 128, float(np.sum(block**2)) / 128
