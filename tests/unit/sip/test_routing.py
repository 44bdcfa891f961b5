from __future__ import annotations

import pytest

from sip.headers import Via
from sip.routing import apply_route_set, next_hop, response_destination
from sip.timers import Address
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
        "sip:a@192.0.2.5;transport=tls",
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
