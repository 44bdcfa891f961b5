from libc.stdint cimport int32_t, int64_t, uint32_t


cdef struct RtcpTimer:
    int32_t members             # participants known, ourselves included
    int32_t members_before      # ... when the next report was last planned
    int32_t senders             # of them those that sent RTP since the report before the last
    bint we_sent
    bint initial                # no report was sent yet
    double average              # octets of a compound, UDP and IP headers included
    double bandwidth            # octets per second for RTCP: 5 % of the session's
    int64_t last_ns             # §6.3's tp
    int64_t next_ns             # §6.3's tn


cdef int64_t rtcp_interval_ns(
    int32_t members, int32_t senders, bint we_sent, double average, double bandwidth, bint initial, uint32_t random
) noexcept nogil
cdef void rtcp_timer_start(
    RtcpTimer* timer, double bandwidth, double average, int64_t now_ns, uint32_t random
) noexcept nogil
cdef bint rtcp_timer_due(RtcpTimer* timer, int64_t now_ns, uint32_t random) noexcept nogil
cdef void rtcp_timer_sent(RtcpTimer* timer, int32_t octets, int64_t now_ns, uint32_t random) noexcept nogil
cdef void rtcp_timer_heard(RtcpTimer* timer, int32_t octets) noexcept nogil
cdef void rtcp_timer_members(RtcpTimer* timer, int32_t members, int32_t senders, int64_t now_ns) noexcept nogil
