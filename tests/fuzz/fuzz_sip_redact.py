"""Fuzz target: one SIP message into the redaction for traces.

Runs under atheris (``python tests/fuzz/fuzz_sip_redact.py [corpus]``) or ``drive.py``; the property tests feed
``one_input`` without either. What must hold for any octets: as many come out, no line end moves, nothing is masked a
second time, and a Content-Length stays what it says.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.redact import redact_sip

__all__ = ("SEEDS", "one_input")

END_OF_HEAD = re.compile(rb"\n\r?\n")
LENGTH = re.compile(rb"\n(?i:content-length|l)[ \t]*:[ \t]*[0-9]{1,5}[ \t]*\r?\n(?![ \t])")
_HEAD = (
    b"Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK1;rport\r\nFrom: <sip:a@192.0.2.7>;tag=1\r\n"
    b"To: <sip:pay@192.0.2.9>\r\nCall-ID: 1@192.0.2.7\r\nMax-Forwards: 70\r\n"
)
SEEDS = (
    b"INFO sip:pay@192.0.2.9 SIP/2.0\r\n"
    + _HEAD
    + b"CSeq: 2 INFO\r\nContent-Type: application/dtmf-relay\r\nContent-Length: 22\r\n\r\nSignal=5\r\nDuration=160",
    b"INVITE sip:pay@192.0.2.9 SIP/2.0\r\n" + _HEAD + b"CSeq: 1 INVITE\r\n"
    b'Proxy-Authorization: Digest username="u", realm="r", nonce="n", uri="sip:r", response="00112233", nc=00000001\r\n'
    b"User-to-User: 56a3;encoding=hex\r\nX-Card: 4111\r\n 1111 1111 1111\r\nc: application/sdp\r\n\r\n"
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nk=clear:secret\r\n"
    b"m=audio 40000 RTP/SAVP 0\r\n"
    b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\r\n",
    b"NOTIFY sip:a@192.0.2.7 SIP/2.0\r\n" + _HEAD + b"CSeq: 3 NOTIFY\r\nContent-Type: message/sipfrag\r\n\r\n"
    b"SIP/2.0 200 OK\r\nX: 4111111111111111\r\n",
)


def one_input(data: bytes) -> None:
    """Redact and check; raises whatever should not happen."""
    clean = redact_sip(data)
    assert len(clean) == len(data)
    assert redact_sip(clean) == clean
    assert all(after in (before, 0x2A) for before, after in zip(data, clean, strict=True))
    start = len(data) - len(data.lstrip(b"\r\n"))
    end = END_OF_HEAD.search(data, start)
    head = slice(0, len(data) if end is None else end.end())
    assert [octet for octet in clean[head] if octet in b"\r\n"] == [octet for octet in data[head] if octet in b"\r\n"]
    assert LENGTH.findall(clean[head]) == LENGTH.findall(data[head])


def _main() -> None:
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    _main()
