"""What a leg tells its peer of the stream: RTCP reports, BYE, and another SSRC where two are the same (RFC 3550).

Nothing here allocates, waits or touches a Python object.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memset

from engine.media._leg cimport LegState, TickContext
from engine.media._system cimport realtime_ns
from engine.media._transmit cimport can_transmit_rtcp, transmit_rtcp
from engine.rtp._rtcp cimport RTCP_MAX_REPORT, ReceptionReport, SenderInfo, rtcp_build
from engine.rtp._source cimport source_extended, source_fraction, source_lost

cdef enum:
    RTCP_INTERVAL_S = 5         # RFC 3550 §6.2
    NTP_EPOCH_S = 2208988800    # from 1900 to 1970 (§4)


cdef uint32_t _random(LegState* leg) noexcept nogil:
    # A fixed recurrence is enough: §6.3.1 wants reports of many sessions apart, not secret. It began with 32 bits of
    # the system's entropy.
    leg.random = leg.random * <uint32_t>1664525 + <uint32_t>1013904223
    return leg.random


cdef void leg_report(LegState* leg, TickContext* context, int64_t now_ns, bint bye) noexcept nogil:
    """Send a compound RTCP packet (RFC 3550 §6.4), and choose when the next is due (§6.3.1)."""
    cdef uint8_t out[RTCP_MAX_REPORT]
    cdef SenderInfo sender
    cdef ReceptionReport reception
    cdef int64_t wall_ns = realtime_ns()
    cdef bint sent = leg.counters.packets_out != leg.packets_reported
    cdef int32_t n
    leg.report_at_ns = now_ns + <int64_t>RTCP_INTERVAL_S * 500000000 + <int64_t>(
        (<int64_t>(_random(leg) >> 8) * (<int64_t>RTCP_INTERVAL_S * 1000000000)) >> 24
    )
    if not can_transmit_rtcp(leg):
        return
    if not leg.source.valid and leg.counters.packets_out == 0:
        # Nothing was said and nothing heard: RFC 3550 §6.3.7 has no BYE for it either.
        return
    memset(&sender, 0, sizeof(sender))
    memset(&reception, 0, sizeof(reception))
    sender.ntp_seconds = <uint32_t>(wall_ns // 1000000000 + <int64_t>NTP_EPOCH_S)
    sender.ntp_fraction = <uint32_t>(((wall_ns % 1000000000) << 32) // 1000000000)
    sender.timestamp = leg.timestamp * <uint32_t>leg.config.units
    sender.packets = <uint32_t>leg.counters.packets_out
    sender.octets = <uint32_t>leg.counters.octets_out
    if leg.source.valid:
        reception.ssrc = leg.source.ssrc
        reception.lost = source_lost(&leg.source)
        reception.fraction_lost = source_fraction(&leg.source)
        reception.extended_sequence = source_extended(&leg.source)
        # Measured in samples at 8 kHz; the report wants units of the stream's clock.
        reception.jitter = (leg.source.jitter >> 4) * <uint32_t>leg.config.units
        reception.last_sr = leg.last_sr
        reception.delay_since_sr = <uint32_t>(((now_ns - leg.last_sr_ns) << 16) // 1000000000) if leg.last_sr else 0
    leg.packets_reported = leg.counters.packets_out
    n = rtcp_build(
        out,
        leg.ssrc,
        &sender if sent else NULL,
        &reception if leg.source.valid else NULL,
        context.cname,
        context.n_cname,
        bye,
    )
    transmit_rtcp(leg, out, n)


cdef void leg_new_ssrc(LegState* leg, TickContext* context, int64_t now_ns) noexcept nogil:
    """The peer's SSRC is ours: say BYE for it and go on with another (RFC 3550 §8.2)."""
    leg_report(leg, context, now_ns, True)
    leg.ssrc ^= _random(leg) | 1
    leg.sequence = <uint32_t>(_random(leg) >> 16) & 0x7FFF
    leg.marker = True
    leg.packets_reported = leg.counters.packets_out
    leg.counters.ssrc_collisions += 1
