"""Fuzz target: any bytes as RTP, RTCP, telephone-events and audio, into the kernels that the media plane runs.

Runs under atheris (``python tests/fuzz/fuzz_rtp.py [corpus]``); the property tests feed ``one_input`` without it.
What must hold for any bytes: a packet lies within its datagram and comes back the same, a report is whole or none,
every press has one end, and the jitter buffer never gives more than it was given.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.rtp import PacketFaultError, RtpPacket
from engine.rtp import _rtcp as rtcp
from engine.rtp._jitter import Jitter
from engine.rtp._source import Source
from engine.rtp._telephone_event import TelephoneEventReceiver

__all__ = ("one_input",)

START = 1
AGAIN = 8
MAX_FRAMES = 4
LONGEST = 400


def one_input(data: bytes) -> None:
    """Parse and check; raises whatever should not happen."""
    _check_report(data)
    packets = [packet for packet in map(_packet, _datagrams(data)) if packet is not None]
    _check_events(packets)
    _check_playout(packets)


def _datagrams(data: bytes) -> list[bytes]:
    """Cut the input: one byte of length, then so many bytes."""
    pieces = [data]
    at = 0
    while at < len(data) and len(pieces) < LONGEST:
        n = data[at]
        pieces.append(data[at + 1 : at + 1 + n])
        at += 1 + n
    return pieces


def _packet(data: bytes) -> RtpPacket | None:
    try:
        packet = RtpPacket.parse(data)
    except PacketFaultError:
        return None
    assert len(packet.payload) <= len(data) - 12
    assert RtpPacket.parse(packet.to_bytes()) == packet
    return packet


def _check_report(data: bytes) -> None:
    for about in (0, int.from_bytes(data[8:12], "big")):
        summary = rtcp.parse(data, about)
        if summary is None:
            return
        assert len(data) % 4 == 0
        if summary["reception"] is not None:
            fraction, lost, *_ = summary["reception"]
            assert 0 <= fraction <= 255
            assert -0x800000 <= lost <= 0x7FFFFF


def _check_events(packets: list[RtpPacket]) -> None:
    receiver = TelephoneEventReceiver()
    started: Counter[int] = Counter()
    ended: Counter[int] = Counter()
    now = 1.0
    reports = []
    for packet in packets:
        now += packet.sequence % 700 / 1000
        reports += receiver.poll(now)
        reports += receiver.receive(packet.ssrc, packet.timestamp, packet.marker, packet.payload, now)
    reports += receiver.poll(now + 1)
    for kind, code, at, duration_ms, _ in reports:
        assert 0 <= code <= 15
        assert at <= now + 1.001
        assert duration_ms >= 0
        (started if kind == START else ended)[code] += 1
    assert started == ended


def _check_playout(packets: list[RtpPacket]) -> None:
    buffer = Jitter()
    source = Source(1, packets[0].sequence) if packets else None
    taken = 0
    heard = 0
    for packet in packets:
        assert source is not None
        verdict = source.receive(packet.sequence, arrival=packet.ssrc, timestamp=packet.timestamp)
        samples = packet.payload[: len(packet.payload) // 2 * 2]
        if not samples:
            continue
        view = memoryview(samples).cast("h")
        if buffer.put(packet.timestamp, view, marker=packet.marker, in_order=verdict != 1) == 0:
            taken += len(view)
        for _ in range(packet.sequence % 3):
            heard += _take(buffer)
    heard += sum(_take(buffer) for _ in range(80))
    assert heard <= taken


def _take(buffer: Jitter) -> int:
    heard = 0
    for _ in range(MAX_FRAMES):
        flags, raw, valid = buffer.get()
        assert len(raw) == 2 * len(valid) <= 320
        heard += sum(valid)
        if not flags & AGAIN:
            break
    return heard


def _main() -> None:
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    _main()
