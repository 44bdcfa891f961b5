"""A listener hears one whole frame a tick, without holes, without steps and at our clock, whatever came."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dsp.comfort_noise import ComfortNoise
from dsp.levels import rms_dbov
from engine.rtp import _playout
from engine.rtp._playout import Playout
from tests.support.delay_traces import (
    AUDIO,
    HELD,
    MISSING,
    Trace,
    lost_in_bursts,
    play,
    sent,
    spiked,
    talk,
    with_silence,
)

Samples = NDArray[np.int16]
TICK = 160
PLC_DELAY = 30
RESERVE = 160
ROOM = bytes([50, 60])


def voice(n: int, *, period: int = 67, amplitude: float = 6000.0) -> Samples:
    t = np.arange(n)
    wave = np.asarray(sum(np.cos(2 * np.pi * k * t / period) / k for k in range(1, 6)))
    return np.rint(amplitude * wave / 2.3).astype(np.int16)


def frame(playout: Playout, samples: Samples, valid: NDArray[np.bool_] | None = None) -> None:
    came = np.ones(len(samples), dtype=np.uint8) if valid is None else valid.astype(np.uint8)
    flags = (AUDIO if came.any() else 0) | (0 if came.all() else MISSING)
    playout.frame(np.where(came == 1, samples, 0).astype(np.int16), came.tobytes(), flags)


def lost(playout: Playout, n: int = TICK) -> None:
    playout.frame(np.zeros(n, dtype=np.int16), bytes(n), MISSING)


def held(playout: Playout) -> None:
    playout.frame(np.zeros(0, dtype=np.int16), b"", HELD)


def take(playout: Playout) -> Samples:
    raw = playout.take()
    assert len(raw) == 2 * TICK
    return np.frombuffer(raw, dtype=np.int16)


def steady(playout: Playout, samples: Samples) -> Samples:
    """Whole frames in, a tick each."""
    out = []
    for at in range(0, len(samples), TICK):
        frame(playout, samples[at : at + TICK])
        out.append(take(playout))
    return np.concatenate(out)


def rough(samples: Samples) -> int:
    return int(np.abs(np.diff(samples.astype(int))).max())


def test_without_loss_every_sample_comes_out_as_it_was_23_75_ms_later() -> None:
    samples = np.random.default_rng(1).integers(-20000, 20000, 8000).astype(np.int16)
    playout = Playout()
    out = steady(playout, samples)
    assert not out[: PLC_DELAY + RESERVE].any()
    assert np.array_equal(out[PLC_DELAY + RESERVE :], samples[: -PLC_DELAY - RESERVE])
    assert playout.waiting == RESERVE
    assert playout.counters == {"inserted": 0, "removed": 0, "concealed": 0, "noise": RESERVE}


def test_the_state_is_no_more_than_six_kilobytes() -> None:
    assert _playout.SIZE <= 6 * 1024


def test_before_anything_came_there_is_silence() -> None:
    playout = Playout()
    for _ in range(10):
        held(playout)
        assert not take(playout).any()


@pytest.mark.parametrize("period", [47, 67, 80])
@pytest.mark.parametrize("n_lost", [1, 2])
def test_a_lost_frame_is_made_up_without_a_step(period: int, n_lost: int) -> None:
    samples = voice(8000, period=period)
    playout = Playout()
    out = []
    for i in range(50):
        if 20 <= i < 20 + n_lost:
            lost(playout)
        else:
            frame(playout, samples[TICK * i : TICK * (i + 1)])
        out.append(take(playout))
    heard = np.concatenate(out)
    gap = heard[TICK * 21 + PLC_DELAY :][:80]
    assert rms_dbov(gap) == pytest.approx(rms_dbov(samples[TICK * 20 :][:80]), abs=1)
    assert rough(heard[400:]) <= 1.4 * rough(samples)
    assert playout.counters["concealed"] == TICK * n_lost
    assert playout.waiting == RESERVE


@pytest.mark.parametrize(("first", "n"), [(0, 40), (100, 60), (37, 11), (70, 20), (120, 160), (159, 82)])
def test_what_came_beside_a_gap_that_is_no_whole_step_is_kept(first: int, n: int) -> None:
    samples = (voice(8000, period=64) * np.linspace(0.5, 1.0, 8000)).astype(np.int16)
    came = np.ones(8000, dtype=bool)
    came[3200 + first : 3200 + first + n] = False
    playout = Playout()
    out = []
    for at in range(0, 8000, TICK):
        frame(playout, samples[at : at + TICK], came[at : at + TICK])
        out.append(take(playout))
    heard = np.concatenate(out)[PLC_DELAY + RESERVE :]
    # Exact but for the gap and the joints: 15 of Appendix I's overlap before it, and up to a step after it.
    wrong = np.flatnonzero(heard != samples[: len(heard)]) - 3200
    assert wrong.min() >= first - 20
    assert wrong.max() < first + n + 80
    assert rough(heard) <= 1.4 * rough(samples)


def test_a_gap_that_is_no_whole_step_is_joined_without_a_step_though_it_was_guessed_badly() -> None:
    rng = np.random.default_rng(9)
    t = np.arange(8000)
    worst = 0.0
    for first in range(0, TICK, 7):
        freqs_hz = rng.uniform(60, 190, 3)
        samples = np.rint(sum(3000 * np.sin(2 * np.pi * f * t / 8000 + rng.uniform(0, 6)) for f in freqs_hz))
        samples = samples.astype(np.int16)
        came = np.ones(8000, dtype=bool)
        came[3200 + first : 3200 + first + 45] = False
        playout = Playout()
        out = []
        for at in range(0, 8000, TICK):
            frame(playout, samples[at : at + TICK], came[at : at + TICK])
            out.append(take(playout))
        worst = max(worst, rough(np.concatenate(out)[400:]) / rough(samples))
    print(f"largest step: {worst:.2f} of the signal's own")
    assert worst < 1.6


def test_a_hold_fades_within_60_ms_and_is_silence_where_no_comfort_noise_was_ever_told() -> None:
    playout = Playout()
    steady(playout, voice(8000))
    out = []
    for _ in range(10):
        held(playout)
        out.append(take(playout))
    levels = [rms_dbov(part) for part in out]
    # One frame from the reserve, then three that fade.
    assert levels[0] > -25
    assert levels[1] > levels[2] > levels[3] > -60
    assert max(levels[5:]) < -100


def test_a_hold_of_one_frame_is_taken_from_the_reserve_and_not_heard() -> None:
    samples = talk(20)
    playout = Playout()
    steady(playout, samples[:8000])
    held(playout)
    out = [take(playout), steady(playout, samples[8000:16_000])]
    heard = np.concatenate(out)
    assert np.array_equal(heard, samples[8000 - RESERVE - PLC_DELAY :][: len(heard)])
    assert playout.counters["concealed"] == 0
    # The next pause gives the reserve back.
    steady(playout, samples[16_000:32_000])
    assert playout.counters["inserted"] >= RESERVE - 8
    assert playout.waiting == RESERVE


def test_a_pause_sounds_like_the_last_comfort_noise_packet_said() -> None:
    playout = Playout()
    steady(playout, voice(8000))
    playout.noise(ROOM)
    out = []
    for _ in range(100):
        held(playout)
        out.append(take(playout))
    heard = np.concatenate(out)
    assert rms_dbov(heard[800:]) == pytest.approx(-50, abs=1)
    # At once: what was said is not repeated into the pause.
    assert rms_dbov(heard[RESERVE + PLC_DELAY + 80 :][:80]) < -45
    noise = ComfortNoise()
    noise.update(ROOM)
    assert rough(heard[800:]) < 1.5 * rough(noise.generate(16_000))


def test_a_spurt_after_a_pause_comes_in_and_goes_out_of_the_noise_without_a_step() -> None:
    samples = voice(1600)
    playout = Playout()
    out = []
    for i in range(40):
        if i % 20 < 10:
            frame(playout, samples[TICK * (i % 20) :][:TICK])
        else:
            if i % 20 == 10:
                playout.noise(bytes([40]))
            held(playout)
        out.append(take(playout))
    assert rough(np.concatenate(out)[400:]) <= 1.4 * rough(samples)
    assert playout.counters["noise"] >= 10 * TICK


def test_what_was_made_up_in_a_hold_is_not_made_up_again_when_the_gap_is_told() -> None:
    samples = talk(4, pause_s=0)
    playout = Playout()
    steady(playout, samples[:8000])
    held(playout)  # out of the reserve
    take(playout)
    held(playout)  # made up
    take(playout)
    before = playout.counters["concealed"]
    lost(playout)  # the jitter buffer knows now, and says AGAIN
    frame(playout, samples[8000 + TICK : 8000 + 2 * TICK])
    take(playout)
    assert playout.counters["concealed"] == before == TICK


def test_many_frames_at_once_are_shortened_a_period_at_a_time_and_never_overflow() -> None:
    samples = voice(80_000, period=80)
    playout = Playout()
    out = [steady(playout, samples[:8000])]
    for burst in range(10):
        for i in range(4):
            frame(playout, samples[8000 + TICK * (4 * burst + i) :][:TICK])
        out.append(take(playout))
    out += [steady(playout, samples[16_000:24_000])]
    heard = np.concatenate(out)
    assert playout.waiting <= 480 + TICK
    assert playout.counters["removed"] > 3000
    # A periodic voice stays one: whole periods are gone.
    assert rough(heard[200:]) <= 1.1 * rough(samples)


@pytest.mark.parametrize("ppm", [-200, 200])
def test_another_clock_is_followed_for_half_an_hour_and_speech_is_left_as_it_is(ppm: int) -> None:
    audio = talk(30)
    playout = Playout()
    out: list[Samples] = []
    waiting: list[int] = []

    def tick() -> None:
        out.append(take(playout))
        waiting.append(playout.waiting)

    trace = sent(seconds=1800, ppm=ppm)
    outcome = play(
        trace, each_frame=lambda flags, raw, valid: _pass(playout, flags, raw, valid), each_tick=tick, audio=audio
    )
    corrected = playout.counters["removed" if ppm > 0 else "inserted"]
    print(f"{ppm:+d} ppm: {playout.counters}, {min(waiting[100:])} to {max(waiting)} samples wait")
    assert playout.counters["concealed"] == 0
    assert max(waiting) <= RESERVE + TICK + 8
    # 200 ppm of half an hour are 2880 samples; the last frame may still be due.
    assert corrected == pytest.approx(2880, abs=3 * TICK)
    assert outcome.counters["late"] == 0
    # What is louder than the background is a piece of what was sent, sample by sample.
    sent_bytes = np.concatenate([audio, audio[:4000]]).tobytes()
    loud = exact = 0
    for i, heard in enumerate(out[10:], 10):
        if rms_dbov(heard) < -40:
            continue
        loud += 1
        # Nearly its place: the delay is below 100 ms, plus the drift.
        start = (round(TICK * i * (1 + ppm / 1e6)) - 1200) % len(audio)
        found = sent_bytes.find(heard.tobytes(), 2 * start, 2 * (start + 1600))
        exact += found >= 0
    assert loud > 50_000
    assert exact >= 0.999 * loud


def _pass(playout: Playout, flags: int, raw: bytes, valid: bytes) -> None:
    playout.frame(np.frombuffer(raw, dtype=np.int16), valid, flags)


def _played(trace: Trace, audio: Samples) -> tuple[Playout, Samples]:
    playout = Playout()
    out: list[Samples] = []
    outcome = play(
        trace,
        each_frame=lambda flags, raw, valid: _pass(playout, flags, raw, valid),
        each_noise=lambda: playout.noise(ROOM),
        each_tick=lambda: out.append(take(playout)),
        audio=audio,
    )
    assert len(out) == outcome.ticks
    return playout, np.concatenate(out)


@pytest.mark.parametrize(
    "trace",
    [
        lost_in_bursts(sent(seconds=30), part=0.05, burst=2.0, seed=1),
        lost_in_bursts(sent(seconds=30, ptime_ms=30), part=0.05, burst=2.0, seed=2),
        spiked(sent(seconds=30), every_s=4, least_ms=200, most_ms=400, seed=3),
        with_silence(sent(seconds=30), talk_ms=1500, pause_ms=1000, seed=4),
        sent(seconds=30, ptime_ms=10),
        sent(seconds=30, ptime_ms=60),
    ],
    ids=lambda trace: trace.name,
)
def test_no_network_makes_a_step_larger_than_the_voices_own(trace: Trace) -> None:
    audio = talk(30, talk_s=30, pause_s=0)
    playout, heard = _played(trace, audio)
    print(f"{trace.name}: step {rough(heard[400:])}, the voice's own {rough(audio)}, {playout.counters}")
    assert rough(heard[400:]) <= 1.5 * rough(audio)
    assert playout.waiting <= 480 + TICK


def test_after_a_stall_the_reserve_is_one_frame_again_within_three_seconds_of_talk_with_pauses() -> None:
    audio = talk(30, talk_s=0.6, pause_s=0.3)
    trace = spiked(sent(seconds=9), every_s=5, least_ms=300, most_ms=300, seed=5)
    waiting: list[int] = []
    playout = Playout()

    def tick() -> None:
        take(playout)
        waiting.append(playout.waiting)

    play(
        trace,
        each_frame=lambda flags, raw, valid: _pass(playout, flags, raw, valid),
        each_tick=tick,
        audio=audio,
    )
    assert max(waiting[420:]) <= RESERVE + 40


def test_another_source_begins_anew_and_nothing_of_the_last_one_is_left() -> None:
    samples = voice(8000)
    playout = Playout()
    steady(playout, samples)
    mark = samples[7900:7920].tobytes()
    assert playout.holds(mark)
    playout.restart()
    assert not playout.holds(mark)
    assert playout.waiting == 0
    assert not take(playout).any()


def test_what_went_out_is_wiped_from_the_fifo() -> None:
    playout = Playout()
    samples = np.random.default_rng(3).integers(-3000, 3000, 640).astype(np.int16)
    steady(playout, np.zeros(1600, dtype=np.int16))
    # Four frames in one tick reach a part of the FIFO that is not used again.
    for at in range(0, 640, TICK):
        frame(playout, samples[at : at + TICK])
    assert playout.holds(samples[600:604].tobytes())
    steady(playout, np.zeros(30 * TICK, dtype=np.int16))
    assert not any(playout.holds(samples[at : at + 4].tobytes()) for at in range(0, 636, 4))


frames = st.one_of(
    st.tuples(st.just("frame"), st.integers(0, 200), st.integers(0, 2**32 - 1)),
    st.tuples(st.just("lost"), st.integers(0, 160), st.just(0)),
    st.tuples(st.just("held"), st.just(0), st.just(0)),
    st.tuples(st.just("noise"), st.integers(0, 20), st.integers(0, 255)),
    st.tuples(st.just("take"), st.just(0), st.just(0)),
    st.tuples(st.just("flags"), st.integers(0, 160), st.integers(0, 2**32 - 1)),
)


@given(st.lists(frames, max_size=150))
@settings(deadline=None, max_examples=150)
def test_whatever_comes_each_tick_gives_a_frame_and_no_array_overflows(steps: list[tuple[str, int, int]]) -> None:
    playout = Playout()
    for kind, n, seed in steps:
        if kind == "take":
            take(playout)
        elif kind == "held":
            held(playout)
        elif kind == "lost":
            lost(playout, n)
        elif kind == "noise":
            playout.noise(bytes([seed]) * n)
        else:
            rng = np.random.default_rng(seed)
            samples = rng.integers(-32768, 32768, n).astype(np.int16)
            if kind == "flags":
                playout.frame(samples, rng.integers(0, 256, n).astype(np.uint8).tobytes(), seed)
            else:
                frame(playout, samples, rng.random(n) < rng.random())
        assert 0 <= playout.waiting <= 800 + 80
    take(playout)
