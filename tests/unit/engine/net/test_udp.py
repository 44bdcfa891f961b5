"""SIP's socket: which port is taken, and what an operator is told when none is."""

from __future__ import annotations

import socket

import pytest

from engine.errors import MediaError
from engine.net.udp import bind_udp


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
