"""What ends is released at once: no session, transaction or message is left for the garbage collector to find."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest

from sip.events import InviteReceived, OfferReceived
from sip.invite import InviteSession
from sip.message import Request, Response
from tests.support.sip_pair import ALICE, BOB, Pair, Solo, answer_of, offer_of
from tests.support.sip_peer import Caller


@pytest.fixture
def garbage() -> Iterator[Callable[[], list[object]]]:
    """Return what the collector finds and would otherwise have released, of our own types."""
    gc.collect()
    gc.disable()

    def find() -> list[object]:
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found = [thing for thing in gc.garbage if type(thing).__module__.startswith("sip.")]
        gc.set_debug(0)
        gc.garbage.clear()
        return found

    yield find
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def answered(solo: Solo, caller: Caller) -> None:
    caller.learn(solo.receive(caller.invite())[-1])
    invited = solo.take(InviteReceived)
    solo.endpoint.answer(invited.session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    solo.receive(caller.ack())


def forget(solo: Solo) -> None:
    solo.sent.clear()
    solo.events.clear()


def test_a_call_leaves_no_cycle_behind(garbage: Callable[[], list[object]]) -> None:
    solo = Solo.at()
    for number in range(5):
        caller = Caller(call_id=f"call-{number}")
        answered(solo, caller)
        solo.receive(caller.bye())
        forget(solo)
        del caller
    assert garbage() == []


def test_a_call_with_a_reinvite_leaves_no_cycle_behind(garbage: Callable[[], list[object]]) -> None:
    solo = Solo.at()
    caller = Caller()
    answered(solo, caller)
    solo.receive(caller.invite())
    offered = solo.take(OfferReceived)
    solo.endpoint.answer_offer(offered.session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    solo.receive(caller.ack())
    solo.receive(caller.bye())
    solo.after(64.0)
    forget(solo)
    del caller, offered
    assert garbage() == []


def test_a_refused_call_leaves_no_cycle_behind(garbage: Callable[[], list[object]]) -> None:
    solo = Solo.at()
    caller = Caller()
    caller.learn(solo.receive(caller.invite())[-1])
    solo.endpoint.reject(solo.take(InviteReceived).session, 486, solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    solo.receive(caller.ack_refusal())
    solo.after(64.0)
    forget(solo)
    del caller
    assert garbage() == []


def test_a_call_without_an_ack_leaves_no_cycle_behind(garbage: Callable[[], list[object]]) -> None:
    solo = Solo.at()
    caller = Caller()
    caller.learn(solo.receive(caller.invite())[-1])
    solo.endpoint.answer(solo.take(InviteReceived).session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.after(100.0)
    assert isinstance(solo.last(Request), Request)
    solo.after(100.0)
    solo.assert_nothing_left()
    forget(solo)
    del caller
    assert garbage() == []


def test_a_call_of_ours_leaves_no_cycle_behind(garbage: Callable[[], list[object]]) -> None:
    pair = Pair.over()
    session = pair.call()
    pair.run(1.0)
    pair.bob.answer(pair.of(BOB, InviteReceived)[0].session, answer_of(BOB, offer_of(ALICE)), pair.now)
    pair.run(1.0)
    pair.alice.hang_up(session, pair.now)
    pair.run(100.0)
    pair.assert_nothing_left()
    for events in pair.events.values():
        events.clear()
    assert garbage() == []


def test_an_ended_session_is_released_while_its_transactions_wait() -> None:
    solo = Solo.at()
    caller = Caller()
    answered(solo, caller)
    solo.receive(caller.bye())
    assert solo.endpoint.statistics.transactions == 2
    assert not [thing for thing in gc.get_objects() if isinstance(thing, InviteSession)]
