"""RFC 3261 §14.1: our own re-INVITE. RFC 3264 §8 lets either side offer again; §13.2.2.4 wants each 2xx acknowledged;
§12.2.1.2 says which answers end the dialog."""

from __future__ import annotations

import pytest

from sip import offers
from sip.address import Address
from sip.credentials import Credentials
from sip.errors import LocalProtocolError
from sip.events import (
    EndCause,
    Event,
    InviteReceived,
    OfferAnswered,
    OfferReceived,
    OfferRefused,
    SessionConfirmed,
    SessionEnded,
    SessionId,
)
from sip.message import Request, Response
from sip.offer_answer import make_offer
from tests.support.sip_call import (
    OUR_ANSWER,
    answer,
    called,
    calling,
    established,
    invited,
    methods,
    new_offer,
    reply,
    requests,
    statuses,
)
from tests.support.sip_pair import ALICE, BOB, Pair, Solo, answer_of, capabilities, offer_of
from tests.support.sip_peer import Caller


def offered() -> tuple[Solo, Caller, SessionId, Request]:
    solo, caller, session = established()
    solo.endpoint.offer(session, new_offer(), solo.now)
    solo.collect()
    return solo, caller, session, solo.last(Request)


def test_each_pair_of_state_and_input_is_in_the_table_or_ignored() -> None:
    for state in offers.State:
        for event in offers.Input:
            pair = (state, event)
            assert (pair in offers.TABLE) != (pair in offers.IGNORED), pair


def test_14_1_an_offer_goes_out_in_the_dialog_and_its_answer_is_told_and_acknowledged() -> None:
    solo, _, session, sent = offered()
    assert (sent.method, sent.body) == ("INVITE", new_offer().serialize())
    assert "Contact" in sent.headers
    assert "100rel" not in sent.headers.get_all("Supported")
    acks = solo.receive(reply(sent, 200))
    assert methods(acks) == ["ACK"]
    assert (acks[0].cseq.number, acks[0].cseq.method) == (sent.cseq.number, "ACK")
    told = solo.take(OfferAnswered)
    assert (told.session, told.answer) == (session, answer_of(ALICE, offer_of(BOB)))


def test_13_2_2_4_each_2xx_gets_its_ack_again_and_is_told_once() -> None:
    solo, _, _, sent = offered()
    first = solo.receive(reply(sent, 200))
    for _ in range(3):
        assert [message.serialize() for message in solo.receive(reply(sent, 200))] == [first[0].serialize()]
    solo.take(OfferAnswered)


def test_12_2_1_2_the_200_moves_the_remote_target() -> None:
    solo, _, _, sent = offered()
    moved = reply(sent, 200)
    moved.headers.set("Contact", "<sip:alice@192.0.2.77:5070>")
    (ack,) = solo.receive(moved)
    assert isinstance(ack, Request)
    assert str(ack.uri) == "sip:alice@192.0.2.77:5070"


@pytest.mark.parametrize("status", [488, 606, 500, 302, 403])
def test_14_1_a_refusal_is_told_acknowledged_and_changes_nothing(status: int) -> None:
    solo, _, session, sent = offered()
    assert methods(solo.receive(reply(sent, status))) == ["ACK"]
    told = solo.take(OfferRefused)
    assert (told.session, told.status) == (session, status)
    assert solo.endpoint.statistics.sessions == 1
    solo.endpoint.offer(session, new_offer(3), solo.now)  # and another may follow
    solo.collect()
    assert solo.last(Request).body == new_offer(3).serialize()


@pytest.mark.parametrize("status", [408, 481])
def test_14_1_408_and_481_end_the_call(status: int) -> None:
    solo, _, _, sent = offered()
    solo.receive(reply(sent, status))
    solo.take(OfferRefused)
    ended = solo.take(SessionEnded)
    assert (ended.cause, ended.status) == (EndCause.REMOTE_BYE, status)
    solo.after(40)
    solo.assert_nothing_left()


def test_14_1_no_answer_at_all_hangs_up() -> None:
    solo, _, _, _ = offered()
    sent = [message for _, message in solo.after(33)]
    assert "BYE" in methods(sent)
    assert solo.take(OfferRefused).status == 408


def test_8_1_3_1_a_network_that_refuses_leaves_the_call() -> None:
    solo, _, _, _ = offered()
    solo.endpoint.transport_error(ALICE, solo.now)
    solo.collect()
    assert solo.take(OfferRefused).status == 503
    assert solo.endpoint.statistics.sessions == 1


@pytest.mark.parametrize(("ours", "least_s", "most_s"), [(True, 2.1, 4.0), (False, 0.0, 2.0)])
def test_14_1_after_491_it_is_sent_again_in_the_time_of_its_role(ours: bool, least_s: float, most_s: float) -> None:
    solo, _, session = called() if ours else established()
    solo.endpoint.offer(session, new_offer(), solo.now)
    solo.collect()
    waits = []
    for _ in range(6):
        solo.receive(reply(solo.last(Request), 491))
        waited, again = solo.next_request(10)
        assert again.body == new_offer().serialize()
        waits.append(round(waited, 6))
    assert all(least_s <= wait <= most_s for wait in waits)
    assert len(set(waits)) > 2
    assert all(abs(wait * 100 - round(wait * 100)) < 1e-6 for wait in waits)  # in units of 10 ms
    solo.receive(reply(solo.last(Request), 200))
    solo.take(OfferAnswered)


def test_14_1_491_for_ever_is_a_refusal() -> None:
    solo, _, _, sent = offered()
    for _ in range(7):
        solo.receive(reply(sent, 491))
        _, sent = solo.next_request(10)
    solo.receive(reply(sent, 491))
    assert solo.take(OfferRefused).status == 491
    assert solo.endpoint.statistics.sessions == 1


def test_14_1_while_it_waits_the_peers_offer_goes_first() -> None:
    solo, caller, session, sent = offered()
    solo.receive(reply(sent, 491))
    assert statuses(solo.receive(caller.invite())) == [100]
    solo.take(OfferReceived)
    solo.after(5)
    assert len(requests(solo, "INVITE")) == 1
    solo.endpoint.answer_offer(session, OUR_ANSWER, solo.now)
    solo.collect()
    solo.receive(caller.ack())
    _, again = solo.next_request(5)
    assert again.method == "INVITE"


def test_14_1_an_offer_during_the_peers_waits_for_its_end() -> None:
    solo, caller, session = established()
    solo.receive(caller.invite())
    solo.endpoint.offer(session, new_offer(), solo.now)
    solo.collect()
    assert requests(solo, "INVITE") == []
    solo.endpoint.refuse_offer(session, 488, solo.now)
    solo.collect()
    solo.receive(caller.ack_refusal())
    assert solo.next_request(5)[1].method == "INVITE"


def test_14_2_the_peers_reinvite_during_ours_gets_491() -> None:
    solo, caller, _, sent = offered()
    assert statuses(solo.receive(caller.invite())) == [491]
    solo.receive(reply(sent, 200))
    assert statuses(solo.receive(caller.invite())) == [100]


def test_one_offer_at_a_time() -> None:
    solo, _, session, sent = offered()
    with pytest.raises(LocalProtocolError):
        solo.endpoint.offer(session, new_offer(3), solo.now)
    solo.receive(reply(sent, 491))
    with pytest.raises(LocalProtocolError):
        solo.endpoint.offer(session, new_offer(3), solo.now)


def test_an_offer_needs_a_call() -> None:
    solo, caller, session = invited()
    with pytest.raises(LocalProtocolError):
        solo.endpoint.offer(session, new_offer(), solo.now)
    answer(solo, caller, session)
    with pytest.raises(LocalProtocolError):  # the ACK is missing
        solo.endpoint.offer(session, new_offer(), solo.now)
    solo.receive(caller.ack())
    solo.receive(caller.bye())
    solo.endpoint.offer(session, new_offer(), solo.now)  # it has ended meanwhile
    calling_solo, calling_session, _ = calling()
    with pytest.raises(LocalProtocolError):
        calling_solo.endpoint.offer(calling_session, new_offer(), solo.now)


def test_22_2_a_challenge_is_answered_with_the_same_offer() -> None:
    solo, session, invite = calling(Credentials(username="pay", password="not-a-real-one"))
    solo.receive(reply(invite, 200))
    solo.endpoint.offer(session, new_offer(), solo.now)
    solo.collect()
    sent = solo.last(Request)
    again = solo.receive(reply(sent, 401, headers='WWW-Authenticate: Digest realm="r", nonce="n", algorithm=MD5'))
    assert methods(again) == ["ACK", "INVITE"]
    assert "Authorization" in again[1].headers
    assert (again[1].body, again[1].cseq.number) == (sent.body, sent.cseq.number + 1)
    (ack,) = solo.receive(reply(solo.last(Request), 200))
    assert "Authorization" in ack.headers  # §22.1
    solo.take(OfferAnswered)


def test_an_answer_that_cannot_be_read_is_told_as_none() -> None:
    solo, _, _, sent = offered()
    solo.receive(reply(sent, 200, sdp=False))
    assert solo.take(OfferAnswered).answer is None


# -- the call ends meanwhile -----------------------------------------------------------------------------------------


def test_when_the_call_ends_the_late_answer_is_acknowledged_and_not_told() -> None:
    solo, caller, _, sent = offered()
    solo.receive(reply(sent, 100, None))
    assert statuses(solo.receive(caller.bye())) == [200]
    solo.take(SessionEnded)
    assert methods(solo.receive(reply(sent, 200))) == ["ACK"]
    assert methods(solo.receive(reply(sent, 200))) == ["ACK"]
    assert solo.events == []
    solo.after(70)
    solo.assert_nothing_left()


def test_when_the_call_ends_and_the_answer_never_comes_nothing_is_left() -> None:
    solo, caller, _, sent = offered()
    solo.receive(reply(sent, 100, None))
    solo.receive(caller.bye())
    solo.after(70)
    solo.assert_nothing_left()


def test_hanging_up_during_an_offer_sends_bye_and_no_more_offers() -> None:
    solo, _, session, sent = offered()
    solo.receive(reply(sent, 491))
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    bye = solo.last(Request)
    assert bye.method == "BYE"
    assert set(methods([message for _, message in solo.after(20)])) == {"BYE"}


def test_9_1_one_that_stays_unanswered_is_cancelled() -> None:
    solo, _, _, sent = offered()
    solo.receive(reply(sent, 180))
    _, cancel = solo.next_request(200)
    assert (cancel.method, cancel.cseq.number) == ("CANCEL", sent.cseq.number)
    solo.receive(Response.to_request(cancel, 200))
    solo.receive(reply(sent, 487))
    assert solo.take(OfferRefused).status == 487
    assert solo.endpoint.statistics.sessions == 1


def test_9_1_a_200_that_crosses_the_cancel_counts() -> None:
    solo, _, _, sent = offered()
    solo.receive(reply(sent, 180))
    solo.next_request(200)
    assert methods(solo.receive(reply(sent, 200))) == ["ACK"]
    solo.take(OfferAnswered)


def test_9_1_one_whose_cancel_has_no_effect_hangs_up() -> None:
    solo, _, _, sent = offered()
    solo.receive(reply(sent, 180))
    solo.next_request(200)
    solo.after(33)
    assert solo.take(OfferRefused).status == 408
    assert "BYE" in methods([message for _, message, _ in solo.sent])
    solo.after(70)
    solo.assert_nothing_left()


# -- both sides ------------------------------------------------------------------------------------------------------


def reacting(pair: Pair, who: Address, event: Event) -> None:
    own = pair.endpoints[who]
    if isinstance(event, InviteReceived) and event.offer is not None:
        own.answer(event.session, answer_of(who, event.offer), pair.now)
    elif isinstance(event, OfferReceived):
        own.answer_offer(event.session, answer_of(who, event.offer), pair.now)


def test_two_endpoints_hold_and_resume() -> None:
    pair = Pair.over(on_event=reacting)
    pair.call()
    pair.run(1)
    (session,) = [event.session for event in pair.of(BOB, SessionConfirmed)]
    for version, direction in ((2, "sendonly"), (3, "sendrecv")):
        local = capabilities(BOB, session_version=version, direction=direction)
        pair.bob.offer(session, make_offer(local), pair.now)
        pair.run(1)
    answers = [event.answer for event in pair.of(BOB, OfferAnswered)]
    directions = [answer.direction_of(answer.media[0]) for answer in answers if answer is not None]
    assert directions == ["recvonly", "sendrecv"]


def test_two_endpoints_that_offer_at_once_both_get_their_way() -> None:
    pair = Pair.over(on_event=reacting)
    calls = pair.call()
    pair.run(1)
    (called_session,) = [event.session for event in pair.of(BOB, SessionConfirmed)]
    pair.alice.offer(calls, make_offer(capabilities(ALICE, session_version=2)), pair.now)
    pair.bob.offer(called_session, make_offer(capabilities(BOB, session_version=2)), pair.now)
    pair.run(10)
    assert len(pair.of(ALICE, OfferAnswered)) == 1
    assert len(pair.of(BOB, OfferAnswered)) == 1
    assert [event for who in (ALICE, BOB) for event in pair.of(who, SessionEnded)] == []
