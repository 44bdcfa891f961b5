"""ITU-T Q.24 annex A, AT&T's column: what a receiver of push-button signals accepts and refuses.

Frequency ±1.5 % accepted, ±3.5 % refused; each tone 0 to -25 dBm accepted, -55 refused; high minus low -8 to +4 dB
accepted; 40 ms of tone accepted, 23 refused; a pause of 40 ms separates, an interruption of 10 ms does not. Each figure
is measured and printed, then the limit asserted; all of it also through mu-law and A-law, and with frames lost.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dsp.channel import Fill, add_echo, add_noise, add_tones, apply_gain, lose_frames
from dsp.dtmf import DIGITS, ETSI, DtmfDetection, DtmfDetector
from dsp.levels import peak_of_dbm0
from tests.support.tones import LAWS, Samples, detect, digits, key, keys, silence

pytestmark = pytest.mark.parametrize("law", LAWS)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(24)


def some(rng: np.random.Generator, n: int) -> str:
    return "".join(rng.choice(list(DIGITS), n))


def lasting(found: list[DtmfDetection]) -> Iterator[float]:
    """Measured length of each key, ms."""
    for end in found:
        if end.end is not None:
            yield (end.end - end.start) / 8


@pytest.mark.parametrize(("on_ms", "off_ms"), [(40, 40), (50, 50), (65, 65), (80, 80), (300, 100)])
def test_every_digit_is_heard_once(law: str, on_ms: int, off_ms: int, rng: np.random.Generator) -> None:
    text = DIGITS + some(rng, 64)
    found = detect(LAWS[law](keys(text, on_ms, off_ms, rng)))
    assert digits(found) == text
    assert sum(d.end is not None for d in found) == len(text)
    lengths = list(lasting(found))
    print(f"{law}: keys of {on_ms} ms measured {min(lengths):.1f} to {max(lengths):.1f} ms")
    assert all(abs(length - on_ms) <= 5 for length in lengths)


def test_within_the_accepted_limits_together_every_key_is_heard(law: str, rng: np.random.Generator) -> None:
    text = some(rng, 300)

    def make(digit: str) -> Samples:
        twist = rng.uniform(-8, 4)
        high = rng.uniform(-25 + max(0.0, twist), min(0.0, twist))
        offsets = rng.uniform(-0.015, 0.015, 2)
        return key(
            digit, 40, low_dbm0=high - twist, high_dbm0=high, low_offset=offsets[0], high_offset=offsets[1], rng=rng
        )

    assert digits(detect(LAWS[law](keys(text, 40, 40, rng, make=make)))) == text


def test_frequency_deviation(law: str, rng: np.random.Generator) -> None:
    heard: dict[float, float] = {}
    for percent in (-3.5, -3.0, -1.8, -1.5, 1.5, 1.8, 3.0, 3.5):
        text = some(rng, 40)
        n = 0
        for side in ("low_offset", "high_offset"):
            samples = keys(
                text,
                50,
                50,
                rng,
                make=lambda d, s=side, p=percent: key(d, 50, rng=rng, **{s: p / 100}),  # type: ignore[misc]
            )
            n += len(digits(detect(LAWS[law](samples))))
        heard[percent] = 100 * n / 80
    print(f"{law}: heard by deviation of one tone, % {heard}")
    assert heard[-1.5] == heard[1.5] == 100
    assert heard[-3.5] == heard[3.5] == 0


@pytest.mark.parametrize(
    ("high_minus_low_db", "accepted"),
    [(-14, False), (-8, True), (-4, True), (0, True), (4, True), (12, False)],
)
def test_twist(law: str, high_minus_low_db: float, accepted: bool, rng: np.random.Generator) -> None:
    def make(digit: str) -> Samples:
        return key(digit, 50, low_dbm0=-12, high_dbm0=-12 + high_minus_low_db, rng=rng)

    found = digits(detect(LAWS[law](keys(some(rng, 64), 50, 50, rng, make=make))))
    assert len(found) == (64 if accepted else 0)


@pytest.mark.parametrize(("level_dbm0", "accepted"), [(0, True), (-9, True), (-25, True), (-55, False)])
def test_level(law: str, level_dbm0: float, accepted: bool, rng: np.random.Generator) -> None:
    text = some(rng, 64)

    def make(digit: str) -> Samples:
        return key(digit, 50, low_dbm0=level_dbm0, high_dbm0=level_dbm0, rng=rng)

    found = detect(LAWS[law](keys(text, 50, 50, rng, make=make)))
    assert digits(found) == (text if accepted else "")
    # Two tones of 0 dBm0 together go 3 dB beyond int16: they arrive clipped, and measure about 1 dB less.
    within_db = 1.2 if level_dbm0 == 0 else 0.7
    for one in found:
        assert abs(one.low_dbm0 - level_dbm0) < within_db
        assert abs(one.high_minus_low_db) < 1.0


def test_lowest_level_heard(law: str, rng: np.random.Generator) -> None:
    lowest = 0
    for level_dbm0 in range(-25, -56, -1):
        samples = keys(
            "159D",
            50,
            50,
            rng,
            make=lambda d, v=level_dbm0: key(d, 50, low_dbm0=v, high_dbm0=v, rng=rng),  # type: ignore[misc]
        )
        if digits(detect(LAWS[law](samples))) == "159D":
            lowest = level_dbm0
    print(f"{law}: lowest level heard {lowest} dBm0 a tone")
    assert lowest <= -35  # a dynamic range of 35 dB


@pytest.mark.parametrize("on_ms", [10, 15, 20, 23])
def test_a_short_tone_is_no_key(law: str, on_ms: int, rng: np.random.Generator) -> None:
    assert digits(detect(LAWS[law](keys(some(rng, 200), on_ms, 60, rng)))) == ""


def test_shortest_tone_that_is_always_heard(law: str, rng: np.random.Generator) -> None:
    text = some(rng, 150)
    heard = {
        ms: len(digits(detect(LAWS[law](keys(text, ms, 60, rng))))) / 1.5 for ms in (24, 26, 28, 30, 32, 34, 36, 38)
    }
    print(f"{law}: heard by length, % {heard}")
    assert heard[36] == heard[38] == 100


@pytest.mark.parametrize("gap_ms", [1, 2, 5, 8, 10])
def test_an_interruption_does_not_split_a_key(law: str, gap_ms: int, rng: np.random.Generator) -> None:
    text = some(rng, 60)

    def make(digit: str) -> Samples:
        samples = key(digit, 90, rng=rng)
        at = int(rng.integers(0, len(samples) - gap_ms * 8))
        samples[at : at + gap_ms * 8] = 0
        return samples

    assert digits(detect(LAWS[law](keys(text, 90, 60, rng, make=make)))) == text


@pytest.mark.parametrize("pause_ms", [30, 40, 60])
def test_a_pause_separates_equal_keys(law: str, pause_ms: int, rng: np.random.Generator) -> None:
    for digit in "15#D":
        assert digits(detect(LAWS[law](keys(digit * 12, 60, pause_ms, rng)))) == digit * 12


def test_etsi_bridges_up_to_20_ms_and_still_splits_at_40(law: str, rng: np.random.Generator) -> None:
    def make(digit: str) -> Samples:
        samples = key(digit, 120, rng=rng)
        at = int(rng.integers(320, 480))
        samples[at : at + 150] = 0  # 18.75 ms
        return samples

    text = some(rng, 60)
    assert digits(detect(LAWS[law](keys(text, 120, 60, rng, make=make)), ETSI)) == text
    assert digits(detect(LAWS[law](keys("7" * 20, 60, 40, rng)), ETSI)) == "7" * 20


def test_a_key_is_known_within_45_ms(law: str, rng: np.random.Generator) -> None:
    worst = 0
    for _ in range(150):
        lead = silence(100 + float(rng.integers(0, 80)) / 8)
        samples = LAWS[law](np.concatenate([lead, key(str(rng.choice(list(DIGITS))), 80, rng=rng)]))
        detector = DtmfDetector()
        for at in range(0, len(samples), 8):
            if detector.process(samples[at : at + 8]):
                worst = max(worst, at + 8 - len(lead))
                break
        else:
            pytest.fail("not heard")
    print(f"{law}: a key is known after {worst / 8:.1f} ms at the latest")
    assert worst <= 45 * 8


@pytest.mark.parametrize(("snr_db", "least_percent"), [(15, 100), (10, 100), (8, 99), (6, 95)])
def test_noise(law: str, snr_db: float, least_percent: float, rng: np.random.Generator) -> None:
    text = some(rng, 200)
    samples = keys(text, 50, 50, rng)
    noisy = add_noise(samples, snr_db, rng, signal_power=peak_of_dbm0(-9) ** 2)
    found = digits(detect(LAWS[law](noisy)))
    print(f"{law}: {len(found) / 2:.1f} % heard at {snr_db} dB")
    assert least_percent * 2 <= len(found) <= 200


def test_dial_tone_and_mains_hum(law: str, rng: np.random.Generator) -> None:
    text = some(rng, 100)
    samples = np.concatenate([silence(1200), apply_gain(keys(text, 50, 50, rng), -12)])
    peak = peak_of_dbm0(-21)
    for name, tones in (
        ("North American dial tone +10 dB", ((350.0, 3.16 * peak), (440.0, 3.16 * peak))),
        ("European dial tone +10 dB", ((425.0, 4.47 * peak),)),
        ("50 Hz, +12 dB", ((50.0, 5.6 * peak),)),
        ("60 Hz, +12 dB", ((60.0, 5.6 * peak),)),
    ):
        found = digits(detect(LAWS[law](add_tones(samples, tones))))
        print(f"{law}: {name}: {len(found)} %")
        assert found == text, name


def test_echo_of_20_ms_10_db_down(law: str, rng: np.random.Generator) -> None:
    # Q.24: echoes delayed by up to 20 ms and at least 10 dB down (AT&T).
    text = some(rng, 100)
    for delay_ms in (5, 10, 15, 20):
        assert digits(detect(LAWS[law](add_echo(keys(text, 50, 50, rng), delay_ms, -10)))) == text


@pytest.mark.parametrize("fill", Fill)
def test_frames_played_as_zeros_or_repeated_split_no_key(law: str, fill: Fill, rng: np.random.Generator) -> None:
    text = some(rng, 300)
    samples, _ = lose_frames(keys(text, 100, 100, rng), 0.01, rng, fill=fill)
    found = digits(detect(LAWS[law](samples)))
    print(f"{law}, 1 % lost, {fill}: {len(found) / 3:.1f} %")
    # Of 100 ms one lost frame leaves at least 40 ms in a piece; zeros of 20 ms end a key, so it may come twice.
    assert 0.99 * 300 <= len(found) <= 1.06 * 300


def test_with_the_loss_declared_every_key_is_heard_once(law: str, rng: np.random.Generator) -> None:
    text = some(rng, 300)
    samples = LAWS[law](keys(text, 120, 100, rng))
    heard: list[DtmfDetection] = []
    detector = DtmfDetector()
    since = 5
    lost = 0
    for at in range(0, len(samples), 160):
        since += 1
        if since > 4 and rng.random() < 0.15:  # never two near each other: 120 ms survive one
            heard += detector.lost(len(samples[at : at + 160]))
            since = 0
            lost += 1
        else:
            heard += detector.process(samples[at : at + 160])
    heard += detector.flush()
    print(f"{law}: {lost} frames lost of {len(samples) // 160}, {len(digits(heard))} of {len(text)} keys")
    assert lost > 200
    assert digits(heard) == text


def test_neither_noise_nor_single_tones_nor_call_progress_are_keys(law: str, rng: np.random.Generator) -> None:
    zero = np.zeros(5 * 8000, dtype=np.int16)
    peak = peak_of_dbm0(-10)
    assert detect(LAWS[law](np.rint(rng.normal(0, 3000, 60 * 8000)).astype(np.int16))) == []
    for tones in (
        (440, 480),
        (480, 620),
        (350, 440),
        (425,),
        (950, 1400, 1800),
        (2100,),
        (1100,),
        (697,),
        (1209,),
        (697, 770),
    ):
        assert detect(LAWS[law](add_tones(zero, tuple((float(f), peak) for f in tones)))) == [], tones
