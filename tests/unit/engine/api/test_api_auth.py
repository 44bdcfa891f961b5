"""Who may ask, and how often somebody may guess; how fast requests may come."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api.auth import FAILURES, FAILURES_PER_S, MAX_SOURCES, Authenticator, basic_credentials, secrets_of
from engine.api.errors import ApiError
from engine.api.limits import TokenBucket
from engine.config import SignalWireConfig, TwilioConfig
from engine.errors import ConfigError
from tests.support.api import ACCOUNT_SID, KEY_AUTH, TOKEN, config_of

USERS = {ACCOUNT_SID: TOKEN, "SK" + "b" * 32: "geheim-ä"}
SOURCE = "192.0.2.7"


def header(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


RIGHT, WRONG = header(ACCOUNT_SID, TOKEN), header(ACCOUNT_SID, "wrong")


def refused(auth: Authenticator, value: str, source: str = SOURCE, now: float = 0.0) -> ApiError:
    with pytest.raises(ApiError) as caught:
        auth.authenticate(value, source, now)
    return caught.value


def test_every_user_comes_in_with_the_own_secret_only() -> None:
    auth = Authenticator(USERS)
    assert [auth.authenticate(header(*user), SOURCE, 0.0) for user in USERS.items()] == list(USERS)
    assert auth.authenticate(RIGHT.replace("Basic", "bAsIc"), SOURCE, 0.0) == ACCOUNT_SID
    crossed = header(ACCOUNT_SID, USERS["SK" + "b" * 32])
    for value in (crossed, WRONG, header("", ""), header("", TOKEN), header(ACCOUNT_SID.upper(), TOKEN), "", "Basic"):
        assert refused(auth, value).status == 401


def test_a_source_that_guesses_is_shut_out_and_may_come_back() -> None:
    auth = Authenticator(USERS)
    for _ in range(FAILURES):
        error = refused(auth, WRONG)
        assert (error.status, error.code) == (401, 20003)
    error = refused(auth, RIGHT)
    assert (error.status, error.code, error.headers) == (429, 20429, {"Retry-After": str(round(1 / FAILURES_PER_S))})
    assert auth.authenticate(RIGHT, "192.0.2.8", 0.0) == ACCOUNT_SID
    assert refused(auth, RIGHT, now=0.9 / FAILURES_PER_S).status == 429
    assert auth.authenticate(RIGHT, SOURCE, 1.1 / FAILURES_PER_S) == ACCOUNT_SID
    assert auth.n_sources == 0
    assert refused(auth, WRONG, now=1.2 / FAILURES_PER_S).status == 401


def test_sources_are_ipv4_addresses_and_ipv6_networks() -> None:
    auth = Authenticator(USERS)
    for number in range(FAILURES):
        refused(auth, WRONG, f"2001:db8::{number:x}")
        refused(auth, WRONG, "::ffff:198.51.100.1")
    assert refused(auth, RIGHT, "2001:db8::ffff").status == 429
    assert refused(auth, RIGHT, "198.51.100.1").status == 429
    assert auth.authenticate(RIGHT, "2001:db8:0:1::1", 0.0) == ACCOUNT_SID


@pytest.mark.parametrize("source", ["127.0.0.1", "::1", "127.9.9.9", "", "unix"])
def test_a_proxy_on_this_machine_is_never_shut_out(source: str) -> None:
    auth = Authenticator(USERS)
    for _ in range(2 * FAILURES):
        assert refused(auth, WRONG, source).status == 401
    assert auth.authenticate(RIGHT, source, 0.0) == ACCOUNT_SID


def test_asking_without_credentials_is_no_guess() -> None:
    auth = Authenticator(USERS)
    for _ in range(2 * FAILURES):
        assert refused(auth, "").status == 401
    assert auth.n_sources == 0


def test_what_is_held_against_sources_is_bounded() -> None:
    auth = Authenticator(USERS)
    for number in range(MAX_SOURCES + 100):
        refused(auth, WRONG, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert auth.n_sources == MAX_SOURCES


@given(st.text(max_size=200) | st.binary(max_size=60).map(lambda raw: "Basic " + base64.b64encode(raw).decode()))
def test_any_header_is_credentials_or_none(value: str) -> None:
    found = basic_credentials(value)
    assert found is None or ":" not in found[0]
    assert refused(Authenticator(USERS), value).status == 401


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of()
    assert set(secrets_of(config.twilio, SignalWireConfig())) == {ACCOUNT_SID, KEY_AUTH[0]}
    assert secrets_of(TwilioConfig(), SignalWireConfig(project="p")) == {}
    monkeypatch.setenv("TEST_RELAY_TOKEN", "token-of-the-project")
    project = SignalWireConfig(project="p", token_env="TEST_RELAY_TOKEN")
    assert secrets_of(TwilioConfig(), project) == {"p": "token-of-the-project"}
    monkeypatch.setenv("TEST_TWILIO_TOKEN", "")
    with pytest.raises(ConfigError, match=r"twilio\.auth_token_env"):
        secrets_of(config.twilio, SignalWireConfig())


# -- the rate


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(8.0, 5, 100.0)
    assert [bucket.take(100.0) for _ in range(6)] == [True] * 5 + [False]
    assert bucket.wait_s(100.0) == 1
    assert [bucket.take(100.125), bucket.take(100.125)] == [True, False]
    assert not bucket.is_full(100.5)
    assert bucket.is_full(101.0)


@given(
    per_s=st.floats(0.1, 1000),
    burst=st.integers(1, 100),
    steps=st.lists(st.floats(0, 10), min_size=1, max_size=200),
)
def test_no_more_is_let_in_than_burst_and_rate_allow(per_s: float, burst: int, steps: list[float]) -> None:
    now, taken = 1000.0, 0
    bucket = TokenBucket(per_s, burst, now)
    for step in steps:
        now += step
        empty = bucket.is_empty(now)
        took = bucket.take(now)
        assert took is not empty
        taken += took
        assert bucket.wait_s(now) >= 1
    assert taken <= burst + (now - 1000.0) * per_s + 1e-6
