"""Rooms: each leg hears the sum of all others and nothing of itself; no key of a masked leg, no event of any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.dtmf import SENSITIVE, DtmfDetector, generate
from dsp.g711 import ulaw_decode
from engine.errors import MediaError
from engine.media import Leg, MediaPlane, Room
from engine.media.room import MAX_LEGS
from prompts.clip import Clip
from tests.support.rtp_peer import EVENT_PT, MediaCase, Peer, codes
from tests.support.rtp_peer import media_case as a_media_case

TICK = 160
FREQUENCIES = (300.0, 550.0, 800.0, 1050.0, 1300.0)


@pytest.fixture(params=[1, 3], ids=["one-clock", "three-clocks"])
def case(request: pytest.FixtureRequest) -> Iterator[MediaCase]:
    with a_media_case(threads=request.param) as one:
        yield one


def party(case: MediaCase, n: int, **muted: bool) -> tuple[Room, list[Leg], list[Peer]]:
    room = case.plane.open_room()
    both = [case.leg() for _ in range(n)]
    for leg, _ in both:
        room.add(leg, **muted)
    return room, [leg for leg, _ in both], [peer for _, peer in both]


def talk(case: MediaCase, said: dict[Peer, NDArray[np.int16]], *, at: int = 0) -> None:
    """Let peers say something at once, a packet in each tick."""
    for start in range(0, min(map(len, said.values())) - TICK + 1, TICK):
        for peer, samples in said.items():
            peer.send_audio(samples[start : start + TICK], timestamp=at + start)
        case.tick()


def heard_by(peer: Peer) -> NDArray[np.int16]:
    payloads = [packet.payload for packet in peer.received() if packet.payload_type == 0]
    return ulaw_decode(b"".join(payloads))


def tone(freq_hz: float, seconds: float = 0.6, amplitude: int = 3000) -> NDArray[np.int16]:
    t = np.arange(int(seconds * 8000))
    return np.asarray(amplitude * np.sin(2 * np.pi * freq_hz / 8000 * t), dtype=np.int16)


def levels(heard: NDArray[np.int16], frequencies: Sequence[float]) -> list[float]:
    """Amplitude of each tone in what was heard, without its beginning."""
    steady = heard[1600:4000].astype(float)
    t = np.arange(len(steady))
    return [2 * abs(np.mean(steady * np.exp(-2j * np.pi * f / 8000 * t))) for f in frequencies]


def test_each_hears_the_sum_of_all_others_and_nothing_of_itself(case: MediaCase) -> None:
    _, _, peers = party(case, 5)
    talk(case, {peer: tone(f) for peer, f in zip(peers, FREQUENCIES, strict=True)})
    for i, peer in enumerate(peers):
        found = levels(heard_by(peer), FREQUENCIES)
        assert found[i] < 60  # what the quantising of the others' sum leaves there
        assert all(level == pytest.approx(3000, rel=0.05) for j, level in enumerate(found) if j != i)


def test_a_sum_too_loud_is_clipped_and_not_wrapped(case: MediaCase) -> None:
    _, _, peers = party(case, 4)
    said = tone(300.0, amplitude=30000)
    talk(case, dict.fromkeys(peers[:3], said))
    heard = heard_by(peers[3])[1600:4000].astype(int)
    assert np.max(heard) > 31000
    assert np.min(heard) < -31000
    # Nearly a square, whose first harmonic is 4 / pi of it; wrapped it would be anything.
    padded = np.concatenate([np.zeros(1600), heard]).astype(np.int16)
    assert levels(padded, [300.0]) == [pytest.approx(4 / np.pi * 32000, rel=0.1)]


def test_what_is_played_to_one_is_heard_by_that_one_only(case: MediaCase) -> None:
    _, legs, peers = party(case, 3)
    legs[0].play([Clip(name="x", pcmu=b"\x10" * 1600, pcma=b"\x3a" * 1600)], token=1, interruptible=False)
    case.tick(6)
    assert [bool(np.any(heard_by(peer))) for peer in peers] == [True, False, False]


def test_who_is_muted_is_not_heard_hears_the_others_and_keys(case: MediaCase) -> None:
    room, legs, peers = party(case, 3)
    room.mute(legs[0], True)
    talk(case, {peers[0]: tone(300.0), peers[1]: tone(550.0)})
    assert levels(heard_by(peers[2]), [300.0, 550.0]) == [pytest.approx(0, abs=60), pytest.approx(3000, rel=0.05)]
    assert levels(heard_by(peers[0]), [550.0]) == [pytest.approx(3000, rel=0.05)]
    peers[0].send_event(7, timestamp=1600, duration=800, marker=True, end=True)
    case.tick(3)
    assert codes(case.events) == [7]
    room.mute(legs[0], False)
    talk(case, {peers[0]: tone(300.0)}, at=8000)
    assert levels(heard_by(peers[2]), [300.0]) == [pytest.approx(3000, rel=0.1)]


def test_who_comes_muted_is_muted_and_to_come_again_changes_only_that(case: MediaCase) -> None:
    room, legs, peers = party(case, 2, muted=True)
    case.tick(10)
    room.add(legs[1], muted=True)
    assert room.legs == tuple(legs)
    talk(case, {peers[0]: tone(300.0)})
    heard = heard_by(peers[1]).astype(float)
    # The noise of an open line: dead silence sounds like a call that is over.
    assert -68 < 20 * np.log10(np.sqrt(np.mean(heard[1600:] ** 2)) / 32768) < -60


def test_one_alone_hears_nothing(case: MediaCase) -> None:
    _, _, peers = party(case, 1)
    talk(case, {peers[0]: tone(300.0)})
    assert not np.any(heard_by(peers[0]))


def test_who_is_held_hears_and_adds_nothing_and_disturbs_nobody(case: MediaCase) -> None:
    _, legs, peers = party(case, 3)
    talk(case, {peer: tone(f) for peer, f in zip(peers, FREQUENCIES, strict=False)})
    case.configure(legs[0], peers[0], sending=False, receiving=False)
    case.tick(10)
    for peer in peers:
        peer.received_raw()
    talk(case, {peer: tone(f) for peer, f in zip(peers, FREQUENCIES, strict=False)}, at=8000)
    assert not peers[0].received()
    found = levels(heard_by(peers[1]), FREQUENCIES[:3])
    assert found[0] < 60
    assert found[1] < 60
    assert found[2] == pytest.approx(3000, rel=0.1)


def test_telephone_events_are_relayed_to_nobody(case: MediaCase) -> None:
    _, _, peers = party(case, 3)
    peers[0].send_event(5, timestamp=0, duration=800, marker=True, end=True)
    case.tick(15)
    assert codes(case.events) == [5]
    for peer in peers[1:]:
        assert {packet.payload_type for packet in peer.received()} == {0}
    assert EVENT_PT != 0


def test_keys_of_a_masked_leg_are_heard_by_the_engine_only(case: MediaCase) -> None:
    room = case.plane.open_room()
    both = [case.leg() for _ in range(3)]
    both[0][0].mask_line()
    for leg, _ in both:
        room.add(leg)
    both[0][0].mask(True)
    keys = "0123456789*#ABCD"
    talk(case, {both[0][1]: generate(keys, on_ms=80, off_ms=80)})
    case.tick(20)
    assert len(codes(case.events)) == len(keys)
    for _, peer in both[1:]:
        assert DtmfDetector(SENSITIVE).process(heard_by(peer)) == []


def test_keys_of_a_leg_that_is_not_masked_are_heard_as_tones(case: MediaCase) -> None:
    _, _, peers = party(case, 3)
    talk(case, {peers[0]: generate("0123456789", on_ms=80, off_ms=80)})
    case.tick(10)
    for peer in peers[1:]:
        found = DtmfDetector().process(heard_by(peer))
        assert "".join(event.digit for event in found if event.kind == "start") == "0123456789"


def test_who_leaves_hears_nobody_and_is_heard_by_nobody(case: MediaCase) -> None:
    room, legs, peers = party(case, 3)
    talk(case, {peers[0]: tone(300.0)})
    room.remove(legs[0])
    room.remove(legs[0])
    case.tick(10)
    for peer in peers:
        peer.received_raw()
    talk(case, {peer: tone(f) for peer, f in zip(peers, FREQUENCIES, strict=False)}, at=8000)
    assert not np.any(heard_by(peers[0]))
    assert levels(heard_by(peers[1]), [300.0, 800.0]) == [pytest.approx(0, abs=60), pytest.approx(3000, rel=0.1)]
    assert room.legs == tuple(legs[1:])
    assert legs[0].room is None


def test_who_closes_is_out_and_the_others_go_on(case: MediaCase) -> None:
    room, legs, peers = party(case, 3)
    talk(case, {peers[0]: tone(300.0)})
    legs[0].close()
    case.tick(10)
    assert room.legs == tuple(legs[1:])
    for peer in peers:
        peer.received_raw()
    talk(case, {peers[1]: tone(550.0)})
    assert levels(heard_by(peers[2]), [300.0, 550.0]) == [pytest.approx(0, abs=60), pytest.approx(3000, rel=0.1)]


def test_a_leg_is_bridged_or_in_one_room(case: MediaCase) -> None:
    first, legs, peers = party(case, 3)
    second = case.plane.open_room()
    other, ears = case.leg()
    second.add(other)
    second.add(legs[0])
    assert first.legs == tuple(legs[1:])
    assert second.legs == (other, legs[0])
    talk(case, {peers[0]: tone(300.0)})
    assert np.any(heard_by(ears))
    assert not np.any(heard_by(peers[1]))
    legs[0].bridge(legs[1])
    assert [*first.legs] == legs[2:]
    assert [*second.legs] == [other]
    case.tick(10)
    for peer in (*peers, ears):
        peer.received_raw()
    talk(case, {peers[0]: tone(300.0)}, at=8000)
    assert np.any(heard_by(peers[1]))
    assert not np.any(heard_by(ears))
    assert not np.any(heard_by(peers[2]))
    first.add(legs[0])
    talk(case, {peers[0]: tone(300.0)}, at=16000)
    assert np.any(heard_by(peers[2]))
    assert not np.any(heard_by(peers[1])[3 * TICK :])


def test_a_room_that_closes_leaves_its_legs_whole(case: MediaCase) -> None:
    room, legs, peers = party(case, 3)
    talk(case, {peers[0]: tone(300.0)})
    room.close()
    room.close()
    case.tick(10)
    for peer in peers:
        peer.received_raw()
    talk(case, {peers[0]: tone(300.0)}, at=8000)
    assert [len(peer.received()) for peer in peers] == [30, 30, 30]
    with pytest.raises(MediaError, match="closed"):
        room.add(legs[0])


def test_a_room_that_was_closed_is_let_go_of(case: MediaCase) -> None:
    for _ in range(5):
        room, _, _ = party(case, 2)
        case.tick(2)
        room.close()
        case.tick(2)
    case.plane.open_room()
    assert case.plane.rooms == []


def test_a_room_has_sixteen_places(case: MediaCase) -> None:
    room, legs, _ = party(case, MAX_LEGS)
    one_more, _ = case.leg()
    with pytest.raises(MediaError, match="16 legs"):
        room.add(one_more)
    case.tick(2)
    room.remove(legs[3])
    room.add(one_more)
    case.tick(2)
    assert len(room.legs) == MAX_LEGS


def test_what_does_not_fit_is_refused(case: MediaCase) -> None:
    room, legs, _ = party(case, 2)
    apart, _ = case.leg()
    with pytest.raises(MediaError, match="not in the room"):
        room.mute(apart, True)
    legs[0].close()
    with pytest.raises(MediaError, match="closed"):
        room.add(legs[0])


def test_a_room_of_another_plane_is_refused() -> None:
    one, other = MediaPlane(threads=1), MediaPlane(threads=1)
    try:
        with pytest.raises(MediaError, match="another media plane"):
            other.open_room().add(one.open_leg())
    finally:
        one.stop()
        other.stop()
    with pytest.raises(MediaError, match="stopped"):
        one.open_room()
