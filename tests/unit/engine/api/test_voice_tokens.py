"""Tokens of the Voice API: whose they are, and every one that is refused."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from engine.api.vonage import tokens as module
from engine.api.vonage.tokens import TokenError, Tokens, acl_allows, bearer_token, has_voice
from engine.config import parse
from engine.errors import ConfigError
from tests.support.voice import (
    BANK,
    BANK_ID,
    SHOP,
    SHOP_ID,
    claims_of,
    private_key,
    private_pem,
    public_pem,
    token_of,
    voice_config,
)

NOW = 1_800_000_000.0
PATH = "/v1/calls"


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(voice_config(tmp_path, vonage="clock_skew_s = 30\nmax_token_life_s = 3600\nmax_token_uses = 3"))


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def raw(header: object, claims: object, signature: bytes = b"x" * 256) -> str:
    """Return a token whatever is in it."""
    return f"{part(header)}.{part(claims)}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def refused(tokens: Tokens, token: str, *, now: float = NOW, path: str = PATH, method: str = "POST") -> TokenError:
    with pytest.raises(TokenError) as caught:
        tokens.check(token, path, method, now)
    assert len(token) < 12 or token not in str(caught.value)
    assert SHOP_ID not in str(caught.value)
    return caught.value


def test_the_signature_says_which_application_it_is(tokens: Tokens) -> None:
    assert tokens.check(token_of(now=NOW), PATH, "POST", NOW) == SHOP
    assert tokens.check(token_of(BANK, BANK_ID, now=NOW), PATH, "GET", NOW) == BANK


def test_a_token_that_another_application_signed_is_forged(tokens: Tokens) -> None:
    assert refused(tokens, token_of(BANK, SHOP_ID, now=NOW)).is_forged
    assert refused(tokens, token_of("stranger", SHOP_ID, now=NOW)).is_forged


def test_an_application_that_is_not_known_is_told_nothing_else(tokens: Tokens) -> None:
    unknown = refused(tokens, token_of(SHOP, "11111111-2222-3333-4444-555555555555", now=NOW))
    forged = refused(tokens, token_of("stranger", SHOP_ID, now=NOW))
    assert unknown.is_forged
    assert str(unknown) == str(forged)
    for odd in (7, ["x"], {"a": 1}, ""):
        assert refused(tokens, raw({"alg": "RS256"}, claims_of(now=NOW) | {"application_id": odd})).is_forged


def test_no_other_algorithm_is_followed(tokens: Tokens) -> None:
    claims = claims_of(now=NOW)
    assert refused(tokens, jwt.encode(claims, "", algorithm="none")).is_forged
    assert refused(tokens, raw({"alg": "none"}, claims)).is_forged
    assert refused(tokens, raw({"alg": "None"}, claims)).is_forged
    # The public key taken for a password: PyJWT does not sign so, an attacker does.
    import hashlib
    import hmac

    head = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
    mac = hmac.new(public_pem(), head.encode(), hashlib.sha256).digest()
    assert refused(tokens, f"{head}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}").is_forged
    head = f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{part(claims)}"
    assert refused(tokens, f"{head}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}").is_forged
    assert refused(tokens, jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256")).is_forged
    assert refused(tokens, jwt.encode(claims, private_key(), algorithm="RS512")).is_forged
    assert refused(tokens, jwt.encode(claims, private_key(), algorithm="PS256")).is_forged


def test_keys_that_a_header_names_or_brings_are_not_followed(tokens: Tokens) -> None:
    numbers = private_key("stranger").public_key().public_numbers()

    def figure(number: int) -> str:
        return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).rstrip(b"=").decode()

    own = {"kty": "RSA", "n": figure(numbers.n), "e": figure(numbers.e)}
    headers = {"jwk": own, "jku": "https://evil.example/jwks", "kid": "../../dev/null"}
    forged = jwt.encode(claims_of(now=NOW), private_key("stranger"), algorithm="RS256", headers=headers)
    assert refused(tokens, forged).is_forged
    for extension in ({"crit": ["exp"]}, {"b64": False}):
        token = jwt.encode(claims_of(now=NOW), private_key(), algorithm="RS256", headers=extension)
        assert refused(tokens, token).is_forged


@pytest.mark.parametrize("name", ["application_id", "iat", "exp", "jti"])
def test_claims_that_are_missing(tokens: Tokens, name: str) -> None:
    refused(tokens, token_of(now=NOW, **{name: None}) if name != "application_id" else token_of(SHOP, None, now=NOW))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"iat": NOW - 1000, "exp": NOW - 31}, "expired"),
        ({"iat": NOW - 1000, "exp": NOW - 30}, "expired"),
        ({"iat": NOW + 31, "exp": NOW + 900}, "future"),
        ({"nbf": NOW + 31}, "not good yet"),
        ({"nbf": "soon"}, "nbf"),
        ({"exp": NOW + 3601}, "3600 seconds"),
        ({"iat": NOW, "exp": NOW}, "3600 seconds"),
        ({"iat": str(int(NOW))}, "iat"),
        ({"iat": True}, "iat"),
        ({"exp": 1e300}, "exp"),
        ({"exp": float("nan")}, "exp"),
        ({"exp": float("inf")}, "exp"),
        ({"exp": [NOW]}, "exp"),
        ({"jti": ""}, "jti"),
        ({"jti": 7}, "jti"),
        ({"jti": "j" * 257}, "jti"),
        ({"aud": "https://example.com"}, "aud"),
        ({"aud": "messages"}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": {"voice": 1}}, "aud"),
        ({"aud": "https://api.nexmo.com.evil.example/"}, "aud"),
        ({"aud": "http://[::"}, "aud"),
        ({"acl": {"paths": {"/*/users/**": {}}}}, "acl"),
        ({"acl": {"paths": {}}}, "acl"),
        ({"acl": "all"}, "acl"),
    ],
)
def test_claims_that_are_no_good_are_the_application_s_own_fault(
    tokens: Tokens, claims: dict[str, Any], word: str
) -> None:
    payload = claims_of(now=NOW) | claims
    token = jwt.PyJWS(algorithms=["RS256"]).encode(json.dumps(payload).encode(), private_key(), algorithm="RS256")
    error = refused(tokens, token)
    assert word in str(error)
    assert not error.is_forged


@pytest.mark.parametrize(
    "claims",
    [
        {"iat": NOW - 3590, "exp": NOW + 10},
        {"iat": NOW - 900, "exp": NOW - 29},
        {"iat": NOW + 30, "exp": NOW + 900},
        {"nbf": NOW + 30},
        {"iat": NOW + 0.5, "exp": NOW + 900.5},
        {"aud": "voice"},
        {"aud": ["elsewhere", "https://api.nexmo.com/"]},
        {"aud": "api.nexmo.com"},
        {"aud": "https://api-eu.vonage.com/v1"},
        {"sub": "somebody"},
        {"acl": {"paths": {"/*/users/**": {}, "/*/calls/**": {}}}},
        {"acl": {"paths": {"/**": {}}}},
        {"acl": {"paths": {"/v1/calls": {"methods": ["POST"]}}}},
    ],
)
def test_tokens_within_the_limits(tokens: Tokens, claims: dict[str, Any]) -> None:
    assert tokens.check(token_of(now=NOW, **claims), PATH, "POST", NOW) == SHOP


def test_our_own_host_is_an_audience(tmp_path: Path) -> None:
    text = voice_config(tmp_path)
    assert not Tokens(text)._is_ours("pay.example.com")
    config = text.model_copy(update={"api": text.api.model_copy(update={"public_url": "https://pay.example.com/x"})})
    assert Tokens(config)._is_ours("https://pay.example.com")


def test_a_token_makes_a_few_requests_and_no_more(tokens: Tokens) -> None:
    token = token_of(now=NOW)
    for _ in range(3):
        tokens.check(token, PATH, "POST", NOW)
    assert "too often" in str(refused(tokens, token))
    assert "too often" in str(refused(tokens, token, now=NOW + 900))
    tokens.check(token_of(now=NOW), PATH, "POST", NOW)


def test_a_jti_is_counted_for_each_application_and_whatever_else_a_token_says(tokens: Tokens) -> None:
    for life in (100, 200, 300):
        tokens.check(token_of(now=NOW, jti="one", exp=NOW + life), PATH, "POST", NOW)
    refused(tokens, token_of(now=NOW, jti="one", exp=NOW + 400))
    assert tokens.check(token_of(BANK, BANK_ID, now=NOW, jti="one"), PATH, "POST", NOW) == BANK


def test_a_token_that_was_refused_is_not_counted(tokens: Tokens) -> None:
    for _ in range(5):
        refused(tokens, token_of("stranger", SHOP_ID, now=NOW, jti="one"))
    assert tokens.n_remembered == 0
    assert tokens.check(token_of(now=NOW, jti="one"), PATH, "POST", NOW) == SHOP


def test_memory_is_bounded_and_expired_tokens_are_forgotten(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TOKENS", 4)
    for number in range(6):
        tokens.check(token_of(now=NOW, jti=f"t{number}"), PATH, "POST", NOW)
    assert tokens.n_remembered == 4
    tokens.check(token_of(now=NOW + 5000), PATH, "POST", NOW + 5000)
    assert tokens.n_remembered == 1


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a.b",
        "a.b.c",
        "..",
        "a.b.c.d",
        "é.é.é",
        "a" * 9000,
        raw([], {}),
        raw({"alg": "RS256"}, []),
        raw({"alg": ["RS256"]}, {}),
        raw({"alg": "RS256", "kid": 7}, claims_of(now=NOW)),
        f"{part({'alg': 'RS256'})}.{base64.urlsafe_b64encode(b'[' * 4000).decode().rstrip('=')}.x",
        f"{part({'alg': 'RS256'})}.{base64.urlsafe_b64encode(b'1' * 5000).decode().rstrip('=')}.x",
    ],
)
def test_garbage(tokens: Tokens, token: str) -> None:
    assert refused(tokens, token).is_forged


def test_a_token_that_is_too_long_is_not_looked_at(tokens: Tokens) -> None:
    token = token_of(now=NOW, filler="x" * 7000)
    assert len(token) > 8192
    assert refused(tokens, token).is_forged


@given(st.text(max_size=300))
def test_any_text_is_refused_without_a_fault(text: str) -> None:
    tokens = _tokens()
    with pytest.raises(TokenError):
        tokens.check(text, PATH, "POST", NOW)
    with pytest.raises(TokenError):
        tokens.check(f"{part({'alg': 'RS256'})}.{part({'application_id': text})}.{part(text)}", PATH, "POST", NOW)


def _tokens() -> Tokens:
    global _MADE
    if _MADE is None:
        import tempfile

        with tempfile.TemporaryDirectory() as directory:
            _MADE = Tokens(voice_config(Path(directory)))
    return _MADE


_MADE: Tokens | None = None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["paths", "a", "/**"]), inner),
        max_leaves=8,
    )
)
def test_any_acl_is_judged(acl: object) -> None:
    assert acl_allows(acl, PATH, "POST") in (True, False)


def test_paths_of_an_acl() -> None:
    def allows(pattern: str, path: str, rule: object = None, method: str = "GET") -> bool:
        return acl_allows({"paths": {pattern: {} if rule is None else rule}}, path, method)

    assert allows("/*/calls/**", "/v1/calls")
    assert allows("/*/calls/**", "/v1/calls/x/talk")
    assert not allows("/*/calls/**", "/v1/callsx")
    assert not allows("/*/calls", "/v1/calls/x")
    assert allows("/v1/calls/*", "/v1/calls/x")
    assert not allows("/v1/calls/*", "/v1/calls/x/talk")
    assert allows("/v1/calls", "/v1/calls", {"methods": ["GET"]})
    assert not allows("/v1/calls", "/v1/calls", {"methods": ["PUT"]})
    assert not allows("/v1/calls", "/v1/calls", {"methods": "GET"})
    assert not allows("/v1/calls", "/v1/calls", {"filters": {"a": 1}})
    assert not allows("/v1/calls", "/v1/calls", "all")
    assert not acl_allows({"paths": {f"/{n}": {} for n in range(201)} | {"/**": {}}}, "/v1/calls", "GET")


def test_the_header() -> None:
    assert bearer_token("Bearer abc") == "abc"
    assert bearer_token("bearer  abc ") == "abc"
    assert bearer_token("Basic abc") == bearer_token("") == bearer_token("Bearer") == ""


# -- keys --------------------------------------------------------------------------------------------------------------


def config_with(path: Path) -> Any:
    return parse(
        '[connector.sandbox]\ntype = "sandbox"\n[app.shop]\ndialect = "ncco"\nncco = "[]"\n'
        f'public_key = "{path}"\napplication_id = "{SHOP_ID}"\n'
    )


@pytest.mark.parametrize("what", ["missing", "garbage", "private", "short", "elliptic", "directory"])
def test_key_files_that_cannot_be_used_are_refused_at_the_start(tmp_path: Path, what: str) -> None:
    path = tmp_path / "key.pem"
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    contents = {
        "garbage": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "private": private_pem().encode(),
        "short": public_pem(SHOP, 1024),
        "elliptic": elliptic.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    }
    if what == "directory":
        path.mkdir()
    elif what != "missing":
        path.write_bytes(contents[what])
    with pytest.raises(ConfigError) as caught:
        Tokens(config_with(path))
    assert caught.value.where == "app.shop.public_key"
    assert "openssl" in caught.value.remedy
    assert str(path) in str(caught.value)


def test_an_application_without_a_key_asks_for_nothing(tmp_path: Path) -> None:
    config = parse('[connector.sandbox]\ntype = "sandbox"\n[app.shop]\ndialect = "ncco"\nncco = "[]"\n')
    assert not has_voice(config)
    tokens = Tokens(config)
    assert not tokens
    assert refused(tokens, token_of(now=NOW)).is_forged


def test_a_changed_key_holds_from_then_on_and_one_that_is_no_good_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(public_pem("stranger"))
    tokens = Tokens(config_with(path))
    refused(tokens, token_of(now=NOW))
    path.write_bytes(public_pem(SHOP))
    os.utime(path, ns=(1, 1))
    assert tokens.check(token_of(now=NOW), PATH, "POST", NOW) == SHOP
    path.write_bytes(b"nothing")
    os.utime(path, ns=(2, 2))
    assert tokens.check(token_of(now=NOW), PATH, "POST", NOW) == SHOP
    path.unlink()
    assert tokens.check(token_of(now=NOW), PATH, "POST", NOW) == SHOP
