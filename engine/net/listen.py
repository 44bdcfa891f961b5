"""The sockets that SIP listens on, bound before anything is told where they are."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.config import ListenAddress
from engine.errors import MediaError
from engine.net.udp import NEXT_PORTS, bind_udp
from sip.address import Transport

__all__ = ("BACKLOG", "BoundListener", "bind_listeners")

BACKLOG = 1024
"Connections that the kernel holds for us; a proxy's phones all come back at once after it restarted."
ANY_PORT_TRIES = 20
"How often a port free for both UDP and TCP is looked for when any will do."


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A bound socket. ``id`` counts from 1 in the order of the configuration."""

    id: int
    transport: Transport
    host: str
    port: int
    sock: socket.socket = field(repr=False, compare=False)

    def close(self) -> None:
        """Let go of the port; does no harm when it is gone."""
        self.sock.close()


def bind_listeners(wanted: Sequence[ListenAddress], *, next_free: bool) -> list[BoundListener]:
    """Bind every address of ``wanted``; raise ``MediaError`` that says why not and what to do, with none left bound.

    A TCP address right behind the UDP address of the same host and port gets the same port number, whatever it turns
    out to be: a request too large for UDP goes to the TCP port of that number (RFC 3261 §18.1.1).
    """
    bound: list[BoundListener] = []
    rest = list(wanted)
    try:
        while rest:
            first = rest.pop(0)
            pair = None
            if first.transport is Transport.UDP and rest and rest[0] == first._replace(transport=Transport.TCP):
                pair = rest.pop(0)
            for address, sock in _bind(first, pair, next_free=next_free):
                bound.append(
                    BoundListener(len(bound) + 1, address.transport, address.host, sock.getsockname()[1], sock)
                )
    except BaseException:
        for listener in bound:
            listener.close()
        raise
    return bound


def _bind(
    first: ListenAddress, pair: ListenAddress | None, *, next_free: bool
) -> list[tuple[ListenAddress, socket.socket]]:
    tries = ANY_PORT_TRIES if first.port == 0 and pair else NEXT_PORTS if next_free and first.port else 1
    last: MediaError | None = None
    for number in range(tries):
        port = first.port + number if first.port else 0
        if port > 65535:
            break
        try:
            sock = _bind_one(first, port)
        except MediaError as error:
            last = last or error
            continue
        if pair is None:
            return [(first, sock)]
        try:
            return [(first, sock), (pair, _bind_one(pair, sock.getsockname()[1]))]
        except MediaError as error:
            sock.close()
            last = last or error
    assert last is not None
    raise last


def _bind_one(address: ListenAddress, port: int) -> socket.socket:
    if address.transport is Transport.UDP:
        return bind_udp(address.host, port, next_free=False)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of an earlier run may linger
        sock.bind((address.host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise MediaError(
            f"cannot listen on {address.transport} {address.host}:{port}: {error.strerror}; "
            "stop what uses the port (ss -tlpn shows it), set sip.listen to another, or set sip.next_free_port = true"
        ) from None
    return sock
