cimport cython

from engine.media._leg cimport LegState, Playlist


@cython.final
cdef class LegCore:
    cdef LegState* state
    cdef readonly bint released


@cython.final
cdef class PlaylistCore:
    cdef Playlist list
    cdef object clips
