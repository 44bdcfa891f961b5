"""Keys that are sent: their order, their pauses, and that they end."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import MediaError
from engine.programs.actions.keying import MAX_CHARACTERS, KeyingAction
from tests.support.call_control import FakeCall
from tests.support.exchange import later, run
from tests.support.programs import FakePrompts, FakeWeb, context_of


class Scene:
    def __init__(self, digits: str, *, call: FakeCall | None = None) -> None:
        self.call = call or FakeCall()
        self.context = context_of(FakeWeb(), FakePrompts())
        self.ends = 0
        self.action = KeyingAction(digits, self.call, self.context, on_done=self._done)
        self.action.start(self.context.now())

    def _done(self) -> None:
        self.ends += 1

    @property
    def keyed(self) -> list[Any]:
        return [argument for what, argument in self.call.asked if what == "send_digits"]


def test_keys_are_sent_and_the_end_is_told_when_the_last_was_heard() -> None:
    async def play() -> None:
        scene = Scene("1*#a")
        assert scene.keyed == [(1, 10, 11, 12)]
        await later(0.5)
        assert scene.ends == 0
        await later(0.2)
        assert (scene.ends, scene.action.is_complete) == (1, True)

    run(play)


def test_w_is_half_a_second() -> None:
    async def play() -> None:
        scene = Scene("1wW2")
        assert scene.keyed == [(1,)]
        await later(1.1)
        assert scene.keyed == [(1,)]
        await later(0.1)
        assert scene.keyed == [(1,), (2,)]

    run(play)


def test_many_keys_are_sent_a_few_at_a_time_and_no_more_than_so_many() -> None:
    async def play() -> None:
        scene = Scene("5" * (MAX_CHARACTERS + 50))
        assert scene.keyed == [(5,) * 16]
        await later(MAX_CHARACTERS * 0.16 + 1.0)
        assert sum(map(len, scene.keyed)) == MAX_CHARACTERS
        assert max(map(len, scene.keyed)) == 16
        assert scene.ends == 1

    run(play)


@pytest.mark.parametrize("digits", ["", "xyz", "-"])
def test_nothing_to_key_is_done_at_once(digits: str) -> None:
    async def play() -> None:
        scene = Scene(digits)
        assert (scene.keyed, scene.ends) == ([], 1)

    run(play)


@pytest.mark.parametrize("end", ["stop", "hang_up"])
def test_it_ends_in_the_middle(end: str) -> None:
    async def play() -> None:
        scene = Scene("1w2")
        getattr(scene.action, end)(0.0)
        await later(10.0)
        assert (scene.keyed, scene.ends, scene.action.is_complete) == ([(1,)], 1, False)

    run(play)


def test_a_leg_that_takes_none_ends_it() -> None:
    class Deaf(FakeCall):
        def send_digits(self, codes: Any) -> None:
            raise MediaError("no more keys wait at a time")

    async def play() -> None:
        scene = Scene("1w2", call=Deaf())
        assert (scene.ends, scene.action.is_complete) == (1, False)

    run(play)
