"""SIP without input or output: bytes and time in; bytes, timers and events out. No sockets, no audio."""

from __future__ import annotations

from sip.errors import LocalProtocolError, NoCommonMedia, ParseError, RemoteProtocolError, SipError
from sip.headers import CSeq, Headers, Via
from sip.message import REASON_PHRASES, Request, Response
from sip.parser import is_keepalive, parse_message
from sip.uri import NameAddr, Uri

__all__ = (
    "REASON_PHRASES",
    "CSeq",
    "Headers",
    "LocalProtocolError",
    "NameAddr",
    "NoCommonMedia",
    "ParseError",
    "RemoteProtocolError",
    "Request",
    "Response",
    "SipError",
    "Uri",
    "Via",
    "is_keepalive",
    "parse_message",
)
