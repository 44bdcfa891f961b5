"""The resolver against a DNS server on loopback: what is asked, kept and believed when the DNS misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import engine.net.dns
from engine.config import DnsConfig, parse
from engine.errors import ConfigError, TargetError
from engine.net.dns import Resolver
from sip.address import Address, Transport
from sip.uri import Uri
from tests.support.dns_server import DnsServer, running_dns_server

UDP, TCP, TLS = Transport.UDP, Transport.TCP, Transport.TLS
ALL = (UDP, TCP, TLS)
PATIENCE_S = 0.4
ZONE: Mapping[tuple[str, str], Sequence[str]] = {
    ("pbx.example", "NAPTR"): (
        '10 10 "s" "SIPS+D2T" "" _sips._tcp.pbx.example.',
        '20 10 "s" "SIP+D2T" "" _sip._tcp.pbx.example.',
        '30 10 "s" "SIP+D2U" "" _sip._udp.pbx.example.',
    ),
    ("_sips._tcp.pbx.example", "SRV"): ("1 0 5061 one.pbx.example.",),
    ("_sip._tcp.pbx.example", "SRV"): ("1 0 5060 one.pbx.example.",),
    ("_sip._udp.pbx.example", "SRV"): ("2 0 5062 two.pbx.example.", "1 0 5060 one.pbx.example."),
    ("one.pbx.example", "A"): ("192.0.2.1",),
    ("two.pbx.example", "A"): ("192.0.2.2",),
    ("plain.example", "A"): ("192.0.2.3",),
    ("alias.example", "CNAME"): ("plain.example.",),
    ("loop.example", "CNAME"): ("pool.example.",),
    ("pool.example", "CNAME"): ("loop.example.",),
}


def run(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scene)


class Clocked(asyncio.SelectorEventLoop):
    """A loop whose time the test moves on."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


def resolver(server: DnsServer, *, hosts: Path = Path("/nonexistent"), families: Sequence[int] = (4,)) -> Resolver:
    config = DnsConfig(servers=(server.address,), timeout_s=PATIENCE_S)
    return Resolver(config, families=families, fraction=lambda: 0.5, hosts=hosts)


async def find(found: Resolver, uri: str, transports: Sequence[Transport] = ALL) -> list[Address]:
    return list(await found.targets(Uri.parse(uri), transports=transports))


def test_naming_services_and_addresses_are_followed() -> None:
    async def play() -> None:
        async with running_dns_server(ZONE) as server:
            assert await find(resolver(server), "sip:a@pbx.example") == [
                Address("192.0.2.1", 5061, TLS, name="pbx.example"),
                Address("192.0.2.1", 5060, TCP),
                Address("192.0.2.1", 5060, UDP),
                Address("192.0.2.2", 5062, UDP),
            ]
            assert await find(resolver(server), "sip:a@pbx.example", (UDP,)) == [
                Address("192.0.2.1", 5060, UDP),
                Address("192.0.2.2", 5062, UDP),
            ]

    run(play())


def test_a_numeric_host_asks_nobody() -> None:
    async def play() -> None:
        async with running_dns_server(ZONE) as server:
            assert await find(resolver(server), "sip:192.0.2.9") == [Address("192.0.2.9", 5060, UDP)]
            assert server.asked == []

    run(play())


def test_aliases_are_followed_and_a_loop_of_them_ends() -> None:
    async def play() -> None:
        async with running_dns_server(ZONE) as server:
            assert await find(resolver(server), "sip:a@alias.example:5060") == [Address("192.0.2.3", 5060, UDP)]
            with pytest.raises(TargetError):
                await find(resolver(server), "sip:a@loop.example:5060")
            assert len(server.asked) < 20

    run(play())


def test_an_answer_that_does_not_fit_comes_by_tcp() -> None:
    async def play() -> None:
        async with running_dns_server(ZONE) as server:
            server.truncated = {"SRV"}
            found = await find(resolver(server), "sip:a@pbx.example;transport=udp")
            assert [target.host for target in found] == ["192.0.2.1", "192.0.2.2"]
            assert server.by_tcp == 1

    run(play())


@pytest.mark.parametrize("fault", ["silent", "garbage", "refused"])
def test_a_dns_that_fails_at_services_leaves_the_address(fault: str) -> None:
    async def play() -> None:
        async with running_dns_server(ZONE) as server:
            setattr(server, fault, {"NAPTR", "SRV"})
            assert await find(resolver(server), "sip:a@plain.example") == [Address("192.0.2.3", 5060, UDP)]

    run(play())


@pytest.mark.parametrize("fault", ["silent", "garbage", "refused"])
def test_a_dns_that_fails_altogether_is_told_apart_from_a_name_without_address(fault: str) -> None:
    async def play() -> None:
        async with running_dns_server(ZONE) as server:
            with pytest.raises(TargetError, match="has no address"):
                await find(resolver(server), "sip:a@nobody.example")
            setattr(server, fault, {"A", "SRV", "NAPTR"})
            with pytest.raises(TargetError, match="does not answer"):
                await find(resolver(server), "sip:a@plain.example:5060")

    run(play())


def test_what_cannot_be_reached_is_said_without_the_user() -> None:
    async def play() -> None:
        async with running_dns_server(ZONE) as server:
            with pytest.raises(TargetError) as told:
                await find(resolver(server), "sips:+15005550006@pbx.example", (UDP,))
            assert "+15005550006" not in str(told.value)
            assert "sips:pbx.example" in str(told.value)

    run(play())


def test_answers_are_kept_for_their_time_and_negative_ones_too() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Clocked)
        async with running_dns_server(ZONE, ttl_s=100) as server:
            found = resolver(server)
            for _ in range(3):
                await find(found, "sip:a@plain.example")
            asked = len(server.asked)
            assert sorted(server.asked) == sorted(set(server.asked))
            loop.ahead_s += 50
            await find(found, "sip:a@plain.example")
            assert [kind for _, kind in server.asked[asked:]].count("A") == 0
            loop.ahead_s += 60
            await find(found, "sip:a@plain.example")
            assert ("plain.example", "A") in server.asked[asked:]

    with asyncio.Runner(loop_factory=Clocked) as runner:
        runner.run(play())


def test_rfc_8767_what_was_known_serves_on_while_nobody_answers() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Clocked)
        async with running_dns_server(ZONE, ttl_s=10) as server:
            found = resolver(server)
            first = await find(found, "sip:a@pbx.example")
            server.silent = {"*"}
            loop.ahead_s += 3600
            assert await find(found, "sip:a@pbx.example") == first
            asked = len(server.asked)
            assert await find(found, "sip:a@pbx.example") == first  # and is not asked for again at once
            assert len(server.asked) == asked
            loop.ahead_s += 2 * 86_400
            with pytest.raises(TargetError, match="does not answer"):
                await find(found, "sip:a@pbx.example")

    with asyncio.Runner(loop_factory=Clocked) as runner:
        runner.run(play())


def test_a_question_is_asked_once_however_many_wait() -> None:
    async def play() -> None:
        async with running_dns_server(ZONE) as server:
            found = resolver(server)
            searches = [asyncio.ensure_future(find(found, "sip:a@plain.example:5060")) for _ in range(20)]
            await asyncio.sleep(0)
            searches.pop().cancel()
            for targets in await asyncio.gather(*searches):
                assert targets == [Address("192.0.2.3", 5060, UDP)]
            assert server.asked == [("plain.example", "A")]

    run(play())


def test_the_cache_and_the_list_of_failures_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.net.dns, "MAX_CACHED", 5)
    monkeypatch.setattr(engine.net.dns, "MAX_FAILED", 5)

    async def play() -> None:
        async with running_dns_server({(f"h{n}.example", "A"): ("192.0.2.1",) for n in range(9)}) as server:
            found = resolver(server)
            for n in range(9):
                await find(found, f"sip:h{n}.example:5060")
                found.mark_failed(Address(f"192.0.2.{n}", 5060), float(n))
            assert len(found._cache) == 5
            assert len(found._failed) == 5
            assert found._asked == {}

    run(play())


def test_a_target_that_failed_is_tried_last_for_a_while() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Clocked)
        async with running_dns_server(ZONE) as server:
            found = resolver(server)
            one, two = await find(found, "sip:a@pbx.example;transport=udp")
            found.mark_failed(one._replace(flow=7, listener=1), loop.time())
            assert await find(found, "sip:a@pbx.example;transport=udp") == [two, one]
            found.mark_failed(two, loop.time())
            assert await find(found, "sip:a@pbx.example;transport=udp") == [one, two]
            loop.ahead_s += 31
            assert await find(found, "sip:a@pbx.example;transport=udp") == [one, two]

    with asyncio.Runner(loop_factory=Clocked) as runner:
        runner.run(play())


def test_the_hosts_file_comes_before_the_dns_and_is_read_again_when_it_changes(tmp_path: Path) -> None:
    async def play() -> None:
        hosts = tmp_path / "hosts"
        hosts.write_text("# comment\nnonsense here\n192.0.2.77 plain.example PBX # both\n2001:db8::7 plain.example\n")
        async with running_dns_server(ZONE) as server:
            found = resolver(server, hosts=hosts, families=(4, 6))
            assert [t.host for t in await find(found, "sip:plain.example:5060")] == ["192.0.2.77", "2001:db8::7"]
            assert [t.host for t in await find(found, "sip:pbx:5060")] == ["192.0.2.77"]
            assert server.asked == []
            hosts.write_text("192.0.2.78 other.example\n")
            assert [t.host for t in await find(found, "sip:plain.example:5060")] == ["192.0.2.3"]

    run(play())


def test_names_of_one_label_are_the_systems() -> None:
    async def play() -> None:
        async with running_dns_server(ZONE) as server:
            found = await find(resolver(server), "sip:a@localhost")
            assert Address("127.0.0.1", 5060, UDP) in found
            assert server.asked == []

    run(play())


@pytest.mark.parametrize("name", ["a" * 64 + ".example", ".".join(["abcdefgh"] * 30), "xn--.example"])
def test_what_is_no_name_of_the_dns_has_no_address(name: str) -> None:
    async def play() -> None:
        async with running_dns_server(ZONE) as server:
            with pytest.raises(TargetError):
                await find(resolver(server), f"sip:{name}")

    run(play())


def test_servers_are_checked_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"sip\.dns\.servers"):
        parse('[sip.dns]\nservers = ["dns.example.com"]\n')
    assert parse('[sip.dns]\nservers = ["192.0.2.53", "[2001:db8::53]:5353"]\n').sip.dns.timeout_s > 0
