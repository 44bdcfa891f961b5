"""Who asks by the Voice API: ``Authorization: Bearer`` with a JSON Web Token (RFC 7519) that an application signed.

Laws:

- RS256 with the public key of the application that the token names, and nothing else: what the token's header says of
  algorithms and keys is not followed (RFC 8725 §3.1).
- ``application_id``, ``iat``, ``exp`` and ``jti`` must be there; ``nbf`` is heeded. Clocks may be ``clock_skew_s``
  apart; a token is good for ``max_token_life_s`` at most.
- ``aud``, where it is there, must name this API: ``voice``, a host of the vendor's API, or our own (RFC 7519 §4.1.3).
- ``acl``, where it is there, must let the path in: such tokens are given to others, for parts of the API.
- A token (``jti``) makes ``max_token_uses`` requests at most until it expires. Per application ``MAX_TOKENS`` are
  remembered; beyond that the one first seen is forgotten.
- A token of no known application costs as much work as a forged one of a known. Nothing of a token is logged or told.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
import math
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from engine.config import Config, NccoApp
from engine.errors import ConfigError
from engine.log import fields

__all__ = ("KeyFile", "TokenError", "Tokens", "acl_allows", "bearer_token", "has_voice")

log = logging.getLogger("engine.api.vonage")

ALGORITHM = "RS256"
MAX_TOKEN = 8192
"Characters."
MAX_ID = 256
"Characters of ``jti``."
MAX_TOKENS = 16_384
"Remembered for an application."
MIN_KEY_BITS = 2048
MAX_KEY_BITS = 8192
"A larger key would let each request cost too much."
MAX_KEY_FILE = 65_536
MAX_ACL_PATHS = 200
_PART = re.compile(r"[A-Za-z0-9_-]+")
_API_HOST = re.compile(r"api(-[a-z0-9-]+)?\.(nexmo|vonage)\.com")
_AUDIENCE = "voice"


class TokenError(Exception):
    """A token is no good. ``is_forged``: nobody who has the key made it. The text repeats nothing of it."""

    def __init__(self, reason: str, *, is_forged: bool = False) -> None:
        super().__init__(reason)
        self.is_forged = is_forged


def bearer_token(header: str) -> str:
    """Return the token of an Authorization header (RFC 6750 §2.1); empty when it holds none."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def has_voice(config: Config) -> bool:
    """Return whether any application may ask by the Voice API."""
    return any(isinstance(app, NccoApp) and app.public_key for app in config.apps.values())


class KeyFile:
    """The public key of an application, read again when its file changes.

    A changed file that cannot be used is reported once, and the last good key stays. Raise ``ConfigError`` when it is
    no good at the start; ``where`` is the configuration's key.
    """

    def __init__(self, path: str, where: str) -> None:
        self._path = Path(path)
        self._where = where
        self._seen = self._state()
        self._key = self._load()

    @property
    def key(self) -> RSAPublicKey:
        """The key as the file has it now."""
        state = self._state()
        if state != self._seen:
            self._seen = state
            try:
                self._key = self._load()
            except ConfigError as error:
                log.error("a changed public key cannot be used; the last good one stays", extra=fields(error=error))
            else:
                log.info("a public key was read again", extra=fields(where=self._where))
        return self._key

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _load(self) -> RSAPublicKey:
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_KEY_FILE)
        except OSError as error:
            raise self._no_good(error.strerror or "it cannot be read") from None
        if b"PRIVATE KEY-----" in text:
            raise self._no_good("it holds a private key, which belongs to the application alone")
        try:
            if b"BEGIN CERTIFICATE-----" in text:
                key: Any = load_pem_x509_certificate(text).public_key()
            else:
                key = load_pem_public_key(text)
        except Exception:  # cryptography has many words for a file that is none
            raise self._no_good("it holds no public key") from None
        if not isinstance(key, RSAPublicKey) or not MIN_KEY_BITS <= key.key_size <= MAX_KEY_BITS:
            raise self._no_good(f"its key is none of RSA with {MIN_KEY_BITS} to {MAX_KEY_BITS} bits")
        return key

    def _no_good(self, reason: str) -> ConfigError:
        return ConfigError(
            f"cannot use {self._path}: {reason}",
            where=self._where,
            remedy="name a PEM file with the application's public key, such as "
            "`openssl rsa -in private.key -pubout -out public.key` writes",
        )


@dataclass(slots=True)
class _Uses:
    """How often a token was seen."""

    until: float
    n: int = 0


class Tokens:
    """Knows the applications' keys, and which tokens were seen."""

    def __init__(self, config: Config) -> None:
        """Read the keys; raise ``ConfigError`` with the remedy for one that cannot be used."""
        self._settings = config.vonage
        self._own_host = _host_of(config.api.public_url)
        self._apps: dict[str, tuple[str, KeyFile]] = {}
        self._seen: dict[str, OrderedDict[bytes, _Uses]] = {}
        for name, app in config.apps.items():
            if not isinstance(app, NccoApp) or not app.public_key:
                continue
            self._apps[app.id_for(name)] = name, KeyFile(app.public_key, f"app.{name}.public_key")
            self._seen[name] = OrderedDict()

    def __bool__(self) -> bool:
        """Whether there is any application that may ask."""
        return bool(self._apps)

    @property
    def n_remembered(self) -> int:
        """How many tokens are remembered."""
        return sum(map(len, self._seen.values()))

    def check(self, token: str, path: str, method: str, now: float) -> str:
        """Return the name of the application whose token it is; raise `TokenError`.

        ``path`` and ``method`` are the request's, ``now`` is the time in seconds since 1970.
        """
        claims = self._claims(token)
        identity = claims.get("application_id")
        known = self._apps.get(identity) if isinstance(identity, str) else None
        if not self._apps:
            raise TokenError("The token is not valid", is_forged=True)
        name, file = known or next(iter(self._apps.values()))
        try:
            jwt.PyJWS(algorithms=[ALGORITHM]).decode_complete(token, file.key, algorithms=[ALGORITHM])
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise TokenError("The token is not valid", is_forged=True) from None
        if known is None:
            raise TokenError("The token is not valid", is_forged=True)
        until = self._check_times(claims, now)
        if not self._is_for_us(claims.get("aud")):
            raise TokenError("The token is for somebody else (aud)")
        if "acl" in claims and not acl_allows(claims["acl"], path, method):
            raise TokenError("The token does not let this path in (acl)")
        self._count(name, claims.get("jti"), until, now)
        return name

    def _claims(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token, whoever made it."""
        parts = token.split(".", 3)
        if len(token) > MAX_TOKEN or len(parts) != 3 or not all(map(_PART.fullmatch, parts)):
            raise TokenError("The token is not valid", is_forged=True)
        header, claims = _object(parts[0]), _object(parts[1])
        if header.get("alg") != ALGORITHM or "crit" in header or "b64" in header:
            raise TokenError(f"The token is not valid: it must be signed by {ALGORITHM}", is_forged=True)
        return claims

    def _check_times(self, claims: Mapping[str, Any], now: float) -> float:
        """Return until when a token is good; raise for one that is not good now."""
        skew_s = self._settings.clock_skew_s
        issued, until = _time(claims, "iat"), _time(claims, "exp")
        if "nbf" in claims and _time(claims, "nbf") > now + skew_s:
            raise TokenError("The token is not good yet (nbf)")
        if issued > now + skew_s:
            raise TokenError("The token is of the future (iat): set the clock")
        if until <= now - skew_s:
            raise TokenError("The token is expired (exp)")
        if not issued < until <= issued + self._settings.max_token_life_s:
            raise TokenError(f"The token is good for more than {self._settings.max_token_life_s:g} seconds (iat, exp)")
        return until + skew_s

    def _is_for_us(self, audience: object) -> bool:
        if audience is None:
            return True
        names = audience if isinstance(audience, list) else [audience]
        return any(isinstance(name, str) and self._is_ours(name) for name in names)

    def _is_ours(self, name: str) -> bool:
        if name == _AUDIENCE:
            return True
        host = _host_of(name) if "://" in name else name.lower()
        return bool(host) and (host == self._own_host or _API_HOST.fullmatch(host) is not None)

    def _count(self, name: str, token_id: object, until: float, now: float) -> None:
        if not isinstance(token_id, str) or not 0 < len(token_id) <= MAX_ID:
            raise TokenError(f"The token needs a jti of at most {MAX_ID} characters")
        seen = self._seen[name]
        key = hashlib.sha256(token_id.encode("utf-8", "surrogatepass")).digest()[:16]
        uses = seen.get(key)
        if uses is None:
            while seen and (len(seen) >= MAX_TOKENS or next(iter(seen.values())).until <= now):
                seen.popitem(last=False)
            uses = seen[key] = _Uses(until)
        if uses.n >= self._settings.max_token_uses:
            raise TokenError("The token was used too often (jti): make a new one")
        uses.n += 1
        uses.until = max(uses.until, until)


def acl_allows(acl: object, path: str, method: str) -> bool:
    """Return whether the ``acl`` of a token lets a request in: ``{"paths": {"/*/calls/**": {...}}}``.

    ``*`` is one segment of a path, ``**`` at the end any number of them. ``methods`` of a path narrow it; one with
    ``filters``, which nobody reads here, lets nothing in.
    """
    paths = acl.get("paths") if isinstance(acl, dict) else None
    if not isinstance(paths, dict) or len(paths) > MAX_ACL_PATHS:
        return False
    segments = path.split("/")
    for pattern, rule in paths.items():
        if not isinstance(rule, dict) or rule.get("filters") or not _matches(pattern.split("/"), segments):
            continue
        methods = rule.get("methods")
        if methods is None or (isinstance(methods, list) and method in methods):
            return True
    return False


def _matches(pattern: list[str], segments: list[str]) -> bool:
    if pattern[-1] == "**":
        pattern = pattern[:-1]
        segments = segments[: len(pattern)]
    return len(pattern) == len(segments) and all(
        wanted in ("*", found) for wanted, found in zip(pattern, segments, strict=True)
    )


def _object(part: str) -> dict[str, Any]:
    """Return the JSON object that a part of a token is."""
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        value = None
    if not isinstance(value, dict):
        raise TokenError("The token is not valid", is_forged=True)
    return value


def _time(claims: Mapping[str, Any], name: str) -> float:
    """Return a claim that is a time (RFC 7519 §2, NumericDate)."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12 or math.isnan(value):
        raise TokenError(f"The token needs {name}, in seconds since 1970")
    return float(value)


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
