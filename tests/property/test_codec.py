"""Any bytes decode without a fault into no more samples than there is room for, in any order of codecs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dsp.g722 import BITRATES, G722Decoder
from engine.rtp.codec import CodecKind, codec_available, make_codec, why_unavailable

HAS_OPUS = codec_available("opus")
LAWS = (CodecKind.PCMU, CodecKind.PCMA)
kinds = st.sampled_from([*CodecKind] if HAS_OPUS else [kind for kind in CodecKind if kind is not CodecKind.OPUS])
frames = st.lists(st.integers(-32768, 32767), min_size=1, max_size=400).map(lambda x: np.array(x, dtype=np.int16))


def least_samples(kind: CodecKind, payload: bytes) -> int | None:
    """How many samples a payload is; None where only libopus knows."""
    if kind is CodecKind.OPUS and payload:
        return None
    return len(payload) // 2 if kind is CodecKind.L16 else len(payload)


@given(payloads=st.lists(st.tuples(kinds, st.binary(max_size=300), st.integers(1, 1000)), max_size=30))
@settings(deadline=None, max_examples=300)
def test_any_bytes_in_any_codec_fit_or_are_refused(payloads: list[tuple[CodecKind, bytes, int]]) -> None:
    codec = make_codec(opus=HAS_OPUS)
    for kind, payload, room in payloads:
        heard = codec.decode(kind, payload, max=room)
        expected = least_samples(kind, payload)
        if kind is CodecKind.NONE or (kind is CodecKind.L16 and len(payload) % 2):
            assert heard is None
        elif expected is None:
            assert heard is None or 0 < len(heard) <= min(room, 960)
        elif expected > room:
            assert heard is None
        else:
            assert heard is not None
            assert len(heard) == expected


@given(payload=st.binary(min_size=1, max_size=64).map(lambda tail: b"\x03" + tail), room=st.integers(1, 959))
@settings(deadline=None, max_examples=300)
@pytest.mark.skipif(not HAS_OPUS, reason=str(why_unavailable("opus")))
def test_an_opus_packet_of_many_frames_never_passes_its_room(payload: bytes, room: int) -> None:
    # TOC code 3: the packet itself says how many frames there are, up to 120 ms.
    heard = make_codec(opus=True).decode(CodecKind.OPUS, payload, max=room)
    assert heard is None or len(heard) <= room


@given(x=frames)
def test_l16_comes_back_bit_by_bit(x: NDArray[np.int16]) -> None:
    codec = make_codec()
    payload = codec.encode(CodecKind.L16, x)
    assert payload is not None
    assert np.array_equal(codec.decode(CodecKind.L16, payload), x)  # type: ignore[arg-type]


@given(x=frames, kind=st.sampled_from(LAWS))
def test_a_decoded_frame_of_g711_survives_another_round(x: NDArray[np.int16], kind: CodecKind) -> None:
    codec = make_codec()
    once = codec.decode(kind, codec.encode(kind, x) or b"")
    assert once is not None
    twice = codec.decode(kind, codec.encode(kind, once) or b"")
    assert np.array_equal(once, twice)  # type: ignore[arg-type]


@given(before=st.lists(st.tuples(kinds, frames), max_size=8), x=frames)
@settings(deadline=None)
def test_nothing_of_the_codecs_before_is_in_what_is_sent_after_a_change(
    before: list[tuple[CodecKind, NDArray[np.int16]]], x: NDArray[np.int16]
) -> None:
    codec = make_codec(opus=HAS_OPUS)
    for kind, frame in before:
        codec.encode(kind, frame)
    codec.encode(CodecKind.PCMU, x)
    assert codec.encode(CodecKind.G722, x) == make_codec().encode(CodecKind.G722, x)


@given(
    before=st.lists(st.tuples(kinds, st.binary(max_size=300)), max_size=8),
    payload=st.binary(min_size=41, max_size=300),
)
@settings(deadline=None)
def test_nothing_of_the_codecs_before_is_heard_after_the_join(
    before: list[tuple[CodecKind, bytes]], payload: bytes
) -> None:
    codec = make_codec(opus=HAS_OPUS)
    for kind, old in before:
        codec.decode(kind, old)
    codec.decode(CodecKind.PCMA, payload)
    heard, expected = codec.decode(CodecKind.G722, payload), make_codec().decode(CodecKind.G722, payload)
    assert heard is not None
    assert expected is not None
    assert np.array_equal(heard[40:], expected[40:])


@given(before=st.lists(st.tuples(kinds, st.binary(max_size=300)), max_size=8), payload=st.binary(max_size=300))
@settings(deadline=None)
def test_a_wiped_decoder_is_a_new_one(before: list[tuple[CodecKind, bytes]], payload: bytes) -> None:
    codec = make_codec(opus=HAS_OPUS)
    for kind, old in before:
        codec.decode(kind, old)
    codec.reset_decoder(CodecKind.NONE)
    assert np.array_equal(
        codec.decode(CodecKind.G722, payload),  # type: ignore[arg-type]
        make_codec().decode(CodecKind.G722, payload),  # type: ignore[arg-type]
    )


@given(data=st.binary(max_size=600), bitrate=st.sampled_from(BITRATES))
def test_the_lower_bits_are_data_below_64_kbit_s(data: bytes, bitrate: int) -> None:
    # Clause 1.1: whatever the far end puts there is not heard.
    auxiliary = BITRATES.index(bitrate)
    other = bytes(octet ^ ((1 << auxiliary) - 1) for octet in data)
    for rate_hz in (8000, 16_000):
        heard = G722Decoder(rate_hz=rate_hz, bitrate=bitrate).decode(data)
        assert np.array_equal(heard, G722Decoder(rate_hz=rate_hz, bitrate=bitrate).decode(other))
