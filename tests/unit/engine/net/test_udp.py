"""SIP's socket: who may send here, which port is taken, and what an operator is told when none is."""

from __future__ import annotations

import socket

import pytest

from engine.errors import MediaError
from engine.net.udp import FILTER_CACHE, SourceFilter, bind_udp


@pytest.mark.parametrize(
    ("host", "admitted"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),  # IPv4 as a dual-stack socket shows it
        ("fe80::1%eth0", False),
        ("10.0.0.1", False),
        ("192.0.2.7", False),
    ],
)
def test_only_loopback_is_admitted_by_default(host: str, admitted: bool) -> None:
    assert SourceFilter(("127.0.0.0/8", "::1/128")).admits(host) is admitted


def test_a_registrar_is_admitted_once_it_is_known() -> None:
    sources = SourceFilter(("127.0.0.0/8",))
    assert not sources.admits("192.0.2.10")
    sources.allow("192.0.2.10")
    assert sources.admits("192.0.2.10")
    assert not sources.admits("192.0.2.11")


def test_a_flood_of_sources_does_not_grow_the_filter_without_bound() -> None:
    sources = SourceFilter(("127.0.0.0/8",))
    for number in range(FILTER_CACHE * 2):
        assert not sources.admits(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")
    assert len(sources._known) <= FILTER_CACHE


def test_a_taken_port_is_named_with_the_remedy() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(MediaError, match=rf"127\.0\.0\.1:{port}.*next_free_port"):
            bind_udp("127.0.0.1", port, next_free=False)


def test_the_next_free_port_is_taken_when_that_is_allowed() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with bind_udp("127.0.0.1", port, next_free=True) as found:
            assert found.getsockname()[1] > port
            assert not found.getblocking()
