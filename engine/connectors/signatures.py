"""Signatures of what the engine posts, as SWML applications check them (`dialects.md` §3.1, D-26)."""

from __future__ import annotations

import hmac

__all__ = ("signature_headers",)


def signature_headers(key: str, url: str, body: bytes | bytearray) -> dict[str, str]:
    """Return both signature headers over ``url`` (without user and password) and the raw body.

    The body is hashed where it stands and copied nowhere.
    """
    headers = {}
    for name, digest in (("X-Signalwire-Signature", "sha1"), ("X-Signalwire-SHA256-Signature", "sha256")):
        mac = hmac.new(key.encode(), url.encode(), digest)
        mac.update(body)
        headers[name] = mac.hexdigest()
    return headers
