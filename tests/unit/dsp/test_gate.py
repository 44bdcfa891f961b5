"""The detector's front end against a plain version, and its implementations against each other, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp import _gate
from dsp.dtmf import HIGH_HZ, ITU_Q24, LOW_HZ, DtmfDetector, generate
from tests.support import oracles
from tests.support.tones import Samples

FREQUENCIES_HZ: list[float] = [*LOW_HZ, *HIGH_HZ]


@pytest.fixture
def level() -> Iterator[None]:
    before = _gate.level()
    yield
    _gate.set_level(before)


def sine(freq_hz: float, peak: float, phase: float = 0.4, n: int = 80) -> Samples:
    return np.rint(peak * np.sin(2 * np.pi * freq_hz * np.arange(n) / 8000 + phase)).astype(np.int16)


def hostile() -> list[Samples]:
    rng = np.random.default_rng(6)
    blocks: list[NDArray[Any]] = [rng.integers(-32768, 32768, 80) for _ in range(50)]
    blocks += [np.full(80, value) for value in (0, 1, -1, 32767, -32768)]
    blocks += [np.where(np.arange(80) % 2, 32767, -32768), np.where(np.arange(80) < 40, -32768, 32767)]
    blocks += [sine(freq_hz, 32767) for freq_hz in FREQUENCIES_HZ]
    return [block.astype(np.int16) for block in blocks]


def test_every_implementation_gives_the_same_bits(level: None) -> None:
    expected = None
    assert _gate.levels()[0] == "plain"
    for name in _gate.levels():
        _gate.set_level(name)
        found = [_gate.analyse(block) for block in hostile()]
        expected = expected or found
        assert found == expected, name


def test_every_implementation_hears_the_same_keys(level: None) -> None:
    rng = np.random.default_rng(2)
    samples = generate("159D*0#" * 3, on_ms=45, off_ms=45)
    samples = (samples + rng.normal(0, 900, len(samples))).astype(np.int16)
    expected = None
    for name in _gate.levels():
        _gate.set_level(name)
        detector = DtmfDetector(ITU_Q24)
        found = detector.process(samples) + detector.flush()
        expected = expected or found
        assert found == expected, name
    assert expected


def test_an_unknown_implementation_is_refused() -> None:
    with pytest.raises(ValueError, match="plain"):
        _gate.set_level("mmx")


@pytest.mark.parametrize("seed", range(5))
def test_a_block_agrees_with_the_plain_version(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-20000, 20000, 80).astype(np.int16)
    bins, below, energy = _gate.analyse(x)
    expected_bins, expected_below, expected_energy = oracles.gate_block(x.tolist(), FREQUENCIES_HZ)
    # Kernels have 13 bits, samples lose one: a thousandth of the whole energy.
    assert energy == pytest.approx(expected_energy, rel=1e-3)
    assert below == pytest.approx(expected_below, abs=1e-3 * energy)
    assert bins == pytest.approx(expected_bins, abs=1e-3 * energy)


@pytest.mark.parametrize("freq_hz", FREQUENCIES_HZ)
def test_a_tone_on_a_bin_is_nearly_all_in_it(freq_hz: float) -> None:
    bins, below, energy = _gate.analyse(sine(freq_hz, 4000))
    assert energy == pytest.approx(0.3125 * 4000**2, rel=0.1)
    assert bins[FREQUENCIES_HZ.index(freq_hz)] > 0.995 * (energy - below)


@pytest.mark.parametrize("freq_hz", [16.7, 50, 60, 100, 120, 350, 400, 425, 440])
def test_mains_and_dial_tones_do_not_show_in_the_bins(freq_hz: float) -> None:
    worst_bin = worst_rest = 0.0
    for phase in np.linspace(0, np.pi, 12):
        bins, below, energy = _gate.analyse(sine(freq_hz, 20000, phase))
        worst_bin = max(worst_bin, max(bins) / energy)
        worst_rest = max(worst_rest, (energy - below) / energy)
    print(f"{freq_hz} Hz: {10 * np.log10(worst_bin):.0f} dB in a bin, {10 * np.log10(worst_rest + 1e-9):.0f} dB left")
    assert worst_bin < 0.004
    assert worst_rest < 0.012


def test_a_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="80"):
        _gate.analyse(np.zeros(79, dtype=np.int16))
