"""Playing as an action: its states, its loudness, pauses and rounds, and what ends it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from engine.dialects.spoken import Pause, Play, Say, Spoken
from engine.programs.actions.playing import PlayAction, PlayState
from tests.support.call_control import FakeCall
from tests.support.programs import FakePrompts, FakeWeb, context_of, settle

ONE, TWO = "https://a.example/one.wav", "https://a.example/two.wav"


class Scene:
    """A call to which something is played."""

    def __init__(self) -> None:
        self.prompts = FakePrompts()
        self.call = FakeCall()
        self.context = context_of(FakeWeb(), self.prompts)
        self.states: list[PlayState] = []
        self.action: PlayAction

    async def play(self, *items: Spoken, **how: Any) -> Scene:
        self.action = PlayAction(items, self.call, self.context, on_state=self.states.append, **how)
        self.action.start(0.0)
        await settle()
        return self

    async def finish(self, *, by_digit: bool = False) -> None:
        """Let what plays come to its end."""
        self.action.play_finished(self.call.tokens[-1], by_digit, 0.0)
        await settle()

    def did(self, what: str) -> list[Any]:
        return [argument for asked, argument in self.call.asked if asked == what]


def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scene())


def test_it_is_told_with_the_first_sound_and_when_all_was_heard() -> None:
    async def play() -> None:
        scene = Scene()
        scene.prompts.held[ONE] = asyncio.Event()
        await scene.play(Play(url=ONE), Play(url=TWO))
        assert scene.states == [], "nothing is heard yet"
        scene.prompts.held[ONE].set()
        await settle()
        assert scene.states == [PlayState.PLAYING]
        await scene.finish()
        await scene.finish()
        assert scene.states == [PlayState.PLAYING, PlayState.FINISHED]
        assert scene.call.heard == [(ONE,), (TWO,)]
        assert scene.action.is_over

    run(play)


def test_what_cannot_be_had_at_all_is_an_error_and_what_can_in_part_is_none() -> None:
    async def play() -> None:
        scene = Scene()
        scene.prompts.broken |= {ONE, TWO}
        await scene.play(Play(url=ONE), Play(url=TWO))
        assert scene.states == [PlayState.ERROR]
        scene = Scene()
        scene.prompts.broken.add(ONE)
        await scene.play(Play(url=ONE), Play(url=TWO))
        await scene.finish()
        assert scene.states == [PlayState.PLAYING, PlayState.FINISHED]

    run(play)


def test_loudness_holds_for_all_that_follows() -> None:
    async def play() -> None:
        scene = await Scene().play(Say(text="One."), Play(url=TWO), volume_db=-6.0)
        await scene.finish()
        assert len(scene.call.heard) == 2
        assert scene.did("set_volume") == [-6.0, -6.0], "each playlist begins at 0 dB"
        scene.action.set_volume(3.0)
        assert scene.did("set_volume")[-1] == 3.0

    run(play)


@pytest.mark.parametrize(("wanted", "set_to"), [(400.0, 40.0), (-400.0, -40.0)])
def test_loudness_is_bounded(wanted: float, set_to: float) -> None:
    async def play() -> None:
        scene = await Scene().play(Play(url=ONE))
        scene.action.set_volume(wanted)
        assert scene.did("set_volume") == [set_to]

    run(play)


def test_a_pause_is_told_once_and_lasts_over_what_follows() -> None:
    async def play() -> None:
        scene = await Scene().play(Play(url=ONE), Play(url=TWO))
        scene.action.pause()
        scene.action.pause()
        assert scene.states == [PlayState.PLAYING, PlayState.PAUSED]
        await scene.finish()  # its last tone was under way
        assert scene.did("pause_playing") == [None, None], "what follows is held as well"
        scene.action.resume()
        scene.action.resume()
        assert scene.states == [PlayState.PLAYING, PlayState.PAUSED, PlayState.PLAYING]
        assert scene.did("resume_playing") == [None]

    run(play)


def test_a_pause_before_the_first_sound_holds_it() -> None:
    async def play() -> None:
        scene = Scene()
        scene.action = PlayAction([Play(url=ONE)], scene.call, scene.context, on_state=scene.states.append)
        scene.action.start(0.0)
        scene.action.pause()
        await settle()
        assert scene.states == [PlayState.PAUSED]
        assert [what for what, _ in scene.call.asked][-1] == "pause_playing"
        scene.action.resume()
        assert scene.states == [PlayState.PAUSED, PlayState.PLAYING]

    run(play)


def test_all_items_are_heard_as_often_as_wanted() -> None:
    async def play() -> None:
        scene = await Scene().play(Play(url=ONE), Play(url=TWO), loop=2)
        for _ in range(4):
            await scene.finish()
        assert [name for heard in scene.call.heard for name in heard] == [ONE, TWO, ONE, TWO]
        assert scene.states == [PlayState.PLAYING, PlayState.FINISHED]

    run(play)


def test_one_item_without_end_is_repeated_by_the_player_and_more_of_them_in_rounds() -> None:
    async def play() -> None:
        scene = await Scene().play(Play(url=ONE), loop=0)
        assert scene.did("play") == [False]
        await scene.finish()
        assert scene.did("play") == [False, True], "without a gap from now on"
        scene = await Scene().play(Play(url=ONE), Play(url=TWO), loop=0)
        for _ in range(7):
            await scene.finish()
        assert not scene.action.is_over
        scene.action.stop(0.0)
        assert scene.states == [PlayState.PLAYING, PlayState.FINISHED]

    run(play)


def test_what_has_no_length_is_not_repeated_without_end() -> None:
    async def play() -> None:
        scene = await Scene().play(Pause(length_s=0.0), loop=0)
        await scene.finish()
        assert scene.states[-1] == PlayState.FINISHED
        scene = Scene()
        scene.prompts.broken.add(ONE)
        await scene.play(Play(url=ONE), Pause(length_s=0.0), loop=0)
        await scene.finish()
        assert scene.states[-1] == PlayState.FINISHED

    run(play)


@pytest.mark.parametrize("end", ["stop", "hang_up"])
def test_the_end_is_told_once_and_nothing_is_heard_afterwards(end: str) -> None:
    async def play() -> None:
        scene = await Scene().play(Play(url=ONE), Play(url=TWO))
        getattr(scene.action, end)(1.0)
        assert scene.did("stop_playing") == [None]
        await scene.finish()
        scene.action.stop(1.0)
        scene.action.pause()
        scene.action.resume()
        scene.action.set_volume(1.0)
        assert scene.states == [PlayState.PLAYING, PlayState.FINISHED]
        assert len(scene.call.heard) == 1
        assert scene.did("pause_playing") == scene.did("set_volume") == []
        await scene.action.done()

    run(play)


def test_a_key_ends_only_what_may_be_interrupted() -> None:
    async def play() -> None:
        scene = await Scene().play(Play(url=ONE))
        assert not scene.action.wants_digits
        scene.action.digit(1, 0.0)
        assert scene.did("stop_playing") == []
        scene = await Scene().play(Play(url=ONE), interruptible=True)
        assert scene.action.wants_digits
        assert scene.call.interruptible == [True]
        await scene.finish(by_digit=True)
        scene.action.digit(1, 0.0)
        assert scene.states == [PlayState.PLAYING, PlayState.FINISHED]

    run(play)


@pytest.mark.parametrize("loop", [0, 1])
def test_what_a_payment_takes_the_place_of_does_not_play_over_its_prompts(loop: int) -> None:
    async def play() -> None:
        scene = await Scene().play(Play(url=ONE), Play(url=TWO), loop=loop)
        scene.call.guard.enter(scene)  # and its prompt is played
        await scene.finish()
        assert scene.call.heard == [(ONE,)]
        assert scene.did("stop_playing") == []
        assert scene.states == [PlayState.PLAYING, PlayState.FINISHED]
        await scene.action.done()

    run(play)


def test_it_keeps_no_call_alive() -> None:
    async def play() -> None:
        scene = await Scene().play(Play(url=ONE))
        call = weakref.ref(scene.call)
        action = scene.action
        action.hang_up(0.0)
        await action.done()
        del scene
        assert call() is None
        gone = weakref.ref(action)
        del action
        assert gone() is None, "nor does it live on by itself"

    gc.disable()
    try:
        run(play)
    finally:
        gc.enable()
