"""RFC 3263 (locating SIP servers) and the SRV selection of RFC 2782, without a network; names read as requirements."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.address import Address, Transport
from sip.errors import LocalProtocolError
from sip.targets import (
    MAX_TARGETS,
    Answer,
    HostRecord,
    NamingRecord,
    Question,
    ServiceRecord,
    choose_transport,
    locate,
    order_services,
)
from sip.uri import Uri

UDP, TCP, TLS, WS, WSS = Transport.UDP, Transport.TCP, Transport.TLS, Transport.WS, Transport.WSS
ALL = (UDP, TCP, TLS)
Zone = Mapping[tuple[str, str], Sequence[NamingRecord | ServiceRecord | HostRecord]]
A1, A2, A3 = (HostRecord(f"192.0.2.{n}") for n in (1, 2, 3))


def ask(
    uri: str,
    zone: Zone | None = None,
    *,
    transports: Sequence[Transport] = ALL,
    families: Sequence[int] = (4,),
    fraction: float = 0.0,
) -> tuple[tuple[Address, ...], list[Question]]:
    """Return the targets of a URI and the questions that were asked."""
    search = locate(Uri.parse(uri), transports=transports, families=families, fraction=lambda: fraction)
    asked: list[Question] = []
    try:
        questions = next(search)
        while True:
            asked += questions
            answers: list[Answer] = [(zone or {}).get((name, kind), ()) for name, kind in questions]
            questions = search.send(answers)
    except StopIteration as done:
        return done.value, asked


def targets(uri: str, zone: Zone | None = None, **how: object) -> list[Address]:
    return list(ask(uri, zone, **how)[0])  # type: ignore[arg-type]


# -- 4.1 and 4.2 without the DNS ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:a@192.0.2.1", Address("192.0.2.1", 5060, UDP)),
        ("sip:a@192.0.2.1:5070", Address("192.0.2.1", 5070, UDP)),
        ("sip:a@192.0.2.1;transport=tcp", Address("192.0.2.1", 5060, TCP)),
        ("sip:a@192.0.2.1;transport=TLS", Address("192.0.2.1", 5061, TLS)),
        ("sips:a@192.0.2.1", Address("192.0.2.1", 5061, TLS)),
        ("sips:a@192.0.2.1;transport=tcp", Address("192.0.2.1", 5061, TLS)),
        ("sips:a@192.0.2.1:5070", Address("192.0.2.1", 5070, TLS)),
        ("sip:a@example.com;maddr=192.0.2.9", Address("192.0.2.9", 5060, UDP)),
        ("sips:a@example.com;maddr=192.0.2.9", Address("192.0.2.9", 5061, TLS, name="example.com")),
    ],
)
def test_4_1_numeric_host_is_taken_as_it_is_and_nothing_is_asked(uri: str, expected: Address) -> None:
    found, asked = ask(uri)
    assert found == (expected,)
    assert asked == []


def test_4_1_numeric_ipv6_host_is_taken_where_we_have_a_socket_for_it() -> None:
    assert targets("sip:[2001:db8::1]", families=(4, 6)) == [Address("2001:db8::1", 5060, UDP)]
    assert targets("sip:[2001:db8::1]", families=(4,)) == []


@pytest.mark.parametrize(
    ("uri", "transports"),
    [
        ("sips:a@192.0.2.1;transport=udp", ALL),
        ("sips:a@192.0.2.1", (UDP, TCP)),
        ("sip:a@192.0.2.1;transport=sctp", ALL),
        ("sip:a@192.0.2.1;transport=ws", ALL),
        ("tel:+15005550006", ALL),
        ("sips:a@example.com;transport=udp", ALL),
    ],
)
def test_4_1_what_can_never_be_reached_is_refused(uri: str, transports: Sequence[Transport]) -> None:
    with pytest.raises(LocalProtocolError):
        ask(uri, transports=transports)


def test_4_1_without_udp_the_first_of_our_transports_is_taken() -> None:
    assert choose_transport(Uri.parse("sip:a@192.0.2.1"), (TCP, TLS)) is TCP


def test_4_2_explicit_port_means_address_records_only() -> None:
    found, asked = ask("sip:a@example.com:5070", {("example.com", "A"): (A1, A2)})
    assert found == (Address("192.0.2.1", 5070, UDP), Address("192.0.2.2", 5070, UDP))
    assert asked == [Question("example.com", "A")]


def test_4_2_explicit_transport_without_port_asks_for_its_services() -> None:
    zone: Zone = {
        ("_sip._tcp.example.com", "SRV"): (ServiceRecord(0, 0, 5080, "b.example.com"),),
        ("b.example.com", "A"): (A2,),
    }
    found, asked = ask("sip:a@example.com;transport=tcp", zone)
    assert found == (Address("192.0.2.2", 5080, TCP),)
    assert asked[0] == Question("_sip._tcp.example.com", "SRV")


def test_4_2_without_services_the_domain_is_the_host_on_the_default_port() -> None:
    zone: Zone = {("example.com", "A"): (A1,)}
    assert targets("sip:a@example.com", zone) == [Address("192.0.2.1", 5060, UDP)]
    assert targets("sip:a@example.com;transport=tcp", zone) == [Address("192.0.2.1", 5060, TCP)]
    assert targets("sips:a@example.com", zone) == [Address("192.0.2.1", 5061, TLS, name="example.com")]
    assert targets("sip:a@example.com;transport=wss", zone, transports=(UDP, WSS)) == [
        Address("192.0.2.1", 443, WSS, name="example.com")
    ]


def test_names_of_one_label_have_addresses_only() -> None:
    assert ask("sip:a@pbx", {("pbx", "A"): (A1,)})[1] == [Question("pbx", "A")]


# -- NAPTR ----------------------------------------------------------------------------------------------------------

NAMING: Zone = {
    ("example.com", "NAPTR"): (
        NamingRecord(90, 50, "s", "SIP+D2T", "_sip._tcp.example.com."),
        NamingRecord(50, 50, "s", "SIPS+D2T", "_sips._tcp.example.com"),
        NamingRecord(100, 50, "S", "sip+d2u", "_sip._udp.example.com"),
        NamingRecord(10, 50, "u", "E2U+sip", ""),
        NamingRecord(20, 50, "s", "SIP+D2S", "_sip._sctp.example.com"),
    ),
    ("_sips._tcp.example.com", "SRV"): (ServiceRecord(0, 0, 5061, "tls.example.com"),),
    ("_sip._tcp.example.com", "SRV"): (ServiceRecord(0, 0, 5060, "tcp.example.com"),),
    ("_sip._udp.example.com", "SRV"): (ServiceRecord(0, 0, 5060, "udp.example.com"),),
    ("tls.example.com", "A"): (A1,),
    ("tcp.example.com", "A"): (A2,),
    ("udp.example.com", "A"): (A3,),
}


def test_4_1_naming_records_choose_the_transport_in_their_order() -> None:
    assert targets("sip:a@example.com", NAMING) == [
        Address("192.0.2.1", 5061, TLS, name="example.com"),
        Address("192.0.2.2", 5060, TCP),
        Address("192.0.2.3", 5060, UDP),
    ]


def test_4_1_naming_records_of_transports_that_we_lack_are_passed_over() -> None:
    assert [found.transport for found in targets("sip:a@example.com", NAMING, transports=(UDP,))] == [UDP]


def test_4_1_sips_follows_secure_services_only() -> None:
    assert [found.transport for found in targets("sips:a@example.com", NAMING)] == [TLS]


def test_rfc_5922_7_2_certificate_is_asked_for_the_domain_and_not_for_the_service_target() -> None:
    assert targets("sips:a@example.com", NAMING)[0].name == "example.com"


def test_4_1_without_naming_records_the_services_of_each_transport_are_asked_for() -> None:
    zone = {key: value for key, value in NAMING.items() if key[1] != "NAPTR"}
    found, asked = ask("sip:a@example.com", zone)
    assert [target.transport for target in found] == [UDP, TCP]
    assert asked[1:3] == [Question("_sip._udp.example.com", "SRV"), Question("_sip._tcp.example.com", "SRV")]
    assert [target.transport for target in targets("sips:a@example.com", zone)] == [TLS]


# -- SRV ------------------------------------------------------------------------------------------------------------


def test_rfc_2782_target_of_a_dot_takes_the_service_away() -> None:
    zone: Zone = {
        ("_sip._udp.example.com", "SRV"): (ServiceRecord(0, 0, 0, "."),),
        ("example.com", "A"): (A1,),
    }
    found, asked = ask("sip:a@example.com", zone)
    assert found == ()
    assert Question("example.com", "A") not in asked


def test_4_3_hosts_without_an_address_are_passed_over() -> None:
    zone: Zone = {
        ("_sip._udp.example.com", "SRV"): (
            ServiceRecord(1, 0, 5060, "gone.example.com"),
            ServiceRecord(2, 0, 5060, "here.example.com"),
        ),
        ("here.example.com", "A"): (A2,),
    }
    assert targets("sip:a@example.com", zone) == [Address("192.0.2.2", 5060, UDP)]


def test_both_families_are_tried_in_the_order_of_our_sockets() -> None:
    zone: Zone = {("example.com", "A"): (A1,), ("example.com", "AAAA"): (HostRecord("2001:db8::1"),)}
    assert [t.host for t in targets("sip:a@example.com:5060", zone, families=(6, 4))] == ["2001:db8::1", "192.0.2.1"]
    assert [t.host for t in targets("sip:a@example.com:5060", zone, families=(4, 6))] == ["192.0.2.1", "2001:db8::1"]


@pytest.mark.parametrize("host", ["0.0.0.0", "224.0.1.75", "255.255.255.255", "no address"])
def test_addresses_that_are_nobodys_are_left_out(host: str) -> None:
    assert targets("sip:a@example.com:5060", {("example.com", "A"): (HostRecord(host),)}) == []


def test_the_number_of_targets_is_bounded_and_none_comes_twice() -> None:
    many = tuple(HostRecord(f"192.0.2.{n}") for n in range(1, 40))
    assert len(targets("sip:a@example.com:5060", {("example.com", "A"): many + many})) == MAX_TARGETS
    assert len(targets("sip:a@example.com:5060", {("example.com", "A"): (A1, A1)})) == 1


SERVICES = st.lists(
    st.builds(
        ServiceRecord,
        st.integers(0, 3),
        st.integers(0, 65535),
        st.integers(1, 65535),
        st.sampled_from(["a.example.com", "b.example.com"]),
    ),
    max_size=12,
)


@given(SERVICES, st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=12))
def test_rfc_2782_each_service_comes_once_and_priorities_in_order(
    records: list[ServiceRecord], draws: list[float]
) -> None:
    numbers = itertools.cycle(draws)
    ordered = order_services(records, lambda: next(numbers))
    assert Counter(ordered) == Counter(records)
    assert [record.priority for record in ordered] == sorted(record.priority for record in records)


def test_rfc_2782_services_of_one_priority_are_drawn_in_proportion_to_their_weight() -> None:
    records = [ServiceRecord(1, weight, 5060, f"w{weight}.example.com") for weight in (0, 1, 3, 6)]
    steps = 11_000  # every draw once, evenly: the law itself, not a sample of it
    first = Counter(order_services(records, lambda n=n: n / steps)[0].weight for n in range(steps))  # type: ignore[misc]
    assert {weight: round(count / steps * 11) for weight, count in first.items()} == {0: 1, 1: 1, 3: 3, 6: 6}


def test_rfc_2782_services_without_weights_share_the_load() -> None:
    records = [ServiceRecord(1, 0, 5060, f"{n}.example.com") for n in range(4)]
    first = Counter(order_services(records, lambda n=n: n / 400)[0].target for n in range(400))  # type: ignore[misc]
    assert set(first.values()) == {100}


RECORDS = st.one_of(
    st.builds(
        NamingRecord,
        st.integers(0, 65535),
        st.integers(0, 65535),
        st.sampled_from(["s", "S", "u", ""]),
        st.sampled_from(["SIP+D2U", "SIP+D2T", "SIPS+D2T", "SIPS+D2W", "x"]),
        st.sampled_from(["_sip._udp.example.com", ".", "", "x" * 300]),
    ),
    st.builds(
        ServiceRecord,
        st.integers(0, 65535),
        st.integers(0, 65535),
        st.integers(0, 65535),
        st.sampled_from(["a.example.com", ".", "", "192.0.2.7"]),
    ),
    st.builds(HostRecord, st.sampled_from(["192.0.2.1", "2001:db8::1", "", "x", "0.0.0.0"])),
)


@given(
    st.sampled_from(
        ["sip:a@example.com", "sips:a@example.com", "sip:a@example.com;transport=tcp", "sip:example.com:9"]
    ),
    st.lists(st.lists(RECORDS, max_size=50), min_size=1, max_size=20),
    st.floats(0, 1, exclude_max=True),
)
def test_whatever_the_dns_says_the_search_ends_with_usable_targets(
    uri: str, answers: list[list[NamingRecord | ServiceRecord | HostRecord]], fraction: float
) -> None:
    search = locate(Uri.parse(uri), transports=ALL, families=(4, 6), fraction=lambda: fraction)
    supply = itertools.cycle(answers)
    rounds = 0
    try:
        questions = next(search)
        while True:
            rounds += 1
            assert rounds <= 3
            assert len(questions) <= 2 * MAX_TARGETS
            questions = search.send([next(supply) for _ in questions])
    except StopIteration as done:
        found: tuple[Address, ...] = done.value
    assert len(found) <= MAX_TARGETS
    assert len(set(found)) == len(found)
    for target in found:
        assert target.port
        assert not uri.startswith("sips") or target.transport.is_secure
