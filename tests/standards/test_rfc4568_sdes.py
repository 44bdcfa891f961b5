"""RFC 4568 §5.1 (offer and answer), §6.1 to §6.3 (SRTP parameters), §7.1 (changing the session), §9.1 (grammar);
RFC 6188 and RFC 7714 §14.1 (suites); RFC 8643 §3 (keys beside RTP/AVP)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from engine.rtp import srtp
from sip.crypto_attribute import DEFAULT_SUITES, SUITES, CryptoAttribute, SrtpPolicy, parse_crypto
from sip.errors import LocalProtocolError, NoCommonMedia
from sip.offer_answer import LocalCapabilities, MediaParameters, accept_answer, answer, make_offer
from sip.sdp import MediaDescription, SessionDescription, parse

CM_80, CM_32 = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"
GCM_128, GCM_256 = "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"


def keys() -> Callable[[int], bytes]:
    """Return a source of keys that are all different."""
    serial = count(1)
    return lambda n: next(serial).to_bytes(2).ljust(n, b"\x5a")


def local(policy: SrtpPolicy = SrtpPolicy.PREFERRED, **changes: object) -> LocalCapabilities:
    fields: dict[str, object] = {
        "address": "192.0.2.10",
        "rtp_port": 30000,
        "srtp": policy,
        "entropy": keys(),
        "session_id": 77,
        "session_version": 1,
    }
    return LocalCapabilities(**(fields | changes))  # type: ignore[arg-type]


OFF, PREFERRED, REQUIRED = local(SrtpPolicy.OFF), local(), local(SrtpPolicy.REQUIRED)


def described(*lines: str) -> SessionDescription:
    head = ("v=0", "o=- 5 5 IN IP4 192.0.2.20", "s=-", "c=IN IP4 192.0.2.20", "t=0 0")
    return parse("\r\n".join((*head, *lines)).encode())


def key_of(suite: str, first: int) -> bytes:
    return bytes((first + i) % 256 for i in range(SUITES[suite]))


def crypto(tag: int, suite: str, first: int = 1, more: str = "") -> str:
    return f"a=crypto:{tag} {suite} inline:{base64.b64encode(key_of(suite, first)).decode()}{more}"


def audio(description: SessionDescription) -> MediaDescription:
    return next(media for media in description.media if media.media == "audio" and media.port)


def cryptos(description: SessionDescription) -> list[CryptoAttribute]:
    found = [parse_crypto(value) for value in audio(description).values("crypto")]
    assert None not in found
    return [attribute for attribute in found if attribute is not None]


# -- the attribute -----------------------------------------------------------------------------------------------------

INLINE = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
"Key and salt of the examples in §4 and §5."


def test_9_1_attribute_is_read_and_written() -> None:
    value = f"1 {CM_80} inline:{INLINE}"
    attribute = parse_crypto(value)
    assert attribute is not None
    assert (attribute.tag, attribute.suite) == (1, CM_80)
    assert attribute.key == base64.b64decode(INLINE)
    assert attribute.value == value
    assert INLINE not in repr(attribute)
    assert "YS__" not in repr(attribute)


@pytest.mark.parametrize(
    "value",
    [
        f"1 {CM_80} inline:{INLINE}|2^20",
        f"1 {CM_80} inline:{INLINE}|2^31",
        f"1 {CM_80} inline:{INLINE}|2^48",
        f"1 {CM_80} inline:{INLINE}|1048576",
        f"1 {CM_80} inline:{INLINE} WSH=64",
        f"1 {CM_80} inline:{INLINE} WSH=1024 -X-OURS=1",
        f"1 {CM_80} inline:{INLINE} ",
        f"000000001\t {CM_80}  inline:{INLINE}",
    ],
)
def test_6_1_lifetime_window_hint_and_what_may_be_ignored_are_taken(value: str) -> None:
    attribute = parse_crypto(value)
    assert attribute is not None
    assert attribute.tag == 1


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1",
        f"1 {CM_80}",
        f"x {CM_80} inline:{INLINE}",
        f"1234567890 {CM_80} inline:{INLINE}",
        f"-1 {CM_80} inline:{INLINE}",
        f"1 {CM_80} INLINE:{INLINE}",
        f"1 {CM_80} uri:{INLINE}",
        f"1 {CM_80} inline:",
        f"1 {CM_80} inline:{INLINE[:-4]}",
        f"1 {CM_80} inline:{INLINE}AAAA",
        f"1 {CM_80} inline:{INLINE[:-1]}*",
        f"1 {GCM_128} inline:{INLINE}",  # its salt is shorter
        f"1 F8_128_HMAC_SHA1_80 inline:{INLINE}",
        f"1 NULL_HMAC_SHA1_80 inline:{INLINE}",
        f"1 aes_cm_128_hmac_sha1_80 inline:{INLINE}",
        # §6.1: the MKI would stand in every packet.
        f"1 {CM_80} inline:{INLINE}|2^20|1:4",
        f"1 {CM_80} inline:{INLINE}|1:4",
        f"1 {CM_80} inline:{INLINE}|1:1;inline:{INLINE}|2:1",
        f"1 {CM_80} inline:{INLINE};inline:{INLINE}",
        f"1 {CM_80} inline:{INLINE}|2^49",
        f"1 {CM_80} inline:{INLINE}|0",
        f"1 {CM_80} inline:{INLINE}|99999999999999999999",
        # §6.3
        f"1 {CM_80} inline:{INLINE} KDR=1",
        f"1 {CM_80} inline:{INLINE} UNENCRYPTED_SRTP",
        f"1 {CM_80} inline:{INLINE} UNENCRYPTED_SRTCP",
        f"1 {CM_80} inline:{INLINE} UNAUTHENTICATED_SRTP",
        f"1 {CM_80} inline:{INLINE} FEC_ORDER=FEC_SRTP",
        f"1 {CM_80} inline:{INLINE} WSH=63",
        f"1 {CM_80} inline:{INLINE} -",
        f"1 {CM_80} inline:{INLINE} WSH=64 X-NEW",
    ],
)
def test_what_cannot_be_carried_out_is_passed_over(value: str) -> None:
    assert parse_crypto(value) is None
    with pytest.raises(NoCommonMedia):
        answer(described("m=audio 4000 RTP/SAVP 0", f"a=crypto:{value}"), PREFERRED)
    # The next one counts.
    lines = ("m=audio 4000 RTP/SAVP 0", f"a=crypto:{value}", crypto(9, CM_80))
    _, parameters = answer(described(*lines), PREFERRED)
    assert parameters.srtp is not None
    assert parameters.srtp.remote_key == key_of(CM_80, 1)


@pytest.mark.parametrize("padding", ["==", "=", ""])
def test_padding_may_be_missing(padding: str) -> None:
    """RFC 6188: 46 octets end in padding; some peers leave it out."""
    text = base64.b64encode(key_of("AES_256_CM_HMAC_SHA1_80", 3)).decode().rstrip("=")
    attribute = parse_crypto(f"1 AES_256_CM_HMAC_SHA1_80 inline:{text}{padding}")
    assert attribute is not None
    assert attribute.key == key_of("AES_256_CM_HMAC_SHA1_80", 3)


def test_suites_of_sdp_are_those_of_the_media_plane() -> None:
    assert dict(SUITES) == {name: suite.master_octets for name, suite in srtp.SUITES.items()}
    assert set(DEFAULT_SUITES) < set(SUITES)


# -- answering ---------------------------------------------------------------------------------------------------------

SECURE = ("m=audio 4002 RTP/SAVP 0", crypto(1, CM_80))
PLAIN = ("m=audio 4004 RTP/AVP 0",)
BESIDE = ("m=audio 4006 RTP/AVP 0", crypto(1, CM_80))
UNUSABLE = ("m=audio 4008 RTP/SAVP 0", "a=crypto:1 F8_128_HMAC_SHA1_80 inline:" + INLINE)
BESIDE_UNUSABLE = ("m=audio 4010 RTP/AVP 0", "a=crypto:1 F8_128_HMAC_SHA1_80 inline:" + INLINE)
NO_KEY = ("m=audio 4012 RTP/SAVP 0",)


@pytest.mark.parametrize(
    ("lines", "ours", "port", "secure"),
    [
        (SECURE, PREFERRED, 4002, True),
        (SECURE, REQUIRED, 4002, True),
        (SECURE, OFF, 0, False),
        (PLAIN, PREFERRED, 4004, False),
        (PLAIN, REQUIRED, 0, False),
        (PLAIN, OFF, 4004, False),
        # RFC 8643 §3.1: keys beside RTP/AVP ask for SRTP; who wants none passes them over.
        (BESIDE, PREFERRED, 4006, True),
        (BESIDE, REQUIRED, 4006, True),
        (BESIDE, OFF, 4006, False),
        (UNUSABLE, PREFERRED, 0, False),
        (UNUSABLE, REQUIRED, 0, False),
        (BESIDE_UNUSABLE, PREFERRED, 4010, False),
        (BESIDE_UNUSABLE, REQUIRED, 0, False),
        (NO_KEY, PREFERRED, 0, False),
        # Of several the secure one, whatever their order.
        ((*PLAIN, *SECURE), PREFERRED, 4002, True),
        ((*SECURE, *PLAIN), PREFERRED, 4002, True),
        ((*PLAIN, *SECURE), REQUIRED, 4002, True),
        ((*SECURE, *PLAIN), OFF, 4004, False),
        ((*UNUSABLE, *PLAIN), PREFERRED, 4004, False),
        ((*UNUSABLE, *PLAIN), REQUIRED, 0, False),
        ((*PLAIN, *BESIDE), PREFERRED, 4006, True),
    ],
)
def test_policy_decides_which_stream_is_taken(
    lines: tuple[str, ...], ours: LocalCapabilities, port: int, secure: bool
) -> None:
    if not port:
        with pytest.raises(NoCommonMedia) as caught:
            answer(described(*lines), ours)
        assert caught.value.status_hint == 488
        return
    offer = described(*lines)
    answered, parameters = answer(offer, ours)
    assert parameters.remote_rtp_port == port
    assert (parameters.srtp is not None) == secure == bool(audio(answered).values("crypto"))
    assert [media.protocol for media in answered.media] == [media.protocol for media in offer.media]
    assert [media.port != 0 for media in answered.media] == [media.port == port for media in offer.media]


@pytest.mark.parametrize("protocol", ["RTP/SAVP", "RTP/SAVPF"])
def test_5_1_2_answer_has_the_tag_the_suite_and_a_key_of_its_own(protocol: str) -> None:
    answered, parameters = answer(
        described(f"m=audio 4000 {protocol} 0", crypto(3, CM_32, 5), crypto(4, GCM_128, 6)), local()
    )
    assert audio(answered).protocol == protocol
    assert parameters.srtp is not None
    (ours,) = cryptos(answered)
    assert (ours.tag, ours.suite) == (3, CM_32)
    assert ours.key == parameters.srtp.local_key != parameters.srtp.remote_key == key_of(CM_32, 5)


def test_5_1_1_order_of_the_offer_is_the_preference() -> None:
    lines = (crypto(1, CM_32), crypto(2, GCM_256), crypto(3, CM_80))
    for suites, chosen in (((CM_80, GCM_256, CM_32), CM_32), ((CM_80, GCM_256), GCM_256), ((CM_80,), CM_80)):
        _, parameters = answer(described("m=audio 4000 RTP/SAVP 0", *lines), replace(PREFERRED, srtp_suites=suites))
        assert parameters.srtp is not None
        assert parameters.srtp.suite == chosen


def test_dtls_srtp_is_not_taken_for_sdes() -> None:
    with pytest.raises(NoCommonMedia):
        answer(described("m=audio 4000 UDP/TLS/RTP/SAVPF 0", crypto(1, CM_80)), PREFERRED)


# -- offering ----------------------------------------------------------------------------------------------------------


def test_offer_by_policy() -> None:
    for policy, protocol, suites in (
        (SrtpPolicy.OFF, "RTP/AVP", []),
        (SrtpPolicy.PREFERRED, "RTP/AVP", list(DEFAULT_SUITES)),
        (SrtpPolicy.REQUIRED, "RTP/SAVP", list(DEFAULT_SUITES)),
    ):
        offer = make_offer(local(policy))
        assert audio(offer).protocol == protocol
        assert [attribute.suite for attribute in cryptos(offer)] == suites
        assert [attribute.tag for attribute in cryptos(offer)] == list(range(1, len(suites) + 1))
        assert len({attribute.key for attribute in cryptos(offer)}) == len(suites)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("near", [SrtpPolicy.PREFERRED, SrtpPolicy.REQUIRED])
@pytest.mark.parametrize("far", [SrtpPolicy.PREFERRED, SrtpPolicy.REQUIRED])
def test_two_of_us_agree_on_suite_and_keys(suite: str, near: SrtpPolicy, far: SrtpPolicy) -> None:
    offer = make_offer(local(near, srtp_suites=(suite,)))
    there = local(far, srtp_suites=tuple(SUITES), address="192.0.2.20", entropy=lambda n: bytes(n))
    answered, theirs = answer(parse(offer.serialize()), there)
    ours = accept_answer(offer, parse(answered.serialize()))
    assert ours.srtp is not None
    assert theirs.srtp is not None
    assert ours.srtp.suite == theirs.srtp.suite == suite
    assert (ours.srtp.local_key, ours.srtp.remote_key) == (theirs.srtp.remote_key, theirs.srtp.local_key)
    for parameters in (ours, theirs):
        assert repr(parameters.srtp) == f"SrtpParameters(suite={suite!r})"


@pytest.mark.parametrize(
    ("policy", "lines", "secure"),
    [
        (SrtpPolicy.PREFERRED, ("m=audio 4000 RTP/AVP 0",), False),
        (SrtpPolicy.PREFERRED, ("m=audio 4000 RTP/AVP 0", crypto(2, GCM_128, 9)), True),
        (SrtpPolicy.PREFERRED, ("m=audio 4000 RTP/SAVP 0", crypto(2, GCM_128, 9)), True),
        (SrtpPolicy.REQUIRED, ("m=audio 4000 RTP/SAVP 0", crypto(2, GCM_128, 9)), True),
        (SrtpPolicy.OFF, ("m=audio 4000 RTP/AVP 0", crypto(2, GCM_128, 9)), False),
    ],
)
def test_answer_decides(policy: SrtpPolicy, lines: tuple[str, ...], secure: bool) -> None:
    parameters = accept_answer(make_offer(local(policy)), described(*lines))
    assert (parameters.srtp is not None) == secure


@pytest.mark.parametrize(
    ("policy", "lines"),
    [
        (SrtpPolicy.OFF, ("m=audio 4000 RTP/SAVP 0", crypto(1, CM_80, 9))),
        (SrtpPolicy.PREFERRED, ("m=audio 4000 RTP/SAVP 0",)),
        (SrtpPolicy.REQUIRED, ("m=audio 4000 RTP/AVP 0",)),
        (SrtpPolicy.REQUIRED, ("m=audio 4000 RTP/SAVP 0",)),
        # §5.1.3: a tag of ours with its suite. Who tries and fails encrypts, and is never heard as plain RTP.
        (SrtpPolicy.PREFERRED, ("m=audio 4000 RTP/AVP 0", crypto(1, CM_80, 9))),
        (SrtpPolicy.PREFERRED, ("m=audio 4000 RTP/AVP 0", crypto(77, CM_80, 9))),
        (SrtpPolicy.PREFERRED, ("m=audio 4000 RTP/AVP 0", "a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:AAAA")),
        (SrtpPolicy.REQUIRED, ("m=audio 4000 RTP/SAVP 0", crypto(4, CM_80, 9, " UNENCRYPTED_SRTP"))),
    ],
)
def test_5_1_3_answer_that_does_not_fit_ends_the_call(policy: SrtpPolicy, lines: tuple[str, ...]) -> None:
    with pytest.raises(NoCommonMedia):
        accept_answer(make_offer(local(policy)), described(*lines))


def test_answer_with_our_own_key_is_refused() -> None:
    offer = make_offer(REQUIRED)
    echoed = f"a=crypto:{cryptos(offer)[3].value}"
    with pytest.raises(NoCommonMedia, match="our own key"):
        accept_answer(offer, described("m=audio 4000 RTP/SAVP 0", echoed))


# -- changing the session ----------------------------------------------------------------------------------------------


def agreed(ours: LocalCapabilities, *lines: str, current: MediaParameters | None = None) -> MediaParameters:
    return answer(described(*lines), ours, current)[1]


def test_7_1_4_keys_stay_while_the_far_ends_do() -> None:
    ours = local()
    first = agreed(ours, "m=audio 4000 RTP/SAVP 0", crypto(1, CM_80))
    # Hold, another port, another tag, another suite offered after it: the same keys.
    for lines in (
        ("m=audio 4000 RTP/SAVP 0", crypto(1, CM_80), "a=sendonly"),
        ("m=audio 6000 RTP/SAVP 0", crypto(2, CM_80), crypto(3, CM_32)),
        ("m=audio 6000 RTP/AVP 0", crypto(2, CM_80)),
    ):
        assert agreed(ours, *lines, current=first).srtp == first.srtp


@pytest.mark.parametrize(("suite", "key"), [(CM_80, 2), (CM_32, 1), (GCM_128, 1)])
def test_7_1_4_new_key_or_suite_of_the_far_end_gets_a_new_key_of_ours(suite: str, key: int) -> None:
    """Our key must not begin again at index 0 (RFC 3711 §9.1)."""
    ours = local()
    first = agreed(ours, "m=audio 4000 RTP/SAVP 0", crypto(1, CM_80, 1))
    second = agreed(ours, "m=audio 4000 RTP/SAVP 0", crypto(1, suite, key), current=first)
    assert first.srtp is not None
    assert second.srtp is not None
    assert second.srtp.remote_key == key_of(suite, key)
    assert second.srtp.local_key[:2] != first.srtp.local_key[:2]


def test_our_next_offer_keeps_our_key() -> None:
    ours = local(srtp_suites=(GCM_128, CM_80))
    answered, parameters = answer(described("m=audio 4000 RTP/SAVP 0", crypto(3, CM_80)), ours)
    assert parameters.srtp is not None
    again = make_offer(ours.bumped(), answered)
    assert audio(again).protocol == "RTP/SAVP"
    assert [(attribute.tag, attribute.suite) for attribute in cryptos(again)] == [(1, GCM_128), (2, CM_80)]
    assert cryptos(again)[1].key == parameters.srtp.local_key
    # And the one after it too.
    assert cryptos(make_offer(ours.bumped(), again)) == cryptos(again)


def test_plain_call_stays_plain_when_we_offer_again() -> None:
    answered, _ = answer(described(*PLAIN), PREFERRED)
    again = make_offer(PREFERRED.bumped(), answered)
    assert (audio(again).protocol, audio(again).values("crypto")) == ("RTP/AVP", ())


def test_required_never_offers_less() -> None:
    answered, _ = answer(described(*BESIDE), REQUIRED)
    assert audio(make_offer(REQUIRED.bumped(), answered)).protocol == "RTP/SAVP"


def test_our_own_mistakes_are_local_errors() -> None:
    with pytest.raises(LocalProtocolError):
        local(entropy=None)
    with pytest.raises(LocalProtocolError):
        local(srtp_suites=())
    with pytest.raises(LocalProtocolError):
        local(srtp_suites=("AES_CM_128",))


def test_keys_show_in_no_repr_of_a_description() -> None:
    offer = make_offer(REQUIRED)
    for shown in (repr(offer), str(offer), repr(audio(offer)), repr(REQUIRED)):
        for attribute in cryptos(offer):
            assert attribute.value.partition("inline:")[2] not in shown
        assert "inline" not in shown
    assert "m=audio 30000 RTP/SAVP" in repr(offer)
    assert "a=crypto:...; " in repr(offer)
    assert "secret" not in repr(replace(offer, other=(("k", "clear:secret"),)))


# -- whole offers, as they come ----------------------------------------------------------------------------------------

SMALL_UA = (
    "m=audio 10042 RTP/SAVPF 9 0 8 101",
    "b=AS:125",
    "a=rtpmap:9 G722/8000",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-15",
    "a=rtcp:10043",
    "a=rtcp-mux",
    crypto(1, CM_32, 40),
    crypto(2, CM_80, 41),
    "a=label:1",
    "a=ptime:20",
    "a=sendrecv",
)
"An offer such as small user agents make: suites last, mux, G.722 first."

TWO_LINES = (
    "m=audio 4000 RTP/SAVP 8 0 96",
    "a=rtcp:4001 IN IP4 192.0.2.20",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:96 telephone-event/8000",
    "a=fmtp:96 0-16",
    crypto(1, CM_80, 50, "|2^31"),
    crypto(2, CM_32, 51, "|2^31"),
    crypto(3, GCM_256, 52),
    "m=audio 4000 RTP/AVP 8 0 96",
    "a=rtcp:4001 IN IP4 192.0.2.20",
    "a=rtpmap:96 telephone-event/8000",
    "a=sendrecv",
)
"Both profiles on two lines, as client libraries do that may fall back."


def test_offer_of_a_small_user_agent() -> None:
    ours = local(codecs=("PCMU", "PCMA", "G722"), rtcp_mux=True)
    answered, parameters = answer(described(*SMALL_UA), ours)
    assert (parameters.codec, parameters.event_receive_pt, parameters.rtcp_mux) == ("G722", 101, True)
    assert parameters.srtp is not None
    assert parameters.srtp.suite == CM_32
    assert audio(answered).protocol == "RTP/SAVPF"
    assert audio(answered).formats == ("9", "101")
    assert cryptos(answered)[0].tag == 1


def test_offer_with_both_profiles() -> None:
    for ours, taken in ((PREFERRED, 0), (REQUIRED, 0), (OFF, 1)):
        answered, parameters = answer(described(*TWO_LINES), ours)
        assert [media.port for media in answered.media] == [30000 * (slot == taken) for slot in (0, 1)]
        assert (parameters.srtp is None) == (taken == 1)
        assert parameters.remote_rtcp_port == 4001
        assert parameters.event_receive_pt == 96
