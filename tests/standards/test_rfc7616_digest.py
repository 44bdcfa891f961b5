"""RFC 7616 §3.4 and §3.9, RFC 2617 §3.5, RFC 8760 §2 (algorithms and their order in SIP)."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace
from typing import Any

import pytest

from sip.auth import (
    Challenge,
    DigestAnswer,
    authorization,
    choose_challenge,
    parse_authorization,
    parse_challenge,
    verify,
)
from sip.credentials import ClientAuthentication, Credentials
from sip.digest_server import MAX_NONCES, DigestServer
from sip.errors import LocalProtocolError
from sip.headers import Headers
from sip.message import Request, Response
from sip.uri import Uri

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


# -- the client's side of a conversation (§3.3, §3.5, §3.7; RFC 3261 §22; RFC 8760) ------------------------------------


class Client:
    """A client that sends REGISTER after REGISTER, as ``Registration`` does."""

    def __init__(self, realm: str = "") -> None:
        counter = itertools.count()
        self.auth = ClientAuthentication(
            Credentials(username="1001", password="pass word", realm=realm),
            lambda n: next(counter).to_bytes(n, "big"),
        )
        self.request = self.next()

    def next(self, body: bytes = b"") -> Request:
        self.request = Request(
            "REGISTER",
            Uri(host="pay.test"),
            Headers(
                [
                    ("Via", "SIP/2.0/UDP h;branch=z9hG4bKx"), ("From", "<sip:a@h>;tag=f"), ("To", "<sip:a@h>"),
                    ("Call-ID", "c"), ("CSeq", "1 REGISTER"),
                ]
            ),
            body,
        )  # fmt: skip
        self.auth.apply(self.request)
        return self.request

    def answers(self, name: str = "Authorization") -> list[DigestAnswer]:
        return [parse_authorization(text) for text in self.request.headers.lines(name)]

    def receives(self, status: int, *fields: tuple[str, str], body: bytes = b"") -> Response:
        response = Response.to_request(self.request, status, to_tag="t")
        for name, value in fields:
            response.headers.add(name, value)
        response.body = body
        return response

    def challenged(self, *challenges: Challenge, status: int = 401) -> bool:
        name = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}[status]
        taken = self.auth.accept(self.receives(status, *((name, str(challenge)) for challenge in challenges)))
        if taken:
            self.next()
        return taken


def asks(nonce: str, algorithm: str = "SHA-256", *, realm: str = "pay.test", stale: bool = False) -> Challenge:
    return Challenge(realm=realm, nonce=nonce, algorithm=algorithm, qop=("auth", "auth-int"), stale=stale)


def proof_of(answer: DigestAnswer, password: str = "pass word", *, body: bytes = b"", qop: str = "auth") -> str:
    """Compute ``rspauth`` by the book, apart from the code under test."""

    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    a2 = f":{answer.uri}" + (f":{hashlib.sha256(body).hexdigest()}" if qop == "auth-int" else "")
    ha1 = digest(f"1001:{answer.realm}:{password}")
    return digest(f"{ha1}:{answer.nonce}:{answer.nonce_count:08x}:{answer.cnonce}:{qop}:{digest(a2)}")


def test_3261_22_3_each_realm_of_one_response_is_answered_with_its_best_challenge() -> None:
    client = Client()
    asked = [asks("a1", "MD5", realm="a"), asks("a2", realm="a"), asks("b1", "MD5", realm="b")]
    assert client.challenged(*asked, status=407)
    answers = client.answers("Proxy-Authorization")
    assert [(answer.realm, answer.nonce) for answer in answers] == [("a", "a2"), ("b", "b1")]
    for text in client.request.headers.lines("Proxy-Authorization"):
        assert verify(text, method="REGISTER", password="pass word")


def test_3261_22_3_a_proxy_behind_a_proxy_and_a_registrar_behind_both_are_answered_in_turn() -> None:
    client = Client()
    assert client.challenged(asks("n1", realm="edge"), status=407)
    assert client.challenged(asks("n2", realm="core"), status=407)
    assert client.challenged(asks("n3", realm="registrar"))
    assert [answer.realm for answer in client.answers("Proxy-Authorization")] == ["edge", "core"]
    assert [answer.realm for answer in client.answers()] == ["registrar"]
    client.auth.begin()
    client.next()  # the next request answers all three before it is asked
    assert [answer.nonce_count for answer in client.answers("Proxy-Authorization")] == [4, 3]
    assert [answer.nonce_count for answer in client.answers()] == [2]


def test_a_realm_that_asks_again_has_refused_the_password_whoever_else_asks() -> None:
    client = Client()
    assert client.challenged(asks("n1", realm="a"))
    assert not client.challenged(asks("n2", realm="a"), asks("n3", realm="b"))


def test_realms_without_end_are_neither_answered_nor_remembered_without_end() -> None:
    client = Client()
    for number in range(100):
        client.auth.begin()
        assert client.challenged(asks("n", realm=f"r{number}"))
    assert len(client.answers()) == 8
    client.auth.begin()
    rounds = 0
    while client.challenged(asks("n", realm=f"s{rounds}")):
        rounds += 1
    assert rounds == 4


def test_a_realm_that_is_not_ours_is_not_answered() -> None:
    client = Client(realm="pay.test")
    assert not client.challenged(asks("n", realm="elsewhere"))
    assert client.challenged(asks("n"), asks("n", realm="elsewhere"))
    assert [answer.realm for answer in client.answers()] == ["pay.test"]


def test_rfc_8760_4_who_took_a_sha_hash_is_not_answered_with_md5() -> None:
    client = Client()
    assert client.challenged(asks("n1", "SHA-256"))
    client.auth.begin()
    assert not client.challenged(asks("n2", "MD5"))
    assert not client.challenged(asks("n2", "MD5-sess"))
    assert client.challenged(asks("n3", "SHA-512-256"))
    other = Client()
    assert other.challenged(asks("n1", "MD5"))
    other.auth.begin()
    assert other.challenged(asks("n2", "SHA-256"))


def test_7616_3_5_the_next_nonce_is_used_from_its_first_count() -> None:
    client = Client()
    assert client.challenged(asks("n1"))
    assert client.auth.learn(client.receives(200, ("Authentication-Info", 'nextnonce="n2"'))) is None
    client.auth.begin()
    client.next()
    assert [(answer.nonce, answer.nonce_count) for answer in client.answers()] == [("n2", 1)]
    assert client.auth.learn(client.receives(200, ("Authentication-Info", 'nextnonce="n2"'))) is None
    client.next()
    assert [(answer.nonce, answer.nonce_count) for answer in client.answers()] == [("n2", 2)]


def test_7616_3_5_a_proxy_gives_its_next_nonce_in_a_header_of_its_own() -> None:
    client = Client()
    assert client.challenged(asks("n1"), status=407)
    client.auth.learn(client.receives(200, ("Proxy-Authentication-Info", 'nextnonce="n2"')))
    client.next()
    assert [answer.nonce for answer in client.answers("Proxy-Authorization")] == ["n2"]


@pytest.mark.parametrize("qop", ["auth", "auth-int"])
def test_7616_3_5_the_servers_proof_is_checked(qop: str) -> None:
    client = Client()
    assert client.challenged(replace(asks("n1"), qop=(qop,)))
    answer = client.answers()[0]

    def says(password: str, body: bytes = b"hello") -> bool | None:
        proof = proof_of(answer, password, body=b"hello", qop=qop)
        info = f'rspauth="{proof}", cnonce="{answer.cnonce}", nc=00000001, qop={qop}, nextnonce="{password[:2]}"'
        return client.auth.learn(client.receives(200, ("Authentication-Info", info), body=body))

    assert says("no idea") is False
    client.next()
    assert client.answers()[0].nonce == "n1", "nothing is taken from a server that proved nothing"
    answer = client.answers()[0]
    assert says("pass word", b"hello") is False, "its count is that of an older request"
    proof = proof_of(answer, body=b"hello", qop=qop)
    info = f'rspauth="{proof}", qop={qop}, nextnonce="n2"'
    changed = client.auth.learn(client.receives(200, ("Authentication-Info", info), body=b"changed"))
    assert changed is (qop == "auth")
    if qop == "auth-int":
        assert client.auth.learn(client.receives(200, ("Authentication-Info", info), body=b"hello")) is True
    client.next()
    assert client.answers()[0].nonce == "n2"


@pytest.mark.parametrize("text", ["", "nextnonce", 'nextnonce="', "nc=1", 'nextnonce=""', 'a="b"', "\udcff=1", "qop=x"])
def test_nonsense_after_success_changes_nothing(text: str) -> None:
    client = Client()
    assert client.challenged(asks("n1"))
    assert client.auth.learn(client.receives(200, ("Authentication-Info", text))) is None
    client.next()
    assert [(answer.nonce, answer.nonce_count) for answer in client.answers()] == [("n1", 2)]


@pytest.mark.parametrize("algorithm", ["MD5-sess", "SHA-256-sess"])
def test_7616_3_4_2_a_session_keeps_the_client_nonce_that_it_began_with(algorithm: str) -> None:
    client = Client()
    assert client.challenged(asks("n1", algorithm))
    first = client.answers()[0]
    client.next()
    second = client.answers()[0]
    assert (second.cnonce, second.nonce_count) == (first.cnonce, 2)
    client.auth.begin()
    assert client.challenged(asks("n2", algorithm))
    assert client.answers()[0].cnonce != first.cnonce


def test_each_request_has_a_client_nonce_of_its_own() -> None:
    client = Client()
    assert client.challenged(asks("n1"))
    first = client.answers()[0].cnonce
    client.next()
    assert client.answers()[0].cnonce != first


def test_7616_3_4_auth_is_chosen_before_auth_int_and_auth_int_alone_covers_the_body() -> None:
    client = Client()
    assert client.challenged(asks("n1"))
    assert client.answers()[0].qop == "auth"
    only = Client()
    assert only.challenged(replace(asks("n1"), qop=("auth-int",)))
    only.next(b"v=0")
    text = only.request.headers.lines("Authorization")[0]
    assert verify(text, method="REGISTER", password="pass word", body=b"v=0")
    assert not verify(text, method="REGISTER", password="pass word", body=b"v=1")


def test_7616_3_4_4_a_server_that_would_take_a_hashed_name_gets_the_name_in_clear() -> None:
    client = Client()
    text = str(asks("n1")) + ", userhash=true, charset=UTF-8"
    assert client.auth.accept(client.receives(401, ("WWW-Authenticate", text)))
    client.next()
    assert client.answers()[0].username == "1001"
    assert "userhash" not in client.request.headers.lines("Authorization")[0]


def test_a_client_without_a_password_answers_nothing() -> None:
    auth = ClientAuthentication(None, bytes)
    client = Client()
    assert not auth.accept(client.receives(401, ("WWW-Authenticate", str(asks("n1")))))
    auth.apply(client.request)
    assert "Authorization" not in client.request.headers


# -- the server's side: stateless nonces, nonce counts (§3.3, §3.4, §5.4, §5.5) ----------------------------------------

SECRET = bytes(range(32))
USERS = {"1001": "pass word"}


class Door:
    """A digest server with one user, and the client's side of it."""

    def __init__(self, **changes: Any) -> None:
        self.server = DigestServer("pay.test", SECRET, **changes)
        self.asked: list[tuple[str, str]] = []

    def ha1(self, username: str, algorithm: str) -> str | None:
        self.asked.append((username, algorithm))
        password = USERS.get(username)
        if password is None:
            return None
        hashes = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
        return hashlib.new(hashes[algorithm], f"{username}:pay.test:{password}".encode()).hexdigest()

    def check(self, text: str, now: float, *, method: str = "INVITE", uri: str = "sip:pay@h", body: bytes = b"") -> str:
        return self.server.check(text, method=method, uri=uri, body=body, now=now, find_ha1=self.ha1)


def answered(challenge: Challenge, count: int = 1, **changes: Any) -> str:
    fields = {"username": "1001", "password": "pass word", "method": "INVITE", "uri": "sip:pay@h", "cnonce": "c"}
    return authorization(challenge, nonce_count=count, **(fields | changes))


def test_rfc_8760_2_4_a_server_offers_its_algorithms_best_first() -> None:
    challenges = Door().server.challenges(10.0)
    assert [challenge.algorithm for challenge in challenges] == ["SHA-256", "MD5"]
    assert all(challenge.qop == ("auth", "auth-int") and not challenge.stale for challenge in challenges)
    assert Door().server.challenges(10.0, stale=True)[0].stale
    only = Door(algorithms=("SHA-512-256",)).server.challenges(10.0)
    assert [challenge.algorithm for challenge in only] == ["SHA-512-256"]


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5", "SHA-512-256", "MD5-sess", "SHA-256-sess"])
@pytest.mark.parametrize("qop", ["auth", "auth-int"])
def test_a_right_answer_is_accepted_with_each_algorithm(algorithm: str, qop: str) -> None:
    door = Door(algorithms=(algorithm,))
    challenge = replace(door.server.challenges(10.0)[0], qop=(qop,))
    assert door.check(answered(challenge, body=b"v=0"), 11.0, body=b"v=0") == "accepted"
    assert door.check(answered(challenge, 2, body=b"v=0"), 11.0, body=b"v=1") == (
        "accepted" if qop == "auth" else "refused"
    )
    assert door.asked[0] == ("1001", algorithm.removesuffix("-sess"))


@pytest.mark.parametrize(
    "changes", [{"username": "1002"}, {"password": "other"}, {"method": "BYE"}], ids=["user", "password", "method"]
)
def test_a_wrong_answer_is_refused(changes: dict[str, Any]) -> None:
    door = Door()
    assert door.check(answered(door.server.challenges(10.0)[0], **changes), 10.0) == "refused"


def test_an_answer_to_another_question_is_refused() -> None:
    door = Door(algorithms=("SHA-256",))
    challenge = door.server.challenges(10.0)[0]
    for other in (
        replace(challenge, realm="elsewhere"),
        replace(challenge, algorithm="MD5"),
        replace(challenge, algorithm=None),
        replace(challenge, algorithm="SHA-512-256"),
        replace(challenge, qop=()),  # §3.4: or an attacker could drop it on the way
    ):
        assert door.check(answered(other), 10.0) == "refused"


def test_7616_3_4_6_an_answer_for_another_uri_is_malformed() -> None:
    door = Door()
    challenge = door.server.challenges(10.0)[0]
    assert door.check(answered(challenge, uri="sip:other@h"), 10.0) == "malformed"
    assert door.check(answered(challenge, uri="sip:pay@H"), 10.0) == "accepted"  # the same URI, written another way


@pytest.mark.parametrize(
    "text", ["", "Basic YTpi", "Digest", "Digest username", 'Digest username="u"', "Digest \udcff="]
)
def test_what_is_no_answer_is_malformed(text: str) -> None:
    assert Door().check(text, 10.0) == "malformed"


def test_7616_3_3_a_right_answer_to_an_old_nonce_is_stale_and_a_wrong_one_is_refused() -> None:
    door = Door(lifetime_s=60.0)
    challenge = door.server.challenges(10.0)[0]
    assert door.check(answered(challenge), 70.0) == "accepted"
    assert door.check(answered(challenge, 2), 70.1) == "stale"
    assert door.check(answered(challenge, 2, password="other"), 70.1) == "refused"


def test_a_nonce_that_is_not_ours_is_stale_however_right_the_answer() -> None:
    door, other = Door(), DigestServer("pay.test", bytes(32))
    (ours, _), (theirs, _) = door.server.challenges(10.0), other.challenges(10.0)
    forged = replace(ours, nonce=f"{20_000:012x}" + ours.nonce[12:])  # a longer life
    odd = replace(ours, nonce="n\u00e4")
    later = replace(ours, nonce=Door().server.challenges(99.0)[0].nonce)  # of a time to come
    for challenge in (theirs, forged, odd, later):
        assert door.check(answered(challenge), 10.0) == "stale"


def test_two_peers_that_ask_at_once_get_nonces_of_their_own() -> None:
    door = Door()
    first, second = (door.server.challenges(10.0)[0] for _ in range(2))
    assert first.nonce != second.nonce
    assert door.check(answered(first), 10.0) == "accepted"
    assert door.check(answered(second), 10.0) == "accepted"


def test_7616_3_4_a_nonce_count_is_taken_once_though_datagrams_overtake() -> None:
    door = Door()
    challenge = door.server.challenges(10.0)[0]
    outcomes = [
        door.check(answered(challenge, count), 10.0) for count in (1, 3, 2, 2, 3, 1, 500, 437, 436, 437, 0x7FFFFFFF)
    ]
    assert outcomes == [
        "accepted", "accepted", "accepted", "stale", "stale", "stale", "accepted", "accepted", "stale", "stale",
        "accepted",
    ]  # fmt: skip


def test_a_refused_answer_uses_no_count_up() -> None:
    door = Door()
    challenge = door.server.challenges(10.0)[0]
    assert door.check(answered(challenge, password="other"), 10.0) == "refused"
    assert door.check(answered(challenge), 10.0) == "accepted"


def test_what_is_remembered_is_bounded_and_no_replay_passes_when_it_is_full() -> None:
    door = Door()
    texts = [answered(door.server.challenges(10.0 + number / 1000)[0]) for number in range(MAX_NONCES + 10)]
    assert [door.check(text, 15.0) for text in texts] == ["accepted"] * len(texts)
    assert len(door.server._used) <= MAX_NONCES
    assert {door.check(text, 15.0) for text in texts} == {"stale"}


def test_strangers_leave_nothing_behind() -> None:
    door = Door()
    for number in range(100):
        door.check(answered(door.server.challenges(10.0)[0], username=f"u{number}"), 10.0)
    assert door.server._used == {}


def test_an_unknown_user_is_worked_for_as_much_as_a_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    compared: list[str] = []

    def refuse(_: str, *, ha1: str, **__: object) -> bool:
        compared.append(ha1)
        return False

    monkeypatch.setattr("sip.digest_server.verify", refuse)
    for username in ("1001", "1002", "1002"):
        door.check(answered(door.server.challenges(10.0)[0], username=username), 10.0)
    assert len(compared) == 3
    assert compared[1] == compared[2] != compared[0]
    assert [len(ha1) for ha1 in compared] == [64, 64, 64]


@pytest.mark.parametrize(
    "changes",
    [{"secret": b"short"}, {"algorithms": ()}, {"algorithms": ("MD4",)}, {"lifetime_s": 0.0}, {"realm": "a\r\nb"}],
)
def test_a_server_is_not_made_of_nonsense(changes: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"realm": "pay.test", "secret": SECRET}
    with pytest.raises(LocalProtocolError):
        DigestServer(**(fields | changes))


def test_an_empty_algorithm_is_none_and_can_be_answered() -> None:
    challenge = parse_challenge('Digest realm="pbx", nonce="n", algorithm=""')
    assert challenge.algorithm is None
    answer = authorization(
        challenge, username="pay", password="not a secret", method="REGISTER", uri="sip:pbx", cnonce="c"
    )
    assert "algorithm" not in answer
    assert verify(answer, method="REGISTER", password="not a secret", challenge=challenge)
