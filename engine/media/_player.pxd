from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t

from engine.media._leg cimport LegState, Playlist, TickContext


cdef void player_end(LegState* leg, TickContext* context, bint completed, bint by_digit) noexcept nogil
cdef void player_fill(LegState* leg, TickContext* context, bint a_law, uint8_t* out) noexcept nogil
cdef void player_seek(Playlist* playlist, int64_t position) noexcept nogil
cdef void scale(int16_t* samples, int32_t n, int32_t gain) noexcept nogil
