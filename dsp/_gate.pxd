"""The detector's front end: exact integer arithmetic on every 10 ms, the same bits on every processor."""

from libc.stdint cimport int16_t

cdef enum:
    GATE_BLOCK = 80  # samples, 10 ms

# Energies over the block. In this unit the sum of squares of the samples, divided by 128, is 1.
cdef float GATE_UNIT

cdef struct GateBlock:
    # At 697 770 852 941 1209 1336 1477 1633 Hz, free of what lies below 460 Hz; then six parts of that, and two unused.
    # A sine of peak A has 0.3125 A² in all, nearly all of it in its bin.
    float bins[16]
    float low  # the largest of the first four
    float high  # the largest of the second four
    float below  # below 460 Hz
    float energy  # of all there is

# Analyse GATE_BLOCK samples; needs no state and no history. With less energy than `least`, all but the energy is 0.
cdef void gate_block(const int16_t* x, float least, GateBlock* out) noexcept nogil
