"""How packets of a leg leave: destinations, counters, and what the network says of them.

We answer to where the peer's packets come from (symmetric RTP and RTCP, RFC 4961), which is decided in ``_peer``.

Nothing here allocates, waits or touches a Python object.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from engine.media._leg cimport EVENT_UNREACHABLE, LegState, MediaEvent, TickContext, emit
from engine.media._system cimport Address, send_datagram, socket_errors
from engine.rtp._packet cimport RTP_HEADER_SIZE, rtp_build
from engine.rtp._srtp cimport srtcp_protect_packet, srtp_protect_packet

cdef enum:
    # Packets lie on words, which libsrtp reads, with room for what it adds: SRTP_TRAILER, SRTCP_TRAILER.
    RTP_WORDS = 360
    RTCP_WORDS = 168


cdef const Address* _rtp_destination(const LegState* leg) noexcept nogil:
    return &leg.latched if leg.is_latched else &leg.config.remote


cdef const Address* _rtcp_destination(const LegState* leg) noexcept nogil:
    if leg.config.rtcp_mux:
        return _rtp_destination(leg)
    return &leg.latched_rtcp if leg.is_rtcp_latched else &leg.config.remote_rtcp


cdef void transmit_rtp(
    LegState* leg, uint8_t payload_type, bint marker, uint32_t timestamp, const uint8_t* payload, int32_t n
) noexcept nogil:
    """Send one packet of at most MAX_PAYLOAD; a datagram that the system refuses is counted."""
    cdef uint32_t words[RTP_WORDS]
    cdef uint8_t* packet = <uint8_t*>words
    cdef int size = RTP_HEADER_SIZE + n
    if n > MAX_PAYLOAD:
        leg.counters.send_failed += 1
        return
    rtp_build(packet, payload_type, marker, leg.sequence, timestamp, leg.ssrc)
    memcpy(packet + RTP_HEADER_SIZE, payload, n)
    leg.sequence += 1
    if leg.srtp != NULL:
        size = srtp_protect_packet(leg.srtp, packet, size)
    # What could not be protected does not leave at all.
    if size > 0 and send_datagram(leg.rtp_fd, _rtp_destination(leg), packet, size):
        leg.counters.packets_out += 1
        leg.counters.octets_out += n
    else:
        leg.counters.send_failed += 1
    memset(packet, 0, RTP_HEADER_SIZE + n)


cdef bint can_transmit_rtcp(const LegState* leg) noexcept nogil:
    """Tell whether the peer has a place for RTCP."""
    return leg.configured and _rtcp_destination(leg).port != 0


cdef void transmit_rtcp(LegState* leg, const uint8_t* compound, int32_t n) noexcept nogil:
    """Send one compound."""
    cdef int fd = leg.rtp_fd if leg.config.rtcp_mux else leg.rtcp_fd
    cdef uint32_t words[RTCP_WORDS]
    cdef uint8_t* packet = <uint8_t*>words
    cdef int size = n
    if n > MAX_RTCP:
        leg.counters.send_failed += 1
        return
    memcpy(packet, compound, n)
    if leg.srtp != NULL:
        size = srtcp_protect_packet(leg.srtp, packet, n)
    if size > 0 and send_datagram(fd, _rtcp_destination(leg), packet, size):
        leg.counters.rtcp_out += 1
    else:
        leg.counters.send_failed += 1


cdef void take_socket_errors(LegState* leg, TickContext* context, int fd, int64_t now_ns) noexcept nogil:
    """Count what ICMP says of our packets, and tell Python once until something is heard again."""
    cdef MediaEvent event
    cdef int found = socket_errors(fd)
    leg.counters.icmp_errors += found
    if found == 0 or leg.unreachable_reported or fd != leg.rtp_fd:
        return
    leg.unreachable_reported = True
    memset(&event, 0, sizeof(event))
    event.kind = EVENT_UNREACHABLE
    event.at_ns = now_ns
    emit(context, leg, &event)
