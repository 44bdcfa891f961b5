"""RFC 3581 (rport) and RFC 3261 §18.2: where responses go."""

from __future__ import annotations

import pytest

from sip.address import Address
from sip.message import Request, Response
from sip.uri import NameAddr, Uri
from tests.support.sip_pair import ALICE, BOB, Solo, offer_of
from tests.support.sip_peer import Caller, request

NAT = Address("198.51.100.7", 33333)


def answer_to(caller: Caller, source: Address) -> tuple[Response, Address]:
    solo = Solo.at()
    solo.receive(caller.write("OPTIONS"), source)
    return solo.last(Response), solo.sent[-1][2]


def test_with_rport_the_response_goes_to_the_port_the_request_came_from() -> None:
    response, destination = answer_to(Caller(), NAT)
    assert destination == NAT
    assert (response.via.received, response.via.rport) == (NAT.host, NAT.port)


def test_rport_and_received_are_filled_in_even_when_they_say_nothing_new() -> None:
    response, destination = answer_to(Caller(), ALICE)  # RFC 3581 §4: MUST, even if identical
    assert destination == ALICE
    assert (response.via.received, response.via.rport) == (ALICE.host, ALICE.port)


def test_without_rport_the_response_goes_to_the_source_host_and_the_port_of_the_via() -> None:
    response, destination = answer_to(Caller(rport=False), NAT)
    assert destination == Address(NAT.host, 5060)
    assert (response.via.received, response.via.rport) == (NAT.host, None)


def test_without_rport_and_with_the_right_host_the_via_stays_as_it_is() -> None:
    response, destination = answer_to(Caller(rport=False), ALICE)
    assert destination == ALICE
    assert response.via.received is None


def test_a_via_without_a_port_means_5060() -> None:
    made = Caller(rport=False).write("OPTIONS")
    made.headers.set("Via", f"SIP/2.0/UDP {ALICE.host};branch=z9hG4bK1")
    solo = Solo.at()
    solo.receive(made, Address(ALICE.host, 40000))
    assert solo.sent[-1][2] == Address(ALICE.host, 5060)


def test_what_a_peer_writes_into_received_is_replaced() -> None:
    made = Caller(rport=False).write("OPTIONS")
    made.headers.set("Via", f"SIP/2.0/UDP {ALICE.host}:5060;branch=z9hG4bK1;received=203.0.113.9")
    solo = Solo.at()
    solo.receive(made, ALICE)
    assert solo.sent[-1][2] == ALICE
    assert solo.last(Response).via.received != "203.0.113.9"


def test_maddr_does_not_choose_who_gets_our_response() -> None:
    made = Caller(rport=False).write("OPTIONS")
    made.headers.set("Via", f"SIP/2.0/UDP {ALICE.host}:5060;branch=z9hG4bK1;maddr=203.0.113.9")
    solo = Solo.at()
    solo.receive(made, ALICE)
    assert solo.sent[-1][2] == ALICE


def test_all_vias_come_back_in_order() -> None:
    made = request(
        f"""OPTIONS sip:pay@{BOB.host} SIP/2.0
        Via: SIP/2.0/UDP {ALICE.host};branch=z9hG4bK1;rport, SIP/2.0/TCP 192.0.2.20;branch=z9hG4bK2
        Via: SIP/2.0/TLS 192.0.2.21:5061;branch=z9hG4bK3;received=10.0.0.1
        From: <sip:a@a.example>;tag=1
        To: <sip:pay@{BOB.host}>
        Call-ID: vias
        CSeq: 1 OPTIONS"""
    )
    solo = Solo.at()
    solo.receive(made, ALICE)
    response = solo.last(Response)
    assert [via.branch for via in response.vias] == ["z9hG4bK1", "z9hG4bK2", "z9hG4bK3"]
    assert response.vias[2].received == "10.0.0.1"


def test_an_ipv6_source_is_written_with_brackets() -> None:
    made = Caller(address=Address("192.0.2.1", 5060)).write("OPTIONS")
    made.headers.set("Via", "SIP/2.0/UDP [2001:db8::9]:5060;branch=z9hG4bK1;rport")
    solo = Solo.at(Address("2001:db8::2", 5060))
    solo.receive(made, Address("2001:db8::1", 40000))
    assert solo.sent[-1][2] == Address("2001:db8::1", 40000)
    assert "received=[2001:db8::1]" in (solo.last(Response).headers.get("Via") or "")


def test_our_requests_ask_for_rport() -> None:
    solo = Solo.at()
    solo.endpoint.invite(
        Uri(user="alice", host=ALICE.host),
        next_hop=ALICE,
        from_=NameAddr(uri=Uri(host=BOB.host)),
        offer=offer_of(BOB),
        now=solo.now,
    )
    solo.collect()
    via = solo.last(Request).via
    assert via.wants_rport
    assert (via.host, via.port) == (BOB.host, BOB.port)


@pytest.mark.parametrize("method", ["INVITE", "BYE", "MESSAGE"])
def test_a_malformed_request_is_answered_to_its_source_too(method: str) -> None:
    data = (
        f"{method} sip:pay@{BOB.host} SIP/2.0\r\nVia: SIP/2.0/UDP 10.9.9.9;branch=z9hG4bK1;rport\r\n"
        f"From: <sip:a@a.example>;tag=1\r\nTo: <sip:pay@{BOB.host}>\r\nCall-ID: x\r\n"
        f"CSeq: 1 {method}\r\nMax-Forwards: many\r\n\r\n"
    )
    solo = Solo.at()
    solo.receive(data.encode(), NAT)
    assert (solo.last(Response).status, solo.sent[-1][2]) == (400, NAT)
    solo.assert_nothing_left()
