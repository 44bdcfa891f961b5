from libc.stdint cimport int16_t, int32_t, int64_t

from engine.media._leg cimport LegState, TickContext


cdef void bridge_prepare_noise(LegState* leg) noexcept nogil
cdef void bridge_add_noise(LegState* leg, int16_t* samples) noexcept nogil
cdef void bridge_link(LegState* leg, LegState* other) noexcept nogil
cdef void bridge_unlink(LegState* leg) noexcept nogil
cdef void bridge_offer(LegState* leg, const int16_t* frame, int32_t made_up) noexcept nogil
cdef void bridge_mix(LegState* leg, int16_t* samples) noexcept nogil
cdef void bridge_key(LegState* leg, int64_t start) noexcept nogil
cdef void bridge_key_end(LegState* leg, int32_t source, int32_t code, int64_t duration_ms) noexcept nogil
cdef void bridge_mask(LegState* leg, bint on_the_way, bint masks, bint holds, double fill_dbm0) noexcept nogil
