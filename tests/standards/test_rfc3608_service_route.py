"""RFC 3608: the route that a registrar gives for the account's requests outside dialogs."""

from __future__ import annotations

from sip.message import Request
from sip.uri import NameAddr, Uri
from tests.support.sip_pair import BOB, Solo, offer_of
from tests.support.sip_registrar import REGISTRAR, accepted, registering, reply


def route_of(solo: Solo) -> list[str]:
    return [str(route) for route in solo.endpoint.account_route("trunk")]


def test_5_the_service_route_of_the_last_2xx_is_kept_in_order() -> None:
    solo, request = registering()
    solo.receive(accepted(request, Service_Route="<sip:p1.example;lr>, <sip:p2.example;lr>"))
    assert route_of(solo) == ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]
    _, refresh = solo.next_request()
    assert refresh.routes == ()  # it is not for REGISTER
    solo.receive(accepted(refresh, Service_Route="<sip:p3.example;lr>"))
    assert route_of(solo) == ["<sip:p3.example;lr>"]


def test_5_a_2xx_without_one_takes_it_back() -> None:
    solo, request = registering()
    solo.receive(accepted(request, Service_Route="<sip:p1.example;lr>"))
    _, refresh = solo.next_request()
    solo.receive(accepted(refresh))
    assert route_of(solo) == []


def test_it_ends_with_the_binding() -> None:
    solo, request = registering()
    solo.receive(accepted(request, Service_Route="<sip:p1.example;lr>"))
    _, refresh = solo.next_request()
    solo.receive(reply(refresh, 403))
    assert route_of(solo) == []


def test_the_outbound_proxy_comes_first_and_once() -> None:
    proxy = Uri(host="p1.example")
    solo, request = registering(outbound_proxy=proxy)
    solo.receive(accepted(request, Service_Route="<sip:p2.example;lr>"))
    assert route_of(solo) == ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]
    _, refresh = solo.next_request()
    solo.receive(accepted(refresh, Service_Route="<sip:P1.example;lr>, <sip:p2.example;lr>"))
    assert route_of(solo) == ["<sip:P1.example;lr>", "<sip:p2.example;lr>"]


def test_a_route_that_could_lead_astray_is_not_taken() -> None:
    for value in ("<sip:strict.example>", "sip:p1.example;lr", "<sip:p1.example;lr>, <nothing>", "<sip:p;lr>," * 40):
        solo, request = registering()
        solo.receive(accepted(request, Service_Route=value))
        assert route_of(solo) == [], value


def test_6_1_a_call_of_the_account_takes_the_route() -> None:
    solo, request = registering()
    solo.receive(accepted(request, Service_Route="<sip:p1.example;lr>"))
    solo.endpoint.invite(
        Uri(user="42", host="pbx.example"),
        next_hop=REGISTRAR,
        from_=NameAddr(uri=Uri(user="pay", host="pbx.example")),
        offer=offer_of(BOB),
        headers=[("Route", str(route)) for route in solo.endpoint.account_route("trunk")],
        now=solo.now,
    )
    solo.collect()
    invite = solo.last(Request)
    assert [str(route) for route in invite.routes] == ["<sip:p1.example;lr>"]
    assert str(invite.uri) == "sip:42@pbx.example"
    ack = solo.receive(reply(invite, 486))[0]
    assert isinstance(ack, Request)
    assert [str(route) for route in ack.routes] == ["<sip:p1.example;lr>"]
