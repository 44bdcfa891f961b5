"""Who asks: HTTP Basic with the account's SID and token, or with an API key and its secret.

Laws:

- A comparison takes as long for a user that does not exist as for one that does, and as long for a secret that is
  wrong in its first character as in its last: digests of equal length, ``hmac.compare_digest``.
- Wrong credentials are counted by source. One that has used up its failures is not even looked at until some have
  come back (429), and cannot guess on. A loopback source is never shut out, because a proxy there speaks for everyone;
  it is the proxy's to limit its own clients. Right credentials clear the source.
- Memory is bounded: the source not heard of for longest goes first.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Mapping

from engine.access.bans import source_key
from engine.api.errors import ApiError
from engine.api.limits import TokenBucket
from engine.config import SignalWireConfig, TwilioConfig, secret_from_environment

__all__ = ("Authenticator", "SourceFailures", "basic_credentials", "secrets_of")

FAILURES = 20
"Wrong credentials that a source may send at once."
FAILURES_PER_S = 1 / 6
"How fast they come back: one each six seconds."
MAX_SOURCES = 4096
REALM = "Twilio API"
"What clients of the vendor see; some choose their password by it."
MAX_HEADER = 1024
"Characters of an Authorization header that are looked at."


def secrets_of(twilio: TwilioConfig, signalwire: SignalWireConfig) -> dict[str, str]:
    """Return user names and their secrets, read from the environment; raise ``ConfigError`` when one is not set.

    Users are the account and its keys, and the project, whose secret is the token of its RELAY clients.
    """
    users: dict[str, str] = {}
    if signalwire.token_env:
        users[signalwire.project] = secret_from_environment(signalwire.token_env, "signalwire.token_env")
    if twilio.account_sid:
        users[twilio.account_sid] = secret_from_environment(twilio.auth_token_env, "twilio.auth_token_env")
        for index, key in enumerate(twilio.api_keys):
            users[key.sid] = secret_from_environment(key.secret_env, f"twilio.api_key[{index}].secret_env")
    return users


def basic_credentials(header: str) -> tuple[str, str] | None:
    """Return user and password of an Authorization header (RFC 7617); None when it holds none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(header) > MAX_HEADER:
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    user, colon, password = text.partition(":")
    return (user, password) if colon else None


class SourceFailures:
    """Wrong credentials, counted by source: an IP address as text, of which an IPv6 network counts as one.

    ``now`` are monotonic seconds.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def is_shut_out(self, source: str, now: float) -> bool:
        """Return whether a source has used up its failures."""
        failures = self._failures.get(_source(source))
        return failures is not None and failures.is_empty(now)

    def check(self, source: str, now: float) -> None:
        """Raise ``ApiError`` (429, 20429) for a source that has used up its failures."""
        failures = self._failures.get(_source(source))
        if failures is not None and failures.is_empty(now):
            wait_s = failures.wait_s(now)
            raise ApiError(
                429,
                20429,
                "Too many requests with wrong credentials came from your address; correct them and wait",
                headers={"Retry-After": str(wait_s)},
            )

    def hold_against(self, source: str, now: float) -> None:
        """Count one more."""
        if not (key := _source(source)):
            return
        bucket = self._failures.get(key)
        if bucket is None:
            while len(self._failures) >= MAX_SOURCES:
                self._failures.popitem(last=False)
            bucket = self._failures[key] = TokenBucket(FAILURES_PER_S, FAILURES, now)
        self._failures.move_to_end(key)
        bucket.take(now)

    def clear(self, source: str) -> None:
        """Forget what is held against a source: it showed right credentials."""
        self._failures.pop(_source(source), None)


class Authenticator:
    """Knows the users and what was held against sources; ``users`` are names and secrets."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = {name: _digest(secret) for name, secret in users.items()}
        self._nobody = secrets.token_bytes(32)
        self._failures = SourceFailures()

    def authenticate(self, header: str, source: str, now: float) -> str:
        """Return the user's name.

        ``header`` is Authorization's value, ``source`` the peer's IP address, ``now`` monotonic seconds. Raise
        ``ApiError``: 401 (20003) for none and for wrong credentials, 429 (20429) for a source that guesses.
        """
        self._failures.check(source, now)
        credentials = basic_credentials(header)
        user, password = credentials or ("", "")
        wanted = self._users.get(user)
        is_right = hmac.compare_digest(_digest(password), wanted or self._nobody)
        if wanted is not None and is_right:
            self._failures.clear(source)
            return user
        if credentials is not None:  # none at all is how clients ask for the challenge
            self._failures.hold_against(source, now)
        raise ApiError(
            401,
            20003,
            "Authentication Error - invalid username or password",
            headers={"WWW-Authenticate": f'Basic realm="{REALM}"'},
        )

    @property
    def n_sources(self) -> int:
        """How many sources something is held against."""
        return len(self._failures)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8")).digest()


def _source(text: str) -> str:
    """Return under what a source is watched; empty: not at all."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return "" if address.is_loopback else source_key(address)
