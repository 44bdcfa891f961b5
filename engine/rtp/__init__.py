"""RTP without sockets: packets, sources, jitter buffer, telephone-events, RTCP."""

from engine.rtp.packet import STATIC_PAYLOAD_TYPES, PacketFault, PacketFaultError, RtpPacket

__all__ = ("STATIC_PAYLOAD_TYPES", "PacketFault", "PacketFaultError", "RtpPacket")
