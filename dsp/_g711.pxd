"""G.711 kernels for the media plane: no allocation, no Python object, no GIL."""

from libc.stdint cimport int16_t, uint8_t

cdef void ulaw_decode(const uint8_t* src, int16_t* dst, Py_ssize_t n) noexcept nogil
cdef void ulaw_encode(const int16_t* src, uint8_t* dst, Py_ssize_t n) noexcept nogil
cdef void alaw_decode(const uint8_t* src, int16_t* dst, Py_ssize_t n) noexcept nogil
cdef void alaw_encode(const int16_t* src, uint8_t* dst, Py_ssize_t n) noexcept nogil
# src and dst may be the same buffer.
cdef void ulaw_to_alaw(const uint8_t* src, uint8_t* dst, Py_ssize_t n) noexcept nogil
cdef void alaw_to_ulaw(const uint8_t* src, uint8_t* dst, Py_ssize_t n) noexcept nogil
