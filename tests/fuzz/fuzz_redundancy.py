"""Fuzz target: any bytes as a payload with redundancy (RFC 2198), its blocks as telephone-events.

Runs under atheris (``python tests/fuzz/fuzz_redundancy.py [corpus]``); the property tests feed ``one_input`` without
it. What must hold for any bytes: blocks lie within the payload, next to each other and up to its end, there are no more
than eight, and what we read of them we can write the same.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.rtp import _redundancy as redundancy
from engine.rtp._telephone_event import TelephoneEventReceiver

__all__ = ("SEEDS", "one_input")

NOW = 0x10000
START = 1
SEEDS = (
    bytes.fromhex("60 050a00a0"),
    redundancy.build([(97, 1600, bytes([4, 0x8A, 3, 32])), (97, 160, bytes([5, 10, 0, 160])), (97, 0, bytes(4))]),
    redundancy.build([(0, 160, bytes(160)), (0, 0, bytes(160))]),
    redundancy.build([(97, n * 2000, b"") for n in range(7, -1, -1)]),
)


def one_input(data: bytes) -> None:
    """Parse and check; raises whatever should not happen."""
    blocks = redundancy.parse(data, NOW)
    if blocks is None:
        return
    assert 1 <= len(blocks) <= 8
    headers = 4 * (len(blocks) - 1) + 1
    assert b"".join(block for _, _, block in blocks) == data[headers:]
    assert redundancy.build([(pt, NOW - at, block) for pt, at, block in blocks]) == data
    receiver = TelephoneEventReceiver()
    started: Counter[int] = Counter()
    ended: Counter[int] = Counter()
    reports = []
    for _, at, block in blocks:
        assert NOW - 0x3FFF <= at <= NOW
        reports += receiver.receive(1, at, False, block, 1.0)
    for kind, code, *_ in reports + receiver.poll(2.0):
        (started if kind == START else ended)[code] += 1
    assert started == ended


def _main() -> None:
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    _main()
