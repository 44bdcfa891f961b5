"""Vonage's signed webhooks: JSON Web Signature (RFC 7515) with HMAC-SHA256, and its claims (`dialects.md` §6.2)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

from engine.net.signatures import SignatureKind, jws_hs256, sign

SECRET = "not-a-secret"
NOW = datetime(2030, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC)


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_appendix_a_1() -> None:
    """A.1.1: header, payload with their CR LF, and the key that A.1.1 gives as a JWK."""
    header = b'{"typ":"JWT",\r\n "alg":"HS256"}'
    payload = b'{"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true}'
    key = _decoded("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
    assert jws_hs256(header, payload, key) == (
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    )


def _token(body: bytes, **more: Any) -> tuple[str, dict[str, Any]]:
    settings: dict[str, Any] = {
        "method": "POST",
        "url": "https://a.example/x",
        "content_type": "application/json",
        "now": NOW,
        "token_id": "0a1b",
        "claims": {"api_key": "abcd1234", "application_id": "aaaa-bbbb"},
    }
    request = sign(SignatureKind.VONAGE, SECRET, body=body, **(settings | more))
    assert request.url == "https://a.example/x"
    scheme, _, token = request.headers["Authorization"].partition(" ")
    assert scheme == "Bearer"
    return token, json.loads(_decoded(token.split(".")[1]))


def test_claims_of_a_webhook() -> None:
    body = '{"status":"ünterbrochen"}'.encode()
    assert _token(body)[1] == {
        "iat": 1893553445,
        "jti": "0a1b",
        "iss": "Vonage",
        "payload_hash": hashlib.sha256(body).hexdigest(),
        "api_key": "abcd1234",
        "application_id": "aaaa-bbbb",
    }


def test_claims_of_the_application_cannot_replace_ours() -> None:
    assert _token(b"", claims={"iss": "mallory", "iat": "0", "payload_hash": ""})[1]["iss"] == "Vonage"


def test_header_names_the_algorithm_and_the_signature_can_be_checked() -> None:
    token, _ = _token(b"{}")
    header, payload, signature = token.split(".")
    assert json.loads(_decoded(header)) == {"alg": "HS256", "typ": "JWT"}
    expected = hmac.new(SECRET.encode(), f"{header}.{payload}".encode(), hashlib.sha256).digest()
    assert _decoded(signature) == expected
    assert "=" not in token
