"""Digest authentication (RFC 7616, RFC 8760 for SIP, RFC 2617 where the other side is older), both sides of it.

The client side answers a challenge; the server side checks an answer. Nonces and client nonces are the caller's: a
core draws no entropy. ``userhash`` is not used (RFC 8760 leaves it to the client).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from sip.errors import LocalProtocolError, ParseError

__all__ = (
    "AuthenticationInfo",
    "Challenge",
    "DigestAnswer",
    "authorization",
    "choose_challenge",
    "hash_algorithm",
    "parse_authentication_info",
    "parse_authorization",
    "parse_challenge",
    "verify",
)

# Best first. RFC 8760 §2.4 leaves the choice to the client among those it knows.
_HASHES = {"SHA-256": "sha256", "SHA-512-256": "sha512_256", "MD5": "md5"}
_PREFERENCE = tuple(_HASHES)

# auth-param = token BWS "=" BWS ( token / quoted-string ). What follows the scheme is a list of them.
_PARAM = re.compile(
    r"[ \t,]*+([A-Za-z0-9\-.!%*_+`'~]++)[ \t]*+=[ \t]*+(?:\"((?:[^\"\\]|\\.)*+)\"|([^ \t,\"]++))[ \t]*+(?=,|$)",
    re.DOTALL,
)
_REST = re.compile(r"[ \t,]*+")
_SCHEME = re.compile(r"[ \t]*+Digest[ \t]++", re.IGNORECASE)
_NONCE_COUNT = re.compile(r"[0-9A-Fa-f]{8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A WWW-Authenticate or Proxy-Authenticate value."""

    realm: str
    nonce: str
    opaque: str | None = None
    algorithm: str | None = None
    "As the server wrote it; None means MD5 (RFC 2617 §3.2.1)."
    qop: tuple[str, ...] = ()
    "Empty: the server speaks RFC 2069."
    stale: bool = False
    "The nonce was too old, the password is right: answer again with the new nonce (RFC 7616 §3.3)."

    @property
    def is_usable(self) -> bool:
        """Whether we know the algorithm and one of the qualities of protection."""
        return _hash_of(self.algorithm) is not None and (not self.qop or _choose_qop(self.qop) is not None)

    @property
    def is_session(self) -> bool:
        """Whether the password's digest is bound to the first nonce and client nonce (RFC 7616 §3.4.2)."""
        return _is_session(self.algorithm)

    @property
    def is_weak(self) -> bool:
        """Whether it rests on MD5 (RFC 8760 §1)."""
        return _base(self.algorithm) == "MD5"

    def __str__(self) -> str:
        parts = [f"realm={_quoted(self.realm)}", f"nonce={_quoted(self.nonce)}"]
        if self.opaque is not None:
            parts.append(f"opaque={_quoted(self.opaque)}")
        if self.stale:
            parts.append("stale=true")
        if self.algorithm is not None:
            parts.append(f"algorithm={self.algorithm}")
        if self.qop:
            parts.append(f'qop="{",".join(self.qop)}"')
        return "Digest " + ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestAnswer:
    """An Authorization or Proxy-Authorization value. ``repr`` leaves out what a password could be guessed from."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str = field(repr=False)
    opaque: str | None = None
    algorithm: str | None = None
    qop: str | None = None
    nonce_count: int | None = None
    cnonce: str | None = field(default=None, repr=False)


def hash_algorithm(algorithm: str) -> str | None:
    """Return the hash that an algorithm rests on (``SHA-256`` of ``sha-256-sess``), None when we do not know it."""
    base = _base(algorithm)
    return base if base in _HASHES else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationInfo:
    """An Authentication-Info or Proxy-Authentication-Info value (RFC 7616 §3.5)."""

    next_nonce: str | None = None
    "To be used for the next request."
    proof: str | None = field(default=None, repr=False)
    "``rspauth``: the server knows the password too."
    qop: str | None = None
    nonce_count: int | None = None
    cnonce: str | None = field(default=None, repr=False)

    def proves(self, challenge: Challenge, *, username: str, password: str, uri: str, body: bytes) -> bool:
        """Whether the proof is right for the request with this Request-URI; ``body`` is that of the response."""
        if self.qop not in (None, "auth", "auth-int") or not challenge.is_usable:
            return False
        expected = _response(
            challenge.algorithm,
            _ha1(challenge.algorithm, username, challenge.realm, password),
            challenge.nonce,
            cnonce=self.cnonce or "",
            count=f"{self.nonce_count or 0:08x}",
            qop=self.qop,
            method="",  # RFC 7616 §3.5: A2 is ":" and the URI
            uri=uri,
            body=body,
        )
        return hmac.compare_digest(expected.encode(), (self.proof or "").lower().encode("utf-8", "surrogateescape"))


def parse_challenge(text: str) -> Challenge:
    """Parse one challenge; raises ParseError for another scheme, a missing realm or nonce, or broken syntax."""
    params = _parse_params(text, "challenge")
    if "realm" not in params or "nonce" not in params:
        raise ParseError("realm or nonce missing", where="challenge", section="RFC 7616 §3.3")
    qop = tuple(token.strip().lower() for token in params.get("qop", "").split(",") if token.strip())
    return Challenge(
        realm=params["realm"],
        nonce=params["nonce"],
        opaque=params.get("opaque"),
        algorithm=params.get("algorithm") or None,  # some write it empty
        qop=qop,
        stale=params.get("stale", "").lower() == "true",
    )


def choose_challenge(challenges: Iterable[Challenge]) -> Challenge | None:
    """Choose the one to answer: SHA-256, then SHA-512-256, then MD5; None when no algorithm is known.

    Of two with the same algorithm the first is taken (RFC 8760 §2.4: the server lists them by preference).
    """
    usable = [challenge for challenge in challenges if challenge.is_usable]
    return min(usable, key=lambda challenge: _PREFERENCE.index(_base(challenge.algorithm)), default=None)


def authorization(
    challenge: Challenge,
    *,
    username: str,
    password: str,
    method: str,
    uri: str,
    body: bytes = b"",
    nonce_count: int = 1,
    cnonce: str,
) -> str:
    """Answer a challenge: the value of Authorization or Proxy-Authorization.

    ``uri`` is the Request-URI as it is sent. ``nonce_count`` is 1 for the first use of a nonce and one more for each
    further request under it; ``cnonce`` must be unpredictable. ``auth`` is preferred to ``auth-int``: B2BUAs change
    bodies. Raises LocalProtocolError for a challenge that is not usable.
    """
    if not challenge.is_usable or not 1 <= nonce_count <= 0xFFFFFFFF:
        raise LocalProtocolError("challenge cannot be answered")
    qop = _choose_qop(challenge.qop)
    count = f"{nonce_count:08x}"
    ha1 = _ha1(challenge.algorithm, username, challenge.realm, password)
    response = _response(
        challenge.algorithm,
        ha1,
        challenge.nonce,
        cnonce=cnonce,
        count=count,
        qop=qop,
        method=method,
        uri=uri,
        body=body,
    )
    parts = [
        f"username={_quoted(username)}",
        f"realm={_quoted(challenge.realm)}",
        f"nonce={_quoted(challenge.nonce)}",
        f"uri={_quoted(uri)}",
        f'response="{response}"',
    ]
    if challenge.algorithm is not None:
        parts.append(f"algorithm={challenge.algorithm}")
    if challenge.opaque is not None:
        parts.append(f"opaque={_quoted(challenge.opaque)}")
    if qop is not None:
        parts += [f"qop={qop}", f"nc={count}"]
    if qop is not None or _is_session(challenge.algorithm):
        parts.append(f"cnonce={_quoted(cnonce)}")
    return "Digest " + ", ".join(parts)


def parse_authorization(text: str) -> DigestAnswer:
    """Parse an Authorization or Proxy-Authorization value; raises ParseError."""
    params = _parse_params(text, "authorization")
    missing = [name for name in ("username", "realm", "nonce", "uri", "response") if name not in params]
    if missing:
        raise ParseError("parameter missing", where="authorization", section="RFC 7616 §3.4")
    count = params.get("nc")
    if count is not None and _NONCE_COUNT.fullmatch(count) is None:
        raise ParseError("nc is not eight hexadecimal digits", where="authorization", section="RFC 7616 §3.4")
    return DigestAnswer(
        username=params["username"],
        realm=params["realm"],
        nonce=params["nonce"],
        uri=params["uri"],
        response=params["response"],
        opaque=params.get("opaque"),
        algorithm=params.get("algorithm") or None,  # some write it empty
        qop=params["qop"].lower() if "qop" in params else None,
        nonce_count=None if count is None else int(count, 16),
        cnonce=params.get("cnonce"),
    )


def parse_authentication_info(text: str) -> AuthenticationInfo:
    """Parse an Authentication-Info or Proxy-Authentication-Info value, which names no scheme; raises ParseError."""
    params = _parse_pairs(text, 0, "authentication-info")
    count = params.get("nc")
    if count is not None and _NONCE_COUNT.fullmatch(count) is None:
        raise ParseError("nc is not eight hexadecimal digits", where="authentication-info", section="RFC 7616 §3.5")
    return AuthenticationInfo(
        next_nonce=params.get("nextnonce") or None,
        proof=params.get("rspauth"),
        qop=params["qop"].lower() if "qop" in params else None,
        nonce_count=None if count is None else int(count, 16),
        cnonce=params.get("cnonce"),
    )


def verify(
    text: str,
    *,
    method: str,
    password: str | None = None,
    ha1: str | None = None,
    body: bytes = b"",
    challenge: Challenge | None = None,
    uri: str | None = None,
) -> bool:
    """Check an Authorization value against a password, or against H(username:realm:password) as hexadecimal text.

    With ``challenge`` the answer must be to that one (realm, nonce, opaque, algorithm, qop); with ``uri`` it must be
    for that Request-URI. Whether the nonce is fresh and its count has risen is the caller's to know. Never raises for
    what the peer sent.
    """
    if (password is None) == (ha1 is None):
        raise LocalProtocolError("one of password and ha1 is needed")
    try:
        answer = parse_authorization(text)
    except ParseError:
        return False
    if not _is_consistent(answer) or (challenge is not None and not _answers(answer, challenge)):
        return False
    if uri is not None and answer.uri != uri:
        return False
    if password is not None:
        ha1 = _ha1(answer.algorithm, answer.username, answer.realm, password)
    assert ha1 is not None
    expected = _response(
        answer.algorithm,
        ha1.lower(),
        answer.nonce,
        cnonce=answer.cnonce or "",
        count=f"{answer.nonce_count or 0:08x}",
        qop=answer.qop,
        method=method,
        uri=answer.uri,
        body=body,
    )
    return hmac.compare_digest(expected.encode(), answer.response.lower().encode("utf-8", "surrogateescape"))


def _is_consistent(answer: DigestAnswer) -> bool:
    if _hash_of(answer.algorithm) is None or answer.qop not in (None, "auth", "auth-int"):
        return False
    if answer.qop is not None and (answer.cnonce is None or answer.nonce_count is None):
        return False
    return answer.cnonce is not None or not _is_session(answer.algorithm)


def _answers(answer: DigestAnswer, challenge: Challenge) -> bool:
    return (
        answer.realm == challenge.realm
        and hmac.compare_digest(
            answer.nonce.encode("utf-8", "surrogateescape"), challenge.nonce.encode("utf-8", "surrogateescape")
        )
        and (challenge.opaque is None or answer.opaque == challenge.opaque)
        and (answer.algorithm or "MD5").upper() == (challenge.algorithm or "MD5").upper()
        # RFC 7616 §3.4: with qop offered it must be answered, or an attacker could drop it on the way.
        and (answer.qop in challenge.qop if challenge.qop else answer.qop is None)
    )


def _parse_params(text: str, where: str) -> dict[str, str]:
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise ParseError("not the Digest scheme", where=where, section="RFC 7616 §3")
    return _parse_pairs(text, scheme.end(), where)


def _parse_pairs(text: str, position: int, where: str) -> dict[str, str]:
    params: dict[str, str] = {}
    while match := _PARAM.match(text, position):
        name, quoted, token = match.groups()
        value = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        if name.lower() in params:
            raise ParseError("parameter twice", where=where, section="RFC 7616 §3.4")
        params[name.lower()] = value
        position = match.end()
    if _REST.fullmatch(text, position) is None:
        raise ParseError("malformed parameter", where=where, section="RFC 7616 §3.3")
    return params


def _base(algorithm: str | None) -> str:
    return (algorithm or "MD5").upper().removesuffix("-SESS")


def _is_session(algorithm: str | None) -> bool:
    return (algorithm or "").upper().endswith("-SESS")


def _hash_of(algorithm: str | None) -> str | None:
    return _HASHES.get(_base(algorithm))


def _choose_qop(offered: tuple[str, ...]) -> str | None:
    return next((qop for qop in ("auth", "auth-int") if qop in offered), None)


def _digest(algorithm: str | None, data: bytes) -> str:
    name = _hash_of(algorithm)
    assert name is not None  # callers asked is_usable or _is_consistent
    return hashlib.new(name, data, usedforsecurity=False).hexdigest()


def _ha1(algorithm: str | None, username: str, realm: str, password: str) -> str:
    return _digest(algorithm, f"{username}:{realm}:{password}".encode("utf-8", "surrogateescape"))


def _response(
    algorithm: str | None,
    ha1: str,
    nonce: str,
    *,
    cnonce: str,
    count: str,
    qop: str | None,
    method: str,
    uri: str,
    body: bytes,
) -> str:
    def digest(text: str) -> str:
        return _digest(algorithm, text.encode("utf-8", "surrogateescape"))

    if _is_session(algorithm):  # RFC 7616 §3.4.2
        ha1 = digest(f"{ha1}:{nonce}:{cnonce}")
    a2 = f"{method}:{uri}"
    if qop == "auth-int":  # §3.4.3
        a2 += f":{_digest(algorithm, body)}"
    if qop is None:  # RFC 2617 §3.2.2.1, for RFC 2069
        return digest(f"{ha1}:{nonce}:{digest(a2)}")
    return digest(f"{ha1}:{nonce}:{count}:{cnonce}:{qop}:{digest(a2)}")


def _quoted(text: str) -> str:
    if "\r" in text or "\n" in text:
        raise LocalProtocolError("line end in a quoted parameter")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
