"""Whom a leg listens to: addresses and streams.

Symmetric RTP, against injection (RFC 4961, RFC 7362 §4): we send to the signalled address until a valid packet (RTP of
version 2 with a negotiated payload type) came. The first valid source is latched; the signalled one takes over whenever
it is heard. Once latched, others are counted and dropped, unless the latched source has been silent for 2 s, or they
come from the same IP address with the SSRC that we follow (gateways that send events from a port of their own).
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


cdef bint same_address(const Address* a, const Address* b) noexcept nogil:
    return memcmp(a, b, sizeof(Address)) == 0


cdef bint same_host(const Address* a, const Address* b) noexcept nogil:
    return a.family == b.family and memcmp(a.ip, b.ip, sizeof(a.ip)) == 0


cdef bint from_our_peer(LegState* leg, const Address* source, uint32_t ssrc, int64_t now_ns) noexcept nogil:
    """Apply the rules of symmetric RTP to a valid packet; latch where they say so."""
    if leg.is_latched and same_address(source, &leg.latched):
        leg.latched_heard_ns = now_ns
        return True
    if (
        leg.is_latched
        and not same_address(source, &leg.config.remote)
        and now_ns - leg.latched_heard_ns <= RELATCH_NS
    ):
        return same_host(source, &leg.latched) and leg.source.valid and leg.source.ssrc == ssrc
    if leg.is_latched:
        leg.counters.relatched += 1
    leg.latched = source[0]
    leg.is_latched = True
    leg.latched_heard_ns = now_ns
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
