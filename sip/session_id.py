"""Session-ID (RFC 7989): names a call the same on every hop, for whoever reads the logs of several systems.

A peer that sends one gets it back as ``remote`` next to our half. Our half is made of the Call-ID and a secret: the
same in all messages of a call without being kept, and nothing that tells the Call-ID.
"""

from __future__ import annotations

import hashlib
import re

from sip.headers import Headers

__all__ = ("answering_session_id", "peer_session_id")

MAX_VALUE = 256
HALF_OCTETS = 16
NIL = "0" * 32
"§5: not known yet."

# §5: session-id = local-uuid *( SEMI generic-param ), a UUID being 32 lower-case hexadecimal digits; RFC 7329 had the
# one half alone.
_VALUE = re.compile(r"([0-9a-f]{32})(?:[ \t]*+;.*+)?", re.IGNORECASE)


def peer_session_id(headers: Headers) -> str:
    """Return the sender's half, lower case; empty when there is none, when it is nil, or for garbage."""
    text = headers.get("Session-ID")
    if text is None or len(text) > MAX_VALUE:
        return ""
    match = _VALUE.fullmatch(text)
    half = "" if match is None else match.group(1).lower()
    return "" if half == NIL else half


def answering_session_id(headers: Headers, secret: bytes) -> str:
    """Return what our messages of the same call say; empty when the peer's message says nothing."""
    theirs = peer_session_id(headers)
    call_id = headers.get("Call-ID")
    if not theirs or call_id is None:
        return ""
    call = call_id.encode("utf-8", "surrogateescape")
    ours = hashlib.blake2s(call, key=secret, digest_size=HALF_OCTETS).hexdigest()
    return f"{ours};remote={theirs}"
