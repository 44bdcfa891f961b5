"""Conferences: when a room begins and ends, who hears what, and what is told of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.dialects.twiml.commands import DialOut, Parameters
from engine.dialects.twiml.verbs import Conference, Dial
from engine.errors import MediaError
from engine.program import CallState
from engine.programs.dial import make_dial
from tests.support.call_control import FakeCall
from tests.support.exchange import FakeExchange, later, run
from tests.support.programs import FakeOutbox, FakePrompts, FakeWeb, config_of, context_of, settle

BASE = "https://app.example.com/voice"


class Member:
    """A call whose document dials a conference."""

    def __init__(self, scene: Scene, number: int, dial: Dial, state: CallState) -> None:
        self.call = FakeCall(state=state, call_id=f"{number:032x}")
        self.outcomes: list[dict[str, str]] = []
        self.verb = make_dial(DialOut(token=1, dial=dial, base_url=BASE), self.call, scene.context, BASE, self._ended)
        self.verb.start(asyncio.get_running_loop().time())

    def _ended(self, parameters: Parameters) -> None:
        self.outcomes.append(dict(parameters))

    def hang_up(self) -> None:
        self.call.state = CallState.ENDED
        self.verb.hang_up(asyncio.get_running_loop().time())

    @property
    def asked(self) -> list[str]:
        return [what for what, _ in self.call.asked]

    @property
    def is_in(self) -> bool:
        return self.call.room is not None


class Scene:
    def __init__(self) -> None:
        self.exchange, self.web, self.outbox = FakeExchange(), FakeWeb(), FakeOutbox()
        self.context = context_of(self.web, FakePrompts(), self.outbox, config=config_of(), exchange=self.exchange)
        self._number = 0

    def enter(self, name: str = "board", *, state: CallState = CallState.ANSWERED, **how: Any) -> Member:
        dial_how = {key: how.pop(key) for key in ("hangup_on_star", "time_limit_s") if key in how}
        self._number += 1
        dial = Dial(conference=Conference(name=name, **{"beep": "false", **how}), **dial_how)
        return Member(self, self._number, dial, state)


def test_a_room_begins_with_two_and_until_then_there_is_music() -> None:
    async def play() -> None:
        scene = Scene()
        first = scene.enter()
        assert first.call.heard == [("hold music",)]
        assert not first.is_in
        second = scene.enter()
        assert first.asked == ["mask_line", "play", "stop_playing", "join"]
        assert second.asked == ["mask_line", "join"]
        assert first.call.room is second.call.room
        assert not scene.enter("another").is_in

    run(play)


def test_a_room_waits_for_one_who_may_begin_it() -> None:
    async def play() -> None:
        scene = Scene()
        guests = [scene.enter(start_on_enter=False) for _ in range(3)]
        assert not any(guest.is_in for guest in guests)
        host = scene.enter()
        assert all(member.is_in for member in (*guests, host))

    run(play)


def test_who_comes_muted_is_not_heard() -> None:
    async def play() -> None:
        scene = Scene()
        scene.enter()
        assert ("join", True) in scene.enter(muted=True).call.asked

    run(play)


def test_a_call_that_still_rings_is_answered_to_be_in_a_room() -> None:
    async def play() -> None:
        assert Scene().enter(state=CallState.RINGING).asked[0] == "answer"

    run(play)


def test_who_leaves_leaves_the_others_together_and_the_last_one_closes_the_room() -> None:
    async def play() -> None:
        scene = Scene()
        members = [scene.enter() for _ in range(3)]
        await later(12.0)
        members[0].hang_up()
        assert not members[0].is_in
        assert all(member.is_in and member.outcomes == [] for member in members[1:])
        outcome = members[0].outcomes[0]
        assert (outcome["DialCallStatus"], outcome["DialCallDuration"]) == ("answered", "12")
        assert outcome["ConferenceSid"].startswith("CF")
        for member in members[1:]:
            member.verb.stop(0.0)
        assert scene.exchange.rooms[0].closed
        assert len(scene.context.rooms) == 0
        assert not scene.enter().is_in

    run(play)


def test_who_ends_the_room_sends_the_others_on_with_their_documents() -> None:
    async def play() -> None:
        scene = Scene()
        guests = [scene.enter() for _ in range(2)]
        host = scene.enter(end_on_exit=True)
        host.hang_up()
        assert [len(guest.outcomes) for guest in guests] == [1, 1]
        assert [guest.call.times_hung_up for guest in guests] == [0, 0]
        assert not any(guest.is_in for guest in guests)
        assert scene.exchange.rooms[0].closed

    run(play)


def test_a_full_room_takes_nobody() -> None:
    async def play() -> None:
        scene = Scene()
        for _ in range(2):
            scene.enter(max_participants=2)
        late = scene.enter(max_participants=2)
        assert late.outcomes == []
        await settle()
        assert late.outcomes[0]["DialCallStatus"] == "failed"
        for _ in range(20):
            scene.enter("big")
        await settle()
        room = scene.context.rooms.find("big")
        assert room is not None
        assert len(room) == 16

    run(play)


def test_a_room_that_cannot_be_had_ends_the_dial() -> None:
    async def play() -> None:
        scene = Scene()
        scene.exchange.full = True
        scene.enter()
        second = scene.enter()
        await settle()
        assert second.outcomes[0]["DialCallStatus"] == "failed"

    run(play)


def test_a_call_without_media_is_sent_on() -> None:
    async def play() -> None:
        scene = Scene()
        first = scene.enter()

        def refuse(room: object, *, muted: bool = False) -> None:
            raise MediaError("no media")

        first.call.join = refuse  # type: ignore[method-assign]
        second = scene.enter()
        await settle()
        assert first.outcomes[0]["DialCallStatus"] == "failed"
        assert second.is_in

    run(play)


@pytest.mark.parametrize(
    ("beep", "heard"),
    [("true", ["enter", "exit"]), ("false", []), ("onEnter", ["enter"]), ("onExit", ["exit"])],
)
def test_the_room_hears_who_comes_and_goes(beep: str, heard: list[str]) -> None:
    async def play() -> None:
        scene = Scene()
        first, _ = scene.enter(), scene.enter()
        third = scene.enter(beep=beep)
        third.hang_up()
        assert [names[0] for names in first.call.heard[1:]] == heard

    run(play)


def test_no_tone_of_the_room_takes_the_place_of_a_payments_prompt() -> None:
    async def play() -> None:
        scene = Scene()
        first, second = scene.enter(), scene.enter()
        first.call.guard.enter(scene)
        scene.enter(beep="true")
        assert first.call.heard == [("hold music",)]
        assert second.call.heard == [("enter",)]

    run(play)


def test_a_star_leaves_where_the_document_says_so_and_the_time_limit_always() -> None:
    async def play() -> None:
        scene = Scene()
        stays, leaves = scene.enter(), scene.enter(hangup_on_star=True)
        short = scene.enter(time_limit_s=30)
        for member in (stays, leaves):
            member.verb.digit(10, 0.0)
        assert (len(stays.outcomes), len(leaves.outcomes)) == (0, 1)
        await later(31.0)
        assert (len(stays.outcomes), len(short.outcomes)) == (0, 1)

    run(play)


def test_who_waits_hears_the_applications_document() -> None:
    async def play() -> None:
        scene = Scene()
        scene.web.pages["https://app.example.com/wait"] = "<Response><Say>Nobody is here yet</Say></Response>"
        first = scene.enter(wait_url="/wait")
        await settle()
        assert first.call.heard == [("Nobody is here yet",)]
        scene.enter()
        await settle()
        assert first.is_in
        await first.verb.done()

    run(play)


def test_the_application_hears_of_the_room_in_order() -> None:
    async def play() -> None:
        scene = Scene()
        events = ("start", "end", "join", "leave")
        first = scene.enter(status_callback="/room", status_events=events)
        second = scene.enter(muted=True)
        second.hang_up()
        first.hang_up()
        await first.verb.done()
        told = [item["parameters"] for item in scene.outbox.items]
        assert [parameters["StatusCallbackEvent"] for parameters in told] == [
            "participant-join",
            "participant-join",
            "conference-start",
            "participant-leave",
            "participant-leave",
            "conference-end",
        ]
        assert [parameters["SequenceNumber"] for parameters in told] == ["1", "2", "3", "4", "5", "6"]
        assert {parameters["ConferenceSid"] for parameters in told} == {first.outcomes[0]["ConferenceSid"]}
        assert {item["session"] for item in scene.outbox.items} == {told[0]["ConferenceSid"]}
        assert {item["url"] for item in scene.outbox.items} == {"https://app.example.com/room"}
        assert (told[1]["Muted"], told[0]["FriendlyName"]) == ("true", "board")

    run(play)


def test_a_ledger_that_is_gone_costs_the_room_nothing() -> None:
    async def play() -> None:
        scene = Scene()
        scene.outbox.is_broken = True
        first = scene.enter(status_callback="/room", status_events=("join",))
        assert scene.enter().is_in
        await first.verb.done()

    run(play)
