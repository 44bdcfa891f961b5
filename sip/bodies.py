"""Bodies: the session description of a message, alone or as a part of multipart/mixed (RFC 2046 §5.1, RFC 5621)."""

from __future__ import annotations

import re

from sip.errors import ParseError, RemoteProtocolError
from sip.grammar import find_param, parse_params
from sip.message import Request, Response
from sip.sdp import SessionDescription
from sip.sdp import parse as parse_sdp

__all__ = ("ACCEPTED_TYPES", "SDP", "UnsupportedBody", "description_or_none", "session_description")

SDP = "application/sdp"
MULTIPART = "multipart/mixed"
ACCEPTED_TYPES = (SDP, MULTIPART)
MAX_PARTS = 16

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_PART_TYPE = re.compile(rb"(?:^|\n)[ \t]*+(?:content-type|c)[ \t]*+:[ \t]*+([^;\r\n \t]++)", re.IGNORECASE)


class UnsupportedBody(RemoteProtocolError):  # noqa: N818  (named as the situation, RFC 3261 §21.4.13)
    """A body of a type or an encoding that we do not take: 415 Unsupported Media Type."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status_hint=415)


def session_description(message: Request | Response) -> SessionDescription | None:
    """Return the session description that a message carries, None when it has none.

    Raises UnsupportedBody for a body that must be understood and cannot be (RFC 3261 §8.2.3), ParseError for a broken
    description.
    """
    if not message.body:
        return None
    encoding = (message.headers.get("Content-Encoding") or "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedBody("Content-Encoding")
    kind = message.content_type
    if kind == SDP:
        return parse_sdp(message.body)
    if kind == MULTIPART:
        part = _find_part(message.headers.get("Content-Type") or "", message.body)
        if part is not None:
            return parse_sdp(part)
    if _is_optional(message):
        return None
    raise UnsupportedBody("Content-Type")


def description_or_none(message: Request | Response) -> SessionDescription | None:
    """Return the session description that a message carries, None when it has none that can be read."""
    try:
        return session_description(message)
    except (ParseError, RemoteProtocolError):
        return None


def _is_optional(message: Request | Response) -> bool:
    _, semicolon, params = (message.headers.get("Content-Disposition") or "").partition(";")
    if not semicolon:
        return False
    return (find_param(parse_params(params, where="Content-Disposition"), "handling") or "").lower() == "optional"


def _find_part(content_type: str, body: bytes) -> bytes | None:
    """Return the content of the first part that is a session description."""
    _, _, params = content_type.partition(";")
    boundary = find_param(parse_params(params, where="Content-Type"), "boundary")
    if not boundary:
        raise ParseError("no boundary", where="Content-Type", section="RFC 2046 §5.1.1")
    pieces = body.split(b"--" + boundary.encode("utf-8", "surrogateescape"), MAX_PARTS + 1)
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            break
        blank = _BLANK_LINE.search(piece)
        if blank is None:
            continue
        kind = _PART_TYPE.search(piece[: blank.start()])
        if kind is not None and kind.group(1).decode("latin-1").lower() == SDP:
            # The line end before the next boundary belongs to the boundary; SDP needs one of its own.
            return piece[blank.end() :].removesuffix(b"\n").removesuffix(b"\r") + b"\r\n"
    return None
