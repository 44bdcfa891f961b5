cimport cython

from libc.stdint cimport int64_t

from engine.media._leg cimport LegState, Playlist, RoomState


@cython.final
cdef class LegCore:
    cdef LegState* state
    cdef readonly bint released
    cdef int64_t moves          # clocks that it was handed on to


@cython.final
cdef class PlaylistCore:
    cdef Playlist list
    cdef object clips


@cython.final
cdef class RoomCore:
    cdef RoomState* state
    cdef bint used              # a clock thread may know it
