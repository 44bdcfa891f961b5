"""The player: what is heard, when it is over, what it holds on to."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from random import Random

import numpy as np
import pytest

from dsp.g711 import alaw_encode, ulaw_decode, ulaw_encode
from engine.errors import MediaError
from engine.media import Leg, MediaEvent, PlayFinished, PlayPosition
from prompts.clip import Clip
from tests.support.rtp_peer import MediaCase, Peer, audio, codes
from tests.support.rtp_peer import media_case as a_media_case


@pytest.fixture
def case() -> Iterator[MediaCase]:
    with a_media_case() as one:
        yield one


def clip(n: int, *, seed: int = 1) -> Clip:
    """n samples that are nowhere the silence of a law."""
    random = Random(seed)
    return Clip(
        name="clip",
        pcmu=bytes(random.randrange(0, 0x7F) for _ in range(n)),
        pcma=bytes(random.randrange(0x80, 0xD0) for _ in range(n)),
    )


def sent(peer: Peer) -> bytes:
    return b"".join(packet.payload for packet in peer.received())


def finished(events: list[MediaEvent]) -> list[tuple[int, bool, bool]]:
    return [
        (event.token, event.completed, event.interrupted_by_digit)
        for event in events
        if isinstance(event, PlayFinished)
    ]


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
@pytest.mark.parametrize("ptime_ms", [10, 20, 30, 60])
@pytest.mark.parametrize("n", [1, 159, 160, 161, 1600, 2345])
def test_a_clip_is_sent_bit_for_bit_without_a_gap(case: MediaCase, codec: str, ptime_ms: int, n: int) -> None:
    leg, peer = case.leg(codec=codec, ptime_ms=ptime_ms)
    one, two = clip(n), clip(100, seed=2)
    leg.play([one, two], token=1, interruptible=False)
    events = case.tick((n + 100) // 160 + 8)
    law = "pcmu" if codec == "PCMU" else "pcma"
    assert sent(peer).startswith(getattr(one, law) + getattr(two, law))
    assert finished(events) == [(1, True, False)]


def test_a_gap_of_silence_stands_between_clips_and_not_after_them(case: MediaCase) -> None:
    leg, peer = case.leg()
    leg.play([clip(100), clip(100)], token=1, interruptible=False, gap_ms=50)
    case.tick(8)
    assert sent(peer)[:700] == clip(100).pcmu + b"\xff" * 400 + clip(100).pcmu + b"\xff" * 100
    assert len(finished(case.events)) == 1


def test_a_loop_goes_on_until_it_is_stopped(case: MediaCase) -> None:
    leg, peer = case.leg()
    leg.play([clip(300)], token=1, interruptible=False, loop=True, gap_ms=10)
    events = case.tick(20)
    assert finished(events) == []
    assert sent(peer) == ((clip(300).pcmu + b"\xff" * 80) * 9)[:3200]
    leg.stop_playing()
    assert finished(case.tick()) == [(1, False, False)]
    assert sent(peer) == b"\xff" * 160


def test_a_new_playlist_takes_the_place_of_the_old_one(case: MediaCase) -> None:
    leg, peer = case.leg()
    leg.play([clip(8000)], token=1, interruptible=False)
    case.tick(3)
    sent(peer)
    leg.play([clip(320, seed=9)], token=2, interruptible=False)
    events = case.tick(3)
    assert sent(peer)[:320] == clip(320, seed=9).pcmu
    assert finished(events) == [(1, False, False), (2, True, False)]


@pytest.mark.parametrize("clips", [[], [clip(0)], [clip(0), clip(0)]])
@pytest.mark.parametrize("loop", [False, True])
def test_nothing_to_play_is_finished_at_once(case: MediaCase, clips: list[Clip], loop: bool) -> None:
    leg, _ = case.leg()
    leg.play(clips, token=5, interruptible=False, loop=loop)
    assert finished(case.tick()) == [(5, True, False)]


def test_a_playlist_begun_before_the_answer_is_heard_from_its_beginning(case: MediaCase) -> None:
    leg = case.plane.open_leg()
    peer = case.peer(leg)
    leg.play([clip(320)], token=1, interruptible=False)
    case.tick(10)
    case.configure(leg, peer)
    case.tick(3)
    assert sent(peer)[:320] == clip(320).pcmu


def test_stopping_when_nothing_plays_is_harmless(case: MediaCase) -> None:
    leg, _ = case.leg()
    leg.stop_playing()
    assert case.tick() == []


def test_closing_a_leg_finishes_its_playlist(case: MediaCase) -> None:
    leg, _ = case.leg()
    leg.play([clip(8000)], token=1, interruptible=False)
    case.tick()
    leg.close()
    assert finished(case.tick()) == [(1, False, False)]


def test_a_clip_is_held_while_it_plays_and_let_go_after(case: MediaCase) -> None:
    leg, _ = case.leg()
    one = clip(1600)
    before = sys.getrefcount(one.pcmu)
    leg.play([one], token=1, interruptible=False)
    playing = sys.getrefcount(one.pcmu)
    case.tick(12)
    gc.collect()
    after = sys.getrefcount(one.pcmu)
    assert (playing, after) == (before + 1, before)


def test_a_clip_whose_laws_differ_in_length_is_refused(case: MediaCase) -> None:
    leg, _ = case.leg()
    with pytest.raises(ValueError, match="as long"):
        leg.play([Clip(name="x", pcmu=bytes(3), pcma=bytes(4))], token=1, interruptible=False)


def test_keys_in_band_are_mixed_into_what_plays(case: MediaCase) -> None:
    leg, peer = case.leg()
    leg.play([clip(3200)], token=1, interruptible=False)
    case.tick(2)
    sent(peer)
    leg.send_digits([5], mode="in-band", on_ms=40, off_ms=40)
    case.tick(5)
    heard = sent(peer)
    assert heard[:320] != clip(3200).pcmu[320:640]
    assert heard[640:800] == clip(3200).pcmu[960:1120]


def test_events_replace_the_audio_and_time_runs_on(case: MediaCase) -> None:
    leg, peer = case.leg()
    case.tick(2)
    before = peer.received()[-1]
    leg.send_digits([5], mode="telephone-event", on_ms=60, off_ms=60)
    case.tick(8)
    packets = peer.received()
    assert [packet.payload_type for packet in packets] == [101] * 5 + [0] * 3
    assert [packet.marker for packet in packets] == [True] + [False] * 7
    assert {packet.timestamp for packet in packets[:5]} == {(before.timestamp + 160) & 0xFFFFFFFF}
    assert (packets[5].timestamp - packets[0].timestamp) & 0xFFFFFFFF == 5 * 160
    assert [(packet.sequence - before.sequence) & 0xFFFF for packet in packets] == list(range(1, 9))


@pytest.mark.parametrize("rate_hz", [16000, 48000])
def test_events_are_sent_in_the_clock_of_their_payload_type(case: MediaCase, rate_hz: int) -> None:
    leg, peer = case.leg(event_rate_hz=rate_hz)
    leg.send_digits([5], mode="telephone-event", on_ms=100)
    case.tick(10)
    events = [packet.payload for packet in peer.received() if packet.payload_type == 101]
    assert int.from_bytes(events[-1][2:], "big") == rate_hz // 10


def test_keys_wait_for_those_before_them_whatever_their_kind(case: MediaCase) -> None:
    ears, peer = case.leg()
    mouth, _ = case.leg(remote=("127.0.0.1", ears.rtp_port))
    case.configure(ears, peer, remote=("127.0.0.1", mouth.rtp_port))
    mouth.send_digits([1, 2], mode="in-band")
    mouth.send_digits([3], mode="telephone-event")
    assert codes(case.tick(60)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda leg: leg.send_digits([16], mode="in-band"), "0 to 15"),
        (lambda leg: leg.send_digits([-1], mode="in-band"), "0 to 15"),
        (lambda leg: leg.send_digits([1] * 65, mode="in-band"), "64"),
        (lambda leg: leg.send_digits([1], mode="in-band", on_ms=0), "lasts"),
        (lambda leg: leg.send_digits([1], mode="in-band", off_ms=-1), "pause"),
        (lambda leg: leg.send_digits([1], mode="telephone-event"), "key in-band"),
    ],
)
def test_keys_that_cannot_be_sent_are_refused(case: MediaCase, call: object, message: str) -> None:
    leg, _ = case.leg(event_send_pt=None)
    assert isinstance(leg, Leg)
    with pytest.raises(MediaError, match=message):
        call(leg)  # type: ignore[operator]


def positions(events: list[MediaEvent]) -> list[int]:
    return [event.position_ms for event in events if isinstance(event, PlayPosition)]


def test_playing_begins_where_it_is_asked_to(case: MediaCase) -> None:
    leg, peer = case.leg()
    one, two = clip(1600), clip(800, seed=2)
    leg.play([one, two], token=1, interruptible=False, start_ms=210)
    assert finished(case.tick(8)) == [(1, True, False)]
    assert sent(peer).startswith(two.pcmu[80:])


@pytest.mark.parametrize(
    ("position_ms", "expected_gap", "clip_index", "offset"),
    [(0, 0, 0, 0), (50, 0, 0, 400), (100, 400, 1, 0), (130, 160, 1, 0), (150, 0, 1, 0), (175, 0, 1, 200)],
)
def test_seeking_counts_the_pauses_between_clips(
    case: MediaCase, position_ms: int, expected_gap: int, clip_index: int, offset: int
) -> None:
    leg, peer = case.leg()
    clips = [clip(800), clip(800, seed=2)]
    leg.play(clips, token=1, interruptible=False, gap_ms=50, report_ms=20)
    case.tick()
    peer.received()
    leg.seek(position_ms)
    case.tick(12)
    assert sent(peer).startswith(b"\xff" * expected_gap + clips[clip_index].pcmu[offset:])


def test_seeking_beyond_the_end_ends_it(case: MediaCase) -> None:
    leg, _ = case.leg()
    leg.play([clip(1600)], token=1, interruptible=False)
    case.tick()
    leg.seek(5000)
    assert finished(case.tick(2)) == [(1, True, False)]


def test_a_pause_is_silence_and_loses_nothing(case: MediaCase) -> None:
    leg, peer = case.leg()
    one = clip(800)
    leg.play([one], token=1, interruptible=False)
    case.tick(2)
    leg.pause_playing()
    assert finished(case.tick(5)) == []
    leg.resume_playing()
    case.tick(5)
    assert sent(peer).startswith(one.pcmu[:320] + b"\xff" * 800 + one.pcmu[320:])


def test_a_playlist_can_begin_paused(case: MediaCase) -> None:
    leg, peer = case.leg()
    one = clip(160)
    leg.play([one], token=1, interruptible=False, paused=True)
    case.tick(3)
    leg.resume_playing()
    case.tick(2)
    assert sent(peer).startswith(b"\xff" * 480 + one.pcmu)


def test_a_key_ends_a_paused_playlist_that_it_may_interrupt(case: MediaCase) -> None:
    leg, peer = case.leg()
    leg.play([clip(1600)], token=1, interruptible=True, paused=True)
    case.tick(2)
    peer.send_event(5, timestamp=0, marker=True)
    assert finished(case.tick(1)) == [(1, False, True)]


@pytest.mark.parametrize(("volume_db", "ratio"), [(-6.0, 0.501), (-20.0, 0.1), (6.0, 1.995)])
def test_volume_scales_what_is_heard(case: MediaCase, volume_db: float, ratio: float) -> None:
    leg, peer = case.leg()
    samples = audio(0.4, amplitude=6000)
    loud = Clip(name="tone", pcmu=ulaw_encode(samples), pcma=alaw_encode(samples))
    leg.play([loud], token=1, interruptible=False, volume_db=volume_db)
    case.tick(20)
    heard = ulaw_decode(sent(peer)).astype(float)
    assert np.sqrt(np.mean(heard**2) / np.mean(samples.astype(float) ** 2)) == pytest.approx(ratio, rel=0.02)


def test_volume_changes_at_the_next_frame(case: MediaCase) -> None:
    leg, peer = case.leg()
    samples = audio(0.4, amplitude=6000)
    leg.play([Clip(name="tone", pcmu=ulaw_encode(samples), pcma=alaw_encode(samples))], token=1, interruptible=False)
    case.tick(10)
    leg.set_volume(-60.0)
    case.tick(10)
    heard = ulaw_decode(sent(peer)).astype(int)
    assert np.max(np.abs(heard[:1600])) > 5000
    assert np.max(np.abs(heard[1600:])) < 30


@pytest.mark.parametrize("volume_db", [-61.0, 12.5, float("nan")])
def test_a_volume_that_nobody_wants_is_refused(case: MediaCase, volume_db: float) -> None:
    leg, _ = case.leg()
    with pytest.raises(MediaError, match="-60 to \\+12"):
        leg.set_volume(volume_db)


def test_positions_are_told_as_often_as_asked_and_begin_anew_in_a_loop(case: MediaCase) -> None:
    leg, _ = case.leg()
    leg.play([clip(2400)], token=1, interruptible=False, loop=True, report_ms=100)
    assert positions(case.tick(31)) == [100, 200, 300, 100, 200, 300]


def test_nothing_is_told_without_a_wish(case: MediaCase) -> None:
    leg, _ = case.leg()
    leg.play([clip(2400)], token=1, interruptible=False)
    assert positions(case.tick(31)) == []


def test_a_closed_leg_says_that_it_is_closed(case: MediaCase) -> None:
    leg, _ = case.leg()
    leg.close()
    for command in (
        leg.pause_playing,
        leg.resume_playing,
        leg.stop_playing,
        leg.unbridge,
        leg.mask_line,
        lambda: leg.seek(0),
        lambda: leg.set_volume(0),
        lambda: leg.mute(True),
        lambda: leg.earmuff(True),
        lambda: leg.record(None),
        lambda: leg.play([], token=1, interruptible=False),
        lambda: leg.send_digits([1], mode="in-band"),
    ):
        with pytest.raises(MediaError, match="closed"):
            command()
