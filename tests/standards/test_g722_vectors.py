"""ITU-T G.722: clause 6.2 bit by bit (both sub-bands, mirror filters, modes 1 to 3), and the lower sub-band alone.

Three witnesses: `tests.support.g722`, which follows the standard's blocks word by word; check sums of what it says of
inputs made from integers; and libspandsp, where it is installed, which was written by somebody else.
"""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.dtmf import generate
from dsp.g722 import BITRATES, RATES_HZ, G722Decoder, G722Encoder
from dsp.resample import resample
from tests.support import g722 as oracle
from tests.support.tones import detect, digits, key, keys

Samples = NDArray[np.int16]

N = 2000
RATE_8000 = 1  # an option of libspandsp's g722_encode_init and g722_decode_init


def lcg(n: int, seed: int = 1) -> NDArray[np.int64]:
    """Uniform 16-bit numbers from integers alone: the same on every machine."""
    out, state = np.empty(n, dtype=np.int64), seed
    for i in range(n):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        out[i] = state >> 15
    return out


def _noise(n: int) -> Samples:
    return (lcg(n) - 32768).astype(np.int16)


def _square(n: int) -> Samples:
    return np.where(np.arange(n) // 37 % 2, 32767, -32768).astype(np.int16)


def _bursts(n: int) -> Samples:
    # Quiet and loud by turns: the step size climbs and falls through all its octaves.
    shift = 2 + np.abs(np.arange(n) // 64 % 24 - 12)
    x: Samples = ((lcg(n, 7) - 32768) >> shift).astype(np.int16)
    return x


def _triangle(n: int) -> Samples:
    return (np.abs(np.arange(n) * 1777 % 40000 - 20000) - 10000).astype(np.int16)


def _zeros(n: int) -> Samples:
    return np.zeros(n, dtype=np.int16)


SIGNALS: dict[str, Callable[[int], Samples]] = {
    "noise at full scale": _noise,
    "square wave at full scale": _square,
    "bursts": _bursts,
    "triangle": _triangle,
    "zeros": _zeros,
}


def octets(n: int) -> bytes:
    return (lcg(n, 3) >> 4 & 0xFF).astype(np.uint8).tobytes()


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("name", SIGNALS)
def test_every_octet_is_the_standards(name: str, rate_hz: int) -> None:
    x = SIGNALS[name](N)
    assert G722Encoder(rate_hz=rate_hz).encode(x) == oracle.encode(x.tolist(), rate_hz)


@pytest.mark.parametrize("bitrate", BITRATES)
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_every_sample_is_the_standards_in_each_mode(rate_hz: int, bitrate: int) -> None:
    for data in (octets(N), *(oracle.encode(make(N).tolist(), rate_hz) for make in SIGNALS.values())):
        decoded = G722Decoder(rate_hz=rate_hz, bitrate=bitrate).decode(data)
        assert decoded.tolist() == oracle.decode(data, rate_hz, bitrate)


@pytest.mark.parametrize("data", [b"\x00", b"\x04", b"\x1f", b"\x20", b"\x3f", b"\x84\xdf", b"\xff", b"\x04\x20\x1f"])
def test_octets_that_no_encoder_sends_decode_as_the_standard_has_it(data: bytes) -> None:
    # The step size at its top and the predictor at its limits: every sum that saturates does so here.
    for rate_hz in RATES_HZ:
        assert G722Decoder(rate_hz=rate_hz).decode(data * N).tolist() == oracle.decode(data * N, rate_hz)


@pytest.mark.parametrize(
    ("rate_hz", "name", "encoded", "decoded"),
    [
        (8000, "noise at full scale", 0x4E4154B2, 0x7F3DD117),
        (8000, "square wave at full scale", 0xFD753A31, 0xA593C0CF),
        (8000, "bursts", 0xD0BBB069, 0x7AD86409),
        (8000, "triangle", 0xB62CF651, 0x57EF1DF4),
        (8000, "zeros", 0x959E4601, 0x31EE3DBC),
        (16000, "noise at full scale", 0x06C8C5AF, 0x0B8444AE),
        (16000, "square wave at full scale", 0x67DF5324, 0xA08AB3F7),
        (16000, "bursts", 0x0444BA97, 0x0A8F6453),
        (16000, "triangle", 0xECB92BDE, 0xC60E0E29),
        (16000, "zeros", 0x959E4601, 0xF1C10D0B),
    ],
)
def test_check_sums_of_a_second_of_audio(rate_hz: int, name: str, encoded: int, decoded: int) -> None:
    data = G722Encoder(rate_hz=rate_hz).encode(SIGNALS[name](rate_hz))
    assert zlib.crc32(data) == encoded
    assert zlib.crc32(G722Decoder(rate_hz=rate_hz).decode(data).astype("<i2").tobytes()) == decoded


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("piece", [2, 160, 426])
def test_pieces_are_the_whole(rate_hz: int, piece: int) -> None:
    x = _bursts(N)
    encoder, decoder = G722Encoder(rate_hz=rate_hz), G722Decoder(rate_hz=rate_hz)
    pieces = [encoder.encode(x[at : at + piece]) for at in range(0, N, piece)]
    whole = G722Encoder(rate_hz=rate_hz).encode(x)
    assert b"".join(pieces) == whole
    expected = G722Decoder(rate_hz=rate_hz).decode(whole)
    assert np.array_equal(np.concatenate([decoder.decode(data) for data in pieces]), expected)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_reset_forgets_everything(rate_hz: int) -> None:
    x = _bursts(N)
    encoder, decoder = G722Encoder(rate_hz=rate_hz), G722Decoder(rate_hz=rate_hz, bitrate=56_000)
    first = encoder.encode(x)
    heard = decoder.decode(first)
    encoder.reset()
    decoder.reset()
    assert encoder.encode(x) == first
    assert np.array_equal(decoder.decode(first), heard)


# -- beside somebody else's


@cache
def spandsp() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libspandsp.so.2")
    except OSError:
        pytest.skip("libspandsp is not installed: apt-get install libspandsp2")
    for way in ("encode", "decode"):
        for name, result, arguments in (
            (f"g722_{way}_init", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]),
            (f"g722_{way}", ctypes.c_int, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]),
            (f"g722_{way}_free", ctypes.c_int, [ctypes.c_void_p]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    return library


def spandsp_encode(x: Samples, rate_hz: int) -> bytes:
    library = spandsp()
    state = library.g722_encode_init(None, 64_000, RATE_8000 if rate_hz == 8000 else 0)
    out = np.zeros(len(x) + 16, dtype=np.uint8)
    n = library.g722_encode(state, out.ctypes.data, np.ascontiguousarray(x).ctypes.data, len(x))
    library.g722_encode_free(state)
    return out[:n].tobytes()


def spandsp_decode(data: bytes, rate_hz: int, bitrate: int = 64_000) -> Samples:
    library = spandsp()
    state = library.g722_decode_init(None, bitrate, RATE_8000 if rate_hz == 8000 else 0)
    # It wants the octet without its auxiliary bits.
    shifted = np.frombuffer(data, dtype=np.uint8) >> BITRATES.index(bitrate)
    out = np.zeros(2 * len(data) + 16, dtype=np.int16)
    n = library.g722_decode(state, out.ctypes.data, shifted.ctypes.data, len(shifted))
    library.g722_decode_free(state)
    return out[:n]


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("name", ["bursts", "triangle", "zeros", "noise at full scale"])
def test_libspandsp_sends_the_same_octets(name: str, rate_hz: int) -> None:
    x = SIGNALS[name](20_000)
    if name == "noise at full scale" and rate_hz == 16_000:
        # A band beyond 15 bits is limited by the standard (6.2.1.6), and not by libspandsp.
        x = x // 2
    assert G722Encoder(rate_hz=rate_hz).encode(x) == spandsp_encode(x, rate_hz)


@pytest.mark.parametrize("bitrate", BITRATES)
def test_libspandsp_hears_the_same_lower_band(bitrate: int) -> None:
    data = octets(200_000)
    assert np.array_equal(G722Decoder(bitrate=bitrate).decode(data), spandsp_decode(data, 8000, bitrate))


@pytest.mark.parametrize("bitrate", BITRATES)
def test_libspandsp_hears_the_same_wideband_audio(bitrate: int) -> None:
    data = G722Encoder(rate_hz=16_000).encode(_bursts(100_000))
    ours = G722Decoder(rate_hz=16_000, bitrate=bitrate).decode(data)
    assert np.array_equal(ours, spandsp_decode(data, 16_000, bitrate))


def test_libspandsp_hears_the_same_of_any_octets_but_where_it_wraps_round() -> None:
    data = octets(100_000)
    ours, theirs = G722Decoder(rate_hz=16_000).decode(data), spandsp_decode(data, 16_000)
    limited = (ours == 32767) | (ours == -32768)
    print(f"limited by the standard, wrapped round by libspandsp: {np.mean(limited):.2%}")
    assert np.array_equal(ours[~limited], theirs[~limited])
    assert 0 < np.mean(limited) < 0.1


# -- what it is for


def snr_db(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    return float(10 * np.log10(np.sum(x**2) / np.sum((x - y) ** 2)))


def speechlike(n: int, rate_hz: int, peak: float) -> Samples:
    """A pulse train of 120 Hz through three formants, with a syllable's rise and fall."""
    t = np.arange(n) / rate_hz
    x = np.zeros(n)
    for harmonic in range(1, 3600 // 120):
        freq_hz = 120 * harmonic
        gain = sum(1 / (1 + ((freq_hz - f) / b) ** 2) for f, b in ((500, 80), (1500, 120), (2500, 160)))
        x += gain * np.sin(2 * np.pi * freq_hz * t + harmonic * harmonic)
    x *= 0.55 + 0.45 * np.sin(2 * np.pi * 4 * t)
    voice: Samples = np.rint(x / np.max(np.abs(x)) * peak).astype(np.int16)
    return voice


@pytest.mark.parametrize("peak", [500, 4000, 30000])
def test_a_voice_comes_back_30_db_above_the_noise_at_any_level(peak: int) -> None:
    x = speechlike(16_000, 8000, peak)
    y = G722Decoder().decode(G722Encoder().encode(x))
    figure = snr_db(x[400:].astype(float), y[400:].astype(float))
    print(f"voice peaking at {peak}: {figure:.1f} dB")
    assert figure > 30


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("freq_hz", [300, 1000, 3000])
def test_a_tone_comes_back_at_its_level(freq_hz: int, rate_hz: int) -> None:
    t = np.arange(rate_hz)
    x = np.rint(8000 * np.sin(2 * np.pi * freq_hz / rate_hz * t)).astype(np.int16)
    y = G722Decoder(rate_hz=rate_hz).decode(G722Encoder(rate_hz=rate_hz).encode(x)).astype(float)
    phasor = np.exp(-2j * np.pi * freq_hz / rate_hz * t)
    level_db = 20 * np.log10(abs(np.sum(y * phasor)) / abs(np.sum(x * phasor)))
    print(f"{freq_hz} Hz at {rate_hz}: {level_db:+.2f} dB")
    assert abs(level_db) < 0.2


def test_a_peer_at_16_khz_and_the_lower_band_alone_hear_each_other() -> None:
    for freq_hz in (300, 1000, 2500):
        at_8 = np.rint(8000 * np.sin(2 * np.pi * freq_hz / 8000 * np.arange(8000))).astype(np.int16)
        at_16 = np.rint(8000 * np.sin(2 * np.pi * freq_hz / 16000 * np.arange(16000))).astype(np.int16)
        heard_8 = G722Decoder().decode(G722Encoder(rate_hz=16_000).encode(at_16)).astype(float)
        heard_16 = G722Decoder(rate_hz=16_000).decode(G722Encoder().encode(at_8)).astype(float)
        for y, rate_hz in ((heard_8, 8000), (heard_16, 16_000)):
            amplitude = 2 * abs(np.mean(y * np.exp(-2j * np.pi * freq_hz / rate_hz * np.arange(len(y)))))
            print(f"{freq_hz} Hz, heard at {rate_hz}: {20 * np.log10(amplitude / 8000):+.2f} dB")
            assert abs(20 * np.log10(amplitude / 8000)) < 0.5


def test_silence_is_heard_as_silence() -> None:
    data = G722Encoder().encode(_zeros(8000))
    assert all(octet >> 6 == 3 for octet in data)
    assert np.max(np.abs(G722Decoder().decode(data))) <= 2
    # The higher band's constant octet dies away in a peer that listens to it.
    assert np.max(np.abs(G722Decoder(rate_hz=16_000).decode(data))) <= 4


@pytest.mark.parametrize("peer_rate_hz", RATES_HZ)
def test_keys_are_heard_through_it(peer_rate_hz: int) -> None:
    text = "0123456789*#ABCD"
    sent = generate(text)
    if peer_rate_hz == 16_000:
        sent = resample(sent, 8000, 16_000)
    heard = G722Decoder().decode(G722Encoder(rate_hz=peer_rate_hz).encode(sent))
    assert digits(detect(heard)) == text


@pytest.mark.parametrize("level_dbm0", [-3.0, -12.0, -22.0])
def test_keys_of_45_ms_are_heard_through_it_at_any_level(level_dbm0: float) -> None:
    rng = np.random.default_rng(722)
    text = "159D*0#A26"
    sent = keys(
        text, 45, 45, rng, make=lambda digit: key(digit, 45, low_dbm0=level_dbm0, high_dbm0=level_dbm0, rng=rng)
    )
    assert digits(detect(G722Decoder().decode(G722Encoder().encode(sent)))) == text


# -- the face


def test_the_faces_refuse_what_would_hide_a_mistake() -> None:
    with pytest.raises(TypeError):
        G722Encoder().encode(np.zeros(160))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="even"):
        G722Encoder(rate_hz=16_000).encode(np.zeros(3, dtype=np.int16))
    with pytest.raises(ValueError, match="rate_hz"):
        G722Encoder(rate_hz=11_025)
    with pytest.raises(ValueError, match="bitrate"):
        G722Decoder(bitrate=32_000)
    assert G722Encoder().encode(np.zeros(0, dtype=np.int16)) == b""
    assert len(G722Decoder(rate_hz=16_000).decode(b"")) == 0
