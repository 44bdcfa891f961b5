"""Concealment of lost frames for the media plane: a plain struct, no allocation, no Python object, no GIL."""

from libc.stdint cimport int16_t

cdef enum:
    PLC_STEP = 80  # samples, 10 ms: the grain of concealment; every frame is a multiple of it
    PLC_DELAY = 30  # samples, 3.75 ms: a quarter of the longest period, by which output lies behind input
    PLC_HISTORY = 390  # samples, 48.75 ms

cdef struct PlcState:
    float[390] history  # what went in or was made up, newest last
    float[390] source  # history when the loss began, its end shaped so that the last periods repeat without a step
    float[30] tail  # that end, unshaped
    int pitch  # samples
    int periods  # how many of them are repeated
    int offset  # where in them
    int lost  # steps of the present loss

cdef void plc_init(PlcState* state) noexcept nogil
# A frame came: n samples, a multiple of PLC_STEP. `samples` and `out` may be the same.
cdef void plc_good(PlcState* state, const int16_t* samples, int16_t* out, int n) noexcept nogil
# A frame of n samples, a multiple of PLC_STEP, did not come.
cdef void plc_lost(PlcState* state, int16_t* out, int n) noexcept nogil
