"""Resampling: flat where speech is, nothing folded back."""

from __future__ import annotations

import numpy as np
import pytest

from dsp.errors import UnsupportedRateError
from dsp.levels import rms_dbov
from dsp.resample import RateStream, resample, to_int16


def sine(freq_hz: float, rate_hz: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    out: np.ndarray[tuple[int], np.dtype[np.int16]] = np.rint(
        16000 * np.sin(2 * np.pi * freq_hz * np.arange(rate_hz) / rate_hz)
    ).astype(np.int16)
    return out


@pytest.mark.parametrize("rate_hz", [11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("freq_hz", [300, 1000, 3400])
def test_the_telephone_band_is_flat(freq_hz: int, rate_hz: int) -> None:
    out = resample(sine(freq_hz, rate_hz), rate_hz, 8000)
    assert len(out) == pytest.approx(8000, abs=1)
    assert rms_dbov(out[500:-500]) == pytest.approx(rms_dbov(sine(freq_hz, rate_hz)), abs=0.02)


@pytest.mark.parametrize("freq_hz", [4300, 5000, 7000])
def test_nothing_folds_back(freq_hz: int) -> None:
    out = resample(sine(freq_hz, 22050), 22050, 8000)
    assert rms_dbov(out[500:-500]) < -85  # one step of int16


def test_the_same_rate_changes_nothing() -> None:
    x = sine(1000, 8000)
    assert np.array_equal(resample(x, 8000, 8000), x)


def test_floats_have_full_scale_at_one_and_clip() -> None:
    assert to_int16(np.array([0.0, 0.5, 1.0, -1.0, 2.0])).tolist() == [0, 16384, 32767, -32768, 32767]
    loud = resample(np.sign(np.sin(np.arange(8000) / 10)), 16000, 8000)
    assert loud.max() == 32767
    assert loud.min() == -32768
    assert loud.dtype == np.int16


def test_nothing_stays_nothing() -> None:
    assert len(resample(np.zeros(0, dtype=np.int16), 16000, 8000)) == 0


@pytest.mark.parametrize(("from_hz", "to_hz"), [(0, 8000), (8000, -1), (3999, 8000), (8000, 10**6)])
def test_an_unsupported_rate_is_named(from_hz: int, to_hz: int) -> None:
    with pytest.raises(UnsupportedRateError, match=str(from_hz)) as caught:
        resample(np.zeros(8, dtype=np.int16), from_hz, to_hz)
    assert (caught.value.from_hz, caught.value.to_hz) == (from_hz, to_hz)


def test_a_wrong_type_or_shape_is_refused() -> None:
    with pytest.raises(TypeError):
        resample(np.zeros(8, dtype=np.int32), 8000, 16000)
    with pytest.raises(TypeError):
        to_int16(np.zeros(8, dtype=np.int32))
    with pytest.raises(ValueError, match="mono"):
        resample(np.zeros((8, 2), dtype=np.int16), 8000, 16000)


@pytest.mark.parametrize("from_hz", [16000, 44100, 48000])
def test_a_stream_gives_the_same_however_its_input_is_cut(from_hz: int) -> None:
    rng = np.random.default_rng(9)
    samples = rng.integers(-20000, 20000, from_hz).astype(np.int16)
    whole = RateStream(from_hz, 8000)
    expected = np.concatenate([whole.process(samples), whole.flush()])
    assert len(expected) == 8000
    stream = RateStream(from_hz, 8000)
    pieces = np.split(samples, np.sort(rng.integers(0, len(samples), 50)))
    assert np.array_equal(np.concatenate([*map(stream.process, pieces), stream.flush()]), expected)


def test_a_stream_takes_floats_as_it_takes_int16() -> None:
    samples = np.random.default_rng(9).integers(-20000, 20000, 4800).astype(np.int16)
    ints, floats = RateStream(48000, 8000), RateStream(48000, 8000)
    from_floats = np.concatenate([floats.process(samples / np.float32(32768)), floats.flush()])
    assert np.array_equal(np.concatenate([ints.process(samples), ints.flush()]), from_floats)
