"""RFC 3550: §5.1 headers, §6 reports, appendix A.1 sequence numbers, A.2 RTCP validity, A.3 loss, A.8 jitter."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.rtp import PacketFault, PacketFaultError, RtpPacket
from engine.rtp import _rtcp as rtcp
from engine.rtp._source import Source

OK, OLD, JUMP, RESTART = range(4)
HEADER = bytes.fromhex("80 00 0001 00000002 00000003")


def fault(data: bytes) -> PacketFault:
    with pytest.raises(PacketFaultError) as caught:
        RtpPacket.parse(data)
    return caught.value.fault


# §5.1


def test_a_header_is_read_field_by_field() -> None:
    packet = RtpPacket.parse(bytes.fromhex("80 e5 fffe 89abcdef 01234567 0a0b"))
    assert packet == RtpPacket(
        payload_type=101, marker=True, sequence=0xFFFE, timestamp=0x89ABCDEF, ssrc=0x01234567, payload=b"\x0a\x0b"
    )


def test_what_is_built_reads_the_same() -> None:
    packet = RtpPacket(payload_type=8, marker=True, sequence=7, timestamp=9, ssrc=11, payload=b"abc")
    assert RtpPacket.parse(packet.to_bytes()) == packet


def test_csrc_list_and_extension_are_passed_over() -> None:
    csrc = bytes(8)
    extension = bytes.fromhex("bede 0002") + bytes(8)
    assert RtpPacket.parse(b"\x92" + HEADER[1:] + csrc + extension + b"xy").payload == b"xy"


def test_padding_is_taken_off() -> None:
    assert RtpPacket.parse(b"\xa0" + HEADER[1:] + b"ab\x00\x00\x03").payload == b"ab"


def test_a_packet_may_be_all_padding() -> None:
    assert RtpPacket.parse(b"\xa0" + HEADER[1:] + b"\x01").payload == b""


@pytest.mark.parametrize("n", range(12))
def test_a_packet_shorter_than_its_header_is_none(n: int) -> None:
    assert fault(HEADER[:n]) is PacketFault.SHORT


@pytest.mark.parametrize("first", [0x00, 0x40, 0xC0])
def test_another_version_is_refused(first: int) -> None:
    assert fault(bytes([first]) + HEADER[1:]) is PacketFault.VERSION


def test_a_csrc_list_that_is_cut_off_is_refused() -> None:
    assert fault(b"\x83" + HEADER[1:] + bytes(11)) is PacketFault.CSRC


@pytest.mark.parametrize(
    "tail", [b"", b"\xbe\xde\x00", b"\xbe\xde\x00\x02" + bytes(7), b"\xbe\xde\xff\xff" + bytes(64)]
)
def test_an_extension_that_is_cut_off_is_refused(tail: bytes) -> None:
    assert fault(b"\x90" + HEADER[1:] + tail) is PacketFault.EXTENSION


@pytest.mark.parametrize("tail", [b"", b"\x00", b"a\x03", b"\xff"])
def test_padding_that_cannot_be_is_refused(tail: bytes) -> None:
    assert fault(b"\xa0" + HEADER[1:] + tail) is PacketFault.PADDING


def test_stun_is_recognised() -> None:
    assert fault(bytes.fromhex("0001 0000 2112a442") + bytes(12)) is PacketFault.STUN


@pytest.mark.parametrize("kind", [192, 200, 201, 202, 203, 204, 207, 223])
def test_rtcp_on_the_rtp_port_is_recognised(kind: int) -> None:
    assert fault(bytes([0x80, kind]) + HEADER[2:]) is PacketFault.RTCP


def test_the_text_of_a_packet_shows_no_payload() -> None:
    assert "0507" not in repr(RtpPacket(payload_type=101, sequence=1, timestamp=2, ssrc=3, payload=b"0507"))


# A.1


def test_sequence_numbers_wrap_into_cycles() -> None:
    source = Source(1, 65534)
    assert [source.receive(n) for n in (65534, 65535, 0, 1)] == [OK] * 4
    assert source.extended_sequence == 65536 + 1
    assert source.lost == 0


def test_a_source_is_heard_from_its_first_packet() -> None:
    # A.1 would wait for MIN_SEQUENTIAL packets; the first may be all that is ever heard of a key.
    assert Source(1, 7).receive(7) == OK


def test_a_gap_below_max_dropout_is_loss() -> None:
    source = Source(1, 10)
    source.receive(10)
    assert source.receive(10 + 2999) == OK
    assert source.lost == 2998


def test_a_jump_is_dropped_until_the_next_packet_follows_it() -> None:
    source = Source(1, 10)
    source.receive(10)
    assert source.receive(30000) == JUMP
    assert source.receive(11) == OK
    assert source.receive(40000) == JUMP
    assert source.receive(40001) == RESTART
    assert source.extended_sequence == 40001


def test_a_restart_keeps_the_loss_counted_before() -> None:
    source = Source(1, 10)
    for n in (10, 12):
        source.receive(n)
    source.receive(30000)
    source.receive(30001)
    source.receive(30002)
    assert source.lost == 1


@pytest.mark.parametrize("behind", [1, 50, 99])
def test_a_packet_shortly_behind_is_old_and_not_a_jump(behind: int) -> None:
    source = Source(1, 500)
    source.receive(500)
    assert source.receive(500 - behind) == OLD
    assert source.extended_sequence == 500


def test_a_duplicate_is_old() -> None:
    source = Source(1, 500)
    source.receive(500)
    assert source.receive(500) == OLD


class Oracle:
    """A.1 and A.3 in plain integers: update_seq without probation, and the cumulative loss."""

    def __init__(self, first: int) -> None:
        self.before = 0
        self.bad = -1
        self._start(first)

    def _start(self, first: int) -> None:
        self.base = self.highest = first
        self.received = 0
        self.bad = -1

    @property
    def lost(self) -> int:
        return self.before + (self.highest - self.base + 1 - self.received if self.received else 0)

    def receive(self, sequence: int) -> int:
        ahead = (sequence - self.highest) % 65536
        verdict = OK
        if ahead < 3000:
            verdict = OLD if ahead == 0 and self.received else OK
            self.highest += ahead
        elif ahead > 65536 - 100:
            verdict = OLD
        elif sequence != self.bad:
            self.bad = (sequence + 1) % 65536
            return JUMP
        else:
            self.before = self.lost
            self._start(sequence)
            verdict = RESTART
        self.received += 1
        return verdict


@given(
    st.integers(0, 65535),
    st.lists(
        st.integers(-99, 5) | st.sampled_from([1, 1, 1, 0, 2999, 3000, -100, -99, 32768, 65535]),
        min_size=1,
        max_size=300,
    ),
)
@settings(deadline=None, max_examples=200)
def test_wraps_misorder_duplicates_and_restarts_are_counted_exactly(first: int, steps: list[int]) -> None:
    source, oracle = Source(1, first), Oracle(first)
    sequence = first
    for step in [0, *steps]:
        sequence = (sequence + step) % 65536
        assert source.receive(sequence) == oracle.receive(sequence)
        assert source.lost == oracle.lost
        assert source.extended_sequence % 65536 == oracle.highest % 65536
        assert source.extended_sequence // 65536 == oracle.highest // 65536


# A.3


def test_loss_is_expected_less_received_and_falls_with_duplicates() -> None:
    source = Source(1, 0)
    for n in (0, 1, 3, 3, 3):
        source.receive(n)
    assert source.lost == -1


def test_the_fraction_lost_is_of_the_interval() -> None:
    source = Source(1, 0)
    for n in range(0, 8, 2):
        source.receive(n)
    assert source.fraction_lost() == (3 << 8) // 7
    for n in range(7, 17):
        source.receive(n)
    assert source.fraction_lost() == 0


# A.8


def test_jitter_of_a_steady_stream_is_zero() -> None:
    source = Source(1, 0)
    for n in range(100):
        source.receive(n, arrival=5000 + 160 * n, timestamp=0xFFFFFFF0 + 160 * n)
    assert source.jitter == 0


def test_jitter_approaches_the_mean_deviation_by_sixteenths() -> None:
    source = Source(1, 0)
    expected = 0.0
    arrivals = [160 * n + (80 if n % 2 else 0) for n in range(200)]
    for n, arrival in enumerate(arrivals):
        source.receive(n, arrival=arrival, timestamp=160 * n)
        if n:
            expected += (80 - expected) / 16
    assert source.jitter == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_jitter_is_in_units_of_the_streams_clock(rate_hz: int) -> None:
    # 100 ms to and fro: 4800 units at 48 kHz, more than half a second is at 8 kHz.
    packet, late = rate_hz // 50, rate_hz // 10
    source = Source(1, 0, rate_hz=rate_hz)
    for n in range(400):
        source.receive(n, arrival=packet * n + (late if n % 2 else 0), timestamp=packet * n)
    assert source.jitter == pytest.approx(late, rel=0.01)


def test_a_timestamp_that_jumps_is_no_jitter() -> None:
    source = Source(1, 0)
    for n in range(50):
        source.receive(n, arrival=160 * n, timestamp=160 * n + (100_000 if n >= 25 else 0))
    assert source.jitter == 0


# §6.4 and A.2

SENDER = (0x83AA7E80, 0x80000000, 16000, 100, 16000)
RECEPTION = (0xCAFE, 64, -3, 0x10005, 42, 0x7E808000, 65536)


def test_a_sender_report_comes_back_as_it_was_built() -> None:
    data = rtcp.build(0xBEEF, b"cname", sender=SENDER, reception=RECEPTION, bye=True)
    assert len(data) % 4 == 0
    summary = rtcp.parse(data, 0xCAFE)
    assert summary is not None
    assert (summary["ssrc"], summary["bye"], summary["leaving"]) == (0xBEEF, True, [0xBEEF])
    assert (summary["sender"], summary["reception"]) == (SENDER, RECEPTION[1:])


def test_a_sender_report_stands_on_the_wire_as_the_figure_in_6_4_1_has_it() -> None:
    data = rtcp.build(0xBEEF, b"abc", sender=SENDER, reception=RECEPTION)
    assert data.hex(" ", 4) == (
        "81c8000c 0000beef 83aa7e80 80000000 00003e80 00000064 00003e80 "
        "0000cafe 40fffffd 00010005 0000002a 7e808000 00010000 "
        "81ca0003 0000beef 01036162 63000000"
    )


def test_a_receiver_report_without_a_source_is_whole() -> None:
    summary = rtcp.parse(rtcp.build(1, b"x"), 2)
    assert summary is not None
    assert summary["ssrc"] == 1
    assert (summary["bye"], summary["sender"], summary["reception"]) == (False, None, None)


@pytest.mark.parametrize("lost", [-0x800000 - 5, -1, 0, 0x7FFFFF + 5])
def test_the_cumulative_loss_is_clamped_to_24_bits(lost: int) -> None:
    data = rtcp.build(1, b"x", reception=(2, 0, lost, 0, 0, 0, 0))
    summary = rtcp.parse(data, 2)
    assert summary is not None
    assert summary["reception"] is not None
    assert summary["reception"][1] == min(max(lost, -0x800000), 0x7FFFFF)


def test_a_block_about_another_source_is_not_ours() -> None:
    summary = rtcp.parse(rtcp.build(1, b"x", reception=RECEPTION), 0xCAFF)
    assert summary is not None
    assert summary["reception"] is None


def test_other_packet_types_in_a_compound_are_passed_over() -> None:
    app = bytes.fromhex("80cc0002 00000001 74657374")
    assert rtcp.parse(rtcp.build(1, b"x") + app, 2) is not None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes.fromhex("80c90001"),
        bytes.fromhex("00c90001 00000001"),
        bytes.fromhex("a0c90001 00000001"),
        bytes.fromhex("81ca0001 00000001"),
        bytes.fromhex("80c90002 00000001"),
        bytes.fromhex("80c90001 00000001 80"),
        bytes.fromhex("80c90001 00000001 a0cb0001 00000001 81cb0001 00000001"),
        bytes.fromhex("80c90001 00000001 40cb0001 00000001"),
    ],
    ids=["empty", "short", "version", "padding-first", "sdes-first", "length", "odd", "padding-amid", "version-amid"],
)
def test_what_is_no_compound_is_refused(data: bytes) -> None:
    assert rtcp.parse(data, 0) is None


def test_a_report_that_counts_more_blocks_than_it_has_gives_none() -> None:
    data = bytearray(rtcp.build(1, b"x", reception=RECEPTION))
    data[0] = 0x9F
    summary = rtcp.parse(bytes(data), 0xCAFE)
    assert summary is not None
    assert summary["reception"] is None
