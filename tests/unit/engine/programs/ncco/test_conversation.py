"""Conversations of NCCOs: who hears whom and when, how they end, and what is told of them."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from engine.dialects.ncco.actions import Conversation, EventTarget, Record
from engine.dialects.ncco.identity import conversation_uuid, named_conversation
from engine.errors import MediaError, ProgramError
from engine.program import CallState
from engine.programs.actions.protocol import Action
from engine.programs.shared_room import MAX_IN_ROOM
from tests.support.exchange import run
from tests.support.ncco_calls import MUSIC, Guest, NccoScene
from tests.support.programs import settle


def test_the_first_waits_in_silence_and_both_hear_each_other_behind_the_mask_when_a_second_comes() -> None:
    async def play() -> None:
        scene = NccoScene()
        first = scene.guest()
        await settle()
        assert first.asked == ["mask_line"]
        second = scene.guest()
        assert (first.asked, second.asked) == (["mask_line", "join"], ["mask_line", "join"])
        assert first.call.room is second.call.room
        assert (first.times_over, second.times_over) == (0, 0)

    run(play)


def test_who_waits_hears_the_music_over_and_over_until_the_others_come() -> None:
    async def play() -> None:
        scene = NccoScene()
        first = scene.guest(music_on_hold="music.mp3")
        await settle()
        first.action.play_finished(first.call.tokens[-1], False, scene.context.now())
        assert first.call.heard == [(MUSIC,), (MUSIC,)]
        assert first.call.asked[-1] == ("play", True)
        scene.guest()
        assert first.asked[-2:] == ["stop_playing", "join"]

    run(play)


def test_music_that_is_not_there_is_silence() -> None:
    async def play() -> None:
        scene = NccoScene()
        scene.prompts.broken.add(MUSIC)
        first = scene.guest(music_on_hold=MUSIC)
        await settle()
        assert (first.call.heard, first.times_over) == ([], 0)
        scene.guest()
        assert first.is_in

    run(play)


def test_a_payments_prompts_are_not_talked_over() -> None:
    async def play() -> None:
        scene = NccoScene()
        first = scene.guest(music_on_hold=MUSIC)
        first.call.guard.enter(scene)  # it begins before the music is there
        await settle()
        assert first.call.heard == []

    run(play)


def test_participants_wait_for_a_moderator() -> None:
    async def play() -> None:
        scene = NccoScene()
        guests = [scene.guest(start_on_enter=False) for _ in range(3)]
        assert not any(guest.is_in for guest in guests)
        moderator = scene.guest()
        assert all(guest.is_in for guest in (*guests, moderator))

    run(play)


def test_conversations_of_two_applications_never_meet() -> None:
    async def play() -> None:
        scene = NccoScene()
        guests = [scene.guest(app="shop"), scene.guest(app="bank"), scene.guest("another")]
        assert not any(guest.is_in for guest in guests)
        assert len(scene.context.conversations) == 3

    run(play)


def test_the_end_of_a_moderator_is_the_end_for_all_whose_nccos_go_on() -> None:
    async def play() -> None:
        scene = NccoScene()
        guests = [scene.guest() for _ in range(2)]
        moderator = scene.guest(end_on_exit=True)
        moderator.hang_up()
        assert moderator.times_over == 1
        await settle()
        assert [guest.times_over for guest in guests] == [1, 1]
        assert [guest.call.times_hung_up for guest in guests] == [0, 0]
        assert not any(guest.is_in for guest in guests)
        assert scene.exchange.rooms[0].closed
        assert len(scene.context.conversations) == 0

    run(play)


def test_a_moderator_who_leaves_before_it_begins_leaves_the_others_waiting() -> None:
    async def play() -> None:
        scene = NccoScene()
        guests = [scene.guest(start_on_enter=False) for _ in range(2)]
        scene.guest(start_on_enter=False, end_on_exit=True).hang_up()
        await settle()
        assert [guest.times_over for guest in guests] == [0, 0]
        assert len(scene.context.conversations) == 1

    run(play)


def test_who_is_sent_away_can_go_into_a_new_conversation_of_the_same_name() -> None:
    async def play() -> None:
        scene = NccoScene()
        guests = [scene.guest() for _ in range(2)]
        again: list[Guest] = []
        for guest in guests:
            guest.next = lambda: again.append(scene.guest())  # type: ignore[method-assign]
        scene.guest(end_on_exit=True).hang_up()
        await settle()
        assert len(again) == 2
        assert all(guest.is_in for guest in again)
        assert again[0].call.room is scene.exchange.rooms[1]  # type: ignore[comparison-overlap]

    run(play)


def test_others_stay_when_somebody_leaves_and_the_last_one_closes_the_room() -> None:
    async def play() -> None:
        scene = NccoScene()
        first, second = scene.guest(), scene.guest()
        first.action.stop(scene.context.now())
        assert (first.times_over, first.is_in, second.is_in) == (1, False, True)
        second.hang_up()
        assert scene.exchange.rooms[0].closed
        assert not scene.guest().is_in

    run(play)


@pytest.mark.parametrize(
    ("how", "asked"),
    [
        ({"mute": True}, [("mute", True)]),
        ({"can_speak": ()}, [("mute", True)]),
        ({"can_hear": ()}, [("earmuff", True)]),
        ({"mute": True, "can_hear": ()}, [("mute", True), ("earmuff", True)]),
        ({}, []),
    ],
)
def test_who_is_not_to_be_heard_or_to_hear_is_cut_off_before_the_others_are_there(
    how: dict[str, Any], asked: list[tuple[str, bool]]
) -> None:
    async def play() -> None:
        scene = NccoScene()
        scene.guest()
        guest = scene.guest(**how)
        assert guest.call.asked[1:] == [*asked, ("join", False)]
        guest.action.stop(scene.context.now())
        assert guest.call.asked[len(asked) + 2 :] == [("leave_room", None), *((what, False) for what, _ in asked)]

    run(play)


def test_a_list_of_some_of_the_legs_lets_all_through_and_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        scene = NccoScene()
        scene.guest()
        guest = scene.guest(can_hear=("63f61863-4a51-4f0c-8b21-00a1b2c3d4e5",))
        assert guest.asked == ["mask_line", "join"]

    with caplog.at_level(logging.WARNING):
        run(play)
    assert "canHear names some legs" in caplog.text


def test_entering_and_leaving_is_told_as_a_transfer_between_conversations() -> None:
    async def play() -> None:
        scene = NccoScene()
        guest = scene.guest()
        own, name = conversation_uuid(guest.call.facts.call_id), named_conversation(guest.leg.application_id, "board")
        assert guest.leg.conversation_uuid == name
        guest.action.stop(scene.context.now())
        assert guest.leg.conversation_uuid == own
        told = await scene.told("conversation_uuid_from")
        assert [(event["conversation_uuid_from"], event["conversation_uuid_to"]) for event in told] == [
            (own, name),
            (name, own),
        ]

    run(play)


def test_who_hangs_up_in_a_conversation_was_in_it_to_the_end() -> None:
    async def play() -> None:
        scene = NccoScene()
        guest = scene.guest()
        guest.hang_up()
        assert guest.times_over == 1
        assert len(await scene.told("conversation_uuid_from")) == 1

    run(play)


def test_a_full_conversation_is_an_error_of_the_application_and_its_ncco_goes_on() -> None:
    async def play() -> None:
        scene = NccoScene()
        for _ in range(MAX_IN_ROOM):
            scene.guest()
        late = scene.guest()
        assert (late.times_over, late.is_in) == (0, False)
        await settle()
        assert late.times_over == 1
        assert [event["reason"] for event in await scene.told("reason")] == [
            "the conversation cannot be entered: the room is full"
        ]
        assert late.leg.conversation_uuid == conversation_uuid(late.call.facts.call_id)

    run(play)


def test_a_call_without_media_goes_on_with_its_ncco() -> None:
    async def play() -> None:
        scene = NccoScene()
        first = scene.guest()

        def refuse(room: object, *, muted: bool = False) -> None:
            raise MediaError("no media")

        first.call.join = refuse  # type: ignore[method-assign]
        second = scene.guest()
        await settle()
        assert (first.times_over, second.times_over, second.is_in) == (1, 0, True)
        assert len(await scene.told("reason")) == 1

    run(play)


def test_a_media_plane_that_has_ended_ends_the_action() -> None:
    async def play() -> None:
        scene = NccoScene()
        scene.exchange.full = True
        first, second = scene.guest(), scene.guest()
        await settle()
        assert (first.times_over, second.times_over) == (0, 1)

    run(play)


def test_a_call_that_still_rings_is_answered() -> None:
    async def play() -> None:
        assert NccoScene().guest(state=CallState.RINGING).asked[0] == "answer"

    run(play)


class FakeRecording:
    """An ``Action`` that records."""

    wants_digits = False

    def __init__(self) -> None:
        self.happened: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.happened.append(name)

    async def done(self) -> None:
        self.happened.append("done")


def test_a_conversation_is_recorded_once_from_when_it_begins() -> None:
    async def play() -> None:
        scene = NccoScene()
        made: list[tuple[Record, str, FakeRecording]] = []

        def record(wanted: Record, base_url: str, ended: Callable[[], None]) -> Action:
            made.append((wanted, base_url, FakeRecording()))
            return made[-1][2]

        target = EventTarget(url="/recorded")
        wanted = Conversation(name="board", record=True, event=target)
        scene.guest(record=record)
        assert made == []
        guests = [Guest(scene, wanted, *scene.call(), record) for _ in range(2)]
        assert [(one.event, url) for one, url, _ in made] == [(target, "https://app.example/answer")]
        assert made[0][2].happened == ["start"]
        guests[0].action.play_finished(7, False, scene.context.now())
        guests[0].action.stop(scene.context.now())
        await guests[0].action.done()
        assert made[0][2].happened == ["start", "play_finished", "stop", "done"]

    run(play)


def test_what_cannot_be_recorded_is_no_reason_not_to_meet() -> None:
    async def play() -> None:
        scene = NccoScene()

        def record(wanted: Record, base_url: str, ended: Callable[[], None]) -> Action:
            raise ProgramError("no directory")

        wanted = Conversation(name="board", record=True)
        guests = [Guest(scene, wanted, *scene.call(), make) for make in (record, None)]
        assert all(guest.is_in for guest in guests)

    run(play)


def test_nothing_of_a_call_lives_on() -> None:
    async def play() -> None:
        scene = NccoScene()
        first, second = scene.guest(music_on_hold=MUSIC), scene.guest()
        await settle()
        gone = weakref.ref(first.call), weakref.ref(second.call)
        first.hang_up()
        second.hang_up()
        await first.action.done()
        gc.disable()
        try:
            first.call, second.call = None, None  # type: ignore[assignment]
            assert [ref() for ref in gone] == [None, None]
        finally:
            gc.enable()

    run(play)
