"""engine.net.egress: which addresses requests may go to, and that they go to no other (SSRF, DNS rebinding)."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.net.egress import Egress, EgressRefused, is_public
from engine.net.http import NotSent

INSIDE = (
    *("0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"),
    *("169.254.169.254", "169.254.170.2", "168.63.129.16", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1"),
    *("192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *(
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "::ffff:0:127.0.0.1",
        "fe80::1",
        "fe80::1%lo",
    ),
    *("fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "ff05::2", "100::1", "2001::1", "2001:db8::1", "3fff::1"),
    *("2002:7f00:1::", "2002:c0a8:101::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "5f00::1"),
)
OUTSIDE = (
    *("1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1", "169.253.255.255"),
    *("172.15.255.255", "172.32.0.0", "192.0.1.1", "198.17.255.255", "198.20.0.0", "223.255.255.255"),
    *("2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "2002:808:808::1", "64:ff9b::808:808"),
)


def resolver(*addresses: str) -> tuple[list[str], object]:
    """Return what was asked, and a resolver that always gives these."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return addresses

    return asked, resolve


def allowed(host: str, *, allow: Sequence[str] = (), found: Sequence[str] = ()) -> list[str]:
    _, resolve = resolver(*found)
    return asyncio.run(Egress(allow, resolve=resolve).addresses(host, 443))  # type: ignore[arg-type]


# Python's releases differ over these: IPv4 inside IPv6 (judged as itself here), and addresses of protocol blocks.
DIFFERING = [ipaddress.ip_network(text) for text in ("64:ff9b::/96", "2002::/16", "192.0.0.0/24", "2001::/23")]


class TestAddresses:
    @pytest.mark.parametrize("address", INSIDE)
    def test_what_is_not_for_everybody_is_refused(self, address: str) -> None:
        assert not is_public(address)
        with pytest.raises(EgressRefused):
            allowed(address)

    @pytest.mark.parametrize("address", OUTSIDE)
    def test_what_is_for_everybody_is_not(self, address: str) -> None:
        assert is_public(address)
        assert allowed(address) == [address]

    @given(st.ip_addresses(v=4))
    def test_ipv4_inside_ipv6_is_judged_as_itself(self, address: ipaddress.IPv4Address) -> None:
        number = int(address)
        mapped = ipaddress.IPv6Address(0xFFFF << 32 | number)
        nat64 = ipaddress.IPv6Address(0x64FF9B << 96 | number)
        six_to_four = ipaddress.IPv6Address(0x2002 << 112 | number << 80)
        assert {is_public(str(one)) for one in (mapped, nat64, six_to_four)} == {is_public(str(address))}

    @given(st.ip_addresses())
    def test_never_more_than_the_standard_library_calls_global(
        self, address: ipaddress.IPv4Address | ipaddress.IPv6Address
    ) -> None:
        if is_public(str(address)):
            assert not any((address.is_loopback, address.is_link_local, address.is_multicast, address.is_unspecified))
            assert not address.is_private or any(address in network for network in DIFFERING)


class TestNames:
    def test_name_is_resolved_once_and_only_addresses_that_passed_are_given(self) -> None:
        asked, resolve = resolver("10.0.0.1", "8.8.8.8", "::1", "8.8.8.8")
        assert asyncio.run(Egress(resolve=resolve).addresses("a.example", 443)) == ["8.8.8.8"]  # type: ignore[arg-type]
        assert asked == ["a.example"]

    def test_name_with_addresses_inside_only_is_refused_by_its_name(self) -> None:
        with pytest.raises(EgressRefused, match=r"inside\.example .* webhooks\.allow") as caught:
            allowed("inside.example", found=["10.0.0.1", "fd00::1"])
        assert "10.0.0.1" not in str(caught.value)

    @pytest.mark.parametrize("found", [[], ["no address"]])
    def test_name_without_an_address_is_not_sent_to(self, found: list[str]) -> None:
        with pytest.raises(NotSent, match="no address") as caught:
            allowed("a.example", found=found)
        assert not isinstance(caught.value, EgressRefused)

    def test_resolver_that_fails_is_no_breakdown(self) -> None:
        async def resolve(host: str, port: int) -> Sequence[str]:
            raise socket.gaierror(socket.EAI_NONAME, "x")

        with pytest.raises(NotSent, match="no address"):
            asyncio.run(Egress(resolve=resolve).addresses("a.example", 443))

    @pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f.1", "2130706433", "017700000001"])
    def test_other_ways_to_write_loopback_are_refused_by_the_systems_resolver_too(self, host: str) -> None:
        async def ask() -> None:
            egress = Egress()
            try:
                await egress.addresses(host, 80)
            finally:
                egress.close()

        with pytest.raises(NotSent):
            asyncio.run(ask())

    def test_no_more_than_eight_addresses_are_tried(self) -> None:
        assert len(allowed("a.example", found=[f"8.8.8.{n}" for n in range(99)])) == 8


class TestAllow:
    @pytest.mark.parametrize(
        ("allow", "host", "found"),
        [
            (["10.0.0.0/8"], "10.1.2.3", []),
            (["10.1.2.3"], "a.example", ["10.1.2.3"]),
            (["10.1.2.3/8"], "a.example", ["10.9.9.9"]),
            (["10.0.0.0/8"], "::ffff:10.1.2.3", []),
            (["fd00::/8"], "fd00::1", []),
            (["Shop.Internal"], "shop.internal", ["192.168.0.9"]),
            (["shop.internal."], "SHOP.internal.", ["fe80::1%eth0"]),
            (["localhost"], "localhost", ["127.0.0.1"]),
        ],
    )
    def test_networks_and_names_are_admitted(self, allow: list[str], host: str, found: list[str]) -> None:
        assert allowed(host, allow=allow, found=found) == (found or [host])

    @pytest.mark.parametrize(
        ("allow", "host", "found"),
        [
            (["10.0.0.0/8"], "192.168.0.1", []),
            (["shop.internal"], "evil.shop.internal", ["10.0.0.1"]),
            (["shop.internal"], "shop.internal.evil.example", ["10.0.0.1"]),
            (["127.0.0.1"], "127.0.0.2", []),
            (["::1"], "127.0.0.1", []),
        ],
    )
    def test_nothing_else_is(self, allow: list[str], host: str, found: list[str]) -> None:
        with pytest.raises(EgressRefused):
            allowed(host, allow=allow, found=found)

    @pytest.mark.parametrize(
        "entry", ["", "10.0.0.0/33", "10.0.0", "10.0.0.0-10.0.0.9", "*", "a b", "http://a/", "10.0.0.256"]
    )
    def test_what_is_neither_is_a_mistake(self, entry: str) -> None:
        with pytest.raises(ValueError, match="neither a network"):
            Egress([entry])
