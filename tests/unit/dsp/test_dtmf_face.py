"""dsp.dtmf: profiles, detections, and what it refuses."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from dsp import _dtmf
from dsp.dtmf import CODES, DIGITS, ETSI, ITU_Q24, NORTH_AMERICA, DtmfDetector, DtmfProfile, ToneSource, generate
from dsp.errors import DspError, ProfileError
from tests.support.tones import KEYPAD, detect, digits, key, keys


def test_the_default_profile_is_the_kernels_own() -> None:
    assert asdict(ITU_Q24) == _dtmf.default_params()


def test_codes_are_those_of_rfc_4733() -> None:
    assert [CODES[digit] for digit in "0123456789*#ABCD"] == list(range(16))
    assert len(_dtmf.KEY_CODES) == 16
    assert [DIGITS[code] for code in _dtmf.KEY_CODES] == list("".join(KEYPAD))


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


@pytest.mark.parametrize("profile", [ITU_Q24, NORTH_AMERICA, ETSI])
def test_generator_and_detector_agree(profile: DtmfProfile) -> None:
    for high_minus_low_db in (-8, 0, 2, 4):
        samples = generate(DIGITS, high_minus_low_db=high_minus_low_db, level_dbm0=-12, on_ms=60, off_ms=60)
        assert digits(detect(samples, profile)) == DIGITS


def test_a_strict_profile_refuses_what_the_default_forgives() -> None:
    samples = generate("1234", high_minus_low_db=6.5, level_dbm0=-15)
    assert digits(detect(samples)) == "1234"
    assert digits(detect(samples, NORTH_AMERICA)) == ""


def test_more_windows_ask_for_a_longer_tone() -> None:
    rng = np.random.default_rng(1)
    samples = keys("159D" * 10, 38, 60, rng)
    assert digits(detect(samples)) == "159D" * 10
    assert digits(detect(samples, replace(ITU_Q24, windows_to_confirm=4))) != "159D" * 10


@pytest.mark.parametrize(
    "change",
    [
        {"min_level_dbm0": -80.0},
        {"frequency_tolerance": 0.1},
        {"windows_to_confirm": 1},
        {"pause_blocks": 9},
        {"max_lost_samples": -1},
        {"min_high_minus_low_db": -11.0},
        {"max_high_minus_low_db": 8.0},
        {"pure_frequency_tolerance": 0.01},
        {"pure_residual": 0.5},
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
        DtmfDetector().process(np.zeros(80))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="2-d"):
        DtmfDetector().process(np.zeros((2, 80), dtype=np.int16))


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
        _dtmf.Oscillator(16, -9.0, 100, 0)


def test_the_source_matches_the_generator() -> None:
    out = np.zeros(640, dtype=np.int16)
    ToneSource("9", on_ms=80, ramp_ms=2).fill(out)
    assert np.abs(out.astype(int) - generate("9", on_ms=80, off_ms=0, ramp_ms=2)).max() <= 1
