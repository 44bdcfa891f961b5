"""RTP packets as Python sees them: for tests, traces and load generators; the media plane uses the kernels below."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine.rtp import _packet

__all__ = ("STATIC_PAYLOAD_TYPES", "PacketFault", "PacketFaultError", "RtpPacket")

STATIC_PAYLOAD_TYPES = {0: "PCMU", 8: "PCMA", 9: "G722", 13: "CN"}
"""The payload types of RFC 3551 §6 that a peer may use without naming them, as far as we know them. 9 counts its
timestamps at 8000 Hz (§4.5.2), as the others do."""


class PacketFault(StrEnum):
    """Why a datagram is no RTP packet, in the order of the kernel's codes; the first means that it is one."""

    NONE = "none"
    SHORT = "short"
    VERSION = "version"
    STUN = "stun"
    RTCP = "rtcp"
    CSRC = "csrc"
    EXTENSION = "extension"
    PADDING = "padding"


_FAULTS = tuple(PacketFault)


class PacketFaultError(ValueError):
    """A datagram is no RTP packet; ``fault`` says why. The message never holds its bytes."""

    def __init__(self, fault: PacketFault) -> None:
        super().__init__(f"not an RTP packet: {fault}")
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class RtpPacket:
    """One RTP packet without CSRC list and header extension."""

    payload_type: int
    "0 to 127."
    marker: bool = False
    sequence: int
    "0 to 65535."
    timestamp: int
    "In units of the payload's clock, modulo 2**32."
    ssrc: int
    payload: bytes

    @classmethod
    def parse(cls, data: bytes) -> RtpPacket:
        """Read one datagram; raise ``PacketFaultError`` when it is no whole RTP packet."""
        fault, payload_type, marker, sequence, timestamp, ssrc, offset, length = _packet.parse(data)
        if fault:
            raise PacketFaultError(_FAULTS[fault])
        return cls(
            payload_type=payload_type,
            marker=marker,
            sequence=sequence,
            timestamp=timestamp,
            ssrc=ssrc,
            payload=bytes(data[offset : offset + length]),
        )

    def to_bytes(self) -> bytes:
        """Return the packet as it goes onto the wire."""
        header = _packet.build_header(
            self.payload_type, self.marker, self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.ssrc
        )
        return header + self.payload

    def __repr__(self) -> str:
        """Show the header only: a payload may be a digit."""
        return (
            f"RtpPacket(payload_type={self.payload_type}, marker={self.marker}, sequence={self.sequence}, "
            f"timestamp={self.timestamp}, ssrc={self.ssrc:#010x}, payload=<{len(self.payload)} bytes>)"
        )
