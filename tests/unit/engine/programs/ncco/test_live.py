"""What REST does to a call that is up: talk, stream and keys, beside whatever else runs on it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable

import pytest

from engine.dialects.ncco.actions import Stream, Talk
from engine.errors import MediaError, ProgramError
from engine.program import CallState
from engine.programs.ncco.live import MAX_KEYS, LiveControl
from tests.support.call_control import FakeCall
from tests.support.exchange import later, run
from tests.support.ncco_calls import MUSIC, NccoScene
from tests.support.programs import settle

BEGINNINGS: tuple[Callable[[LiveControl], None], ...] = (
    lambda control: control.talk(Talk(text="Hello")),
    lambda control: control.stream(Stream(url=MUSIC)),
    lambda control: control.send_digits("1"),
)


class Scene(NccoScene):
    """One call; each request to it has a control of its own."""

    def __init__(self, state: CallState = CallState.ANSWERED) -> None:
        super().__init__()
        self.one, _ = self.call(state=state)

    @property
    def control(self) -> LiveControl:
        return LiveControl(self.one, self.context)

    def over(self) -> None:
        """What plays is over."""
        for companion in list(self.one.companions):
            companion.play_finished(self.one.tokens[-1], False, self.context.now())

    @property
    def keyed(self) -> list[int]:
        return [code for what, codes in self.one.asked if what == "send_digits" for code in codes]

    def did(self, what: str) -> int:
        return sum(asked == what for asked, _ in self.one.asked)


def test_a_talk_is_heard_so_often_and_so_loud() -> None:
    async def play() -> None:
        scene = Scene()
        scene.control.talk(Talk(text="Hello", language="de-DE", loop=2, level=-0.5))
        await settle()
        assert scene.prompts.said == [("Hello", "de-DE", "")]
        heard = [name for names in scene.one.heard for name in names]
        while len(heard) < 2:
            scene.over()
            heard = [name for names in scene.one.heard for name in names]
        assert heard == ["Hello", "Hello"]
        assert ("set_volume", -6.0) in scene.one.asked
        scene.over()
        assert not scene.control.stop_talk(), "it is over"

    run(play)


def test_a_stream_without_end_goes_on_until_it_is_stopped() -> None:
    async def play() -> None:
        scene = Scene()
        scene.control.stream(Stream(url=MUSIC, loop=0, level=1.0))
        await settle()
        scene.over()
        assert scene.one.heard == [(MUSIC,), (MUSIC,)]
        assert ("play", True) in scene.one.asked
        assert ("set_volume", 12.0) in scene.one.asked
        assert not scene.control.stop_talk(), "a stream is no talk"
        assert scene.did("stop_playing") == 0
        assert scene.control.stop_stream()
        assert scene.did("stop_playing") == 1
        assert not scene.control.stop_stream()

    run(play)


def test_what_is_begun_takes_the_place_of_what_was_begun_before() -> None:
    async def play() -> None:
        scene = Scene()
        scene.control.stream(Stream(url=MUSIC, loop=0))
        await settle()
        scene.control.talk(Talk(text="Goodbye"))
        await settle()
        assert scene.one.heard == [(MUSIC,), ("Goodbye",)]
        assert not scene.control.stop_stream()
        assert scene.control.stop_talk()
        assert len(scene.one.companions) == 1, "one for the call, however much is played"

    run(play)


def test_a_talk_that_is_stopped_before_it_is_ready_is_not_heard() -> None:
    async def play() -> None:
        scene = Scene()
        scene.prompts.held["Hello"] = asyncio.Event()
        scene.control.talk(Talk(text="Hello"))
        await settle()
        assert scene.control.stop_talk()
        scene.prompts.held["Hello"].set()
        await settle()
        assert scene.one.heard == []

    run(play)


def test_what_others_play_is_not_stopped() -> None:
    async def play() -> None:
        scene = Scene()
        scene.control.talk(Talk(text="Hello"))
        await settle()
        scene.over()
        scene.one.play((), 4711, interruptible=False)
        assert not scene.control.stop_talk()
        scene.control.talk(Talk(text="Goodbye"))
        await settle()
        assert scene.did("stop_playing") == 0

    run(play)


def test_what_cannot_be_had_is_over_at_once() -> None:
    async def play() -> None:
        scene = Scene()
        scene.prompts.broken.add(MUSIC)
        scene.control.stream(Stream(url=MUSIC, loop=0))
        await settle()
        assert not scene.control.stop_stream()
        assert scene.one.heard == []

    run(play)


def test_nothing_is_begun_while_a_payment_is_in_progress() -> None:
    async def play() -> None:
        scene = Scene()
        scene.one.guard.enter(scene)
        for begin in BEGINNINGS:
            with pytest.raises(ProgramError, match="a payment is in progress"):
                begin(scene.control)
        await settle()
        assert scene.one.asked == []

    run(play)


def test_a_payment_that_begins_before_a_talk_is_ready_is_not_talked_over() -> None:
    async def play() -> None:
        scene = Scene()
        scene.control.talk(Talk(text="Hello"))
        scene.one.guard.enter(scene)
        await settle()
        assert scene.one.heard == []
        scene.one.guard.leave(scene)
        scene.control.stream(Stream(url=MUSIC, loop=0))
        await settle()
        scene.one.guard.enter(scene)
        scene.over()  # the payment's first prompt takes its place
        await settle()
        assert scene.one.heard == [(MUSIC,)]
        assert scene.did("stop_playing") == 0
        assert not scene.control.stop_stream()

    run(play)


@pytest.mark.parametrize("state", [CallState.QUEUED, CallState.RINGING, CallState.ENDED])
def test_a_call_that_is_not_up_takes_nothing(state: CallState) -> None:
    async def play() -> None:
        scene = Scene(state)
        for ask in (*BEGINNINGS, LiveControl.stop_talk, LiveControl.stop_stream):
            with pytest.raises(ProgramError, match="the call is not up"):
                ask(scene.control)
        assert len(scene.context.live) == 0

    run(play)


def test_keys_are_sent_in_their_order_with_their_pauses() -> None:
    async def play() -> None:
        scene = Scene()
        scene.control.send_digits("1p2 x#")
        scene.control.send_digits("A*")
        await settle()
        assert scene.keyed == [1]
        await later(0.2)
        assert scene.keyed == [1], "half a second is not over"
        await later(0.5)
        assert scene.keyed == [1, 2]
        for _ in range(4):
            await later(0.2)
        assert scene.keyed == [1, 2, 11, 12, 10]

    run(play)


def test_keys_that_wait_are_given_up_when_a_payment_begins() -> None:
    async def play() -> None:
        scene = Scene()
        scene.control.send_digits("123")
        await settle()
        scene.one.guard.enter(scene)
        await later(10.0)
        scene.one.guard.leave(scene)
        await later(10.0)
        assert scene.keyed == [1]
        scene.control.send_digits("4")
        await settle()
        assert scene.keyed == [1, 4]

    run(play)


def test_no_more_keys_wait_than_can_be_sent_soon() -> None:
    async def play() -> None:
        scene = Scene()
        scene.control.send_digits("w" * MAX_KEYS)
        scene.control.send_digits("1")  # one is being sent
        with pytest.raises(ProgramError, match="keys can wait"):
            scene.control.send_digits("2")

    run(play)


def test_keys_that_cannot_be_sent_are_given_up() -> None:
    async def play() -> None:
        scene = Scene()

        def refuse(codes: object) -> None:
            raise MediaError("the leg was closed")

        scene.one.send_digits = refuse  # type: ignore[method-assign]
        scene.control.send_digits("1" * MAX_KEYS)
        await later(1000.0)
        del scene.one.send_digits
        scene.control.send_digits("2")
        await settle()
        assert scene.keyed == [2]

    run(play)


def test_all_ends_with_the_call_of_which_nothing_lives_on() -> None:
    async def play() -> None:
        scene = Scene()
        scene.control.stream(Stream(url=MUSIC, loop=0))
        scene.control.send_digits("1w2")
        await settle()
        companion = scene.one.companions[0]
        scene.one.state = CallState.ENDED
        companion.hang_up(scene.context.now())
        await companion.done()
        await later(10.0)
        assert scene.keyed == [1]
        call_id = scene.one.facts.call_id
        del companion
        gone = weakref.ref(scene.one)
        gc.disable()
        try:
            scene.one = FakeCall()
            assert gone() is None
            assert call_id not in scene.context.live
        finally:
            gc.enable()

    run(play)
