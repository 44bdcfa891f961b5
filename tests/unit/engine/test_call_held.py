"""A call on hold: what the far end is offered, that nothing of it is taken, and that all goes on afterwards."""

from __future__ import annotations

import weakref
from typing import Any, cast

import pytest

from engine.errors import CallError, ProgramError
from engine.media import DigitReceived, DigitSource, MediaTimeout
from engine.program import CallControl
from sip.events import OfferAnswered, OfferRefused, ReferProgress, SessionConfirmed
from tests.support.call_parts import SESSION, described
from tests.unit.engine.test_call import Scene, run
from tests.unit.engine.test_call_replaced import OTHER, invite

CALLER = ("m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000")


class Bridges:
    """What a leg was asked to do with another one."""

    def __init__(self) -> None:
        self.with_: Any = None
        self.relays_keys = True

    def bridge(self, other: Any, *, relay_keys: bool = True) -> None:
        self.with_, self.relays_keys = other, relay_keys

    def unbridge(self) -> None:
        self.with_ = None


def talking() -> Scene:
    scene = Scene(described(*CALLER))
    scene.acknowledge()
    scene.bridges = Bridges()  # type: ignore[attr-defined]
    leg: Any = scene.plane.leg
    leg.bridge, leg.unbridge = scene.bridges.bridge, scene.bridges.unbridge  # type: ignore[attr-defined]
    return scene


def answers(scene: Scene, direction: str = "sendrecv") -> None:
    answer = described(*CALLER, f"a={direction}")
    scene.call.answered_again(OfferAnswered(session=SESSION, answer=answer))


def refuses(scene: Scene, status: int = 488) -> None:
    scene.call.offer_refused(OfferRefused(session=SESSION, status=status))


def hears(scene: Scene) -> tuple[bool, bool]:
    """Return whether the leg sends and whether it takes what comes."""
    return scene.configured["sending"], scene.configured["receiving"]


def held(scene: Scene) -> bool:
    return scene.call.on_hold


def bridged(scene: Scene) -> bool:
    other = scene.call.bridged_with
    return other is not None and other.bridged_with is scene.call


def offers(scene: Scene) -> list[Any]:
    return [sdp for what, sdp in scene.signals.sent if what == "offer"]


def direction(sdp: Any) -> str:
    return str(sdp.direction_of(next(media for media in sdp.media if media.port)))


class Keys:
    def __init__(self, scene: Scene) -> None:
        self.taken: list[int] = []
        program: Any = scene.call.program
        program.digit = lambda code, now: self.taken.append(code)
        self.scene = scene

    def press(self, code: int) -> None:
        self.scene.call.media_event(
            DigitReceived(leg_id=6, code=code, source=DigitSource.TELEPHONE_EVENT, at=0.0, level_dbm0=-10.0)
        )


def test_the_far_end_is_told_and_is_not_heard_and_then_it_is_again() -> None:
    async def play() -> None:
        scene = talking()
        scene.call.put_on_hold(True)
        assert direction(scene.last[1]) == "sendonly"
        assert scene.said("offer").port == 30000
        assert hears(scene) == (True, False), "at once, not with the answer"
        answers(scene, "recvonly")
        assert hears(scene) == (True, False)
        assert held(scene)
        scene.call.put_on_hold(False)
        assert direction(scene.last[1]) == "sendrecv"
        answers(scene)
        assert hears(scene) == (True, True)
        assert not held(scene)
        await scene.end()

    run(play())


def test_each_offer_has_the_next_version_and_the_same_payload_types() -> None:
    async def play() -> None:
        scene = talking()
        for on in (True, False):
            scene.call.put_on_hold(on)
            answers(scene, "recvonly" if on else "sendrecv")
        versions = [int(sdp.origin.session_version) for sdp in offers(scene)]
        assert versions == [versions[0], versions[0] + 1]
        first, second = ([media.formats for media in sdp.media] for sdp in offers(scene))
        assert first == second
        await scene.end()

    run(play())


def test_keys_of_who_is_held_are_nobodys() -> None:
    async def play() -> None:
        scene = talking()
        keys = Keys(scene)
        scene.call.put_on_hold(True)
        keys.press(4)
        assert keys.taken == []
        scene.call.put_on_hold(False)
        keys.press(5)
        assert keys.taken == [5]
        await scene.end()

    run(play())


def test_to_say_it_twice_changes_nothing() -> None:
    async def play() -> None:
        scene = talking()
        scene.call.put_on_hold(False)
        assert offers(scene) == []
        scene.call.put_on_hold(True)
        scene.call.put_on_hold(True)
        assert len(offers(scene)) == 1
        await scene.end()

    run(play())


def test_a_far_end_that_refuses_is_held_all_the_same() -> None:
    async def play() -> None:
        scene = talking()
        scene.call.put_on_hold(True)
        refuses(scene)
        assert hears(scene) == (True, False)
        scene.call.put_on_hold(False)
        refuses(scene)
        assert hears(scene) == (True, True), "it sends as it always did"
        assert len(offers(scene)) == 2
        await scene.end()

    run(play())


def test_one_offer_is_out_at_a_time_and_the_last_word_counts() -> None:
    async def play() -> None:
        scene = talking()
        scene.call.put_on_hold(True)
        scene.call.put_on_hold(False)
        assert len(offers(scene)) == 1, "its answer is not here yet"
        answers(scene, "recvonly")
        assert [direction(offer) for offer in offers(scene)] == ["sendonly", "sendrecv"]
        answers(scene)
        assert hears(scene) == (True, True)
        scene.call.put_on_hold(True)
        scene.call.put_on_hold(False)
        scene.call.put_on_hold(True)
        answers(scene, "recvonly")
        assert len(offers(scene)) == 3, "what was offered is what is wanted"
        assert hears(scene) == (True, False)
        await scene.end()

    run(play())


def test_an_endpoint_that_is_busy_with_another_offer_does_not_keep_the_call_from_being_held() -> None:
    async def play() -> None:
        scene = talking()
        scene.signals.is_busy = True
        scene.call.put_on_hold(True)
        assert hears(scene) == (True, False)
        scene.signals.is_busy = False
        scene.call.put_on_hold(False)
        answers(scene)
        assert hears(scene) == (True, True)
        await scene.end()

    run(play())


def test_the_silence_of_who_is_held_does_not_end_the_call() -> None:
    async def play() -> None:
        scene = talking()
        scene.call.put_on_hold(True)
        scene.call.media_event(MediaTimeout(leg_id=6, silent_ms=60_000))
        assert scene.last[0] == "offer"
        answers(scene, "recvonly")
        scene.call.media_event(MediaTimeout(leg_id=6, silent_ms=60_000))
        assert scene.last[0] == "offer"
        scene.call.put_on_hold(False)
        answers(scene)
        scene.call.media_event(MediaTimeout(leg_id=6, silent_ms=60_000))
        assert scene.last == ("hang_up", "media timeout")
        await scene.end()

    run(play())


def test_an_offer_of_the_far_end_meanwhile_is_answered_as_on_hold() -> None:
    async def play() -> None:
        scene = talking()
        scene.call.put_on_hold(True)
        answers(scene, "recvonly")
        scene.offer(described("m=audio 5000 RTP/AVP 0"))
        assert direction(scene.last[1]) == "sendonly"
        assert hears(scene) == (True, False)
        assert scene.configured["remote"][1] == 5000
        await scene.end()

    run(play())


def test_both_sides_hold_each_other() -> None:
    async def play() -> None:
        scene = talking()
        scene.offer(described(*CALLER, "a=sendonly"))
        assert hears(scene) == (False, True)
        scene.call.put_on_hold(True)
        assert hears(scene) == (False, False)
        answers(scene, "inactive")
        scene.call.put_on_hold(False)
        answers(scene, "sendonly")
        assert hears(scene) == (False, True)
        await scene.end()

    run(play())


def test_nobody_is_held_while_they_pay() -> None:
    async def play() -> None:
        scene = talking()
        scene.call.guard.enter(scene)
        with pytest.raises(ProgramError):
            scene.call.put_on_hold(True)
        with pytest.raises(CallError):
            scene.call.refer("sip:agent@pbx.example", lambda *report: None)
        assert not held(scene)
        assert offers(scene) == []
        await scene.end()

    run(play())


def test_a_call_that_is_not_up_is_not_held() -> None:
    async def play() -> None:
        scene = Scene(described(*CALLER))
        scene.call.put_on_hold(True)
        assert not held(scene)
        scene.acknowledge()
        await scene.end()
        scene.call.put_on_hold(True)
        assert not held(scene)

    run(play())


def test_a_bridge_is_parted_and_made_again() -> None:
    async def play() -> None:
        scene, other = talking(), talking()
        scene.call.bridge(cast(CallControl, weakref.proxy(other.call)), relay_keys=False)
        scene.call.put_on_hold(True)
        assert scene.bridges.with_ is None  # type: ignore[attr-defined]
        assert scene.call.bridged_with is None
        answers(scene, "recvonly")
        scene.call.put_on_hold(False)
        assert scene.call.bridged_with is None, "the far end does not know yet"
        answers(scene)
        assert bridged(scene)
        assert scene.bridges.relays_keys is False  # type: ignore[attr-defined]

    run(play())


def test_the_other_side_is_held_as_well_and_both_must_be_let_go() -> None:
    async def play() -> None:
        scene, other = talking(), talking()
        scene.call.bridge(cast(CallControl, weakref.proxy(other.call)))
        for one in (scene, other):
            one.call.put_on_hold(True)
            answers(one, "recvonly")
        scene.call.put_on_hold(False)
        answers(scene)
        assert scene.call.bridged_with is None
        other.call.put_on_hold(False)
        answers(other)
        assert bridged(scene)

    run(play())


def test_who_is_connected_during_the_hold_is_heard_afterwards() -> None:
    async def play() -> None:
        scene, other = talking(), talking()
        scene.call.put_on_hold(True)
        answers(scene, "recvonly")
        scene.call.bridge(cast(CallControl, weakref.proxy(other.call)))
        assert scene.call.bridged_with is None
        scene.call.put_on_hold(False)
        answers(scene)
        assert bridged(scene)

    run(play())


@pytest.mark.parametrize("way", ["parted", "ended"])
def test_a_bridge_that_nobody_wants_any_more_is_not_made_again(way: str) -> None:
    async def play() -> None:
        scene, other = talking(), talking()
        scene.call.bridge(cast(CallControl, weakref.proxy(other.call)))
        scene.call.put_on_hold(True)
        answers(scene, "recvonly")
        if way == "parted":
            other.call.unbridge()
        else:
            await other.end()
        scene.call.put_on_hold(False)
        answers(scene)
        assert scene.call.bridged_with is None
        await scene.end()

    run(play())


def test_who_takes_the_callers_place_during_a_hold_is_held_and_let_go() -> None:
    async def play() -> None:
        scene = talking()
        scene.call.put_on_hold(True)
        scene.call.replace_caller(invite(described("m=audio 5000 RTP/AVP 0")))  # the answer to our offer never comes
        assert direction(scene.last[1]) == "sendonly"
        assert scene.call.take_over(SessionConfirmed(session=OTHER, answer=None))
        assert hears(scene) == (True, False)
        scene.call.put_on_hold(False)
        assert direction(scene.last[1]) == "sendrecv"
        answers(scene)
        assert hears(scene) == (True, True)

    run(play())


# -- REFER -----------------------------------------------------------------------------------------------------------


def test_a_refer_is_asked_and_its_progress_told_until_the_last_word() -> None:
    async def play() -> None:
        scene = talking()
        told: list[Any] = []
        scene.call.refer("sip:agent@pbx.example", lambda *report: told.append(report))
        assert scene.last == ("refer", "sip:agent@pbx.example")
        for status, final in ((202, False), (180, False), (200, True), (500, True)):
            scene.call.refer_progress(ReferProgress(session=SESSION, status=status, reason="r", final=final))
        assert told == [(202, "r", False), (180, "r", False), (200, "r", True)]
        await scene.end()

    run(play())


@pytest.mark.parametrize("to", ["", "agent", "http://pbx.example", "sip:a@b\r\nEvil: 1"])
def test_who_cannot_be_called_is_not_asked_for(to: str) -> None:
    async def play() -> None:
        scene = talking()
        with pytest.raises(CallError):
            scene.call.refer(to, lambda *report: None)
        assert scene.last[0] != "refer"
        await scene.end()

    run(play())


def test_a_refer_is_refused_while_another_is_under_way_and_once_the_call_is_over() -> None:
    async def play() -> None:
        scene = talking()
        scene.signals.is_busy = True
        with pytest.raises(CallError):
            scene.call.refer("sip:agent@pbx.example", lambda *report: None)
        await scene.end()
        with pytest.raises(CallError):
            scene.call.refer("sip:agent@pbx.example", lambda *report: None)

    run(play())
