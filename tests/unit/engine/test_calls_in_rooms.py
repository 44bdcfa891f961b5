"""Calls that share a room: joined, muted and let out by what a program asks of its call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

from dsp.g711 import ulaw_decode
from engine.call.context import CallContext
from engine.call.sound import Sound
from engine.errors import MediaError
from tests.support.rtp_peer import MediaCase, Peer, audio, media_case

TICK = 160


class ACall(Sound):
    """The media half of a call that is up."""

    def __init__(self, leg: Any) -> None:
        super().__init__(cast(CallContext, None))
        self._leg = leg
        self._ended = None

    def end(self) -> None:
        self._ended = "hang-up"


@pytest.fixture
def case() -> Iterator[MediaCase]:
    with media_case(threads=2) as one:
        yield one


def calls(case: MediaCase, n: int) -> tuple[list[ACall], list[Peer]]:
    both = [case.leg() for _ in range(n)]
    return [ACall(leg) for leg, _ in both], [peer for _, peer in both]


def who_hears(case: MediaCase, peers: list[Peer], speaker: Peer, *, at: int) -> list[bool]:
    """Let one speak for 400 ms; return of each peer whether it heard more than the noise of a line."""
    case.tick(12)
    for peer in peers:
        peer.received_raw()
    said = audio(0.4)
    for start in range(0, len(said), TICK):
        speaker.send_audio(said[start : start + TICK], timestamp=at + start)
        case.tick()
    heard = [ulaw_decode(b"".join(packet.payload for packet in peer.received())) for peer in peers]
    return [bool(np.max(np.abs(samples)) > 1000) for samples in heard]


def test_calls_in_a_room_hear_each_other_until_they_leave(case: MediaCase) -> None:
    some, peers = calls(case, 3)
    room = case.plane.open_room()
    for call in some:
        call.join(room)
    assert who_hears(case, peers, peers[0], at=0) == [False, True, True]
    some[1].leave_room()
    some[1].leave_room()
    assert who_hears(case, peers, peers[0], at=16000) == [False, False, True]


def test_a_call_that_joins_again_is_muted_or_heard(case: MediaCase) -> None:
    some, peers = calls(case, 2)
    room = case.plane.open_room()
    some[0].join(room, muted=True)
    some[1].join(room)
    assert who_hears(case, peers, peers[0], at=0) == [False, False]
    some[0].join(room, muted=False)
    assert who_hears(case, peers, peers[0], at=16000) == [False, True]


def test_a_call_is_bridged_or_in_a_room(case: MediaCase) -> None:
    some, peers = calls(case, 3)
    room = case.plane.open_room()
    some[0].bridge(cast(Any, some[1]))
    some[0].join(room)
    some[2].join(room)
    assert some[0]._bridged is None
    assert some[1]._bridged is None
    assert who_hears(case, peers, peers[0], at=0) == [False, False, True]
    some[0].bridge(cast(Any, some[1]))
    assert who_hears(case, peers, peers[0], at=16000) == [False, True, False]


def test_a_call_that_is_over_joins_no_room_and_can_be_let_out(case: MediaCase) -> None:
    some, _ = calls(case, 2)
    room = case.plane.open_room()
    some[0].join(room)
    for call in some:
        call.end()
    with pytest.raises(MediaError, match="not up"):
        some[1].join(room)
    some[0].leave_room()
    assert room.legs == ()
