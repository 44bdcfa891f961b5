"""RFC 3263 §4.3: an INVITE with several next hops. RFC 3261 §8.1.3.4: an INVITE that is redirected."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sip.address import Address, Listener, Transport
from sip.credentials import Credentials
from sip.errors import LocalProtocolError
from sip.events import EndCause, SessionAnswered, SessionEnded, SessionId
from sip.failover import MAX_NEXT_HOPS
from sip.message import Request, Response
from sip.redirect import MAX_TARGETS, TargetSet, by_preference
from sip.uri import NameAddr, Uri
from tests.support.sip_pair import ALICE, BOB, Solo, answer_of, offer_of

FIRST, SECOND, THIRD = (Address(f"192.0.2.{number}", 5060) for number in (11, 12, 13))


def calling(
    next_hop: Address | Sequence[Address] = (FIRST, SECOND),
    *,
    try_limit_s: float | None = None,
    credentials: Credentials | None = None,
    listeners: tuple[Listener, ...] = (Listener(id=1, host=BOB.host, port=BOB.port),),
) -> tuple[Solo, SessionId]:
    solo = Solo.at(listeners=listeners)
    session = solo.endpoint.invite(
        Uri(user="agent", host="trunk.example"),
        next_hop=next_hop,
        from_=NameAddr(uri=Uri(user="pay", host=BOB.host)),
        offer=offer_of(BOB),
        now=solo.now,
        try_limit_s=try_limit_s,
        credentials=credentials,
    )
    solo.collect()
    return solo, session


def requests(solo: Solo, method: str = "INVITE") -> list[tuple[Request, Address]]:
    """Each request once, in order, without retransmissions."""
    found: dict[str, tuple[Request, Address]] = {}
    for _, message, destination in solo.sent:
        if isinstance(message, Request) and message.method == method:
            found.setdefault(message.via.branch or "", (message, destination))
    return list(found.values())


def hosts(solo: Solo) -> list[str]:
    return [destination.host for _, destination in requests(solo)]


def reply(invite: Request, status: int, tag: str | None = "theirs", headers: Sequence[tuple[str, str]] = ()) -> bytes:
    response = Response.to_request(invite, status, to_tag=tag)
    response.headers.set("Contact", "<sip:agent@192.0.2.11>")
    for name, value in headers:
        response.headers.set(name, value)
    if status == 200:
        response.headers.set("Content-Type", "application/sdp")
        response.body = answer_of(ALICE, offer_of(BOB)).serialize()
    return response.serialize()


# -- failover --------------------------------------------------------------------------------------------------------


def test_the_next_hop_gets_the_same_call_in_another_transaction() -> None:
    solo, _ = calling()
    solo.receive(reply(requests(solo)[0][0], 503), FIRST)
    (first, _), (second, destination) = requests(solo)
    assert destination == SECOND
    assert second.via.branch != first.via.branch
    assert (second.call_id, second.from_.tag, second.to.tag) == (first.call_id, first.from_.tag, None)
    assert second.cseq.number == first.cseq.number + 1
    assert (second.uri, second.body) == (first.uri, first.body)
    assert not solo.events
    solo.receive(reply(second, 200), SECOND)
    assert solo.take(SessionAnswered)


def test_an_address_alone_is_one_next_hop() -> None:
    solo, _ = calling(FIRST)
    solo.receive(reply(requests(solo)[0][0], 503), FIRST)
    ended = solo.take(SessionEnded)
    assert (ended.cause, ended.status) == (EndCause.REJECTED, 503)


def test_a_hop_that_the_network_refuses_is_left_at_once() -> None:
    solo, _ = calling()
    solo.endpoint.transport_error(FIRST, solo.now)
    solo.collect()
    assert hosts(solo) == [FIRST.host, SECOND.host]


def test_a_connection_that_closes_is_left_at_once() -> None:
    solo, _ = calling((FIRST._replace(transport=Transport.TCP, flow=7), SECOND))
    solo.endpoint.flow_closed(7, solo.now)
    solo.collect()
    assert hosts(solo) == [FIRST.host, SECOND.host]


def test_a_silent_hop_is_left_after_timer_b_or_earlier_if_wished() -> None:
    solo, _ = calling()
    solo.after(31.9)
    assert hosts(solo) == [FIRST.host]
    solo.after(0.2)
    assert hosts(solo) == [FIRST.host, SECOND.host]
    solo, _ = calling(try_limit_s=3.0)
    solo.after(2.9)
    assert hosts(solo) == [FIRST.host]
    solo.after(0.2)
    assert hosts(solo) == [FIRST.host, SECOND.host]
    solo.after(10)  # the last one has the whole of timer B
    assert not solo.events


def test_a_hop_that_answers_100_is_not_silent() -> None:
    solo, _ = calling(try_limit_s=3.0)
    solo.receive(reply(requests(solo)[0][0], 100, None), FIRST)
    solo.after(60)
    assert hosts(solo) == [FIRST.host]


def test_a_hop_that_rang_and_gives_503_is_left() -> None:
    solo, _ = calling()
    invite = requests(solo)[0][0]
    solo.receive(reply(invite, 180), FIRST)
    solo.receive(reply(invite, 503), FIRST)
    assert hosts(solo) == [FIRST.host, SECOND.host]
    assert solo.endpoint.statistics.dialogs == 0


@pytest.mark.parametrize("status", [404, 486, 488, 500, 504, 600, 603])
def test_any_other_refusal_is_the_peers_word(status: int) -> None:
    solo, _ = calling()
    solo.receive(reply(requests(solo)[0][0], status), FIRST)
    assert solo.take(SessionEnded).status == status
    assert hosts(solo) == [FIRST.host]


def test_all_hops_silent_is_a_time_out() -> None:
    solo, _ = calling((FIRST, SECOND, THIRD), try_limit_s=1.0)
    solo.after(40)
    assert hosts(solo) == [FIRST.host, SECOND.host, THIRD.host]
    ended = solo.take(SessionEnded)
    assert (ended.cause, ended.status) == (EndCause.TIMEOUT, None)
    solo.assert_nothing_left()


def test_a_503_says_more_than_silence() -> None:
    solo, _ = calling(try_limit_s=1.0)
    solo.receive(reply(requests(solo)[0][0], 503), FIRST)
    solo.after(33)
    ended = solo.take(SessionEnded)
    assert (ended.cause, ended.status) == (EndCause.REJECTED, 503)
    solo.after(32)
    solo.assert_nothing_left()


def test_who_hung_up_tries_no_further() -> None:
    solo, session = calling()
    solo.endpoint.hang_up(session, solo.now)
    solo.endpoint.transport_error(FIRST, solo.now)
    solo.collect()
    assert hosts(solo) == [FIRST.host]
    assert solo.take(SessionEnded).cause is EndCause.CANCELLED
    solo, session = calling()
    invite = requests(solo)[0][0]
    solo.receive(reply(invite, 180), FIRST)
    solo.endpoint.hang_up(session, solo.now)
    solo.receive(reply(invite, 503), FIRST)
    assert hosts(solo) == [FIRST.host]


def test_a_hop_that_rings_late_is_cancelled() -> None:
    solo, _ = calling(try_limit_s=3.0)
    first = requests(solo)[0][0]
    solo.after(3.5)
    solo.receive(reply(first, 180), FIRST)
    solo.receive(reply(first, 180), FIRST)
    ((cancel, destination),) = requests(solo, "CANCEL")
    assert destination == FIRST
    assert cancel.via.branch == first.via.branch
    assert not solo.events
    solo.receive(Response.to_request(cancel, 200).serialize(), FIRST)
    solo.receive(reply(first, 487), FIRST)
    assert hosts(solo) == [FIRST.host, SECOND.host]
    assert not solo.events


def test_a_hop_that_answers_late_is_hung_up_and_the_call_goes_on() -> None:
    solo, session = calling(try_limit_s=3.0)
    first = requests(solo)[0][0]
    solo.after(3.5)
    solo.receive(reply(requests(solo)[1][0], 200, "second"), SECOND)
    assert solo.take(SessionAnswered).session == session
    solo.receive(reply(first, 200, "first"), FIRST)
    ((bye, _),) = requests(solo, "BYE")
    assert bye.to.tag == "first"
    assert [ack.to.tag for ack, _ in requests(solo, "ACK")] == ["second", "first"]
    solo.receive(reply(first, 200, "first"), FIRST)
    assert len([m for _, m, _ in solo.sent if isinstance(m, Request) and m.method == "ACK"]) == 3
    assert not solo.events


def test_each_hop_is_answered_its_own_challenge() -> None:
    solo, _ = calling(credentials=Credentials(username="pay", password="not a secret"))
    for number, hop in enumerate((FIRST, SECOND)):
        invite = requests(solo)[-1][0]
        assert "Authorization" not in invite.headers
        challenge = ("WWW-Authenticate", f'Digest realm="trunk", nonce="n{number}", qop="auth"')
        solo.receive(reply(invite, 401, headers=[challenge]), hop)
        answered = requests(solo)[-1][0]
        assert f'nonce="n{number}"' in (answered.headers.get("Authorization") or "")
        solo.receive(reply(answered, 503), hop)
    assert hosts(solo) == [FIRST.host, FIRST.host, SECOND.host, SECOND.host]
    assert [invite.cseq.number - requests(solo)[0][0].cseq.number for invite, _ in requests(solo)] == [0, 1, 2, 3]


def test_a_hop_of_another_transport_has_its_own_via_and_contact() -> None:
    listeners = (
        Listener(id=1, host=BOB.host, port=5060),
        Listener(id=2, transport=Transport.TCP, host=BOB.host, port=5080),
    )
    solo, _ = calling((FIRST, SECOND._replace(transport=Transport.TCP)), listeners=listeners)
    solo.receive(reply(requests(solo)[0][0], 503), FIRST)
    (first, _), (second, _) = requests(solo)
    assert (first.via.transport, second.via.transport) == ("UDP", "TCP")
    assert str(second.contact) == "<sip:pay@192.0.2.2:5080;transport=tcp>"
    assert second.headers.count("Contact") == 1


def test_a_list_is_bounded_and_its_repeats_do_not_count() -> None:
    many = [Address(f"198.51.100.{number // 2}", 5060) for number in range(100)]
    solo, _ = calling(many)
    for _ in many:
        solo.receive(reply(requests(solo)[-1][0], 503), FIRST)
    assert hosts(solo) == [f"198.51.100.{number}" for number in range(MAX_NEXT_HOPS)]


def test_no_next_hop_is_a_local_error() -> None:
    with pytest.raises(LocalProtocolError):
        calling(())
    with pytest.raises(LocalProtocolError):
        calling(try_limit_s=0.0)


# -- redirection -----------------------------------------------------------------------------------------------------


def contacts(*texts: str) -> tuple[NameAddr, ...]:
    return tuple(NameAddr.parse(text) for text in texts)


@pytest.mark.parametrize("status", [300, 301, 302])
def test_a_redirection_is_told_with_its_contacts_in_order(status: int) -> None:
    solo, _ = calling(FIRST)
    moved = "<sip:c@192.0.2.3>;q=0.2, <sip:a@192.0.2.1>;q=1.0, <tel:+15550100>;q=0.7, <sip:d@192.0.2.4>"
    solo.receive(reply(requests(solo)[0][0], status, headers=[("Contact", moved)]), FIRST)
    ended = solo.take(SessionEnded)
    assert (ended.cause, ended.status) == (EndCause.REJECTED, status)
    assert [str(contact.uri) for contact in ended.contacts] == [
        "sip:a@192.0.2.1", "sip:d@192.0.2.4", "tel:+15550100", "sip:c@192.0.2.3",
    ]  # fmt: skip


def test_a_refusal_tells_no_contacts() -> None:
    solo, _ = calling(FIRST)
    solo.receive(reply(requests(solo)[0][0], 485, headers=[("Contact", "<sip:a@192.0.2.1>")]), FIRST)
    assert solo.take(SessionEnded).contacts == ()


@pytest.mark.parametrize("q", ["1.5", "nan", "inf", "-1", "x", "", "1e9"])
def test_a_q_that_is_no_share_does_not_disturb_the_order(q: str) -> None:
    ordered = by_preference(contacts("<sip:a@h>;q=0.5", f"<sip:b@h>;q={q}", "<sip:c@h>;q=0.4"))
    assert [c.uri.user for c in ordered if c.uri.user != "b"] == ["a", "c"]


def test_a_target_is_called_once() -> None:
    first = Uri.parse("sip:a@h1")
    targets = TargetSet(first)
    assert targets.add(302, contacts("<sip:b@h2>", "<sip:A@H1>", "<sip:a@h1>", "<sip:b@H2>")) == 2
    assert [str(targets.next()), str(targets.next()), targets.next()] == ["sip:b@h2", "sip:A@H1", None]
    assert targets.add(302, contacts("<sip:a@h1>", "<sip:b@h2>")) == 0


def test_what_a_target_names_is_tried_before_what_was_left() -> None:
    targets = TargetSet(Uri.parse("sip:a@h1"))
    targets.add(300, contacts("<sip:b@h>;q=0.1", "<sip:c@h>;q=0.9"))
    assert str(targets.next()) == "sip:c@h"
    targets.add(302, contacts("<sip:d@h>"))
    assert [str(targets.next()), str(targets.next())] == ["sip:d@h", "sip:b@h"]


def test_a_chain_of_redirections_has_an_end() -> None:
    targets, tried = TargetSet(Uri.parse("sip:0@h")), 1
    for number in range(1, 1000):
        targets.add(302, contacts(f"<sip:{number}@h>"))
        tried += targets.next() is not None
    assert tried == MAX_TARGETS


@pytest.mark.parametrize("text", ["<mailto:a@h>", "<http://h/>", "<im:a@h>"])
def test_only_telephony_is_called(text: str) -> None:
    assert TargetSet(Uri.parse("sip:a@h1")).add(302, contacts(text)) == 0


@pytest.mark.parametrize("status", [305, 380, 399, 404, 200])
def test_only_a_move_is_followed(status: int) -> None:
    assert TargetSet(Uri.parse("sip:a@h1")).add(status, contacts("<sip:b@h2>")) == 0


def test_from_sips_nobody_leads_us_out_of_tls() -> None:
    targets = TargetSet(Uri.parse("sips:a@h1"))
    assert targets.add(302, contacts("<sip:b@h2>", "<tel:+15550100>", "<sips:c@h3>")) == 1
    assert str(targets.next()) == "sips:c@h3"


def test_a_contact_does_not_write_our_request() -> None:
    targets = TargetSet(Uri.parse("sip:a@h1"))
    targets.add(302, contacts("<sip:b@h2;method=BYE;user=phone?Route=%3Csip:evil%3E&Subject=x>"))
    assert str(targets.next()) == "sip:b@h2;user=phone"
