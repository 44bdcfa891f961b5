from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t


cdef enum SequenceVerdict:
    SEQUENCE_OK = 0         # in order, or a tolerable gap
    SEQUENCE_OLD = 1        # reordered or a duplicate: count it, the jitter buffer knows what to do with it
    SEQUENCE_JUMP = 2       # too far off: dropped, unless the next one follows it
    SEQUENCE_RESTART = 3    # two in a row after a jump: the peer started again


cdef struct RtpSource:
    uint32_t ssrc
    uint16_t max_sequence
    bint valid
    uint32_t cycles             # shifted by 16, as in RFC 3550 A.1
    uint32_t base_sequence
    uint32_t bad_sequence
    uint32_t received
    uint32_t expected_prior
    uint32_t received_prior
    int64_t lost_before         # lost before the last restart, so that the total does not fall
    int32_t transit
    bint transit_known
    uint32_t jitter             # timestamp units, times 16 (A.8)
    int32_t jitter_limit        # half a second in timestamp units: more is no jitter


cdef void source_start(RtpSource* source, uint32_t ssrc, uint16_t sequence) noexcept nogil
cdef void source_clock(RtpSource* source, uint32_t rate_hz) noexcept nogil
cdef SequenceVerdict source_sequence(RtpSource* source, uint16_t sequence) noexcept nogil
cdef void source_arrival(RtpSource* source, uint32_t arrival, uint32_t timestamp) noexcept nogil
cdef uint32_t source_extended(const RtpSource* source) noexcept nogil
cdef int64_t source_lost(const RtpSource* source) noexcept nogil
cdef uint32_t source_fraction(RtpSource* source) noexcept nogil
