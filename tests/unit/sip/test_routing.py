from __future__ import annotations

import pytest

from sip.address import Address, Listener, Transport, choose_listener
from sip.headers import Via
from sip.routing import apply_route_set, next_hop, response_destination
from sip.uri import NameAddr, Uri

SEEN = Address("192.0.2.1", 40000)
PUBLIC = Address("8.8.8.8", 40000)


def test_the_remote_target_is_the_next_hop_without_a_route() -> None:
    assert next_hop(Uri.parse("sip:a@192.0.2.5:5070"), (), SEEN) == Address("192.0.2.5", 5070)


def test_a_target_without_a_port_means_5060() -> None:
    assert next_hop(Uri.parse("sip:a@192.0.2.5"), (), SEEN) == Address("192.0.2.5", 5060)


def test_the_first_route_is_the_next_hop() -> None:
    routes = (NameAddr.parse("<sip:192.0.2.9;lr>"), NameAddr.parse("<sip:192.0.2.10;lr>"))
    assert next_hop(Uri.parse("sip:a@192.0.2.5"), routes, SEEN) == Address("192.0.2.9", 5060)


@pytest.mark.parametrize(
    "target",
    [
        "sip:a@phone.example",
        "sip:a@0.0.0.0",
        "sip:a@239.1.2.3",
        "sip:a@255.255.255.255",
        "sip:a@192.0.2.5:0",
        "sip:a@192.0.2.5;transport=sctp",
        "sip:a@[2001:db8::1]",
        "tel:+15550100",
    ],
)
def test_an_unusable_target_is_replaced_by_the_last_source(target: str) -> None:
    assert next_hop(Uri.parse(target), (), SEEN) == SEEN


def test_a_private_target_is_kept_when_the_packets_come_from_a_private_address() -> None:
    target = Uri.parse("sip:a@10.0.0.5")
    assert next_hop(target, (), Address("10.1.1.1", 5060)) == Address("10.0.0.5", 5060)
    assert next_hop(target, (), PUBLIC) == PUBLIC


def test_an_ipv6_target_is_used_when_the_packets_come_by_ipv6() -> None:
    seen = Address("2001:db8::9", 5060)
    assert next_hop(Uri.parse("sip:a@[2001:db8::1]:5070"), (), seen) == Address("2001:db8::1", 5070)


def test_udp_in_any_case_is_our_transport() -> None:
    assert next_hop(Uri.parse("sip:a@192.0.2.5;transport=UDP"), (), SEEN) == Address("192.0.2.5", 5060)


def test_headers_in_a_target_never_reach_the_request_uri() -> None:
    uri, _ = apply_route_set(Uri.parse("sip:a@192.0.2.5?Route=%3Csip:evil%3E"), ())
    assert str(uri) == "sip:a@192.0.2.5"


def test_responses_go_to_the_source_host_whatever_the_via_says() -> None:
    via = Via.parse("SIP/2.0/UDP 203.0.113.5:5090;branch=z9hG4bK1;maddr=203.0.113.6")
    assert response_destination(via, SEEN) == Address(SEEN.host, 5090)


TCP_SEEN = SEEN._replace(transport=Transport.TCP, listener=2, flow=9)


@pytest.mark.parametrize(
    ("target", "hop"),
    [
        ("sip:a@192.0.2.5;transport=tcp", Address("192.0.2.5", 5060, Transport.TCP)),
        ("sip:a@192.0.2.5;transport=TLS", Address("192.0.2.5", 5061, Transport.TLS)),
        ("sips:a@192.0.2.5", Address("192.0.2.5", 5061, Transport.TLS)),
        ("sips:a@192.0.2.5:7000;transport=tcp", Address("192.0.2.5", 7000, Transport.TLS)),
    ],
)
def test_a_uri_names_its_transport(target: str, hop: Address) -> None:
    assert next_hop(Uri.parse(target), (), SEEN) == hop


def test_a_connection_that_is_there_is_used_again() -> None:
    """RFC 5923 §4: the Contact's port is where the peer listens, which may be behind a firewall."""
    assert next_hop(Uri.parse(f"sip:a@{SEEN.host}:5099;transport=tcp"), (), TCP_SEEN) == TCP_SEEN
    assert next_hop(Uri.parse(f"sip:a@{SEEN.host}:5099"), (), TCP_SEEN) == TCP_SEEN
    assert next_hop(Uri.parse("sip:a@192.0.2.5"), (), TCP_SEEN) == Address("192.0.2.5", 5060)


def test_a_browser_is_reached_by_its_connection_only() -> None:
    web = SEEN._replace(transport=Transport.WS, flow=4)
    assert next_hop(Uri.parse("sip:a@192.0.2.5;transport=ws"), (), web) == web


LISTENERS = (
    Listener(id=1, host="192.0.2.2", port=5060),
    Listener(id=2, transport=Transport.TCP, host="192.0.2.2", port=5060),
    Listener(id=3, host="2001:db8::2", port=5060),
)


@pytest.mark.parametrize(
    ("destination", "chosen"),
    [
        (Address("192.0.2.9", 5060), 1),
        (Address("192.0.2.9", 5060, Transport.TCP), 2),
        (Address("2001:db8::9", 5060), 3),
        (Address("192.0.2.9", 5060, listener=3), 3),
    ],
)
def test_a_message_leaves_by_the_listener_that_fits(destination: Address, chosen: int) -> None:
    assert choose_listener(LISTENERS, destination).id == chosen


def test_without_a_listener_of_that_transport_another_lends_its_address() -> None:
    lent = choose_listener(LISTENERS, Address("192.0.2.9", 5061, Transport.TLS))
    assert (lent.transport, lent.sent_by) == (Transport.TLS, "192.0.2.2:5060")
