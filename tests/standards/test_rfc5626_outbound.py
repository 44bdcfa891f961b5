"""RFC 5626: registrations that live on a connection: who offers it, keep-alives, and what follows when it is gone."""

from __future__ import annotations

import itertools

import pytest

from sip.address import Address, Transport
from sip.events import RegistrationChanged, RegistrationStatus
from sip.message import Request
from tests.support.sip_pair import Solo
from tests.support.sip_registrar import REGISTRAR, accepted, registering, reply, requests_in, states

HOP = REGISTRAR._replace(transport=Transport.TCP)
SECOND = Address("192.0.2.201", 5060, Transport.TCP)
FLOW = 7
FROM_REGISTRAR = HOP._replace(flow=FLOW)
PING = b"\r\n\r\n"


def connected(hops: tuple[Address, ...] = (HOP,), **headers: str) -> tuple[Solo, Request]:
    """Return an endpoint that has registered over connection 7, and its REGISTER."""
    solo, request = registering(next_hops=hops, instance_id="host/trunk")
    solo.receive(accepted(request, 3600, **headers), FROM_REGISTRAR)
    assert states(solo)[-1] is RegistrationStatus.REGISTERED
    return solo, request


def pings(solo: Solo, seconds: float) -> list[tuple[float, Address]]:
    """Let time pass; return when line ends were sent, and where."""
    end, sent = solo.now + seconds, []
    while (due := solo.endpoint.next_timer()) is not None and due <= end:
        solo.now = max(due, solo.now)
        solo.endpoint.handle_timer(solo.now)
        sent += [(solo.now, where) for data, where in solo.endpoint.datagrams_to_send(solo.now) if data == PING]
    solo.now = end
    return sent


# -- §4.2: what is offered ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TLS, Transport.WSS])
def test_4_2_over_a_connection_the_flow_is_offered(transport: Transport) -> None:
    _, request = registering(next_hops=(HOP._replace(transport=transport),), instance_id="host/trunk")
    assert request.contact is not None
    assert request.contact.param("reg-id") == "1"
    assert (request.contact.param("+sip.instance") or "").startswith("<urn:uuid:")
    assert "outbound" in request.headers.get_all("Supported")


@pytest.mark.parametrize(
    ("changes", "offered"),
    [
        ({"next_hops": (REGISTRAR,)}, False),
        ({"next_hops": (REGISTRAR,), "outbound": True}, True),
        ({"next_hops": (HOP,), "outbound": False}, False),
        ({"next_hops": (HOP,), "instance_id": ""}, False),
        ({"next_hops": (HOP,), "gruu": False}, True),
    ],
)
def test_it_is_offered_over_connections_or_as_configured(changes: dict[str, object], offered: bool) -> None:
    _, request = registering(**({"instance_id": "host/trunk"} | changes))
    assert request.contact is not None
    assert ("outbound" in request.headers.get_all("Supported")) is offered
    assert (request.contact.param("reg-id") == "1") is offered


def test_11_6_a_first_hop_that_does_not_keep_to_it_is_registered_with_as_ever() -> None:
    solo, request = registering(next_hops=(HOP,), instance_id="host/trunk")
    second = requests_in(solo.receive(reply(request, 439), FROM_REGISTRAR))[0]
    assert second.contact is not None
    assert second.contact.param("reg-id") is None
    assert "outbound" not in second.headers.get_all("Supported")
    assert requests_in(solo.receive(reply(second, 439), FROM_REGISTRAR)) == []
    assert states(solo)[-1] is RegistrationStatus.FAILED


# -- §4.4: keep-alive --------------------------------------------------------------------------------------------------


def test_4_4_1_the_flow_timer_is_told_and_kept_to() -> None:
    solo, request = registering(next_hops=(HOP,), instance_id="host/trunk")
    solo.receive(accepted(request, 3600, Flow_Timer="100", Require="outbound"), FROM_REGISTRAR)
    event = [event for event in solo.events if isinstance(event, RegistrationChanged)][-1]
    assert event.flow_timer_s == 100
    begin = solo.now
    sent = pings(solo, 1000)
    times = [begin, *(when for when, _ in sent)]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert len(gaps) >= 10
    assert all(80 <= gap <= 100 for gap in gaps)
    assert {where for _, where in sent} == {FROM_REGISTRAR}


def test_4_4_1_without_a_flow_timer_it_is_95_to_120_s() -> None:
    solo, _ = connected(Require="outbound")
    begin = solo.now
    (first, _), *_ = pings(solo, 130)
    assert 95 <= first - begin <= 120


def test_a_registrar_that_said_nothing_gets_none() -> None:
    solo, _ = connected()
    assert pings(solo, 1500) == []


def test_no_line_ends_go_over_udp() -> None:
    solo, request = registering(instance_id="host/trunk", outbound=True)
    solo.receive(accepted(request, 3600, Flow_Timer="25", Require="outbound"))
    assert pings(solo, 1500) == []


def test_keep_alives_end_with_the_registration() -> None:
    solo, _ = connected(Flow_Timer="100", Require="outbound")
    solo.endpoint.unregister("trunk", solo.now)
    solo.collect()
    solo.receive(reply(solo.last(Request), 200), FROM_REGISTRAR)
    assert pings(solo, 1500) == []
    solo.assert_nothing_left()


# -- §4.2.1, §4.5: the connection --------------------------------------------------------------------------------------


def test_a_refresh_goes_by_the_connection_of_the_registration() -> None:
    solo, _ = connected()
    solo.next_request()
    assert solo.sent[-1][2] == FROM_REGISTRAR
    assert solo.endpoint.account_next_hop("trunk") == FROM_REGISTRAR


def test_4_5_when_an_idle_connection_is_gone_the_account_registers_again_at_once() -> None:
    solo, request = connected()
    solo.after(100)
    solo.endpoint.flow_closed(FLOW, solo.now)
    again = requests_in([message for _, message in solo.after(0)])
    assert len(again) == 1
    assert again[0].call_id == request.call_id
    assert solo.sent[-1][2] == HOP  # a new connection
    solo.receive(accepted(again[0]), HOP._replace(flow=9))
    assert solo.endpoint.account_next_hop("trunk") == HOP._replace(flow=9)
    assert states(solo) == []


def test_4_5_an_error_of_the_network_on_an_idle_connection_is_the_same() -> None:
    solo, _ = connected()
    solo.after(100)
    solo.endpoint.transport_error(FROM_REGISTRAR, solo.now)
    assert len(requests_in([message for _, message in solo.after(0)])) == 1


def test_other_connections_are_no_matter() -> None:
    solo, _ = connected()
    solo.after(100)
    for flow in (0, 8):
        solo.endpoint.flow_closed(flow, solo.now)
    solo.endpoint.transport_error(SECOND, solo.now)
    solo.endpoint.transport_error(HOP._replace(flow=8), solo.now)
    assert solo.after(0) == []


def test_a_registrar_that_hangs_up_after_each_answer_is_not_hammered() -> None:
    solo, _ = connected()
    times = []
    for flow in range(FLOW, FLOW + 5):
        solo.endpoint.flow_closed(flow, solo.now)
        _, request = solo.next_request()
        times.append(solo.now)
        solo.receive(accepted(request, 3600), HOP._replace(flow=flow + 1))
    assert [after - before for before, after in itertools.pairwise(times)] == [30, 30, 30, 30]


def test_one_loss_that_is_told_in_several_ways_is_one() -> None:
    solo, _ = connected()
    solo.after(100)
    begin = solo.now
    solo.endpoint.flow_closed(FLOW, solo.now)
    for _ in range(3):
        solo.now += 0.001
        solo.endpoint.transport_error(HOP, solo.now)
    solo.next_request()
    assert solo.now - begin < 0.01


def test_errors_that_come_in_a_heap_do_not_put_the_recovery_off() -> None:
    solo, _ = connected()
    solo.endpoint.flow_closed(FLOW, solo.now)
    _, request = solo.next_request()
    solo.receive(accepted(request, 3600), HOP._replace(flow=8))
    begin = solo.now
    for _ in range(10):
        solo.endpoint.transport_error(HOP, solo.now)
        solo.after(1)
    solo.next_request()
    assert solo.now - begin == 30


def test_a_connection_that_is_lost_during_a_refresh_is_replaced_before_another_address_is_tried() -> None:
    solo, _ = connected((HOP, SECOND))
    solo.next_request()
    solo.endpoint.flow_closed(FLOW, solo.now)
    solo.collect()
    assert solo.sent[-1][2] == HOP
    solo.endpoint.transport_error(HOP, solo.now)
    solo.collect()
    assert solo.sent[-1][2] == SECOND
    solo.receive(accepted(solo.last(Request)), SECOND._replace(flow=9))
    assert solo.endpoint.account_next_hop("trunk") == SECOND._replace(flow=9)
    assert states(solo) == []


def test_a_registrar_that_is_gone_for_good_is_tried_with_growing_patience() -> None:
    solo, _ = connected()
    solo.after(100)
    solo.endpoint.flow_closed(FLOW, solo.now)
    solo.after(0)
    waits = []
    for _ in range(4):
        solo.endpoint.transport_error(HOP, solo.now)
        solo.collect()
        waits.append(solo.next_request()[0])
    assert waits == [30, 60, 120, 240]
    assert states(solo)[0] is RegistrationStatus.FAILED


def test_a_lost_connection_does_not_bring_back_who_leaves() -> None:
    solo, _ = connected()
    solo.endpoint.unregister("trunk", solo.now)
    solo.collect()
    solo.endpoint.flow_closed(FLOW, solo.now)
    solo.collect()
    assert solo.last(Request).headers.get("Expires") == "0"
    solo.endpoint.transport_error(HOP, solo.now)
    solo.collect()
    assert states(solo)[-1] is RegistrationStatus.UNREGISTERED
    solo.after(5000)
    solo.assert_nothing_left()
