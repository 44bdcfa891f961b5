"""Binding: pairs of UDP and TCP, ports that are taken, and nothing left bound when one fails."""

from __future__ import annotations

import socket

import pytest

from engine.config import ListenAddress, split_listen
from engine.errors import MediaError
from engine.net.listen import bind_listeners
from sip.address import Transport


def test_udp_and_tcp_of_one_address_get_the_same_free_port() -> None:
    bound = bind_listeners(split_listen("127.0.0.1:0"), next_free=False)
    assert [(one.id, one.transport) for one in bound] == [(1, Transport.UDP), (2, Transport.TCP)]
    assert bound[0].port == bound[1].port > 0
    for one in bound:
        one.close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_that_is_taken_for_either_is_skipped_for_both(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        bound = bind_listeners(split_listen(f"127.0.0.1:{port}"), next_free=True)
        assert bound[0].port == bound[1].port > port
        for one in bound:
            one.close()


def test_a_taken_tcp_port_is_named_with_the_remedy_and_nothing_stays_bound() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        wanted = [*split_listen("udp:127.0.0.1:0"), ListenAddress(Transport.TCP, "127.0.0.1", port)]
        with pytest.raises(MediaError, match=rf"TCP 127\.0\.0\.1:{port}.*next_free_port"):
            bind_listeners(wanted, next_free=False)
        with pytest.raises(MediaError, match=rf"TCP 127\.0\.0\.1:{port}"):
            bind_listeners(split_listen(f"127.0.0.1:{port}"), next_free=False)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("127.0.0.1", port))  # the UDP half was let go


def test_ids_count_in_the_order_of_the_configuration() -> None:
    wanted = [address for text in ("ws:127.0.0.1:0", "127.0.0.1:0", "[::1]:0") for address in split_listen(text)]
    bound = bind_listeners(wanted, next_free=False)
    assert [one.id for one in bound] == [1, 2, 3, 4, 5]
    assert [one.transport for one in bound] == [address.transport for address in wanted]
    for one in bound:
        one.close()
