"""The pool of RTP ports."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from engine.errors import MediaError
from engine.media.ports import PortPair, PortPool

RANGE = (24000, 24007)


@pytest.fixture
def opened() -> Iterator[list[PortPair]]:
    pairs: list[PortPair] = []
    yield pairs
    for pair in pairs:
        pair.close()


def test_pairs_are_even_and_odd_and_taken_in_turn(opened: list[PortPair]) -> None:
    pool = PortPool("127.0.0.1", (24001, 24008))
    opened += [pool.open_pair(0.0) for _ in range(3)]
    assert [pair.port for pair in opened] == [24002, 24004, 24006]
    assert [pair.rtcp.getsockname()[1] for pair in opened] == [24003, 24005, 24007]
    assert not opened[0].rtp.getblocking()


def test_a_pair_rests_before_it_is_used_again(opened: list[PortPair]) -> None:
    pool = PortPool("127.0.0.1", (24000, 24001), quarantine_s=5.0)
    pool.release(pool.open_pair(0.0), 10.0)
    with pytest.raises(MediaError, match="1 pairs rest"):
        pool.open_pair(14.9)
    opened.append(pool.open_pair(15.0))
    assert opened[0].port == 24000


@pytest.mark.parametrize("taken", [24000, 24001])
def test_a_pair_of_which_one_port_is_taken_is_passed_over(opened: list[PortPair], taken: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", taken))
        pool = PortPool("127.0.0.1", RANGE)
        opened.append(pool.open_pair(0.0))
    assert opened[0].port == 24002


def test_exhaustion_tells_range_and_remedy(opened: list[PortPair]) -> None:
    pool = PortPool("127.0.0.1", RANGE)
    opened += [pool.open_pair(0.0) for _ in range(4)]
    with pytest.raises(MediaError, match=r"24000-24007.*widen the port range"):
        pool.open_pair(0.0)


@pytest.mark.parametrize("port_range", [(0, 10), (10, 10), (20, 10), (65534, 65536), (25001, 25002)])
def test_a_range_that_is_none_is_refused(port_range: tuple[int, int]) -> None:
    with pytest.raises(MediaError, match="RTP port range"):
        PortPool("127.0.0.1", port_range)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(MediaError, match="address of this machine"):
        PortPool("192.0.2.1", RANGE).open_pair(0.0)


def test_a_refused_pair_leaves_no_socket_open(opened: list[PortPair]) -> None:
    pool = PortPool("127.0.0.1", RANGE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 24001))
        opened.append(pool.open_pair(0.0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("127.0.0.1", 24000))
