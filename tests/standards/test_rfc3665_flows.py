"""RFC 3665: the call flows that one end of a call can be part of, message by message, with our endpoint at either end.

The numbers are those of the sections. A proxy or registrar is the test itself. Not here: 2.3 (we never ask for the
list of contacts alone). Fate of each step beyond the flow is in the tests of RFC 3261.
"""

from __future__ import annotations

import pytest

from sip.address import Address
from sip.endpoint import Account, Credentials
from sip.events import (
    EndCause,
    InviteReceived,
    OfferReceived,
    RegistrationChanged,
    RegistrationStatus,
    SessionAnswered,
    SessionConfirmed,
    SessionEnded,
    SessionId,
    SessionRinging,
)
from sip.message import Request, Response
from sip.parser import parse_message
from sip.redirect import TargetSet
from sip.uri import NameAddr, Uri
from tests.support.sip_pair import ALICE, BOB, Pair, Solo, answer_of, offer_of
from tests.support.sip_peer import Caller

PROXY = Address("192.0.2.111", 5060)
PROXY_2 = Address("192.0.2.222", 5060)
ROUTES = "<sip:ss2.biloxi.example.com;lr>, <sip:192.0.2.111;lr>"
CHALLENGE = 'Digest realm="atlanta.example.com", qop="auth", nonce="f84f1cec41e6cbe5aea9c8e88d359", algorithm=MD5'


def line(message: Request | Response) -> str:
    """What a ladder diagram writes on the arrow."""
    return message.method if isinstance(message, Request) else f"{message.status} {message.cseq.method}"


def ladder(pair: Pair) -> list[str]:
    """Every datagram in order, by who sent it."""
    names = {ALICE: "Alice", BOB: "Bob"}
    return [f"{names[source]}: {line(parse_message(data))}" for _, source, _, data in pair.wire.sent]


def arrows(messages: list[Request | Response]) -> list[str]:
    return [line(message) for message in messages]


def respond(
    solo: Solo,
    request: Request,
    status: int,
    source: Address = PROXY,
    tag: str | None = "8321234356",
    *,
    described: bool = False,
    **headers: str,
) -> list[Request | Response]:
    """Let the peer answer a request of ours; return what we send then."""
    response = Response.to_request(request, status, to_tag=tag)
    for name, value in headers.items():
        response.headers.set(name.replace("_", "-"), value)
    if described:
        response.headers.set("Content-Type", "application/sdp")
        response.body = answer_of(ALICE, offer_of(BOB)).serialize()
    return solo.receive(response, source)


def one(messages: list[Request | Response], method: str) -> Request:
    (message,) = messages
    assert isinstance(message, Request)
    assert message.method == method
    return message


def call(solo: Solo, target: str = "sip:bob@biloxi.example.com", **how: object) -> tuple[SessionId, Request]:
    arguments: dict[str, object] = {
        "next_hop": PROXY,
        "from_": NameAddr(display_name="Pay", uri=Uri(user="pay", host="atlanta.example.com")),
        "offer": offer_of(BOB),
        "now": solo.now,
        "credentials": Credentials(username="pay", password="not a secret"),
    }
    session = solo.endpoint.invite(Uri.parse(target), **(arguments | how))  # type: ignore[arg-type]
    solo.collect()
    return session, solo.last(Request)


# -- 2: registration -------------------------------------------------------------------------------------------------


def registering() -> tuple[Solo, Request]:
    solo = Solo.at()
    solo.endpoint.register(
        Account(
            id="trunk",
            aor=Uri(user="bob", host="biloxi.example.com"),
            registrar=Uri(host="biloxi.example.com"),
            next_hops=(PROXY,),
            username="bob",
            password="not a secret",
        ),
        solo.now,
    )
    solo.collect()
    return solo, solo.last(Request)


def states(solo: Solo) -> list[RegistrationStatus]:
    found = [event.state for event in solo.events if isinstance(event, RegistrationChanged)]
    solo.events.clear()
    return found


def registered() -> tuple[Solo, Request]:
    solo, first = registering()
    second = one(respond(solo, first, 401, WWW_Authenticate=CHALLENGE), "REGISTER")
    assert "Authorization" not in first.headers
    assert 'username="bob"' in (second.headers.get("Authorization") or "")
    assert (second.call_id, second.from_.tag) == (first.call_id, first.from_.tag)
    assert second.cseq.number == first.cseq.number + 1
    respond(solo, second, 200, Contact=f"{second.contact};expires=3600")
    assert states(solo) == [RegistrationStatus.REGISTERING, RegistrationStatus.REGISTERED]
    return solo, second


def test_2_1_successful_new_registration() -> None:
    registered()


def test_2_2_update_of_the_contact_list_with_contacts_of_others() -> None:
    solo, first = registered()
    waited, again = solo.next_request()
    assert 1800 <= waited <= 3240
    assert (again.method, again.call_id) == ("REGISTER", first.call_id)
    assert "Authorization" in again.headers  # §2.2: the nonce is used again without being asked
    others = f"<mailto:bob@biloxi.example.com>;expires=4294967295, {again.contact};expires=600, <sip:b@h>;expires=5"
    respond(solo, again, 200, Contact=others)
    assert states(solo) == []
    assert 300 <= solo.next_request()[0] <= 540


def test_2_4_cancellation_of_a_registration() -> None:
    solo, first = registered()
    solo.endpoint.unregister("trunk", solo.now)
    solo.collect()
    removal = solo.last(Request)
    assert removal.headers.get("Expires") == "0"
    assert removal.contact == first.contact
    respond(solo, removal, 200)
    assert states(solo) == [RegistrationStatus.UNREGISTERING, RegistrationStatus.UNREGISTERED]
    solo.after(40)
    solo.assert_nothing_left()


def test_2_5_unsuccessful_registration() -> None:
    solo, first = registering()
    second = one(respond(solo, first, 401, WWW_Authenticate=CHALLENGE), "REGISTER")
    assert respond(solo, second, 401, WWW_Authenticate=CHALLENGE.replace("f84", "f85")) == []
    failed = [event for event in solo.events if isinstance(event, RegistrationChanged)][-1]
    assert (failed.state, failed.status) == (RegistrationStatus.FAILED, 401)


# -- 3.1 to 3.7: calls that are answered -----------------------------------------------------------------------------


def test_3_1_session_establishment_between_two_ends() -> None:
    def bob(pair: Pair, address: Address, event: object) -> None:
        if isinstance(event, InviteReceived):
            pair.bob.ring(event.session, pair.now)
            assert event.offer is not None
            pair.bob.answer(event.session, answer_of(BOB, event.offer), pair.now)
        elif isinstance(event, SessionConfirmed):
            pair.bob.hang_up(event.session, pair.now)

    pair = Pair.over(on_event=bob)
    pair.call()
    pair.run(1)
    assert ladder(pair) == [
        "Alice: INVITE", "Bob: 100 INVITE", "Bob: 180 INVITE", "Bob: 200 INVITE", "Alice: ACK", "Bob: BYE",
        "Alice: 200 BYE",
    ]  # fmt: skip
    assert [event.status for event in pair.of(ALICE, SessionRinging)] == [180]
    assert len(pair.of(ALICE, SessionAnswered)) == 1
    pair.run(40)
    pair.assert_nothing_left()


def test_3_2_session_establishment_through_two_proxies_as_the_caller() -> None:
    solo = Solo.at()
    session, first = call(solo)
    ack, second = respond(solo, first, 407, Proxy_Authenticate=CHALLENGE)
    assert isinstance(ack, Request)
    assert isinstance(second, Request)
    assert arrows([ack, second]) == ["ACK", "INVITE"]
    assert (ack.via.branch, ack.cseq.number) == (first.via.branch, first.cseq.number)
    assert second.via.branch != first.via.branch
    assert 'username="pay"' in (second.headers.get("Proxy-Authorization") or "")
    respond(solo, second, 100, tag=None)
    # Record-Route: topmost first is the proxy nearest to the callee.
    respond(solo, second, 180, Record_Route=ROUTES, Contact="<sip:bob@192.0.2.201>")
    assert solo.take(SessionRinging).status == 180
    ack = one(respond(solo, second, 200, Record_Route=ROUTES, Contact="<sip:bob@192.0.2.201>", described=True), "ACK")
    assert solo.take(SessionAnswered).answer is not None
    assert str(ack.uri) == "sip:bob@192.0.2.201"
    assert [str(route) for route in ack.routes] == ["<sip:192.0.2.111;lr>", "<sip:ss2.biloxi.example.com;lr>"]
    assert "Proxy-Authorization" in ack.headers
    assert solo.sent[-1][2] == PROXY
    bye = Caller(call_id=second.call_id, tag="8321234356", to_tag=second.from_.tag, address=PROXY).bye()
    assert arrows(solo.receive(bye, PROXY)) == ["200 BYE"]
    ended = solo.take(SessionEnded)
    assert (ended.session, ended.cause) == (session, EndCause.REMOTE_BYE)


def test_3_2_session_establishment_through_two_proxies_as_the_callee() -> None:
    solo, caller = Solo.at(), Caller(address=PROXY)
    solo.receive(caller.invite(headers=f"Record-Route: {ROUTES}"), PROXY)
    session = solo.take(InviteReceived).session
    solo.endpoint.ring(session, solo.now)
    solo.endpoint.answer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    answered = caller.learn(solo.last(Response))
    assert ", ".join(map(str, answered.record_routes)) == ROUTES
    solo.receive(caller.ack(), PROXY)
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    bye = solo.last(Request)
    assert [str(route) for route in bye.routes] == ROUTES.split(", ")
    respond(solo, bye, 200)
    assert solo.take(SessionEnded).cause is EndCause.LOCAL_BYE


def test_3_3_each_of_two_proxies_asks_for_credentials_of_its_realm() -> None:
    solo = Solo.at()
    _, first = call(solo)
    ack, second = respond(solo, first, 407, Proxy_Authenticate=CHALLENGE)
    assert isinstance(second, Request)
    of_the_other = CHALLENGE.replace("atlanta.example.com", "biloxi.example.com").replace("f84f", "c1e2")
    ack, third = respond(solo, second, 407, Proxy_Authenticate=of_the_other)
    assert arrows([ack, third]) == ["ACK", "INVITE"]
    assert isinstance(third, Request)
    answers = third.headers.lines("Proxy-Authorization")
    assert [('realm="atlanta' in answer, 'realm="biloxi' in answer) for answer in answers] == [
        (True, False),
        (False, True),
    ]
    assert third.cseq.number == first.cseq.number + 2
    ack = one(respond(solo, third, 200, Record_Route=ROUTES, Contact="<sip:bob@192.0.2.201>", described=True), "ACK")
    assert ack.headers.count("Proxy-Authorization") == 2  # §22.1: as in the INVITE
    assert solo.take(SessionAnswered)


def test_3_4_a_proxy_that_fails_is_passed_over_for_the_next() -> None:
    solo = Solo.at()
    _, first = call(solo, next_hop=(PROXY, PROXY_2))
    _, second = solo.next_request(33)
    while second.via.branch == first.via.branch:  # seven times the first proxy
        _, second = solo.next_request(33)
    assert (second.call_id, second.from_.tag, solo.sent[-1][2]) == (first.call_id, first.from_.tag, PROXY_2)
    ack, third = respond(solo, second, 407, PROXY_2, Proxy_Authenticate=CHALLENGE)
    assert arrows([ack, third]) == ["ACK", "INVITE"]
    assert isinstance(third, Request)
    assert solo.sent[-1][2] == PROXY_2
    assert one(respond(solo, third, 200, PROXY_2, Contact="<sip:bob@192.0.2.201>", described=True), "ACK")
    assert solo.take(SessionAnswered)


def test_3_6_a_redirection_is_followed_by_the_application() -> None:
    solo = Solo.at()
    target = Uri.parse("sip:bob@biloxi.example.com")
    targets = TargetSet(target)
    _, first = call(solo, str(target))
    moved = "<sip:bob@chicago.example.com;transport=tcp>;q=0.5, <sip:bob@192.0.2.222>"
    assert arrows(respond(solo, first, 302, Contact=moved)) == ["ACK"]
    ended = solo.take(SessionEnded)
    targets.add(ended.status or 0, ended.contacts)
    next_target = targets.next()
    assert str(next_target) == "sip:bob@192.0.2.222"
    _, second = call(solo, str(next_target), next_hop=PROXY_2)
    assert second.call_id != first.call_id
    assert one(respond(solo, second, 200, PROXY_2, Contact="<sip:bob@192.0.2.201>", described=True), "ACK")


def test_3_6_the_description_comes_in_the_ack() -> None:
    solo, caller = Solo.at(), Caller()
    assert arrows(solo.receive(caller.invite(offer=False))) == ["100 INVITE"]
    event = solo.take(InviteReceived)
    assert event.offer is None
    solo.endpoint.ring(event.session, solo.now)
    solo.endpoint.answer(event.session, offer_of(BOB), solo.now)
    solo.collect()
    assert caller.learn(solo.last(Response)).body == offer_of(BOB).serialize()
    solo.receive(caller.ack(body=answer_of(ALICE, offer_of(BOB)).serialize()))
    assert solo.take(SessionConfirmed).answer == answer_of(ALICE, offer_of(BOB))
    assert arrows(solo.receive(caller.bye())) == ["200 BYE"]


def test_3_7_a_re_invite_moves_the_peer_to_another_address() -> None:
    solo, caller = Solo.at(), Caller()
    solo.receive(caller.invite())
    session = solo.take(InviteReceived).session
    solo.endpoint.answer(session, answer_of(BOB, offer_of(ALICE)), solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    solo.receive(caller.ack())
    solo.take(SessionConfirmed)
    moved = Address("192.0.2.103", 5060)
    caller.address = moved
    solo.receive(caller.invite(), moved)
    offer = solo.take(OfferReceived).offer
    assert offer == offer_of(moved)
    solo.endpoint.answer_offer(session, answer_of(BOB, offer), solo.now)
    solo.collect()
    assert line(solo.last(Response)) == "200 INVITE"
    solo.receive(caller.ack(), moved)
    assert solo.take(SessionConfirmed).session == session
    solo.endpoint.hang_up(session, solo.now)
    solo.collect()
    assert str(solo.last(Request).uri) == "sip:alice@192.0.2.103:5060"
    assert solo.sent[-1][2].host == moved.host


# -- 3.8 to 3.11: calls that are not ---------------------------------------------------------------------------------


def test_3_8_nobody_answers_and_the_caller_gives_up() -> None:
    def bob(pair: Pair, address: Address, event: object) -> None:
        if isinstance(event, InviteReceived):
            pair.bob.ring(event.session, pair.now)

    pair = Pair.over(on_event=bob)
    session = pair.call()
    pair.run(1)
    pair.alice.hang_up(session, pair.now)
    pair.run(1)
    said = ladder(pair)
    assert said[:4] == ["Alice: INVITE", "Bob: 100 INVITE", "Bob: 180 INVITE", "Alice: CANCEL"]
    assert sorted(said[4:6]) == ["Bob: 200 CANCEL", "Bob: 487 INVITE"]
    assert said[6:] == ["Alice: ACK"]
    for address in (ALICE, BOB):
        assert [event.cause for event in pair.of(address, SessionEnded)] == [EndCause.CANCELLED]
    pair.run(40)
    pair.assert_nothing_left()


@pytest.mark.parametrize(
    ("status", "rings"),
    [
        (486, False),  # 3.9: busy
        (480, True),  # 3.11: rings, and is then not there
    ],
)
def test_3_9_and_3_11_the_callee_refuses(status: int, rings: bool) -> None:
    def bob(pair: Pair, address: Address, event: object) -> None:
        if isinstance(event, InviteReceived):
            if rings:
                pair.bob.ring(event.session, pair.now)
            pair.bob.reject(event.session, status, pair.now)

    pair = Pair.over(on_event=bob)
    pair.call()
    pair.run(1)
    ringing = ["Bob: 180 INVITE"] if rings else []
    assert ladder(pair) == ["Alice: INVITE", "Bob: 100 INVITE", *ringing, f"Bob: {status} INVITE", "Alice: ACK"]
    for address in (ALICE, BOB):
        assert [(e.cause, e.status) for e in pair.of(address, SessionEnded)] == [(EndCause.REJECTED, status)]
    pair.run(40)
    pair.assert_nothing_left()


def test_3_10_no_response_from_the_callee() -> None:
    pair = Pair.over()
    del pair.endpoints[BOB]
    pair.call()
    pair.run(40)
    # §17.1.1.2: seven times within 32 s.
    assert ladder(pair) == ["Alice: INVITE"] * 7
    ended = pair.of(ALICE, SessionEnded)
    assert [(event.cause, event.status) for event in ended] == [(EndCause.TIMEOUT, None)]
    pair.assert_nothing_left()


def test_3_10_a_proxy_answers_for_it() -> None:
    solo = Solo.at()
    _, invite = call(solo)
    respond(solo, invite, 100, tag=None)
    assert solo.after(31) == []
    assert arrows(respond(solo, invite, 480)) == ["ACK"]
    ended = solo.take(SessionEnded)
    assert (ended.cause, ended.status) == (EndCause.REJECTED, 480)
