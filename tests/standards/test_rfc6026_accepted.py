"""RFC 6026: the Accepted state. §7.1 (server: timer L absorbs repeated INVITEs, the 2xx is the core's), §7.2 (client:
timer M passes further 2xx up), §8.6 (a 2xx without a transaction is dropped)."""

from __future__ import annotations

from sip.address import Address
from sip.events import InviteReceived, SessionAnswered, SessionEnded
from sip.message import Request, Response
from sip.uri import NameAddr, Uri
from tests.support.sip_pair import ALICE, BOB, Solo, answer_of, offer_of
from tests.support.sip_peer import Caller


def answered() -> tuple[Solo, Caller, Request]:
    solo, caller = Solo.at(), Caller()
    invite = caller.invite()
    solo.receive(invite)
    event = solo.take(InviteReceived)
    assert event.offer is not None
    solo.endpoint.answer(event.session, answer_of(BOB, event.offer), solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    return solo, caller, invite


def test_a_repeated_invite_is_absorbed_after_the_2xx() -> None:
    solo, caller, invite = answered()
    solo.receive(caller.ack())
    assert solo.receive(invite) == []
    solo.after(31.9)
    assert solo.receive(invite) == []
    assert solo.endpoint.statistics.sessions == 1


def test_timer_l_ends_the_server_transaction_after_64_t1() -> None:
    solo, caller, _ = answered()
    solo.receive(caller.ack())
    solo.after(31.9)
    assert solo.endpoint.statistics.transactions == 1
    solo.after(0.2)
    assert solo.endpoint.statistics.transactions == 0


def test_the_2xx_is_repeated_by_the_core_and_not_by_the_transaction() -> None:
    solo, caller, _ = answered()
    sent = solo.after(8)
    begin = solo.now - 8
    assert [when - begin for when, _ in sent] == [0.5, 1.5, 3.5, 7.5]
    assert all(isinstance(message, Response) and message.status == 200 for _, message in sent)
    solo.receive(caller.ack())
    assert solo.after(20) == []


def calling() -> tuple[Solo, Request]:
    solo = Solo.at()
    solo.endpoint.invite(
        Uri(user="alice", host=ALICE.host),
        next_hop=ALICE,
        from_=NameAddr(uri=Uri(user="pay", host=BOB.host)),
        offer=offer_of(BOB),
        now=solo.now,
    )
    solo.collect()
    return solo, solo.last(Request)


def success(invite: Request, tag: str = "theirs") -> Response:
    response = Response.to_request(invite, 200, to_tag=tag)
    response.headers.set("Contact", f"<sip:{tag}@{ALICE.host}>")
    response.headers.set("Content-Type", "application/sdp")
    response.body = answer_of(ALICE, offer_of(BOB)).serialize()
    return response


def test_each_repeated_2xx_is_acknowledged_by_the_same_ack_and_told_once() -> None:
    solo, invite = calling()
    first = solo.receive(success(invite))
    again = solo.receive(success(invite))
    assert [message.method for message in first if isinstance(message, Request)] == ["ACK"]
    assert [m.serialize() for m in again] == [m.serialize() for m in first]
    solo.take(SessionAnswered)


def test_a_2xx_of_another_fork_is_acknowledged_and_hung_up() -> None:
    solo, invite = calling()
    solo.receive(success(invite, "one"))
    sent = solo.receive(success(invite, "two"))
    assert [(m.method, m.to.tag, str(m.uri)) for m in sent if isinstance(m, Request)] == [
        ("ACK", "two", f"sip:two@{ALICE.host}"),
        ("BYE", "two", f"sip:two@{ALICE.host}"),
    ]
    again = solo.receive(success(invite, "two"))
    assert [m.method for m in again if isinstance(m, Request)] == ["ACK"]
    assert not [event for event in solo.events if isinstance(event, SessionEnded)]


def test_more_answers_than_a_fork_can_have_are_not_believed() -> None:
    solo, invite = calling()
    for number in range(30):
        solo.receive(success(invite, f"fork-{number}"))
    assert sum(1 for _, m, _ in solo.sent if isinstance(m, Request) and m.method == "BYE") == 7


def test_timer_m_ends_the_client_transaction_after_64_t1() -> None:
    solo, invite = calling()
    solo.receive(success(invite))
    solo.after(31.9)
    assert solo.endpoint.statistics.transactions == 1
    solo.after(0.2)
    assert solo.endpoint.statistics.transactions == 0
    assert solo.receive(success(invite)) == []
    assert solo.endpoint.statistics.strays == 1


def test_a_2xx_without_a_transaction_is_dropped() -> None:
    solo = Solo.at()
    stray = success(Caller(address=BOB).invite())
    assert solo.receive(stray, Address("192.0.2.66", 5060)) == []
    assert solo.endpoint.statistics.strays == 1
    solo.assert_nothing_left()
