"""dsp.dtmf: profiles, detections, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest

from dsp import _detector, _oscillator
from dsp._tonefit import KEY_CODES
from dsp.channel import add_noise
from dsp.dtmf import (
    CODES,
    DIGITS,
    ITU_Q24,
    NORTH_AMERICA,
    PROFILES,
    SENSITIVE,
    STRICT,
    DtmfDetector,
    DtmfKind,
    DtmfProfile,
    ToneSource,
    generate,
    params,
)
from dsp.errors import DspError, ProfileError
from dsp.g711 import alaw_encode, ulaw_encode
from dsp.levels import peak_of_dbm0
from dsp.resample import resample
from tests.support.tones import KEYPAD, Samples, detect, digits, key, keys


def test_the_default_profile_is_the_kernels_own() -> None:
    assert params(ITU_Q24) == _detector.default_params()


def test_codes_are_those_of_rfc_4733() -> None:
    assert [CODES[digit] for digit in "0123456789*#ABCD"] == list(range(16))
    assert len(KEY_CODES) == 16
    assert [DIGITS[code] for code in KEY_CODES] == list("".join(KEYPAD))


def test_a_detection_says_where_and_how_loud() -> None:
    samples = np.concatenate([np.zeros(1000, dtype=np.int16), key("8", 100, low_dbm0=-15, high_dbm0=-12)])
    start, end = detect(samples)
    assert (start.digit, start.code, start.end) == ("8", 8, None)
    assert start.start == pytest.approx(1000, abs=16)
    assert end.end == pytest.approx(1800, abs=24)
    assert start.low_dbm0 == pytest.approx(-15, abs=0.1)
    assert start.high_minus_low_db == pytest.approx(3, abs=0.1)


def test_no_digit_shows_when_a_detection_is_printed() -> None:
    found = detect(generate("4"))
    assert found
    assert all("digit" not in text and "code" not in text for text in (repr(found), str(found[0])))


@pytest.mark.parametrize("name", PROFILES)
def test_generator_and_detector_agree(name: str) -> None:
    profile = PROFILES[name]
    for high_minus_low_db in (-8, 0, 2, 4):
        samples = generate(DIGITS, high_minus_low_db=high_minus_low_db, level_dbm0=-12, on_ms=60, off_ms=60)
        assert digits(detect(samples, profile)) == DIGITS


def test_a_strict_profile_refuses_what_the_default_forgives() -> None:
    samples = generate("1234", high_minus_low_db=6.5, level_dbm0=-15)
    assert digits(detect(samples)) == "1234"
    assert digits(detect(samples, NORTH_AMERICA)) == ""


def test_a_profile_may_ask_for_longer_tones() -> None:
    rng = np.random.default_rng(1)
    samples = keys("159D" * 10, 34, 60, rng)
    assert digits(detect(samples)) == "159D" * 10
    assert digits(detect(samples, replace(ITU_Q24, min_tone_samples=320))) == ""


def test_more_windows_are_a_higher_bar_in_noise() -> None:
    rng = np.random.default_rng(1)
    samples = add_noise(keys("159D" * 20, 45, 60, rng), 4, rng, signal_power=peak_of_dbm0(-9) ** 2)
    few, many = (digits(detect(samples, replace(ITU_Q24, windows_to_confirm=n, strong_score=1000.0))) for n in (2, 4))
    assert len(many) < len(few) <= 80


@pytest.mark.parametrize(
    "change",
    [
        {"min_level_dbm0": -80.0},
        {"frequency_tolerance": 0.1},
        {"windows_to_confirm": 0},
        {"pause_blocks": 9},
        {"max_lost_samples": -1},
        {"min_high_minus_low_db": -15.0},
        {"max_high_minus_low_db": 15.0},
        {"max_residual": 2.0},
        {"min_score": 100.0},
        {"min_high_minus_low_db": 0.0, "max_high_minus_low_db": 0.0},
    ],
)
def test_a_profile_that_contradicts_itself_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ProfileError):
        DtmfProfile(**{**asdict(ITU_Q24), **change})


def test_errors_have_one_root_and_are_value_errors() -> None:
    assert issubclass(ProfileError, DspError)
    assert issubclass(ProfileError, ValueError)


def test_only_int16_is_taken() -> None:
    with pytest.raises(TypeError, match="int16"):
        DtmfDetector().process(np.zeros(80))
    with pytest.raises(TypeError, match="2-d"):
        DtmfDetector().process(np.zeros((2, 80), dtype=np.int16))
    with pytest.raises(TypeError, match="array, not bytes"):
        DtmfDetector().process(b"1234")


def test_a_strided_array_is_read_right() -> None:
    stereo = np.zeros((3200, 2), dtype=np.int16)
    stereo[:1280, 1] = generate("3")[:1280]
    assert digits(DtmfDetector().process(stereo[:, 1])) == "3"


def test_flush_ends_a_held_key_and_reset_forgets_it() -> None:
    detector = DtmfDetector()
    assert digits(detector.process(key("6", 100))) == "6"
    (end,) = detector.flush()
    assert end.end == pytest.approx(800, abs=24)
    detector.process(key("6", 100))
    detector.reset()
    assert detector.flush() == []
    again = detector.process(key("2", 100))
    assert again[0].start < 900


@pytest.mark.parametrize("bad", ["", "E", "12", "a", "١"])
def test_an_unknown_digit_is_refused_without_being_named(bad: str) -> None:
    with pytest.raises(ValueError, match="a digit is one of") as caught:
        ToneSource(bad)
    assert bad == "" or f"{bad!r}" not in str(caught.value)


def test_the_generator_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="4000"):
        generate("1", rate_hz=3000)
    with pytest.raises(ValueError, match="negative"):
        generate("1", on_ms=-1)
    assert generate("").shape == (0,)


def test_a_tone_is_mixed_and_saturates() -> None:
    speech = np.full(400, 32000, dtype=np.int16)
    assert ToneSource("1", level_dbm0=0, on_ms=25, ramp_ms=0).fill(speech) == 200
    assert speech.max() == 32767
    assert speech.min() < 32000
    assert np.all(speech[200:] == 32000)


def test_an_oscillator_of_no_digit_is_refused() -> None:
    with pytest.raises(ValueError, match="RFC 4733"):
        _oscillator.Oscillator(16, -9.0, 100, 0)


def test_the_source_matches_the_generator() -> None:
    out = np.zeros(640, dtype=np.int16)
    ToneSource("9", on_ms=80, ramp_ms=2).fill(out)
    assert np.abs(out.astype(int) - generate("9", on_ms=80, off_ms=0, ramp_ms=2)).max() <= 1


def test_a_detection_says_how_far_off_the_tones_are() -> None:
    (start, _) = detect(generate("8", frequency_offset=(0.012, -0.008)))
    assert start.low_offset == pytest.approx(0.012, abs=5e-4)
    assert start.high_offset == pytest.approx(-0.008, abs=5e-4)
    assert start.confidence > 0.99


def test_a_key_in_noise_is_less_certain() -> None:
    rng = np.random.default_rng(5)
    clean = np.concatenate([np.zeros(4000, dtype=np.int16), generate("8", on_ms=200)])
    noisy = (clean + rng.normal(0, 2500, len(clean))).astype(np.int16)
    assert detect(noisy)[0].confidence < detect(clean)[0].confidence


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
def test_g711_bytes_are_taken_as_they_come(law: str) -> None:
    encode = ulaw_encode if law == "ulaw" else alaw_encode
    detector = DtmfDetector(encoding=law)
    assert digits(detector.process(encode(generate("123A"))) + detector.flush()) == "123A"
    with pytest.raises(TypeError, match="bytes"):
        detector.process(generate("1"))


def test_floats_are_taken_and_what_is_not_a_number_is_silence() -> None:
    samples = generate("42").astype(np.float64) / 32768
    samples[100:110] = np.nan
    samples[700] = np.inf
    detector = DtmfDetector(encoding="float")
    found = detector.process(samples) + detector.flush()
    assert digits(found) == "42"
    assert all(np.isfinite([d.low_dbm0, d.high_dbm0, d.low_offset, d.confidence]).all() for d in found)
    with pytest.raises(TypeError, match="float"):
        detector.process(generate("1"))


@pytest.mark.parametrize("rate_hz", [16000, 48000])
def test_other_rates_give_the_same_keys_at_positions_of_their_own(rate_hz: int) -> None:
    at_8k = np.concatenate([np.zeros(800, dtype=np.int16), generate("159#", on_ms=60, off_ms=60)])
    samples = resample(at_8k, 8000, rate_hz)
    detector = DtmfDetector(rate_hz=rate_hz)
    found = [d for i in range(0, len(samples), 333) for d in detector.process(samples[i : i + 333])]
    found += detector.flush()
    expected = detect(at_8k)
    assert digits(found) == "159#"
    for here, there in zip(found, expected, strict=True):
        assert here.start * 8000 / rate_hz == pytest.approx(there.start, abs=16)
        assert (here.end or 0) * 8000 / rate_hz == pytest.approx(there.end or 0, abs=24)


def test_a_rate_or_an_encoding_outside_the_set_is_named() -> None:
    with pytest.raises(ValueError, match="8000, 16000, 48000, not 11025"):
        DtmfDetector(rate_hz=11025)
    with pytest.raises(ValueError, match=r"G\.711 has 8000"):
        DtmfDetector(rate_hz=16000, encoding="ulaw")
    with pytest.raises(ValueError, match="g729"):
        DtmfDetector(encoding="g729")


def test_a_copy_goes_on_where_the_original_stood() -> None:
    samples = generate("7295", on_ms=50, off_ms=50)
    detector = DtmfDetector()
    first = detector.process(samples[:1000])
    other = detector.copy()
    rest = detector.process(samples[1000:]) + detector.flush()
    assert other.process(samples[1000:]) + other.flush() == rest
    assert digits(first + rest) == "7295"
    with pytest.raises(ValueError, match="48000"):
        DtmfDetector(rate_hz=48000).copy()


def test_a_provisional_key_comes_within_30_ms_and_is_confirmed() -> None:
    for lead in range(0, 80, 7):
        samples = np.concatenate([np.zeros(1600 + lead, dtype=np.int16), generate("6", on_ms=80)])
        detector = DtmfDetector(provisional=True)
        when: dict[DtmfKind, int] = {}
        for at in range(0, len(samples), 8):
            for found in detector.process(samples[at : at + 8]):
                assert found.digit == "6"
                when.setdefault(found.kind, at + 8 - 1600 - lead)
        assert set(when) >= {DtmfKind.PROVISIONAL, DtmfKind.START}
        assert when[DtmfKind.PROVISIONAL] <= 30 * 8 + 8
        assert when[DtmfKind.START] <= 40 * 8 + 8


def test_what_is_provisional_and_no_key_is_withdrawn() -> None:
    samples = np.concatenate([np.zeros(1600, dtype=np.int16), generate("6", on_ms=22), np.zeros(1600, dtype=np.int16)])
    detector = DtmfDetector(provisional=True)
    kinds = [found.kind for found in detector.process(samples)]
    assert kinds == [DtmfKind.PROVISIONAL, DtmfKind.WITHDRAWN]


def test_a_pair_that_goes_on_through_noise_leaves_nothing_provisional() -> None:
    rng = np.random.default_rng(4)
    pair = generate("1", on_ms=700, off_ms=0, frequency_offset=0.03, ramp_ms=0).astype(np.float64)
    for at in range(800, len(pair), 720):  # 40 ms of noise, then 50 ms of the pair: not new, for it never paused
        pair[at : at + 320] += rng.normal(0, 6000, len(pair[at : at + 320]))
    samples = np.concatenate([np.zeros(4000), np.clip(pair, -32768, 32767), np.zeros(4000)]).astype(np.int16)
    detector = DtmfDetector(provisional=True)
    kinds = [found.kind for found in detector.process(samples) + detector.flush()]
    assert kinds
    assert kinds == [DtmfKind.PROVISIONAL, DtmfKind.WITHDRAWN] * (len(kinds) // 2)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: generate("5", frequency_offset=(0.025, 0.0), on_ms=80), "low frequency"),
        (lambda: generate("5", frequency_offset=(0.0, -0.025), on_ms=80), "high frequency"),
        (lambda: generate("5", high_minus_low_db=-13.0, on_ms=80), "twist"),
        (lambda: generate("5", level_dbm0=-39.5, on_ms=80), "level"),
    ],
)
def test_a_near_miss_says_which_limit_it_broke(make: Callable[[], Samples], reason: str) -> None:
    detector = DtmfDetector(near_misses=True)
    samples = np.concatenate([np.zeros(4000, dtype=np.int16), make(), np.zeros(1600, dtype=np.int16)])
    assert detector.process(samples) == []
    (miss,) = detector.near_misses()
    assert (miss.digit, miss.reason) == ("5", reason)
    assert 3800 <= miss.position <= 4700
    assert detector.near_misses() == []


def test_strict_hears_less_and_sensitive_more() -> None:
    assert digits(detect(generate("1" * 20, on_ms=30, off_ms=60), SENSITIVE)) == "1" * 20
    assert digits(detect(generate("1" * 20, on_ms=36, off_ms=60), STRICT)) == ""
    assert digits(detect(generate("1" * 20, on_ms=50, off_ms=60), STRICT)) == "1" * 20


def test_silence_square_waves_and_dc_are_no_key() -> None:
    t = np.arange(16000)
    for samples in (
        np.full(16000, 32767),
        np.where(t // 4 % 2, 32767, -32768),
        np.where(t // 5 % 2, 32767, -32768),
        np.where(t % 2, 32767, -32768),
        np.zeros(16000),
    ):
        assert detect(samples.astype(np.int16)) == []


def test_dc_and_clipping_do_not_hide_a_key() -> None:
    samples = generate("159D", level_dbm0=-9)
    assert digits(detect((samples + 8000).astype(np.int16))) == "159D"
    assert digits(detect(np.clip(samples, -3000, 3000).astype(np.int16))) == "159D"
