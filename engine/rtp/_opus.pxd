"""Opus at 8 kHz, mono, through the system's libopus: what the media plane calls without the GIL."""

from libc.stdint cimport int16_t, int32_t, uint8_t


cdef enum:
    OPUS_MAX_SAMPLES = 960      # 120 ms, the most that a packet holds (RFC 6716 §3.2.5)


# Samples, or -1: no Opus packet, or more than `max` samples. n must not be 0.
cdef int32_t opus_decode_8k(void* decoder, const uint8_t* data, int32_t n, int16_t* out, int32_t max) noexcept nogil
# Bytes, or -1: n is none of 2.5, 5, 10, 20, 40 and 60 ms, or more than `max` bytes are needed.
cdef int32_t opus_encode_8k(void* encoder, const int16_t* samples, int32_t n, uint8_t* out, int32_t max) noexcept nogil
cdef void opus_restart_decoder(void* decoder) noexcept nogil
cdef void opus_restart_encoder(void* encoder) noexcept nogil


# Both directions of one leg. Made and freed by Python; the pointers are lent to the leg for its time in a thread.
cdef class OpusPair:
    cdef void* decoder
    cdef void* encoder
    cdef int _decoder_size
    cdef int _encoder_size
