"""A call that is muted or has earmuffs on stays so: before it has media, through holds, bridges and rooms."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

from dsp.g711 import ulaw_decode
from engine.errors import MediaError
from sip.events import OfferAnswered
from tests.support.rtp_peer import MediaCase
from tests.support.rtp_peer import media_case as a_media_case
from tests.unit.engine.test_bridged_calls import Party, pair, said, talk
from tests.unit.engine.test_call_mask import Call

AN_OPEN_LINE = 1000
"A sample that its noise never has, and speech has."


@pytest.fixture
def case() -> Iterator[MediaCase]:
    with a_media_case() as one:
        yield one


def hears(case: MediaCase, listener: Party, speaker: Party, *, at: int) -> bool:
    """Let one say something; return whether the other heard more than the noise of a line."""
    case.tick(12)
    listener.peer.received_raw()
    talk(case, speaker, at=at)
    packets = [packet for packet in listener.peer.received() if packet.payload_type == 0]
    return int(np.max(np.abs(ulaw_decode(b"".join(packet.payload for packet in packets))))) > AN_OPEN_LINE


class Quiet:
    """A leg that notes who was to hear nothing."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []
        self.error: MediaError | None = None

    def _ask(self, what: str, on: bool) -> None:
        if self.error is not None:
            raise self.error
        self.asked.append((what, on))

    def mute(self, on: bool) -> None:
        self._ask("mute", on)

    def earmuff(self, on: bool) -> None:
        self._ask("earmuff", on)


def test_what_is_asked_before_there_is_a_leg_holds_from_its_beginning() -> None:
    call, leg = Call(), Quiet()
    call._leg = None
    call.mute(True)
    call.earmuff(True)
    call.mute(False)
    call._take_leg(cast(Any, leg))
    assert leg.asked == [("earmuff", True)]
    call.mute(True)
    assert leg.asked[1:] == [("mute", True)]


def test_a_call_that_is_over_is_asked_for_nothing() -> None:
    call, leg = Call(), Quiet()
    call._leg = cast(Any, leg)
    call._ended = "hang-up"
    call.mute(True)
    call.earmuff(True)
    assert leg.asked == []


def test_what_the_media_plane_did_not_do_is_not_remembered() -> None:
    call, leg, later = Call(), Quiet(), Quiet()
    call._leg = cast(Any, leg)
    leg.error = MediaError("no room")
    for ask in (call.mute, call.earmuff):
        with pytest.raises(MediaError):
            ask(True)
    call._take_leg(cast(Any, later))
    assert later.asked == []


def test_a_hold_that_ends_leaves_a_muted_call_muted(case: MediaCase) -> None:
    async def play() -> None:
        caller, agent = pair(case)
        caller.call.mute(True)
        assert not hears(case, agent, caller, at=0)
        assert hears(case, caller, agent, at=0)
        for on, direction in ((True, "recvonly"), (False, "sendrecv")):
            caller.call.put_on_hold(on)
            answer = said(caller.peer, direction)
            caller.call.answered_again(OfferAnswered(session=caller.session, answer=answer))
        assert not hears(case, agent, caller, at=20_000)
        caller.call.mute(False)
        assert hears(case, agent, caller, at=40_000)

    asyncio.run(play())


def test_a_hold_that_ends_leaves_earmuffs_on(case: MediaCase) -> None:
    async def play() -> None:
        caller, agent = pair(case)
        caller.call.earmuff(True)
        agent.reinvite("sendonly")
        agent.reinvite("sendrecv")
        assert not hears(case, caller, agent, at=0)
        assert hears(case, agent, caller, at=0)
        caller.call.earmuff(False)
        assert hears(case, caller, agent, at=20_000)

    asyncio.run(play())


def test_a_call_that_joins_a_room_unmuted_stays_muted_itself(case: MediaCase) -> None:
    async def play() -> None:
        caller, agent = pair(case)
        caller.call.mute(True)
        room = case.plane.open_room()
        caller.call.join(room)
        agent.call.join(room, muted=False)
        caller.call.join(room, muted=False)
        assert not hears(case, agent, caller, at=0)
        caller.call.mute(False)
        assert hears(case, agent, caller, at=20_000)

    asyncio.run(play())


def test_keys_of_a_muted_call_are_heard_by_its_program_and_not_relayed(case: MediaCase) -> None:
    async def play() -> None:
        caller, agent = pair(case)
        talk(case, caller)
        agent.peer.received()
        caller.call.mute(True)
        for duration in (160, 320, 480):
            caller.peer.send_event(5, timestamp=9000, duration=duration, end=duration == 480)
            for event in case.tick():
                caller.call.media_event(event)
        case.tick(20)
        assert caller.program.keys == [5]
        assert {packet.payload_type for packet in agent.peer.received()} <= {0, 13}

    asyncio.run(play())
