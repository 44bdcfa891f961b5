"""SIP over UDP: its sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import time
from collections.abc import Callable

from engine.errors import MediaError
from engine.log import fields
from engine.metrics import DATAGRAMS_UNSENT

__all__ = ("NEXT_PORTS", "UdpSocket", "bind_udp")

log = logging.getLogger("engine.net.udp")

NEXT_PORTS = 50
"How many ports above the wanted one are tried."
RECEIVE_BUFFER = 1 << 20
"Bytes that the kernel may hold for us; a burst of INVITEs fits in."
MAX_DATAGRAM = 65535
READ_AT_ONCE = 32
"Datagrams that are read before timers, answers and other sockets get their turn."
SO_TIMESTAMPNS = 35
"From asm-generic/socket.h, where the module socket has no name for it: when a datagram came, in a control message."
TIMESPEC = struct.Struct("@ll")
ANCILLARY_SIZE = 64


def bind_udp(host: str, port: int, *, next_free: bool) -> socket.socket:
    """Return a bound, non-blocking UDP socket; raise ``MediaError`` that says why not and what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last: OSError | None = None
    for candidate in range(port, port + (NEXT_PORTS if next_free and port else 1)):
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if family == socket.AF_INET6:
                # Both families can be listened on side by side, and no peer shows up as an IPv4 address in IPv6.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((host, candidate))
        except OSError as error:
            sock.close()
            last = error
            continue
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        return sock
    reason = last.strerror if last else "no port left"
    raise MediaError(
        f"cannot listen on UDP {host}:{port}: {reason}; "
        "stop what uses the port (ss -ulpn shows it), set sip.listen to another, or set sip.next_free_port = true"
    )


class UdpSocket:
    """One UDP socket on the running loop.

    Each datagram goes to ``receive`` with the host and port it came from, and the seconds that it waited in the kernel
    for its turn. ``receive`` must not raise.
    """

    def __init__(self, receive: Callable[[bytes, str, int, float], None]) -> None:
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._buffer = bytearray(MAX_DATAGRAM)
        self._view = memoryview(self._buffer)

    def open(self, sock: socket.socket) -> None:
        """Begin to receive on ``sock``."""
        with contextlib.suppress(OSError):  # without it no wait is told; nothing else changes
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket = sock
        self._loop.add_reader(sock.fileno(), self._read)

    def _read(self) -> None:
        for _ in range(READ_AT_ONCE):
            if self._socket is None:
                return
            try:
                size, ancillary, _, address = self._socket.recvmsg_into((self._buffer,), ANCILLARY_SIZE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # what the kernel reports of a peer, such as an ICMP port unreachable
                log.debug("the network reports an error", extra=fields(error=error))
                return
            self._receive(bytes(self._view[:size]), address[0], address[1], _waited_s(ancillary))

    def send(self, data: bytes, host: str, port: int) -> None:
        """Send a datagram; raise ``OSError`` or ``ValueError`` when it cannot be."""
        assert self._socket is not None
        try:
            self._socket.sendto(data, (host, port))
        except BlockingIOError:
            # The kernel's buffer is full: lost, as on any network. Who must be sure repeats it (RFC 3261 §17).
            DATAGRAMS_UNSENT.inc()

    def close(self) -> None:
        """Stop receiving; what was sent has left."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None


def _waited_s(ancillary: list[tuple[int, int, bytes]]) -> float:
    """Return how long ago the kernel took a datagram, in seconds; 0 when it does not say."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) >= TIMESPEC.size:
            seconds, nanoseconds = TIMESPEC.unpack_from(data)
            waited_s: float = time.time() - seconds - nanoseconds / 1e9
            return max(0.0, waited_s)
    return 0.0
