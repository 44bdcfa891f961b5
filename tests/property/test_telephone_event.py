"""The telephone-event receiver gives each key exactly once, whatever the network does to it.

The sender is one that keeps to RFC 4733, with a pause of 40 ms or more between keys (ITU-T Q.24's shortest). The
network loses any packets but one of each key, duplicates any, and reorders packets that are close to each other.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.rtp._event_sender import sender_packets
from engine.rtp._telephone_event import TelephoneEventReceiver

START, END = 1, 2


@dataclass(frozen=True)
class Key:
    code: int
    on_ms: int
    off_ms: int
    step_ms: int


@dataclass(frozen=True)
class Sent:
    at_ms: float
    key: int
    timestamp: int
    marker: bool
    payload: bytes


keys = st.lists(
    st.builds(
        Key,
        code=st.integers(0, 15) | st.just(1),
        on_ms=st.integers(2, 20).map(lambda n: n * 20) | st.just(9000),
        off_ms=st.integers(40, 300),
        step_ms=st.sampled_from([10, 20, 50]),
    ),
    min_size=1,
    max_size=6,
)


def send(pressed: list[Key], first_timestamp: int) -> list[Sent]:
    """All packets of the keys, in the order of sending. The ends are sent in the pause."""
    at_ms = 0.0
    sent = []
    for index, key in enumerate(pressed):
        start = (first_timestamp + int(at_ms * 8)) & 0xFFFFFFFF
        step_ms = key.step_ms if key.on_ms < 9000 else 50
        for i, (marker, timestamp, payload) in enumerate(
            sender_packets(key.code, start, key.on_ms * 8, step=step_ms * 8)
        ):
            ended = payload[1] & 0x80
            when = at_ms + min((i + 1) * step_ms, key.on_ms) + (5 * i / 1000 if ended else 0)
            sent.append(Sent(when, index, timestamp, marker, payload))
        at_ms += key.on_ms + key.off_ms
    return sent


def hear(arrivals: list[Sent], ssrcs: dict[int, int] | None = None) -> tuple[list[int], list[int]]:
    """Play packets to a receiver; `ssrcs` gives a key an SSRC of its own."""
    receiver = TelephoneEventReceiver()
    started: list[int] = []
    ended: list[int] = []
    clock_ms = 0.0
    for packet in [*arrivals, None]:
        until_ms = packet.at_ms if packet is not None else clock_ms + 1000
        while clock_ms + 20 <= until_ms:
            clock_ms += 20
            ended += [code for kind, code, *_ in receiver.poll(10 + clock_ms / 1000) if kind == END]
        if packet is None:
            break
        for kind, code, *_ in receiver.receive(
            77 if ssrcs is None else ssrcs[packet.key],
            packet.timestamp,
            packet.marker,
            packet.payload,
            10 + packet.at_ms / 1000,
        ):
            (started if kind == START else ended).append(code)
    return started, ended


@given(keys, st.integers(0, 0xFFFFFFFF), st.data())
@settings(deadline=None, max_examples=80)
def test_each_key_is_heard_once_in_order_under_any_loss_and_duplication(
    pressed: list[Key], timestamp: int, data: st.DataObject
) -> None:
    sent = send(pressed, timestamp)
    arrivals: list[Sent] = []
    for index in range(len(pressed)):
        train = [packet for packet in sent if packet.key == index]
        kept = data.draw(st.sets(st.integers(0, len(train) - 1), min_size=1, max_size=len(train)))
        if pressed[index].on_ms >= 9000:
            # A press of 9 s is two segments; which two cannot be told from two keys when seconds of it are missing.
            kept = set(range(len(train))) - data.draw(st.sets(st.integers(0, len(train) - 1), max_size=5))
        for i in sorted(kept):
            arrivals += [train[i]] * data.draw(st.integers(1, 3))
    started, ended = hear(arrivals)
    assert started == [key.code for key in pressed]
    assert ended == started


@given(keys, st.integers(0, 0xFFFFFFFF), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=80)
def test_each_key_is_heard_once_under_reordering(pressed: list[Key], timestamp: int, seed: int) -> None:
    random = Random(seed)
    sent = send(pressed, timestamp)
    # Each packet is late by up to 60 ms: it may overtake packets of its own key and of its neighbours.
    moved = [Sent(p.at_ms + random.random() * 60, p.key, p.timestamp, p.marker, p.payload) for p in sent]
    moved.sort(key=lambda packet: packet.at_ms)
    started, ended = hear(moved)
    assert Counter(started) == Counter(key.code for key in pressed)
    assert Counter(ended) == Counter(started)


@given(keys, st.integers(0, 0xFFFFFFFF), st.data())
@settings(deadline=None, max_examples=80)
def test_each_key_with_an_ssrc_of_its_own_is_heard_once_under_any_loss(
    pressed: list[Key], timestamp: int, data: st.DataObject
) -> None:
    # SIPp's way. Only the ends are sent in the pause, so that whatever is left of a key ends before the next begins.
    sent = send(pressed, timestamp)
    arrivals: list[Sent] = []
    for index in range(len(pressed)):
        train = [packet for packet in sent if packet.key == index]
        kept = data.draw(st.sets(st.integers(0, len(train) - 1), min_size=1, max_size=len(train)))
        if pressed[index].on_ms >= 9000:
            kept = set(range(len(train))) - data.draw(st.sets(st.integers(0, len(train) - 1), max_size=5))
        arrivals += [train[i] for i in sorted(kept)]
    started, ended = hear(arrivals, {index: 1000 + index for index in range(len(pressed))})
    assert started == [key.code for key in pressed]
    assert ended == started


@given(
    st.integers(0, 15),
    st.integers(3, 40),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.sampled_from([10, 20]),
    st.data(),
)
@settings(deadline=None, max_examples=120)
def test_a_press_that_changes_its_ssrc_is_one_key(
    code: int, n: int, timestamp: int, other: int, step_ms: int, data: st.DataObject
) -> None:
    sent = send([Key(code, n * step_ms, 100, step_ms)], timestamp)
    at = data.draw(st.integers(1, len(sent) - 1))
    # The stream begins anew: another base, the duration goes on; up to three packets in a row are lost at the seam.
    train = [
        Sent(p.at_ms, int(i >= at), (p.timestamp + (other if i >= at else 0)) & 0xFFFFFFFF, p.marker, p.payload)
        for i, p in enumerate(sent)
    ]
    del train[at + 1 : at + 1 + data.draw(st.integers(0, 3))]
    started, ended = hear(train, {0: 1, 1: 2})
    assert started == ended == [code]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 0xFFFFFFFF) | st.integers(0, 4000),
            st.booleans(),
            st.binary(max_size=9),
            st.floats(0, 2),
        ),
        max_size=60,
    )
)
@settings(deadline=None, max_examples=80)
def test_any_packets_give_each_start_one_end(packets: list[tuple[int, int, bool, bytes, float]]) -> None:
    receiver = TelephoneEventReceiver()
    now = 10.0
    started: Counter[int] = Counter()
    ended: Counter[int] = Counter()
    reports = []
    for ssrc, timestamp, marker, payload, later in packets:
        now += later
        reports += receiver.poll(now)
        reports += receiver.receive(ssrc, timestamp, marker, payload, now)
    reports += receiver.poll(now + 10)
    for kind, code, *_ in reports:
        assert 0 <= code <= 15
        (started if kind == START else ended)[code] += 1
        assert ended[code] <= started[code]
    assert started == ended
    assert receiver.counters["keys"] == started.total()
