"""Registrations under any registrar and any network: nothing raises, one REGISTER is out, and none is forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sip.address import Address, Transport
from sip.endpoint import Endpoint
from sip.message import Request, Response
from sip.parser import is_keepalive, parse_message
from sip.uri import Uri
from tests.support.sip_pair import Solo, make_endpoint
from tests.support.sip_registrar import account

HOPS = tuple(Address(f"192.0.2.{200 + number}", 5060, Transport.TCP) for number in range(3))
HEADERS = {
    "WWW-Authenticate": [
        'Digest realm="r", nonce="{n}", qop="auth"',
        'Digest realm="{n}", nonce="n", stale=true',
        "Digest",
    ],
    "Proxy-Authenticate": [
        'Digest realm="r", nonce="{n}", algorithm=SHA-256',
        'Digest realm="r", nonce="{n}", algorithm=X',
    ],
    "Authentication-Info": ['nextnonce="{n}"', 'rspauth="0", qop=auth, nextnonce="{n}"', "="],
    "Contact": ["{contact};expires={n}", "<sip:x@h>;expires={n}", "*", "<", '{contact};pub-gruu="sip:x@h;gr={n}"'],
    "Expires": ["{n}", "-1", "0"],
    "Min-Expires": ["{n}", "x"],
    "Retry-After": ["{n}", "{n} (busy)"],
    "Service-Route": ["<sip:p{n};lr>", "<sip:p{n}>", ","],
    "Flow-Timer": ["{n}", "x"],
    "Require": ["outbound"],
}
STATUSES = (100, 200, 200, 200, 202, 301, 401, 401, 403, 407, 423, 439, 500, 503, 600)

answers = st.tuples(
    st.just("answer"),
    st.sampled_from(STATUSES),
    st.lists(st.sampled_from([(name, value) for name, values in HEADERS.items() for value in values]), max_size=4),
    st.sampled_from([0, 1, 5, 60, 700, 10**6, 10**12]),
    st.integers(0, 3),
)
steps = st.one_of(
    answers,
    st.tuples(st.just("wait"), st.sampled_from([0.0, 1.0, 33.0, 400.0, 5000.0])),
    st.tuples(st.just("flow"), st.integers(0, 3)),
    st.tuples(st.just("network"), st.sampled_from(HOPS)),
    st.tuples(st.just("addresses"), st.lists(st.sampled_from(HOPS), min_size=1, max_size=3, unique=True)),
    st.tuples(st.just("unregister")),
)


class OnStreams(Solo):
    """Its line ends, which are no message, are left out."""

    def collect(self) -> None:
        for data, destination in self.endpoint.datagrams_to_send(self.now):
            if not is_keepalive(data):
                self.sent.append((self.now, parse_message(data), destination))
        while (event := self.endpoint.next_event()) is not None:
            self.events.append(event)


def answer(solo: Solo, status: int, headers: list[tuple[str, str]], number: int, flow: int) -> None:
    request = next(message for _, message, _ in reversed(solo.sent) if isinstance(message, Request))
    response = Response.to_request(request, status, to_tag="t")
    for name, value in headers:
        response.headers.add(name, value.format(n=number, contact=request.contact))
    solo.receive(response, solo.sent[-1][2]._replace(flow=flow))


def is_registering(endpoint: Endpoint) -> bool:
    return endpoint.statistics.registrations == 1


@given(st.lists(steps, max_size=25), st.booleans())
def test_a_registration_survives_any_registrar(script: list[tuple[object, ...]], with_instance: bool) -> None:
    solo = OnStreams(make_endpoint(Address("192.0.2.2", 5060)))
    solo.endpoint.register(
        account(
            next_hops=HOPS,
            instance_id="here" if with_instance else "",
            outbound_proxy=Uri(host="proxy.example") if with_instance else None,
        ),
        solo.now,
    )
    solo.collect()
    left = False
    for kind, *values in script:
        match kind:
            case "answer":
                answer(solo, *values)  # type: ignore[arg-type]
            case "wait":
                solo.after(values[0])  # type: ignore[arg-type]
            case "flow":
                solo.endpoint.flow_closed(values[0], solo.now)  # type: ignore[arg-type]
            case "network":
                solo.endpoint.transport_error(values[0], solo.now)  # type: ignore[arg-type]
            case "addresses":
                solo.endpoint.update_account("trunk", tuple(values[0]), solo.now)  # type: ignore[arg-type]
            case "unregister":
                left = True
                solo.endpoint.unregister("trunk", solo.now)
        solo.collect()
        solo.after(0)  # on a connection a transaction ends with its answer
        assert solo.endpoint.statistics.transactions <= 1
        assert left or is_registering(solo.endpoint)
        assert not is_registering(solo.endpoint) or solo.endpoint.next_timer() is not None, "it waits for nothing"
    numbers = [message.cseq.number for _, message, _ in solo.sent if isinstance(message, Request)]
    assert numbers == sorted(numbers)
    solo.endpoint.unregister("trunk", solo.now)
    solo.after(200)
    assert not is_registering(solo.endpoint)
    solo.assert_nothing_left()
