"""Fuzz target: any bytes as datagrams on an RTP port, told apart and played.

Runs under atheris (``python tests/fuzz/fuzz_rtp.py [corpus]``); the property tests feed ``one_input`` without it.
What must hold for any bytes: STUN and RTCP are told from RTP by their first bytes, a packet lies within its datagram
and comes back the same, and a source counts and the jitter buffer gives no more than they were given.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.rtp import PacketFault, PacketFaultError, RtpPacket
from engine.rtp._burst import Bursts
from engine.rtp._collision import Guard
from engine.rtp._jitter import Jitter
from engine.rtp._source import Source

__all__ = ("SEEDS", "one_input")

AUDIO = bytes.fromhex("80 00 0001 00000002 00000003") + bytes(160)
SEEDS = (
    bytes([172]) + AUDIO + bytes([172]) + AUDIO[:3] + b"\x02" + AUDIO[4:],
    bytes.fromhex("92 e5 fffe 89abcdef 01234567 00000001 00000002 bede 0001 00000000 0a0b"),
    bytes.fromhex("a0 08 0007 00000009 0000000b 6162 000003"),
    bytes.fromhex("0001 0000 2112a442") + bytes(12),
    bytes.fromhex("80c90001 00000001"),
)
"""Two packets of audio; CSRC list and extension; padding; STUN; RTCP."""

STUN_COOKIE = bytes.fromhex("2112a442")
AGAIN = 8
MAX_FRAMES = 4
LONGEST = 400


def one_input(data: bytes) -> None:
    """Parse and check; raises whatever should not happen."""
    packets = [packet for packet in map(_packet, _datagrams(data)) if packet is not None]
    _check_source(packets)
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
    except PacketFaultError as error:
        _check_fault(data, error.fault)
        return None
    assert data[0] >> 6 == 2
    assert not 192 <= data[1] <= 223
    assert len(packet.payload) <= len(data) - 12
    assert RtpPacket.parse(packet.to_bytes()) == packet
    return packet


def _check_fault(data: bytes, fault: PacketFault) -> None:
    # RFC 7983 §7 by the first octet, RFC 5761 §4 by the second.
    assert (fault is PacketFault.STUN) == (len(data) >= 20 and data[0] < 64 and data[4:8] == STUN_COOKIE)
    assert (fault is PacketFault.RTCP) == (len(data) > 1 and data[0] >> 6 == 2 and 192 <= data[1] <= 223)


def _check_source(packets: list[RtpPacket]) -> None:
    guard = Guard()
    bursts = Bursts()
    source = None
    for n, packet in enumerate(packets):
        if source is None:
            source = Source(packet.ssrc, packet.sequence, rate_hz=48000)
        if source.receive(packet.sequence, arrival=n * 160, timestamp=packet.timestamp) == 0:
            bursts.received()
        else:
            bursts.lost(packet.sequence % 4)
        assert 0 <= source.fraction_lost() <= 255
        assert source.jitter < 24000
        assert 0 <= guard.check(1, packet.ssrc, packet.payload[:40], n) <= 2
    summary = bursts.summary(20)
    assert all(0 <= summary[name] <= 255 for name in ("loss_rate", "discard_rate", "burst_density", "gap_density"))
    assert 0 <= summary["loss_share"] <= 1 <= summary["burst_ratio"]


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
