"""Legs of two clocks that are to hear each other: one of them changes its clock, and nobody can tell."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dsp.dtmf import SENSITIVE, DtmfDetector, generate
from dsp.g711 import alaw_encode, ulaw_decode, ulaw_encode
from engine.errors import MediaError
from engine.media import DigitEnded, Leg, LegClosed, MediaPlane, PlayFinished
from engine.rtp import RtpPacket
from engine.rtp._srtp import SrtpCore
from engine.rtp.srtp import SrtpKeysPair
from prompts.clip import Clip
from tests.support.rtp_peer import MediaCase, Peer, audio, codes
from tests.support.rtp_peer import media_case as a_media_case

TICK = 160
PHASES = 4
PHASE_NS = 5_000_000
COMMANDS = 4096
SUITE = "AES_CM_128_HMAC_SHA1_80"


@pytest.fixture
def case() -> Iterator[MediaCase]:
    with a_media_case(threads=2) as one:
        yield one


def clip_of(samples: NDArray[np.int16]) -> Clip:
    return Clip(name="x", pcmu=ulaw_encode(samples), pcma=alaw_encode(samples))


def talk(case: MediaCase, peer: Peer, samples: NDArray[np.int16], *, at: int = 0) -> None:
    for start in range(0, len(samples) - TICK + 1, TICK):
        peer.send_audio(samples[start : start + TICK], timestamp=at + start)
        case.tick()


def heard(packets: list[RtpPacket]) -> NDArray[np.int16]:
    return ulaw_decode(b"".join(packet.payload for packet in packets if packet.payload_type == 0))


def as_coded(amplitude: int) -> set[int]:
    """What G.711 makes of a sample."""
    return {int(ulaw_decode(ulaw_encode(np.array([amplitude], np.int16)))[0])}


def link(case: MediaCase, mover: Leg, *, to: Leg, by: str) -> None:
    """Bring a leg to another one's clock, by a bridge or by a room."""
    if by == "bridge":
        to.bridge(mover)
    else:
        room = case.plane.open_room()
        room.add(to)
        room.add(mover)


# Whose clock ticks first decides whether the leg is let go of in this tick or waited for until the next.
both_ways = pytest.mark.parametrize("first_moves", [True, False])
each_way = pytest.mark.parametrize("by", ["bridge", "room"])


@both_ways
@each_way
def test_the_stream_of_a_leg_that_moves_has_no_gap_and_no_jump(case: MediaCase, first_moves: bool, by: str) -> None:
    (first, first_ears), (second, second_ears) = case.leg(), case.leg()
    mover, ears, stays = (first, first_ears, second) if first_moves else (second, second_ears, first)
    prompt = audio(1.2)
    mover.play([clip_of(prompt)], token=1, interruptible=False)
    case.tick(10)
    link(case, mover, to=stays, by=by)
    case.tick(50)
    packets = ears.received()
    assert len(packets) == 60
    assert [(b.sequence - a.sequence) & 0xFFFF for a, b in pairwise(packets)] == [1] * 59
    assert [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(packets)] == [TICK] * 59
    assert [packet.marker for packet in packets] == [True] + [False] * 59
    assert heard(packets).tobytes() == Peer.decoded(prompt)
    assert [event for event in case.events if isinstance(event, PlayFinished)] == [
        PlayFinished(leg_id=mover.id, token=1, completed=True, interrupted_by_digit=False)
    ]


@both_ways
@each_way
def test_what_is_heard_of_a_leg_that_moves_has_no_gap(case: MediaCase, first_moves: bool, by: str) -> None:
    both = [case.leg(record=True), case.leg(record=True)]
    (mover, voice), (stays, _) = both if first_moves else reversed(both)
    said = audio(1.0)
    talk(case, voice, said[:2400])
    link(case, mover, to=stays, by=by)
    talk(case, voice, said[2400:], at=2400)
    case.tick(4)
    assert Peer.decoded(said) in mover.read_received()
    statistics = mover.statistics()
    assert (statistics.late, statistics.duplicate, statistics.lost, statistics.resyncs) == (0, 0, 0, 0)
    assert statistics.missing_samples == 0


@both_ways
@each_way
def test_both_hear_each_other_from_then_on(case: MediaCase, first_moves: bool, by: str) -> None:
    (first, mouth), (second, ears) = case.leg(), case.leg()
    mover, stays = (first, second) if first_moves else (second, first)
    talk(case, mouth, audio(0.2))
    link(case, mover, to=stays, by=by)
    said = audio(1.0)
    for start in range(0, len(said), TICK):
        mouth.send_audio(said[start : start + TICK], timestamp=1600 + start)
        ears.send_audio(said[start : start + TICK], timestamp=start)
        case.tick()
    for peer in (mouth, ears):
        sounds = heard(peer.received())[3200:8000].astype(float)
        spectrum = np.fft.rfft(sounds, 1 << 14) * np.conj(np.fft.rfft(said.astype(float), 1 << 14))
        lag = int(np.argmax(np.fft.irfft(spectrum)))
        lag = lag - (1 << 14) if lag > 1 << 13 else lag
        same = said[-lag : len(sounds) - lag] if lag <= 0 else said[: len(sounds) - lag]
        assert np.corrcoef(sounds[max(lag, 0) :][: len(same)], same)[0, 1] > 0.99


def test_keys_keep_their_order_over_the_move(case: MediaCase) -> None:
    (stays, _), (mover, phone) = case.leg(), case.leg()
    plane = case.plane
    keys = [3, 1, 4, 1, 5, 9, 2, 6]
    for i, key in enumerate(keys):
        if i == 4:
            stays.bridge(mover)
        phone.send_event(key, timestamp=1600 * i, duration=800, marker=True, end=True)
        plane.tick(1000.0 + i / 10)
        plane.tick(1000.05 + i / 10)
    # All at once: those from before the move lie in the other clock's ring.
    events = plane.drain_events()
    assert codes(events) == keys
    assert [event.code for event in events if isinstance(event, DigitEnded)] == keys


def test_keys_keep_their_order_when_the_move_happens_while_events_are_read() -> None:
    plane = MediaPlane(threads=2)

    class Clock:
        """Gives what it has; the leg moves on to the next clock just after this one was looked at."""

        def __init__(self, *rounds: list[tuple[int, int]]) -> None:
            self.rounds = list(rounds)

        def drain(self) -> list[tuple[object, ...]]:
            found = self.rounds.pop(0) if self.rounds else []
            return [(1, 7, code, 0, 0, 0, 0.0, 0, 0, False, False, moves) for code, moves in found]

        def stop(self) -> None:
            pass

    try:
        plane._clocks = [Clock([(1, 0)], [(2, 0), (3, 0)]), Clock([(4, 1)], [(5, 1)])]  # type: ignore[list-item]
        assert codes(plane.drain_events()) == [1, 2, 3, 4, 5]
    finally:
        plane.stop()


@each_way
def test_a_key_that_lasts_over_the_move_is_heard_once(case: MediaCase, by: str) -> None:
    (stays, _), (mover, phone) = case.leg(), case.leg()
    tone = generate("5", on_ms=200, off_ms=200)
    talk(case, phone, tone[:800])
    link(case, mover, to=stays, by=by)
    talk(case, phone, tone[800:], at=800)
    case.tick(10)
    assert codes(case.events) == [5]
    ended = [event for event in case.events if isinstance(event, DigitEnded)]
    assert [event.duration_ms for event in ended] == [pytest.approx(200, abs=12)]


@both_ways
@each_way
def test_no_key_escapes_the_mask_of_a_leg_that_moves(case: MediaCase, first_moves: bool, by: str) -> None:
    both = [case.leg(), case.leg()]
    (mover, phone), (stays, ears) = both if first_moves else reversed(both)
    mover.mask_line()
    mover.mask(True)
    keys = generate("0123456789*#", on_ms=90, off_ms=70)
    talk(case, phone, keys[:4000])
    link(case, mover, to=stays, by=by)
    talk(case, phone, keys[4000:], at=4000)
    case.tick(20)
    assert len(codes(case.events)) == 12
    assert DtmfDetector(SENSITIVE).process(heard(ears.received())) == []


def test_secured_streams_go_on(case: MediaCase) -> None:
    (stays, _), (mover, phone) = case.leg(), case.leg()
    ours, theirs = bytes(range(30)), bytes(range(30, 60))
    case.configure(mover, phone, srtp=SrtpKeysPair(SUITE, ours, theirs))
    far_end = SrtpCore(SrtpKeysPair(SUITE, theirs, ours))
    for i in range(40):
        if i == 20:
            stays.bridge(mover)
        packet = RtpPacket(
            payload_type=0, marker=False, sequence=i, timestamp=TICK * i, ssrc=1, payload=ulaw_encode(audio(0.02))
        )
        phone.send_raw(far_end.protect(packet.to_bytes())[1])
        case.tick()
    sizes = [far_end.unprotect(data)[0] for data in phone.received_raw()]
    assert sizes == [12 + TICK] * 40
    assert mover.statistics().packets_in == 40
    assert mover.statistics().discarded_by_cause == {}


def test_commands_before_and_after_the_move_keep_their_order(case: MediaCase) -> None:
    (stays, _), (mover, ears) = case.leg(), case.leg()
    prompts = [clip_of(np.full(3200, 1000 * i, np.int16)) for i in range(1, 4)]
    mover.play([prompts[0]], token=1, interruptible=False)
    mover.play([prompts[1]], token=2, interruptible=False)
    stays.bridge(mover)
    mover.play([prompts[2]], token=3, interruptible=False)
    case.tick(30)
    assert [event.token for event in case.events if isinstance(event, PlayFinished)] == [1, 2, 3]
    assert set(heard(ears.received()).tolist()) <= {0, *as_coded(2000), *as_coded(3000)}


def test_legs_may_cross_at_once(case: MediaCase) -> None:
    legs = [case.leg() for _ in range(4)]  # clocks 0, 1, 0, 1
    legs[0][0].bridge(legs[1][0])
    legs[3][0].bridge(legs[2][0])
    case.tick(4)
    for _, peer in legs:
        peer.received_raw()
    for start in range(0, 3200, TICK):
        for i, (_, peer) in enumerate(legs):
            peer.send_audio(audio(0.02, amplitude=2000 * (i + 1)), timestamp=start)
        case.tick()
    assert all(np.any(heard(peer.received())) for _, peer in legs)


def test_a_leg_may_go_to_and_fro_before_its_clock_looks(case: MediaCase) -> None:
    (first, _), (second, ears), (third, _) = case.leg(), case.leg(), case.leg()
    fourth, phone = case.leg()
    assert fourth._clock is second._clock
    for _ in range(20):
        first.bridge(second)
        fourth.bridge(second)
        third.bridge(second)
    fourth.bridge(second)
    case.tick(50)
    ears.received_raw()
    talk(case, phone, audio(0.4))
    packets = ears.received()
    assert len(packets) == 20
    assert np.any(heard(packets))


@both_ways
def test_a_leg_that_is_closed_while_it_moves_is_let_go_of(case: MediaCase, first_moves: bool) -> None:
    both = [case.leg(), case.leg()]
    (mover, _), (stays, ears) = both if first_moves else reversed(both)
    case.tick(2)
    stays.bridge(mover)
    mover.close()
    case.tick(3)
    assert [event for event in case.events if isinstance(event, LegClosed)] == [LegClosed(leg_id=mover.id)]
    ears.received_raw()
    case.tick(5)
    assert len(ears.received()) == 5
    stays.close()
    case.tick(2)
    assert case.plane.statistics().legs == 0


def test_a_leg_that_never_ticked_moves(case: MediaCase) -> None:
    (stays, mouth), (mover, ears) = case.leg(), case.leg()
    stays.bridge(mover)
    talk(case, mouth, audio(0.4))
    packets = ears.received()
    assert [(b.sequence - a.sequence) & 0xFFFF for a, b in pairwise(packets)] == [1] * (len(packets) - 1)
    assert np.any(heard(packets))


@pytest.mark.parametrize("whose", ["old", "new"])
def test_a_leg_stays_where_it_is_when_a_clock_takes_no_commands(case: MediaCase, whose: str) -> None:
    (stays, _), (mover, ears) = case.leg(), case.leg()
    case.tick(2)
    clock = mover._clock
    crowded = mover if whose == "old" else stays
    # One place is left where it comes from, or too few where it would go.
    for _ in range(COMMANDS - (0 if whose == "old" else 1)):
        crowded.stop_playing()
    with pytest.raises(MediaError, match="does not take commands"):
        stays.bridge(mover)
    assert mover._clock is clock
    case.tick(2)
    ears.received_raw()
    stays.bridge(mover)
    case.tick(5)
    assert len(ears.received()) == 5


def test_a_stranded_clock_holds_up_commands_and_no_ticks(case: MediaCase) -> None:
    (stays, ears), (mover, _) = case.leg(), case.leg()
    case.tick(2)
    ears.received_raw()
    clock = case.plane._clocks[0]
    stays.bridge(mover)
    stays.play([clip_of(audio(1.0))], token=1, interruptible=False)
    for i in range(10):  # only this one ticks
        clock.tick(round((case.now + 0.02 * i) * 1e9))
    assert [len(packet.payload) for packet in ears.received()] == [TICK] * 10
    case.now += 0.2
    case.tick(5)
    assert np.any(heard(ears.received()))


def test_what_a_leg_missed_while_its_clock_stood_still_is_told_by_its_timestamp(case: MediaCase) -> None:
    (stays, _), (mover, ears) = case.leg(), case.leg()
    case.tick(5)
    stays.bridge(mover)
    case.now += 1.0  # both stood still
    case.tick(3)
    packets = ears.received()
    jumps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(packets)]
    assert sum(jumps) == pytest.approx(TICK * 50 + TICK * 7, abs=2 * TICK)
    assert sum(jump != TICK for jump in jumps) == 1
    assert [packet.marker for packet in packets[1:]] == [jump != TICK for jump in jumps]


@settings(max_examples=60, deadline=None)
@given(
    phases=st.tuples(st.integers(0, PHASES - 1), st.integers(0, PHASES - 1)),
    offset_us=st.integers(0, 19_999),
    move_turn=st.integers(40, 44),
    mover_is_first=st.booleans(),
    by=st.sampled_from(["bridge", "room"]),
)
def test_a_leg_that_moves_is_never_longer_silent_than_a_cycle_and_a_half(
    phases: tuple[int, int], offset_us: int, move_turn: int, mover_is_first: bool, by: str
) -> None:
    with a_media_case(threads=2) as case:
        clocks = case.plane._clocks
        both = []
        for wanted, clock in zip(phases, clocks, strict=True):
            leg = case.plane.open_leg()
            while leg._clock is not clock or leg._phase != wanted:
                leg.close()
                leg = case.plane.open_leg()
            peer = case.peer(leg)
            case.configure(leg, peer)
            both.append((leg, peer))
        (mover, ears), (stays, _) = both if mover_is_first else reversed(both)
        # Each clock has its own beginning: its turns lie anywhere between the other's.
        turns = sorted(
            (1_000_000_000 + i * PHASE_NS + which * offset_us * 1000, which, i % PHASES)
            for which in range(2)
            for i in range(80)
        )
        came: list[int] = []
        for n, (now, which, phase) in enumerate(turns):
            if n == 2 * move_turn:
                link(case, mover, to=stays, by=by)
            clocks[which].turn(phase, now)
            came += [now] * len(ears.received_raw())
        gaps = [b - a for a, b in pairwise(came)]
        assert max(gaps) <= 30_000_000
        # 400 ms of turns: one packet in each cycle, the shift of the phase at most one more or less.
        assert abs(len(came) - (turns[-1][0] - came[0]) / 20e6) <= 2


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whatever_is_asked_of_legs_and_rooms_every_leg_speaks_on(data: st.DataObject) -> None:
    with a_media_case(threads=3) as case:
        legs = [case.leg() for _ in range(5)]
        rooms = [case.plane.open_room(), case.plane.open_room()]
        for _ in range(data.draw(st.integers(1, 30))):
            leg = data.draw(st.sampled_from(legs))[0]
            what = data.draw(
                st.sampled_from(["bridge", "unbridge", "add", "remove", "tick", "mute", "earmuff", "close"])
            )
            if what == "bridge":
                other = data.draw(st.sampled_from(legs))[0]
                if other is not leg:
                    leg.bridge(other)
            elif what == "unbridge":
                leg.unbridge()
            elif what == "add":
                data.draw(st.sampled_from(rooms)).add(leg, muted=data.draw(st.booleans()))
            elif what == "remove":
                data.draw(st.sampled_from(rooms)).remove(leg)
            elif what == "mute" and leg.room is not None:
                leg.room.mute(leg, data.draw(st.booleans()))
            elif what == "earmuff":
                leg.earmuff(data.draw(st.booleans()))
            elif what == "close":
                rooms.pop(0).close()
                rooms.append(case.plane.open_room())
            elif what == "tick":
                case.tick(data.draw(st.integers(1, 3)))
        # A clock that waits for a leg gets it in the next tick: as many moves as were asked for are over by then.
        case.tick(32)
        for _, peer in legs:
            peer.received_raw()
        case.tick(5)
        assert [len(peer.received_raw()) for _, peer in legs] == [5] * 5
        for room in rooms:
            assert all(leg.room is room for leg in room.legs)
