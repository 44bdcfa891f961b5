"""dsp.g711: buffers of every kind, and nothing silently converted."""

from __future__ import annotations

import numpy as np
import pytest

from dsp import _g711, g711


def test_any_buffer_of_bytes_is_decoded() -> None:
    for data in (b"\x00\xff", bytearray(b"\x00\xff"), memoryview(b"\x00\xff")):
        assert g711.ulaw_decode(data).tolist() == [-32124, 0]
        assert g711.alaw_decode(data).dtype == np.int16


def test_nothing_gives_nothing() -> None:
    none = np.zeros(0, dtype=np.int16)
    assert g711.ulaw_encode(none) == g711.alaw_encode(none) == b""
    assert len(g711.ulaw_decode(b"")) == len(g711.alaw_decode(b"")) == 0
    assert g711.ulaw_to_alaw(b"") == g711.alaw_to_ulaw(b"") == b""


def test_silence_is_the_code_of_zero() -> None:
    zero = np.zeros(1, dtype=np.int16)
    assert g711.ulaw_encode(zero)[0] == g711.ULAW_SILENCE
    assert g711.alaw_encode(zero)[0] == g711.ALAW_SILENCE


@pytest.mark.parametrize("bad", [np.zeros(4), np.zeros(4, dtype=np.int32), np.zeros((2, 2), dtype=np.int16)])
def test_only_int16_is_encoded(bad: np.ndarray[tuple[int, ...], np.dtype[np.int16]]) -> None:
    for encode in (g711.ulaw_encode, g711.alaw_encode):
        with pytest.raises(TypeError):
            encode(bad)


def test_a_strided_array_is_encoded() -> None:
    x = np.arange(0, 8000, 10).astype(np.int16)
    assert g711.ulaw_encode(x[::2]) == g711.ulaw_encode(x)[::2]


def test_the_kernel_refuses_a_buffer_of_another_length() -> None:
    with pytest.raises(ValueError, match="as long"):
        _g711.decode_ulaw(b"123", np.zeros(2, dtype=np.int16))
    with pytest.raises(ValueError, match="as long"):
        _g711.decode_alaw(b"123", np.zeros(4, dtype=np.int16))
