"""Answering digest challenges as a client (RFC 3261 §22, RFC 7616, RFC 8760)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sip.auth import Challenge, authorization, choose_challenge, parse_challenge
from sip.errors import ParseError
from sip.message import Request, Response

__all__ = ("ClientAuthentication", "Credentials")

CNONCE_OCTETS = 16
MAX_CHALLENGES = 8  # in one response; more is nobody's configuration
MAX_ROUNDS = 3  # 401, 407 and one stale nonce; a server that goes on calling nonces stale would have us for ever

# Status -> (header of the challenge, header of the answer), RFC 3261 §22.2, §22.3.
_HEADERS = {
    401: ("WWW-Authenticate", "Authorization"),
    407: ("Proxy-Authenticate", "Proxy-Authorization"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """User name and password. The password does not show in a ``repr``."""

    username: str
    password: str = field(repr=False)


@dataclass(slots=True)
class _Answering:
    challenge: Challenge
    count: int = 0


class ClientAuthentication:
    """Challenges met so far, and how often each nonce was used.

    A challenge is answered once for each request, and once more when the server calls the nonce stale: a server that
    challenges the right answer again does not take the password.
    """

    def __init__(self, credentials: Credentials | None, entropy: Callable[[int], bytes]) -> None:
        self._credentials = credentials
        self._entropy = entropy
        self._answering: dict[int, _Answering] = {}
        self._answered: set[int] = set()
        self._rounds = 0

    def begin(self) -> None:
        """Start with a new request: each challenge may be answered once again."""
        self._answered.clear()
        self._rounds = 0

    def accept(self, response: Response) -> bool:
        """Take a 401 or 407; whether the request is worth sending again with ``apply``."""
        if self._credentials is None or response.status not in _HEADERS or self._rounds >= MAX_ROUNDS:
            return False
        challenge = choose_challenge(_challenges(response))
        if challenge is None or (response.status in self._answered and not challenge.stale):
            return False
        self._rounds += 1
        self._answered.add(response.status)
        self._answering[response.status] = _Answering(challenge)
        return True

    def apply(self, request: Request) -> None:
        """Put the answers to all known challenges on a request."""
        if self._credentials is None:
            return
        for status, answering in self._answering.items():
            answering.count += 1
            request.headers.set(
                _HEADERS[status][1],
                authorization(
                    answering.challenge,
                    username=self._credentials.username,
                    password=self._credentials.password,
                    method=request.method,
                    uri=str(request.uri),
                    body=request.body,
                    nonce_count=answering.count,
                    cnonce=self._entropy(CNONCE_OCTETS).hex(),
                ),
            )


def _challenges(response: Response) -> list[Challenge]:
    found = []
    for text in response.headers.lines(_HEADERS[response.status][0])[:MAX_CHALLENGES]:
        try:
            found.append(parse_challenge(text))
        except ParseError:
            continue  # another scheme, or broken: one of the others may do
    return found
