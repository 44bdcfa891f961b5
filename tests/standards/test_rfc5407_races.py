"""RFC 5407: messages that cross, as far as one endpoint sees them; the numbers are its sections. What crosses during
the set-up is in test_rfc3261_13_invite.py too."""

from __future__ import annotations

import pytest

from sip.events import (
    EndCause,
    OfferAnswered,
    OfferReceived,
    OfferRefused,
    SessionAnswered,
    SessionCancelled,
    SessionConfirmed,
    SessionEnded,
)
from sip.message import Request, Response
from tests.support.sip_call import (
    ALLOW_ALL,
    OUR_ANSWER,
    answer,
    calling,
    established,
    invited,
    methods,
    new_offer,
    reply,
    statuses,
)
from tests.support.sip_pair import ALICE, offer_of
from tests.support.sip_peer import Caller

OFFER = offer_of(ALICE).serialize()


def test_3_1_1_an_invite_repeated_after_the_200_opens_nothing() -> None:
    solo, caller = established()[:2]
    again = Caller(branches=iter([1, 2]))  # type: ignore[arg-type]  # the same branch as the first INVITE's
    assert solo.receive(again.invite()) == []
    assert solo.endpoint.statistics.sessions == 1
    assert caller.to_tag


def test_3_1_1_an_invite_repeated_after_the_bye_opens_nothing() -> None:
    solo, caller, _ = established()
    solo.receive(caller.bye())
    again = Caller(branches=iter([1, 2]))  # type: ignore[arg-type]
    assert solo.receive(again.invite()) == []
    assert solo.endpoint.statistics.sessions == 0


def test_3_1_6_a_bye_that_comes_before_the_ack_ends_the_call_and_the_late_ack_is_nothing() -> None:
    solo, caller, session = invited()
    answer(solo, caller, session)
    ack = caller.ack()
    assert statuses(solo.receive(caller.bye())) == [200]
    assert solo.receive(ack) == []
    assert solo.take(SessionEnded).cause is EndCause.REMOTE_BYE
    assert [event for event in solo.events if isinstance(event, SessionConfirmed)] == []
    assert statuses([message for _, message in solo.after(5)]) == []  # the 200 is repeated no more


def test_a_reinvite_of_the_callee_that_overtakes_our_200_is_refused_and_the_call_stands() -> None:
    solo, _, invite = calling()
    solo.receive(reply(invite, 180))
    callee = Caller(call_id=invite.call_id, tag="theirs", to_tag=invite.from_.tag)
    assert statuses(solo.receive(callee.invite())) == [491]
    assert methods(solo.receive(reply(invite, 200))) == ["ACK"]
    solo.take(SessionAnswered)


def test_3_1_4_a_reinvite_before_the_ack_gets_491_and_again_goes_through() -> None:
    solo, caller, session = invited()
    answer(solo, caller, session)
    assert statuses(solo.receive(caller.invite())) == [491]
    solo.receive(caller.ack_refusal())
    solo.receive(caller.ack(cseq=1))
    solo.take(SessionConfirmed)
    assert statuses(solo.receive(caller.invite())) == [100]


def test_an_update_of_the_callee_that_overtakes_its_200_is_answered() -> None:
    solo, _, invite = calling()
    solo.receive(reply(invite, 180))
    callee = Caller(call_id=invite.call_id, tag="theirs", to_tag=invite.from_.tag)
    assert statuses(solo.receive(callee.write("UPDATE"))) == [200]
    assert methods(solo.receive(reply(invite, 200))) == ["ACK"]


def test_an_offer_that_overtakes_the_ack_gets_491() -> None:
    solo, caller, session = invited(ALLOW_ALL)
    answer(solo, caller, session)
    update = caller.write("UPDATE", body=OFFER, content_type="application/sdp")
    assert statuses(solo.receive(update)) == [491]
    solo.receive(caller.ack(cseq=1))
    solo.take(SessionConfirmed)


@pytest.mark.parametrize("state", ["ANSWERED", "ESTABLISHED"])
def test_3_2_1_both_hang_up_at_once(state: str) -> None:
    solo, caller, session = established() if state == "ESTABLISHED" else invited()
    if state == "ANSWERED":
        answer(solo, caller, session)
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    assert statuses(solo.receive(caller.bye())) == [200]
    solo.take(SessionEnded)
    solo.after(70)
    solo.assert_nothing_left()


def test_3_2_2_a_reinvite_that_meets_our_bye_gets_481() -> None:
    solo, caller, session = established()
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    bye = solo.last(Request)
    assert statuses(solo.receive(caller.invite())) == [481]
    solo.receive(caller.ack_refusal())
    solo.receive(Response.to_request(bye, 200))
    solo.take(SessionEnded)
    solo.after(40)
    solo.assert_nothing_left()


def test_3_2_2_a_bye_that_meets_our_reinvite_ends_both() -> None:
    solo, caller, session = established()
    solo.endpoint.offer(session, new_offer(), solo.now)
    solo.collect()
    sent = solo.last(Request)
    assert statuses(solo.receive(caller.bye())) == [200]
    assert solo.take(SessionEnded).cause is EndCause.REMOTE_BYE
    assert methods(solo.receive(reply(sent, 481))) == ["ACK"]
    assert solo.events == []
    solo.after(40)
    solo.assert_nothing_left()


def test_3_2_3_a_200_to_our_reinvite_that_crosses_the_peers_bye_is_acknowledged() -> None:
    solo, caller, session = established()
    solo.endpoint.offer(session, new_offer(), solo.now)
    solo.collect()
    sent = solo.last(Request)
    solo.receive(caller.bye())
    assert methods(solo.receive(reply(sent, 200))) == ["ACK"]
    solo.after(70)
    solo.assert_nothing_left()


def test_3_2_4_the_ack_of_a_reinvite_that_crosses_our_bye_changes_nothing() -> None:
    solo, caller, session = established()
    solo.receive(caller.invite())
    solo.endpoint.answer_offer(session, OUR_ANSWER, solo.now)
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    bye = solo.last(Request)
    assert solo.receive(caller.ack()) == []
    solo.receive(Response.to_request(bye, 200))
    solo.take(SessionEnded)
    solo.after(40)
    solo.assert_nothing_left()


def test_3_3_1_reinvites_that_cross_both_get_491_and_ours_comes_again() -> None:
    solo, caller, session = established()
    solo.endpoint.offer(session, new_offer(), solo.now)
    solo.collect()
    ours = solo.last(Request)
    assert statuses(solo.receive(caller.invite())) == [491]
    assert methods(solo.receive(reply(ours, 491))) == ["ACK"]
    _, again = solo.next_request(5)
    assert (again.method, again.body) == ("INVITE", ours.body)
    solo.receive(reply(again, 200))
    solo.take(OfferAnswered)
    assert [event for event in solo.events if isinstance(event, OfferRefused)] == []


def test_3_3_2_an_update_that_crosses_our_reinvite_gets_491() -> None:
    solo, caller, session = established()
    solo.endpoint.offer(session, new_offer(), solo.now)
    solo.collect()
    update = caller.write("UPDATE", body=OFFER, content_type="application/sdp")
    assert statuses(solo.receive(update)) == [491]


def test_3_3_2_a_refresh_that_crosses_the_peers_reinvite_quarrels_with_nobody() -> None:
    solo, caller, _ = established(f"Supported: timer\nSession-Expires: 1800;refresher=uas\n{ALLOW_ALL}")
    _, refresh = solo.next_request()
    assert (refresh.method, refresh.body) == ("UPDATE", b"")
    assert statuses(solo.receive(caller.invite())) == [100]
    solo.take(OfferReceived)


def test_3_1_2_a_cancel_that_crosses_the_200_is_answered_and_the_call_stands() -> None:
    solo, caller, session = invited()
    cancel = caller.cancel()
    answer(solo, caller, session)
    assert statuses(solo.receive(cancel)) == [200]
    solo.receive(caller.ack())
    solo.take(SessionConfirmed)
    assert [event for event in solo.events if isinstance(event, SessionCancelled)] == []


def test_a_bye_that_crosses_our_bye_after_its_200_gets_481() -> None:
    solo, caller, session = established()
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    solo.receive(Response.to_request(solo.last(Request), 200))
    assert statuses(solo.receive(caller.bye())) == [481]
