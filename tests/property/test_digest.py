"""The digest server under any Authorization value: it never raises, and only the right answer is accepted."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from sip.auth import authorization
from sip.digest_server import DigestServer, Outcome

PASSWORD = "pass word"


def find_ha1(username: str, algorithm: str) -> str | None:
    if username != "1001":
        return None
    name = {"MD5": "md5", "SHA-256": "sha256"}[algorithm]
    return hashlib.new(name, f"{username}:pay.test:{PASSWORD}".encode()).hexdigest()


def check(server: DigestServer, text: str) -> Outcome:
    return server.check(text, method="INVITE", uri="sip:pay@h", body=b"", now=10.0, find_ha1=find_ha1)


def right_answer(server: DigestServer) -> str:
    return authorization(
        server.challenges(10.0)[0], username="1001", password=PASSWORD, method="INVITE", uri="sip:pay@h", cnonce="c"
    )


@given(st.binary(max_size=200), st.booleans())
def test_any_octets_are_refused(octets: bytes, as_digest: bool) -> None:
    server = DigestServer("pay.test", bytes(32))
    text = octets.decode("utf-8", "surrogateescape")
    assert check(server, f"Digest {text}" if as_digest else text) in (Outcome.MALFORMED, Outcome.REFUSED)


@given(st.integers(0, 400), st.binary(max_size=6), st.integers(0, 6))
def test_a_right_answer_that_was_changed_on_the_way_is_accepted_only_when_it_says_the_same(
    position: int, octets: bytes, removed: int
) -> None:
    server = DigestServer("pay.test", bytes(32))
    text = right_answer(server)
    position %= len(text)
    changed = text[:position] + octets.decode("utf-8", "surrogateescape") + text[position + removed :]
    outcome = check(server, changed)
    if outcome is Outcome.ACCEPTED:
        # Spacing, case of names and hexadecimal digits, an unknown parameter: the proof itself is untouched.
        assert find_response(changed) == find_response(text)
    assert check(server, text) is (Outcome.STALE if outcome is Outcome.ACCEPTED else Outcome.ACCEPTED)


@given(st.lists(st.integers(1, 200), max_size=60))
def test_no_count_is_accepted_twice(counts: list[int]) -> None:
    server = DigestServer("pay.test", bytes(32))
    challenge = server.challenges(10.0)[0]
    accepted = [
        count
        for count in counts
        if check(
            server,
            authorization(
                challenge,
                username="1001",
                password=PASSWORD,
                method="INVITE",
                uri="sip:pay@h",
                nonce_count=count,
                cnonce="c",
            ),
        )
        is Outcome.ACCEPTED
    ]
    assert len(accepted) == len(set(accepted))
    if counts:
        assert counts[0] in accepted
        assert max(counts) in accepted


def find_response(text: str) -> str:
    return text.lower().split('response="')[1].split('"')[0]
