"""Requests and responses (RFC 3261 §7): text in memory, typed on access, bytes on the wire.

The typed properties parse when they are first read and remember the result for as long as the header's text is the
same. On a message out of ``parse_message`` the mandatory ones never raise: they were checked there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar, cast

from sip.errors import LocalProtocolError, ParseError
from sip.grammar import is_token, parse_number, split_list
from sip.headers import CSeq, Headers, Via, parse_contact, parse_routes
from sip.uri import NameAddr, Uri

__all__ = ("REASON_PHRASES", "VERSION", "Request", "Response")

T = TypeVar("T")

_Cache = dict[str, tuple[str | list[str] | bytes, object]]
"By header name: the text that was read, and what it says. The body is under ``_BODY``."
_BODY = ""

VERSION = "SIP/2.0"
_MAX_FORWARDS = 255  # §20.22

REASON_PHRASES: Mapping[int, str] = MappingProxyType(
    {
        100: "Trying",
        180: "Ringing",
        181: "Call Is Being Forwarded",
        182: "Queued",
        183: "Session Progress",
        199: "Early Dialog Terminated",
        200: "OK",
        202: "Accepted",
        204: "No Notification",
        300: "Multiple Choices",
        301: "Moved Permanently",
        302: "Moved Temporarily",
        305: "Use Proxy",
        380: "Alternative Service",
        400: "Bad Request",
        401: "Unauthorized",
        402: "Payment Required",
        403: "Forbidden",
        404: "Not Found",
        405: "Method Not Allowed",
        406: "Not Acceptable",
        407: "Proxy Authentication Required",
        408: "Request Timeout",
        410: "Gone",
        412: "Conditional Request Failed",
        413: "Request Entity Too Large",
        414: "Request-URI Too Long",
        415: "Unsupported Media Type",
        416: "Unsupported URI Scheme",
        420: "Bad Extension",
        421: "Extension Required",
        422: "Session Interval Too Small",
        423: "Interval Too Brief",
        428: "Use Identity Header",
        429: "Provide Referrer Identity",
        433: "Anonymity Disallowed",
        469: "Bad Info Package",
        470: "Consent Needed",
        480: "Temporarily Unavailable",
        481: "Call/Transaction Does Not Exist",
        482: "Loop Detected",
        483: "Too Many Hops",
        484: "Address Incomplete",
        485: "Ambiguous",
        486: "Busy Here",
        487: "Request Terminated",
        488: "Not Acceptable Here",
        489: "Bad Event",
        491: "Request Pending",
        493: "Undecipherable",
        494: "Security Agreement Required",
        500: "Server Internal Error",
        501: "Not Implemented",
        502: "Bad Gateway",
        503: "Service Unavailable",
        504: "Server Time-out",
        505: "Version Not Supported",
        513: "Message Too Large",
        580: "Precondition Failure",
        600: "Busy Everywhere",
        603: "Decline",
        604: "Does Not Exist Anywhere",
        606: "Not Acceptable",
        607: "Unwanted",
    }
)
"Default reason phrases (RFC 3261 §21 and the registry it founded)."


class _Message:
    """What requests and responses share."""

    __slots__ = ()
    headers: Headers
    body: bytes
    _cache: _Cache

    def _typed(self, name: str, parse: Callable[[str], T]) -> T:
        """Parse the first field of that name, once for each text; ParseError when it is missing or malformed."""
        text = self.headers.get(name)
        if text is None:
            raise ParseError("missing", where=name, section="RFC 3261 §8.1.1")
        cached = self._cache.get(name)
        if cached is not None and cached[0] is text:
            return cast("T", cached[1])
        try:
            value = parse(text)
        except ParseError as error:
            error.where = name
            raise
        self._cache[name] = (text, value)
        return value

    def _typed_list(self, name: str, parse: Callable[[Headers], tuple[T, ...]]) -> tuple[T, ...]:
        lines = self.headers.lines(name)
        if not lines:
            return ()
        cached = self._cache.get(name)
        if cached is not None and cached[0] == lines:
            return cast("tuple[T, ...]", cached[1])
        try:
            value = parse(self.headers)
        except ParseError as error:
            error.where = name
            raise
        self._cache[name] = (lines, value)
        return value

    def forget_typed(self) -> None:
        """Drop the values that were read; they are read again from the text when they are asked for."""
        self._cache.clear()

    @property
    def call_id(self) -> str:
        """The Call-ID, compared octet by octet (§20.8)."""
        value = self.headers.get("Call-ID")
        if not value:
            raise ParseError("missing", where="Call-ID", section="RFC 3261 §8.1.1.4")
        return value

    @property
    def cseq(self) -> CSeq:
        """CSeq, number and method."""
        return self._typed("CSeq", CSeq.parse)

    @property
    def from_(self) -> NameAddr:
        """From."""
        return self._typed("From", NameAddr.parse)

    @property
    def to(self) -> NameAddr:
        """To."""
        return self._typed("To", NameAddr.parse)

    @property
    def via(self) -> Via:
        """The topmost Via."""
        return self._typed("Via", _parse_first_via)

    def stamp_via(self, via: Via) -> None:
        """Put ``via`` in the place of the topmost one: what a server adds to it (§18.2.1)."""
        text = str(via)
        self.headers.set_first("Via", text)
        self._cache["Via"] = (text, via)

    def typed_body(self, parse: Callable[[bytes], T]) -> T:
        """Parse the body, once as long as it is the same; ``parse`` must always be the same too."""
        cached = self._cache.get(_BODY)
        if cached is not None and cached[0] is self.body:
            return cast("T", cached[1])
        value = parse(self.body)
        self._cache[_BODY] = (self.body, value)
        return value

    @property
    def vias(self) -> tuple[Via, ...]:
        """Every Via, topmost first. Those below the top are not checked on arrival: ParseError if one is malformed."""
        return tuple(Via.parse(text) for text in self.headers.get_all("Via"))

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact, None when there is none (or only ``*``)."""
        contacts = self.contacts
        return contacts[0] if contacts else None

    @property
    def contacts(self) -> tuple[NameAddr, ...]:
        """Every Contact; the ``*`` of a REGISTER is left out."""
        return self._typed_list("Contact", parse_contact)

    @property
    def routes(self) -> tuple[NameAddr, ...]:
        """The Route set as it stands in the message, topmost first."""
        return self._typed_list("Route", parse_routes)

    @property
    def record_routes(self) -> tuple[NameAddr, ...]:
        """Record-Route, topmost first."""
        return self._typed_list("Record-Route", _parse_record_routes)

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards, 0 to 255, None when it is missing (RFC 2543 had none)."""
        return self._typed("Max-Forwards", _parse_max_forwards) if "Max-Forwards" in self.headers else None

    @property
    def content_type(self) -> str | None:
        """The media type of the body in lower case, without parameters; None when there is no Content-Type."""
        text = self.headers.get("Content-Type")
        return None if text is None else text.partition(";")[0].replace(" ", "").replace("\t", "").lower()

    def _serialize(self, start_line: str) -> bytes:
        lines = [start_line]
        for name, value in self.headers.items():
            if name != "Content-Length":
                lines.append(f"{name}: {value}")
        lines.append(f"Content-Length: {len(self.body)}")
        head = "\r\n".join(lines)
        # A line end inside a value would let whoever chose the value write headers of its own.
        if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
            raise LocalProtocolError("line end inside a header or the start line")
        return f"{head}\r\n\r\n".encode("utf-8", "surrogateescape") + self.body


@dataclass(slots=True)
class Request(_Message):
    """A request. ``repr`` leaves the body out: an INFO carries keyed digits there."""

    method: str
    uri: Uri
    headers: Headers = field(default_factory=Headers)
    body: bytes = field(default=b"", repr=False)
    _cache: _Cache = field(default_factory=dict, init=False, repr=False, compare=False)

    def serialize(self) -> bytes:
        """Return the bytes for the wire, Content-Length last and always right; raises LocalProtocolError."""
        uri = str(self.uri)
        if not is_token(self.method) or " " in uri or "\t" in uri:
            raise LocalProtocolError("method is no token or the URI holds white space")
        return self._serialize(f"{self.method} {uri} {VERSION}")


@dataclass(slots=True)
class Response(_Message):
    """A response. ``repr`` leaves the body out."""

    status: int
    reason: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = field(default=b"", repr=False)
    _cache: _Cache = field(default_factory=dict, init=False, repr=False, compare=False)

    def serialize(self) -> bytes:
        """Return the bytes for the wire, Content-Length last and always right; raises LocalProtocolError."""
        if not 100 <= self.status <= 699:
            raise LocalProtocolError("status out of range")
        return self._serialize(f"{VERSION} {self.status} {self.reason}")

    @classmethod
    def to_request(
        cls, request: Request, status: int, reason: str | None = None, *, to_tag: str | None = None
    ) -> Response:
        """Build the response to a request as RFC 3261 §8.2.6 says.

        Via (all), From, To, Call-ID and CSeq are copied as they came; ``to_tag`` is added to a To without a tag
        (never to a 100, §8.2.6.2). A 100 repeats the Timestamp. Works on a partial request too: what is missing is
        left out, and a To that cannot be parsed is returned as it came.
        """
        source, headers = request.headers, Headers()
        headers.set("Via", source.lines("Via"))
        headers.set("From", source.lines("From")[:1])
        to = source.get("To")
        if to is not None:
            headers.set("To", f"{to};tag={to_tag}" if to_tag and status != 100 and _can_tag(request) else to)
        headers.set("Call-ID", source.lines("Call-ID")[:1])
        headers.set("CSeq", source.lines("CSeq")[:1])
        if status == 100:
            headers.set("Timestamp", source.lines("Timestamp")[:1])
        return cls(status, REASON_PHRASES.get(status, "") if reason is None else reason, headers)


def _can_tag(request: Request) -> bool:
    try:
        return request.to.tag is None
    except ParseError:
        return False


def _parse_first_via(line: str) -> Via:
    return Via.parse(line if "," not in line else split_list(line)[0])


def _parse_max_forwards(text: str) -> int:
    return parse_number(text, where="Max-Forwards", limit=_MAX_FORWARDS, section="RFC 3261 §20.22")


def _parse_record_routes(headers: Headers) -> tuple[NameAddr, ...]:
    return parse_routes(headers, "Record-Route")
