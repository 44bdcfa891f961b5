from libc.stdint cimport int64_t, uint32_t

from engine.media._leg cimport LegState, TickContext

cdef enum:
    NTP_EPOCH_S = 2208988800    # from 1900 to 1970 (RFC 3550 §4)


cdef inline uint32_t ntp_seconds(int64_t wall_ns) noexcept nogil:
    return <uint32_t>(wall_ns // 1000000000 + <int64_t>NTP_EPOCH_S)


cdef inline uint32_t ntp_fraction(int64_t wall_ns) noexcept nogil:
    return <uint32_t>(((wall_ns % 1000000000) << 32) // 1000000000)


cdef void leg_report(LegState* leg, TickContext* context, int64_t now_ns, bint bye) noexcept nogil
cdef void leg_new_ssrc(LegState* leg, TickContext* context, int64_t now_ns) noexcept nogil
