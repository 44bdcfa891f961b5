"""Handing a call over by REFER as an action: what the far end says becomes one last state."""

from __future__ import annotations

from typing import Any

import pytest

from engine.programs.actions.referring import HANDED_OVER_S, MAX_WAIT_S, ReferAction, ReferReport, ReferState
from tests.support.call_control import FakeCall
from tests.support.exchange import later, run
from tests.support.programs import FakePrompts, FakeWeb, context_of

AGENT = "sip:agent@pbx.example"


class Scene:
    def __init__(self, **how: Any) -> None:
        self.call = FakeCall()
        self.context = context_of(FakeWeb(), FakePrompts())
        self.told: list[tuple[ReferState, ReferReport]] = []
        self.action = ReferAction(
            AGENT, self.call, self.context, on_state=lambda state, known: self.told.append((state, known)), **how
        )

    def start(self) -> Scene:
        self.action.start(0.0)
        return self

    def reports(self, status: int | None, *, final: bool = False) -> None:
        assert self.call.refer_report is not None
        self.call.refer_report(status, "", final)

    @property
    def states(self) -> list[str]:
        return [state.value for state, _ in self.told]


def test_a_success_is_told_and_the_call_ends_when_the_far_end_does_not_end_it() -> None:
    async def play() -> None:
        scene = Scene().start()
        assert ("refer", AGENT) in scene.call.asked
        for status in (202, 100, 180):
            scene.reports(status)
        assert scene.states == ["inProgress"]
        scene.reports(200, final=True)
        assert scene.told[1:] == [(ReferState.SUCCESS, ReferReport(refer_status=202, notify_status=200))]
        assert scene.call.times_hung_up == 0
        del scene.action  # whoever had it may forget it
        await later(HANDED_OVER_S + 0.1)
        assert scene.call.times_hung_up == 1

    run(play)


def test_the_far_end_ends_it_itself() -> None:
    async def play() -> None:
        scene = Scene().start()
        scene.reports(202)
        scene.reports(200, final=True)
        scene.action.hang_up(0.0)
        await later(HANDED_OVER_S + 0.1)
        assert scene.call.times_hung_up == 0
        assert scene.states == ["inProgress", "success"]

    run(play)


@pytest.mark.parametrize(
    ("status", "state"), [(486, "busy"), (600, "busy"), (480, "noAnswer"), (408, "noAnswer"), (487, "cancelled"),
                          (404, "error"), (503, "error"), (180, "error"), (None, "error")]
)  # fmt: skip
def test_what_the_far_end_says_of_its_call_is_the_last_state_and_the_call_goes_on(
    status: int | None, state: str
) -> None:
    async def play() -> None:
        scene = Scene().start()
        scene.reports(202)
        scene.reports(status, final=True)
        assert scene.states == ["inProgress", state]
        assert scene.told[-1][1] == ReferReport(refer_status=202, notify_status=status)
        await later(60.0)
        assert scene.call.times_hung_up == 0

    run(play)


@pytest.mark.parametrize("status", [403, 486, 603])
def test_a_far_end_that_does_not_follow_is_an_error_whatever_its_status_says(status: int) -> None:
    async def play() -> None:
        scene = Scene().start()
        scene.reports(status, final=True)
        assert scene.told[1:] == [(ReferState.ERROR, ReferReport(refer_status=status))]

    run(play)


def test_a_call_that_cannot_be_handed_over_is_an_error() -> None:
    async def play() -> None:
        scene = Scene()
        scene.call.cannot_refer = "a payment is under way"
        scene.start()
        assert scene.states == ["inProgress", "error"]

    run(play)


def test_a_far_end_that_says_nothing_more_is_given_up() -> None:
    async def play() -> None:
        scene = Scene().start()
        scene.reports(202)
        await later(MAX_WAIT_S - 1.0)
        assert scene.states == ["inProgress"]
        await later(2.0)
        assert scene.states == ["inProgress", "error"]
        scene.reports(200, final=True)
        assert len(scene.states) == 2

    run(play)


@pytest.mark.parametrize(("end", "state"), [("stop", "cancelled"), ("hang_up", "disconnected")])
def test_the_end_is_told_once(end: str, state: str) -> None:
    async def play() -> None:
        scene = Scene().start()
        getattr(scene.action, end)(0.0)
        scene.action.hang_up(0.0)
        scene.reports(200, final=True)
        assert scene.states == ["inProgress", state]
        await later(10.0)
        assert scene.call.times_hung_up == 0

    run(play)


def test_who_is_to_stay_on_the_line_stays() -> None:
    async def play() -> None:
        scene = Scene(hangs_up=False).start()
        scene.reports(202)
        scene.reports(200, final=True)
        await later(10.0)
        assert scene.call.times_hung_up == 0

    run(play)
