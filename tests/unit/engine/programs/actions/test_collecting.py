"""Collecting keys as an action: the prompt, keys that end it, the time that runs, and what is told in which order."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest

from engine.dialects.signalwire.digits import Collected, DigitRules, Ended
from engine.dialects.spoken import Play
from engine.programs.actions.collecting import CollectAction
from engine.programs.actions.playing import PlayState
from tests.support.call_control import FakeCall
from tests.support.exchange import later, run
from tests.support.programs import FakePrompts, FakeWeb, context_of, settle

URL = "https://a.example/question.wav"
HASH = 11


class Scene:
    """A call on which keys are collected; ``told`` is all that the hooks heard, in order."""

    def __init__(self, rules: DigitRules, *, prompt: bool = True, **how: Any) -> None:
        self.prompts = FakePrompts()
        self.call = FakeCall()
        self.context = context_of(FakeWeb(), self.prompts)
        self.told: list[Any] = []
        self.action = CollectAction(
            rules,
            self.call,
            self.context,
            on_result=self.told.append,
            on_key=self.told.append,
            on_play=self.told.append,
            items=[Play(url=URL)] if prompt else [],
            **how,
        )

    async def start(self) -> Scene:
        self.action.start(self.context.now())
        await settle()
        return self

    def key(self, *codes: int) -> None:
        for code in codes:
            self.action.digit(code, self.context.now())

    async def prompt_ends(self, *, by_digit: bool = False) -> None:
        self.action.play_finished(self.call.tokens[-1], by_digit, self.context.now())
        await settle()

    @property
    def results(self) -> list[Collected]:
        return [told for told in self.told if isinstance(told, Collected)]


def test_a_key_ends_the_prompt_and_counts() -> None:
    async def play() -> None:
        scene = await Scene(DigitRules(max_digits=2)).start()
        assert scene.call.interruptible == [True]
        scene.key(4)
        assert ("stop_playing", None) in scene.call.asked
        await scene.prompt_ends()
        scene.key(7)
        assert scene.told == [
            PlayState.PLAYING,
            "4",
            PlayState.FINISHED,
            "47",
            Collected(ended=Ended.DIGITS, digits="47"),
        ]

    run(play)


def test_one_key_that_ends_all_is_told_in_order() -> None:
    async def play() -> None:
        scene = await Scene(DigitRules(max_digits=1)).start()
        scene.key(5)
        assert scene.told == [
            PlayState.PLAYING,
            PlayState.FINISHED,
            "5",
            Collected(ended=Ended.DIGITS, digits="5"),
        ]
        assert not scene.action.wants_digits
        scene.key(6)
        assert len(scene.told) == 4

    run(play)


def test_the_time_for_the_first_key_runs_when_the_prompt_has_ended() -> None:
    async def play() -> None:
        scene = await Scene(DigitRules(max_digits=4, initial_timeout_s=5.0)).start()
        await later(60.0)
        assert scene.results == []
        await scene.prompt_ends()
        await later(4.9)
        assert scene.results == []
        await later(0.2)
        assert scene.results == [Collected(ended=Ended.NO_INPUT)]

    run(play)


def test_a_prompt_that_cannot_be_had_asks_all_the_same() -> None:
    async def play() -> None:
        scene = Scene(DigitRules(initial_timeout_s=5.0))
        scene.prompts.broken.add(URL)
        await scene.start()
        assert scene.told == [PlayState.ERROR]
        await later(5.1)
        assert scene.results == [Collected(ended=Ended.NO_INPUT)]

    run(play)


def test_the_time_between_keys_ends_the_entry_with_what_there_is() -> None:
    async def play() -> None:
        scene = await Scene(DigitRules(max_digits=9, digit_timeout_s=2.0), prompt=False).start()
        scene.key(1)
        await later(1.9)
        scene.key(2)
        await later(1.9)
        assert scene.results == []
        await later(0.2)
        assert scene.results == [Collected(ended=Ended.DIGITS, digits="12")]

    run(play)


def test_a_terminator_is_no_part_of_the_entry() -> None:
    async def play() -> None:
        scene = await Scene(DigitRules(max_digits=9, terminators="#"), prompt=False).start()
        scene.key(1, 2, HASH)
        assert scene.told == ["1", "12", Collected(ended=Ended.DIGITS, digits="12", terminator="#")]

    run(play)


def test_timers_that_the_application_starts_itself() -> None:
    async def play() -> None:
        scene = await Scene(DigitRules(initial_timeout_s=5.0), start_timers=False).start()
        await scene.prompt_ends()
        await later(60.0)
        assert scene.results == []
        scene.action.start_timers(scene.context.now())
        await later(5.1)
        assert scene.results == [Collected(ended=Ended.NO_INPUT)]
        scene = await Scene(DigitRules(initial_timeout_s=5.0), start_timers=False).start()
        scene.action.start_timers(scene.context.now())
        await later(60.0)
        assert scene.results == [], "the prompt is still heard"

    run(play)


def test_no_limit_is_none() -> None:
    async def play() -> None:
        scene = await Scene(DigitRules(initial_timeout_s=math.inf), prompt=False).start()
        await later(100_000.0)
        assert scene.results == []
        scene.action.stop(scene.context.now())

    run(play)


def test_continuous_entries_follow_one_another_until_nobody_keys() -> None:
    async def play() -> None:
        rules = DigitRules(max_digits=2, initial_timeout_s=5.0)
        scene = await Scene(rules, prompt=False, continuous=True).start()
        scene.key(1, 2, 3, 4)
        assert [result.digits for result in scene.results] == ["12", "34"]
        assert scene.action.wants_digits
        await later(5.1)
        assert scene.results[-1] == Collected(ended=Ended.NO_INPUT)
        assert scene.action.is_over

    run(play)


@pytest.mark.parametrize("end", ["stop", "hang_up"])
def test_the_end_is_told_once_with_what_was_keyed(end: str) -> None:
    async def play() -> None:
        scene = await Scene(DigitRules(max_digits=9)).start()
        scene.key(1, 2)
        getattr(scene.action, end)(scene.context.now())
        getattr(scene.action, end)(scene.context.now())
        assert scene.results == [Collected(ended=Ended.STOPPED, digits="12")]
        await later(100.0)
        assert len(scene.results) == 1
        await scene.action.done()

    run(play)


def test_a_hook_may_stop_it() -> None:
    async def play() -> None:
        scene = Scene(DigitRules(max_digits=9), prompt=False)
        results: list[Collected] = []

        def stop(digits: str) -> None:
            if digits == "12":
                action.stop(0.0)

        action = CollectAction(scene.action._rules, scene.call, scene.context, on_result=results.append, on_key=stop)
        action.start(0.0)
        action.digit(1, 0.0)
        action.digit(2, 0.0)
        assert results == [Collected(ended=Ended.STOPPED, digits="12")]

    run(play)


def test_what_is_no_key_is_passed_over() -> None:
    async def play() -> None:
        scene = await Scene(DigitRules(max_digits=1)).start()
        scene.key(16, -1, 99)
        assert scene.told == [PlayState.PLAYING]

    run(play)


def test_keys_go_into_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        scene = await Scene(DigitRules(max_digits=6)).start()
        scene.key(9, 8, 7, 6, 5, 4)
        assert scene.results[0].digits == "987654"
        assert "987654" not in repr(scene.results[0])

    caplog.set_level(logging.DEBUG)
    run(play)
    assert "9876" not in caplog.text
