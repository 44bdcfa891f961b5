"""RFC 3261 §13 to §15 and §9: calls. §13.2 (caller), §13.3.1 (callee: 100, 180, 2xx until ACK, refusal, redirection),
§14.2 (re-INVITE), §15 (BYE), §9 (CANCEL), §8.2 (refusals before there is a session); RFC 5407 (requests that cross)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sip.address import Address
from sip.errors import LocalProtocolError
from sip.events import (
    EndCause,
    Event,
    InfoDigitReceived,
    InfoReceived,
    InviteReceived,
    OfferReceived,
    OfferRequested,
    SessionAnswered,
    SessionCancelled,
    SessionConfirmed,
    SessionEnded,
    SessionId,
    SessionRinging,
)
from sip.message import Request, Response
from sip.uri import NameAddr, Uri
from tests.support.sip_pair import ALICE, BOB, Pair, Solo, answer_of, offer_of
from tests.support.sip_peer import DIGIT_5, Caller
from tests.support.wire import Fate


def invited(headers: str = "") -> tuple[Solo, Caller, SessionId]:
    solo, caller = Solo.at(), Caller()
    solo.receive(caller.invite(headers=headers))
    return solo, caller, solo.take(InviteReceived).session


def answer(solo: Solo, caller: Caller, session: SessionId) -> None:
    solo.endpoint.answer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    caller.learn(solo.last(Response))


def established() -> tuple[Solo, Caller, SessionId]:
    solo, caller, session = invited()
    answer(solo, caller, session)
    solo.receive(caller.ack())
    solo.take(SessionConfirmed)
    return solo, caller, session


def statuses(messages: list[Request | Response]) -> list[int]:
    return [message.status for message in messages if isinstance(message, Response)]


def methods(messages: list[Request | Response]) -> list[str]:
    return [message.method for message in messages if isinstance(message, Request)]


# -- callee ----------------------------------------------------------------------------------------------------------


def test_100_goes_out_at_once_and_without_a_tag() -> None:
    solo, caller = Solo.at(), Caller()
    sent = solo.receive(caller.invite())
    assert statuses(sent) == [100]
    assert isinstance(sent[0], Response)
    assert sent[0].to.tag is None


def test_the_application_hears_who_calls_whom_and_with_what() -> None:
    solo, caller = Solo.at(), Caller()
    solo.receive(caller.invite(headers="P-Asserted-Identity: <sip:+15550100@trunk.example>"))
    event = solo.take(InviteReceived)
    assert event.request_uri.user == "pay"
    assert event.from_.display_name == "Alice"
    assert event.source == ALICE
    assert event.call_id == "call-1"
    assert event.offer == offer_of(ALICE)
    assert event.headers.get("P-Asserted-Identity") == "<sip:+15550100@trunk.example>"


def test_180_and_200_carry_tag_contact_and_record_route() -> None:
    solo, caller, session = invited(headers="Record-Route: <sip:192.0.2.9;lr>, <sip:192.0.2.10;lr>")
    solo.endpoint.ring(session, solo.now)
    solo.collect()
    ringing = solo.last(Response)
    answer(solo, caller, session)
    answered = solo.last(Response)
    assert (ringing.status, answered.status) == (180, 200)
    assert ringing.to.tag == answered.to.tag is not None
    for response in (ringing, answered):
        assert str(response.contact) == "<sip:pay@192.0.2.2:5060>"
        assert [str(route) for route in response.record_routes] == ["<sip:192.0.2.9;lr>", "<sip:192.0.2.10;lr>"]
    assert "INVITE" in (answered.headers.get("Allow") or "")
    assert answered.content_type == "application/sdp"


def test_a_ringing_call_gets_180_every_minute() -> None:
    solo, _, session = invited()
    solo.endpoint.ring(session, solo.now)
    solo.collect()
    begin = solo.now
    assert [(when - begin, m.status) for when, m in solo.after(130) if isinstance(m, Response)] == [
        (60, 180), (120, 180),
    ]  # fmt: skip


def test_200_is_repeated_from_t1_to_t2_until_the_ack() -> None:
    solo, caller, session = invited()
    answer(solo, caller, session)
    begin = solo.now
    assert [when - begin for when, _ in solo.after(20)] == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5]
    assert solo.receive(caller.ack()) == []
    assert solo.after(100) == []
    assert solo.take(SessionConfirmed).answer is None


def test_without_an_ack_the_call_is_hung_up_after_64_t1() -> None:
    solo, caller, session = invited()
    answer(solo, caller, session)
    sent = solo.after(32)
    assert methods([message for _, message in sent]) == ["BYE"]
    bye = sent[-1][1]
    solo.receive(Response.to_request(bye, 200)) if isinstance(bye, Request) else pytest.fail("no BYE")
    assert solo.take(SessionEnded).cause is EndCause.ACK_TIMEOUT
    solo.after(64)
    solo.assert_nothing_left()


def test_a_second_ack_is_not_told_again() -> None:
    solo, caller, _ = established()
    solo.receive(caller.ack())
    assert solo.events == []


def test_a_late_offer_gets_ours_in_the_200_and_its_answer_in_the_ack() -> None:
    solo, caller = Solo.at(), Caller()
    solo.receive(caller.invite(offer=False))
    event = solo.take(InviteReceived)
    assert event.offer is None
    ours = offer_of(BOB)
    solo.endpoint.answer(event.session, ours, solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    theirs = answer_of(ALICE, ours)
    solo.receive(caller.ack(body=theirs.serialize()))
    assert solo.take(SessionConfirmed).answer == theirs


def test_a_refusal_is_repeated_until_its_ack_and_ends_the_session() -> None:
    solo, caller, session = invited()
    solo.endpoint.reject(session, 486, solo.now, headers=[("Retry-After", "9")])
    solo.collect()
    refusal = solo.last(Response)
    assert (refusal.status, refusal.headers.get("Retry-After")) == (486, "9")
    ended = solo.take(SessionEnded)
    assert (ended.cause, ended.status) == (EndCause.REJECTED, 486)
    assert len(solo.after(1)) == 1
    solo.receive(caller.ack_refusal())
    assert solo.after(10) == []
    solo.assert_nothing_left()


def test_a_redirection_carries_the_contact_it_was_given() -> None:
    solo, _, session = invited()
    solo.endpoint.reject(session, 302, solo.now, headers=[("Contact", "<sip:agent@192.0.2.50>")])
    solo.collect()
    assert solo.last(Response).headers.lines("Contact") == ["<sip:agent@192.0.2.50>"]


def test_a_call_that_nobody_answers_ends_by_itself() -> None:
    solo, _, _ = invited()
    solo.after(400)
    assert solo.take(SessionEnded).cause is EndCause.TIMEOUT
    assert 480 in statuses([message for _, message, _ in solo.sent])
    solo.assert_nothing_left()


def test_an_invite_that_expires_gets_487() -> None:
    solo, _, _ = invited("Expires: 20")
    assert solo.after(19.9) == []
    sent = [message for _, message in solo.after(0.2)]
    assert statuses(sent) == [487]
    assert solo.take(SessionEnded).cause is EndCause.TIMEOUT


@pytest.mark.parametrize("value", ["0", "soon", "99999999999", "-1"])
def test_nonsense_in_expires_is_no_limit(value: str) -> None:
    solo, _, _ = invited(f"Expires: {value}")
    assert solo.after(250) == []


def test_what_cannot_be_written_is_refused_and_changes_nothing() -> None:
    solo, caller, session = invited()
    broken = replace(offer_of(BOB), session_name="a\r\nb")
    with pytest.raises(LocalProtocolError):
        solo.endpoint.answer(session, broken, solo.now)
    with pytest.raises(LocalProtocolError):
        solo.endpoint.reject(session, 486, solo.now, headers=[("Warning", "a\nb")])
    with pytest.raises(LocalProtocolError):
        solo.endpoint.reject(session, 486, solo.now, reason="a\rb")
    answer(solo, caller, session)
    solo.receive(caller.ack())
    solo.take(SessionConfirmed)
    solo.receive(caller.invite())
    with pytest.raises(LocalProtocolError):
        solo.endpoint.answer_offer(session, broken, solo.now)
    solo.endpoint.answer_offer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    assert solo.last(Response).status == 200


def test_hanging_up_an_unanswered_call_refuses_it() -> None:
    solo, _, session = invited()
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    assert solo.last(Response).status == 480
    assert solo.take(SessionEnded).cause is EndCause.LOCAL_BYE


def test_what_is_asked_of_an_ended_session_does_nothing() -> None:
    solo, caller, session = invited()
    solo.receive(caller.cancel())
    sent = len(solo.sent)
    solo.endpoint.ring(session, solo.now)
    solo.endpoint.answer(session, offer_of(BOB), solo.now)
    solo.endpoint.reject(session, 486, solo.now)
    solo.endpoint.hang_up(session, solo.now)
    solo.endpoint.answer_offer(session, offer_of(BOB), solo.now)
    solo.endpoint.refuse_offer(session, 488, solo.now)
    solo.endpoint.send_info(session, "text/plain", b"", solo.now)
    solo.collect()
    assert len(solo.sent) == sent


def test_what_the_state_forbids_is_an_error_of_the_caller_and_changes_nothing() -> None:
    solo, caller, session = established()
    sent = len(solo.sent)
    with pytest.raises(LocalProtocolError):
        solo.endpoint.answer(session, offer_of(BOB), solo.now)
    with pytest.raises(LocalProtocolError):
        solo.endpoint.ring(session, solo.now)
    with pytest.raises(LocalProtocolError):
        solo.endpoint.reject(session, 200, solo.now)
    with pytest.raises(LocalProtocolError):
        solo.endpoint.hang_up(SessionId(99), solo.now)
    solo.collect()
    assert len(solo.sent) == sent
    assert statuses(solo.receive(caller.bye())) == [200]


# -- ending ----------------------------------------------------------------------------------------------------------


def test_bye_of_the_peer_ends_the_call_and_is_answered_again_when_repeated() -> None:
    solo, caller, _ = established()
    bye = caller.bye()
    assert statuses(solo.receive(bye)) == [200]
    assert solo.take(SessionEnded).cause is EndCause.REMOTE_BYE
    assert statuses(solo.receive(bye)) == [200]
    assert solo.events == []
    solo.after(40)
    solo.assert_nothing_left()


def test_bye_of_ours_ends_the_call_once_it_is_answered() -> None:
    solo, _, session = established()
    solo.endpoint.hang_up(session, solo.now, reason="paid")
    solo.collect()
    bye = solo.last(Request)
    assert (bye.method, str(bye.uri)) == ("BYE", "sip:alice@192.0.2.1:5060")
    assert bye.headers.get("Reason") == 'Q.850;cause=16;text="paid"'
    assert solo.events == []
    solo.receive(Response.to_request(bye, 200))
    ended = solo.take(SessionEnded)
    assert (ended.cause, ended.reason) == (EndCause.LOCAL_BYE, "paid")


def test_a_peer_that_never_answers_our_bye_is_given_up() -> None:
    solo, _, session = established()
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    solo.after(32)
    assert solo.take(SessionEnded).cause is EndCause.LOCAL_BYE
    solo.after(1)
    solo.assert_nothing_left()


def test_bye_waits_for_the_ack_when_we_hang_up_right_after_the_200() -> None:
    solo, caller, session = invited()
    answer(solo, caller, session)
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    assert isinstance(solo.sent[-1][1], Response)  # §15: no BYE before the ACK
    assert methods(solo.receive(caller.ack())) == ["BYE"]


def test_bye_before_the_ack_ends_the_call_and_stops_the_200() -> None:
    # RFC 5407 §3.1.2: the ACK was lost or is late.
    solo, caller, session = invited()
    answer(solo, caller, session)
    assert statuses(solo.receive(caller.bye())) == [200]
    assert solo.take(SessionEnded).cause is EndCause.REMOTE_BYE
    assert solo.receive(caller.ack(cseq=1)) == []
    assert solo.after(60) == []
    solo.assert_nothing_left()


def test_bye_in_an_early_dialog_ends_the_invite_with_487() -> None:
    solo, caller, session = invited()
    solo.endpoint.ring(session, solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    assert statuses(solo.receive(caller.bye())) == [200, 487]
    assert solo.take(SessionEnded).cause is EndCause.REMOTE_BYE


def test_when_both_hang_up_at_once_each_bye_is_answered_200() -> None:
    solo, caller, session = established()
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    ours = solo.last(Request)
    assert statuses(solo.receive(caller.bye())) == [200]
    assert solo.take(SessionEnded).cause is EndCause.LOCAL_BYE
    solo.receive(Response.to_request(ours, 481))
    assert solo.events == []
    solo.after(40)
    solo.assert_nothing_left()


def test_cancel_is_answered_200_and_the_invite_487() -> None:
    solo, caller, session = invited()
    solo.endpoint.ring(session, solo.now)
    solo.collect()
    sent = solo.receive(caller.cancel(headers='Reason: SIP;cause=200;text="Call completed elsewhere"'))
    assert [(m.status, m.cseq.method) for m in sent if isinstance(m, Response)] == [(200, "CANCEL"), (487, "INVITE")]
    assert len({m.to.tag for m in sent}) == 1
    assert "elsewhere" in solo.take(SessionCancelled).reason
    assert solo.take(SessionEnded).cause is EndCause.CANCELLED
    assert solo.receive(caller.ack_refusal()) == []
    solo.after(40)
    solo.assert_nothing_left()


def test_cancel_that_crosses_our_200_has_no_effect() -> None:
    solo, caller, session = invited()
    answer(solo, caller, session)
    assert statuses(solo.receive(caller.cancel())) == [200]
    assert solo.events == []
    solo.receive(caller.ack())
    solo.take(SessionConfirmed)


def test_cancel_of_nothing_gets_481() -> None:
    solo, caller = Solo.at(), Caller()
    caller.invite()
    assert statuses(solo.receive(caller.cancel())) == [481]
    solo.assert_nothing_left()


# -- in the dialog ---------------------------------------------------------------------------------------------------


def test_a_reinvite_is_told_and_answered_with_its_own_200() -> None:
    solo, caller, session = established()
    assert statuses(solo.receive(caller.invite())) == [100]
    assert solo.take(OfferReceived).offer == offer_of(ALICE)
    solo.endpoint.answer_offer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    assert solo.last(Response).status == 200
    assert len(solo.after(1)) == 1  # repeated, as the first one
    solo.receive(caller.ack())
    assert solo.take(SessionConfirmed).answer is None
    assert solo.after(30) == []


def test_a_reinvite_without_an_offer_gets_ours() -> None:
    solo, caller, session = established()
    solo.receive(caller.invite(offer=False))
    solo.take(OfferRequested)
    solo.endpoint.answer_offer(session, offer_of(BOB), solo.now)
    solo.collect()
    theirs = answer_of(ALICE, offer_of(BOB))
    solo.receive(caller.ack(body=theirs.serialize()))
    assert solo.take(SessionConfirmed).answer == theirs


def test_a_refused_reinvite_leaves_the_call_as_it_was() -> None:
    solo, caller, session = established()
    solo.receive(caller.invite())
    solo.endpoint.refuse_offer(session, 488, solo.now)
    solo.collect()
    assert solo.last(Response).status == 488
    solo.receive(caller.ack_refusal())
    assert solo.endpoint.statistics.sessions == 1
    assert statuses(solo.receive(caller.bye())) == [200]


def test_a_second_reinvite_before_the_answer_gets_500_with_retry_after() -> None:
    solo, caller, _ = established()
    solo.receive(caller.invite())
    second = solo.receive(caller.invite())
    assert statuses(second) == [500]
    assert 0 <= int(second[0].headers.get("Retry-After") or "-1") <= 10


def test_a_reinvite_before_the_ack_of_the_last_gets_491() -> None:
    solo, caller, session = established()
    solo.receive(caller.invite())
    solo.endpoint.answer_offer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    assert statuses(solo.receive(caller.invite())) == [491]


def test_a_reinvite_before_the_first_ack_gets_491() -> None:
    solo, caller, session = invited()
    answer(solo, caller, session)
    assert statuses(solo.receive(caller.invite())) == [491]


def test_an_invite_in_an_early_dialog_gets_500_with_retry_after() -> None:
    solo, caller, session = invited()
    solo.endpoint.ring(session, solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    assert statuses(solo.receive(caller.invite())) == [500]


def test_cancel_of_a_reinvite_leaves_the_call() -> None:
    solo, caller, session = established()
    solo.receive(caller.invite())
    assert statuses(solo.receive(caller.cancel())) == [200, 487]
    assert solo.endpoint.statistics.sessions == 1
    solo.endpoint.answer_offer(session, offer_of(BOB), solo.now)  # the application did not know yet
    solo.collect()
    assert not [event for event in solo.events if isinstance(event, SessionEnded)]


def test_a_reinvite_that_is_open_when_the_call_ends_gets_487() -> None:
    solo, caller, _ = established()
    solo.receive(caller.invite())
    assert statuses(solo.receive(caller.bye())) == [200, 487]
    solo.after(60)
    solo.assert_nothing_left()


def test_a_reinvite_whose_ack_stays_away_ends_the_call() -> None:
    solo, caller, session = established()
    solo.receive(caller.invite())
    solo.endpoint.answer_offer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    solo.after(70)
    assert solo.take(SessionEnded).cause is EndCause.ACK_TIMEOUT
    solo.after(70)
    solo.assert_nothing_left()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("application/dtmf-relay", DIGIT_5), ("application/dtmf", b"5"), ("Application/DTMF-Relay", DIGIT_5)],
)
def test_info_with_a_key_is_answered_200_and_told_without_showing_the_key(content_type: str, body: bytes) -> None:
    solo, caller, session = established()
    assert statuses(solo.receive(caller.info(content_type, body))) == [200]
    event = solo.take(InfoDigitReceived)
    assert (event.session, event.event) == (session, 5)
    assert "5" not in repr(event).replace(f"duration_ms={event.duration_ms}", "")


def test_a_repeated_info_is_one_key() -> None:
    solo, caller, _ = established()
    info = caller.info("application/dtmf-relay", DIGIT_5)
    assert statuses(solo.receive(info)) == [200]
    assert statuses(solo.receive(info)) == [200]
    solo.take(InfoDigitReceived)


def test_flash_is_answered_and_is_no_key() -> None:
    solo, caller, _ = established()
    assert statuses(solo.receive(caller.info("application/dtmf-relay", b"Signal=16\r\n"))) == [200]
    assert solo.events == []


def test_info_of_another_type_gets_415_with_accept() -> None:
    solo, caller, _ = established()
    sent = solo.receive(caller.info("text/plain", b"hello"))
    assert statuses(sent) == [415]
    assert sent[0].headers.get("Accept") == "application/dtmf-relay, application/dtmf"
    event = solo.take(InfoReceived)
    assert event.content_type == "text/plain"
    assert "hello" not in repr(event)


def test_info_without_a_body_is_a_sign_of_life() -> None:
    solo, caller, _ = established()
    assert statuses(solo.receive(caller.write("INFO"))) == [200]
    assert solo.events == []


def test_our_info_reaches_the_peer_and_481_to_it_ends_the_call() -> None:
    solo, _, session = established()
    solo.endpoint.send_info(session, "application/dtmf-relay", DIGIT_5, solo.now)
    solo.collect()
    info = solo.last(Request)
    assert (info.method, info.body) == ("INFO", DIGIT_5)
    solo.receive(Response.to_request(info, 481))
    ended = solo.take(SessionEnded)
    assert (ended.cause, ended.status) == (EndCause.REMOTE_BYE, 481)


def test_our_info_without_any_answer_hangs_up() -> None:
    solo, _, session = established()
    solo.endpoint.send_info(session, "application/dtmf-relay", DIGIT_5, solo.now)
    solo.collect()
    sent = [message for _, message in solo.after(32)]
    assert methods(sent)[-1] == "BYE"
    solo.after(40)
    assert solo.take(SessionEnded).cause is EndCause.TIMEOUT


# -- caller ----------------------------------------------------------------------------------------------------------


def answering(pair: Pair, who: Address, event: Event) -> None:
    if isinstance(event, InviteReceived) and event.offer is not None:
        pair.bob.ring(event.session, pair.now)
        pair.bob.answer(event.session, answer_of(BOB, event.offer), pair.now)


def test_a_call_from_invite_to_bye_between_two_endpoints() -> None:
    pair = Pair.over(on_event=answering)
    session = pair.call()
    pair.run(1)
    assert [type(event) for event in pair.events[ALICE]] == [SessionRinging, SessionAnswered]
    assert [type(event) for event in pair.events[BOB]] == [InviteReceived, SessionConfirmed]
    pair.alice.hang_up(session, pair.now)
    pair.run(1)
    assert pair.of(ALICE, SessionEnded)[0].cause is EndCause.LOCAL_BYE
    assert pair.of(BOB, SessionEnded)[0].cause is EndCause.REMOTE_BYE
    pair.run(100)
    pair.assert_nothing_left()


@pytest.mark.parametrize("lost", range(8))
def test_a_call_survives_the_loss_of_any_one_datagram(lost: int) -> None:
    pair = Pair.over([Fate.LOSE if number == lost else Fate.PASS for number in range(8)], answering)
    session = pair.call()
    pair.run(5)
    assert len(pair.of(ALICE, SessionAnswered)) == 1
    assert len(pair.of(BOB, SessionConfirmed)) == 1
    pair.alice.hang_up(session, pair.now)
    pair.run(200)
    assert len(pair.of(ALICE, SessionEnded)) == len(pair.of(BOB, SessionEnded)) == 1
    pair.assert_nothing_left()


def calling() -> tuple[Solo, SessionId, Request]:
    solo = Solo.at()
    session = solo.endpoint.invite(
        Uri(user="alice", host=ALICE.host),
        next_hop=ALICE,
        from_=NameAddr(uri=Uri(user="pay", host=BOB.host)),
        offer=offer_of(BOB),
        now=solo.now,
    )
    solo.collect()
    return solo, session, solo.last(Request)


def reply(invite: Request, status: int, tag: str | None = "theirs") -> Response:
    response = Response.to_request(invite, status, to_tag=tag)
    response.headers.set("Contact", f"<sip:alice@{ALICE.host}>")
    if status in (183, 200):
        response.headers.set("Content-Type", "application/sdp")
        response.body = answer_of(ALICE, offer_of(BOB)).serialize()
    return response


def test_cancel_waits_for_a_provisional() -> None:
    solo, session, invite = calling()
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    assert methods([message for _, message, _ in solo.sent]) == ["INVITE"]
    sent = solo.receive(reply(invite, 100, None))
    assert methods(sent) == ["CANCEL"]
    cancel = sent[0]
    assert isinstance(cancel, Request)
    assert cancel.headers.lines("Via") == invite.headers.lines("Via")
    assert (cancel.cseq.number, str(cancel.uri)) == (invite.cseq.number, str(invite.uri))
    solo.receive(Response.to_request(cancel, 200))
    assert methods(solo.receive(reply(invite, 487))) == ["ACK"]
    assert solo.take(SessionEnded).cause is EndCause.CANCELLED
    solo.after(40)
    solo.assert_nothing_left()


def test_a_200_that_crosses_our_cancel_is_acknowledged_and_hung_up() -> None:
    solo, session, invite = calling()
    solo.receive(reply(invite, 180))
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    assert methods(solo.receive(reply(invite, 200))) == ["ACK", "BYE"]
    assert solo.receive(reply(invite, 200)) != []  # repeated: acknowledged again
    solo.receive(
        Response.to_request(next(m for _, m, _ in solo.sent if isinstance(m, Request) and m.method == "BYE"), 200)
    )
    assert solo.take(SessionEnded).cause is EndCause.CANCELLED
    assert not [event for event in solo.events if isinstance(event, SessionAnswered)]
    solo.after(40)
    solo.assert_nothing_left()


def test_a_cancelled_invite_without_a_final_response_is_given_up_after_64_t1() -> None:
    solo, session, invite = calling()
    solo.receive(reply(invite, 180))
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    solo.after(33)
    assert solo.take(SessionEnded).cause is EndCause.CANCELLED
    solo.assert_nothing_left()


def test_an_invite_that_nobody_answers_times_out() -> None:
    solo, _, _ = calling()
    solo.after(32)
    assert solo.take(SessionEnded).cause is EndCause.TIMEOUT
    solo.assert_nothing_left()


def test_an_invite_that_rings_for_ever_is_cancelled() -> None:
    solo, _, invite = calling()
    solo.receive(reply(invite, 180))
    sent = [message for _, message in solo.after(300)]
    assert methods(sent)[:1] == ["CANCEL"]
    solo.receive(reply(invite, 487))
    assert solo.take(SessionEnded).cause is EndCause.TIMEOUT


def test_a_refused_invite_ends_with_its_status() -> None:
    solo, _, invite = calling()
    solo.receive(reply(invite, 603))
    ended = solo.take(SessionEnded)
    assert (ended.cause, ended.status, ended.reason) == (EndCause.REJECTED, 603, "Decline")


def test_an_unreachable_peer_ends_the_call_at_once() -> None:
    solo, _, _ = calling()
    solo.endpoint.transport_error(ALICE, solo.now)
    solo.collect()
    assert solo.take(SessionEnded).cause is EndCause.TRANSPORT_ERROR
    solo.assert_nothing_left()


def test_early_media_is_told_and_stands_in_for_an_answer_that_the_200_leaves_out() -> None:
    solo, _, invite = calling()
    solo.receive(reply(invite, 183))
    early = solo.take(SessionRinging)
    assert early.early is not None
    final = reply(invite, 200)
    final.body = b""
    final.headers.remove("Content-Type")
    solo.receive(final)
    assert solo.take(SessionAnswered).answer == early.early


def test_the_caller_takes_a_reinvite_and_a_bye_of_the_callee() -> None:
    solo, session, invite = calling()
    solo.receive(reply(invite, 200))
    callee = Caller(call_id=invite.call_id, tag="theirs", to_tag=invite.from_.tag)
    assert statuses(solo.receive(callee.invite())) == [100]
    solo.take(OfferReceived)
    solo.endpoint.answer_offer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    solo.receive(callee.ack())
    assert statuses(solo.receive(callee.bye())) == [200]
    solo.events = [event for event in solo.events if isinstance(event, SessionEnded)]
    assert solo.take(SessionEnded).cause is EndCause.REMOTE_BYE
    solo.after(40)
    solo.assert_nothing_left()


def test_bye_of_a_callee_in_an_early_dialog_gets_481() -> None:
    solo, _, invite = calling()
    solo.receive(reply(invite, 180))
    callee = Caller(call_id=invite.call_id, tag="theirs", to_tag=invite.from_.tag)
    assert statuses(solo.receive(callee.bye())) == [481]
    assert solo.endpoint.statistics.sessions == 1
