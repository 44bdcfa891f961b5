"""STUN Binding on the SIP port: the keep-alive of RFC 5626 §3.5.2, answered as RFC 5389 §7.3 says.

Nothing is kept and nobody is authenticated: the answer says only where the request came from, and goes back there. It
is at most 60 octets long, too little to be worth a forged source. The first octet, 0 to 3 in STUN and above in SIP,
tells them apart (RFC 7983 §7).
"""

from __future__ import annotations

import ipaddress
import struct

from sip.address import Address

__all__ = ("binding_response", "is_stun")

HEADER = 20
MAGIC_COOKIE = 0x2112A442
"Fixed second word of every message since RFC 5389 (§6)."
BINDING_REQUEST = 0x0001
BINDING_SUCCESS = 0x0101
BINDING_ERROR = 0x0111
ERROR_CODE = 0x0009
UNKNOWN_ATTRIBUTES = 0x000A
XOR_MAPPED_ADDRESS = 0x0020
COMPREHENSION_OPTIONAL = 0x8000
_UNDERSTOOD = (0x0006, 0x0008)
"USERNAME and MESSAGE-INTEGRITY: asked for by nobody, and harmless in a keep-alive."
_MAX_UNKNOWN = 8
"Unknown attributes that an error names, so that an answer cannot grow."


def is_stun(data: bytes) -> bool:
    """Whether a datagram is STUN by its shape (RFC 5389 §6, RFC 5764 §5.1.2)."""
    if len(data) < HEADER or data[0] > 3:
        return False
    length: int = int.from_bytes(data[2:4], "big")
    return data[4:8] == MAGIC_COOKIE.to_bytes(4, "big") and length % 4 == 0 and length == len(data) - HEADER


def binding_response(data: bytes, source: Address) -> bytes | None:
    """Return the answer to a Binding request from ``source``; None for every other message, which is not answered."""
    if not is_stun(data) or struct.unpack_from("!H", data)[0] != BINDING_REQUEST:
        return None
    attributes = _attributes(data)
    if attributes is None:
        return None
    unknown = [kind for kind in attributes if kind < COMPREHENSION_OPTIONAL and kind not in _UNDERSTOOD]
    transaction = data[4:HEADER]
    if unknown:
        # §7.3.1: 420 Unknown Attribute, with their names.
        names = struct.pack(f"!{len(unknown[:_MAX_UNKNOWN])}H", *unknown[:_MAX_UNKNOWN])
        body = _attribute(ERROR_CODE, b"\0\0\x04\x14Unknown") + _attribute(UNKNOWN_ATTRIBUTES, names)
        return struct.pack("!HH", BINDING_ERROR, len(body)) + transaction + body
    body = _attribute(XOR_MAPPED_ADDRESS, _mapped(source, transaction))
    return struct.pack("!HH", BINDING_SUCCESS, len(body)) + transaction + body


def _attributes(data: bytes) -> list[int] | None:
    kinds, at = [], HEADER
    while at < len(data):
        kind, length = struct.unpack_from("!HH", data, at)
        at += 4 + length + -length % 4
        kinds.append(kind)
    return kinds if at == len(data) else None


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def _mapped(source: Address, transaction: bytes) -> bytes:
    """Return the value of XOR-MAPPED-ADDRESS (§15.2): cookie and transaction id hide it from meddling NATs."""
    address = ipaddress.ip_address(source.host.partition("%")[0]).packed
    hidden = bytes(octet ^ mask for octet, mask in zip(address, transaction, strict=False))
    return struct.pack("!BBH", 0, 1 if len(address) == 4 else 2, source.port ^ (MAGIC_COOKIE >> 16)) + hidden
