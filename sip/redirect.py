"""Where to call next after a redirection (RFC 3261 §8.1.3.4, §19.1.5).

Laws: no URI is tried twice, so that two peers that point at each other end the search; a bounded number is tried at
all; only ``sip``, ``sips`` and ``tel`` are called; from ``sips`` the search never goes on without TLS. Headers and
``method`` of a Contact are dropped: a peer shall not write our requests.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from sip.message import Response
from sip.uri import NameAddr, Uri

__all__ = ("MAX_TARGETS", "TargetSet", "by_preference", "redirection")

MAX_TARGETS = 10
"URIs tried for one call, the first included."
_SCHEMES = ("sip", "sips", "tel")
_FOLLOWED = (300, 301, 302)
"305 would let any peer choose our proxy (§21.3.4); 380 describes services in a body that we do not read (§21.3.5)."


def by_preference(contacts: Iterable[NameAddr]) -> tuple[NameAddr, ...]:
    """Order contacts by ``q``, the highest first (§20.10); equal ones stay in order, and without ``q`` it is 1."""
    return tuple(sorted(contacts, key=_quality, reverse=True))


def _quality(contact: NameAddr) -> float:
    text = contact.param("q")
    if text is None:
        return 1.0
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0


def redirection(response: Response | None, status: int | None) -> tuple[NameAddr, ...]:
    """Return the contacts of the response that ended an INVITE with ``status``, ordered, when it redirects."""
    if response is None or response.status != status or not 300 <= status < 400:
        return ()
    return by_preference(response.contacts)


class TargetSet:
    """The URIs that are left to be tried for one call, and those that were."""

    def __init__(self, first: Uri, *, limit: int = MAX_TARGETS) -> None:
        self._limit = limit
        self._known: list[Uri] = [first]
        self._waiting: list[Uri] = []
        self._secure_only = first.scheme == "sips"

    def add(self, status: int, contacts: Iterable[NameAddr]) -> int:
        """Take the contacts of a redirection with this status in front of what waits; return how many were new."""
        if status not in _FOLLOWED:
            return 0
        fresh: list[Uri] = []
        for contact in by_preference(contacts):
            uri = _callable(contact.uri)
            if len(self._known) >= self._limit or uri is None or (self._secure_only and uri.scheme != "sips"):
                continue
            if any(uri.equivalent(known) for known in self._known):
                continue
            self._known.append(uri)
            fresh.append(uri)
        self._waiting[:0] = fresh
        return len(fresh)

    def next(self) -> Uri | None:
        """Take out the next URI to call, None when none is left."""
        return self._waiting.pop(0) if self._waiting else None


def _callable(uri: Uri) -> Uri | None:
    if uri.scheme not in _SCHEMES or not (uri.host or uri.user):
        return None
    params = tuple(pair for pair in uri.params if pair[0].lower() != "method")
    return replace(uri, params=params, headers=())
