"""What a leg tells its peer of the stream: RTCP reports, BYE, and another SSRC where two are the same (RFC 3550).

Nothing here allocates, waits or touches a Python object.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from engine.media._leg cimport LegState, TickContext
from engine.media._system cimport realtime_ns
from engine.media._transmit cimport can_transmit_rtcp, transmit_rtcp
from engine.rtp._burst cimport BurstSummary, burst_summary
from engine.rtp._collision cimport collision_other_ssrc
from engine.rtp._quality cimport quality_opinion, quality_r_factor
from engine.rtp._rtcp cimport RTCP_MAX_REPORT, ReceptionReport, SenderInfo, rtcp_build
from engine.rtp._rtcp_timer cimport rtcp_interval_ns
from engine.rtp._source cimport source_extended, source_fraction, source_lost
from engine.rtp._xr cimport ExtendedReport, VoipMetrics, xr_metrics_init

cdef enum:
    MEMBERS = 2                 # a call has two
    PACKET_OCTETS = 120         # of a compound with its UDP and IP headers
    BANDWIDTH = 400             # octets per second: 5 % of 64 kbit/s (RFC 3550 §6.2)
    SAMPLES_PER_MS = 8
    # RFC 3611 §4.7.6: standard concealment, adaptive jitter buffer.
    RECEIVER_CONFIG = 0xF0
    JITTER_MAXIMUM_MS = 200
# G.113 Appendix I: G.711, with the concealment of its Appendix I.
cdef double CODEC_IE = 0.0
cdef double CODEC_BPL = 25.1


cdef uint32_t _random(LegState* leg) noexcept nogil:
    # A fixed recurrence is enough: §6.3.1 wants reports of many sessions apart, not secret. It began with 32 bits of
    # the system's entropy.
    leg.random = leg.random * <uint32_t>1664525 + <uint32_t>1013904223
    return leg.random


cdef const ExtendedReport* _extended(const LegState* leg, ExtendedReport* report) noexcept nogil:
    """VoIP metrics of what was heard (RFC 3611 §4.7), or NULL when nothing was."""
    cdef BurstSummary summary
    cdef double r_factor
    cdef VoipMetrics* metrics = &report.metrics
    if not leg.source.valid:
        return NULL
    memset(report, 0, sizeof(ExtendedReport))
    burst_summary(&leg.bursts, leg.config.packet // SAMPLES_PER_MS, &summary)
    report.has_metrics = True
    xr_metrics_init(metrics, leg.source.ssrc)
    metrics.loss_rate = <uint8_t>min(summary.loss_rate, <uint32_t>255)
    metrics.discard_rate = <uint8_t>min(summary.discard_rate, <uint32_t>255)
    metrics.burst_density = <uint8_t>min(summary.burst_density, <uint32_t>255)
    metrics.gap_density = <uint8_t>min(summary.gap_density, <uint32_t>255)
    metrics.burst_ms = <uint16_t>min(summary.burst_ms, <uint32_t>65535)
    metrics.gap_ms = <uint16_t>min(summary.gap_ms, <uint32_t>65535)
    if leg.round_trip_ns >= 0:
        metrics.round_trip_ms = <uint16_t>min(leg.round_trip_ns // 1000000, <int64_t>65535)
    metrics.end_system_ms = <uint16_t>(leg.counters.delay // SAMPLES_PER_MS)
    r_factor = quality_r_factor(
        CODEC_IE, CODEC_BPL, summary.loss_share, summary.burst_ratio, metrics.round_trip_ms / 2.0 + metrics.end_system_ms
    )
    metrics.r_factor = <uint8_t>min(max(r_factor, 0.0), 100.0)
    metrics.mos_cq = <uint8_t>(10.0 * quality_opinion(r_factor) + 0.5)
    metrics.mos_lq = <uint8_t>(
        10.0 * quality_opinion(
            quality_r_factor(CODEC_IE, CODEC_BPL, summary.loss_share, summary.burst_ratio, 0.0)
        ) + 0.5
    )
    metrics.receiver_config = RECEIVER_CONFIG
    metrics.jitter_nominal_ms = <uint16_t>(leg.jitter.target // SAMPLES_PER_MS)
    metrics.jitter_maximum_ms = JITTER_MAXIMUM_MS
    metrics.jitter_absolute_ms = JITTER_MAXIMUM_MS
    return report


cdef void leg_report(LegState* leg, TickContext* context, int64_t now_ns, bint bye) noexcept nogil:
    """Send a compound RTCP packet (RFC 3550 §6.4), and choose when the next is due (§6.3.1)."""
    cdef uint8_t out[RTCP_MAX_REPORT]
    cdef SenderInfo sender
    cdef ReceptionReport reception
    cdef int64_t wall_ns = realtime_ns()
    cdef bint sent = leg.counters.packets_out != leg.packets_reported
    cdef ExtendedReport extended
    cdef int32_t n
    leg.report_at_ns = now_ns + rtcp_interval_ns(
        MEMBERS, MEMBERS, sent, PACKET_OCTETS, BANDWIDTH, False, _random(leg)
    )
    if not can_transmit_rtcp(leg):
        return
    if not leg.source.valid and leg.counters.packets_out == 0:
        # Nothing was said and nothing heard: RFC 3550 §6.3.7 has no BYE for it either.
        return
    memset(&sender, 0, sizeof(sender))
    memset(&reception, 0, sizeof(reception))
    sender.ntp_seconds = ntp_seconds(wall_ns)
    sender.ntp_fraction = ntp_fraction(wall_ns)
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
        _extended(leg, &extended) if leg.config.extended_reports else NULL,
    )
    transmit_rtcp(leg, out, n)


cdef void leg_new_ssrc(LegState* leg, TickContext* context, int64_t now_ns) noexcept nogil:
    """The peer's SSRC is ours: say BYE for it and go on with another (RFC 3550 §8.2)."""
    leg_report(leg, context, now_ns, True)
    leg.ssrc = collision_other_ssrc(_random(leg), leg.ssrc, leg.source.ssrc)
    leg.sequence = <uint32_t>(_random(leg) >> 16) & 0x7FFF
    leg.marker = True
    leg.packets_reported = leg.counters.packets_out
    leg.counters.ssrc_collisions += 1
