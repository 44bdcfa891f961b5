"""RFC 3311: UPDATE. §5.1 (sending), §5.2 (receiving: glare, refusal, target refresh), §5.2 with RFC 3261 §12.2.2."""

from __future__ import annotations

import pytest

from sip.errors import LocalProtocolError
from sip.events import OfferAnswered, OfferReceived, OfferRefused, SessionAnswered, SessionEnded, SessionId
from sip.message import Request, Response
from tests.support.sip_call import (
    ALLOW_ALL,
    OUR_ANSWER,
    answer,
    called,
    calling,
    established,
    invited,
    methods,
    new_offer,
    reply,
    statuses,
)
from tests.support.sip_pair import ALICE, Solo, offer_of
from tests.support.sip_peer import Caller

OFFER = offer_of(ALICE).serialize()


def update(caller: Caller, body: bytes = b"", headers: str = "") -> Request:
    return caller.write("UPDATE", body=body, content_type="application/sdp" if body else None, headers=headers)


def reliably(invite: Request, rseq: int, tag: str = "theirs") -> Response:
    return reply(invite, 183, tag, headers=f"Require: 100rel\nRSeq: {rseq}\n{ALLOW_ALL}")


def early_agreed() -> tuple[Solo, Caller, SessionId]:
    """We are called, and media is settled by a reliable 183."""
    solo, caller, session = invited(f"Require: 100rel\n{ALLOW_ALL}")
    solo.endpoint.progress(session, solo.now, sdp=OUR_ANSWER)
    solo.collect()
    early = caller.learn(solo.last(Response))
    rack = f"RAck: {early.headers.get('RSeq')} 1 INVITE"
    assert statuses(solo.receive(caller.write("PRACK", headers=rack))) == [200]
    return solo, caller, session


def test_we_say_that_we_take_it() -> None:
    _, _, invite = calling()
    assert {"UPDATE", "PRACK"} <= set(invite.headers.get_all("Allow"))


# -- §5.2: receiving -------------------------------------------------------------------------------------------------


def test_5_2_without_an_offer_it_is_answered_and_moves_the_remote_target() -> None:
    solo, caller, session = established()
    moved = update(caller)
    moved.headers.set("Contact", "<sip:alice@192.0.2.77:5070>")
    sent = solo.receive(moved)
    assert statuses(sent) == [200]
    assert "Contact" in sent[0].headers
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    assert str(solo.last(Request).uri) == "sip:alice@192.0.2.77:5070"


@pytest.mark.parametrize("by_us", [True, False])
def test_5_2_without_an_offer_it_is_taken_in_an_early_dialog(by_us: bool) -> None:
    if by_us:
        solo, _, invite = calling()
        solo.receive(reply(invite, 180))
        caller = Caller(call_id=invite.call_id, tag="theirs", to_tag=invite.from_.tag)
    else:
        solo, caller, session = invited()
        solo.endpoint.ring(session, solo.now)
        solo.collect()
        caller.learn(solo.last(Response))
    assert statuses(solo.receive(update(caller))) == [200]


def test_5_2_an_offer_is_told_and_answered_in_the_200() -> None:
    solo, caller, session = established()
    assert solo.receive(update(caller, OFFER)) == []
    assert solo.take(OfferReceived).session == session
    solo.endpoint.answer_offer(session, OUR_ANSWER, solo.now)
    solo.collect()
    answered = solo.last(Response)
    assert (answered.status, answered.cseq.method, answered.body) == (200, "UPDATE", OUR_ANSWER.serialize())
    assert [message for _, message in solo.after(2)] == []  # it needs no ACK


def test_5_2_a_refused_offer_leaves_target_and_session_as_they_were() -> None:
    solo, caller, session = established()
    moved = update(caller, OFFER)
    moved.headers.set("Contact", "<sip:alice@192.0.2.77:5070>")
    solo.receive(moved)
    solo.endpoint.refuse_offer(session, 488, solo.now)
    solo.collect()
    assert solo.last(Response).status == 488
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    assert str(solo.last(Request).uri) == f"sip:alice@{ALICE.host}:{ALICE.port}"


def test_5_2_an_offer_before_the_first_is_answered_gets_500_with_retry_after() -> None:
    solo, caller, session = invited()
    solo.endpoint.ring(session, solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    sent = solo.receive(update(caller, OFFER))
    assert statuses(sent) == [500]
    assert 0 <= int(sent[0].headers.get("Retry-After") or "-1") <= 10


def test_5_2_an_offer_while_the_last_is_unanswered_gets_500_with_retry_after() -> None:
    solo, caller, _ = established()
    solo.receive(update(caller, OFFER))
    for second in (update(caller, OFFER), caller.invite()):
        sent = solo.receive(second)
        assert statuses(sent) == [500]
        assert "Retry-After" in sent[0].headers
    assert statuses(solo.receive(update(caller))) == [200]  # without an offer there is no quarrel


def test_5_2_retry_after_is_by_chance() -> None:
    solo, caller, _ = established()
    solo.receive(update(caller, OFFER))
    seen = {solo.receive(update(caller, OFFER))[0].headers.get("Retry-After") for _ in range(40)}
    assert len(seen) > 5


@pytest.mark.parametrize("asking", ["re-INVITE", "early INVITE", "ACK missing"])
def test_5_2_an_offer_that_meets_one_of_ours_gets_491(asking: str) -> None:
    if asking == "re-INVITE":
        solo, caller, session = established()
        solo.endpoint.offer(session, new_offer(), solo.now)
        solo.collect()
    elif asking == "early INVITE":
        solo, _, invite = calling()
        solo.receive(reply(invite, 183))  # not reliable: our offer is still open
        caller = Caller(call_id=invite.call_id, tag="theirs", to_tag=invite.from_.tag)
    else:
        solo, caller, session = invited(offer=False)
        answer(solo, caller, session)
    assert statuses(solo.receive(update(caller, OFFER))) == [491]


def test_5_2_the_callee_may_offer_in_an_early_dialog_that_is_agreed() -> None:
    solo, session, invite = calling()
    solo.receive(reliably(invite, 1))
    callee = Caller(call_id=invite.call_id, tag="theirs", to_tag=invite.from_.tag)
    assert solo.receive(update(callee, OFFER)) == []
    solo.take(OfferReceived)
    solo.endpoint.answer_offer(session, OUR_ANSWER, solo.now)
    solo.collect()
    assert (solo.last(Response).status, solo.last(Response).body) == (200, OUR_ANSWER.serialize())
    solo.receive(reply(invite, 200, sdp=False))
    solo.take(SessionAnswered)


def test_5_2_the_caller_may_offer_in_an_early_dialog_that_is_agreed() -> None:
    solo, caller, _ = early_agreed()
    assert solo.receive(update(caller, OFFER)) == []
    solo.take(OfferReceived)


def test_5_2_an_update_that_is_open_when_the_call_ends_is_answered() -> None:
    solo, caller, session = established()
    solo.receive(update(caller, OFFER))
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    bye = solo.last(Request)
    solo.receive(Response.to_request(bye, 200))
    assert statuses([message for _, message, _ in solo.sent])[-1] == 481
    solo.after(40)
    solo.assert_nothing_left()


@pytest.mark.parametrize(("cseq", "status"), [(1, 500), (0, 500)])
def test_12_2_2_out_of_order_it_gets_500(cseq: int, status: int) -> None:
    solo, caller, _ = established()
    assert statuses(solo.receive(caller.write("UPDATE", cseq=cseq))) == [status]


@pytest.mark.parametrize(("kind", "body", "status"), [("text/plain", b"x", 415), ("application/sdp", b"v=9", 400)])
def test_a_body_that_cannot_be_read_is_refused(kind: str, body: bytes, status: int) -> None:
    solo, caller, _ = established()
    sent = solo.receive(caller.write("UPDATE", body=body, content_type=kind))
    assert statuses(sent) == [status]
    assert ("Accept" in sent[0].headers) is (status == 415)


def test_a_repeated_update_is_told_once() -> None:
    solo, caller, session = established()
    again = update(caller, OFFER)
    solo.receive(again)
    assert solo.receive(again) == []
    solo.take(OfferReceived)
    solo.endpoint.answer_offer(session, OUR_ANSWER, solo.now)
    solo.collect()
    assert statuses(solo.receive(again)) == [200]


# -- §5.1: sending ---------------------------------------------------------------------------------------------------


def test_5_1_the_caller_offers_in_an_early_dialog_by_update() -> None:
    solo, session, invite = calling()
    solo.receive(reliably(invite, 1))
    solo.endpoint.offer(session, new_offer(), solo.now)
    solo.collect()
    sent = solo.last(Request)
    assert (sent.method, sent.to.tag, sent.body) == ("UPDATE", "theirs", new_offer().serialize())
    solo.receive(reply(sent, 200, sdp=True))
    assert solo.take(OfferAnswered).answer is not None


def test_5_1_with_two_early_dialogs_nobody_knows_which_is_meant() -> None:
    solo, session, invite = calling()
    solo.receive(reliably(invite, 1, "one"))
    solo.receive(reliably(invite, 1, "two"))
    with pytest.raises(LocalProtocolError):
        solo.endpoint.offer(session, new_offer(), solo.now)


def test_5_1_the_callee_offers_in_an_early_dialog_by_update() -> None:
    solo, _, session = early_agreed()
    solo.endpoint.offer(session, new_offer(), solo.now)
    solo.collect()
    sent = solo.last(Request)
    assert sent.method == "UPDATE"
    solo.receive(reply(sent, 488))
    assert solo.take(OfferRefused).status == 488
    assert solo.endpoint.statistics.sessions == 1


def test_5_1_an_answer_of_a_branch_that_lost_is_no_answer() -> None:
    solo, session, invite = calling()
    solo.receive(reliably(invite, 1, "one"))
    solo.endpoint.offer(session, new_offer(), solo.now)
    solo.collect()
    sent = solo.last(Request)
    solo.receive(reply(invite, 200, "two"))
    solo.take(SessionAnswered)
    solo.receive(reply(sent, 200, "one", sdp=True))
    assert solo.take(OfferRefused).status == 481
    assert solo.endpoint.statistics.sessions == 1


def test_5_3_481_to_ours_in_a_confirmed_dialog_ends_the_call() -> None:
    solo, _, _ = called(f"Supported: timer\nSession-Expires: 1800;refresher=uac\n{ALLOW_ALL}")
    _, refresh = solo.next_request()
    assert refresh.method == "UPDATE"
    assert methods(solo.receive(reply(refresh, 481))) == []
    solo.take(SessionEnded)


def test_a_flood_in_a_dialog_is_refused_without_state_and_bye_gets_through() -> None:
    solo, caller, _ = established(max_sessions=1)
    seen = [statuses(solo.receive(update(caller)))[0] for _ in range(400)]
    assert seen[0] == 200
    assert seen[-1] == 503
    assert solo.endpoint.statistics.transactions < 300
    assert statuses(solo.receive(caller.invite())) == [503]
    assert statuses(solo.receive(caller.bye())) == [200]
    solo.after(40)
    solo.assert_nothing_left()
