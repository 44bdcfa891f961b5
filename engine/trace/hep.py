"""HEP version 3, the encapsulation of HOMER and its kin: each message as one UDP packet to a capture server.

A packet is ``HEP3``, its length, and chunks of vendor, type, length and value, in network order. A server that is
away, or a full socket, costs the message its copy and nothing else: the socket never blocks.
"""

from __future__ import annotations

import socket
import struct

from engine.trace.message import TracedMessage, packed_host
from sip.address import Transport

__all__ = ("HepSender", "hep_packet")

MAX_PACKET = 65_000
"Octets that one UDP packet carries with room for IP options; a longer message is dropped."
_CHUNK = struct.Struct("!HHH")
_GENERIC = 0
_FAMILY, _PROTOCOL, _SOURCE_4, _DESTINATION_4, _SOURCE_6, _DESTINATION_6 = 1, 2, 3, 4, 5, 6
_SOURCE_PORT, _DESTINATION_PORT, _SECONDS, _MICROSECONDS, _KIND, _AGENT = 7, 8, 9, 10, 11, 12
_KEY, _PAYLOAD, _CORRELATION = 14, 15, 17
_SIP = 1
_FAMILIES = {4: 2, 6: 10}  # AF_INET and AF_INET6 of Linux, whatever the machine
_UDP, _TCP = 17, 6


def _chunk(kind: int, value: bytes) -> bytes:
    return _CHUNK.pack(_GENERIC, kind, _CHUNK.size + len(value)) + value


def hep_packet(message: TracedMessage, *, agent: int, key: bytes = b"") -> bytes:
    """Return the packet for a message; ``agent`` (32 bits) tells the server who captured it."""
    version = message.version
    seconds, microseconds = divmod(round(message.wall_s * 1_000_000), 1_000_000)
    (source, source_port), (destination, destination_port) = message.source, message.destination
    chunks = [
        _chunk(_FAMILY, bytes((_FAMILIES[version],))),
        _chunk(_PROTOCOL, bytes((_UDP if message.transport is Transport.UDP else _TCP,))),
        _chunk(_SOURCE_4 if version == 4 else _SOURCE_6, packed_host(source, version=version)),
        _chunk(_DESTINATION_4 if version == 4 else _DESTINATION_6, packed_host(destination, version=version)),
        _chunk(_SOURCE_PORT, struct.pack("!H", source_port)),
        _chunk(_DESTINATION_PORT, struct.pack("!H", destination_port)),
        _chunk(_SECONDS, struct.pack("!I", seconds & 0xFFFFFFFF)),
        _chunk(_MICROSECONDS, struct.pack("!I", microseconds)),
        _chunk(_KIND, bytes((_SIP,))),
        _chunk(_AGENT, struct.pack("!I", agent)),
    ]
    if key:
        chunks.append(_chunk(_KEY, key))
    if message.call_id:
        chunks.append(_chunk(_CORRELATION, message.call_id.encode("ascii")))
    chunks.append(_chunk(_PAYLOAD, message.data))
    body = b"".join(chunks)
    return b"HEP3" + struct.pack("!H", 6 + len(body)) + body


class HepSender:
    """Sends to one capture server."""

    def __init__(self, server: tuple[str, int], *, agent: int, key: str = "") -> None:
        self._agent = agent
        self._key = key.encode()
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect(server)
        except OSError:
            self._socket.close()
            raise

    def write(self, message: TracedMessage) -> bool:
        """Send a message; False when it could not be."""
        if len(message.data) > MAX_PACKET - 256:
            return False
        try:
            # An ICMP error of an earlier packet is reported here, and costs this one.
            self._socket.send(hep_packet(message, agent=self._agent, key=self._key))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
