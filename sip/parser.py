"""One datagram into one message (RFC 3261 §7, §18.3).

Liberal where a peer's slip cannot change the meaning: folded lines, white space, lone LF line ends, line ends before
the start line, compact names, a missing Content-Length, octets after the body. Strict where two readers could
disagree about what was said: start line, framing, the headers that identify a transaction and a dialog.
RFC 4475 and RFC 5118 are the examination; ``tests/standards/test_rfc4475_torture.py`` sits it.
"""

from __future__ import annotations

import re

from sip.errors import ParseError
from sip.grammar import LWS, TOKEN, parse_number
from sip.headers import Headers
from sip.message import VERSION, Request, Response
from sip.uri import Uri

__all__ = ("MAX_HEADERS", "MAX_LINE", "MAX_MESSAGE", "is_keepalive", "parse_message")

MAX_MESSAGE = 65535
"Octets in a message: the most a UDP datagram can hold."
MAX_HEADERS = 256
"Header lines. The longest torture message has 40, a call through six proxies with History-Info about 60."
MAX_LINE = 8192
"Characters in one line once unfolded: what web servers allow by default; the longest torture line has 500."

# Empty line: the end of the headers. A CR in front of either LF may be missing.
_END_OF_HEAD = re.compile(rb"\n\r?\n")
# White space before the fold stays: looking for it too would take quadratic time over a long run of spaces.
_FOLD = re.compile(r"\n[ \t]++")
# Request-Line = Method SP Request-URI SP SIP-Version CRLF: single spaces (§7.1), so no white space is repaired here.
_REQUEST_LINE = re.compile(rf"({TOKEN}) ([^ \t]++) (SIP/[0-9]++\.[0-9]++)", re.IGNORECASE)
# Status-Line = SIP-Version SP Status-Code SP Reason-Phrase CRLF; the phrase, and with it its SP, may be empty.
_STATUS_LINE = re.compile(r"(SIP/[0-9]++\.[0-9]++) ([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE)

# Of these a second one would make the message mean two things (RFC 4475 §3.3.8, §3.3.9).
_UNIQUE = ("Call-ID", "CSeq", "From", "To", "Max-Forwards", "Content-Length", "Content-Type")

# Request-URI of a partial request whose own could not be read.
_NO_URI = Uri(host="unreadable.invalid")


def is_keepalive(data: bytes) -> bool:
    """Say whether a datagram holds nothing but line ends, NULs or spaces (RFC 5626 §3.5.1; phones send NULs too)."""
    return not data.strip(b"\r\n\0 ")


def parse_message(data: bytes) -> Request | Response:
    """Parse one datagram.

    Raises ParseError and nothing else, whatever the bytes are. For a request whose top Via could be read the error
    carries the request in ``partial`` and the status to answer in ``status_hint``; ACK is never answered.
    """
    if len(data) > MAX_MESSAGE:
        raise ParseError("message too large", where="message", status_hint=513)
    data = data.lstrip(b"\r\n")  # §7.5: line ends before the start line are ignored
    end = _END_OF_HEAD.search(data)
    head = (data if end is None else data[: end.start()]).decode("utf-8", "surrogateescape")
    rest = b"" if end is None else data[end.end() :]
    if "\r" in head:
        head = head.replace("\r\n", "\n").removesuffix("\r")
    if "\n " in head or "\n\t" in head:
        head = _FOLD.sub(" ", head)
    start_line, _, fields = head.partition("\n")
    if start_line[:4].upper() == "SIP/":
        return _parse_response(start_line, fields, rest, complete=end is not None)
    return _parse_request(start_line, fields, rest, complete=end is not None)


def _parse_request(start_line: str, fields: str, rest: bytes, *, complete: bool) -> Request:
    match = _REQUEST_LINE.fullmatch(start_line)
    # The method is needed even if the rest is wrong: an ACK must not be answered.
    method = match.group(1) if match else start_line.lstrip(LWS).partition(" ")[0]
    request = Request(method, _NO_URI)
    try:
        _parse_fields(fields, request.headers)
        if match is None or len(start_line) > MAX_LINE:
            raise ParseError("malformed", where="request line", section="RFC 3261 §7.1")
        if match.group(3).upper() != VERSION:
            raise ParseError("SIP version", where="request line", section="RFC 3261 §7.1", status_hint=505)
        request.uri = _parse_request_uri(match.group(2))
        _check(request, complete)
        if request.cseq.method != method:
            raise ParseError("not the method of the request", where="CSeq", section="RFC 3261 §8.1.1.5")
        request.body = _body(request.headers, rest)
    except ParseError as error:
        error.partial = request if _is_answerable(request) else None
        raise
    return request


def _parse_response(start_line: str, fields: str, rest: bytes, *, complete: bool) -> Response:
    match = _STATUS_LINE.fullmatch(start_line)
    if match is None or len(start_line) > MAX_LINE or "\r" in start_line:
        raise ParseError("malformed", where="status line", section="RFC 3261 §7.2")
    if match.group(1).upper() != VERSION:
        raise ParseError("SIP version", where="status line", section="RFC 3261 §7.1")
    response = Response(int(match.group(2)), match.group(3) or "")
    _parse_fields(fields, response.headers)
    _check(response, complete)
    response.body = _body(response.headers, rest)
    return response


def _parse_fields(text: str, headers: Headers) -> None:
    """Fill ``headers`` line by line; on a fault the lines before it are there."""
    if not text:
        return
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()  # a head that was cut off right behind a line
    if len(lines) > MAX_HEADERS:
        raise ParseError("too many headers", where="headers", status_hint=513)
    if len(text) > MAX_LINE and max(map(len, lines)) > MAX_LINE:
        raise ParseError("line too long", where="headers", status_hint=513)
    fault = ""
    if "\r" in text:
        # Some receivers end a line at a lone CR: what we let through could be another header to the next hop.
        fault = "lone CR"
        lines = [line for line in lines if "\r" not in line]
    if not headers.add_lines(lines):  # the others may suffice for an answer
        fault = "line without a header name"
    if fault:
        raise ParseError(fault, where="headers", section="RFC 3261 §7.3.1")


def _parse_request_uri(text: str) -> Uri:
    try:
        uri = Uri.parse(text)
    except ParseError as error:
        error.where = "Request-URI"
        raise
    if uri.headers:
        raise ParseError("headers in the URI", where="Request-URI", section="RFC 3261 §19.1.1")
    return uri


def _check(message: Request | Response, complete: bool) -> None:
    """Check what every message must have (§8.1.1), and what we shall read: its typed properties cannot fail later."""
    headers = message.headers
    repeated = headers.first_repeated(_UNIQUE)
    if repeated is not None:
        raise ParseError("more than one", where=repeated, section="RFC 3261 §7.3.1")
    _ = message.via, message.from_, message.to, message.cseq
    if " " in message.call_id or "\t" in message.call_id:
        raise ParseError("malformed", where="Call-ID", section="RFC 3261 §25.1")
    _ = message.max_forwards, message.contacts, message.routes, message.record_routes
    if not complete:
        raise ParseError("no empty line behind the headers", where="message", section="RFC 3261 §7")


def _body(headers: Headers, rest: bytes) -> bytes:
    # §18.3: over UDP octets behind the body are dropped, a body shorter than announced is an error, and without
    # a Content-Length the body ends with the datagram.
    text = headers.get("Content-Length")
    if text is None:
        return rest
    length = parse_number(text, where="Content-Length", limit=MAX_MESSAGE, section="RFC 3261 §20.14")
    if length > len(rest):
        raise ParseError("larger than the message", where="Content-Length", section="RFC 3261 §18.3")
    return rest[:length]


def _is_answerable(request: Request) -> bool:
    try:
        _ = request.via
    except ParseError:
        return False
    return True
