"""Checking digest credentials without state for each challenge (RFC 7616, RFC 8760 for SIP).

Laws: a nonce carries its time and a serial number under an HMAC, so that nothing is kept for a peer that has proved
nothing. Only a right answer is remembered, and only for its nonce count (RFC 7616 §3.4: what was used once is not
taken again). That memory is bounded: a nonce that is pushed out takes all that are not younger with it, which costs
their owners one more challenge and never lets a replay pass. Who is unknown takes as long as who is known.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from sip.auth import Challenge, hash_algorithm, parse_authorization, verify
from sip.errors import LocalProtocolError, ParseError
from sip.uri import Uri

__all__ = ("DigestServer", "Outcome")

QOP = ("auth", "auth-int")
MIN_SECRET_OCTETS = 16
MAX_NONCES = 4096
"Nonces under which right answers came, at most."
COUNT_WINDOW = 64
"How far behind the highest nonce count a request may come: datagrams overtake each other."
MAC_CHARS = 32
_NONCE = re.compile(rf"([0-9a-f]{{12}})([0-9a-f]{{8}})([0-9a-f]{{{MAC_CHARS}}})")


class Outcome(StrEnum):
    """What became of an answer."""

    ACCEPTED = "accepted"
    STALE = "stale"
    "The password is right and the nonce is not, or no longer: challenge again with ``stale`` (RFC 7616 §3.3)."
    REFUSED = "refused"
    "Unknown user, wrong password, or not what was asked for: realm, algorithm, quality of protection."
    MALFORMED = "malformed"
    "No answer of the Digest scheme, or for another Request-URI: 400 (RFC 7616 §3.4.6)."


@dataclass(slots=True)
class _Used:
    issued_ms: int
    highest: int = 0
    seen: int = 0
    "Bit n: the count ``highest - n`` was used."

    def take(self, count: int) -> bool:
        """Take a nonce count; False when it was used, or is so old that nobody knows."""
        if count > self.highest:
            self.seen = (self.seen << min(count - self.highest, COUNT_WINDOW) | 1) & ((1 << COUNT_WINDOW) - 1)
            self.highest = count
            return True
        bit = 1 << (self.highest - count) if self.highest - count < COUNT_WINDOW else 0
        if not bit or self.seen & bit:
            return False
        self.seen |= bit
        return True


class DigestServer:
    """Challenges of one realm, and the check of their answers.

    ``secret`` is at least 16 unpredictable octets, drawn anew at each start: what was used is forgotten with the
    process. ``algorithms`` are offered in this order (RFC 8760 §2.4: best first). ``lifetime_s`` is how long a nonce
    may be used, on the clock whose ``now`` the caller passes. Raises LocalProtocolError for what is none of these.
    """

    def __init__(
        self,
        realm: str,
        secret: bytes,
        *,
        algorithms: tuple[str, ...] = ("SHA-256", "MD5"),
        lifetime_s: float = 300.0,
    ) -> None:
        if len(secret) < MIN_SECRET_OCTETS or lifetime_s <= 0:
            raise LocalProtocolError(f"a secret of {MIN_SECRET_OCTETS} octets and a lifetime above 0 are needed")
        if not algorithms or any(hash_algorithm(algorithm) is None for algorithm in algorithms):
            raise LocalProtocolError("an algorithm that nobody knows")
        if not realm or any(character < " " or character == "\x7f" for character in realm):
            raise LocalProtocolError("a realm is one line of text")
        self.realm = realm
        self._secret = secret
        self._algorithms = algorithms
        self._lifetime_ms = int(lifetime_s * 1000)
        self._serial = 0
        self._used: dict[str, _Used] = {}
        self._forgotten_ms = -1
        "Nonces that are not younger are stale: their counts may have been forgotten."

    def challenges(self, now: float, *, stale: bool = False) -> tuple[Challenge, ...]:
        """Return a challenge for each algorithm, best first, with a nonce that nobody has had before."""
        self._serial = (self._serial + 1) & 0xFFFFFFFF
        head = f"{_milliseconds(now):012x}{self._serial:08x}"
        nonce = head + self._mac(head)
        return tuple(
            Challenge(realm=self.realm, nonce=nonce, algorithm=algorithm, qop=QOP, stale=stale)
            for algorithm in self._algorithms
        )

    def check(
        self,
        authorization: str,
        *,
        method: str,
        uri: str,
        body: bytes,
        now: float,
        find_ha1: Callable[[str, str], str | None],
    ) -> Outcome:
        """Check the value of an Authorization or Proxy-Authorization header. Never raises for what a peer sent.

        ``uri`` is the Request-URI. ``find_ha1(username, algorithm)`` returns H(username:realm:password) in
        hexadecimal for the algorithm without ``-sess``, None when there is no such user.
        """
        try:
            answer = parse_authorization(authorization)
        except ParseError:
            return Outcome.MALFORMED
        if not _same_uri(answer.uri, uri):
            return Outcome.MALFORMED
        algorithm = answer.algorithm or "MD5"
        if (
            answer.realm != self.realm
            or answer.qop not in QOP
            or algorithm.upper() not in (offered.upper() for offered in self._algorithms)
        ):
            return Outcome.REFUSED
        base = hash_algorithm(algorithm)
        assert base is not None  # only known ones are offered
        ha1 = find_ha1(answer.username, base)
        stand_in = hmac.new(self._secret, answer.username.encode("utf-8", "surrogateescape"), hashlib.sha256)
        right = verify(authorization, method=method, body=body, ha1=stand_in.hexdigest() if ha1 is None else ha1)
        if ha1 is None or not right:
            return Outcome.REFUSED
        return Outcome.ACCEPTED if self._take(answer.nonce, answer.nonce_count or 0, now) else Outcome.STALE

    def _take(self, nonce: str, count: int, now: float) -> bool:
        match = _NONCE.fullmatch(nonce)
        if match is None or not hmac.compare_digest(match[3], self._mac(match[1] + match[2])):
            return False
        issued_ms, now_ms = int(match[1], 16), _milliseconds(now)
        if not now_ms - self._lifetime_ms <= issued_ms <= now_ms or issued_ms <= self._forgotten_ms or count < 1:
            return False
        used = self._used.get(nonce)
        if used is None:
            self._make_room(now_ms)
            if issued_ms <= self._forgotten_ms:
                return False
            used = self._used[nonce] = _Used(issued_ms)
        return used.take(count)

    def _make_room(self, now_ms: int) -> None:
        if len(self._used) < MAX_NONCES:
            return
        # The older half goes at once, so that a full memory is not sorted for each request.
        issued = sorted(used.issued_ms for used in self._used.values())
        limit_ms = max(now_ms - self._lifetime_ms - 1, issued[len(issued) // 2])
        self._forgotten_ms = max(self._forgotten_ms, limit_ms)
        self._used = {nonce: used for nonce, used in self._used.items() if used.issued_ms > limit_ms}

    def _mac(self, head: str) -> str:
        text = f"{head}:{self.realm}".encode()
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()[:MAC_CHARS]


def _milliseconds(now: float) -> int:
    return max(0, int(now * 1000)) & 0xFFFFFFFFFFFF


def _same_uri(answered: str, requested: str) -> bool:
    if answered == requested:
        return True
    try:
        return Uri.parse(answered).equivalent(Uri.parse(requested))
    except (ParseError, ValueError):
        return False
