"""One message as the sinks of a trace see it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from sip.address import Transport

__all__ = ("Sink", "TracedMessage", "packed_host")

_CALL_ID = re.compile(rb"\n(?:call-id|i)[ \t]*+:\s*+([^\s]++)", re.IGNORECASE)
_CSEQ = re.compile(rb"\ncseq[ \t]*+:\s*+([0-9]{1,10}+)\s++([^\s]++)", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
MAX_TEXT = 128
"Of a Call-ID or a method in a trace."


def printable(octets: bytes, limit: int = MAX_TEXT) -> str:
    """Return text of a peer's for a log line: no control characters, no end of line, of bounded length."""
    return _UNPRINTABLE.sub("?", octets[:limit].decode("latin-1"))


def packed_host(host: str, *, version: int) -> bytes:
    """Return an IP literal as 4 or 16 octets; that of no address where it is none of this version."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        address = None
    if address is None or address.version != version:
        return bytes(4 if version == 4 else 16)
    return address.packed


@dataclass(frozen=True, kw_only=True)
class TracedMessage:
    """A message that came or went, without secrets. ``data`` has the length of the original."""

    now: float
    "Monotonic seconds."
    wall_s: float
    "Seconds since 1970."
    sent: bool
    transport: Transport
    local: tuple[str, int]
    peer: tuple[str, int]
    flow: int
    data: bytes = field(repr=False)

    @property
    def source(self) -> tuple[str, int]:
        """Host and port that it came from."""
        return self.local if self.sent else self.peer

    @property
    def destination(self) -> tuple[str, int]:
        """Host and port that it went to."""
        return self.peer if self.sent else self.local

    @property
    def version(self) -> int:
        """4 or 6: the IP version it went by, which is the peer's."""
        return 6 if ":" in self.peer[0] else 4

    @cached_property
    def call_id(self) -> str:
        """Its Call-ID, fit for a log; empty when there is none."""
        found = _CALL_ID.search(self.data)
        return "" if found is None else printable(found[1])

    @cached_property
    def cseq(self) -> tuple[int, str]:
        """Number and method of its CSeq; 0 and nothing when there is none."""
        found = _CSEQ.search(self.data)
        return (0, "") if found is None else (int(found[1]), printable(found[2], 20))

    @cached_property
    def status(self) -> int:
        """The status of a response; 0 for a request."""
        return int(self.data[8:11]) if self.data[:8].upper() == b"SIP/2.0 " and self.data[8:11].isdigit() else 0

    @cached_property
    def reason(self) -> str:
        """The reason phrase of a response, cut and fit for a log."""
        return printable(self.data[12:].partition(b"\n")[0].rstrip(b"\r"), 40) if self.status else ""

    @cached_property
    def method(self) -> str:
        """The method of a request; empty for a response."""
        return "" if self.status else printable(self.data.partition(b" ")[0], 20)

    @cached_property
    def has_body(self) -> bool:
        """Whether anything stands behind the headers."""
        return not self.data.endswith((b"\r\n\r\n", b"\n\n"))


class Sink(Protocol):
    """Where a trace goes. ``write`` raises ``OSError`` when it can write no more."""

    def write(self, message: TracedMessage) -> bool:
        """Take a message; return False when it was dropped."""

    def close(self) -> None:
        """Finish, and free what is held."""
