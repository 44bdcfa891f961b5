from libc.stdint cimport int16_t

from engine.media._leg cimport LegState, RoomState


cdef void room_join(RoomState* room, LegState* leg, bint muted) noexcept nogil
cdef void room_part(LegState* leg) noexcept nogil
cdef void room_close(RoomState* room) noexcept nogil
cdef void room_sum(RoomState* room) noexcept nogil
cdef void room_mix(LegState* leg, int16_t* samples) noexcept nogil
