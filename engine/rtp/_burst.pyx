"""Bursts and gaps of loss, packet by packet (RFC 3611 §4.7.2).

A burst begins and ends with a lost or discarded packet, and within it fewer than Gmin packets are received between two
such; what is outside of bursts is gap, single losses included. Appendix A.2 counts transitions of a Markov chain and
estimates durations from them; here the same automaton keeps sums, so that densities and durations are those of the
definitions, and the packets before the first and after the last burst count as the gaps that they are.
"""

cimport cython
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.string cimport memset


cdef void burst_start(BurstMeter* meter) noexcept nogil:
    """Forget all."""
    memset(meter, 0, sizeof(BurstMeter))
    meter.gmin = BURST_GMIN


cdef void _gap(BurstMeter* meter, uint64_t packets, uint64_t losses) noexcept nogil:
    if packets == 0:
        return
    if not meter.gap_open:
        meter.gap_open = True
        meter.gaps += 1
    meter.gap_packets += packets
    meter.gap_losses += losses


cdef void _settle(BurstMeter* meter) noexcept nogil:
    """The losses near each other are a burst, or a single one in a gap; what came after them is gap."""
    if meter.near_losses > 1:
        meter.bursts += 1
        meter.burst_packets += meter.near_span
        meter.burst_losses += meter.near_losses
        meter.gap_open = False
    else:
        _gap(meter, meter.near_losses, meter.near_losses)
    _gap(meter, meter.since, 0)
    meter.near_losses = 0
    meter.near_span = 0
    meter.since = 0


cdef void burst_received(BurstMeter* meter) noexcept nogil:
    """Count a packet that came in time."""
    meter.received += 1
    meter.since += 1
    meter.in_run = False


cdef void _missing(BurstMeter* meter, uint32_t n) noexcept nogil:
    if n == 0:
        return
    if not meter.in_run:
        meter.in_run = True
        meter.runs += 1
    if meter.near_losses == 0 or meter.since >= meter.gmin:
        _settle(meter)
    meter.near_losses += n
    meter.near_span += meter.since + n
    meter.since = 0


cdef void burst_lost(BurstMeter* meter, uint32_t n) noexcept nogil:
    """Count `n` packets in a row that never came."""
    meter.lost += n
    _missing(meter, n)


cdef void burst_discarded(BurstMeter* meter, uint32_t n) noexcept nogil:
    """Count `n` packets in a row that came too late, or too early to keep."""
    meter.discarded += n
    _missing(meter, n)


cdef inline uint32_t _share(uint64_t part, uint64_t whole) noexcept nogil:
    """In 1/256; the whole is 255, as one octet has it."""
    return <uint32_t>min(part * 256 // whole, <uint64_t>255) if whole else 0


cdef inline uint32_t _mean_ms(uint64_t packets, uint64_t periods, int32_t packet_ms) noexcept nogil:
    return <uint32_t>min(packets * <uint64_t>packet_ms // periods, <uint64_t>0xFFFF) if periods else 0


cdef void burst_summary(const BurstMeter* meter, int32_t packet_ms, BurstSummary* summary) noexcept nogil:
    """Sum up what came so far, packets of `packet_ms` each; the meter goes on."""
    cdef BurstMeter settled = meter[0]
    cdef uint64_t expected = meter.received + meter.lost + meter.discarded
    cdef uint64_t missing = meter.lost + meter.discarded
    _settle(&settled)
    packet_ms = max(packet_ms, <int32_t>0)
    summary.loss_rate = _share(meter.lost, expected)
    summary.discard_rate = _share(meter.discarded, expected)
    summary.burst_density = _share(settled.burst_losses, settled.burst_packets)
    summary.gap_density = _share(settled.gap_losses, settled.gap_packets)
    summary.burst_ms = _mean_ms(settled.burst_packets, settled.bursts, packet_ms)
    summary.gap_ms = _mean_ms(settled.gap_packets, settled.gaps, packet_ms)
    summary.loss_share = <double>missing / expected if expected else 0.0
    # The mean run of losses over the one that random loss has, 1 / (1 - loss): G.107 §7.4.
    summary.burst_ratio = max(1.0, <double>missing / meter.runs * (1.0 - summary.loss_share)) if meter.runs else 1.0


@cython.final
cdef class Bursts:
    """The kernel as an object, for tests and offline analysis."""

    cdef BurstMeter _meter

    def __cinit__(self):
        burst_start(&self._meter)

    def received(self, uint32_t n=1):
        """Count packets that came in time."""
        cdef uint32_t i
        for i in range(n):
            burst_received(&self._meter)

    def lost(self, uint32_t n=1):
        """Count packets in a row that never came."""
        burst_lost(&self._meter, n)

    def discarded(self, uint32_t n=1):
        """Count packets in a row that came and were of no use."""
        burst_discarded(&self._meter, n)

    def summary(self, int32_t packet_ms):
        """Return the figures of a VoIP metrics block, and loss and burst ratio for the E-model."""
        cdef BurstSummary summary
        burst_summary(&self._meter, packet_ms, &summary)
        return summary
