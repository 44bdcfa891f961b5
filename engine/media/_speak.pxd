from libc.stdint cimport int32_t, int64_t, uint8_t

from engine.media._leg cimport LegState, TickContext


cdef void leg_speak(LegState* leg, TickContext* context, int64_t now_ns) noexcept nogil
cdef void leg_report(LegState* leg, TickContext* context, int64_t now_ns, bint bye) noexcept nogil
cdef bint leg_key(LegState* leg, uint8_t code, bint in_band, int32_t on_samples, int32_t off_samples) noexcept nogil
