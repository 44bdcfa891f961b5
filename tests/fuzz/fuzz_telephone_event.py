"""Fuzz target: any bytes as a train of telephone-event packets, with times and streams of their own.

Runs under atheris (``python tests/fuzz/fuzz_telephone_event.py [corpus]``); the property tests feed ``one_input``
without it. An input is cut into records of 8 bytes: what changes from packet to packet (1), how late it comes in ms
(1), step of the timestamp in its units (2), payload (4). What must hold: every press has one end, no event is from the
future, and none is of a code that is no digit.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.rtp._telephone_event import TelephoneEventReceiver

__all__ = ("SEEDS", "one_input")

START = 1
RECORD = 8


def _record(change: int, later_ms: int, step: int, code: int, flags: int, duration: int) -> bytes:
    return bytes([change, later_ms]) + step.to_bytes(2, "big") + bytes([code, flags]) + duration.to_bytes(2, "big")


def _key(code: int, change: int = 0) -> bytes:
    first = _record(0x80 | change, 100, 1600, code, 10, 160)
    return first + b"".join(_record(change, 20, 0, code, 10 if n < 5 else 0x8A, min(n * 160, 800)) for n in range(2, 8))


SEEDS = (
    _key(5) + _key(5) + _key(11),
    # A change of SSRC within a key, and one between keys.
    _key(5)[:24] + _record(1, 20, 7777, 5, 10, 640) + _key(5, 1)[40:] + _key(5, 2),
    # A key in segments.
    b"".join(_record(0, 200, 0xFFFF if n % 41 == 40 else 0, 1, 10, n % 41 * 1600) for n in range(90)),
    # Flash, and what is cut off.
    _key(16) + b"\x00\x14\x00",
)


def one_input(data: bytes) -> None:
    """Play the train; raises whatever should not happen."""
    for rate_hz in (8000, 48000):
        _check(data, rate_hz)


def _check(data: bytes, rate_hz: int) -> None:
    receiver = TelephoneEventReceiver(rate_hz)
    started: Counter[int] = Counter()
    ended: Counter[int] = Counter()
    now = 1.0
    timestamp = 0
    reports = []
    for at in range(0, min(len(data), 400 * RECORD), RECORD):
        record = data[at : at + RECORD]
        change = record[0]
        now += (record[1] if len(record) > 1 else 0) / 1000 * (20 if change & 0x40 else 1)
        step = int.from_bytes(record[2:4], "big")
        timestamp = (timestamp - step if change & 0x20 else timestamp + step) & 0xFFFFFFFF
        reports += receiver.poll(now)
        reports += receiver.receive(change & 0x0F, timestamp, change & 0x80 != 0, record[4:], now)
    reports += receiver.poll(now + 1)
    for kind, code, when, duration_ms, level_dbm0 in reports:
        assert 0 <= code <= 15
        assert when <= now + 1.001
        assert duration_ms >= 0
        assert -63 <= level_dbm0 <= 0
        (started if kind == START else ended)[code] += 1
        assert ended[code] <= started[code]
    assert started == ended
    assert receiver.counters["keys"] == started.total()


def _main() -> None:
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    _main()
