from libc.stdint cimport int32_t, int64_t

from engine.media._leg cimport LegState, TickContext


cdef void leg_speak(LegState* leg, TickContext* context, int64_t now_ns) noexcept nogil
cdef void speak_recode(LegState* leg, int32_t codec) noexcept nogil
