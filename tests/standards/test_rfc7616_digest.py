"""RFC 7616 §3.4 and §3.9, RFC 2617 §3.5, RFC 8760 §2 (algorithms and their order in SIP)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sip.auth import Challenge, authorization, choose_challenge, parse_authorization, parse_challenge, verify

# RFC 7616 §3.9.1
MUFASA = Challenge(
    realm="http-auth@example.org",
    nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    qop=("auth", "auth-int"),
)
MUFASA_CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
# RFC 7616 §3.9.2 as corrected by erratum 4897: the RFC's own figures are those of a truncated SHA-512.
DOE = Challenge(
    realm="api@example.org",
    nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
    opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS",
    algorithm="SHA-512-256",
    qop=("auth",),
)
DOE_CNONCE = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
# RFC 2617 §3.5
TESTREALM = Challenge(
    realm="testrealm@host.com",
    nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
    opaque="5ccc069c403ebaf9f0171e9517f40e41",
    qop=("auth", "auth-int"),
)


def _response(text: str) -> str:
    return parse_authorization(text).response


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_rfc_7616_3_9_1_example(algorithm: str, expected: str) -> None:
    text = authorization(
        replace(MUFASA, algorithm=algorithm),
        username="Mufasa",
        password="Circle of Life",
        method="GET",
        uri="/dir/index.html",
        cnonce=MUFASA_CNONCE,
    )
    answer = parse_authorization(text)
    assert answer.response == expected
    assert (answer.qop, answer.nonce_count, answer.algorithm) == ("auth", 1, algorithm)
    assert answer.opaque == MUFASA.opaque


def test_rfc_7616_3_9_2_example_as_corrected() -> None:
    text = authorization(
        DOE,
        username="J\u00e4s\u00f8n Doe",
        password="Secret, or not?",
        method="GET",
        uri="/doe.json",
        cnonce=DOE_CNONCE,
    )
    assert _response(text) == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"


def test_rfc_2617_3_5_example() -> None:
    text = authorization(
        TESTREALM,
        username="Mufasa",
        password="Circle Of Life",
        method="GET",
        uri="/dir/index.html",
        cnonce="0a4f113b",
    )
    assert _response(text) == "6629fae49393a05397450978507c4ef1"
    assert "algorithm" not in text  # the server named none: RFC 2617 §3.2.2 lets us name none either


def test_rfc_2617_without_qop_sends_neither_count_nor_cnonce() -> None:
    text = authorization(
        replace(TESTREALM, qop=()), username="u", password="p", method="REGISTER", uri="sip:h", cnonce="c"
    )
    assert "nc=" not in text
    assert "cnonce" not in text
    assert verify(text, method="REGISTER", password="p")


@pytest.mark.parametrize("algorithm", [None, "MD5", "md5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256"])
@pytest.mark.parametrize("qop", [(), ("auth",), ("auth-int",), ("auth", "auth-int")])
@pytest.mark.parametrize("body", [b"", b"v=0\r\n"])
def test_what_the_client_answers_the_server_accepts(algorithm: str | None, qop: tuple[str, ...], body: bytes) -> None:
    challenge = Challenge(realm='a "quoted" realm', nonce="n\\1", opaque="", algorithm=algorithm, qop=qop)
    text = authorization(
        parse_challenge(str(challenge)),
        username="1001",
        password="pass word",
        method="INVITE",
        uri="sip:100@192.0.2.1",
        body=body,
        nonce_count=0xAB,
        cnonce="c/+=",
    )
    assert verify(text, method="INVITE", password="pass word", body=body)
    assert verify(text, method="INVITE", password="pass word", body=body, challenge=challenge, uri="sip:100@192.0.2.1")
    assert not verify(text, method="BYE", password="pass word", body=body)
    assert not verify(text, method="INVITE", password="password", body=body)
    assert not verify(text, method="INVITE", password="pass word", body=body, uri="sip:101@192.0.2.1")
    assert not verify(
        text, method="INVITE", password="pass word", body=body, challenge=replace(challenge, nonce="n\\2")
    )
    # auth-int alone protects the body; auth is taken when both are offered.
    assert verify(text, method="INVITE", password="pass word", body=b"other") == (qop != ("auth-int",))


def test_nonce_count_is_part_of_the_proof() -> None:
    def text(count: int) -> str:
        return authorization(
            MUFASA, username="u", password="p", method="OPTIONS", uri="sip:h", nonce_count=count, cnonce="c"
        )

    assert "nc=00000001" in text(1)
    assert "nc=000000ff" in text(255)
    assert not verify(text(1).replace("nc=00000001", "nc=00000002"), method="OPTIONS", password="p")


def test_rfc_7616_3_4_qop_cannot_be_dropped_on_the_way() -> None:
    without = authorization(
        replace(MUFASA, qop=()), username="u", password="p", method="OPTIONS", uri="sip:h", cnonce="c"
    )
    assert verify(without, method="OPTIONS", password="p")
    assert not verify(without, method="OPTIONS", password="p", challenge=MUFASA)


def test_weaker_algorithm_than_asked_is_refused() -> None:
    weak = authorization(MUFASA, username="u", password="p", method="OPTIONS", uri="sip:h", cnonce="c")
    strong = replace(MUFASA, algorithm="SHA-256")
    assert not verify(weak, method="OPTIONS", password="p", challenge=strong)


def test_rfc_8760_2_4_strongest_known_algorithm_is_chosen() -> None:
    md5, sha256, sha512 = (
        Challenge(realm="r", nonce=name, algorithm=name) for name in ("MD5", "SHA-256", "SHA-512-256")
    )
    unknown = Challenge(realm="r", nonce="u", algorithm="SHA3-999")
    foreign_qop = Challenge(realm="r", nonce="q", algorithm="SHA-256", qop=("auth-conf",))
    assert choose_challenge([md5, unknown, foreign_qop, sha512, sha256]) is sha256
    assert choose_challenge([md5, sha512]) is sha512
    assert choose_challenge([unknown, md5]) is md5
    assert choose_challenge([unknown, foreign_qop]) is None
    assert choose_challenge([]) is None


def test_of_two_alike_the_first_is_chosen() -> None:
    first, second = (Challenge(realm=realm, nonce="n", algorithm="MD5") for realm in ("one", "two"))
    assert choose_challenge([first, second]) is first
