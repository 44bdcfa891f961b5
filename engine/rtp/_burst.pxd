from libc.stdint cimport int32_t, uint32_t, uint64_t


cdef enum:
    BURST_GMIN = 16             # RFC 3611 §4.7.2 recommends it


cdef struct BurstMeter:
    uint32_t gmin
    uint64_t received
    uint64_t lost
    uint64_t discarded
    uint64_t runs               # of losses with nothing received between
    bint in_run
    # What is not settled yet: losses nearer to each other than gmin, and what came since the last.
    uint64_t near_losses
    uint64_t near_span          # packets from the first of these losses to the last
    uint64_t since
    bint gap_open
    uint64_t gaps
    uint64_t gap_packets
    uint64_t gap_losses
    uint64_t bursts
    uint64_t burst_packets
    uint64_t burst_losses


cdef struct BurstSummary:       # as the VoIP metrics block has them (RFC 3611 §4.7.1 and §4.7.2)
    uint32_t loss_rate          # 1/256
    uint32_t discard_rate       # 1/256
    uint32_t burst_density      # 1/256
    uint32_t gap_density        # 1/256
    uint32_t burst_ms
    uint32_t gap_ms
    double loss_share           # lost and discarded, 0 to 1
    double burst_ratio          # ITU-T G.107 §7.4's BurstR: 1 for random loss


cdef void burst_start(BurstMeter* meter) noexcept nogil
cdef void burst_received(BurstMeter* meter) noexcept nogil
cdef void burst_lost(BurstMeter* meter, uint32_t n) noexcept nogil
cdef void burst_discarded(BurstMeter* meter, uint32_t n) noexcept nogil
cdef void burst_summary(const BurstMeter* meter, int32_t packet_ms, BurstSummary* summary) noexcept nogil
