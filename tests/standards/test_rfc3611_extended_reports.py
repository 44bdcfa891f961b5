"""RFC 3611: §3 packets, §4.4 reference time, §4.5 DLRR, §4.7 VoIP metrics, §4.7.2 bursts and gaps (appendix A.2)."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.rtp import _rtcp as rtcp
from engine.rtp._burst import Bursts

US = 0xCAFE
METRICS = {
    "ssrc": US,
    "loss_rate": 12,
    "discard_rate": 3,
    "burst_density": 85,
    "gap_density": 9,
    "burst_ms": 120,
    "gap_ms": 260,
    "round_trip_ms": 150,
    "end_system_ms": 60,
    "signal_dbm0": -20,
    "noise_dbm0": -70,
    "rerl_db": 55,
    "gmin": 16,
    "r_factor": 91,
    "external_r_factor": 127,
    "mos_lq": 43,
    "mos_cq": 42,
    "receiver_config": 0b11110011,
    "jitter_nominal_ms": 40,
    "jitter_maximum_ms": 80,
    "jitter_absolute_ms": 200,
}


def read(data: bytes, about: int = US) -> rtcp.Summary:
    summary = rtcp.parse(data, about)
    assert summary is not None
    return summary


def test_voip_metrics_come_back_as_they_were_built() -> None:
    assert read(rtcp.build(1, b"x", metrics=METRICS))["metrics"] == METRICS


def test_voip_metrics_stand_on_the_wire_as_the_figure_in_4_7_has_them() -> None:
    data = rtcp.build(0xBEEF, b"x", metrics=METRICS)
    assert data[-44:].hex(" ", 4) == (
        "80cf000a 0000beef 07000008 0000cafe 0c035509 00780104 0096003c ecba3710 5b7f2b2a f3000028 005000c8"
    )


def test_what_was_not_measured_says_so() -> None:
    metrics = read(rtcp.build(1, b"x", metrics={"ssrc": US}))["metrics"]
    assert metrics is not None
    names = ("signal_dbm0", "noise_dbm0", "rerl_db", "r_factor", "external_r_factor", "mos_lq", "mos_cq")
    assert [metrics[name] for name in names] == [127] * 7


def test_metrics_about_another_stream_are_not_ours() -> None:
    assert read(rtcp.build(1, b"x", metrics=METRICS | {"ssrc": 5}))["metrics"] is None


def test_a_reference_time_and_its_answer_stand_on_the_wire_as_4_4_and_4_5_have_them() -> None:
    data = rtcp.build(0xBEEF, b"x", reference=(0x83AA7E80, 0x80000000), last_reference=(US, 0x7E808000, 0x10000))
    assert data[-36:].hex(" ", 4) == (
        "80cf0008 0000beef 04000002 83aa7e80 80000000 05000003 0000cafe 7e808000 00010000"
    )
    assert read(data)["reference"] == (0x83AA7E80, 0x80000000)
    assert read(data)["last_reference"] == (0x7E808000, 0x10000)


def test_a_receiver_that_never_sends_knows_the_round_trip() -> None:
    # It says its time; the answer comes 300 ms later, of which the peer held it 200 ms.
    asked = read(rtcp.build(US, b"x", reference=(100, 0)), about=1)["reference"]
    assert asked is not None
    last = asked[0] << 16 & 0xFFFFFFFF | asked[1] >> 16
    answer = read(rtcp.build(1, b"y", last_reference=(US, last, 65536 // 5)))["last_reference"]
    assert answer is not None
    assert rtcp.round_trip(last + 65536 * 3 // 10, *answer) == pytest.approx(0.1, abs=1e-4)


def test_our_answer_is_found_among_many() -> None:
    blocks = b"".join(ssrc.to_bytes(4, "big") + bytes([0, 0, 0, ssrc & 0xFF]) * 2 for ssrc in (1, 2, US, 3))
    xr = bytes.fromhex("80cf000e 0000beef 0500000c") + blocks
    assert read(bytes.fromhex("80c90001 0000beef") + xr)["last_reference"] == (0xFE, 0xFE)


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 6, 8, 255])
def test_other_blocks_are_passed_over(kind: int) -> None:
    other = bytes([kind, 0xFF, 0, 2]) + b"\xff" * 8
    reference = bytes.fromhex("04000002 00000001 00000002")
    xr = bytes.fromhex("80cf0007 0000beef") + other + reference
    assert read(bytes.fromhex("80c90001 0000beef") + xr)["reference"] == (1, 2)


@pytest.mark.parametrize(
    "xr",
    [
        "80cf0001 0000beef",
        "80cf0002 0000beef 04000002",
        "80cf0002 0000beef 0400ffff",
        "80cf0003 0000beef 04000001 00000001",
        "80cf0003 0000beef 07000001 0000cafe",
        "80cf0003 0000beef 05000001 0000cafe",
        "80cf0000",
    ],
    ids=["empty", "cut", "overrun", "short-reference", "short-metrics", "short-dlrr", "no-ssrc"],
)
def test_a_block_that_cannot_be_says_nothing(xr: str) -> None:
    summary = read(bytes.fromhex("80c90001 0000beef" + xr))
    assert (summary["metrics"], summary["reference"], summary["last_reference"]) == (None, None, None)


# §4.7.2


def play(pattern: str) -> Bursts:
    """1 received, 0 lost, X discarded: the letters of §4.7.2."""
    bursts = Bursts()
    for letter, run in groupby(pattern):
        {"1": bursts.received, "0": bursts.lost, "X": bursts.discarded}[letter](len(list(run)))
    return bursts


def test_the_example_of_4_7_2() -> None:
    # Gmin is 16, packets are 10 ms: gaps of 23 and 28 packets with a loss each, a burst of 12 with four.
    first, burst, second = "11110111111111111111111", "X111X1011110", "111111111111111111" + "X" + "111111111"
    summary = play(first + burst + second).summary(10)
    assert summary["burst_ms"] == 120
    assert summary["burst_density"] == int(256 * 4 / 12)
    assert summary["gap_ms"] == (230 + 280) // 2
    assert summary["gap_density"] == int(256 * 2 / 51)
    assert summary["loss_rate"] == int(256 * 3 / 63)
    assert summary["discard_rate"] == int(256 * 3 / 63)


@pytest.mark.parametrize(("apart", "bursts"), [(15, 1), (16, 0)])
def test_gmin_received_packets_part_two_losses(apart: int, bursts: int) -> None:
    summary = play("1" * 20 + "0" + "1" * apart + "0" + "1" * 20).summary(20)
    assert (summary["burst_ms"] > 0) == bool(bursts)


def test_without_loss_all_is_gap() -> None:
    summary = play("1" * 50).summary(20)
    assert (summary["gap_ms"], summary["gap_density"], summary["burst_ms"]) == (1000, 0, 0)
    assert (summary["loss_share"], summary["burst_ratio"]) == (0.0, 1.0)


def test_nothing_at_all_is_no_figure() -> None:
    assert set(Bursts().summary(20).values()) == {0, 1.0}


def test_everything_lost_is_one_burst() -> None:
    summary = play("0" * 50).summary(20)
    assert (summary["burst_ms"], summary["burst_density"], summary["gap_ms"], summary["loss_rate"]) == (
        1000,
        255,
        0,
        255,
    )


def by_definition(pattern: str) -> dict[str, int]:
    """§4.7.2 in words: a burst is a longest stretch from loss to loss with fewer than 16 received between two."""
    losses = [n for n, letter in enumerate(pattern) if letter != "1"]
    groups: list[list[int]] = []
    for n in losses:
        if groups and n - groups[-1][-1] - 1 < 16:
            groups[-1].append(n)
        else:
            groups.append([n])
    in_burst = [False] * len(pattern)
    for group in groups:
        if len(group) > 1:
            in_burst[group[0] : group[-1] + 1] = [True] * (group[-1] + 1 - group[0])
    runs = [(burst, len(list(run))) for burst, run in groupby(in_burst)]
    figures = {}
    for name, kind in (("burst", True), ("gap", False)):
        lengths = [n for burst, n in runs if burst == kind]
        lost = sum(pattern[n] != "1" for n in range(len(pattern)) if in_burst[n] == kind)
        figures[f"{name}_ms"] = min(sum(lengths) * 20 // len(lengths), 65535) if lengths else 0
        figures[f"{name}_density"] = min(256 * lost // sum(lengths), 255) if lengths else 0
    return figures


@given(st.lists(st.sampled_from(["1", "0", "X", "1" * 10, "1" * 16, "1" * 17, "000"]), max_size=60).map("".join))
@settings(deadline=None, max_examples=300)
def test_the_kernel_counts_what_the_definition_says(pattern: str) -> None:
    summary = play(pattern).summary(20)
    assert {name: summary[name] for name in by_definition(pattern)} == by_definition(pattern)  # type: ignore[literal-required]


@given(st.lists(st.sampled_from(["1", "0", "111", "00"]), min_size=1, max_size=60).map("".join))
@settings(deadline=None, max_examples=100)
def test_the_burst_ratio_is_the_mean_run_over_that_of_random_loss(pattern: str) -> None:
    summary = play(pattern).summary(20)
    runs = [len(list(run)) for letter, run in groupby(pattern) if letter == "0"]
    loss = pattern.count("0") / len(pattern)
    expected = max(1.0, sum(runs) / len(runs) * (1 - loss)) if runs else 1.0
    assert summary["burst_ratio"] == pytest.approx(expected)
