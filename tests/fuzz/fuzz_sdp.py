"""Fuzz target: one body into the SDP parser and on into offer/answer.

Runs under atheris (``python tests/fuzz/fuzz_sdp.py [corpus]``); the property tests feed ``one_input`` without it.
What must hold for any bytes: a description or a ParseError, a description that comes back the same, and an answer that
fits its offer or NoCommonMedia.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from sip.crypto_attribute import SUITES, SrtpPolicy, parse_crypto
from sip.errors import LocalProtocolError, NoCommonMedia, ParseError, RemoteProtocolError
from sip.info import parse_dtmf_info
from sip.offer_answer import LocalCapabilities, MediaParameters, accept_answer, answer, make_offer
from sip.payload_types import CODECS
from sip.sdp import SessionDescription, parse

__all__ = ("SEEDS", "one_input")

SEEDS = (
    b"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8 9 13 101\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n"
    b"a=rtcp:4001 IN IP4 192.0.2.1\r\na=sendrecv\r\n",
    b"v=0\no=x 1 1 IN IP6 2001:db8::1\ns= \nt=0 0\nm=audio 5004 RTP/SAVP 111 96\nc=IN IP6 2001:db8::1\n"
    b"a=rtpmap:111 opus/48000/2\na=rtpmap:96 red/8000\na=fmtp:96 0/0\na=inactive\na=rtcp-mux\n"
    b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\n"
    b"m=image 0 udptl t38\nm=video 0 RTP/AVP 34\n",
    b"Signal=5\r\nDuration=160\r\n",
)

LOCAL = LocalCapabilities(
    address="192.0.2.10",
    rtp_port=30000,
    codecs=CODECS,
    comfort_noise=True,
    redundancy=True,
    rtcp_mux=True,
    srtp=SrtpPolicy.PREFERRED,
    srtp_suites=tuple(SUITES),
    entropy=lambda n: bytes(range(n)),
    session_id=1,
    session_version=1,
)
SIDES = (
    LOCAL,
    replace(LOCAL, srtp=SrtpPolicy.REQUIRED, prefer_ours=True),
    replace(LOCAL, srtp=SrtpPolicy.OFF, codecs=("PCMU", "PCMA")),
)


def one_input(data: bytes) -> None:
    """Parse and check; raises whatever should not happen."""
    for content_type in ("application/dtmf-relay", "application/dtmf"):
        digit = parse_dtmf_info(content_type, data)
        assert digit is None or (0 <= digit.event <= 15 and digit.duration_ms > 0)
    try:
        description = parse(data)
    except ParseError:
        return
    assert parse(description.serialize()) == description
    for media in description.media:
        for pt in media.formats:
            _ = media.rtpmap(pt), media.fmtp(pt)
        assert 0 <= media.rtcp_port <= 65535
        for value in media.values("crypto"):
            attribute = parse_crypto(value)
            assert attribute is None or len(attribute.key) == SUITES[attribute.suite]
    assert not re.search(r"inline:(?!\.\.\.)", repr(description))
    for local in SIDES:
        _check_answer(description, local)
        try:
            _check_parameters(accept_answer(make_offer(local), description), local)
        except RemoteProtocolError:
            pass
        try:
            again = make_offer(local.bumped(), description)
        except LocalProtocolError:
            continue
        assert len(again.media) == len(description.media)


def _check_answer(offer: SessionDescription, local: LocalCapabilities) -> None:
    try:
        answered, parameters = answer(offer, local)
    except NoCommonMedia:
        return
    _check_parameters(parameters, local)
    # The same offer again changes nothing.
    assert answer(offer, local, parameters) == (answered, parameters)
    assert [(media.media, media.protocol) for media in answered.media] == [
        (media.media, media.protocol) for media in offer.media
    ]
    assert sum(media.port != 0 for media in answered.media) == 1
    assert parse(answered.serialize()) == answered


def _check_parameters(parameters: MediaParameters, local: LocalCapabilities) -> None:
    assert parameters.codec in local.codecs
    assert parameters.srtp is not None or local.srtp is not SrtpPolicy.REQUIRED
    assert parameters.srtp is None or local.srtp is not SrtpPolicy.OFF
    assert parameters.ptime_ms in (10, 20, 30, 40, 50, 60)
    assert 0 < parameters.remote_rtp_port <= 65535
    assert 0 <= parameters.remote_rtcp_port <= 65535
    assert 0 <= parameters.send_pt <= 127
    assert parameters.receive_pts
    assert set(parameters.receive_pts.values()) <= {*local.codecs, "CN", "RED"}
    assert parameters.event_receive_pt not in parameters.receive_pts
    assert not parameters.held or parameters.direction in ("recvonly", "inactive")


def _main() -> None:
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    _main()
