"""G.711, the telephone network's two 64 kbit/s codecs.

Samples are int16 at 8 kHz; one byte a sample on the line. Bit-exact to ITU-T G.711 with the sign convention of the
ITU-T software tools (G.191): ``-1`` falls into the interval of ``0``.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsp import _g711

__all__ = (
    "ALAW_SILENCE",
    "ULAW_SILENCE",
    "alaw_decode",
    "alaw_encode",
    "alaw_to_ulaw",
    "ulaw_decode",
    "ulaw_encode",
    "ulaw_to_alaw",
)

ULAW_SILENCE = 0xFF
"The mu-law code of zero."
ALAW_SILENCE = 0xD5
"The A-law code nearest to zero (A-law has no zero: it is +8 of 32768)."

Octets: TypeAlias = bytes | bytearray | memoryview


def ulaw_decode(data: Octets) -> NDArray[np.int16]:
    """Decode mu-law bytes.

    Parameters
    ----------
    data : bytes-like
        One mu-law code a sample.

    Returns
    -------
    ndarray of int16
        As long as `data`; peaks at ±32124.

    References
    ----------
    ITU-T G.711, table 2a and 2b.

    Examples
    --------
    >>> ulaw_decode(b"\\xff\\x80").tolist()
    [0, 32124]
    """
    out = np.empty(len(data), dtype=np.int16)
    _g711.decode_ulaw(data, out)
    return out


def alaw_decode(data: Octets) -> NDArray[np.int16]:
    """Decode A-law bytes.

    Parameters
    ----------
    data : bytes-like
        One A-law code a sample, even bits inverted as on the line.

    Returns
    -------
    ndarray of int16
        As long as `data`; peaks at ±32256.

    References
    ----------
    ITU-T G.711, table 1a and 1b.

    Examples
    --------
    >>> alaw_decode(b"\\xd5\\xaa").tolist()
    [8, 32256]
    """
    out = np.empty(len(data), dtype=np.int16)
    _g711.decode_alaw(data, out)
    return out


def ulaw_encode(samples: NDArray[np.int16]) -> bytes:
    """Encode int16 samples as mu-law.

    Raises
    ------
    TypeError
        `samples` is not int16: a silent conversion would hide a scaling mistake.
    """
    return _g711.encode_ulaw(_int16(samples))


def alaw_encode(samples: NDArray[np.int16]) -> bytes:
    """Encode int16 samples as A-law, even bits inverted.

    Raises
    ------
    TypeError
        `samples` is not int16: a silent conversion would hide a scaling mistake.
    """
    return _g711.encode_alaw(_int16(samples))


def ulaw_to_alaw(data: Octets) -> bytes:
    """Recode mu-law as A-law: the sign stays, the magnitude is decoded and encoded."""
    return _g711.transcode_ulaw_to_alaw(data)


def alaw_to_ulaw(data: Octets) -> bytes:
    """Recode A-law as mu-law: the sign stays, the magnitude is decoded and encoded."""
    return _g711.transcode_alaw_to_ulaw(data)


def _int16(samples: NDArray[Any]) -> NDArray[Any]:
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise TypeError(f"samples must be a one-dimensional int16 array, not {samples.ndim}-d {samples.dtype}")
    return np.ascontiguousarray(samples)
