"""Messages out of a stream (RFC 3261 §18.3, §20.14) and the keep-alives between them (RFC 5626 §3.5.1).

Laws: the same octets give the same messages however they are cut. Each octet is looked at a bounded number of times,
so a peer that sends one at a time costs no more than one that sends all at once. What a framer holds is at most one
message (``MAX_MESSAGE``) and the piece that came last. Behind an error nobody can tell where the next message begins:
the framer takes nothing more and the connection has to be closed.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from enum import Enum
from itertools import takewhile

from sip.address import Address
from sip.errors import ParseError
from sip.message import Request, Response
from sip.parser import MAX_HEADERS, MAX_LINE, MAX_MESSAGE, parse_message
from sip.routing import stamp_source

__all__ = ("Framed", "FramingError", "KeepAlive", "StreamFramer", "refusal")

# The same empty line that the parser takes for the end of the headers.
_END_OF_HEAD = re.compile(rb"\n\r?\n")
# Content-Length = ( "Content-Length" / "l" ) HCOLON 1*DIGIT, its value perhaps on a folded line (§7.3.1).
_CONTENT_LENGTH = re.compile(rb"\n(?:content-length|l)[ \t]*+:((?:[^\n]++|\n[ \t])*)", re.IGNORECASE)
_DIGITS = re.compile(rb"[0-9]++")
# A start line begins with a token (§7.1, §7.2). NULs between messages are somebody's keep-alive.
_START = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~")
_BETWEEN = re.compile(rb"[\r\n\0]*+")


class KeepAlive(Enum):
    """What peers send between messages."""

    PING = "ping"
    "Two line ends: answer with one (RFC 5626 §4.4.1)."
    PONG = "pong"
    "The answer to a ping of ours."


@dataclass(frozen=True, slots=True)
class FramingError:
    """The stream cannot be read any further. ``status`` is what a request is refused with."""

    status: int
    reason: str
    "What is wrong, without anything that the peer sent."
    head: bytes = field(default=b"", repr=False)
    "The start line and the headers that came."


Framed = bytes | KeepAlive | FramingError


class StreamFramer:
    """Cuts the octets of one connection into messages."""

    __slots__ = ("_broken", "_buffer", "_length", "_line_ends", "_pongs_due", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        "Octets of the message in which no end of the headers was found; 0 between two messages."
        self._length = 0
        "Octets of the message, once its headers are there."
        self._line_ends = 0
        self._pongs_due = 0
        self._broken = False

    @property
    def is_within_message(self) -> bool:
        """Whether a message has begun that is not complete."""
        return bool(self._buffer)

    def expect_pong(self) -> None:
        """Take the next line end between two messages for the answer to a ping that is sent now."""
        self._pongs_due += 1

    def receive(self, data: bytes) -> list[Framed]:
        """Take what came; return what is complete with it, in order. An error is the last that ever comes."""
        found: list[Framed] = []
        if self._broken:
            return found
        buffer = self._buffer
        buffer += data
        start = 0
        while True:
            if not self._searched and not self._length:
                start = self._skip_line_ends(start, found)
            if start == len(buffer):
                break
            if not self._length:
                error = self._read_head(start)
                if error is not None:
                    self._broken = True
                    found.append(error)
                    buffer.clear()
                    return found
            if not self._length or len(buffer) - start < self._length:
                break
            found.append(bytes(buffer[start : start + self._length]))
            start += self._length
            self._length = self._searched = 0
        del buffer[:start]
        return found

    def _skip_line_ends(self, start: int, found: list[Framed]) -> int:
        match = _BETWEEN.match(self._buffer, start)
        assert match is not None
        for _ in range(match.group().count(b"\n")):
            if self._pongs_due:
                self._pongs_due -= 1
                found.append(KeepAlive.PONG)
                continue
            self._line_ends += 1
            if self._line_ends == 2:
                self._line_ends = 0
                found.append(KeepAlive.PING)
        if match.end() < len(self._buffer):
            self._line_ends = 0
        return match.end()

    def _read_head(self, start: int) -> FramingError | None:
        """Look for the end of the headers and read the length; both stay open until enough has come."""
        buffer = self._buffer
        if not self._searched and buffer[start] not in _START:
            return FramingError(400, "what came is no SIP")
        # An end of the headers can begin in the last two octets that were searched.
        end = _END_OF_HEAD.search(buffer, start + max(0, self._searched - 2), start + MAX_MESSAGE)
        if end is None:
            self._searched = len(buffer) - start
            if self._searched >= MAX_MESSAGE:
                return FramingError(513, "the headers do not end", bytes(buffer[start : start + MAX_MESSAGE]))
            return None
        head = bytes(buffer[start : end.end()])
        lengths = _CONTENT_LENGTH.findall(head)
        if not lengths:
            return FramingError(400, "no Content-Length (RFC 3261 §20.14)", head)
        text = lengths[0].strip(b" \t\r\n")
        if len(lengths) > 1 or _DIGITS.fullmatch(text) is None:
            return FramingError(400, "Content-Length cannot be read (RFC 3261 §20.14)", head)
        digits = text.lstrip(b"0")
        if len(digits) > len(str(MAX_MESSAGE)) or len(head) + int(digits or b"0") > MAX_MESSAGE:
            return FramingError(413, "the message is too large", head)
        self._length = len(head) + int(digits or b"0")
        return None


def refusal(error: FramingError, source: Address) -> bytes | None:
    """Return the answer to the request that a framing error cut off; None when nothing can or may be answered."""
    # Of headers without an end those that the parser takes: Via and its like stand at the top in every message seen.
    lines = list(takewhile(lambda line: len(line) <= MAX_LINE, error.head.split(b"\n")[: MAX_HEADERS - 1]))
    try:
        message = parse_message(b"\n".join(lines) + b"\n\n")
    except ParseError as fault:
        partial = fault.partial
        if partial is None:
            return None
        message = partial
    if not isinstance(message, Request) or message.method == "ACK":
        return None
    stamp_source(message, source)
    # Nothing refers to this tag again: the connection closes. It must only be there (§8.2.6.2).
    tag = hashlib.blake2s(error.head, digest_size=8).hexdigest()
    return Response.to_request(message, error.status, to_tag=tag).serialize()
