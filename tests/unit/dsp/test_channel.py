"""The simulated channel does what each of its knobs says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dsp import channel
from dsp.dtmf import frequencies_hz, generate
from dsp.errors import UnsupportedRateError
from dsp.levels import rms_dbm0, rms_dbov
from tests.support.tones import Samples

TONE = generate("5", on_ms=1000, off_ms=0, ramp_ms=0)


def peak_at(samples: np.ndarray[tuple[int], np.dtype[np.int16]], freq_hz: float) -> float:
    t = np.arange(len(samples)) / 8000
    window = np.hanning(len(samples))
    return float(2 * abs(np.sum(samples * window * np.exp(-2j * np.pi * freq_hz * t))) / window.sum())


def test_noise_has_the_ratio_asked_for() -> None:
    rng = np.random.default_rng(1)
    for snr_db in (0, 10, 20):
        noise = channel.add_noise(TONE, snr_db, rng).astype(float) - TONE
        assert 10 * np.log10(np.mean(TONE.astype(float) ** 2) / np.mean(noise**2)) == pytest.approx(snr_db, abs=0.3)
    silent = channel.add_noise(np.zeros(8000, dtype=np.int16), 0, rng, signal_power=1e6)
    assert np.std(silent) == pytest.approx(1000, rel=0.05)


def test_gain_and_its_saturation() -> None:
    assert rms_dbov(channel.apply_gain(TONE, -6)) == pytest.approx(rms_dbov(TONE) - 6, abs=0.01)
    assert channel.apply_gain(TONE, 40).max() == 32767


@pytest.mark.parametrize("high_minus_low_db", [-8.0, 4.0])
def test_twist_tilts_the_groups(high_minus_low_db: float) -> None:
    low_hz, high_hz = frequencies_hz("5")
    out = channel.apply_twist(TONE, high_minus_low_db)
    assert 20 * np.log10(peak_at(out, high_hz) / peak_at(out, low_hz)) == pytest.approx(high_minus_low_db, abs=0.1)


def test_echo_comes_late_and_quieter() -> None:
    click = np.zeros(400, dtype=np.int16)
    click[10] = 10000
    out = channel.add_echo(click, 20, -20)
    assert out[out != 0].tolist() == [10000, 1000]
    assert np.flatnonzero(out).tolist() == [10, 170]


def test_clipping_takes_the_peaks() -> None:
    assert np.abs(channel.clip(TONE, 6).astype(int)).max() == pytest.approx(
        np.abs(TONE.astype(int)).max() / 1.995, abs=2
    )


def test_tones_are_added_at_their_peak() -> None:
    out = channel.add_tones(np.zeros(8000, dtype=np.int16), ((50.0, 3000.0), (425.0, 2000.0)))
    assert peak_at(out, 50) == pytest.approx(3000, rel=0.01)
    assert peak_at(out, 425) == pytest.approx(2000, rel=0.01)


@pytest.mark.parametrize("fill", [f for f in channel.Fill if f is not channel.Fill.PLC])
def test_lost_frames_are_lost_at_the_rate_asked_for(fill: channel.Fill) -> None:
    x = np.arange(1, 16000 * 2 + 1, dtype=np.int64) % 20000 + 1
    samples = x.astype(np.int16)
    out, lost = channel.lose_frames(samples, 0.2, np.random.default_rng(2), fill=fill)
    assert 0.1 < lost.mean() < 0.3
    for index, gone in enumerate(lost):
        here = out[index * 160 : index * 160 + 160]
        if not gone:
            assert np.array_equal(here, samples[index * 160 : index * 160 + 160])
        elif fill is channel.Fill.ALAW_SILENCE:
            assert (here == 8).all()
        elif fill is channel.Fill.ZEROS or index == 0:
            assert not here.any()
        else:
            assert np.array_equal(here, out[index * 160 - 160 : index * 160])


def test_a_partial_last_frame_can_be_lost() -> None:
    out, lost = channel.lose_frames(np.ones(250, dtype=np.int16), 1.0, np.random.default_rng(3))
    assert lost.tolist() == [True, True]
    assert not out.any()


@pytest.mark.parametrize("ratio", [-0.015, 0.0, 0.01])
def test_a_clock_error_moves_the_frequencies(ratio: float) -> None:
    out = channel.clock_error(TONE, ratio)
    assert len(out) == int(len(TONE) / (1 + ratio))
    for freq_hz in frequencies_hz("5"):
        inner = out[200:-200]
        assert peak_at(inner, freq_hz * (1 + ratio)) == pytest.approx(peak_at(TONE, freq_hz), rel=0.01)


def test_the_laws_cost_as_much_as_they_do() -> None:
    for law in (channel.through_ulaw, channel.through_alaw):
        noise = law(TONE).astype(float) - TONE
        snr_db = 10 * np.log10(np.mean(TONE.astype(float) ** 2) / np.mean(noise**2))
        assert 35 < snr_db < 40


def voiced(n: int, period: int = 80) -> Samples:
    t = np.arange(n)
    return np.rint(3000 * sum(np.cos(2 * np.pi * k * t / period) / k for k in (1, 2, 3))).astype(np.int16)


@pytest.mark.parametrize("n", [16000, 15990, 16090])
def test_concealed_frames_go_on_with_what_was_heard(n: int) -> None:
    samples = voiced(n)
    out, lost = channel.lose_frames(samples, 0.1, np.random.default_rng(6), frame=80, fill=channel.Fill.PLC)
    assert len(out) == n
    assert 0.03 < lost.mean() < 0.2
    alone = [i for i in range(8, len(lost) - 2) if lost[i] and not lost[i - 7 : i].any()]
    assert alone
    for index in alone:
        made = out[80 * index : 80 * index + 80].astype(int)
        assert np.abs(made - samples[80 * index : 80 * index + 80]).max() <= 2
    kept, nothing = channel.lose_frames(samples, 0.0, np.random.default_rng(6), fill=channel.Fill.PLC)
    assert not nothing.any()
    assert np.array_equal(kept, samples)


@pytest.mark.parametrize(("loss", "mean_burst"), [(0.05, 3.0), (0.2, 2.0), (0.3, 5.0), (0.0, 1.0)])
def test_bursts_have_their_share_and_length(loss: float, mean_burst: float) -> None:
    samples = np.ones(160 * 50_000, dtype=np.int16)
    out, lost = channel.lose_bursts(samples, loss, np.random.default_rng(8), mean_burst=mean_burst)
    bursts = int(np.sum(np.diff(np.concatenate([[0], lost.astype(int)])) == 1))
    assert lost.mean() == pytest.approx(loss, rel=0.1)
    assert lost.sum() == pytest.approx(bursts * mean_burst, rel=0.05)
    assert int((out == 0).sum()) == 160 * int(lost.sum())


@pytest.mark.parametrize(("loss", "mean_burst"), [(1.0, 3.0), (-0.1, 3.0), (0.9, 1.0), (0.1, 0.5)])
def test_a_pattern_of_bursts_that_cannot_be_is_refused(loss: float, mean_burst: float) -> None:
    with pytest.raises(ValueError, match="bursts"):
        channel.lose_bursts(TONE, loss, np.random.default_rng(1), mean_burst=mean_burst)


def test_idle_noise_has_its_level() -> None:
    noise = channel.add_idle_noise(np.zeros(80_000, dtype=np.int16), -50, np.random.default_rng(1))
    assert rms_dbm0(noise) == pytest.approx(-50, abs=0.1)


@pytest.mark.parametrize("talkers", [1, 6])
def test_babble_has_the_ratio_asked_for_and_all_its_talkers(talkers: int) -> None:
    rng = np.random.default_rng(2)
    t = np.arange(9000) / 8000
    voices = [
        np.rint(10.0 ** (i % 3 + 1) * np.sin(2 * np.pi * (200 + 100 * i) * t)).astype(np.int16) for i in range(talkers)
    ]
    mix = channel.add_babble(TONE, voices, 10, rng).astype(float) - TONE
    assert 10 * np.log10(np.mean(TONE.astype(float) ** 2) / np.mean(mix**2)) == pytest.approx(10, abs=0.05)
    # However loud their recordings, they are equally loud.
    peaks = [peak_at(mix.astype(np.int16), 200 + 100 * i) for i in range(talkers)]
    assert max(peaks) < 1.2 * min(peaks)


def test_babble_without_a_voice_is_refused() -> None:
    rng = np.random.default_rng(2)
    for talkers in ([], [np.zeros(100, dtype=np.int16)]):
        with pytest.raises(ValueError, match="talker"):
            channel.add_babble(TONE, talkers, 10, rng)


def test_impulses_come_at_their_rate_with_their_peak() -> None:
    out = channel.add_impulses(np.zeros(800_000, dtype=np.int16), 10, np.random.default_rng(3), peak=20000)
    clicks = int(np.sum(np.abs(out.astype(int)) == 20000))
    assert clicks == pytest.approx(1000, rel=0.1)
    assert (out == 20000).any()
    assert (out == -20000).any()


def test_slips_drop_and_repeat_and_say_where() -> None:
    samples = np.arange(16000, dtype=np.int16)
    out, moves = channel.slip(samples, 100, np.random.default_rng(4))
    assert len(moves) == 20
    steps = np.diff(out.astype(int))
    assert set(steps.tolist()) == {1, 9, -7}
    assert len(out) - 16000 == 8 * (int((steps == -7).sum()) - int((steps == 9).sum())) == moves[-1, 1]
    for position in range(0, 16000, 7):
        there = channel.moved(position, moves)
        # Every sample is where it is said to be, but for the eight that were dropped.
        assert out[there] == position or any(0 <= position - place < 8 for place, _ in moves)
    unmoved, none = channel.slip(samples[:100], 100, np.random.default_rng(4))
    assert (len(unmoved), len(none), channel.moved(50, none)) == (100, 0, 50)
    with pytest.raises(ValueError, match="room"):
        channel.slip(samples, 1, np.random.default_rng(4))


def test_a_drop_out_is_silent_and_nothing_else_is() -> None:
    out = channel.drop_out(np.ones(400, dtype=np.int16), 100, 80)
    assert np.flatnonzero(out == 0).tolist() == list(range(100, 180))


def test_an_offset_moves_all_and_saturates() -> None:
    assert np.array_equal(channel.dc_offset(TONE, 100), TONE + 100)
    assert channel.dc_offset(TONE, 40000).min() > 0
    assert channel.dc_offset(TONE, 40000).max() == 32767


def test_overdrive_makes_a_wave_square_at_its_own_peak() -> None:
    sine = np.rint(5000 * np.sin(2 * np.pi * 697 * np.arange(8000) / 8000)).astype(np.int16)
    out = channel.overdrive(sine, 40)
    assert np.abs(out).max() == 5000
    assert (np.abs(out) == 5000).mean() > 0.9
    assert channel.overdrive(sine[:0], 10).size == 0


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_speed_changes_time_and_pitch(factor: float) -> None:
    out = channel.speed(TONE, factor)
    assert len(out) == pytest.approx(len(TONE) / factor, abs=2)
    for freq_hz in frequencies_hz("5"):
        assert peak_at(out[200:-200], freq_hz * factor) == pytest.approx(peak_at(TONE, freq_hz), rel=0.02)
    with pytest.raises(UnsupportedRateError):
        channel.speed(TONE, 0.4)


@pytest.mark.parametrize(
    "impair",
    [
        lambda x, rng: channel.add_babble(x, [voiced(900)], 5, rng),
        lambda x, rng: channel.add_idle_noise(x, -40, rng),
        lambda x, rng: channel.add_impulses(x, 50, rng),
        lambda x, rng: channel.slip(x, 50, rng)[0],
        lambda x, rng: channel.lose_bursts(x, 0.2, rng, fill=channel.Fill.PLC)[0],
    ],
)
def test_the_same_seed_gives_the_same_channel(
    impair: Callable[[Samples, np.random.Generator], Samples],
) -> None:
    one, two, other = (impair(TONE, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
