"""RFC 5761 §5.1.1 (rtcp-mux in offer and answer), §5.1.3 (fall back); RFC 3605 §2.1 (a=rtcp)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sip.offer_answer import LocalCapabilities, accept_answer, answer, make_offer
from sip.sdp import SessionDescription, parse

WITHOUT = LocalCapabilities(address="192.0.2.10", rtp_port=30000, session_id=77, session_version=1)
WITH = replace(WITHOUT, rtcp_mux=True)


def described(*lines: str) -> SessionDescription:
    head = ("v=0", "o=- 5 5 IN IP4 192.0.2.20", "s=-", "c=IN IP4 192.0.2.20", "t=0 0", "m=audio 4000 RTP/AVP 0")
    return parse("\r\n".join((*head, *lines)).encode())


def test_5_1_1_offer_says_so() -> None:
    assert make_offer(WITH).media[0].attribute("rtcp-mux") == ""
    assert make_offer(WITHOUT).media[0].attribute("rtcp-mux") is None


@pytest.mark.parametrize(
    ("ours", "lines", "mux", "rtcp_port"),
    [
        (WITH, ("a=rtcp-mux",), True, 4000),
        # §5.1.3: a peer may name the port to fall back to; with mux it is of no account.
        (WITH, ("a=rtcp:4777", "a=rtcp-mux"), True, 4000),
        (WITH, (), False, 4001),
        (WITH, ("a=rtcp:4777",), False, 4777),
        (WITHOUT, ("a=rtcp-mux",), False, 4001),
        (WITHOUT, ("a=rtcp:4777", "a=rtcp-mux"), False, 4777),
        (WITHOUT, ("a=rtcp:4777 IN IP4 192.0.2.20",), False, 4777),
        (WITHOUT, ("a=rtcp:99999",), False, 4001),
        (WITHOUT, ("a=rtcp:x",), False, 4001),
    ],
)
def test_answer_muxes_when_both_want_it(
    ours: LocalCapabilities, lines: tuple[str, ...], mux: bool, rtcp_port: int
) -> None:
    answered, parameters = answer(described(*lines), ours)
    assert answered.media[0].rtcp_mux == parameters.rtcp_mux == mux
    assert parameters.remote_rtcp_port == rtcp_port
    # The same as an answer to our offer.
    parameters = accept_answer(make_offer(ours), described(*lines))
    assert (parameters.rtcp_mux, parameters.remote_rtcp_port) == (mux, rtcp_port)


def test_mux_may_come_and_go_with_a_later_offer() -> None:
    assert [answer(described(*lines), WITH)[1].rtcp_mux for lines in ((), ("a=rtcp-mux",), ())] == [False, True, False]
