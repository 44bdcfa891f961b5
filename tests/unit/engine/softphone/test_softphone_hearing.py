"""The softphone's ear: when a prompt begins and ends, from levels alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.softphone.hearing import ACTIVE_DBM0, SoundDetector, pcm_level_dbm0
from engine.softphone.protocol import SoundState

STEP_S = 1 / 128  # a binary fraction: sums are exact


def run(pattern: list[tuple[bool, float]]) -> list[tuple[SoundState, float]]:
    """Feed (active, seconds) pieces; return what changed and when."""
    ear = SoundDetector()
    found = []
    step = 0
    for active, duration_s in pattern:
        for _ in range(round(duration_s / STEP_S)):
            change = ear.feed(active, step * STEP_S)
            if change is not None:
                found.append((change, round(step * STEP_S, 2)))
            step += 1
    return found


def test_a_prompt_begins_after_60_ms_and_ends_after_800_ms_of_silence() -> None:
    assert run([(False, 0.5), (True, 2.0), (False, 2.0)]) == [(SoundState.BEGAN, 0.56), (SoundState.ENDED, 3.3)]


def test_a_click_is_no_prompt() -> None:
    assert run([(True, 0.03), (False, 1.0), (True, 0.03), (False, 1.0)]) == []


def test_a_pause_between_sentences_does_not_end_a_prompt() -> None:
    assert run([(True, 1.0), (False, 0.7), (True, 1.0), (False, 1.0)]) == [
        (SoundState.BEGAN, 0.06),
        (SoundState.ENDED, 3.5),
    ]


def test_short_tones_with_pauses_are_heard_as_one_sound() -> None:
    assert [state for state, _ in run([(True, 0.04), (False, 0.04)] * 10 + [(False, 1.0)])] == [
        SoundState.BEGAN,
        SoundState.ENDED,
    ]


def test_the_next_prompt_is_heard_again() -> None:
    states = [state for state, _ in run([(True, 0.5), (False, 1.0)] * 3)]
    assert states == [SoundState.BEGAN, SoundState.ENDED] * 3


def test_sounding_tells_the_state() -> None:
    ear = SoundDetector(begin_s=0.0, quiet_s=0.1)
    ear.feed(True, 0.0)
    assert ear.sounding
    ear.feed(False, 0.2)
    assert not ear.sounding


@pytest.mark.parametrize("level_dbm0", [0.0, -20.0, -42.0])
def test_a_sine_has_its_level(level_dbm0: float) -> None:
    amplitude = 32767 * 10 ** ((level_dbm0 - 3.17) / 20)
    pcm = (amplitude * np.sin(2 * np.pi * 1000 * np.arange(1600) / 8000)).astype(np.int16).tobytes()
    assert pcm_level_dbm0(pcm) == pytest.approx(level_dbm0, abs=0.1)


def test_silence_and_nothing_have_no_level() -> None:
    assert pcm_level_dbm0(bytes(320)) == -math.inf
    assert pcm_level_dbm0(b"") == -math.inf
    assert -math.inf < ACTIVE_DBM0
