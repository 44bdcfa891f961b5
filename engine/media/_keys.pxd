from libc.stdint cimport int16_t, int32_t, uint8_t

from engine.media._leg cimport LegState


cdef bint keys_push(LegState* leg, uint8_t code, bint in_band, int32_t on_samples, int32_t off_samples) noexcept nogil
cdef void keys_mix(LegState* leg, int16_t* out) noexcept nogil
cdef bint keys_send(LegState* leg) noexcept nogil
cdef void keys_rest(LegState* leg) noexcept nogil
