"""Nothing of a key comes out of the mask, and what is no key comes through."""

from __future__ import annotations

import ctypes
import ctypes.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dsp.channel import add_echo, add_noise, add_tones, overdrive, through_alaw, through_ulaw
from dsp.dtmf import DIGITS, HIGH_HZ, LOW_HZ, PROFILES, DtmfProfile
from dsp.levels import dbm0_of_peak, peak_of_dbm0
from dsp.mask import DELAY_SAMPLES, FLAT_TONE_HZ, LEAST_SAMPLES, MaskFill, ToneMask
from dsp.resample import resample
from tests.support.oracles import goertzel_power
from tests.support.shared import SHARED
from tests.support.tones import Samples, detect, digits, key, silence

FADE = 40
GUARD = 80


def masked(samples: Samples, *, fill: MaskFill = MaskFill.SILENCE) -> Samples:
    """Through the mask, with its delay taken out."""
    mask = ToneMask(fill=fill)
    return np.concatenate([mask.process(samples), mask.flush()])[DELAY_SAMPLES:]


def draw(rng: np.random.Generator, ms: float, *, low_db: float = -12.0, high_db: float = 9.0) -> tuple[Samples, float]:
    """Draw a key within what the mask promises, and the power of its tones."""
    twist = float(rng.uniform(low_db, high_db))
    level = float(rng.uniform(-35 + max(0.0, -twist), -max(0.0, twist)))
    low_offset, high_offset = rng.uniform(-0.025, 0.025, 2)
    made = key(
        DIGITS[rng.integers(16)],
        ms,
        low_dbm0=level,
        high_dbm0=level + twist,
        low_offset=float(low_offset),
        high_offset=float(high_offset),
        rng=rng,
    )
    return made, (peak_of_dbm0(level) ** 2 + peak_of_dbm0(level + twist) ** 2) / 2


def voices(n: int, rng: np.random.Generator, talkers: int = 4) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Speech-like noise of unit power: gliding harmonics under three formants, in syllables."""
    t = np.arange(n) / 8000
    total = np.zeros(n)
    for _ in range(talkers):
        pitch_hz = rng.uniform(90, 240) * (1 + 0.15 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * t + rng.uniform(0, 6)))
        phase = 2 * np.pi * np.cumsum(pitch_hz) / 8000
        formants = [(rng.uniform(300, 800), 90), (rng.uniform(900, 2200), 120), (rng.uniform(2300, 3000), 160)]
        for k in range(1, 16):
            freq_hz = k * pitch_hz
            gain = sum(
                (width / 2) ** 2 / ((freq_hz - at) ** 2 + (width / 2) ** 2) / (i + 1)
                for i, (at, width) in enumerate(formants)
            )
            total += gain * np.sin(k * phase + rng.uniform(0, 6))
    total *= 0.3 + np.clip(np.sin(2 * np.pi * 3.5 * t + rng.uniform(0, 6)), 0, None)
    out: np.ndarray[tuple[int], np.dtype[np.float64]] = total / np.sqrt(np.mean(total**2))
    return out


def goertzel_digits(samples: Samples) -> str:
    """An attacker's receiver: any 10 ms that two of the eight frequencies explain by half."""
    found = ""
    for at in range(0, len(samples) - 80, 40):
        piece = samples[at : at + 80].astype(float)
        energy = float(np.mean(piece**2))
        if energy < peak_of_dbm0(-45) ** 2:
            continue
        powers = [goertzel_power(piece.tolist(), f) for f in (*LOW_HZ, *HIGH_HZ)]
        low, high = int(np.argmax(powers[:4])), int(np.argmax(powers[4:]))
        if powers[low] + powers[4 + high] > energy and 0.03 < powers[4 + high] / powers[low] < 30:
            found += "123A456B789C*0#D"[4 * low + high]
    return found


@pytest.mark.parametrize("ms", [20, 23, 40, 80, 500])
def test_of_a_key_that_stands_alone_not_one_sample_is_left(ms: float) -> None:
    rng = np.random.default_rng(int(ms))
    for law in (None, through_ulaw, through_alaw):
        parts: list[Samples] = [silence(300)]
        extents = []
        for _ in range(100):
            made, _ = draw(rng, ms)
            if law:
                made = law(made)
            at = sum(map(len, parts))
            extents.append((at, at + len(made)))
            parts += [made, silence(250 + float(rng.integers(0, 40)) / 8)]
        out = masked(np.concatenate(parts))
        for start, end in extents:
            assert not out[start:end].any()


@pytest.mark.parametrize("digit", DIGITS)
def test_each_digit_goes_at_the_corners_of_what_is_promised(digit: str) -> None:
    for low_dbm0, high_dbm0 in ((-3, -15), (-23, -35), (-9, 0), (-35, -26), (-35, -35), (0, 0)):
        for low_offset in (-0.025, 0, 0.025):
            for high_offset in (-0.025, 0, 0.025):
                made = key(
                    digit, 40, low_dbm0=low_dbm0, high_dbm0=high_dbm0, low_offset=low_offset, high_offset=high_offset
                )
                out = masked(np.concatenate([silence(201), made, silence(200)]))
                assert not out[1608 : 1608 + len(made)].any()


def test_a_key_goes_with_its_interruptions_echoes_and_clicks() -> None:
    rng = np.random.default_rng(5)
    for ms in (40, 60, 100):
        for _ in range(60):
            made, _ = draw(rng, ms)
            hole = int(rng.integers(8, len(made) - 160))
            broken = made.copy()
            broken[hole : hole + 80] = 0
            at = 2400 + int(rng.integers(0, 40))
            x = np.concatenate([np.zeros(at, dtype=np.int16), broken, silence(250)])
            assert not masked(x)[at : at + len(made)].any()
            y = add_echo(np.concatenate([np.zeros(at, dtype=np.int16), made, silence(250)]), 30, -10)
            assert not masked(y)[at : at + len(made) + 240].any()
            x[at - 300] = 20000
            x[at + len(made) + 300] = -20000
            out = masked(x)
            assert not out[at : at + len(made)].any()


@pytest.mark.parametrize(
    ("kind", "snr_db", "at_most"), [("white", 12.0, 0), ("white", 8.0, 1), ("voices", 15.0, 0), ("voices", 10.0, 1)]
)
def test_a_key_goes_out_of_noise(kind: str, snr_db: float, at_most: int) -> None:
    rng = np.random.default_rng(17)
    left = 0
    for _ in range(150):
        made, power = draw(rng, 40, low_db=-8, high_db=4)
        at = 2400 + int(rng.integers(0, 40))
        x = np.concatenate([np.zeros(at, dtype=np.int16), made, silence(250)])
        if kind == "white":
            x = add_noise(x, snr_db, rng, signal_power=power)
        else:
            noise = voices(len(x), rng) * np.sqrt(power / 10 ** (snr_db / 10))
            x = np.clip(np.rint(x + noise), -32768, 32767).astype(np.int16)
        left += bool(masked(x)[at : at + len(made)].any())
    print(f"{kind} {snr_db} dB: {left} of 150 left")
    assert left <= at_most


@pytest.mark.parametrize("by_db", [12.0, 40.0])
def test_a_distorted_key_goes(by_db: float) -> None:
    rng = np.random.default_rng(23)
    for digit in DIGITS:
        at = 2400 + int(rng.integers(0, 40))
        made = overdrive(key(digit, 100, rng=rng), by_db)
        x = np.concatenate([np.zeros(at, dtype=np.int16), made, silence(250)])
        assert not masked(x)[at : at + len(made)].any()


@pytest.mark.parametrize("tones", [((50.0, 6000.0),), ((60.0, 6000.0),), ((350.0, 3000.0), (440.0, 3000.0))])
def test_a_key_goes_under_hum_and_dial_tone(tones: tuple[tuple[float, float], ...]) -> None:
    made = key("5", 40, low_dbm0=-17, high_dbm0=-17)
    for lead in range(0, 80, 7):
        at = 12000 + lead
        x = np.concatenate([np.zeros(at, dtype=np.int16), made, silence(250)])
        assert not masked(add_tones(x, tones))[at : at + len(made)].any()


def test_energy_at_the_eight_frequencies_is_the_flat_tones_own() -> None:
    rng = np.random.default_rng(7)
    t = np.arange(8000) / 8000
    flat = peak_of_dbm0(-20) * np.sin(2 * np.pi * FLAT_TONE_HZ * t)
    for freq_hz in (*LOW_HZ, *HIGH_HZ):
        own = max(goertzel_power(flat[at : at + 80].tolist(), freq_hz) for at in range(200))
        for _ in range(10):
            made, _ = draw(rng, 60)
            out = masked(np.concatenate([silence(200), made, silence(200)]), fill=MaskFill.TONE)
            for at in range(1600, 1600 + len(made) - 80, 16):
                # Rounding to whole samples adds -0.5 to 0.5; 1 in amplitude is above what that can sum up to.
                assert goertzel_power(out[at : at + 80].tolist(), freq_hz) <= (own**0.5 + 1) ** 2


def _mixed(rng: np.random.Generator) -> Samples:
    parts: list[Samples] = [silence(300)]
    for ms in (15, 23, 40, 50, 80, 200):
        for _ in range(12):
            made, power = draw(rng, ms, low_db=-8 if ms >= 40 else -12, high_db=4 if ms >= 40 else 9)
            piece = np.concatenate([silence(150), made, silence(150 + float(rng.integers(0, 40)) / 8)])
            parts.append(add_noise(piece, 12, rng, signal_power=power) if ms >= 40 else piece)
    return np.concatenate(parts)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_no_detector_of_ours_finds_a_key_behind_the_mask(profile: DtmfProfile) -> None:
    x = _mixed(np.random.default_rng(11))
    assert len(digits(detect(x, profile))) > 5  # it does hear some of them
    assert digits(detect(masked(x, fill=MaskFill.TONE), profile)) == ""


def test_goertzels_filter_finds_no_key_behind_the_mask() -> None:
    x = _mixed(np.random.default_rng(12))
    assert len(goertzel_digits(x)) > 100
    assert goertzel_digits(masked(x, fill=MaskFill.TONE)) == ""


def test_spandsp_finds_no_key_behind_the_mask() -> None:
    name = ctypes.util.find_library("spandsp")
    if name is None:
        pytest.skip("libspandsp2 is not installed: apt-get install libspandsp2")
    library = ctypes.CDLL(name)
    library.dtmf_rx_init.restype = ctypes.c_void_p
    library.dtmf_rx_init.argtypes = [ctypes.c_void_p] * 3
    library.dtmf_rx.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
    library.dtmf_rx_get.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    library.dtmf_rx_get.restype = ctypes.c_size_t
    library.dtmf_rx_free.argtypes = [ctypes.c_void_p]

    def found(samples: Samples) -> bytes:
        state = library.dtmf_rx_init(None, None, None)
        out = b""
        for at in range(0, len(samples), 160):
            piece = np.ascontiguousarray(samples[at : at + 160])
            library.dtmf_rx(state, piece.ctypes.data, len(piece))
            buffer = ctypes.create_string_buffer(130)
            library.dtmf_rx_get(state, buffer, 128)
            out += buffer.value
        library.dtmf_rx_free(state)
        return out

    x = _mixed(np.random.default_rng(13))
    assert len(found(x)) > 10  # it does hear some of them
    assert found(masked(x, fill=MaskFill.TONE)) == b""


def test_multimon_finds_no_key_behind_the_mask(tmp_path: Path) -> None:
    command = shutil.which("multimon-ng")
    if command is None:
        pytest.skip("multimon-ng is not installed: apt-get install multimon-ng")

    def found(samples: Samples) -> int:
        path = tmp_path / "audio.raw"
        path.write_bytes(resample(samples, 8000, 22050).tobytes())
        run = subprocess.run(
            [command, "-q", "-a", "DTMF", "-t", "raw", str(path)], capture_output=True, check=True, timeout=60
        )
        return run.stdout.count(b"DTMF: ")

    x = _mixed(np.random.default_rng(14))
    assert found(x) > 10  # it does hear some of them
    assert found(masked(x, fill=MaskFill.TONE)) == 0


def test_the_flat_tone_has_one_level_one_frequency_and_one_length_for_short_keys() -> None:
    lengths, pieces = set(), []
    for ms in (15, 40, 60):
        out = masked(np.concatenate([silence(200), key("7", ms), silence(400)]), fill=MaskFill.TONE)
        where = np.flatnonzero(out)
        lengths.add(len(range(int(where[0]), int(where[-1]) + 1)))
        pieces.append(out[where[0] : where[0] + LEAST_SAMPLES])
    # The two outermost samples of a fade round to nothing.
    assert lengths == {LEAST_SAMPLES + 2 * FADE - 2}
    inner = pieces[0][FADE + 80 : LEAST_SAMPLES - FADE]
    assert dbm0_of_peak(goertzel_power(inner[:400].tolist(), FLAT_TONE_HZ) ** 0.5) == pytest.approx(-20, abs=0.2)
    assert np.array_equal(pieces[0][:600], pieces[1][:600])
    assert np.array_equal(pieces[1][:600], pieces[2][:600])


def test_what_is_no_key_comes_through_untouched_and_late() -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 2000, 16000).astype(np.int16)
    single = key("1", 500, high_dbm0=-90)
    x = np.concatenate([noise, silence(100), single, silence(100)])
    mask = ToneMask()
    assert mask.delay_samples == DELAY_SAMPLES == 480
    assert np.array_equal(masked(x), x)
    assert not mask.process(x)[:DELAY_SAMPLES].any()
    assert mask.masked_samples == 0


def test_an_event_from_outside_masks_what_is_in_the_line_and_what_comes_until_its_end() -> None:
    x = np.full(4000, 1000, dtype=np.int16)
    mask = ToneMask(fill=MaskFill.SILENCE)
    out = [mask.process(x[:1200])]
    mask.mark(800)  # 720 is the next to go out: nothing is lost
    out.append(mask.process(x[1200:2000]))
    mask.mark(800, 2100)  # told a little before it ends
    out.append(mask.process(x[2000:]))
    y = np.concatenate([*out, mask.flush()])[DELAY_SAMPLES:]
    assert not y[720 : 2100 + GUARD].any()
    assert np.array_equal(y[2100 + GUARD + FADE :], x[2100 + GUARD + FADE :])
    assert y[700] == 1000


def test_a_late_event_masks_all_that_has_not_left() -> None:
    x = np.full(4000, 1000, dtype=np.int16)
    mask = ToneMask(fill=MaskFill.SILENCE)
    out = [mask.process(x[:2000])]
    mask.mark(0, 1800)
    out.append(mask.process(x[2000:]))
    y = np.concatenate([*out, mask.flush()])[DELAY_SAMPLES:]
    assert y[2000 - DELAY_SAMPLES - 1] == 1000
    assert not y[2000 - DELAY_SAMPLES : max(1800 + GUARD, 2000 - DELAY_SAMPLES + LEAST_SAMPLES)].any()
    assert np.array_equal(y[-1000:], x[-1000:])


def test_an_event_announced_ahead_masks_when_it_comes() -> None:
    x = np.full(4000, 1000, dtype=np.int16)
    mask = ToneMask(fill=MaskFill.SILENCE)
    mask.mark(2000, 3000)
    y = np.concatenate([mask.process(x), mask.flush()])[DELAY_SAMPLES:]
    assert np.array_equal(y[: 2000 - GUARD - FADE], x[: 2000 - GUARD - FADE])
    assert not y[2000 - GUARD : 3000 + GUARD].any()
    assert y[3000 + GUARD + FADE] == 1000
    # Into and out of it without a step: 5 ms of raised cosine.
    assert np.abs(np.diff(y[1000:3500].astype(int))).max() <= 1000 * np.pi / 2 / FADE + 1


@pytest.mark.parametrize(("start", "end"), [(-1, None), (10, 9)])
def test_a_mark_that_cannot_be_is_refused(start: int, end: int | None) -> None:
    with pytest.raises(ValueError, match="mark"):
        ToneMask().mark(start, end)


def test_switched_off_audio_passes_with_the_same_delay() -> None:
    x = np.concatenate([silence(100), key("3", 100), silence(100)])
    mask = ToneMask(enabled=False)
    mask.mark(900, 1000)
    y = np.concatenate([mask.process(x), mask.flush()])[DELAY_SAMPLES:]
    assert np.array_equal(y, x)
    assert not mask.enabled


def test_a_key_that_began_before_the_switch_is_masked_to_its_end() -> None:
    for pressed_before in (40, 200, 600):
        x = np.concatenate([silence(100), key("3", 100), silence(300), key("4", 100), silence(200)])
        mask = ToneMask(fill=MaskFill.SILENCE)
        out = [mask.process(x[: 800 + pressed_before])]
        mask.enabled = False
        out.append(mask.process(x[800 + pressed_before :]))
        y = np.concatenate([*out, mask.flush()])[DELAY_SAMPLES:]
        assert not y[800:1600].any()
        assert np.array_equal(y[4000:], x[4000:])


def test_switched_on_within_a_key_nothing_that_comes_after_is_heard() -> None:
    x = np.concatenate([silence(100), key("3", 200), silence(200)])
    mask = ToneMask(fill=MaskFill.SILENCE, enabled=False)
    out = [mask.process(x[:1400])]
    mask.enabled = True
    out.append(mask.process(x[1400:]))
    y = np.concatenate([*out, mask.flush()])[DELAY_SAMPLES:]
    assert not y[1400:2400].any()


def test_reset_forgets_and_keeps_the_switch() -> None:
    x = np.concatenate([silence(100), key("3", 100), silence(100)])
    mask = ToneMask(enabled=False)
    mask.mark(0)
    mask.process(x)
    mask.reset()
    assert (mask.position, mask.masked_samples, mask.masking, mask.enabled) == (0, 0, False, False)


def test_wrong_samples_are_refused() -> None:
    with pytest.raises(TypeError):
        ToneMask().process(np.zeros(10))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ToneMask().process(np.zeros((2, 10), dtype=np.int16))


@pytest.mark.parametrize("corpus", ["asterisk-en", "prompt-es-co"])
def test_speech_comes_through_nearly_whole(corpus: str) -> None:
    soundfile = pytest.importorskip("soundfile")
    files = sorted((SHARED / "corpora" / "talkoff" / corpus).glob("*.flac"))
    if not files:
        pytest.skip("the development corpora are not beside the repository")
    mask = ToneMask()
    for path in files:
        mask.process(soundfile.read(path, dtype="int16")[0])
    share = mask.masked_samples / mask.position
    print(f"{corpus}: {share:.2%} masked")
    assert share < 0.03


def test_of_recorded_keys_none_is_found_behind_the_mask() -> None:
    soundfile = pytest.importorskip("soundfile")
    files = sorted((SHARED / "corpora" / "real").glob("*.flac"))
    if not files:
        pytest.skip("the development corpora are not beside the repository")
    before = after = 0
    for path in files:
        audio, rate_hz = soundfile.read(path, dtype="int16", always_2d=True)
        x = resample(np.ascontiguousarray(audio[:, 0]), rate_hz, 8000)
        before += len(digits(detect(x)))
        after += len(digits(detect(masked(x, fill=MaskFill.TONE))))
    print(f"{before} keys before, {after} behind")
    assert before > 200
    assert after == 0
