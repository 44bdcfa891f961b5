from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from engine.media._leg cimport LegState, TickContext

cdef enum:
    MAX_PAYLOAD = 1280          # 60 ms of 16-bit samples, and some
    MAX_RTCP = 512


cdef void transmit_rtp(
    LegState* leg, uint8_t payload_type, bint marker, uint32_t timestamp, const uint8_t* payload, int32_t n
) noexcept nogil
cdef void transmit_rtcp(LegState* leg, const uint8_t* compound, int32_t n) noexcept nogil
cdef bint can_transmit_rtcp(const LegState* leg) noexcept nogil
cdef void take_socket_errors(LegState* leg, TickContext* context, int fd, int64_t now_ns) noexcept nogil
