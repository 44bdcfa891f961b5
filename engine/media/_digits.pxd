from libc.stdint cimport int32_t, int64_t

from engine.media._leg cimport LegState, TickContext


cdef void leg_digit(
    LegState* leg, TickContext* context, int32_t source, int32_t code, int64_t at_ns, float level_dbm0, int64_t start
) noexcept nogil
cdef void leg_digit_end(
    LegState* leg, TickContext* context, int32_t source, int32_t code, int64_t at_ns, int64_t duration_ms
) noexcept nogil
