"""SIP without input or output: bytes and time in; bytes, timers and events out. No sockets, no audio."""

from __future__ import annotations

from sip.address import Address
from sip.auth import Challenge, authorization, choose_challenge, parse_challenge
from sip.crypto_attribute import SrtpParameters, SrtpPolicy
from sip.endpoint import Account, Credentials, Endpoint, EndpointConfig, Statistics, TraceRecord
from sip.errors import LocalProtocolError, NoCommonMedia, ParseError, RemoteProtocolError, SipError
from sip.events import Event, SessionId
from sip.headers import CSeq, Headers, Via
from sip.info import InfoDigit, parse_dtmf_info
from sip.message import REASON_PHRASES, Request, Response
from sip.offer_answer import LocalCapabilities, MediaParameters, accept_answer, answer, make_offer
from sip.parser import is_keepalive, parse_message
from sip.sdp import Connection, MediaDescription, Origin, SessionDescription
from sip.uri import NameAddr, Uri

__all__ = (
    "REASON_PHRASES",
    "Account",
    "Address",
    "CSeq",
    "Challenge",
    "Connection",
    "Credentials",
    "Endpoint",
    "EndpointConfig",
    "Event",
    "Headers",
    "InfoDigit",
    "LocalCapabilities",
    "LocalProtocolError",
    "MediaDescription",
    "MediaParameters",
    "NameAddr",
    "NoCommonMedia",
    "Origin",
    "ParseError",
    "RemoteProtocolError",
    "Request",
    "Response",
    "SessionDescription",
    "SessionId",
    "SipError",
    "SrtpParameters",
    "SrtpPolicy",
    "Statistics",
    "TraceRecord",
    "Uri",
    "Via",
    "accept_answer",
    "answer",
    "authorization",
    "choose_challenge",
    "is_keepalive",
    "make_offer",
    "parse_challenge",
    "parse_dtmf_info",
    "parse_message",
)
