"""Readers of what a trace writes (libpcap, HEP version 3), made from the formats' descriptions, not from the writer."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from pathlib import Path

__all__ = ("Packet", "read_hep", "read_pcap")


@dataclass(frozen=True, slots=True)
class Packet:
    """An IP packet with its UDP or TCP payload; checksums were found right."""

    at_s: float
    version: int
    protocol: str
    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes
    sequence: int = 0


def _ones_complement_sum(octets: bytes) -> int:
    total = 0
    for index in range(0, len(octets), 2):
        total += int.from_bytes(octets[index : index + 2].ljust(2, b"\0"), "big")
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return total


def read_pcap(path: Path) -> list[Packet]:
    """Return the packets of a capture of raw IP; fails on anything that is not as the formats say."""
    octets = path.read_bytes()
    magic, major, minor, zone, accuracy, snap, link = struct.unpack_from("<IHHiIII", octets)
    assert (magic, major, minor, zone, accuracy, link) == (0xA1B2C3D4, 2, 4, 0, 0, 101)
    at = 24
    packets: list[Packet] = []
    while at < len(octets):
        seconds, microseconds, captured, length = struct.unpack_from("<IIII", octets, at)
        assert captured == length <= snap
        assert microseconds < 1_000_000
        packets.append(_read_ip(octets[at + 16 : at + 16 + captured], seconds + microseconds / 1e6))
        at += 16 + captured
    assert at == len(octets)
    return packets


def _read_ip(packet: bytes, at_s: float) -> Packet:
    version = packet[0] >> 4
    if version == 4:
        size = (packet[0] & 15) * 4
        assert int.from_bytes(packet[2:4], "big") == len(packet)
        assert _ones_complement_sum(packet[:size]) == 0xFFFF
        protocol, source, destination = packet[9], packet[12:16], packet[16:20]
    else:
        size = 40
        assert int.from_bytes(packet[4:6], "big") == len(packet) - size
        protocol, source, destination = packet[6], packet[8:24], packet[24:40]
    segment = packet[size:]
    pseudo = source + destination + len(segment).to_bytes(4, "big") + protocol.to_bytes(4, "big")
    assert _ones_complement_sum(pseudo + segment) == 0xFFFF
    ports = int.from_bytes(segment[:2], "big"), int.from_bytes(segment[2:4], "big")
    sequence = 0
    if protocol == 17:
        assert int.from_bytes(segment[4:6], "big") == len(segment)
        payload = segment[8:]
    else:
        assert protocol == 6
        sequence = int.from_bytes(segment[4:8], "big")
        payload = segment[(segment[12] >> 4) * 4 :]
    return Packet(
        at_s,
        version,
        {17: "UDP", 6: "TCP"}[protocol],
        (str(ipaddress.ip_address(source)), ports[0]),
        (str(ipaddress.ip_address(destination)), ports[1]),
        payload,
        sequence,
    )


def read_hep(packet: bytes) -> dict[int, bytes]:
    """Return the values of a HEP packet by chunk type; fails on anything that is not as the format says."""
    assert packet[:4] == b"HEP3"
    assert int.from_bytes(packet[4:6], "big") == len(packet)
    at = 6
    values: dict[int, bytes] = {}
    while at < len(packet):
        vendor, kind, length = (int.from_bytes(packet[at + place : at + place + 2], "big") for place in (0, 2, 4))
        assert vendor == 0
        assert length >= 6
        assert kind not in values
        values[kind] = packet[at + 6 : at + length]
        assert len(values[kind]) == length - 6
        at += length
    return values
