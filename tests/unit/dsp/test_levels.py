"""One reference for all levels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dsp import levels


def sine(peak: float) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    out: np.ndarray[tuple[int], np.dtype[np.int16]] = np.rint(peak * np.sin(2 * np.pi * np.arange(8000) / 16)).astype(
        np.int16
    )
    return out


def test_a_full_scale_sine_is_3_14_dbm0_and_minus_3_01_dbov() -> None:
    assert levels.rms_dbm0(sine(32767)) == pytest.approx(3.14, abs=0.01)
    assert levels.rms_dbov(sine(32767)) == pytest.approx(-3.01, abs=0.01)
    assert levels.dbm0_of_peak(32767) == pytest.approx(3.14)


def test_a_full_scale_square_is_0_dbov() -> None:
    square = np.where(np.arange(8000) % 16 < 8, 32767, -32767).astype(np.int16)
    assert levels.rms_dbov(square) == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize("level_dbm0", [-60.0, -25.0, -9.0, 0.0, 3.14])
def test_conversions_undo_each_other(level_dbm0: float) -> None:
    assert levels.dbm0_of_peak(levels.peak_of_dbm0(level_dbm0)) == pytest.approx(level_dbm0)
    assert levels.dbm0_of_dbov(levels.dbov_of_dbm0(level_dbm0)) == pytest.approx(level_dbm0)
    assert levels.db_of_amplitude(levels.amplitude_of_db(level_dbm0)) == pytest.approx(level_dbm0)
    assert levels.db_of_power(levels.power_of_db(level_dbm0)) == pytest.approx(level_dbm0)
    assert levels.rms_dbm0(sine(levels.peak_of_dbm0(level_dbm0))) == pytest.approx(level_dbm0, abs=0.05)


def test_the_networks_level_in_dbov() -> None:
    assert levels.dbov_of_dbm0(-19) == pytest.approx(-25.15, abs=0.01)


def test_silence_has_a_level_that_can_be_computed_with() -> None:
    for samples in (np.zeros(0, dtype=np.int16), np.zeros(80, dtype=np.int16)):
        assert levels.rms_dbov(samples) == levels.LOWEST_DB
        assert math.isfinite(levels.rms_dbm0(samples))
    assert levels.db_of_power(0) == levels.db_of_amplitude(-1) == levels.LOWEST_DB
