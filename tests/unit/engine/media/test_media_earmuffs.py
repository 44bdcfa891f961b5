"""A leg with earmuffs on hears an open line in place of the others, and what is played to it; it is heard itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.dtmf import SENSITIVE, DtmfDetector, generate
from dsp.g711 import alaw_encode, ulaw_decode, ulaw_encode
from engine.media import Leg
from engine.media.recorder import ManualRecorder
from prompts.clip import Clip
from tests.support.recording import read_recording
from tests.support.rtp_peer import EVENT_PT, MediaCase, Peer, audio, codes
from tests.support.rtp_peer import media_case as a_media_case

TICK = 160


@pytest.fixture(params=[1, 3], ids=["one-clock", "three-clocks"])
def case(request: pytest.FixtureRequest) -> Iterator[MediaCase]:
    with a_media_case(threads=request.param) as one:
        yield one


def together(case: MediaCase, n: int, *, in_room: bool) -> tuple[list[Leg], list[Peer]]:
    """Legs that hear each other: two in a bridge, or some in a room."""
    both = [case.leg() for _ in range(n)]
    legs = [leg for leg, _ in both]
    if in_room:
        room = case.plane.open_room()
        for leg in legs:
            room.add(leg)
    else:
        legs[0].bridge(legs[1])
    case.tick(8)
    return legs, [peer for _, peer in both]


def talk(case: MediaCase, peer: Peer, samples: NDArray[np.int16], *, at: int = 0) -> None:
    for start in range(0, len(samples) - TICK + 1, TICK):
        peer.send_audio(samples[start : start + TICK], timestamp=at + start)
        case.tick()


def heard_by(peer: Peer) -> NDArray[np.int16]:
    return ulaw_decode(b"".join(packet.payload for packet in peer.received() if packet.payload_type == 0))


def level_db(samples: NDArray[np.int16]) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(samples.astype(float) ** 2)) / 32768))


@pytest.mark.parametrize("in_room", [False, True])
def test_it_hears_an_open_line_and_is_heard(case: MediaCase, in_room: bool) -> None:
    legs, peers = together(case, 2, in_room=in_room)
    legs[0].earmuff(True)
    case.tick()
    heard_by(peers[0])
    talk(case, peers[1], audio(0.4))
    # Dead silence would sound like a call that is over.
    assert -68 < level_db(heard_by(peers[0])) < -60
    heard_by(peers[1])
    talk(case, peers[0], audio(0.4))
    assert np.max(np.abs(heard_by(peers[1]))) > 1000
    legs[0].earmuff(False)
    talk(case, peers[1], audio(0.4), at=3200)
    assert np.max(np.abs(heard_by(peers[0]))) > 1000


def test_in_a_room_all_others_hear_each_other(case: MediaCase) -> None:
    legs, peers = together(case, 4, in_room=True)
    legs[2].earmuff(True)
    case.tick()
    for peer in peers:
        peer.received_raw()
    talk(case, peers[0], audio(0.4))
    assert [bool(np.max(np.abs(heard_by(peer))) > 1000) for peer in peers] == [False, True, False, True]


def test_alone_in_a_room_it_hears_nothing(case: MediaCase) -> None:
    legs, peers = together(case, 1, in_room=True)
    legs[0].earmuff(True)
    talk(case, peers[0], audio(0.2))
    assert not np.any(heard_by(peers[0]))


@pytest.mark.parametrize("in_room", [False, True])
def test_what_is_played_to_it_is_heard(case: MediaCase, in_room: bool) -> None:
    legs, peers = together(case, 2, in_room=in_room)
    legs[0].earmuff(True)
    prompt = audio(0.4, freq_hz=1500.0)
    legs[0].play([Clip(name="x", pcmu=ulaw_encode(prompt), pcma=alaw_encode(prompt))], token=1, interruptible=False)
    case.tick()
    heard_by(peers[0])
    talk(case, peers[1], audio(0.3, freq_hz=500.0))
    spectrum = np.abs(np.fft.rfft(heard_by(peers[0])[:2400]))
    freqs = np.fft.rfftfreq(2400, 1 / 8000)
    assert freqs[np.argmax(spectrum)] == pytest.approx(1500, abs=60)
    assert np.max(spectrum[np.abs(freqs - 500) < 60]) < 0.01 * np.max(spectrum)


def test_it_holds_for_bridges_and_rooms_that_come_later(case: MediaCase) -> None:
    legs, peers = together(case, 2, in_room=False)
    legs[0].earmuff(True)
    legs[0].unbridge()
    room = case.plane.open_room()
    for leg in legs:
        room.add(leg)
    talk(case, peers[1], audio(0.4))
    assert not np.max(np.abs(heard_by(peers[0]))) > 1000
    other, mouth = case.leg()
    legs[0].bridge(other)
    talk(case, mouth, audio(0.4))
    assert not np.max(np.abs(heard_by(peers[0]))) > 1000


def test_keys_of_the_other_are_heard_by_the_engine_and_not_relayed(case: MediaCase) -> None:
    legs, peers = together(case, 2, in_room=False)
    legs[0].earmuff(True)
    peers[1].send_event(7, timestamp=1600, marker=True)
    case.tick(3)
    legs[0].earmuff(False)  # while it is pressed: the rest of a key is none
    peers[1].send_event(7, timestamp=1600, duration=800, end=True)
    case.tick(12)
    peers[1].send_event(8, timestamp=8000, duration=800, marker=True, end=True)
    case.tick(12)
    assert codes(case.events) == [7, 8]
    assert {packet.payload[0] for packet in peers[0].received() if packet.payload_type == EVENT_PT} == {8}


def test_a_mask_stays_on_whoever_is_muted_or_has_earmuffs_on(case: MediaCase) -> None:
    (caller, agent), (customer, desk) = together(case, 2, in_room=False)
    caller.unbridge()
    caller.mask_line()
    caller.bridge(agent)
    caller.mask(True)
    keys = "0123456789*#"
    tones = generate(keys, on_ms=80, off_ms=80)
    for i, start in enumerate(range(0, len(tones) - TICK + 1, TICK)):
        if i % 5 == 0:
            caller.mute(i % 10 == 0)
        if i % 7 == 0:
            agent.earmuff(i % 14 == 0)
        customer.send_audio(tones[start : start + TICK], timestamp=start)
        case.tick()
    caller.mute(False)
    agent.earmuff(False)
    customer.send_event(5, timestamp=len(tones), duration=800, marker=True, end=True)
    case.tick(12)
    assert len(codes(case.events)) == len(keys) + 1
    packets = desk.received()
    assert EVENT_PT not in {packet.payload_type for packet in packets}
    heard = ulaw_decode(b"".join(packet.payload for packet in packets if packet.payload_type == 0))
    assert DtmfDetector(SENSITIVE).process(heard) == []


@pytest.mark.parametrize("in_room", [False, True])
def test_a_recording_of_it_has_what_it_hears(case: MediaCase, in_room: bool, tmp_path: Path) -> None:
    recorder = ManualRecorder(tmp_path)
    recorder.start()
    try:
        legs, peers = together(case, 2, in_room=in_room)
        legs[0].earmuff(True)
        recording = recorder.open("call.wav")
        legs[0].record(recording)
        for start in range(0, 3200, TICK):
            for peer in peers:
                peer.send_audio(audio(0.02), timestamp=start)
            case.tick()
            recorder._core.move()
        recording.close()
    finally:
        recorder.stop()
    sides = np.frombuffer(read_recording(recording.path)[1], dtype=np.int16).reshape(-1, 2)
    assert np.max(np.abs(sides[:, 0])) > 1000
    assert -68 < level_db(sides[800:, 1]) < -60
