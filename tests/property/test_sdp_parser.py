"""The SDP parser and offer/answer under any input: random bytes, damaged offers, offers built from parts."""

from __future__ import annotations

import base64
import random
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sip.crypto_attribute import SUITES, SrtpPolicy, parse_crypto
from sip.errors import NoCommonMedia
from sip.offer_answer import LocalCapabilities, accept_answer, answer, make_offer
from sip.payload_types import CODECS
from sip.sdp import parse
from tests.fuzz.fuzz_sdp import one_input

HEAD = ["v=0", "o=- 1 1 IN IP4 192.0.2.20", "s=-"]
LINES = [
    "c=IN IP4 192.0.2.20", "c=IN IP4 0.0.0.0", "c=IN IP6 2001:db8::1", "c=IN IP4 224.0.0.1/127", "c=IN IP4 host",
    "t=0 0",
    "a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive", "a=rtcp-mux", "a=rtcp:5", "a=ptime:20", "a=ptime:0",
    "a=maxptime:5",
    "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:96 pcmu/8000/1", "a=rtpmap:97 telephone-event/8000",
    "a=rtpmap:98 telephone-event/48000", "a=rtpmap:0 telephone-event/8000", "a=rtpmap:96", "a=fmtp:97 0-16", "a=x",
    "a=x:y",
    "m=audio 4000 RTP/AVP 0 8 97", "m=audio 4002 RTP/AVP 96 97 98", "m=audio 65535 RTP/AVP 8", "m=audio 0 RTP/AVP",
    "m=video 5000 RTP/AVP 31", "m=audio 4000 RTP/SAVP 0", "m=audio 4000 RTP/AVP 97", "m=audio 4000 RTP/AVP 9 0",
    "a=rtpmap:96 opus/48000/2", "a=rtpmap:98 L16/8000", "a=rtpmap:97 red/8000", "a=fmtp:97 98/98",
    "a=rtpmap:13 CN/8000",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
    "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20 WSH=64",
    "a=crypto:3 AEAD_AES_128_GCM inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubA==|1:4", "a=crypto:", "a=crypto:5 x y",
    "a=crypto:6 AES_CM_128_HMAC_SHA1_80 inline:AAAA", "m=audio 4006 RTP/SAVPF 8 13 97", "m=audio 4008 RTP/AVP 96 98 97",
    "m=audio 4000/2 RTP/AVPF 0", "b=AS:64", "i=x", "k=clear:x", "u=x", "Signal=5",
]  # fmt: skip

bodies = st.lists(st.sampled_from(LINES), max_size=14).map(lambda lines: "\r\n".join([*HEAD, *lines]).encode())


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(bodies))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 20)))
        data[start:stop] = draw(
            st.binary(max_size=4) | st.sampled_from([b"\r\n", b"\n", b" ", b"=", b"m=", b"a=", b"\0"])
        )
    return bytes(data)


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_any_bytes_are_a_description_or_a_parse_error(data: bytes) -> None:
    one_input(data)


@given(bodies)
@settings(max_examples=800, suppress_health_check=[HealthCheck.too_slow])
def test_any_offer_is_answered_in_form_or_refused(data: bytes) -> None:
    one_input(data)


@given(damaged())
@settings(max_examples=800, suppress_health_check=[HealthCheck.too_slow])
def test_any_damage_to_an_offer_is_survived(data: bytes) -> None:
    one_input(data)


@given(
    st.text(max_size=80)
    | st.builds(
        "{} {} inline:{}{}".format,
        st.integers(0, 10**10),
        st.sampled_from([*SUITES, "F8_128_HMAC_SHA1_80"]),
        st.binary(max_size=50).map(lambda key: base64.b64encode(key).decode()),
        st.sampled_from(["", "|2^31", "|5:1", "|2^", " KDR=1", " WSH=99", " -x", "\t", ";inline:AAAA"]),
    )
)
@settings(max_examples=600)
def test_any_crypto_attribute_is_carried_out_whole_or_passed_over(value: str) -> None:
    attribute = parse_crypto(value)
    if attribute is None:
        return
    assert len(attribute.key) == SUITES[attribute.suite]
    assert parse_crypto(attribute.value) == attribute


codecs = st.lists(st.sampled_from(CODECS), min_size=1, unique=True).map(tuple)
policies = st.sampled_from(list(SrtpPolicy))
suites = st.lists(st.sampled_from(sorted(SUITES)), min_size=1, unique=True).map(tuple)
directions = st.sampled_from(["sendrecv", "sendonly", "recvonly", "inactive"])


@st.composite
def sides(draw: st.DrawFn) -> LocalCapabilities:
    return LocalCapabilities(
        address=draw(st.sampled_from(["192.0.2.1", "192.0.2.2"])),
        rtp_port=draw(st.integers(1024, 65534)),
        codecs=draw(codecs),
        event_pt=draw(st.integers(96, 127)),
        ptime_ms=draw(st.sampled_from([10, 20, 30])),
        direction=draw(directions),
        rtcp_mux=draw(st.booleans()),
        prefer_ours=draw(st.booleans()),
        comfort_noise=draw(st.booleans()),
        srtp=draw(policies),
        srtp_suites=draw(suites),
        entropy=random.Random(1).randbytes,
        session_id=1,
        session_version=1,
    )


MIRROR = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


@given(sides(), sides())
@settings(max_examples=300)
def test_both_sides_of_a_negotiation_agree(near: LocalCapabilities, far: LocalCapabilities) -> None:
    if not set(near.codecs) & set(far.codecs):
        return
    far = replace(far, entropy=random.Random(2).randbytes)  # never the other side's keys
    offer = make_offer(near)
    common = near.srtp is not SrtpPolicy.OFF and far.srtp is not SrtpPolicy.OFF
    common = common and bool(set(near.srtp_suites) & set(far.srtp_suites))
    try:
        answered, theirs = answer(parse(offer.serialize()), far)
    except NoCommonMedia:
        assert SrtpPolicy.REQUIRED in (near.srtp, far.srtp)
        assert not common
        return
    ours = accept_answer(offer, parse(answered.serialize()))
    assert (ours.srtp is not None) == (theirs.srtp is not None) == common
    if ours.srtp is not None and theirs.srtp is not None:
        assert ours.srtp.suite == theirs.srtp.suite
        assert (ours.srtp.local_key, ours.srtp.remote_key) == (theirs.srtp.remote_key, theirs.srtp.local_key)
    assert ours.codec == theirs.codec
    assert theirs.receive_pts[ours.send_pt] == ours.codec
    assert ours.receive_pts[theirs.send_pt] == theirs.codec
    assert ours.event_send_pt == theirs.event_receive_pt is not None
    assert theirs.event_send_pt == ours.event_receive_pt is not None
    assert ours.event_rate_hz == theirs.event_rate_hz == (48000 if ours.codec == "opus" else 8000)
    assert ("CN" in theirs.receive_pts.values()) == (near.comfort_noise and far.comfort_noise and ours.codec != "opus")
    assert ours.direction == MIRROR[theirs.direction]
    assert ours.rtcp_mux == theirs.rtcp_mux == (near.rtcp_mux and far.rtcp_mux)
    assert (ours.ptime_ms, theirs.ptime_ms) == (far.ptime_ms, near.ptime_ms)
    assert (ours.remote_rtp_port, theirs.remote_rtp_port) == (far.rtp_port, near.rtp_port)
    # A new offer by either side keeps what was agreed.
    again = make_offer(far.bumped(), answered)
    described, later = answer(again, near, ours)
    numbers = {pt: answered.media[0].rtpmap(pt) for pt in answered.media[0].formats}
    for pt in again.media[0].formats:
        assert numbers.setdefault(pt, again.media[0].rtpmap(pt)) == again.media[0].rtpmap(pt)
    assert (later.srtp is not None) == (ours.srtp is not None)
    # And so does the one after it, by whoever offered first.
    third = make_offer(near.bumped(), described)
    if later.srtp is not None:
        assert later.srtp.local_key in [parse_crypto(value).key for value in third.media[0].values("crypto")]  # type: ignore[union-attr]
