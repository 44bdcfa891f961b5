"""RFC 3262: provisional responses that must arrive. §3 (callee), §4 (caller), §5 (offer and answer), §7.1, §7.2 (RSeq,
RAck)."""

from __future__ import annotations

from typing import Any

import pytest

from sip import reliable
from sip.credentials import Credentials
from sip.errors import LocalProtocolError
from sip.events import (
    EndCause,
    OfferAnswered,
    OfferReceived,
    SessionAnswered,
    SessionConfirmed,
    SessionEnded,
    SessionId,
    SessionRinging,
)
from sip.message import Request, Response
from tests.support.sip_call import (
    OUR_ANSWER,
    calling,
    invited,
    methods,
    new_offer,
    reply,
    requests,
    statuses,
)
from tests.support.sip_pair import ALICE, BOB, Solo, answer_of, offer_of
from tests.support.sip_peer import Caller

REQUIRED = "Require: 100rel"
SUPPORTED = "Supported: 100rel"


def prack(caller: Caller, response: Response, *, rack: str | None = None, sdp: bytes = b"") -> Request:
    caller.learn(response)
    value = rack or f"{response.headers.get('RSeq')} {response.cseq.number} INVITE"
    kind = "application/sdp" if sdp else None
    return caller.write("PRACK", headers=f"RAck: {value}", body=sdp, content_type=kind)


def ringing(headers: str = REQUIRED, **config: Any) -> tuple[Solo, Caller, SessionId, Response]:
    solo, caller, session = invited(headers, **config)
    solo.endpoint.ring(session, solo.now)
    solo.collect()
    return solo, caller, session, solo.last(Response)


def test_each_pair_of_state_and_input_is_in_the_table_or_ignored() -> None:
    for state in reliable.State:
        for event in reliable.Input:
            pair = (state, event)
            assert (pair in reliable.TABLE) != (pair in reliable.IGNORED), pair


# -- §3: as callee ---------------------------------------------------------------------------------------------------


def test_3_a_caller_that_requires_it_gets_every_provisional_reliably() -> None:
    solo, caller, session, first = ringing()
    assert first.status == 180
    assert first.headers.get_all("Require") == ["100rel"]
    assert 0 < int(first.headers.get("RSeq") or "0") < 2**31
    assert "Contact" in first.headers
    assert statuses(solo.receive(prack(caller, first))) == [200]
    solo.endpoint.progress(session, solo.now, status=182)
    solo.collect()
    second = solo.last(Response)
    assert second.status == 182
    assert int(second.headers.get("RSeq") or "0") == int(first.headers.get("RSeq") or "0") + 1


def test_3_100_is_never_reliable() -> None:
    solo, _, _ = invited(REQUIRED)
    assert statuses([message for _, message, _ in solo.sent]) == [100]
    assert "RSeq" not in solo.last(Response).headers


@pytest.mark.parametrize("headers", ["", SUPPORTED])
def test_3_nobody_else_gets_one_by_default(headers: str) -> None:
    _, _, _, response = ringing(headers)
    assert "RSeq" not in response.headers
    assert "Require" not in response.headers


@pytest.mark.parametrize(("sdp", "reliably"), [(True, True), (False, False)])
def test_3_early_media_is_reliable_to_who_supports_it_when_the_configuration_says_so(sdp: bool, reliably: bool) -> None:
    solo, _, session = invited(SUPPORTED, reliable_provisionals="supported")
    solo.endpoint.progress(session, solo.now, sdp=OUR_ANSWER if sdp else None)
    solo.collect()
    assert ("RSeq" in solo.last(Response).headers) is reliably


def test_3_it_is_repeated_from_t1_doubling_without_a_cap() -> None:
    solo, _, _, response = ringing()
    begin = solo.now
    repeated = solo.after(31.6)
    assert [round(when - begin, 3) for when, _ in repeated] == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert all(message.serialize() == response.serialize() for _, message in repeated)


def test_3_without_a_prack_the_invite_is_refused_with_a_5xx_after_64_t1() -> None:
    solo, caller, _, _ = ringing()
    solo.after(31.9)
    assert not [event for event in solo.events if isinstance(event, SessionEnded)]
    sent = [message for _, message in solo.after(0.2)]
    assert statuses(sent) == [504]
    assert solo.take(SessionEnded).cause is EndCause.TIMEOUT
    solo.receive(caller.ack_refusal())
    solo.after(40)
    solo.assert_nothing_left()


def test_3_a_prack_ends_the_repeating() -> None:
    solo, caller, _, response = ringing()
    solo.receive(prack(caller, response))
    assert statuses([message for _, message in solo.after(40)]) == []


@pytest.mark.parametrize(
    "rack", ["1 1 INVITE", "{rseq} 2 INVITE", "{rseq} 1 BYE", "{rseq} 1", "nonsense", "99999999999 1 INVITE", ""]
)
def test_3_a_prack_that_matches_nothing_gets_481_and_changes_nothing(rack: str) -> None:
    solo, caller, _, response = ringing()
    wrong = rack.format(rseq=response.headers.get("RSeq")) or " "
    assert statuses(solo.receive(prack(caller, response, rack=wrong))) == [481]
    assert statuses([message for _, message in solo.after(0.6)]) == [180]


def test_3_a_prack_without_rack_gets_481() -> None:
    solo, caller, _, response = ringing()
    caller.learn(response)
    assert statuses(solo.receive(caller.write("PRACK"))) == [481]


def test_3_the_same_prack_in_another_transaction_gets_481() -> None:
    solo, caller, _, response = ringing()
    first = prack(caller, response)
    assert statuses(solo.receive(first)) == [200]
    assert statuses(solo.receive(first)) == [200]  # a retransmission
    assert statuses(solo.receive(prack(caller, response))) == [481]


def test_3_a_second_one_waits_for_the_prack_of_the_first() -> None:
    solo, caller, session, first = ringing()
    solo.endpoint.progress(session, solo.now, sdp=OUR_ANSWER)
    solo.collect()
    assert solo.last(Response) is first
    sent = solo.receive(prack(caller, first))
    assert sorted(statuses(sent)) == [183, 200]


def test_3_a_2xx_waits_for_the_prack_of_a_description() -> None:
    solo, caller, session = invited(REQUIRED)
    solo.endpoint.progress(session, solo.now, sdp=OUR_ANSWER)
    solo.collect()
    early = solo.last(Response)
    assert early.body == OUR_ANSWER.serialize()
    solo.endpoint.answer(session, OUR_ANSWER, solo.now)
    solo.collect()
    assert solo.last(Response) is early
    with pytest.raises(LocalProtocolError):
        solo.endpoint.answer(session, OUR_ANSWER, solo.now)
    assert sorted(statuses(solo.receive(prack(caller, early)))) == [200, 200]
    final = solo.last(Response)
    assert (final.cseq.method, final.body) == ("INVITE", b"")  # §5: the answer was given
    caller.cseq = 1
    solo.receive(caller.ack())
    assert solo.take(SessionConfirmed).answer is None


def test_3_a_2xx_does_not_wait_when_there_was_no_description() -> None:
    solo, caller, session, response = ringing()
    solo.endpoint.answer(session, OUR_ANSWER, solo.now)
    solo.collect()
    assert solo.last(Response).body == OUR_ANSWER.serialize()
    repeated = [message for _, message in solo.after(0.6)]
    assert statuses(repeated) == [200]  # the 180 is repeated no more
    assert statuses(solo.receive(prack(caller, response))) == [200]  # it was under way


def test_3_a_waiting_answer_is_forgotten_when_the_caller_cancels() -> None:
    solo, caller, session = invited(REQUIRED)
    solo.endpoint.progress(session, solo.now, sdp=OUR_ANSWER)
    solo.endpoint.answer(session, OUR_ANSWER, solo.now)
    solo.collect()
    assert sorted(statuses(solo.receive(caller.cancel()))) == [200, 487]
    assert solo.take(SessionEnded).cause is EndCause.CANCELLED
    solo.receive(caller.ack_refusal())
    solo.after(40)
    solo.assert_nothing_left()


def test_5_a_late_offer_goes_in_a_reliable_183_and_its_answer_comes_in_the_prack() -> None:
    solo, caller, session = invited(REQUIRED, offer=False)
    solo.endpoint.ring(session, solo.now)
    solo.collect()
    assert statuses([message for _, message, _ in solo.sent]) == [100]  # the first reliable one has to carry the offer
    solo.endpoint.progress(session, solo.now, sdp=offer_of(BOB))
    solo.collect()
    early = solo.last(Response)
    theirs = answer_of(ALICE, offer_of(BOB))
    assert statuses(solo.receive(prack(caller, early, sdp=theirs.serialize()))) == [200]
    assert solo.take(OfferAnswered).answer == theirs
    solo.endpoint.answer(session, offer_of(BOB), solo.now)
    solo.collect()
    assert solo.last(Response).body == b""
    solo.receive(caller.ack(cseq=1))
    assert solo.take(SessionConfirmed).answer is None


def test_5_our_offer_never_goes_in_a_provisional_that_may_be_lost() -> None:
    solo, _, session = invited(offer=False)
    solo.endpoint.progress(session, solo.now, sdp=offer_of(BOB))
    solo.collect()
    assert (solo.last(Response).status, solo.last(Response).body) == (183, b"")


def test_5_an_offer_in_a_prack_is_told_and_answered_in_its_200() -> None:
    solo, caller, session = invited(REQUIRED)
    solo.endpoint.progress(session, solo.now, sdp=OUR_ANSWER)
    solo.collect()
    assert solo.receive(prack(caller, solo.last(Response), sdp=offer_of(ALICE).serialize())) == []
    assert solo.take(OfferReceived).offer == offer_of(ALICE)
    solo.endpoint.answer_offer(session, OUR_ANSWER, solo.now)
    solo.collect()
    answered = solo.last(Response)
    assert (answered.status, answered.cseq.method, answered.body) == (200, "PRACK", OUR_ANSWER.serialize())


def test_5_an_offer_in_a_prack_before_the_first_is_answered_is_refused() -> None:
    solo, caller, _, response = ringing()
    sent = solo.receive(prack(caller, response, sdp=offer_of(ALICE).serialize()))
    assert statuses(sent) == [500]
    assert statuses([message for _, message in solo.after(5)]) == []  # the 180 arrived all the same


def test_a_status_that_is_no_provisional_is_an_error_of_the_caller() -> None:
    solo, _, session = invited()
    for status in (99, 100, 200):
        with pytest.raises(LocalProtocolError):
            solo.endpoint.progress(session, solo.now, status=status)


# -- §4: as caller ---------------------------------------------------------------------------------------------------


def reliably(invite: Request, status: int, rseq: int, *, tag: str = "theirs", sdp: bool | None = None) -> Response:
    return reply(invite, status, tag, sdp=sdp, headers=f"Require: 100rel\nRSeq: {rseq}")


def test_4_our_invite_supports_it() -> None:
    _, _, invite = calling()
    assert "100rel" in invite.headers.get_all("Supported")


def test_4_a_reliable_provisional_is_acknowledged_in_its_early_dialog() -> None:
    solo, _, invite = calling()
    sent = solo.receive(reliably(invite, 183, 7))
    assert methods(sent) == ["PRACK"]
    ack = sent[0]
    assert ack.headers.get("RAck") == f"7 {invite.cseq.number} INVITE"
    assert (ack.to.tag, ack.cseq.number) == ("theirs", invite.cseq.number + 1)
    assert solo.take(SessionRinging).early is not None


def test_4_one_that_is_not_reliable_is_not_acknowledged() -> None:
    solo, _, invite = calling()
    assert methods(solo.receive(reply(invite, 180, headers="RSeq: 7"))) == []
    assert methods(solo.receive(reply(invite, 180, headers="Require: 100rel"))) == []


def test_4_one_that_is_repeated_or_out_of_order_is_not_there() -> None:
    solo, _, invite = calling()
    solo.receive(reliably(invite, 180, 7))
    solo.take(SessionRinging)
    for rseq in (7, 9, 6):
        assert solo.receive(reliably(invite, 183, rseq)) == []
    assert solo.events == []
    assert methods(solo.receive(reliably(invite, 183, 8))) == ["PRACK"]
    assert solo.take(SessionRinging).status == 183


def test_4_each_fork_has_an_order_of_its_own() -> None:
    solo, _, invite = calling()
    for tag, rseq in (("one", 7), ("two", 40), ("one", 8), ("two", 41)):
        sent = solo.receive(reliably(invite, 180, rseq, tag=tag))
        assert methods(sent) == ["PRACK"]
        assert sent[0].to.tag == tag
        assert sent[0].headers.get("RAck") == f"{rseq} {invite.cseq.number} INVITE"


def test_4_prack_is_repeated_like_any_request_and_its_end_does_not_touch_the_call() -> None:
    solo, session, invite = calling()
    solo.receive(reliably(invite, 180, 7))
    assert len(solo.after(33)) > 5
    solo.receive(reply(invite, 200))
    solo.take(SessionAnswered)
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    solo.receive(Response.to_request(solo.last(Request), 200))
    solo.after(40)
    solo.assert_nothing_left()


def test_4_a_late_481_to_a_prack_does_not_end_the_call() -> None:
    solo, _, invite = calling()
    ack = solo.receive(reliably(invite, 180, 7))[0]
    solo.receive(reply(invite, 200))
    assert isinstance(ack, Request)
    solo.receive(reply(ack, 481))
    assert solo.endpoint.statistics.sessions == 1


def test_4_a_challenged_prack_is_sent_again_with_the_answer() -> None:
    solo, _, invite = calling(Credentials(username="pay", password="not-a-real-one"))
    ack = solo.receive(reliably(invite, 180, 7))[0]
    assert isinstance(ack, Request)
    sent = solo.receive(reply(ack, 407, headers='Proxy-Authenticate: Digest realm="r", nonce="n", algorithm=MD5'))
    assert methods(sent) == ["PRACK"]
    assert sent[0].headers.get("RAck") == ack.headers.get("RAck")
    assert "Proxy-Authorization" in sent[0].headers
    assert sent[0].cseq.number == ack.cseq.number + 1


def test_5_the_answer_of_a_reliable_183_counts_whatever_the_200_says() -> None:
    solo, _, invite = calling()
    solo.receive(reliably(invite, 183, 7))
    early = solo.take(SessionRinging).early
    solo.receive(reply(invite, 200, sdp=False))
    assert solo.take(SessionAnswered).answer == early


def test_each_fork_answers_with_what_it_said_early() -> None:
    solo, _, invite = calling()
    for tag, port in (("one", 4100), ("two", 4200)):
        early = reliably(invite, 183, 7, tag=tag)
        early.body = early.body.replace(b"m=audio 4000", f"m=audio {port}".encode())
        solo.receive(early)
    solo.receive(reply(invite, 200, "one", sdp=False))
    described = solo.take(SessionAnswered).answer
    assert described is not None
    assert described.media[0].port == 4100


def test_a_call_whose_callee_requires_nothing_needs_no_prack() -> None:
    solo, _, invite = calling()
    solo.receive(reply(invite, 180))
    solo.receive(reply(invite, 200))
    assert requests(solo, "PRACK") == []


def test_new_media_can_be_offered_once_the_early_answer_is_acknowledged() -> None:
    solo, caller, session = invited(REQUIRED)
    with pytest.raises(LocalProtocolError):
        solo.endpoint.offer(session, new_offer(), solo.now)
    solo.endpoint.progress(session, solo.now, sdp=OUR_ANSWER)
    solo.collect()
    solo.receive(prack(caller, solo.last(Response)))
    solo.endpoint.offer(session, new_offer(), solo.now)
    solo.collect()
    assert solo.last(Request).method == "UPDATE"  # RFC 3311 §5.1: no re-INVITE in an early dialog
