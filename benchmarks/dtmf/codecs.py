"""Codecs between two phones: encode and decode, delay taken out.

G.711 is ours; GSM full rate and Opus are libsndfile's; G.726 is libspandsp's.
"""

from __future__ import annotations

import ctypes
import io

import numpy as np
import soundfile

from benchmarks.dtmf.spandsp import load_spandsp
from benchmarks.dtmf.stimuli import Samples
from dsp.dtmf import RATE_HZ

__all__ = ("g726", "gsm", "opus")

OPUS_LEAST_BIT_S = 6000
OPUS_SPAN_BIT_S = 250_000
"libsndfile maps a compression level of 1 to 0 on 6 to 256 kbit/s."


def _through_file(samples: Samples, format_name: str, subtype: str, compression_level: float | None = None) -> Samples:
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", RATE_HZ, 1, subtype, format=format_name, compression_level=compression_level
    ) as file:
        file.write(samples)
    buffer.seek(0)
    decoded, _ = soundfile.read(buffer, dtype="int16")
    out: Samples = np.zeros(len(samples), dtype=np.int16)
    n = min(len(samples), len(decoded))
    out[:n] = decoded[:n]
    return out


def gsm(samples: Samples) -> Samples:
    """Pass through GSM full rate (ETSI GSM 06.10), 13 kbit/s."""
    return _through_file(samples, "WAV", "GSM610")


def opus(samples: Samples, bit_s: int) -> Samples:
    """Pass through Opus (RFC 6716) at 8 kHz, mono, variable rate around `bit_s`."""
    return _through_file(samples, "OGG", "OPUS", 1 - (bit_s - OPUS_LEAST_BIT_S) / OPUS_SPAN_BIT_S)


def g726(samples: Samples, bit_s: int) -> Samples:
    """Pass through G.726 at 16, 24, 32 or 40 kbit/s.

    Raises DetectorError when libspandsp is not installed.
    """
    library = load_spandsp()
    linear, unpacked = 0, 0
    encoder = library.g726_init(None, bit_s, linear, unpacked)
    decoder = library.g726_init(None, bit_s, linear, unpacked)
    x = np.ascontiguousarray(samples)
    codes = (ctypes.c_uint8 * len(x))()
    n = library.g726_encode(encoder, codes, x.ctypes.data, len(x))
    out: Samples = np.zeros(len(x), dtype=np.int16)
    library.g726_decode(decoder, out.ctypes.data, codes, n)
    library.g726_free(encoder)
    library.g726_free(decoder)
    return out
