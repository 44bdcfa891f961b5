"""The detector's front end: exact integer arithmetic on every 10 ms, the same bits on every processor."""

from libc.stdint cimport int16_t

cdef enum:
    GATE_BLOCK = 80  # samples, 10 ms

cdef struct GateBlock:
    # Energies, sums of squares over the block divided by 128: a sine of peak A has 0.3125 A², on a bin nearly all in it.
    float bins[8]  # in 697 770 852 941 1209 1336 1477 1633 Hz, each free of what lies below 460 Hz
    float below  # below 460 Hz
    float energy  # of all there is

# Analyse GATE_BLOCK samples; needs no state and no history.
cdef void gate_block(const int16_t* x, GateBlock* out) noexcept nogil
# The energy alone, for audio too quiet to be worth more.
cdef float gate_energy(const int16_t* x) noexcept nogil
