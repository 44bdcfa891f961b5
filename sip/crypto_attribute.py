"""``a=crypto`` of SDES (RFC 4568): read with its limits, and written.

Only what we can carry out is read: a suite that we have, one master key, no MKI, no session parameter that changes how
packets are protected. An attribute with anything else is passed over, as §5.1.2 asks, never half understood.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

__all__ = (
    "DEFAULT_SUITES",
    "SUITES",
    "CryptoAttribute",
    "SrtpParameters",
    "SrtpPolicy",
    "first_usable",
    "parse_crypto",
)

SUITES: Mapping[str, int] = MappingProxyType(
    {
        "AEAD_AES_256_GCM": 44,  # RFC 7714 §12
        "AEAD_AES_128_GCM": 28,
        "AES_256_CM_HMAC_SHA1_80": 46,  # RFC 6188 §2
        "AES_256_CM_HMAC_SHA1_32": 46,
        "AES_CM_128_HMAC_SHA1_80": 30,  # RFC 4568 §6.2
        "AES_CM_128_HMAC_SHA1_32": 30,
    }
)
"Suites by name, with the octets of master key and salt together."

DEFAULT_SUITES = (
    "AEAD_AES_256_GCM",
    "AEAD_AES_128_GCM",
    "AES_256_CM_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32",
)
"Most wanted first. GCM costs half of what HMAC-SHA1 does, and 256 bits no more than 128; tags of 32 bits come last."

# §9.1. The fields are parted by white space; a tag has one to nine digits.
_CRYPTO = re.compile(r"([0-9]{1,9}+)[ \t]++([A-Za-z0-9_]++)[ \t]++(\S++)((?:[ \t]++\S++)*)[ \t]*+")
# §9.2: inline:<key||salt>["|"<lifetime>]["|"<MKI>:<length>]
_INLINE = re.compile(r"inline:([A-Za-z0-9+/]++={0,2}+)(?:\|((?:2\^)?[0-9]{1,20}+))?")  # not possessive: see grammar
_WINDOW_SIZE_HINT = re.compile(r"WSH=([0-9]{2,5}+)")
_LEAST_WINDOW = 64  # §6.3.6 (RFC 3711 §3.3.2)
_MAX_LIFETIME = 1 << 48  # §6.1: packets under one master key


class SrtpPolicy(StrEnum):
    """Whether a leg speaks SRTP."""

    OFF = "off"
    PREFERRED = "preferred"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class SrtpParameters:
    """What was agreed: the suite, and each side's master key and salt. The keys show in no ``repr``."""

    suite: str
    local_key: bytes = field(repr=False)
    "Protects what we send."
    remote_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CryptoAttribute:
    """One ``a=crypto`` with a single key; the key shows in no ``repr``."""

    tag: int
    suite: str
    key: bytes = field(repr=False)
    "Master key and salt of the side that wrote it."

    @property
    def value(self) -> str:
        """The attribute's value, as after ``a=crypto:``."""
        return f"{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode('ascii')}"


def parse_crypto(value: str) -> CryptoAttribute | None:
    """Return an attribute that we can carry out; None for any other, malformed ones included."""
    match = _CRYPTO.fullmatch(value)
    if match is None:
        return None
    tag, suite, key_parameters, session_parameters = match.groups()
    octets = SUITES.get(suite)
    # Several keys (";") need an MKI to tell them apart, and libsrtp takes packets without one here: no match.
    inline = _INLINE.fullmatch(key_parameters)
    if octets is None or inline is None or not _is_lifetime(inline[2]):
        return None
    if not all(_is_harmless(parameter) for parameter in session_parameters.split()):
        return None
    key = _decode(inline[1])
    return CryptoAttribute(tag=int(tag), suite=suite, key=key) if len(key) == octets else None


def first_usable(values: Iterable[str], suites: Iterable[str]) -> CryptoAttribute | None:
    """Return the first of an offer's ``a=crypto`` that can be carried out with one of ``suites``.

    The offerer lists them most wanted first (§5.1.1).
    """
    wanted = frozenset(suites)
    for value in values:
        attribute = parse_crypto(value)
        if attribute is not None and attribute.suite in wanted:
            return attribute
    return None


def _decode(text: str) -> bytes:
    # §6.1 wants the padding; keys of 46 octets are seen without it.
    text = text.rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return b""


def _is_lifetime(text: str | None) -> bool:
    """Say whether a lifetime is one. It binds whoever sends under the key, that is the far end."""
    if text is None:
        return True
    if text.startswith("2^"):
        return len(text) <= 4 and 0 <= int(text[2:]) <= 48
    return 0 < int(text) <= _MAX_LIFETIME


def _is_harmless(parameter: str) -> bool:
    """Say whether a session parameter (§6.3) leaves the packets as we make and read them.

    KDR, UNENCRYPTED_*, UNAUTHENTICATED_SRTP and FEC_* do not. WSH only tells a receiver how large its window should be.
    An unknown one may be passed over when it says so itself with a leading "-" (§6.3.7).
    """
    if parameter.startswith("-"):
        return len(parameter) > 1
    hint = _WINDOW_SIZE_HINT.fullmatch(parameter)
    return hint is not None and int(hint[1]) >= _LEAST_WINDOW
