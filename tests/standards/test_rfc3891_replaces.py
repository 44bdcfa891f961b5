"""RFC 3891 (Replaces): an INVITE that takes the place of a call of ours, and the header that asks for it."""

from __future__ import annotations

import pytest

from sip.errors import ParseError
from sip.events import EndCause, InviteReceived, SessionConfirmed, SessionEnded, SessionId
from sip.message import Request, Response
from sip.replaces import Replaces
from sip.uri import NameAddr, Uri
from tests.support.sip_pair import ALICE, BOB, Solo, answer_of, offer_of
from tests.support.sip_peer import Caller


def ringing(solo: Solo, caller: Caller, headers: str = "") -> InviteReceived:
    assert seen(solo.receive(caller.invite(headers=headers))) == [100]
    return solo.take(InviteReceived)


def answered(solo: Solo, caller: Caller, session: SessionId) -> None:
    solo.endpoint.answer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    caller.learn(solo.last(Response))


def established(solo: Solo, caller: Caller, headers: str = "") -> SessionId:
    session = ringing(solo, caller, headers).session
    answered(solo, caller, session)
    solo.receive(caller.ack())
    solo.take(SessionConfirmed)
    return session


def of(caller: Caller, more: str = "") -> str:
    """The header by which somebody else asks for this caller's place: the tags as Bob sees them."""
    return f"Replaces: {caller.call_id};to-tag={caller.to_tag};from-tag={caller.tag}{more}"


def seen(messages: list[Request | Response]) -> list[int | str]:
    return [message.status if isinstance(message, Response) else message.method for message in messages]


def test_the_new_call_takes_the_place_of_the_old_one_once_it_is_confirmed() -> None:
    solo, old, new = Solo.at(), Caller(), Caller(call_id="call-2", tag="carol")
    first = established(solo, old)
    event = ringing(solo, new, f"{of(old)}\nRequire: replaces")
    assert event.replaces == first
    answered(solo, new, event.session)
    assert not [e for e in solo.events if isinstance(e, SessionEnded)]
    (bye,) = solo.receive(new.ack())
    assert isinstance(bye, Request)
    assert (bye.method, bye.call_id, bye.to.tag) == ("BYE", old.call_id, old.tag)
    assert 'text="Replaced"' in (bye.headers.get("Reason") or "")
    assert solo.take(SessionConfirmed).session == event.session
    solo.receive(Response.to_request(bye, 200))
    ended = solo.take(SessionEnded)
    assert (ended.session, ended.cause) == (first, EndCause.LOCAL_BYE)
    assert seen(solo.receive(new.ack())) == []  # again: nothing more is hung up
    assert seen(solo.receive(new.bye())) == [200]
    solo.after(40)
    solo.assert_nothing_left()


def test_without_its_ack_the_old_call_goes_on() -> None:
    solo, old, new = Solo.at(), Caller(), Caller(call_id="call-2", tag="carol")
    first = established(solo, old)
    answered(solo, new, ringing(solo, new, of(old)).session)
    solo.after(33)
    byes = [m for _, m, _ in solo.sent if isinstance(m, Request) and m.method == "BYE"]
    assert [bye.call_id for bye in byes] == [new.call_id] * len(byes)
    assert first not in [e.session for e in solo.events if isinstance(e, SessionEnded)]
    assert seen(solo.receive(old.bye())) == [200]


def test_a_refused_replacement_leaves_the_old_call() -> None:
    solo, old, new = Solo.at(), Caller(), Caller(call_id="call-2", tag="carol")
    established(solo, old)
    solo.endpoint.reject(ringing(solo, new, of(old)).session, 403, solo.now)
    solo.collect()
    solo.receive(new.ack_refusal())
    assert seen(solo.receive(old.bye())) == [200]


def test_an_old_call_that_ended_meanwhile_is_no_fault() -> None:
    solo, old, new = Solo.at(), Caller(), Caller(call_id="call-2", tag="carol")
    established(solo, old)
    answered(solo, new, ringing(solo, new, of(old)).session)
    solo.receive(old.bye())
    assert solo.receive(new.ack()) == []
    assert solo.take(SessionConfirmed)


def test_a_call_that_waits_for_its_ack_can_be_replaced() -> None:
    solo, old, new = Solo.at(), Caller(), Caller(call_id="call-2", tag="carol")
    first = ringing(solo, old).session
    answered(solo, old, first)
    event = ringing(solo, new, of(old))
    assert event.replaces == first
    answered(solo, new, event.session)
    assert solo.receive(new.ack()) == []  # no BYE before the ACK of the old one (RFC 3261 §15)
    assert seen(solo.receive(old.ack())) == ["BYE"]


def test_a_call_of_ours_that_rings_is_cancelled_for_the_one_that_replaces_it() -> None:
    solo, new = Solo.at(), Caller(call_id="call-2", tag="carol")
    session = solo.endpoint.invite(
        Uri(user="alice", host=ALICE.host),
        next_hop=ALICE,
        from_=NameAddr(uri=Uri(user="pay", host=BOB.host)),
        offer=offer_of(BOB),
        now=solo.now,
    )
    solo.collect()
    invite = solo.last(Request)
    solo.receive(Response.to_request(invite, 180, to_tag="theirs"))
    event = ringing(solo, new, f"Replaces: {invite.call_id};to-tag={invite.from_.tag};from-tag=theirs;early-only")
    assert event.replaces == session
    answered(solo, new, event.session)
    assert seen(solo.receive(new.ack())) == ["CANCEL"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Replaces: nobody;to-tag=1;from-tag=2", 481),
        ("Replaces: {id};to-tag={to};from-tag=wrong", 481),
        ("Replaces: {id};to-tag={from_};from-tag={to}", 481),
        ("Replaces: {id};to-tag={to};from-tag={from_};early-only", 486),
        ("Replaces: {id};to-tag={to};from-tag={from_}\nReplaces: x;to-tag=1;from-tag=2", 400),
        ("Replaces: {id};to-tag={to};from-tag={from_}\nJoin: x;to-tag=1;from-tag=2", 400),
        ("Replaces: {id};to-tag={to}", 400),
        ("Replaces: {id}", 400),
        ("Replaces: ;;", 400),
        ("Replaces: {id};to-tag={to};from-tag={from_}\nRequire: replaces, golden", 420),
    ],
)
def test_a_replacement_that_cannot_be_is_refused_without_state(headers: str, status: int) -> None:
    solo, old = Solo.at(), Caller()
    established(solo, old)
    written = headers.format(id=old.call_id, to=old.to_tag, from_=old.tag)
    before = solo.endpoint.statistics.transactions
    (answer,) = solo.receive(Caller(call_id="call-2", tag="carol").invite(headers=written))
    assert isinstance(answer, Response)
    assert answer.status == status
    assert solo.endpoint.statistics.transactions == before
    if status == 420:
        assert answer.headers.get("Unsupported") == "golden"
    assert not [event for event in solo.events if isinstance(event, InviteReceived)]
    assert seen(solo.receive(old.bye())) == [200]


def test_a_call_that_rings_here_is_not_given_to_another() -> None:
    solo, old = Solo.at(), Caller()
    session = ringing(solo, old).session
    solo.endpoint.ring(session, solo.now)
    solo.collect()
    old.learn(solo.last(Response))
    assert seen(solo.receive(Caller(call_id="call-2", tag="carol").invite(headers=of(old)))) == [481]


def test_a_call_that_ends_is_not_replaced() -> None:
    solo, old = Solo.at(), Caller()
    solo.endpoint.hang_up(established(solo, old), solo.now)
    assert seen(solo.receive(Caller(call_id="call-2", tag="carol").invite(headers=of(old)))) == ["BYE", 603]


def test_replaces_belongs_into_an_invite() -> None:
    solo, old = Solo.at(), Caller()
    established(solo, old)
    assert seen(solo.receive(Caller(call_id="call-2").write("OPTIONS", headers=of(old)))) == [400]


def test_a_peer_without_a_tag_is_named_by_0() -> None:
    solo = Solo.at()
    old = Caller().invite()
    old.headers.set("From", "<sip:alice@192.0.2.1>")
    solo.receive(old)
    session = solo.take(InviteReceived).session
    solo.endpoint.answer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    to_tag = solo.last(Response).to.tag
    headers = f"Replaces: call-1;to-tag={to_tag};from-tag=0"
    assert ringing(solo, Caller(call_id="call-2", tag="carol"), headers).replaces == session


@pytest.mark.parametrize(
    "text",
    [
        "98732@sip.example.com;from-tag=r33th4x0r;to-tag=ff87ff",
        "  12adf2f34456gs5 ;to-tag=12345 ; from-tag=54321",
        "87134@171.161.34.23;to-tag=24796;from-tag=0;early-only",
    ],
)
def test_the_forms_of_the_header_are_read(text: str) -> None:
    read = Replaces.parse(text)
    assert Replaces.parse(str(read)) == read
    assert read.early_only == ("early-only" in text)


@pytest.mark.parametrize("text", ["", ";", "a", "a;to-tag=1", "a;from-tag=1", "a;to-tag=;from-tag=1", 'a;to-tag="'])
def test_a_broken_header_is_no_header(text: str) -> None:
    with pytest.raises(ParseError):
        Replaces.parse(text)


@pytest.mark.parametrize("call_id", ["a@b", "a%b", "a(b)<c>[d]{e}/?+`'~", "ünicode"])
def test_the_header_survives_the_way_through_a_uri(call_id: str) -> None:
    wanted = Replaces(call_id=call_id, to_tag="1.2", from_tag="3-4")
    uri = Uri.parse(f"sip:x@192.0.2.1?Subject=%20&replaces={wanted.in_uri()}")
    assert [Replaces.parse(value) for value in uri.header_values("Replaces")] == [wanted]
