"""RFC 7587: §3.1.1 rates, §3.1.2 constant rate, §3.3 FEC, §4.1 clock, §4.2 payload, §6.1 parameters; RFC 6716 §3.1 TOC.

What a peer sends us is whatever its encoder likes: 48 kHz, stereo, 2.5 to 120 ms. What we send is narrow-band, mono.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.dtmf import generate
from engine.rtp import _opus
from engine.rtp.codec import OPUS_BITRATE, CodecKind, codec_available, codec_named, make_codec, why_unavailable
from tests.support.tones import detect, digits

pytestmark = pytest.mark.skipif(not codec_available("opus"), reason=str(why_unavailable("opus")))

Samples = NDArray[np.int16]

OPUS = CodecKind.OPUS
AUDIO, LOW_DELAY = 2049, 2051  # applications of opus_encoder_create: all of the band, and CELT alone


class Peer:
    """An encoder of another's settings: libopus itself, by ctypes."""

    def __init__(self, rate_hz: int, channels: int, application: int) -> None:
        self.library = ctypes.CDLL(_opus.SONAME)
        pointer, integer = ctypes.c_void_p, ctypes.c_int
        self.library.opus_encoder_create.restype = pointer
        self.library.opus_encoder_create.argtypes = [integer, integer, integer, pointer]
        self.library.opus_encode.argtypes = [pointer, pointer, integer, pointer, integer]
        self.library.opus_encoder_destroy.argtypes = [pointer]
        self.library.opus_encoder_destroy.restype = None
        self.channels = channels
        self.state = self.library.opus_encoder_create(rate_hz, channels, application, None)

    def encode(self, samples: Samples) -> bytes:
        out = ctypes.create_string_buffer(4000)
        data = np.ascontiguousarray(samples)
        n = self.library.opus_encode(self.state, data.ctypes.data, len(samples) // self.channels, out, len(out))
        assert n > 0
        return out.raw[:n]

    def close(self) -> None:
        self.library.opus_encoder_destroy(self.state)


@pytest.fixture(params=[(48_000, 2, AUDIO), (48_000, 1, LOW_DELAY), (16_000, 1, AUDIO)], ids=str)
def peer(request: pytest.FixtureRequest) -> Iterator[tuple[Peer, int]]:
    rate_hz, channels, application = request.param
    made = Peer(rate_hz, channels, application)
    yield made, rate_hz
    made.close()


def tone(n: int, freq_hz: float = 1000.0, rate_hz: int = 8000) -> Samples:
    x: Samples = np.rint(8000 * np.sin(2 * np.pi * freq_hz / rate_hz * np.arange(n))).astype(np.int16)
    return x


def test_the_clock_is_48_khz_whatever_is_coded() -> None:
    # §4.1: 20 ms are 960 units, which are 160 samples of ours.
    info = codec_named("opus")
    assert (info.rtpmap, info.clock_hz) == ("opus/48000/2", 48_000)
    assert 160 * info.timestamp_divisor == 960


def test_the_parameters_ask_for_what_we_play_and_tell_what_we_send() -> None:
    parameters = dict(part.split("=") for part in codec_named("opus").fmtp.split(";"))
    assert parameters == {
        "maxplaybackrate": "8000",
        "sprop-maxcapturerate": "8000",
        "stereo": "0",
        "cbr": "1",
        "useinbandfec": "0",
        "usedtx": "0",
    }


@pytest.mark.parametrize("n", [20, 40, 80, 160, 320, 480])
def test_each_frame_of_2_5_to_60_ms_is_one_packet(n: int) -> None:
    sender, receiver = make_codec(opus=True), make_codec(opus=True)
    for at in range(5):
        payload = sender.encode(OPUS, tone(5 * n)[at * n : (at + 1) * n])
        assert payload is not None
        heard = receiver.decode(OPUS, payload)
        assert heard is not None
        assert len(heard) == n


@pytest.mark.parametrize("n", [1, 19, 21, 100, 200, 481, 960, 4000])
def test_what_is_no_frame_is_not_coded(n: int) -> None:
    assert make_codec(opus=True).encode(OPUS, tone(n)) is None


def test_what_we_send_is_narrow_band_and_mono() -> None:
    # RFC 6716 §3.1: configurations 0 to 3 are SILK, narrow band; then the stereo bit, then how frames are packed.
    payload = make_codec(opus=True).encode(OPUS, tone(160))
    assert payload is not None
    assert payload[0] >> 3 <= 3
    assert payload[0] & 0x04 == 0
    # One frame: code 0, or code 3 that counts one and pads it to the constant size.
    assert payload[0] & 0x03 == 0 or (payload[0] & 0x03 == 3 and payload[1] & 0x3F == 1)


def test_every_packet_is_as_long_in_speech_and_in_silence() -> None:
    # RFC 6562 §3: the sizes of encrypted packets tell what is said. No DTX, no FEC, a constant rate.
    codec = make_codec(opus=True)
    rng = np.random.default_rng(7587)
    x = np.concatenate([tone(1600), np.zeros(1600, dtype=np.int16), rng.normal(0, 4000, 1600).astype(np.int16)])
    sizes = {len(codec.encode(OPUS, x[at : at + 160]) or b"") for at in range(0, len(x), 160)}
    assert sizes == {OPUS_BITRATE // 8 // 50}


@pytest.mark.parametrize("ms", [2.5, 10, 20, 60])
def test_whatever_a_peers_encoder_sends_is_heard_at_8_khz(peer: tuple[Peer, int], ms: float) -> None:
    encoder, rate_hz = peer
    step = round(rate_hz * ms / 1000)
    n = round(600 / ms)
    x = np.repeat(tone(n * step, rate_hz=rate_hz), encoder.channels)
    receiver = make_codec(opus=True)
    heard = []
    for at in range(n):
        samples = receiver.decode(OPUS, encoder.encode(x[at * step * encoder.channels :][: step * encoder.channels]))
        assert samples is not None
        assert len(samples) == round(8 * ms)
        heard.append(samples)
    y = np.concatenate(heard)[1600:].astype(float)
    amplitude = 2 * abs(np.mean(y * np.exp(-2j * np.pi / 8 * np.arange(len(y)))))
    print(f"{20 * np.log10(amplitude / 8000):+.2f} dB")
    assert abs(20 * np.log10(amplitude / 8000)) < 1.0


def test_a_packet_of_120_ms_is_heard_whole_and_no_longer_one_is() -> None:
    # RFC 6716 §3.2.5: code 3, constant rate, M frames of 20 ms (configuration 1); 120 ms are the most.
    frame = bytes(range(1, 41))
    for m, expected in ((6, 960), (7, None)):
        heard = make_codec(opus=True).decode(OPUS, bytes([0x0B, m]) + m * frame)
        assert (None if heard is None else len(heard)) == expected
    assert make_codec(opus=True).decode(OPUS, bytes([0x0B, 6]) + 6 * frame, max=959) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"\x09" + bytes(3),  # RFC 6716 §3.4 R3: two frames of one size need an even number of bytes
        b"\x0a\xfc",  # §3.2.4: the second byte of the length is missing
        b"\x0b",  # code 3 without its count
        b"\x0b\x00",  # no frame
        b"\x0b\x06" + bytes(7),  # R6: not six of one size
        b"\x0b\x41\xff",  # padding longer than the packet
    ],
)
def test_a_malformed_packet_is_refused(payload: bytes) -> None:
    assert make_codec(opus=True).decode(OPUS, payload) is None


def test_keys_are_heard_through_it() -> None:
    text = "0123456789*#ABCD"
    x = generate(text)
    x = x[: len(x) // 160 * 160]
    sender, receiver = make_codec(opus=True), make_codec(opus=True)
    heard = []
    for at in range(0, len(x), 160):
        samples = receiver.decode(OPUS, sender.encode(OPUS, x[at : at + 160]) or b"")
        assert samples is not None
        heard.append(samples)
    assert digits(detect(np.concatenate([*heard, np.zeros(800, dtype=np.int16)]))) == text


def test_settings_that_libopus_refuses_are_told() -> None:
    with pytest.raises(ValueError, match="complexity 11"):
        _opus.OpusPair(24_000, 11)


def test_the_library_once_opened_stays_open() -> None:
    assert _opus.load("libnothing.so.9") is None
    assert str(_opus.version()).startswith("libopus")
