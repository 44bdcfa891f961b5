from __future__ import annotations

import pytest

from sip.address import Address, Listener
from sip.endpoint import Endpoint, EndpointConfig, TraceRecord
from sip.errors import LocalProtocolError
from sip.events import InviteReceived, SessionEnded
from sip.message import Request, Response
from sip.uri import NameAddr, Uri
from tests.support.sip_pair import ALICE, BOB, Solo, answer_of, entropy_of, offer_of
from tests.support.sip_peer import DIGIT_5, Caller


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"\0\0\0\0", b"   "])
def test_keepalives_are_counted_and_not_answered(data: bytes) -> None:
    solo = Solo.at()
    assert solo.receive(data) == []
    assert solo.endpoint.statistics.keepalives == 1
    assert solo.endpoint.statistics.parse_errors == 0


STUN = bytes.fromhex("000100002112a442") + b"\x07" * 12


@pytest.mark.parametrize(
    "data", [STUN, b"\x80\x00\x12\x34" * 40, b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 1500, b"x" * 65_600]
)
def test_what_is_no_sip_is_dropped_and_counted(data: bytes) -> None:
    solo = Solo.at()
    assert solo.receive(data) == []
    assert solo.endpoint.statistics.parse_errors == 1
    solo.assert_nothing_left()


def test_an_ack_is_never_answered_however_broken() -> None:
    solo = Solo.at()
    good = Caller().ack().serialize()
    for bad in (
        good.replace(b"SIP/2.0\r\nVia", b"SIP/9.9\r\nVia"),
        good.replace(b"Max-Forwards: 70", b"Max-Forwards: x"),
    ):
        assert bad != good
        assert solo.receive(bad) == []


def test_a_line_end_in_what_the_application_gives_is_refused_and_leaves_no_session() -> None:
    solo = Solo.at()
    with pytest.raises(LocalProtocolError):
        solo.endpoint.invite(
            Uri(user="alice", host=ALICE.host),
            next_hop=ALICE,
            from_=NameAddr(uri=Uri(host=BOB.host)),
            offer=offer_of(BOB),
            headers=[("Subject", "a\r\nEvil: yes")],
            now=solo.now,
        )
    solo.assert_nothing_left()


def test_a_trace_holds_start_lines_and_no_digits() -> None:
    records: list[TraceRecord] = []
    endpoint = Endpoint(
        EndpointConfig(listeners=(Listener(id=1, host=BOB.host, port=5060),)),
        entropy=entropy_of("trace"),
        trace=records.append,
    )
    caller = Caller(to_tag="nobody")
    endpoint.receive_datagram(caller.info("application/dtmf-relay", DIGIT_5).serialize(), ALICE, 1.0)
    endpoint.datagrams_to_send(1.0)
    assert [(record.sent, record.start_line) for record in records] == [
        (False, "INFO sip:pay@192.0.2.2 SIP/2.0"),
        (True, "SIP/2.0 481 Call/Transaction Does Not Exist"),
    ]
    assert "Signal" not in repr(records)


def test_the_counters_tell_what_happened() -> None:
    solo, caller = Solo.at(), Caller()
    invite = caller.invite()
    solo.receive(invite)
    solo.receive(invite)
    solo.receive(b"garbage")
    solo.receive(Caller(call_id="x").write("MESSAGE"))
    statistics = solo.endpoint.statistics
    assert (statistics.datagrams_in, statistics.datagrams_out) == (4, 3)
    assert (statistics.retransmissions_in, statistics.retransmissions_out) == (1, 1)
    assert (statistics.parse_errors, statistics.refusals) == (1, 1)
    assert (statistics.sessions, statistics.dialogs, statistics.transactions) == (1, 1, 1)


def test_an_ipv6_endpoint_writes_brackets() -> None:
    solo = Solo.at(Address("2001:db8::2", 5070))
    peer = Address("2001:db8::1", 5060)
    solo.endpoint.invite(
        Uri(user="a", host="2001:db8::1"),
        next_hop=peer,
        from_=NameAddr(uri=Uri(user="pay", host="2001:db8::2")),
        offer=offer_of(Address("2001:db8::2", 5070)),
        now=solo.now,
    )
    solo.collect()
    invite = solo.last(Request)
    assert str(invite.contact) == "<sip:pay@[2001:db8::2]:5070>"
    assert (invite.via.host, invite.via.port) == ("2001:db8::2", 5070)


def test_a_flood_of_requests_in_a_dialog_is_bounded() -> None:
    solo, caller = Solo.at(max_sessions=8), Caller()
    solo.receive(caller.invite())
    event = solo.take(InviteReceived)
    assert event.offer is not None
    solo.endpoint.answer(event.session, answer_of(BOB, event.offer), solo.now)
    solo.collect()
    caller.learn(solo.last(Response))
    solo.receive(caller.ack())
    answers = [solo.receive(caller.info("application/dtmf", b"1"))[0] for _ in range(400)]
    statuses = [message.status for message in answers if isinstance(message, Response)]
    assert statuses.count(200) + statuses.count(503) == 400
    assert statuses.count(503) > 100
    assert solo.endpoint.statistics.transactions <= 8 * 32 + 1
    bye = solo.receive(caller.bye())[0]
    assert isinstance(bye, Response)
    assert bye.status == 200  # who hangs up is always heard
    solo.events = [event for event in solo.events if isinstance(event, SessionEnded)]
    solo.take(SessionEnded)


def test_a_thousand_calls_leave_nothing_behind() -> None:
    solo = Solo.at(max_sessions=2000)
    for number in range(1000):
        caller = Caller(call_id=f"call-{number}")
        solo.receive(caller.invite())
        event = solo.events.pop()
        assert isinstance(event, InviteReceived)
        solo.endpoint.answer(event.session, offer_of(BOB), solo.now)
        solo.collect()
        caller.learn(solo.last(Response))
        solo.receive(caller.ack())
        solo.receive(caller.bye())
    assert solo.endpoint.statistics.sessions == 0
    solo.after(40)
    solo.assert_nothing_left()
