"""Legs and planes: opening, closing, ports, threads, limits."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import MediaError
from engine.media import (
    DigitReceived,
    Leg,
    LegClosed,
    ManualPlane,
    MediaEvent,
    MediaPlane,
    PlayFinished,
)
from prompts.clip import Clip
from tests.support.rtp_peer import MediaCase, audio
from tests.support.rtp_peer import media_case as a_media_case

PATIENCE_S = 30.0


@pytest.fixture
def case() -> Iterator[MediaCase]:
    with a_media_case() as one:
        yield one


@pytest.fixture
def running() -> Iterator[MediaPlane]:
    plane = MediaPlane(threads=2)
    plane.start()
    try:
        yield plane
    finally:
        plane.stop()


def talk(one: Leg, other: Leg) -> None:
    """Join two legs of ours."""
    for leg, peer in ((one, other), (other, one)):
        leg.configure(
            remote=("127.0.0.1", peer.rtp_port),
            codec="PCMU",
            send_pt=0,
            receive_pts={0: "PCMU"},
            event_receive_pt=101,
            event_send_pt=101,
        )


def open_descriptors() -> set[Path]:
    return set(Path("/proc/self/fd").iterdir())


def wait_for(plane: MediaPlane, enough: int, kind: type[MediaEvent]) -> list[MediaEvent]:
    """Wait on the event descriptor until so many events of a kind came."""
    events: list[MediaEvent] = []
    while sum(isinstance(event, kind) for event in events) < enough:
        readable, _, _ = select.select([plane.event_fd()], [], [], PATIENCE_S)
        assert readable, f"only {len(events)} events came"
        events += plane.drain_events()
    return events


def test_rtp_has_an_even_port_and_rtcp_the_next(case: MediaCase) -> None:
    leg = case.plane.open_leg()
    assert leg.rtp_port % 2 == 0
    assert leg.rtcp_port == leg.rtp_port + 1


def test_closing_a_leg_is_reported_and_frees_its_ports(case: MediaCase) -> None:
    leg = case.plane.open_leg()
    leg.close()
    leg.close()
    assert case.tick() == [LegClosed(leg_id=leg.id)]
    for port in (leg.rtp_port, leg.rtcp_port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", port))
    assert case.plane.statistics().legs == 0


def test_a_closed_leg_can_still_be_asked_for_its_figures(case: MediaCase) -> None:
    leg, peer = case.leg(record=True)
    peer.send_audio(audio(0.02), timestamp=0)
    case.tick(2)
    leg.close()
    case.tick()
    assert leg.statistics().packets_in == 1
    assert case.plane.statistics().packets_in == 1


def test_legs_may_be_closed_in_any_order(case: MediaCase) -> None:
    legs = [case.leg()[0] for _ in range(12)]
    for index in (0, 11, 5, 4, 6, 1):
        legs[index].close()
    closed = [event.leg_id for event in case.tick() if isinstance(event, LegClosed)]
    assert sorted(closed) == sorted(legs[index].id for index in (0, 11, 5, 4, 6, 1))
    assert case.plane.statistics().legs == 6
    before = [leg.statistics().packets_out for leg in legs]
    case.tick()
    after = [leg.statistics().packets_out for leg in legs]
    assert [b - a for a, b in zip(before, after, strict=True)] == [0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0]


def test_exhausted_ports_are_an_error_that_names_the_remedy() -> None:
    plane = ManualPlane(port_range=(23000, 23003))
    try:
        plane.open_leg()
        plane.open_leg()
        with pytest.raises(MediaError, match=r"23000-23003.*widen the port range"):
            plane.open_leg()
    finally:
        plane.stop()


def test_a_leg_hears_only_after_it_is_configured(case: MediaCase) -> None:
    leg = case.plane.open_leg()
    peer = case.peer(leg)
    peer.send_audio(audio(0.02), timestamp=0)
    case.tick()
    assert leg.statistics().discarded_by_cause == {"not-configured": 1}
    assert peer.received() == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"codec": "G729"}, "not a codec that paytone knows"),
        ({"ptime_ms": 25}, "ptime of 25"),
        ({"ptime_ms": 0}, "ptime of 0"),
        ({"ptime_ms": 200}, "ptime of 200"),
        ({"send_pt": 128}, "0 to 127"),
        ({"event_receive_pt": -1}, "0 to 127"),
        ({"event_send_pt": 300}, "0 to 127"),
        ({"receive_pts": {0: "G729"}}, "G729 is not understood"),
        ({"event_rate_hz": 44100}, "44100"),
        ({"event_rate_hz": 0}, "clock of 0"),
        ({"remote": ("::1", 4000)}, "IP version"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(case: MediaCase, config: dict[str, Any], message: str) -> None:
    leg = case.plane.open_leg()
    peer = case.peer(leg)
    with pytest.raises(MediaError, match=message):
        case.configure(leg, peer, **config)


def test_a_host_name_is_no_address(case: MediaCase) -> None:
    leg = case.plane.open_leg()
    with pytest.raises(MediaError, match="resolve names before"):
        case.configure(leg, case.peer(leg), remote=("example.org", 4000))


def test_no_report_goes_to_an_unspecified_address(case: MediaCase) -> None:
    # On Linux 0.0.0.0 would be this machine.
    leg = case.plane.open_leg()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("127.0.0.1", 0))
        here.setblocking(False)
        case.configure(leg, case.peer(leg), remote=("0.0.0.0", here.getsockname()[1] - 1))
        case.tick(400)
        with pytest.raises(BlockingIOError):
            here.recv(100)


def test_a_leg_records_what_it_hears_and_only_when_asked(case: MediaCase) -> None:
    deaf, deaf_peer = case.leg()
    leg, peer = case.leg(record=True)
    samples = audio(0.5)
    for i in range(0, len(samples), 160):
        for one in (peer, deaf_peer):
            one.send_audio(samples[i : i + 160], timestamp=i)
        case.tick()
    case.tick(4)
    assert peer.decoded(samples) in leg.read_received()
    assert leg.read_received() == b""
    assert deaf.read_received() == b""


def test_audio_that_nobody_reads_is_counted(case: MediaCase) -> None:
    leg, peer = case.leg(record=True)
    for i in range(600):
        peer.send_audio(audio(0.02), timestamp=160 * i)
        case.tick()
    # A frame or two more than ticks: the jitter buffer catches up without losing audio.
    assert 600 - 512 <= leg.statistics().tap_lost <= 600 - 512 + 2
    assert len(leg.read_received()) == 512 * 320


def test_ipv6_carries_calls_where_the_host_has_it() -> None:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with a_media_case(host="::1") as case:
        _, peer = case.leg()
        peer.send_event(5, timestamp=1000, marker=True)
        events = case.tick(2)
        assert [type(event) for event in events] == [DigitReceived]
        assert len(peer.received()) == 2


def test_no_key_stays_in_the_event_ring_once_it_was_drained(case: MediaCase) -> None:
    _, peer = case.leg()
    peer.send_event(5, timestamp=1000, marker=True)
    assert len(case.tick()) == 1
    assert case.plane.drain_events() == []


def test_a_manual_plane_has_no_threads_to_start(case: MediaCase) -> None:
    with pytest.raises(MediaError, match="by hand"):
        case.plane.start()


def test_a_plane_needs_a_thread() -> None:
    with pytest.raises(MediaError, match="at least one"):
        MediaPlane(threads=0)


# With real threads. No time is asserted.


def test_threads_carry_calls_in_both_directions(running: MediaPlane) -> None:
    a, b = running.open_leg(), running.open_leg()
    talk(a, b)
    a.send_digits([1, 2, 2, 11], mode="telephone-event", on_ms=60, off_ms=60)
    b.send_digits([3, 4, 4, 10], mode="in-band", on_ms=60, off_ms=60)
    events = wait_for(running, 8, DigitReceived)
    heard: dict[int, list[int]] = {a.id: [], b.id: []}
    for event in events:
        if isinstance(event, DigitReceived):
            heard[event.leg_id].append(event.code)
    assert heard == {a.id: [3, 4, 4, 10], b.id: [1, 2, 2, 11]}


def test_legs_come_and_go_while_others_talk(running: MediaPlane) -> None:
    a, b = running.open_leg(), running.open_leg()
    talk(a, b)
    clip = Clip(name="x", pcmu=bytes(160), pcma=bytes(160))
    for n in range(30):
        pair = running.open_leg(record=True), running.open_leg()
        talk(*pair)
        pair[0].play([clip], token=n, interruptible=True)
        for leg in pair:
            leg.close()
    events = wait_for(running, 60, LegClosed)
    assert sum(isinstance(event, PlayFinished) for event in events) == 30
    a.send_digits([7], mode="telephone-event")
    events = wait_for(running, 1, DigitReceived)
    statistics = running.statistics()
    assert statistics.legs == 2
    assert (statistics.events_lost, statistics.commands_lost) == (0, 0)


def test_stopping_ends_the_threads_and_closes_every_socket() -> None:
    before = open_descriptors()
    threads = threading.active_count()
    plane = MediaPlane(threads=3)
    plane.start()
    legs = [plane.open_leg() for _ in range(6)]
    talk(legs[0], legs[1])
    legs[0].play([Clip(name="x", pcmu=bytes(80000), pcma=bytes(80000))], token=1, interruptible=True)
    plane.stop()
    plane.stop()
    assert threading.active_count() == threads
    assert open_descriptors() == before
    assert plane.drain_events() == []
    with pytest.raises(MediaError, match="was stopped"):
        plane.open_leg()


def test_a_plane_is_started_once(running: MediaPlane) -> None:
    with pytest.raises(MediaError, match="once"):
        running.start()


def test_a_thread_that_stands_still_is_an_error_and_not_silence() -> None:
    plane = MediaPlane(threads=1)  # never started: nobody takes commands
    try:
        leg = plane.open_leg()
        for _ in range(4095):
            leg.stop_playing()
        with pytest.raises(MediaError, match="stands still"):
            leg.stop_playing()
        assert plane.statistics().commands_lost == 1
    finally:
        plane.stop()
