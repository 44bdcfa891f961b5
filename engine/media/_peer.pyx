"""Whom a leg listens to: addresses and streams.

Symmetric RTP, against injection (RFC 4961, RFC 7362 §4): we send to the signalled address until a valid packet (RTP of
version 2 with a negotiated payload type) came. The first valid source is latched; the signalled one takes over whenever
it is heard. Once latched, others are counted and dropped, unless they come from the same IP address with the SSRC that we
follow (gateways that send events from a port of their own), or the latched source has been silent for 2 s and they send
five packets in sequence (RFC 3550 A.1 has such a probation). While a leg is flooded, and for some seconds after, nobody
new is believed: a flood silences the peer, and must not then speak for it. What SRTP found authentic needs no probation.
A re-INVITE that names another address starts this anew.

Nothing here allocates, waits or touches a Python object.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.string cimport memcmp

from engine.media._leg cimport LegState
from engine.media._system cimport Address
from engine.rtp._jitter cimport jitter_restart
from engine.rtp._packet cimport RtpHeader
from engine.rtp._source cimport source_start

cdef int64_t RELATCH_NS = 2000000000
cdef int64_t SOURCE_SILENT_NS = 100000000
cdef int64_t FLOOD_REST_NS = 5000000000

cdef enum:
    PROBATION = 5


cdef bint same_address(const Address* a, const Address* b) noexcept nogil:
    return memcmp(a, b, sizeof(Address)) == 0


cdef bint same_host(const Address* a, const Address* b) noexcept nogil:
    return a.family == b.family and memcmp(a.ip, b.ip, sizeof(a.ip)) == 0


cdef bint _proves_itself(LegState* leg, const Address* source, const RtpHeader* header, int64_t now_ns) noexcept nogil:
    """Tell whether a new source has sent PROBATION packets in a row, and may take the place of a silent one."""
    if leg.flooded_ns and now_ns - leg.flooded_ns <= FLOOD_REST_NS:
        return False
    if leg.srtp != NULL:
        return True
    if not same_address(source, &leg.newcomer) or header.sequence != leg.newcomer_sequence:
        leg.newcomer = source[0]
        leg.newcomer_packets = 0
    leg.newcomer_sequence = <uint16_t>(header.sequence + 1)
    leg.newcomer_packets += 1
    return leg.newcomer_packets >= PROBATION


cdef bint from_our_peer(LegState* leg, const Address* source, const RtpHeader* header, int64_t now_ns) noexcept nogil:
    """Apply the rules of symmetric RTP to a valid packet; latch where they say so."""
    if leg.is_latched and same_address(source, &leg.latched):
        leg.latched_heard_ns = now_ns
        return True
    if leg.is_latched and not same_address(source, &leg.config.remote):
        if now_ns - leg.latched_heard_ns <= RELATCH_NS:
            return same_host(source, &leg.latched) and leg.source.valid and leg.source.ssrc == header.ssrc
        if not _proves_itself(leg, source, header, now_ns):
            return False
    if leg.is_latched:
        leg.counters.relatched += 1
    leg.latched = source[0]
    leg.is_latched = True
    leg.latched_heard_ns = now_ns
    leg.newcomer_packets = 0
    return True


cdef bint follow_source(LegState* leg, const RtpHeader* header, int64_t now_ns) noexcept nogil:
    """Tell whether an audio packet is of the stream that we play; change streams where the peer did.

    A new SSRC takes over when the old one is silent, or with two packets in sequence and none of the old one between
    (RFC 3550 A.1's MIN_SEQUENTIAL): two streams at once do not tear each other apart.
    """
    if not leg.source.valid:
        source_start(&leg.source, header.ssrc, header.sequence)
    elif header.ssrc != leg.source.ssrc:
        if now_ns - leg.source_heard_ns <= SOURCE_SILENT_NS and not (
            leg.has_candidate
            and leg.candidate_ssrc == header.ssrc
            and <uint16_t>(leg.candidate_sequence + 1) == header.sequence
        ):
            leg.has_candidate = True
            leg.candidate_ssrc = header.ssrc
            leg.candidate_sequence = header.sequence
            return False
        source_start(&leg.source, header.ssrc, header.sequence)
        jitter_restart(&leg.jitter)
        leg.last_sr = 0
        leg.counters.ssrc_changes += 1
    leg.has_candidate = False
    leg.source_heard_ns = now_ns
    return True


cdef bint rtcp_from_our_peer(const LegState* leg, const Address* source) noexcept nogil:
    """Tell whether RTCP came from the peer's host: the signalled one, or the one whose RTP we hear (RFC 4961)."""
    if leg.is_rtcp_latched and same_address(source, &leg.latched_rtcp):
        return True
    return same_host(source, &leg.config.remote_rtcp) or (leg.is_latched and same_host(source, &leg.latched))
