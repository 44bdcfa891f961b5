"""G.722: 7 kHz audio in 64 kbit/s, the wideband codec that office telephones speak.

At 16 kHz it is the whole codec. At 8 kHz it is the lower sub-band alone, which is what a telephone channel holds: a
peer at 16 kHz hears and is heard, and the mirror filters with their delay are saved. Bit-exact to ITU-T G.722.

>>> import numpy as np
>>> data = G722Encoder().encode(np.zeros(160, dtype=np.int16))
>>> len(data), G722Decoder().decode(data).any()
(160, False)
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dsp import _g722

__all__ = ("BITRATES", "RATES_HZ", "G722Decoder", "G722Encoder")

RATES_HZ = (8000, 16000)
"The lower sub-band alone; the whole codec."
BITRATES = (64_000, 56_000, 48_000)
"What of the 64 kbit/s is audio: clause 1.1, modes 1, 2 and 3. RTP knows the first only (RFC 3551 section 4.5.2)."

Octets: TypeAlias = bytes | bytearray | memoryview


class G722Encoder:
    """Code int16 samples, 8000 octets a second.

    Parameters
    ----------
    rate_hz : {8000, 16000}
        Of the samples. At 8000 the higher sub-band is sent as silence.

    Notes
    -----
    A sample of full scale is the codec's overload point, at both rates. Delay: none at 8000; at 16000 the transmit
    filter's, 11.5 samples. Nothing is allocated per sample.

    References
    ----------
    ITU-T G.722, clauses 3 and 6.2.1.
    """

    def __init__(self, *, rate_hz: int = 8000) -> None:
        self.rate_hz = _rate(rate_hz)
        self._encoder = _g722.Encoder()

    def encode(self, samples: NDArray[np.int16]) -> bytes:
        """Return one octet for each sample at 8 kHz, for each two at 16 kHz.

        Raises
        ------
        TypeError
            `samples` is not int16: a silent conversion would hide a scaling mistake.
        ValueError
            Their number is odd, at 16 kHz.
        """
        if samples.dtype != np.int16 or samples.ndim != 1:
            raise TypeError(f"samples must be a one-dimensional int16 array, not {samples.ndim}-d {samples.dtype}")
        whole: NDArray[Any] = np.ascontiguousarray(samples)
        if self.rate_hz == 8000:
            return self._encoder.encode_8k(whole)
        if len(whole) % 2:
            raise ValueError("at 16 kHz an octet is two samples: their number must be even")
        return self._encoder.encode_16k(whole)

    def reset(self) -> None:
        """Begin anew, as the first sample does."""
        self._encoder.reset()


class G722Decoder:
    """Decode octets to int16 samples.

    Parameters
    ----------
    rate_hz : {8000, 16000}
        Of the samples. At 8000 only the lower sub-band is heard.
    bitrate : {64000, 56000, 48000}
        What of the 64 kbit/s is audio: below 64000 the lowest one or two bits of each octet are data, and ignored.

    Notes
    -----
    Any octets decode. Delay: none at 8000; at 16000 the receive filter's, 11.5 samples.

    References
    ----------
    ITU-T G.722, clauses 4 and 6.2.2.
    """

    def __init__(self, *, rate_hz: int = 8000, bitrate: int = 64_000) -> None:
        if bitrate not in BITRATES:
            raise ValueError(f"bitrate must be one of {BITRATES}, not {bitrate}")
        self.rate_hz = _rate(rate_hz)
        self._decoder = _g722.Decoder(BITRATES.index(bitrate))

    def decode(self, data: Octets) -> NDArray[np.int16]:
        """Return one sample for each octet at 8 kHz, two at 16 kHz."""
        return self._decoder.decode_8k(data) if self.rate_hz == 8000 else self._decoder.decode_16k(data)

    def reset(self) -> None:
        """Begin anew, as the first octet does."""
        self._decoder.reset()


def _rate(rate_hz: int) -> int:
    if rate_hz not in RATES_HZ:
        raise ValueError(f"rate_hz must be one of {RATES_HZ}, not {rate_hz}")
    return rate_hz
