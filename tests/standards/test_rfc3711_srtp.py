"""RFC 3711: §3.3 (index, replay), §4.1.1 (AES counter mode), §4.3 (key derivation), §9.5 (authentication), B.2, B.3;
RFC 6188 (AES-256); RFC 7714 §8, §9 (GCM), §16 (vectors)."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pylibsrtp import Policy, Session

from engine.rtp._srtp import SrtpCore
from engine.rtp.srtp import SUITES, SrtpKeys, SrtpKeysPair, fresh_keys
from tests.support.srtp_oracle import aes, aes_cm_keystream, aes_gcm, derive, protect_cm, protect_gcm

AUTHENTICATION, REPLAY, OTHER = -1, -2, -3
MAX_SSRCS = 32
WINDOW = 512

# RFC 3711 B.3
MASTER_KEY = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")
MASTER_SALT = bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")


def octets(n: int, first: int) -> bytes:
    return bytes((first + 7 * i) % 256 for i in range(n))


def pair(suite: str, local: int = 1, remote: int = 2) -> SrtpKeysPair:
    n = SUITES[suite].master_octets
    return SrtpKeysPair(suite, octets(n, local), octets(n, remote))


def cores(suite: str = "AES_CM_128_HMAC_SHA1_80") -> tuple[SrtpCore, SrtpCore]:
    return SrtpCore(pair(suite)), SrtpCore(pair(suite, 2, 1))


def rtp(sequence: int, ssrc: int = 0xCAFEBABE, payload: bytes = b"\xd5" * 160) -> bytes:
    return b"\x80\x00" + (sequence % 65536).to_bytes(2) + (160 * sequence).to_bytes(4) + ssrc.to_bytes(4) + payload


def rtcp(ssrc: int = 0xCAFEBABE, more: bytes = b"") -> bytes:
    return b"\x80\xc9" + (1 + len(more) // 4).to_bytes(2) + ssrc.to_bytes(4) + more


def sealed(core: SrtpCore, packet: bytes) -> bytes:
    n, protected = core.protect(packet)
    assert n == len(protected) > len(packet)
    return protected


# -- the oracle itself -------------------------------------------------------------------------------------------------


def test_fips_197_appendix_c_aes() -> None:
    plain = bytes.fromhex("00112233445566778899aabbccddeeff")
    assert aes(bytes(range(16)), plain).hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"
    assert aes(bytes(range(32)), plain).hex() == "8ea2b7ca516745bfeafc49904b496089"


def test_b_2_counter_mode_key_stream() -> None:
    key = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")
    iv = int.from_bytes(bytes.fromhex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000"))
    stream = aes_cm_keystream(key, iv, 48)
    assert stream.hex().upper() == (
        "E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB41E95B3BB0A2E8DD477901E4FCA894C0"
    )


def test_b_3_key_derivation() -> None:
    assert derive(MASTER_KEY, MASTER_SALT, 0, 16).hex().upper() == "C61E7A93744F39EE10734AFE3FF7A087"
    assert derive(MASTER_KEY, MASTER_SALT, 2, 14).hex().upper() == "30CBBC08863D8C85D49DB34A9AE1"
    assert derive(MASTER_KEY, MASTER_SALT, 1, 94).hex().upper().startswith("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4")


@pytest.mark.parametrize(
    ("key_octets", "expected"),
    [
        (
            16,
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833"
            "899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            32,
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b"
            "7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ],
)
def test_rfc_7714_16_1_gcm(key_octets: int, expected: str) -> None:
    header = bytes.fromhex("8040f17b8041f8d35501a0b2")
    salt = bytes.fromhex("517569642070726f2071756f")
    iv = bytes(x ^ y for x, y in zip(salt, bytes(2) + header[8:] + bytes(4) + header[2:4], strict=True))
    assert iv.hex() == "51753c6580c2726f20718414"
    text = b"Gallia est omnis divisa in partes tres"
    assert aes_gcm(bytes(range(key_octets)), iv, text, header).hex() == expected


# -- libsrtp, through its pointers -------------------------------------------------------------------------------------


def expected_of(suite: str, master: bytes, packet: bytes, *, index: int) -> bytes:
    known = SUITES[suite]
    key, salt = master[: known.key_octets], master[known.key_octets :]
    if suite.startswith("AEAD"):
        return protect_gcm(key, salt, packet, index=index)
    tag = known.rtcp_tag_octets if 200 <= packet[1] <= 207 else known.rtp_tag_octets
    return protect_cm(key, salt, packet, index=index, tag=tag)


def test_packets_under_the_master_key_of_b_3() -> None:
    local = MASTER_KEY + MASTER_SALT
    core = SrtpCore(SrtpKeysPair("AES_CM_128_HMAC_SHA1_80", local, octets(30, 1)))
    packet = bytes.fromhex("800f1234decafbadcafebabe") + b"\xab" * 16
    assert sealed(core, packet) == protect_cm(MASTER_KEY, MASTER_SALT, packet, index=0x1234, tag=10)


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_makes_the_bytes_of_the_standard(suite: str) -> None:
    near, far = cores(suite)
    master = octets(SUITES[suite].master_octets, 1)
    for sequence in (65534, 65535, 65536):  # §3.3.1: the rollover counter goes into IV and tag
        packet = rtp(sequence, payload=octets(33, sequence % 200))
        protected = sealed(near, packet)
        assert protected == expected_of(suite, master, packet, index=sequence)
        assert far.unprotect(protected) == (len(packet), packet)
    # libsrtp counts SRTCP from 1.
    report = rtcp(more=octets(24, 9))
    assert near.protect_rtcp(report)[1] == expected_of(suite, master, report, index=1)


PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}


@pytest.mark.parametrize("suite", PROFILES)
def test_same_bytes_as_the_wheels_own_interface(suite: str) -> None:
    master = octets(SUITES[suite].master_octets, 1)
    theirs = Session(Policy(key=master, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=PROFILES[suite]))
    ours, _ = cores(suite)
    for sequence in range(65500, 65600):
        assert ours.protect(rtp(sequence))[1] == theirs.protect(rtp(sequence))
    for _ in range(3):
        assert ours.protect_rtcp(rtcp())[1] == theirs.protect_rtcp(rtcp())


def test_both_ways_with_rtcp() -> None:
    near, far = cores()
    assert far.unprotect(sealed(near, rtp(1)))[1] == rtp(1)
    assert near.unprotect(sealed(far, rtp(1)))[1] == rtp(1)
    n, report = near.protect_rtcp(rtcp())
    assert n == len(report) == 8 + 4 + 10
    assert far.unprotect_rtcp(report) == (8, rtcp())
    assert far.unprotect_rtcp(report) == (REPLAY, b"")


@pytest.mark.parametrize("suite", SUITES)
def test_9_5_one_changed_bit_anywhere_is_refused(suite: str) -> None:
    near, far = cores(suite)
    protected = sealed(near, rtp(7, payload=b"\x11" * 20))
    for at in range(2, len(protected)):  # the first two octets say version, CSRC, extension: other faults
        broken = bytearray(protected)
        broken[at] ^= 0x01
        assert far.unprotect(bytes(broken))[0] == AUTHENTICATION
    assert far.counters()["authentication"] == len(protected) - 2
    # Nothing of that moved the replay window: the true packet is still taken.
    assert far.unprotect(protected)[1] == rtp(7, payload=b"\x11" * 20)


def test_other_keys_and_plain_rtp_are_refused() -> None:
    near, far = cores()
    stranger = SrtpCore(pair("AES_CM_128_HMAC_SHA1_80", 77, 78))
    assert far.unprotect(sealed(stranger, rtp(1)))[0] == AUTHENTICATION
    assert far.unprotect(rtp(1))[0] == AUTHENTICATION
    assert far.unprotect_rtcp(rtcp(more=bytes(24)))[0] == OTHER  # its E bit says that it is not encrypted
    assert far.unprotect(sealed(near, rtp(1)))[0] > 0


def test_3_3_2_replay_and_too_old() -> None:
    near, far = cores()
    packets = [sealed(near, rtp(sequence)) for sequence in range(WINDOW + 3)]
    assert far.unprotect(packets[0])[0] > 0
    assert far.unprotect(packets[0])[0] == REPLAY
    assert far.unprotect(packets[-1])[0] > 0
    assert far.unprotect(packets[1])[0] == REPLAY  # never seen, but behind the window
    assert far.unprotect(packets[4])[0] > 0  # late, and in it
    assert far.unprotect(packets[4])[0] == REPLAY
    assert far.counters()["replay"] == 3


def test_same_sequence_number_is_never_protected_twice() -> None:
    """RFC 3711 §9.1: two packets under one index are a two-time pad."""
    near, _ = cores()
    sealed(near, rtp(5))
    assert near.protect(rtp(5, payload=b"\x22" * 160)) == (-1, b"")
    assert near.counters()["not_protected"] == 1


def test_3_3_1_rollover_with_loss_and_reordering() -> None:
    near, far = cores()
    packets = {sequence: sealed(near, rtp(sequence)) for sequence in range(65500, 65700)}
    order = [*range(65500, 65530), *range(65560, 65530, -1), 65537, 65600, 65561, 65699]
    taken = [far.unprotect(packets[sequence])[0] > 0 for sequence in order]
    assert taken == [order.index(sequence) == at for at, sequence in enumerate(order)]


@given(st.integers(0, 65535), st.lists(st.integers(0, 400), min_size=1, max_size=60))
@settings(max_examples=200, deadline=None)
def test_3_3_1_any_order_within_the_window_is_taken_once(first: int, order: list[int]) -> None:
    """Whatever is lost, late or doubled, on whichever side of a wrap: each packet once, and as it was."""
    near, far = cores("AEAD_AES_128_GCM")
    packets = [rtp(first + offset) for offset in range(401)]
    protected = [sealed(near, packet) for packet in packets]
    assert far.unprotect(protected[0])[1] == packets[0]  # the receiver's counter begins where the sender's does
    seen = {0}
    for offset in order:
        n, packet = far.unprotect(protected[offset])
        if offset in seen:
            assert n == REPLAY
        else:
            assert packet == packets[offset]
        seen.add(offset)


def test_ssrc_may_change_and_each_has_its_own_counter() -> None:
    near, far = cores()
    for ssrc in (1, 2, 1, 3):
        packet = rtp(65535 + ssrc + far.counters()["unprotected"], ssrc)
        assert far.unprotect(sealed(near, packet))[1] == packet


def test_number_of_ssrcs_is_bounded() -> None:
    """A caller has keys, so that its packets authenticate; it must not fill our memory with streams."""
    near, far = cores()
    for ssrc in range(MAX_SSRCS):
        assert far.unprotect(sealed(near, rtp(1, ssrc + 1)))[0] > 0
    late = sealed(near, rtp(1, 0xFFFF))
    assert far.unprotect(late)[0] == OTHER
    assert far.unprotect(sealed(near, rtp(2, 5)))[0] > 0  # those that are known go on


def test_what_is_not_authenticated_takes_no_ssrcs_place() -> None:
    near, far = cores()
    for ssrc in range(2 * MAX_SSRCS):
        assert far.unprotect(rtp(1, ssrc + 1))[0] == AUTHENTICATION
    assert far.unprotect(sealed(near, rtp(1)))[0] > 0


def test_re_key_takes_the_new_keys_only() -> None:
    near, far = cores()
    assert far.unprotect(sealed(near, rtp(1)))[0] > 0
    near2, far2 = SrtpCore(pair("AEAD_AES_128_GCM", 5, 6), previous=near), SrtpCore(pair("AEAD_AES_128_GCM", 6, 5))
    assert far2.unprotect(sealed(near2, rtp(2)))[0] > 0
    assert far2.unprotect(sealed(near, rtp(3)))[0] == AUTHENTICATION


def test_unchanged_direction_keeps_rollover_and_replay_state() -> None:
    suite = "AES_CM_128_HMAC_SHA1_80"
    near, far = cores(suite)
    early = sealed(near, rtp(65535))
    assert far.unprotect(early)[0] > 0
    # The far end re-keys what it sends; what we send goes on under the old key, and its counter must too.
    near2, far2 = SrtpCore(pair(suite, 1, 9), previous=near), SrtpCore(pair(suite, 9, 1), previous=far)
    protected = sealed(near2, rtp(65536))
    assert protected == expected_of(suite, octets(30, 1), rtp(65536), index=65536)
    assert near2.protect(rtp(65535))[0] == -1
    assert far2.unprotect(protected)[0] > 0
    assert far2.unprotect(early)[0] == REPLAY
    assert near2.unprotect(sealed(far2, rtp(1)))[0] > 0


def test_closed_core_refuses_and_never_lets_plain_rtp_through() -> None:
    near, far = cores()
    protected = sealed(near, rtp(1))
    for core in (near, far):
        core.close()
        core.close()
    assert near.protect(rtp(2)) == (-1, b"")
    assert near.protect_rtcp(rtcp()) == (-1, b"")
    assert far.unprotect(protected) == (OTHER, b"")
    assert far.unprotect(rtp(2)) == (OTHER, b"")


@given(st.binary(max_size=300), st.sampled_from(sorted(SUITES)))
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_refused_and_counted(data: bytes, suite: str) -> None:
    _, far = cores(suite)
    assert far.unprotect(data)[0] in (AUTHENTICATION, REPLAY, OTHER)
    assert far.unprotect_rtcp(data)[0] in (AUTHENTICATION, REPLAY, OTHER)
    counters = far.counters()
    assert counters["authentication"] + counters["replay"] + counters["other"] == 2


@given(st.binary(max_size=60), st.binary(max_size=200))
@settings(max_examples=400, deadline=None)
def test_any_packet_of_ours_is_protected_or_refused(head: bytes, rest: bytes) -> None:
    near, far = cores()
    packet = b"\x80\x00" + head + rest
    n, protected = near.protect(packet)
    if n > 0:
        assert far.unprotect(protected)[1] == packet


# -- keys --------------------------------------------------------------------------------------------------------------


def test_keys_show_nowhere_and_are_wiped() -> None:
    keys = pair("AES_CM_128_HMAC_SHA1_80")
    secret = bytes(keys.local.reveal())
    for text in (repr(keys), str(keys), repr(keys.local), f"{keys.remote}"):
        assert "AES_CM_128_HMAC_SHA1_80" in text
        assert secret.hex() not in text
        assert "\\x" not in text
    with pytest.raises(TypeError):
        pickle.dumps(keys.local)
    octets_themselves = keys.local.reveal()
    keys.wipe()
    keys.wipe()
    assert octets_themselves == bytes(30)
    assert keys.local.reveal() == b""
    with pytest.raises(ValueError, match="wiped"):
        SrtpCore(keys)


def test_keys_are_equal_by_suite_and_octets() -> None:
    assert pair("AEAD_AES_128_GCM") == pair("AEAD_AES_128_GCM")
    assert pair("AEAD_AES_128_GCM") != pair("AEAD_AES_128_GCM", 1, 3)
    assert pair("AES_CM_128_HMAC_SHA1_80") != pair("AES_CM_128_HMAC_SHA1_32")
    wiped = pair("AEAD_AES_128_GCM")
    wiped.wipe()
    assert wiped != wiped
    assert wiped != "AEAD_AES_128_GCM"


def test_fresh_keys_are_as_long_as_the_suite_wants() -> None:
    for name, suite in SUITES.items():
        assert fresh_keys(name, bytes).reveal() == bytes(suite.master_octets)
    with pytest.raises(ValueError, match="no SRTP suite"):
        fresh_keys("F8_128_HMAC_SHA1_80", bytes)
    with pytest.raises(ValueError, match="30 octets"):
        SrtpKeys("AES_CM_128_HMAC_SHA1_80", bytes(29))
    with pytest.raises(ValueError, match="no SRTP suite"):
        SrtpKeys("AES_CM_128", bytes(30))
