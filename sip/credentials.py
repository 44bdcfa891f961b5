"""Answering digest challenges as a client (RFC 3261 §22, RFC 7616, RFC 8760).

Laws: a challenge is answered once for each request, and once more when the server calls the nonce stale: a server that
challenges the right answer again does not take the password. Each realm has its own nonce (RFC 3261 §22.3: a request
can pass several proxies that ask). Who was answered with a SHA hash is never again answered with MD5: an attacker on
the way could have taken the better challenge out (RFC 8760 §4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sip.auth import (
    AuthenticationInfo,
    Challenge,
    authorization,
    choose_challenge,
    parse_authentication_info,
    parse_challenge,
)
from sip.errors import ParseError
from sip.message import Request, Response

__all__ = ("ClientAuthentication", "Credentials")

CNONCE_OCTETS = 16
MAX_CHALLENGES = 8
"In one response, and realms remembered; more is nobody's configuration."
MAX_ROUNDS = 4
"Two proxies, the server and one stale nonce; a server that goes on calling nonces stale would have us for ever."

# Status -> (header of the challenge, of the answer, of what comes with success), RFC 3261 §22.2, §22.3.
_HEADERS = {
    401: ("WWW-Authenticate", "Authorization", "Authentication-Info"),
    407: ("Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """User name and password. The password does not show in a ``repr``."""

    username: str
    password: str = field(repr=False)
    realm: str = ""
    "The only realm that gets an answer; empty: any."


@dataclass(slots=True)
class _Answering:
    challenge: Challenge
    count: int = 0
    cnonce: str = ""
    uri: str = ""


class ClientAuthentication:
    """Challenges met so far, by status and realm, and how often each nonce was used."""

    def __init__(self, credentials: Credentials | None, entropy: Callable[[int], bytes]) -> None:
        self._credentials = credentials
        self._entropy = entropy
        self._answering: dict[tuple[int, str], _Answering] = {}
        self._answered: set[tuple[int, str]] = set()
        self._rounds = 0

    def begin(self) -> None:
        """Start with a new request: each challenge may be answered once again."""
        self._answered.clear()
        self._rounds = 0

    def accept(self, response: Response) -> bool:
        """Take a 401 or 407; whether the request is worth sending again with ``apply``."""
        if self._credentials is None or response.status not in _HEADERS or self._rounds >= MAX_ROUNDS:
            return False
        chosen: dict[tuple[int, str], Challenge] = {}
        for realm, challenges in _challenges(response).items():
            key = (response.status, realm)
            challenge = choose_challenge(challenges)
            if challenge is None or self._credentials.realm not in ("", realm) or self._is_weaker(key, challenge):
                continue
            if key in self._answered and not challenge.stale:
                return False
            chosen[key] = challenge
        if not chosen:
            return False
        self._rounds += 1
        for key, challenge in chosen.items():
            self._answered.add(key)
            self._answering.pop(key, None)
            self._answering[key] = _Answering(challenge)
        while len(self._answering) > MAX_CHALLENGES:
            del self._answering[next(iter(self._answering))]
        return True

    def _is_weaker(self, key: tuple[int, str], challenge: Challenge) -> bool:
        known = self._answering.get(key)
        return known is not None and challenge.is_weak and not known.challenge.is_weak

    def apply(self, request: Request) -> None:
        """Put the answers to all known challenges on a request."""
        if self._credentials is None:
            return
        answers: dict[str, list[str]] = {}
        for (status, _), answering in self._answering.items():
            answering.count += 1
            answering.uri = str(request.uri)
            if not (answering.challenge.is_session and answering.cnonce):
                answering.cnonce = self._entropy(CNONCE_OCTETS).hex()
            answer = authorization(
                answering.challenge,
                username=self._credentials.username,
                password=self._credentials.password,
                method=request.method,
                uri=answering.uri,
                body=request.body,
                nonce_count=answering.count,
                cnonce=answering.cnonce,
            )
            answers.setdefault(_HEADERS[status][1], []).append(answer)
        for name, values in answers.items():
            request.headers.set(name, values)

    def learn(self, response: Response) -> bool | None:
        """Take what a 2xx says about the next request (RFC 7616 §3.5).

        Returns whether the server proved that it knows the password; None when it did not try. After a wrong proof
        nothing of it is believed.
        """
        verdict: bool | None = None
        for status, (_, _, name) in _HEADERS.items():
            text = response.headers.get(name)
            answering = [known for (of, _), known in self._answering.items() if of == status]
            if text is None or len(answering) != 1:  # the header names no realm
                continue
            try:
                info = parse_authentication_info(text)
            except ParseError:
                continue
            if info.proof is not None:
                proven = self._is_proven(answering[0], info, response.body)
                verdict = proven and verdict is not False
                if not proven:
                    continue
            if info.next_nonce is not None and info.next_nonce != answering[0].challenge.nonce:
                answering[0].challenge = replace(answering[0].challenge, nonce=info.next_nonce)
                answering[0].count = 0
                answering[0].cnonce = ""
        return verdict

    def _is_proven(self, answering: _Answering, info: AuthenticationInfo, body: bytes) -> bool:
        assert self._credentials is not None  # or nothing would have been answered
        # RFC 7616 §3.5: cnonce and nc must be those of the request; who leaves them out means just these.
        if info.cnonce not in (None, answering.cnonce) or info.nonce_count not in (None, answering.count):
            return False
        info = replace(info, cnonce=answering.cnonce, nonce_count=answering.count)
        return info.proves(
            answering.challenge,
            username=self._credentials.username,
            password=self._credentials.password,
            uri=answering.uri,
            body=body,
        )


def _challenges(response: Response) -> dict[str, list[Challenge]]:
    """Return the challenges of each realm, in order."""
    found: dict[str, list[Challenge]] = {}
    for text in response.headers.lines(_HEADERS[response.status][0])[:MAX_CHALLENGES]:
        try:
            challenge = parse_challenge(text)
        except ParseError:
            continue  # another scheme, or broken: one of the others may do
        found.setdefault(challenge.realm, []).append(challenge)
    return found
