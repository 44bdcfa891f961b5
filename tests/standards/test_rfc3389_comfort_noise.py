"""RFC 3389: comfort noise. Covers §3.1 the level, §3.2 coefficients, §3.3 the payload's layout, both directions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import lfilter

from dsp.comfort_noise import MAX_ORDER, ComfortNoise, analyse
from dsp.levels import rms_dbov

ROOM = bytes([47, 30, 160, 110, 140])
"A room: low frequencies prevail."


def coefficient(index: int) -> float:
    """RFC 3389 §3.2: what an octet of the payload stands for."""
    return 258 * (index - 127) / 32768


def polynomial(payload: bytes) -> NDArray[np.float64]:
    """A(z) of the payload's coefficients, by the step-up recursion."""
    a = np.ones(1)
    for index in payload[1:]:
        extended = np.append(a, 0.0)
        a = extended + coefficient(index) * extended[::-1]
    return a


def generated(payload: bytes, n: int, seed: int = 1) -> NDArray[np.int16]:
    noise = ComfortNoise(seed=seed)
    assert noise.update(payload)
    return noise.generate(n)


def excitation(seed: int, n: int) -> NDArray[np.float64]:
    """The generator's uniform numbers, -1 to 1."""
    values = np.empty(n)
    for i in range(n):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        values[i] = (seed - (seed >> 31 << 32)) / 2**31
    return values


@pytest.mark.parametrize("level", [10, 25, 40, 55, 65, 70])
@pytest.mark.parametrize("shape", [b"", bytes([30]), bytes([200, 90]), ROOM[1:], bytes([20, 190, 100] * 4)])
def test_the_level_is_the_octets_in_minus_dbov_within_a_decibel(level: int, shape: bytes) -> None:
    # §3.1
    measured = rms_dbov(generated(bytes([level]) + shape, 40_000)[800:])
    print(f"-{level} dBov with {len(shape)} coefficients: {measured:.2f}")
    assert measured == pytest.approx(-level, abs=1.0)


@pytest.mark.parametrize("level", [110, 127])
def test_a_level_below_one_step_of_a_sample_is_silence(level: int) -> None:
    assert not generated(bytes([level]), 8000).any()


def test_the_upper_bit_of_the_level_is_ignored() -> None:
    assert np.array_equal(generated(bytes([0x80 | 50]), 800), generated(bytes([50]), 800))


@pytest.mark.parametrize("shape", [bytes([30]), ROOM[1:], bytes([20, 190, 100] * 4)])
def test_the_noise_is_the_excitation_through_the_all_pole_filter(shape: bytes) -> None:
    # §3.2, against scipy's direct form: after the first 10 ms, in which the level rises.
    payload = bytes([30]) + shape
    got = generated(payload, 2000, seed=7).astype(float)
    gain = np.prod([1 - coefficient(index) ** 2 for index in shape])
    amplitude = 32767 * 10 ** (-30 / 20) * np.sqrt(3 * gain)
    ramp = np.minimum(np.arange(1, 2001) / 80, 1)
    expected = lfilter([1.0], polynomial(payload), excitation(7, 2000) * amplitude * ramp)
    assert np.abs(got - expected).max() <= 1


def test_a_negative_first_coefficient_raises_the_low_frequencies() -> None:
    def low_over_high(payload: bytes) -> float:
        power = np.abs(np.fft.rfft(generated(payload, 16_000).astype(float))) ** 2
        return float(power[:2000].sum() / power[-2000:].sum())

    assert low_over_high(bytes([30, 30])) > 10
    assert low_over_high(bytes([30, 224])) < 0.1


def test_a_reserved_coefficient_ends_the_spectrum() -> None:
    # §3.2: 255 is reserved.
    assert np.array_equal(generated(bytes([30, 60, 255, 10]), 800), generated(bytes([30, 60]), 800))


def test_more_coefficients_than_are_used_are_left_out() -> None:
    whole = bytes([30]) + bytes([100, 150] * 20)
    assert np.array_equal(generated(whole, 800), generated(whole[: 1 + MAX_ORDER], 800))


def test_an_empty_payload_changes_nothing() -> None:
    noise = ComfortNoise()
    assert not noise.update(b"")
    assert not noise.generate(800).any()


def test_the_same_seed_gives_the_same_noise_in_any_pieces() -> None:
    whole = generated(ROOM, 1600, seed=3)
    noise = ComfortNoise(seed=3)
    noise.update(ROOM)
    assert np.array_equal(np.concatenate([noise.generate(n) for n in (80, 160, 400, 80, 880)]), whole)
    assert not np.array_equal(generated(ROOM, 1600, seed=4), whole)


def test_another_payload_is_gone_over_to_without_a_step() -> None:
    noise = ComfortNoise(seed=5)
    noise.update(bytes([30, 20]))
    before = noise.generate(8000).astype(int)
    noise.update(bytes([50, 230]))
    change = noise.generate(800).astype(int)
    after = noise.generate(8000)
    own = int(np.abs(np.diff(before)).max())
    assert np.abs(np.diff(np.concatenate([before[-1:], change]))).max() <= 1.2 * own
    assert rms_dbov(after) == pytest.approx(-50, abs=1)


@given(payloads=st.lists(st.binary(min_size=0, max_size=20), max_size=8), pieces=st.lists(st.integers(0, 400)))
@settings(deadline=None, max_examples=100)
def test_no_payload_makes_it_unstable(payloads: list[bytes], pieces: list[int]) -> None:
    noise = ComfortNoise(seed=9)
    loudest = 127
    for payload in payloads:
        noise.update(payload)
        loudest = min(loudest, payload[0] & 0x7F) if payload else loudest
        for n in pieces:
            noise.generate(n)
    # In the end it is heard at the last level again, whatever filters it went through.
    noise.update(bytes([50]))
    noise.generate(4000)
    assert rms_dbov(noise.generate(16_000)) == pytest.approx(-50, abs=1)


@pytest.mark.parametrize("level_dbov", [-20, -45, -70])
def test_the_level_of_a_frame_is_analysed_within_half_a_decibel(level_dbov: int) -> None:
    rng = np.random.default_rng(1)
    samples = np.rint(rng.normal(0, 32767 * 10 ** (level_dbov / 20), 8000)).astype(np.int16)
    assert analyse(samples)[0] == pytest.approx(-rms_dbov(samples), abs=0.51)
    assert len(analyse(samples)) == 1


def test_silence_is_analysed_as_the_lowest_level_and_no_spectrum() -> None:
    assert analyse(np.zeros(160, dtype=np.int16), order=3) == bytes([127, 127, 127, 127])
    assert analyse(np.zeros(0, dtype=np.int16), order=1) == bytes([127, 127])


@pytest.mark.parametrize("shape", [bytes([30]), ROOM[1:], bytes([60, 160, 100, 140, 127, 150, 110, 120])])
def test_what_is_generated_is_analysed_as_it_was_described(shape: bytes) -> None:
    payload = bytes([35]) + shape
    found = analyse(generated(payload, 80_000)[800:], order=len(shape))
    assert abs(found[0] - 35) <= 1
    assert max(abs(a - b) for a, b in zip(found[1:], shape, strict=True)) <= 4


@given(
    samples=st.lists(st.integers(-32768, 32767), max_size=300),
    order=st.integers(0, 12),
)
@settings(deadline=None, max_examples=100)
def test_any_samples_have_a_payload_that_can_be_generated(samples: list[int], order: int) -> None:
    payload = analyse(np.array(samples, dtype=np.int16), order=order)
    assert len(payload) == order + 1
    assert payload[0] <= 127
    assert max(payload[1:], default=0) <= 254
    generated(payload, 400)


def test_what_cannot_be_analysed_is_refused() -> None:
    with pytest.raises(TypeError):
        analyse(np.zeros(160))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="order"):
        analyse(np.zeros(160, dtype=np.int16), order=13)
