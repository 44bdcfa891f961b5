"""The caller's keys stay covered until the entry is over, the last key was let go and a tail has passed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from engine.errors import MediaError
from engine.program import CallControl
from engine.programs.cover import LONGEST_PRESS_S, RUN_ON_S, TAIL_S, LineCover
from tests.support.call_control import FakeCall


class Timer:
    def __init__(self, at: float, work: Callable[[], None]) -> None:
        self.at = at
        self.work: Callable[[], None] | None = work

    def cancel(self) -> None:
        self.work = None


class Line:
    """A call with its cover, and the clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []
        self.call = FakeCall()
        self.cover = LineCover(cast(CallControl, self.call), now=lambda: self.now, call_at=self.call_at)

    def call_at(self, when: float, work: Callable[[], None]) -> Timer:
        self.timers.append(Timer(when, work))
        return self.timers[-1]

    def passes(self, seconds: float) -> None:
        until = self.now + seconds
        while due := [timer for timer in self.timers if timer.work is not None and timer.at <= until]:
            timer = min(due, key=lambda one: one.at)
            self.now, work, timer.work = max(self.now, timer.at), timer.work, None
            assert work is not None
            work()
        self.now = until

    @property
    def asked(self) -> list[tuple[str, Any]]:
        return self.call.asked


ON = [("hold_recording", None), ("mask", True)]
OFF = [("mask", False), ("release_recording", None)]


def test_recordings_are_held_before_and_released_after_the_mask() -> None:
    line = Line()
    line.cover.put_on()
    line.cover.put_on()
    assert line.asked == ON
    line.cover.take_off()
    line.passes(TAIL_S - 0.01)
    assert (line.asked, line.cover.is_on) == (ON, True)
    line.passes(0.02)
    assert line.asked == ON + OFF
    assert not line.cover.is_on
    line.passes(60)
    assert line.asked == ON + OFF


def test_it_never_comes_off_while_a_key_is_held() -> None:
    line = Line()
    line.cover.put_on()
    line.cover.key(is_held=True)
    line.cover.take_off()
    line.passes(10)
    assert line.cover.is_on
    line.cover.key_ended()
    line.passes(TAIL_S - 0.01)
    assert line.cover.is_on
    line.passes(0.02)
    assert not line.cover.is_on


def test_a_key_whose_end_never_comes_does_not_cover_the_line_for_ever() -> None:
    line = Line()
    line.cover.put_on()
    line.cover.key(is_held=True)
    line.cover.take_off()
    line.passes(LONGEST_PRESS_S + TAIL_S + 0.01)
    assert not line.cover.is_on


def test_a_key_that_has_no_end_is_not_waited_for() -> None:
    line = Line()
    line.cover.put_on()
    line.cover.key(is_held=False)
    line.cover.take_off()
    line.passes(TAIL_S + 0.01)
    assert not line.cover.is_on


def test_who_keys_on_is_covered_for_as_long_as_that_lasts() -> None:
    line = Line()
    line.cover.put_on()
    line.cover.take_off(RUN_ON_S)
    for _ in range(10):
        line.passes(RUN_ON_S - 0.01)
        assert line.cover.is_on
        line.cover.key(is_held=True)
        line.passes(0.1)
        line.cover.key_ended()
    line.passes(RUN_ON_S + 0.01)
    assert not line.cover.is_on


def test_a_key_within_the_short_tail_starts_the_long_one() -> None:
    line = Line()
    line.cover.put_on()
    line.cover.take_off()
    line.cover.key(is_held=True)
    line.cover.key_ended()
    line.passes(RUN_ON_S - 0.01)
    assert line.cover.is_on


def test_the_next_entry_is_not_uncovered_by_the_end_of_the_one_before() -> None:
    line = Line()
    line.cover.put_on()
    line.cover.take_off()
    line.passes(TAIL_S / 2)
    line.cover.put_on()
    line.passes(60)
    assert line.asked == ON


def test_taking_it_off_twice_does_not_shorten_the_tail() -> None:
    line = Line()
    line.cover.put_on()
    line.cover.take_off(RUN_ON_S)
    line.cover.take_off(TAIL_S)
    line.passes(RUN_ON_S - 0.01)
    assert line.cover.is_on


@pytest.mark.parametrize("late", ["timer", "take off", "key ended", "put on"])
def test_when_the_call_is_over_it_stays_as_it_is(late: str) -> None:
    line = Line()
    line.cover.put_on()
    if late == "timer":
        line.cover.take_off()
    line.cover.close()
    match late:
        case "take off":
            line.cover.take_off()
        case "key ended":
            line.cover.take_off()
            line.cover.key_ended()
        case "put on":
            line.cover.put_on()
    line.passes(60)
    assert line.asked == ON


def test_keys_while_nothing_is_covered_leave_no_trace() -> None:
    line = Line()
    line.cover.key(is_held=True)
    line.cover.key_ended()
    line.cover.take_off()
    line.passes(60)
    assert (line.asked, line.timers) == ([], [])


class TestMediaPlane:
    """The media plane does not always do what it is asked for."""

    def test_without_a_mask_nothing_is_held(self, monkeypatch: pytest.MonkeyPatch) -> None:
        line = Line()
        with monkeypatch.context() as patch:
            patch.setattr(line.call, "mask", _fails)
            with pytest.raises(MediaError):
                line.cover.put_on()
        assert not line.cover.is_on
        assert line.call.recording_holds == 0
        line.cover.put_on()
        assert line.cover.is_on

    def test_a_mask_that_does_not_come_off_is_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        line = Line()
        line.cover.put_on()
        line.cover.take_off()
        with monkeypatch.context() as patch:
            patch.setattr(line.call, "mask", _fails)
            line.passes(TAIL_S + 0.01)
            assert line.cover.is_on
        line.passes(5)
        assert line.asked == ON + OFF


def _fails(on: bool) -> None:
    raise MediaError("the media plane does not answer")
