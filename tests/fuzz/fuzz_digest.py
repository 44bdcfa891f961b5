"""Fuzz target: text into both sides of digest authentication (RFC 7616).

Runs by ``tests/fuzz/drive.py`` or under atheris. What must hold for any text: a value or a ParseError; a usable
challenge can be answered and the answer passes; nothing that was not made with the password passes.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from sip.auth import authorization, choose_challenge, parse_authorization, parse_challenge, verify
from sip.errors import LocalProtocolError, ParseError

__all__ = ("SEEDS", "one_input")

SEEDS = (
    b'Digest realm="pbx", nonce="abc", algorithm=MD5, qop="auth,auth-int", opaque="x", stale=TRUE',
    b'Digest realm="pbx",nonce="abc",algorithm=SHA-256,qop="auth"',
    b'Digest realm="p\\"b\\\\x", nonce="", algorithm=SHA-512-256-sess',
    b'digest username="alice", realm="pbx", nonce="abc", uri="sip:pbx", response="6629fae49393a05397450978507c4ef1",'
    b' algorithm=MD5, qop=auth, nc=00000001, cnonce="0a4f113b"',
    b'Basic dXNlcg==, Digest realm="x", nonce="y"',
)


def one_input(data: bytes) -> None:
    """Parse and check; raises whatever should not happen."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        answer = parse_authorization(text)
    except ParseError:
        pass
    else:
        assert "response" not in repr(answer)
    assert not verify(text, method="INVITE", ha1="0" * 32)
    try:
        challenge = parse_challenge(text)
    except ParseError:
        return
    chosen = choose_challenge([challenge])
    assert (chosen is not None) == challenge.is_usable
    if chosen is None:
        return
    try:
        made = authorization(
            chosen, username="alice", password="wonderland", method="REGISTER", uri="sip:pbx", cnonce="0a4f"
        )
    except LocalProtocolError:
        assert "\n" in text or "\r" in text
        return
    assert verify(made, method="REGISTER", password="wonderland", challenge=chosen, uri="sip:pbx")
    assert not verify(made, method="REGISTER", password="Wonderland", challenge=chosen, uri="sip:pbx")
    assert not verify(made, method="INVITE", password="wonderland", challenge=chosen, uri="sip:pbx")


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
