"""Comfort noise for the media plane: a plain struct, no allocation, no Python object, no GIL."""

from libc.stdint cimport int16_t, uint8_t, uint32_t

cdef enum:
    COMFORT_NOISE_ORDER = 12  # reflection coefficients at most; what a payload has more of is left out
    COMFORT_NOISE_PAYLOAD = 13  # octets: the level and they

cdef struct ComfortNoiseState:
    uint32_t seed  # of the excitation; goes on with each sample
    int order  # coefficients in use
    int known  # a payload came
    float level  # root mean square aimed at, int16 units
    float amplitude  # peak of the excitation, now
    float[12] target  # reflection coefficients aimed at
    float[12] reflection  # now
    float[12] delay  # the lattice's memory

# The same seed gives the same noise. Silent until the first payload.
cdef void comfort_noise_init(ComfortNoiseState* state, uint32_t seed) noexcept nogil
# Take the payload of an RFC 3389 packet; 0 when there is nothing in it.
cdef int comfort_noise_update(ComfortNoiseState* state, const uint8_t* payload, int n) noexcept nogil
cdef void comfort_noise_generate(ComfortNoiseState* state, int16_t* out, int n) noexcept nogil
# Write the payload for n silent samples, with `order` coefficients (0 to 12); return its octets.
cdef int comfort_noise_analyse(const int16_t* samples, int n, int order, uint8_t* payload) noexcept nogil
