"""A capture file that Wireshark, tshark and sngrep read: classic libpcap, raw IP (LINKTYPE_RAW, 101).

What went over UDP is written as UDP. What went over TCP, TLS or a WebSocket is written as a TCP segment with its own
running sequence numbers, decrypted and without the WebSocket's frames: no handshake, no acknowledgement of its own, and
the ports as they were. Wireshark reads SIP on port 5060 by itself; for TLS and WebSocket ports choose Decode As, SIP.

The file is readable by its owner alone. When it would grow above its limit it becomes ``FILE.1``, in place of an older
one, and begins anew; so does a file that is there at the start.
"""

from __future__ import annotations

import os
import struct
from collections import OrderedDict
from pathlib import Path

from engine.trace.message import TracedMessage, packed_host
from sip.address import Transport

__all__ = ("PcapWriter", "ip_packets")

LINKTYPE_RAW = 101
SNAPLEN = 262_144
MAX_SEGMENT = 60_000
"Octets of a message in one TCP segment."
MAX_UDP = 65_507
MAX_CONNECTIONS = 4096
"Directions of connections whose sequence numbers are remembered."
_FILE_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAPLEN, LINKTYPE_RAW)
_UDP, _TCP = 17, 6
_PUSH_ACK = 0x18
_DATA_OFFSET = 5 << 4

_Direction = tuple[tuple[str, int], tuple[str, int], int]


def _checksum(octets: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    if len(octets) % 2:
        octets += b"\0"
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def _ip(source: bytes, destination: bytes, protocol: int, payload: bytes, checksum_at: int) -> bytes:
    """Return an IP packet around a UDP or TCP payload whose checksum, still 0, stands at ``checksum_at``."""
    pseudo = source + destination + struct.pack("!II", len(payload), protocol)
    checksum = _checksum(pseudo + payload) or (0xFFFF if protocol == _UDP else 0)
    payload = payload[:checksum_at] + struct.pack("!H", checksum) + payload[checksum_at + 2 :]
    if len(source) == 16:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + source + destination + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol, 0) + source + destination
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + payload


def ip_packets(message: TracedMessage, sequences: OrderedDict[_Direction, int]) -> list[bytes]:
    """Return the IP packets of a message; ``sequences`` holds the next TCP sequence number of each direction."""
    version = message.version
    (source_host, source_port), (destination_host, destination_port) = message.source, message.destination
    source = packed_host(source_host, version=version)
    destination = packed_host(destination_host, version=version)
    if message.transport is Transport.UDP:
        data = message.data[:MAX_UDP]
        udp = struct.pack("!HHHH", source_port, destination_port, 8 + len(data), 0) + data
        return [_ip(source, destination, _UDP, udp, 6)]
    there = (message.source, message.destination, message.flow)
    back = (message.destination, message.source, message.flow)
    sequence = sequences.pop(there, 1)
    packets: list[bytes] = []
    for start in range(0, len(message.data), MAX_SEGMENT):
        data = message.data[start : start + MAX_SEGMENT]
        head = struct.pack(
            "!HHIIBBHHH",
            *(source_port, destination_port, sequence, sequences.get(back, 1)),
            *(_DATA_OFFSET, _PUSH_ACK, 0xFFFF, 0, 0),
        )
        packets.append(_ip(source, destination, _TCP, head + data, 16))
        sequence = (sequence + len(data)) & 0xFFFFFFFF
    sequences[there] = sequence
    while len(sequences) > MAX_CONNECTIONS:
        sequences.popitem(last=False)
    return packets


class PcapWriter:
    """Writes one capture file of at most ``max_octets``, and keeps one that came before."""

    def __init__(self, path: Path, *, max_octets: int) -> None:
        self._path = path
        self._max_octets = max_octets
        self._sequences: OrderedDict[_Direction, int] = OrderedDict()
        self._file = -1
        self._open()

    def write(self, message: TracedMessage) -> bool:
        """Append a message; raise ``OSError`` when the file cannot be written."""
        seconds, microseconds = divmod(round(message.wall_s * 1_000_000), 1_000_000)
        records = b"".join(
            struct.pack("<IIII", seconds & 0xFFFFFFFF, microseconds, len(packet), len(packet)) + packet
            for packet in ip_packets(message, self._sequences)
        )
        if self._size + len(records) > self._max_octets and self._size > len(_FILE_HEADER):
            os.close(self._file)
            self._file = -1
            self._open()
        self._append(records)
        return True

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        try:
            self._path.replace(self._path.with_name(self._path.name + ".1"))
        except FileNotFoundError:
            pass
        # O_EXCL: neither a link nor a file that somebody else put there meanwhile is written to.
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._size = 0
        self._append(_FILE_HEADER)

    def _append(self, octets: bytes) -> None:
        if os.write(self._file, octets) != len(octets):
            raise OSError("the disk is full")
        self._size += len(octets)
