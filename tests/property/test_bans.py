"""Bans hold for any course of failures: enough of them within the window always, fewer never, and each one ends."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from engine.access.bans import CHALLENGES_PER_FAILURE, BanBook, Evidence, source_key

LIMIT, WINDOW_S, FIRST_S, LONGEST_S = 5, 60.0, 300.0, 2000.0
PLAIN = [kind for kind in Evidence if kind is not Evidence.CHALLENGED]
STEPS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.floats(0, 90), st.sampled_from(list(Evidence)), st.integers(0, 3)),
    max_size=120,
)


def book(*, is_proven: bool = True, max_sources: int = 100) -> BanBook:
    return BanBook(
        failures=LIMIT,
        window_s=WINDOW_S,
        first_s=FIRST_S,
        longest_s=LONGEST_S,
        is_proven=is_proven,
        max_sources=max_sources,
    )


@given(STEPS)
def test_a_source_is_banned_for_enough_failures_within_the_window_and_for_nothing_less(
    steps: list[tuple[str, float, Evidence, int]],
) -> None:
    bans, now = book(), 0.0
    counted: dict[str, list[float]] = {}
    challenges: dict[str, int] = {}
    marks: dict[str, int] = {}
    for key, pause_s, kind, mark in steps:
        now += pause_s
        was_shut_out = bans.is_shut_out(key, now)
        ban = bans.note(key, kind, now, mark=mark)
        if was_shut_out or (mark and marks.get(key) == mark):
            assert ban is None
            continue
        marks[key] = mark or marks.get(key, 0)
        if kind is Evidence.CHALLENGED:
            challenges[key] = (challenges.get(key, 0) + 1) % CHALLENGES_PER_FAILURE
        if kind is not Evidence.CHALLENGED or challenges[key] == 0:
            counted.setdefault(key, []).append(now)
        counted[key] = [at for at in counted.get(key, []) if at > now - WINDOW_S]
        added = kind is not Evidence.CHALLENGED or challenges[key] == 0
        assert (ban is not None) is (added and len(counted[key]) >= LIMIT)
        if ban is not None:
            assert FIRST_S <= ban.length_s <= LONGEST_S
            assert bans.is_banned(key, now)
            assert not bans.is_banned(key, ban.until)
            counted[key], challenges[key], marks[key] = [], 0, 0


@given(STEPS)
def test_whatever_comes_everybody_is_heard_again_within_the_longest_ban(
    steps: list[tuple[str, float, Evidence, int]],
) -> None:
    bans, now = book(), 0.0
    for key, pause_s, kind, mark in steps:
        now += pause_s
        bans.note(key, kind, now, mark=mark)
    assert not any(bans.is_shut_out(key, now + LONGEST_S) for key in "abcd")
    assert bans.bans(now + LONGEST_S) == ()


@given(st.integers(LIMIT + 1, 60), st.sampled_from(PLAIN))
def test_who_goes_on_at_once_is_banned_within_the_window(times: int, kind: Evidence) -> None:
    bans, now = book(), 0.0
    while not bans.is_banned("a", now):
        bans.note("a", kind, now)
        now += WINDOW_S / (20 * times)
        assert now < WINDOW_S


@given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(PLAIN)), max_size=400), st.integers(1, 20))
def test_memory_is_bounded(steps: list[tuple[int, Evidence]], most: int) -> None:
    bans = book(max_sources=most)
    for number, (source, kind) in enumerate(steps):
        bans.note(str(source), kind, number / 10)
        bans.vouch(str(source + 1), number / 10)
    assert len(bans) <= 2 * most


@given(STEPS, st.sampled_from("abcd"))
def test_who_was_vouched_for_is_safe_from_what_can_be_forged(
    steps: list[tuple[str, float, Evidence, int]], key: str
) -> None:
    bans, now = book(is_proven=False), 0.0
    for other, pause_s, kind, mark in steps:
        bans.vouch(key, now)
        now += pause_s
        bans.note(other, kind, now, mark=mark)
        assert not bans.is_shut_out(key, now)


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_an_ipv6_network_of_64_bits_is_one_source(address: ipaddress.IPv6Address, host: int) -> None:
    neighbour = ipaddress.IPv6Address(int(address) >> 64 << 64 | host)
    assert source_key(address) == source_key(neighbour)
    assert address in ipaddress.ip_network(source_key(address))
