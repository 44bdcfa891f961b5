"""Captures for SIPp's ``play_pcap_audio``: a telephone's RTP stream with RFC 4733 events in it, written from nothing.

SIPp takes the UDP payloads and their spacing and puts its own addresses and ports around them.
"""

from __future__ import annotations

import struct
from pathlib import Path

__all__ = ("KeyedStream", "write_pcap")

PTIME_MS = 20
SAMPLES = 160
PCMU_SILENCE = b"\xff" * SAMPLES
EVENTS = {key: code for code, key in enumerate("0123456789*#ABCD")}
VOLUME = 10  # -10 dBm0
END_PACKETS = 3  # RFC 4733 §2.5.1.4
LINKTYPE_ETHERNET = 1

Packet = tuple[int, bytes]
"Milliseconds from the start, and the RTP packet."


class KeyedStream:
    """One RTP stream: PCMU silence without a gap, telephone-events in their place where a key is held."""

    def __init__(
        self, *, event_pt: int, ssrc: int = 0x70A17001, sequence: int = 65_500, timestamp: int = 0xFFFF0000
    ) -> None:
        # The numbers wrap soon: a receiver that cannot wrap fails here and not in its third hour.
        self._event_pt = event_pt
        self._ssrc = ssrc
        self._sequence = sequence
        self._timestamp = timestamp
        self._first = True
        self.at_ms = 0
        self.packets: list[Packet] = []

    def silence(self, duration_ms: int) -> None:
        """Send audio for ``duration_ms`` (a multiple of 20)."""
        for _ in range(duration_ms // PTIME_MS):
            self._add(0, PCMU_SILENCE, marker=self._first, timestamp=self._timestamp)
            self._first = False
            self._advance()

    def keys(self, keys: str, *, on_ms: int = 100, off_ms: int = 80) -> None:
        """Press keys: an update every 20 ms, then three end packets, each key with one timestamp (RFC 4733 §2.3)."""
        for key in keys:
            start = self._timestamp
            updates = on_ms // PTIME_MS
            for index in range(updates + END_PACKETS - 1):
                duration = min(index + 1, updates) * SAMPLES
                end = index >= updates - 1
                payload = struct.pack("!BBH", EVENTS[key], VOLUME | (0x80 if end else 0), duration)
                self._add(self._event_pt, payload, marker=index == 0, timestamp=start)
                self._advance()
            self.silence(max(off_ms - (END_PACKETS - 1) * PTIME_MS, PTIME_MS))

    def _advance(self) -> None:
        self._timestamp = (self._timestamp + SAMPLES) & 0xFFFFFFFF
        self.at_ms += PTIME_MS

    def _add(self, payload_type: int, payload: bytes, *, marker: bool, timestamp: int) -> None:
        header = struct.pack(
            "!BBHII", 0x80, payload_type | (0x80 if marker else 0), self._sequence, timestamp, self._ssrc
        )
        self._sequence = (self._sequence + 1) & 0xFFFF
        self.packets.append((self.at_ms, header + payload))


def write_pcap(path: Path, packets: list[Packet]) -> None:
    """Write packets as a capture of UDP over IPv4 over Ethernet (pcap 2.4, microseconds)."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, LINKTYPE_ETHERNET))
        for at_ms, payload in packets:
            udp = struct.pack("!HHHH", 6000, 6000, 8 + len(payload), 0) + payload
            loopback = b"\x7f\x00\x00\x01"
            head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, loopback, loopback)
            frame = bytes(12) + b"\x08\x00" + head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + udp
            file.write(struct.pack("<IIII", at_ms // 1000, at_ms % 1000 * 1000, len(frame), len(frame)))
            file.write(frame)


def _checksum(header: bytes) -> int:
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return int(~(total + (total >> 16)) & 0xFFFF)
