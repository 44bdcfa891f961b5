"""Two legs that hear each other: audio across, keys relayed or swallowed, and nothing of a key behind the mask."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp.dtmf import SENSITIVE, DtmfDetector, generate
from dsp.g711 import alaw_encode, ulaw_decode, ulaw_encode
from dsp.mask import DELAY_SAMPLES, MaskFill
from engine.errors import MediaError
from engine.media import Leg
from engine.rtp import RtpPacket
from prompts.clip import Clip
from tests.support.rtp_peer import EVENT_PT, MediaCase, Peer, audio, codes
from tests.support.rtp_peer import media_case as a_media_case

TICK = 160


@pytest.fixture
def case() -> Iterator[MediaCase]:
    with a_media_case() as one:
        yield one


def pair(case: MediaCase) -> tuple[Leg, Peer, Leg, Peer]:
    """A caller and an agent, both in PCMU, not bridged yet."""
    caller, customer = case.leg()
    agent, desk = case.leg()
    return caller, customer, agent, desk


def talk(case: MediaCase, peer: Peer, samples: NDArray[np.int16], *, at: int = 0) -> None:
    """Let a peer say something, a packet in each tick."""
    for start in range(0, len(samples) - TICK + 1, TICK):
        peer.send_audio(samples[start : start + TICK], timestamp=at + start)
        case.tick()


def audio_of(packets: list[RtpPacket]) -> NDArray[np.int16]:
    return np.concatenate([ulaw_decode(p.payload) for p in packets if p.payload_type == 0] or [np.zeros(0, np.int16)])


def heard_by(peer: Peer) -> NDArray[np.int16]:
    return audio_of(peer.received())


def lag_of(said: NDArray[np.int16], heard: NDArray[np.int16]) -> int:
    """Samples by which `heard` lies behind `said`."""
    spectrum = np.fft.rfft(heard, 1 << 16) * np.conj(np.fft.rfft(said, 1 << 16))
    return int(np.argmax(np.fft.irfft(spectrum)[:8000]))


def test_what_one_says_the_other_hears(case: MediaCase) -> None:
    caller, customer, agent, desk = pair(case)
    caller.bridge(agent)
    said = audio(1.0)
    talk(case, customer, said)
    heard = heard_by(desk)
    lag = lag_of(said, heard)
    # Jitter buffer (two ticks), concealment (3.75 ms) and the packets' own time; no tick more.
    assert lag <= 4 * TICK
    same = said[: len(heard) - lag]
    error = heard[lag:][1600:].astype(float) - same[1600:].astype(float)
    assert np.mean(error**2) < 0.01 * np.mean(same.astype(float) ** 2)


def test_both_directions_flow_at_once(case: MediaCase) -> None:
    caller, customer, agent, desk = pair(case)
    caller.bridge(agent)
    low, high = audio(0.6, freq_hz=300.0), audio(0.6, freq_hz=1900.0)
    for start in range(0, len(low), TICK):
        customer.send_audio(low[start : start + TICK], timestamp=start)
        desk.send_audio(high[start : start + TICK], timestamp=start)
        case.tick()
    for peer, freq_hz in ((desk, 300.0), (customer, 1900.0)):
        spectrum = np.abs(np.fft.rfft(heard_by(peer)[1600:4000]))
        assert np.argmax(spectrum) * 8000 / 2400 == pytest.approx(freq_hz, abs=60)


@pytest.mark.parametrize("codecs", [("PCMA", "PCMU"), ("G722", "PCMU"), ("PCMU", "G722"), ("L16", "G722")])
def test_legs_of_different_codecs_are_bridged(case: MediaCase, codecs: tuple[str, str]) -> None:
    pts = {"PCMU": 0, "PCMA": 8, "G722": 9, "L16": 96}
    receive = {number: name for name, number in pts.items()}
    caller, customer = case.leg(codec=codecs[0], send_pt=pts[codecs[0]], receive_pts=receive)
    agent, desk = case.leg(codec=codecs[1], send_pt=pts[codecs[1]], receive_pts=receive)
    caller.bridge(agent)
    talk(case, customer, audio(0.4))
    packets = [packet for packet in desk.received() if packet.payload_type == pts[codecs[1]]]
    assert len(packets) == 20
    assert len({len(packet.payload) for packet in packets}) == 1
    assert len(set(packets[-1].payload)) > 20


def test_each_leg_still_has_a_player_of_its_own(case: MediaCase) -> None:
    caller, customer, agent, desk = pair(case)
    caller.bridge(agent)
    agent.play([Clip(name="x", pcmu=b"\x10" * 1600, pcma=b"\x3a" * 1600)], token=1, interruptible=False)
    case.tick(5)
    assert np.max(np.abs(heard_by(desk))) > 1000
    assert not np.any(heard_by(customer))


def test_a_prompt_is_mixed_into_what_is_heard(case: MediaCase) -> None:
    caller, customer, agent, desk = pair(case)
    caller.bridge(agent)
    said = audio(0.6, freq_hz=700.0, amplitude=4000)
    prompt = audio(0.6, freq_hz=1500.0, amplitude=4000)
    clip = Clip(name="x", pcmu=ulaw_encode(prompt), pcma=alaw_encode(prompt))
    agent.play([clip], token=1, interruptible=False)
    talk(case, customer, said)
    spectrum = np.abs(np.fft.rfft(heard_by(desk)[1600:4000]))
    freqs = np.fft.rfftfreq(2400, 1 / 8000)
    for freq_hz in (700.0, 1500.0):
        near = np.abs(freqs - freq_hz) < 30
        assert np.max(spectrum[near]) > 0.3 * np.max(spectrum)


def test_a_muted_leg_is_not_heard_and_its_keys_are(case: MediaCase) -> None:
    caller, customer, agent, desk = pair(case)
    caller.bridge(agent)
    caller.mute(True)
    talk(case, customer, audio(0.2))
    customer.send_event(7, timestamp=1600, marker=True)
    customer.send_event(7, timestamp=1600, duration=800, end=True)
    case.tick(12)
    assert codes(case.events) == [7]
    packets = desk.received()
    # Comfort noise in its place, and of it no more than RFC 3389 would send.
    level = np.sqrt(np.mean(audio_of(packets).astype(float) ** 2)) / 32768
    assert -68 < 20 * np.log10(level) < -60
    assert not [packet for packet in packets if packet.payload_type == EVENT_PT]
    caller.mute(False)
    talk(case, customer, audio(0.2), at=3200)
    assert np.max(np.abs(heard_by(desk))) > 1000


def test_a_key_is_relayed_as_the_event_that_it_was(case: MediaCase) -> None:
    caller, customer, agent, desk = pair(case)
    caller.bridge(agent)
    for i in range(5):
        customer.send_event(3, timestamp=0, duration=160 * (i + 1), marker=i == 0)
        case.tick()
    customer.send_event(3, timestamp=0, duration=960, end=True)
    case.tick(15)
    events = [packet for packet in desk.received() if packet.payload_type == EVENT_PT]
    assert {packet.payload[0] for packet in events} == {3}
    assert len({packet.timestamp for packet in events}) == 1
    assert sum(packet.payload[1] >> 7 for packet in events) == 3
    assert int.from_bytes(events[-1].payload[2:], "big") == 960


def test_a_key_becomes_tones_for_a_side_without_events(case: MediaCase) -> None:
    caller, customer = case.leg()
    agent, desk = case.leg(event_send_pt=None)
    caller.bridge(agent)
    customer.send_event(9, timestamp=0, duration=800, marker=True, end=True)
    case.tick(20)
    heard = DtmfDetector().process(heard_by(desk))
    assert [event.digit for event in heard if event.kind == "start"] == ["9"]


def test_no_key_is_relayed_where_that_is_not_wanted(case: MediaCase) -> None:
    caller, customer, agent, desk = pair(case)
    caller.bridge(agent, relay_keys=False)
    customer.send_event(9, timestamp=0, duration=800, marker=True, end=True)
    case.tick(20)
    assert codes(case.events) == [9]
    assert {packet.payload_type for packet in desk.received()} == {0}


@pytest.mark.parametrize("fill", list(MaskFill))
@pytest.mark.parametrize("on_ms", [40, 100, 300])
def test_no_tone_of_a_masked_leg_reaches_the_other(case: MediaCase, fill: MaskFill, on_ms: int) -> None:
    caller, customer, agent, desk = pair(case)
    caller.mask_line(fill=fill)
    caller.bridge(agent)
    caller.mask(True)
    keys = "0123456789*#ABCD"
    talk(case, customer, generate(keys, on_ms=on_ms, off_ms=80))
    case.tick(20)
    assert len(codes(case.events)) == len(keys)
    assert DtmfDetector(SENSITIVE).process(heard_by(desk)) == []


def test_nothing_of_the_caller_is_heard_where_all_is_held_back(case: MediaCase) -> None:
    caller, customer, agent, desk = pair(case)
    caller.mask_line(fill=MaskFill.SILENCE)
    caller.bridge(agent)
    caller.mask(True, everything=True)
    talk(case, customer, audio(0.6))
    assert not np.any(heard_by(desk))
    caller.mask(False)
    talk(case, customer, audio(0.6), at=4800)
    assert np.any(heard_by(desk))


@pytest.mark.parametrize("lost", [(4,), (5, 6), (3, 9)])
def test_no_tone_is_left_beside_a_lost_packet(case: MediaCase, lost: tuple[int, ...]) -> None:
    caller, customer, agent, desk = pair(case)
    caller.mask_line()
    caller.bridge(agent)
    caller.mask(True)
    tones = np.concatenate([generate("5", on_ms=100, off_ms=140) for _ in range(20)])
    for i, start in enumerate(range(0, len(tones) - TICK + 1, TICK)):
        if i % 12 in lost:
            customer.sequence += 1
        else:
            customer.send_audio(tones[start : start + TICK], timestamp=start)
        case.tick()
    case.tick(20)
    assert DtmfDetector(SENSITIVE).process(heard_by(desk)) == []


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("held_ms", [60, 100, 160, 240])
def test_a_tone_that_began_under_the_mask_stays_there_though_it_is_taken_off(
    case: MediaCase, everything: bool, held_ms: int
) -> None:
    caller, customer, agent, desk = pair(case)
    caller.mask_line()
    caller.bridge(agent)
    caller.mask(True, everything=everything)
    tone = generate("5", on_ms=300, off_ms=300)
    for i, start in enumerate(range(0, len(tone) - TICK + 1, TICK)):
        if i == held_ms // 20:
            caller.mask(False)
        customer.send_audio(tone[start : start + TICK], timestamp=start)
        case.tick()
    case.tick(10)
    assert DtmfDetector(SENSITIVE).process(heard_by(desk)) == []


def test_an_event_that_began_under_the_mask_is_not_relayed_when_it_ends_without(case: MediaCase) -> None:
    caller, customer, agent, desk = pair(case)
    caller.mask_line()
    caller.bridge(agent)
    caller.mask(True)
    customer.send_event(5, timestamp=0, marker=True)
    case.tick(2)
    caller.mask(False)
    customer.send_event(5, timestamp=0, duration=800, end=True)
    case.tick(10)
    customer.send_event(6, timestamp=8000, duration=800, marker=True, end=True)
    case.tick(10)
    assert codes(case.events) == [5, 6]
    assert {packet.payload[0] for packet in desk.received() if packet.payload_type == EVENT_PT} == {6}


def test_a_key_is_masked_when_a_gateway_sends_tone_and_event(case: MediaCase) -> None:
    caller, customer, agent, desk = pair(case)
    caller.mask_line()
    caller.bridge(agent)
    caller.mask(True)
    tones = generate("5", on_ms=100, off_ms=200)
    for i, start in enumerate(range(0, len(tones), TICK)):
        customer.send_audio(tones[start : start + TICK], timestamp=start)
        if i < 5:
            customer.send_event(5, timestamp=0, duration=160 * (i + 1), marker=i == 0, end=i == 4)
        case.tick()
    case.tick(10)
    packets = desk.received()
    assert codes(case.events) == [5]
    assert {packet.payload_type for packet in packets} == {0}
    assert DtmfDetector(SENSITIVE).process(audio_of(packets)) == []


def test_the_mask_delays_by_its_line_whether_on_or_off_and_switching_splices_nothing(case: MediaCase) -> None:
    caller, customer, agent, desk = pair(case)
    caller.mask_line()
    caller.bridge(agent)
    said = audio(2.0, freq_hz=440.0, amplitude=6000)
    for i, start in enumerate(range(0, len(said) - TICK + 1, TICK)):
        if i in (30, 60):
            caller.mask(i == 30)
        customer.send_audio(said[start : start + TICK], timestamp=start)
        case.tick()
    heard = heard_by(desk)
    lag = lag_of(said, heard)
    assert DELAY_SAMPLES < lag <= DELAY_SAMPLES + 4 * TICK
    inside = heard[lag + 1600 :].astype(int)
    # A single tone goes through the mask; where it was switched nothing jumps.
    assert np.max(np.abs(np.diff(inside))) <= 1.15 * np.max(np.abs(np.diff(said.astype(int))))


def test_parted_legs_do_not_hear_each_other(case: MediaCase) -> None:
    caller, customer, agent, desk = pair(case)
    caller.bridge(agent)
    talk(case, customer, audio(0.2))
    caller.unbridge()
    case.tick()
    desk.received()
    talk(case, customer, audio(0.2), at=1600 + TICK)
    assert not np.any(heard_by(desk))


def test_a_third_leg_takes_the_place_of_the_second(case: MediaCase) -> None:
    caller, customer, agent, desk = pair(case)
    other, ears = case.leg()
    caller.bridge(agent)
    case.tick()
    caller.bridge(other)
    talk(case, customer, audio(0.2))
    assert not np.any(heard_by(desk))
    assert np.any(heard_by(ears))


@pytest.mark.parametrize("who", ["caller", "agent"])
def test_a_leg_that_closes_leaves_the_other_one_whole(case: MediaCase, who: str) -> None:
    caller, customer, agent, desk = pair(case)
    caller.bridge(agent)
    talk(case, customer, audio(0.1))
    (caller if who == "caller" else agent).close()
    case.tick(3)
    customer.received(), desk.received()
    case.tick(5)
    assert len((desk if who == "caller" else customer).received()) == 5


def test_legs_that_do_not_fit_are_refused(case: MediaCase) -> None:
    caller, _, agent, _ = pair(case)
    with pytest.raises(MediaError, match="itself"):
        caller.bridge(caller)
    with pytest.raises(MediaError, match="call mask_line"):
        caller.mask(True)
    agent.close()
    with pytest.raises(MediaError, match="closed"):
        caller.bridge(agent)
