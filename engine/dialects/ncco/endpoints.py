"""Whom to call, as ``connect`` and ``POST /v1/calls`` name it (`dialects.md` §6.3). Pure."""

from __future__ import annotations

import re
from typing import Literal

from engine.dialects.ncco.actions import Endpoint
from engine.dialects.ncco.errors import NccoError
from engine.dialects.ncco.members import Members

__all__ = ("MAX_HEADERS", "MAX_HEADER_CHARS", "endpoint_of")

MAX_HEADERS = 16
"X- headers of one call."
MAX_HEADER_CHARS = 256
_MAX_URI_CHARS = 512
_MAX_KEYS = 100
_NUMBER = re.compile(r"\+?[0-9]{2,20}")
_EXTENSION = re.compile(r"[0-9*#]{1,20}")
_SIP = re.compile(r"sips?:[\x21-\x7e]+", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,46}")
"With the ``X-`` no longer than an INVITE of this engine takes."
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_KEYS = "0123456789*#P"


def endpoint_of(value: object, where: str) -> Endpoint:
    """Return an endpoint; ``where`` is its place, such as ``[2].endpoint[0]``.

    Raises `NccoError`, also for those that are no telephone: ``app`` and ``websocket``.
    """
    members = Members(value, where)
    match members.text("type", None, 64).strip().lower():
        case "phone":
            return _endpoint(members, "phone", _number(members))
        case "sip":
            return _endpoint(members, "sip", _uri(members), _headers(members))
        case "vbc":
            extension = members.figures("extension", None, 32)
            if not _EXTENSION.fullmatch(extension):
                members.refuse("extension", "an extension of at most 20 keys is wanted")
            return _endpoint(members, "vbc", extension)
        case "websocket" | "app":
            members.refuse("type", "websocket and app endpoints cannot be called here; call phone, sip or vbc")
        case _:
            members.refuse("type", "phone, sip or vbc is wanted")


def _endpoint(
    members: Members, kind: Literal["phone", "sip", "vbc"], to: str, headers: tuple[tuple[str, str], ...] = ()
) -> Endpoint:
    on_answer = members.within("onAnswer")
    ringback = on_answer.url("ringbackTone") or on_answer.url("ringback")
    return Endpoint(
        type=kind,
        to=to,
        headers=headers,
        dtmf_answer=members.keys("dtmfAnswer", "", _KEYS, _MAX_KEYS).lower(),
        on_answer_url=on_answer.url("url", required=members.has("onAnswer")),
        ringback_url=ringback,
    )


def _number(members: Members) -> str:
    number = members.figures("number", None, 32)
    if not _NUMBER.fullmatch(number):
        members.refuse("number", "a number with its country code is wanted, figures only")
    return number


def _uri(members: Members) -> str:
    uri = members.text("uri", None, _MAX_URI_CHARS).strip()
    if not _SIP.fullmatch(uri):
        members.refuse("uri", "a sip: or sips: URI is wanted")
    return uri


def _headers(members: Members) -> tuple[tuple[str, str], ...]:
    """Return the headers that go as ``X-NAME``; others than these no call of this engine has."""
    for name in ("standardHeaders", "standard_headers"):
        if any(members.within(name).all()):
            members.refuse(name, "only X- headers are sent; put it among headers")
    place = members.path("headers")
    headers = []
    for name, value in members.within("headers").all():
        text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        if not _HEADER_NAME.fullmatch(name):
            raise NccoError(place, "a name of at most 46 letters, figures and dashes is wanted")
        if not isinstance(text, str) or len(text) > MAX_HEADER_CHARS or not _HEADER_VALUE.fullmatch(text):
            raise NccoError(place, f"a value of at most {MAX_HEADER_CHARS} characters of ASCII is wanted")
        headers.append((name, text))
    if len(headers) > MAX_HEADERS:
        raise NccoError(place, f"at most {MAX_HEADERS} headers are sent")
    return tuple(headers)
