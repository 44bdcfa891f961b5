"""G.722 kernels for the media plane: plain structs, no allocation, no Python object, no GIL."""

from libc.stdint cimport int16_t, int32_t, uint8_t

cdef enum:
    G722_TAPS = 24  # of the quadrature mirror filters

# One sub-band's predictor and step size, in the standard's 16-bit words and with its names, in small letters.
cdef struct G722Band:
    int16_t[6] b  # zeros' coefficients, B1 to B6
    int16_t[6] d  # quantised differences, D1 (newest) to D6, doubled
    int16_t a1  # poles' coefficients
    int16_t a2
    int16_t r1  # reconstructed signal of the last sample, doubled
    int16_t sign1  # of the partially reconstructed signal one and two samples ago: -1 or 0
    int16_t sign2
    int16_t nb  # logarithm of the step size, in 1/2048
    int16_t det  # step size
    int16_t sz  # estimate by the zeros
    int16_t s  # estimate by zeros and poles

# The 8 kHz functions touch `low` and nothing else. A struct follows one rate from its init on.
cdef struct G722Encoder:
    G722Band low
    G722Band high
    int16_t[24] history  # of the transmit filter

cdef struct G722Decoder:
    G722Band low
    G722Band high
    int16_t[24] history  # of the receive filter
    int32_t auxiliary  # lowest bits of an octet that are data and no audio: 0 (64 kbit/s), 1 (56) or 2 (48)

cdef void g722_encoder_init(G722Encoder* encoder) noexcept nogil
cdef void g722_decoder_init(G722Decoder* decoder) noexcept nogil
# 8 kHz: n samples are n octets. The higher sub-band is sent silent, and not heard. Each returns what it wrote.
cdef int g722_encode_8k(G722Encoder* encoder, const int16_t* samples, int n, uint8_t* out) noexcept nogil
cdef int g722_decode_8k(G722Decoder* decoder, const uint8_t* data, int n, int16_t* out) noexcept nogil
# 16 kHz: two samples are an octet. An odd last sample is left out.
cdef int g722_encode_16k(G722Encoder* encoder, const int16_t* samples, int n, uint8_t* out) noexcept nogil
cdef int g722_decode_16k(G722Decoder* decoder, const uint8_t* data, int n, int16_t* out) noexcept nogil
