"""SRTP (RFC 3711) keyed by SDES (RFC 4568): the crypto suites and the master keys.

What runs per packet is ``engine.rtp._srtp``: libsrtp, called without the GIL. A leg gets an `SrtpKeysPair` from its
offer and answer and makes an ``SrtpCore`` of it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NoReturn

__all__ = ("SUITES", "SrtpKeys", "SrtpKeysPair", "SrtpSuite", "fresh_keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class SrtpSuite:
    """A crypto suite: its SDES name, and lengths in octets."""

    name: str
    key_octets: int
    salt_octets: int
    rtp_tag_octets: int
    rtcp_tag_octets: int

    @property
    def master_octets(self) -> int:
        """Length of master key and salt together, as SDES carries them."""
        return self.key_octets + self.salt_octets


def _suite(name: str, key: int, salt: int, rtp_tag: int, rtcp_tag: int) -> tuple[str, SrtpSuite]:
    return name, SrtpSuite(
        name=name, key_octets=key, salt_octets=salt, rtp_tag_octets=rtp_tag, rtcp_tag_octets=rtcp_tag
    )


SUITES: Mapping[str, SrtpSuite] = MappingProxyType(
    dict(
        (
            # RFC 4568 §6.2. SRTCP keeps the tag of 80 bits with the suites of 32 (§6.2.2, RFC 6188 §3).
            _suite("AES_CM_128_HMAC_SHA1_80", 16, 14, 10, 10),
            _suite("AES_CM_128_HMAC_SHA1_32", 16, 14, 4, 10),
            # RFC 6188 §3
            _suite("AES_256_CM_HMAC_SHA1_80", 32, 14, 10, 10),
            _suite("AES_256_CM_HMAC_SHA1_32", 32, 14, 4, 10),
            # RFC 7714 §14.1
            _suite("AEAD_AES_128_GCM", 16, 12, 16, 16),
            _suite("AEAD_AES_256_GCM", 32, 12, 16, 16),
        )
    )
)
"By SDES name."


class SrtpKeys:
    """Master key and salt of one direction, under a suite.

    The octets are ours (a copy), wiped at the latest when the object goes. They show in no ``repr`` and are not
    pickled.
    """

    __slots__ = ("_master", "suite")

    def __init__(self, suite: str, master: bytes | bytearray) -> None:
        known = SUITES.get(suite)
        if known is None:
            raise ValueError("no SRTP suite of that name")
        if len(master) != known.master_octets:
            raise ValueError(f"{suite} wants {known.master_octets} octets of key and salt")
        self.suite = known
        self._master = bytearray(master)

    def __del__(self) -> None:
        if hasattr(self, "_master"):  # else the constructor refused
            self.wipe()

    def reveal(self) -> bytearray:
        """Return the octets of key and salt themselves, not a copy; empty once wiped."""
        return self._master

    def wipe(self) -> None:
        """Overwrite and forget the octets; safe to call twice."""
        self._master[:] = bytes(len(self._master))
        self._master = bytearray()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SrtpKeys):
            return NotImplemented
        # Wiped keys equal nothing, not even other wiped ones: nobody may go on with them.
        return self.suite == other.suite and bool(self._master) and hmac.compare_digest(self._master, other._master)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"SrtpKeys({self.suite.name}, ...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("SRTP keys are not pickled")


class SrtpKeysPair:
    """The keys of both directions of a leg; equal when suite and keys are."""

    __slots__ = ("local", "remote", "suite")

    def __init__(self, suite: str, local_key: bytes | bytearray, remote_key: bytes | bytearray) -> None:
        """``local_key`` protects what we send, ``remote_key`` what the far end does: master key and salt each."""
        self.suite = suite
        self.local = SrtpKeys(suite, local_key)
        self.remote = SrtpKeys(suite, remote_key)

    def wipe(self) -> None:
        """Overwrite and forget all keys; safe to call twice."""
        self.local.wipe()
        self.remote.wipe()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SrtpKeysPair):
            return NotImplemented
        return self.local == other.local and self.remote == other.remote

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"SrtpKeysPair({self.suite}, ...)"


def fresh_keys(suite: str, entropy: Callable[[int], bytes]) -> SrtpKeys:
    """Return new keys; ``entropy(n)`` gives n unpredictable octets (``secrets.token_bytes``)."""
    known = SUITES.get(suite)
    if known is None:
        raise ValueError("no SRTP suite of that name")
    return SrtpKeys(suite, entropy(known.master_octets))
