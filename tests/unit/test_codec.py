"""`engine.rtp.codec`: one front for every codec of a leg; RFC 3551 §4.5.2, §4.5.11, §4.5.14 and §6."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.dtmf import generate
from dsp.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from dsp.g722 import G722Decoder, G722Encoder
from engine.rtp import STATIC_PAYLOAD_TYPES, _codec, _opus
from engine.rtp.codec import (
    SUPPORTED,
    Codec,
    CodecKind,
    codec_available,
    codec_named,
    make_codec,
    why_unavailable,
)
from tests.support.tones import detect, digits, key

Samples = NDArray[np.int16]

ALWAYS = (CodecKind.PCMU, CodecKind.PCMA, CodecKind.G722, CodecKind.L16)
needs_opus = pytest.mark.skipif(not codec_available("opus"), reason=str(why_unavailable("opus")))
KINDS = [*ALWAYS, pytest.param(CodecKind.OPUS, marks=needs_opus)]


def tone(n: int, freq_hz: float = 440.0, peak: float = 10_000.0) -> Samples:
    x: Samples = np.rint(peak * np.sin(2 * np.pi * freq_hz / 8000 * np.arange(n))).astype(np.int16)
    return x


def through(sender: Codec, receiver: Codec, x: Samples, kinds: list[CodecKind], packet: int = 160) -> Samples:
    """Send x in packets, each in the codec that `kinds` says, and return what is heard."""
    heard = []
    for i, kind in enumerate(kinds):
        payload = sender.encode(kind, x[packet * i : packet * (i + 1)])
        assert payload is not None
        samples = receiver.decode(kind, payload)
        assert samples is not None
        heard.append(samples)
    return np.concatenate(heard)


# -- names, clocks, payload types


def test_static_payload_types_are_those_of_table_4() -> None:
    ours = {info.payload_type: info.name for info in SUPPORTED if info.payload_type is not None}
    assert ours == {pt: name for pt, name in STATIC_PAYLOAD_TYPES.items() if name != "CN"}


@pytest.mark.parametrize(
    ("name", "rtpmap", "clock_hz", "divisor"),
    [
        ("PCMU", "PCMU/8000", 8000, 1),
        ("pcma", "PCMA/8000", 8000, 1),
        ("g722", "G722/8000", 8000, 1),  # RFC 3551 §4.5.2: though it samples at 16 kHz
        ("l16", "L16/8000", 8000, 1),
        ("OPUS", "opus/48000/2", 48000, 6),  # RFC 7587 §7
    ],
)
def test_a_codec_is_found_by_its_name_in_any_case(name: str, rtpmap: str, clock_hz: int, divisor: int) -> None:
    info = codec_named(name)
    assert (info.rtpmap, info.clock_hz, info.timestamp_divisor) == (rtpmap, clock_hz, divisor)


def test_kinds_leave_the_numbers_of_events_comfort_noise_and_red_free() -> None:
    assert {kind.value for kind in CodecKind} == {0, 1, 2, 5, 6, 7}


@pytest.mark.parametrize("kind", [0, 3, 4, 8, -1, 99])
def test_what_is_no_codec_has_no_clock_and_carries_nothing(kind: int) -> None:
    codec = make_codec()
    assert _codec.clock_hz(kind) == 0
    assert codec.decode(kind, b"\xff" * 160) is None
    assert codec.encode(kind, tone(160)) is None


def test_the_codecs_without_a_library_are_always_there() -> None:
    assert all(codec_available(kind.name) for kind in ALWAYS)
    assert why_unavailable("G729") == "G729 is not a codec that paytone knows"


def test_a_missing_library_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_opus, "load", lambda: "libopus.so.0: cannot open shared object file")
    assert not codec_available("opus")
    assert "apt-get install libopus0" in str(why_unavailable("opus"))


def test_a_library_that_is_not_there_or_another_is_no_opus() -> None:
    # In a process of its own: once opened, the library stays.
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "from engine.rtp import _opus\nfor name in ('libnothing.so.9', 'libm.so.6'): print(_opus.load(name))",
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.splitlines()
    assert told[0].startswith("libnothing.so.9: cannot open")
    assert told[1] == "the library lacks a function of libopus 1.1 or later"


def test_a_leg_pays_less_than_a_kibibyte() -> None:
    print(f"CodecState: {_codec.STATE_SIZE} bytes")
    assert _codec.STATE_SIZE <= 512


# -- each codec is what its own module says


def test_each_codec_sends_and_hears_what_its_module_does() -> None:
    x = generate("5")[:480]
    codec = make_codec()
    for kind, encoded, decode in (
        (CodecKind.PCMU, ulaw_encode(x), ulaw_decode),
        (CodecKind.PCMA, alaw_encode(x), alaw_decode),
        (CodecKind.G722, G722Encoder().encode(x), G722Decoder().decode),
        (CodecKind.L16, x.astype(">i2").tobytes(), lambda data: np.frombuffer(data, dtype=">i2")),
    ):
        codec.reset_decoder(CodecKind.NONE)  # nothing to join: bit by bit
        assert codec.encode(kind, x) == encoded
        assert np.array_equal(codec.decode(kind, encoded), decode(encoded))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packet", [80, 160, 320])
def test_a_tone_comes_back_at_its_level(kind: CodecKind, packet: int) -> None:
    opus = kind is CodecKind.OPUS
    x = tone(8000, 1000.0)
    y = through(make_codec(opus=opus), make_codec(opus=opus), x, [kind] * (8000 // packet), packet)
    phasor = np.exp(-2j * np.pi * np.arange(8000) / 8)
    level_db = 20 * np.log10(abs(np.sum(y[1600:] * phasor[1600:])) / abs(np.sum(x[1600:] * phasor[1600:])))
    print(f"{kind.name}: {level_db:+.2f} dB")
    assert abs(level_db) < 0.5


# -- bounds


@pytest.mark.parametrize("kind", ALWAYS)
def test_what_has_no_room_is_refused_whole(kind: CodecKind) -> None:
    codec = make_codec()
    payload = codec.encode(kind, tone(160))
    assert payload is not None
    assert codec.decode(kind, payload, max=159) is None
    assert codec.encode(kind, tone(160), max=len(payload) - 1) is None
    assert len(codec.encode(kind, tone(160), max=len(payload)) or b"") == len(payload)
    heard = codec.decode(kind, payload, max=160)
    assert heard is not None
    assert len(heard) == 160


def test_half_a_sample_of_l16_is_malformed() -> None:
    assert make_codec().decode(CodecKind.L16, b"\x00\x01\x02") is None


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_payload_holds_nothing_and_changes_nothing(kind: CodecKind) -> None:
    opus = kind is CodecKind.OPUS
    codec, other = make_codec(opus=opus), make_codec(opus=opus)
    payloads = [make_codec(opus=opus).encode(kind, tone(160)) or b""] * 2
    heard = []
    for each, between in ((codec, b""), (other, None)):
        each.decode(kind, payloads[0])
        if between is not None:
            empty = each.decode(kind, between)
            assert empty is not None
            assert len(empty) == 0
        heard.append(each.decode(kind, payloads[1]))
    assert np.array_equal(heard[0], heard[1])  # type: ignore[arg-type]


def test_a_refused_payload_changes_nothing() -> None:
    x = tone(480)
    sender = make_codec()
    payloads = [sender.encode(CodecKind.G722, x[at : at + 160]) or b"" for at in (0, 160, 320)]
    disturbed, plain = make_codec(), make_codec()
    for payload in payloads:
        expected = plain.decode(CodecKind.G722, payload)
        assert np.array_equal(disturbed.decode(CodecKind.G722, payload), expected)  # type: ignore[arg-type]
        assert disturbed.decode(CodecKind.L16, b"\x00") is None
        assert disturbed.decode(CodecKind.OPUS, b"\x00") is None
        assert disturbed.decode(CodecKind.PCMU, b"\x00" * 200, max=199) is None


def test_without_its_handles_opus_is_refused() -> None:
    codec = make_codec()
    assert codec.decode(CodecKind.OPUS, b"\x08" + bytes(30)) is None
    assert codec.encode(CodecKind.OPUS, tone(160)) is None


# -- a change in the middle


def largest_step(x: Samples) -> int:
    return int(np.max(np.abs(np.diff(x.astype(int)))))


SWITCHES = [
    [CodecKind.PCMU, CodecKind.G722, CodecKind.PCMA],
    [CodecKind.G722, CodecKind.L16, CodecKind.G722],
    pytest.param([CodecKind.PCMU, CodecKind.OPUS, CodecKind.PCMA], marks=needs_opus),
    pytest.param([CodecKind.OPUS, CodecKind.G722, CodecKind.OPUS], marks=needs_opus),
]


@pytest.mark.parametrize("kinds", SWITCHES, ids=lambda kinds: "-".join(kind.name for kind in kinds))
@pytest.mark.parametrize("phase", range(0, 160, 20))
def test_a_tone_goes_on_without_a_click_when_its_codec_changes(kinds: list[CodecKind], phase: int) -> None:
    # 440 Hz: a period is 18.2 samples, so that eight phases meet the change everywhere in it.
    opus = CodecKind.OPUS in kinds
    x = tone(15 * 160 + phase)[phase:]
    each = [kind for kind in kinds for _ in range(5)]
    heard = through(make_codec(opus=opus), make_codec(opus=opus), x, each)
    inside = largest_step(x)
    # The beginning of a call is no change: there the first codec catches up with a tone that was on already.
    steps = largest_step(heard[200:])
    print(f"largest step {steps}, inside the tone {inside}")
    # The join itself moves by at most 2 * peak / JOIN a sample; quantising adds a step of the codec.
    assert steps <= 1.15 * inside


@pytest.mark.parametrize("packet", [8, 20, 40, 160])
def test_the_join_is_as_long_whatever_the_packets(packet: int) -> None:
    x = np.full(400, 8000, dtype=np.int16)
    n = 160 // packet
    kinds = [CodecKind.L16] * n + [CodecKind.PCMA] * n
    heard = through(make_codec(), make_codec(), x, kinds, packet)
    alone = alaw_decode(alaw_encode(x))
    assert np.array_equal(heard[160 + _codec.JOIN :], alone[160 + _codec.JOIN : 320])
    drop = through(make_codec(), make_codec(), np.where(np.arange(400) < 160, 8000, 0).astype(np.int16), kinds, packet)
    assert np.all(np.diff(drop[159 : 160 + _codec.JOIN].astype(int)) <= 0)
    assert largest_step(drop[150:240]) <= 8000 / _codec.JOIN + 1


def test_the_first_payload_of_all_is_joined_to_nothing() -> None:
    x = np.full(160, 8000, dtype=np.int16)
    heard = make_codec().decode(CodecKind.L16, x.astype(">i2").tobytes())
    assert np.array_equal(heard, x)  # type: ignore[arg-type]


@pytest.mark.parametrize("kinds", [[CodecKind.PCMU, CodecKind.G722], [CodecKind.G722, CodecKind.PCMA]])
def test_a_key_held_over_the_change_is_one_key(kinds: list[CodecKind]) -> None:
    x = np.concatenate([np.zeros(640, dtype=np.int16), key("5", 120), np.zeros(1600, dtype=np.int16)])
    n = len(x) // 160
    for at in range(4, 12):
        each = [kinds[0]] * at + [kinds[1]] * (n - at)
        assert digits(detect(through(make_codec(), make_codec(), x, each))) == "5"


@pytest.mark.parametrize("kind", [CodecKind.G722, pytest.param(CodecKind.OPUS, marks=needs_opus)])
def test_a_codec_that_comes_back_begins_anew(kind: CodecKind) -> None:
    opus = kind is CodecKind.OPUS
    x = generate("7")[:320]
    fresh = make_codec(opus=opus)
    first = fresh.encode(kind, x)
    used = make_codec(opus=opus)
    for at in range(5):
        used.encode(kind, tone(160, 300.0 + 100 * at))
    used.encode(CodecKind.PCMU, tone(160))
    assert used.encode(kind, x) == first
    assert first is not None
    for at in range(5):
        used.decode(kind, make_codec(opus=opus).encode(kind, tone(160, 300.0 + 100 * at)) or b"")
    used.decode(CodecKind.PCMU, b"\xff" * 160)
    heard, expected = used.decode(kind, first), fresh.decode(kind, first)
    assert heard is not None
    assert expected is not None
    assert np.array_equal(heard[100:], expected[100:])  # the join is 40 samples, 92 for Opus


@pytest.mark.parametrize("kind", [CodecKind.G722, pytest.param(CodecKind.OPUS, marks=needs_opus)])
def test_a_reset_begins_the_same_codec_anew(kind: CodecKind) -> None:
    opus = kind is CodecKind.OPUS
    codec = make_codec(opus=opus)
    x = generate("3")[:320]
    first = codec.encode(kind, x)
    assert first is not None
    heard = codec.decode(kind, first)
    codec.reset_encoder(kind)
    codec.reset_decoder(kind)
    assert codec.encode(kind, x) == first
    assert np.array_equal(codec.decode(kind, first), heard)  # type: ignore[arg-type]
    codec.reset_decoder(CodecKind.NONE)
    codec.reset_encoder(CodecKind.NONE)
    assert codec.encode(kind, x) == first
    assert np.array_equal(codec.decode(kind, first), heard)  # type: ignore[arg-type]
