"""Signatures of what the engine sends, as each dialect's applications check them.

===========  ======================================================================  ========================
kind         what is sent                                                            `dialects.md`
===========  ======================================================================  ========================
signalwire   two headers: hex HMAC-SHA1 and HMAC-SHA256 of URL + raw body            §3.1, D-26
twilio       one header: base64 HMAC-SHA1 of the URL + form parameters by name;      §4.5
             of any other body the URL carries ``bodySHA256`` and is signed alone
vonage       ``Authorization: Bearer`` with a JWT (HS256, RFC 7515, RFC 7519)        §6.2
             that holds the hex SHA-256 of the body
===========  ======================================================================  ========================

Laws: the URL that is signed is the one that is requested, query included, user, password and fragment not; a key is
an argument and never kept; time and the name of a token are arguments too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import parse_qsl

__all__ = ("FORM", "SignatureKind", "SignedRequest", "jws_hs256", "sign", "signalwire_headers", "twilio_signature")

FORM = "application/x-www-form-urlencoded"
MAX_PARAMETERS = 1000
"Form parameters that are signed; ours have some forty."


class SignatureKind(StrEnum):
    """How a request is signed."""

    NONE = "none"
    SIGNALWIRE = "signalwire"
    TWILIO = "twilio"
    VONAGE = "vonage"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """A request as it goes out."""

    method: str
    url: str
    "The URL that was asked for; of a Twilio request with a JSON body one parameter longer."
    headers: dict[str, str]
    "Those that the signature adds."


def sign(
    kind: SignatureKind,
    key: str,
    *,
    method: str,
    url: str,
    content_type: str,
    body: bytes | bytearray,
    now: datetime,
    token_id: str,
    claims: Mapping[str, str],
) -> SignedRequest:
    """Sign a request to ``url`` (without user and password) with ``key``.

    ``now`` and ``token_id`` are a JWT's time and name, ``claims`` what stands in it besides: ``api_key`` and
    ``application_id``. The other kinds use none of the three.
    """
    headers: dict[str, str] = {}
    if kind is SignatureKind.SIGNALWIRE:
        headers = signalwire_headers(key, url, body)
    elif kind is SignatureKind.TWILIO:
        parameters: list[tuple[str, str]] = []
        if body and content_type.partition(";")[0].strip().lower() == FORM:
            parameters = parse_qsl(bytes(body).decode(), keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
        elif body:
            url += f"{'&' if '?' in url else '?'}bodySHA256={hashlib.sha256(body).hexdigest()}"
        headers = {"X-Twilio-Signature": twilio_signature(key, url, parameters)}
    elif kind is SignatureKind.VONAGE:
        content = {**claims, "iat": int(now.timestamp()), "jti": token_id, "iss": "Vonage"}
        content["payload_hash"] = hashlib.sha256(body).hexdigest()
        token = jws_hs256(_compact({"alg": "HS256", "typ": "JWT"}), _compact(content), key.encode())
        headers = {"Authorization": f"Bearer {token}"}
    return SignedRequest(method=method, url=url, headers=headers)


def signalwire_headers(key: str, url: str, body: bytes | bytearray) -> dict[str, str]:
    """Return both of SignalWire's headers over ``url`` and the raw body, which is hashed where it stands.

    The body is copied nowhere: it may hold what is wiped afterwards.
    """
    headers = {}
    for name, digest in (("X-Signalwire-Signature", "sha1"), ("X-Signalwire-SHA256-Signature", "sha256")):
        mac = hmac.new(key.encode(), url.encode(), digest)
        mac.update(body)
        headers[name] = mac.hexdigest()
    return headers


def twilio_signature(key: str, url: str, parameters: list[tuple[str, str]]) -> str:
    """Return Twilio's signature of a request; of a name that comes more than once each different value counts once."""
    text = url + "".join(name + value for name, value in sorted(set(parameters)))
    return base64.b64encode(hmac.digest(key.encode(), text.encode(), "sha1")).decode()


def jws_hs256(header: bytes, payload: bytes, key: bytes) -> str:
    """Return a JSON Web Signature in its compact form (RFC 7515 §3.1), HMAC-SHA256 (RFC 7518 §3.2)."""
    text = _base64url(header) + b"." + _base64url(payload)
    return (text + b"." + _base64url(hmac.digest(key, text, "sha256"))).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")  # RFC 7515 §2: without padding


def _compact(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()
