"""Where messages come from and go to: transport, host and port, and the socket or connection that carries them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

__all__ = ("Address", "Listener", "Transport", "choose_listener")


class Transport(StrEnum):
    """Transports of SIP, as a Via names them (RFC 3261 §20.42, RFC 7118 §5.2)."""

    UDP = "UDP"
    TCP = "TCP"
    TLS = "TLS"
    WS = "WS"
    WSS = "WSS"

    @property
    def is_reliable(self) -> bool:
        """Whether what is sent arrives once and in order, or the connection breaks (§17: no retransmissions)."""
        return self is not Transport.UDP

    @property
    def is_secure(self) -> bool:
        """Whether TLS is under it."""
        return self in (Transport.TLS, Transport.WSS)

    @property
    def default_port(self) -> int:
        """The port that a URI without one means (§19.1.2; RFC 7118 §5.4 follows RFC 6455 §3)."""
        return {Transport.TLS: 5061, Transport.WS: 80, Transport.WSS: 443}.get(self, 5060)


class Address(NamedTuple):
    """One end of a hop. ``host`` is an IP literal without brackets."""

    host: str
    port: int
    transport: Transport = Transport.UDP
    listener: int = 0
    "Id of the listener of ours that took the message, or that shall send it; 0: any that fits."
    flow: int = 0
    "Number of the connection (RFC 5626 §3.1); 0: that to this address, opened when there is none. None over UDP."
    name: str = ""
    "Host name that the peer's certificate must show; empty: that of the IP address."


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A socket of ours as peers see it: what Via and Contact say."""

    id: int
    "Above 0."
    transport: Transport = Transport.UDP
    host: str
    "IP literal without brackets: the address that peers shall use, which behind NAT is not the socket's."
    port: int

    @property
    def sent_by(self) -> str:
        """``host:port``, with brackets around IPv6 (§20.42)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def choose_listener(listeners: tuple[Listener, ...], destination: Address) -> Listener:
    """Return the listener that a message to ``destination`` leaves by: the one it names, else the first that fits.

    Without one of that transport the message leaves by a connection of ours, and Via and Contact name the address of
    another listener: the peer answers on the connection (RFC 5923 §4).
    """
    for listener in listeners:
        if listener.id == destination.listener:
            return listener
    same_family = [listener for listener in listeners if (":" in listener.host) == (":" in destination.host)]
    for listener in same_family:
        if listener.transport is destination.transport:
            return listener
    other = (same_family or listeners)[0]
    return Listener(id=0, transport=destination.transport, host=other.host, port=other.port)
