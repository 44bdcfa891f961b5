"""Digest headers as other stacks write them, and as nobody should."""

from __future__ import annotations

import hashlib

import pytest

from sip.auth import Challenge, authorization, parse_authorization, parse_challenge, verify
from sip.errors import LocalProtocolError, ParseError

ANSWER = authorization(
    Challenge(realm="r", nonce="n", qop=("auth",)),
    username="u",
    password="p",
    method="REGISTER",
    uri="sip:h",
    cnonce="c",
)


def test_challenge_is_read_in_any_order_case_and_spacing() -> None:
    challenge = parse_challenge(
        'DIGEST  Nonce = "1,2",opaque="",stale=TRUE,  algorithm=md5 , QOP="auth, auth-int" ,realm="the \\"best\\" pbx"'
    )
    assert challenge == Challenge(
        realm='the "best" pbx', nonce="1,2", opaque="", algorithm="md5", qop=("auth", "auth-int"), stale=True
    )


def test_challenge_comes_back_from_its_text() -> None:
    challenge = Challenge(realm="r", nonce="n", opaque="o", algorithm="SHA-256", qop=("auth",), stale=True)
    assert parse_challenge(str(challenge)) == challenge


def test_challenge_without_quotes_around_qop_and_stale_is_read() -> None:
    challenge = parse_challenge('Digest realm="r", nonce="n", qop=auth, stale="true", charset=UTF-8, userhash=true')
    assert challenge.qop == ("auth",)
    assert challenge.stale


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Basic realm=x",
        "NoOneKnowsThisScheme opaque-data=here",
        "Digest",
        'Digest realm="r"',
        'Digest nonce="n"',
        'Digest realm="r" nonce="n"',
        'Digest realm="r, nonce="n"',
        'Digest realm="r", nonce="n", realm="s"',
        'Digest realm="r", nonce="n", =x',
        'Digest realm="r", nonce="n", x',
        'Digest realm="r", nonce="n',
    ],
)
def test_malformed_challenge_is_an_error(text: str) -> None:
    with pytest.raises(ParseError):
        parse_challenge(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Basic dTpw",
        "Digest ",
        ANSWER.replace("nc=00000001", "nc=1"),
        ANSWER.replace('uri="sip:h", ', ""),
        ANSWER.replace('cnonce="c"', 'cnonce="c", cnonce="c"'),
    ],
)
def test_malformed_authorization_is_an_error_and_proves_nothing(text: str) -> None:
    with pytest.raises(ParseError):
        parse_authorization(text)
    assert not verify(text, method="REGISTER", password="p")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("qop=auth", "qop=auth-conf"),
        (', cnonce="c"', ""),
        (", nc=00000001", ""),
        ("qop=auth", "algorithm=SHA3, qop=auth"),
        ("qop=auth", "algorithm=MD5-sess, qop=auth"),
        ('username="u"', 'username="v"'),
        ('realm="r"', 'realm="s"'),
    ],
)
def test_changed_authorization_proves_nothing(old: str, new: str) -> None:
    assert verify(ANSWER, method="REGISTER", password="p")
    assert old in ANSWER
    assert not verify(ANSWER.replace(old, new), method="REGISTER", password="p")


def test_stored_hash_serves_instead_of_the_password() -> None:
    ha1 = hashlib.md5(b"u:r:p", usedforsecurity=False).hexdigest()
    assert verify(ANSWER, method="REGISTER", ha1=ha1)
    assert verify(ANSWER, method="REGISTER", ha1=ha1.upper())
    assert not verify(ANSWER, method="REGISTER", ha1=ha1[::-1])


def test_verify_wants_one_secret() -> None:
    with pytest.raises(LocalProtocolError):
        verify(ANSWER, method="REGISTER")
    with pytest.raises(LocalProtocolError):
        verify(ANSWER, method="REGISTER", password="p", ha1="0")


@pytest.mark.parametrize(
    "challenge",
    [
        Challenge(realm="r", nonce="n", algorithm="WHIRLPOOL"),
        Challenge(realm="r", nonce="n", qop=("auth-conf",)),
        Challenge(realm="r\r\nVia: x", nonce="n"),
    ],
)
def test_challenge_that_cannot_be_answered_is_our_error(challenge: Challenge) -> None:
    with pytest.raises(LocalProtocolError):
        authorization(challenge, username="u", password="p", method="REGISTER", uri="sip:h", cnonce="c")


@pytest.mark.parametrize("count", [0, -1, 2**32])
def test_nonce_count_must_fit_its_eight_digits(count: int) -> None:
    with pytest.raises(LocalProtocolError):
        authorization(
            Challenge(realm="r", nonce="n", qop=("auth",)),
            username="u",
            password="p",
            method="REGISTER",
            uri="sip:h",
            nonce_count=count,
            cnonce="c",
        )


def test_repr_holds_nothing_to_guess_a_password_from() -> None:
    answer = parse_authorization(ANSWER)
    assert answer.response not in repr(answer)
    assert "cnonce" not in repr(answer)
