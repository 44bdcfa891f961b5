"""Keys as a leg hears them: events, tones, both at once, and what the far end does to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.media import DigitEnded, DigitReceived, DigitSource, Leg, PlayFinished
from prompts.clip import Clip
from tests.support.rtp_peer import EVENT_PT, MediaCase, Peer, audio, codes
from tests.support.rtp_peer import media_case as a_media_case

KEYS = [4, 2, 4, 2, 11]


@pytest.fixture
def case() -> Iterator[MediaCase]:
    with a_media_case() as one:
        yield one


def tone_leg(case: MediaCase, **config: Any) -> tuple[Leg, Leg]:
    """Two legs of ours that talk to each other: the second keys, the first listens."""
    ears = case.plane.open_leg(record=True)
    mouth = case.plane.open_leg()
    for leg, other in ((ears, mouth), (mouth, ears)):
        leg.configure(
            **{  # type: ignore[arg-type]
                "remote": ("127.0.0.1", other.rtp_port),
                "codec": "PCMU",
                "send_pt": 0,
                "receive_pts": {0: "PCMU", 8: "PCMA"},
                "event_receive_pt": EVENT_PT,
                "event_send_pt": EVENT_PT,
            }
            | config
        )
    return ears, mouth


def press(case: MediaCase, peer: Peer, code: int, timestamp: int, *, ticks: int = 5, **more: Any) -> None:
    """One key as events, with its three ends."""
    for i in range(ticks):
        peer.send_event(code, timestamp=timestamp, duration=160 * (i + 1), marker=i == 0, **more)
        case.tick()
    for _ in range(3):
        peer.send_event(code, timestamp=timestamp, duration=160 * ticks, end=True, **more)
        case.tick()


@pytest.mark.parametrize("mode", ["telephone-event", "in-band"])
@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
@pytest.mark.parametrize("ptime_ms", [10, 20, 30, 60])
def test_keys_are_heard_once_each_and_in_order(case: MediaCase, mode: str, codec: str, ptime_ms: int) -> None:
    ears, mouth = tone_leg(case, codec=codec, send_pt=0 if codec == "PCMU" else 8, ptime_ms=ptime_ms)
    mouth.send_digits(KEYS, mode=mode, on_ms=70, off_ms=60)  # type: ignore[arg-type]
    events = case.tick(60)
    assert codes(events) == KEYS
    sources = {event.source for event in events if isinstance(event, DigitReceived)}
    assert sources == {DigitSource(mode)}
    ended = [event for event in events if isinstance(event, DigitEnded)]
    assert [event.code for event in ended] == KEYS
    assert all(50 <= event.duration_ms <= 90 for event in ended)
    assert ears.statistics().lost == 0


@pytest.mark.parametrize("mode", ["telephone-event", "in-band"])
def test_all_sixteen_keys_are_heard(case: MediaCase, mode: str) -> None:
    _, mouth = tone_leg(case)
    mouth.send_digits(range(16), mode=mode, on_ms=60, off_ms=60)  # type: ignore[arg-type]
    assert codes(case.tick(130)) == list(range(16))


def test_the_start_of_a_key_is_dated_near_its_press(case: MediaCase) -> None:
    _, mouth = tone_leg(case)
    case.tick(50)
    for mode in ("in-band", "telephone-event"):
        pressed = case.now
        mouth.send_digits([1], mode=mode, on_ms=100)
        (received,) = [event for event in case.tick(20) if isinstance(event, DigitReceived)]
        assert received.at == pytest.approx(pressed, abs=0.045)


def test_the_text_of_an_event_is_the_same_for_every_key() -> None:
    received = {
        repr(DigitReceived(leg_id=1, code=code, source=DigitSource.INFO, at=2.5, level_dbm0=-3.0)) for code in range(16)
    }
    ended = {repr(DigitEnded(leg_id=1, code=code, source=DigitSource.INFO, duration_ms=80)) for code in range(16)}
    assert len(received) == len(ended) == 1


def test_after_an_event_tones_in_the_audio_are_no_keys(case: MediaCase) -> None:
    _, mouth = tone_leg(case)
    mouth.send_digits([1], mode="telephone-event")
    assert codes(case.tick(20)) == [1]
    mouth.send_digits([2, 3], mode="in-band")
    assert codes(case.tick(40)) == []
    mouth.send_digits([4], mode="telephone-event")
    assert codes(case.tick(20)) == [4]


def test_tones_count_again_when_a_re_invite_takes_the_events_away(case: MediaCase) -> None:
    ears, mouth = tone_leg(case)
    mouth.send_digits([1], mode="telephone-event")
    case.tick(20)
    ears.configure(
        remote=("127.0.0.1", mouth.rtp_port),
        codec="PCMU",
        send_pt=0,
        receive_pts={0: "PCMU"},
        event_receive_pt=None,
        event_send_pt=None,
    )
    mouth.send_digits([2], mode="in-band")
    assert codes(case.tick(20)) == [2]


def test_a_leg_without_in_band_detection_hears_events_only(case: MediaCase) -> None:
    leg, peer = case.leg(detect_in_band=False)
    _, mouth = tone_leg(case)
    del mouth
    tones = keyed([5])
    for i in range(0, len(tones), 160):
        peer.send_audio(tones[i : i + 160], timestamp=i)
        case.tick()
    assert codes(case.events) == []
    press(case, peer, 5, 90000)
    assert codes(case.events) == [5]
    assert leg.statistics().keys_by_event == 1


def keyed(digits: list[int]) -> NDArray[np.int16]:
    """Audio with keys in it, made here and not by the code under test."""
    low, high = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
    rows = ("123A", "456B", "789C", "*0#D")
    names = "0123456789*#ABCD"
    parts = []
    for digit in digits:
        row, column = next((r, rows[r].index(names[digit])) for r in range(4) if names[digit] in rows[r])
        t = np.arange(800) / 8000
        parts += [
            6000 * np.sin(2 * np.pi * low[row] * t) + 6000 * np.sin(2 * np.pi * high[column] * t),
            np.zeros(800),
        ]
    return np.concatenate(parts).astype(np.int16)


def test_tones_that_leak_beside_events_add_no_key(case: MediaCase) -> None:
    # FreeSWITCH#2560: the gateway leaves the tone in the audio and sends events, one packet of each in turn.
    _, peer = case.leg()
    tones = keyed([3, 3])
    for i in range(0, len(tones), 160):
        key, offset = divmod(i, 1600)
        if offset < 800:
            peer.send_event(3, timestamp=key * 1600, duration=offset + 160, marker=offset == 0)
        elif offset < 1280:
            peer.send_event(3, timestamp=key * 1600, duration=800, end=True)
        peer.send_audio(tones[i : i + 160], timestamp=i)
        case.tick()
    case.tick(20)
    assert codes(case.events) == [3, 3]


def test_the_first_packet_of_a_call_may_be_a_key(case: MediaCase) -> None:
    _, peer = case.leg()
    press(case, peer, 9, 1000, ticks=1)
    assert codes(case.events) == [9]


def test_keys_come_through_while_nothing_else_is_sent(case: MediaCase) -> None:
    # DTX: minutes of nothing, then a key, then nothing.
    leg, peer = case.leg(rtp_timeout_ms=0)
    for n in range(3):
        press(case, peer, n, 1000 + n * 480000)
        case.tick(3000)
    assert codes(case.events) == [0, 1, 2]
    assert leg.statistics().missing_samples == 0


@pytest.mark.parametrize("payload_type", [96, 97, 101, 126])
def test_events_come_with_any_payload_type_and_leave_with_another(case: MediaCase, payload_type: int) -> None:
    leg, peer = case.leg(event_receive_pt=payload_type, event_send_pt=110)
    press(case, peer, 5, 1000, payload_type=payload_type)
    assert codes(case.events) == [5]
    peer.received()
    leg.send_digits([6], mode="telephone-event")
    case.tick(10)
    events = [packet for packet in peer.received() if packet.payload_type == 110]
    assert {packet.payload[0] for packet in events} == {6}


def test_an_event_on_a_payload_type_not_agreed_on_is_no_key(case: MediaCase) -> None:
    leg, peer = case.leg(event_receive_pt=101)
    press(case, peer, 5, 1000, payload_type=102)
    assert codes(case.events) == []
    assert leg.statistics().discarded_by_cause == {"payload-type": 8}


def test_a_re_invite_may_change_the_payload_type_of_events(case: MediaCase) -> None:
    leg, peer = case.leg(event_receive_pt=101)
    press(case, peer, 1, 1000)
    case.configure(leg, peer, event_receive_pt=96)
    press(case, peer, 2, 5000, payload_type=96)
    press(case, peer, 3, 9000, payload_type=101)
    assert codes(case.events) == [1, 2]


def test_a_transfer_to_another_ssrc_keeps_the_keys_coming(case: MediaCase) -> None:
    leg, peer = case.leg()
    for i in range(10):
        peer.send_audio(audio(0.02), timestamp=160 * i)
        case.tick()
    press(case, peer, 1, 1600)
    peer.ssrc = 0x9999
    for i in range(10):
        peer.send_audio(audio(0.02), timestamp=700000 + 160 * i)
        case.tick()
    press(case, peer, 1, 701600)
    assert codes(case.events) == [1, 1]
    assert leg.statistics().ssrc_changes == 1


def test_a_flash_is_counted_and_is_no_key(case: MediaCase) -> None:
    leg, peer = case.leg()
    press(case, peer, 16, 1000)
    assert codes(case.events) == []
    assert leg.statistics().discarded_by_cause == {"event": 8}


def test_a_tone_that_is_held_over_the_end_of_the_stream_ends_when_audio_comes_again(case: MediaCase) -> None:
    _, peer = case.leg()
    tones = keyed([8])[:640]
    for i in range(0, len(tones), 160):
        peer.send_audio(tones[i : i + 160], timestamp=i)
        case.tick()
    case.tick(50)
    for i in range(20):
        peer.send_audio(np.zeros(160, dtype=np.int16), timestamp=80000 + 160 * i, marker=i == 0)
        case.tick()
    assert codes(case.events) == [8]
    assert [event.code for event in case.events if isinstance(event, DigitEnded)] == [8]


@pytest.mark.parametrize("lost_percent", [1, 5])
def test_tones_survive_lost_packets(case: MediaCase, lost_percent: int) -> None:
    # Keys of 100 ms, spread losses: what is lost is told to the detector as lost.
    _, peer = case.leg()
    digits = [int(d) for d in "4242424242424242"]
    tones = keyed(digits)
    random = np.random.default_rng(lost_percent)
    for i in range(0, len(tones), 160):
        if random.random() * 100 >= lost_percent:
            peer.send_audio(tones[i : i + 160], timestamp=i)
        else:
            peer.sequence += 1
        case.tick()
    case.tick(20)
    assert codes(case.events) == digits


def test_a_key_stops_an_interruptible_prompt_in_the_same_tick(case: MediaCase) -> None:
    leg, peer = case.leg()
    leg.play([Clip(name="x", pcmu=bytes(16000), pcma=bytes(16000))], token=3, interruptible=True)
    case.tick(10)
    assert {packet.payload for packet in peer.received()} == {bytes(160)}
    peer.send_event(5, timestamp=1000, marker=True)
    events = case.tick()
    assert [type(event) for event in events] == [DigitReceived, PlayFinished]
    finished = events[1]
    assert isinstance(finished, PlayFinished)
    assert (finished.token, finished.completed, finished.interrupted_by_digit) == (3, False, True)
    assert [packet.payload for packet in peer.received()] == [b"\xff" * 160]


def test_a_key_does_not_stop_a_prompt_that_is_to_be_heard(case: MediaCase) -> None:
    leg, peer = case.leg()
    leg.play([Clip(name="x", pcmu=bytes(1600), pcma=bytes(1600))], token=3, interruptible=False)
    case.tick(2)
    press(case, peer, 5, 1000)
    events = case.tick(10)
    finished = [event for event in [*case.events, *events] if isinstance(event, PlayFinished)]
    assert all(event.completed for event in finished)
    assert {packet.payload for packet in peer.received()[:10]} == {bytes(160)}


def test_a_leg_that_does_not_receive_counts_and_drops_keys(case: MediaCase) -> None:
    leg, peer = case.leg(receiving=False)
    press(case, peer, 5, 1000)
    assert codes(case.events) == []
    assert leg.statistics().discarded_by_cause == {"not-receiving": 8}
