"""Fuzz target: any bytes as an RTCP compound.

Runs under atheris (``python tests/fuzz/fuzz_rtcp.py [corpus]``); the property tests feed ``one_input`` without it.
What must hold for any bytes: a compound is whole or none, its figures lie within their fields, and what we read of it
we can write, and read again the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.rtp import _rtcp as rtcp
from engine.rtp._rtcp_timer import Timer

__all__ = ("SEEDS", "one_input")

OURS = 0xCAFE
METRICS = {"ssrc": OURS, "loss_rate": 12, "burst_ms": 120, "gap_ms": 260, "gmin": 16, "r_factor": 93, "mos_lq": 44}
SEEDS = (
    rtcp.build(1, b"cname", sender=(1, 2, 3, 4, 5), reception=(OURS, 1, -2, 3, 4, 5, 6), bye=True),
    rtcp.build(1, b"c", metrics=METRICS, reference=(7, 8), last_reference=(OURS, 9, 10)),
    # RR with padding; SDES with PRIV and an unknown item; APP; BYE of two with a reason.
    bytes.fromhex("80c90001 00000001 a0cc0003 00000001 74657374 00000004"),
    bytes.fromhex("80c90001 00000001 81ca0004 00000001 01016108 03017862 2a000000"),
    bytes.fromhex("80c90001 00000001 82cb0004 00000001 0000cafe 07746865 20656e64"),
)


def one_input(data: bytes) -> None:
    """Parse and check; raises whatever should not happen."""
    for about in (OURS, 0, int.from_bytes(data[8:12], "big")):
        summary = rtcp.parse(data, about)
        if summary is None:
            return
        assert len(data) >= 8
        assert len(data) % 4 == 0
        assert summary["bye"] == bool(summary["leaving"])
        reception = summary["reception"]
        if reception is not None:
            assert 0 <= reception[0] <= 255
            assert -0x800000 <= reception[1] <= 0x7FFFFF
            trip = rtcp.round_trip(0x80000000, reception[4], reception[5])
            assert trip is None or 0 <= trip < 32768
        last = summary["last_reference"]
        again = rtcp.build(
            summary["ssrc"],
            data[:200],
            sender=summary["sender"],
            reception=None if reception is None else (about, *reception),
            metrics=summary["metrics"],
            reference=summary["reference"],
            last_reference=None if last is None else (about, *last),
        )
        assert rtcp.parse(again, about) == summary | {"bye": False, "leaving": []}
    _check_timer(data)


def _check_timer(data: bytes) -> None:
    timer = Timer(bandwidth=400.0, average=100.0, now=0.0, random=0)
    now = 0.0
    for n in data[:200]:
        now += n / 16
        timer.heard(n * 7)
        timer.count(n, n // 2, now, we_sent=n & 1 == 1)
        if timer.due(now, n << 24):
            timer.sent(len(data), now, n << 24)
        assert timer.next <= now + 3600 * 1.5 / 1.2


def _main() -> None:
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    _main()
