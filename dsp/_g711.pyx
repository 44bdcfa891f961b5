# cython: boundscheck=False, wraparound=False, cdivision=True
# Safe without checks: every table is indexed by a value of exactly its own width, every loop runs over the caller's n.
"""G.711 mu-law and A-law by table.

The tables are filled while the module is imported, before another thread can see them: there is no "is it ready"
flag to race on. Samples are int16 with the law's own range left-aligned (14 bits for mu-law, 13 for A-law), as in the
ITU-T software tools (G.191): an int16 peak of 32767 is the codec's overload point.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int16_t, uint8_t, uint16_t

cdef int16_t[256] ULAW_LINEAR
cdef int16_t[256] ALAW_LINEAR
# Indexed by the bits that decide: mu-law looks at 14 of 16 (its finest step is 8), A-law at 12 (16).
cdef uint8_t[16384] LINEAR_ULAW
cdef uint8_t[4096] LINEAR_ALAW
cdef uint8_t[256] ULAW_ALAW
cdef uint8_t[256] ALAW_ULAW

# G.711 adds 33 to the 14-bit magnitude so that every segment starts at a power of two: 33 << 2 on int16.
cdef enum:
    ULAW_BIAS = 132
    ULAW_CLIP = 32635  # 8158.75 << 2: one below the value whose biased magnitude needs a ninth segment
    ALAW_EVEN_BITS = 0x55  # G.711 clause 3.1: even bits are inverted on the line


cdef int _ulaw_linear(int code) noexcept:
    cdef int inverted = ~code & 0xFF
    cdef int magnitude = ((((inverted & 0x0F) << 3) + ULAW_BIAS) << ((inverted >> 4) & 7)) - ULAW_BIAS
    return -magnitude if inverted & 0x80 else magnitude


cdef int _alaw_linear(int code) noexcept:
    cdef int plain = code ^ ALAW_EVEN_BITS
    cdef int segment = (plain >> 4) & 7
    cdef int magnitude = ((plain & 0x0F) << 4) + 8
    if segment:
        magnitude = (magnitude + 256) << (segment - 1)
    return magnitude if plain & 0x80 else -magnitude


cdef int _ulaw_code(int sample) noexcept:
    # One's complement, not negation: the ITU-T tools (G.191) count -1 in the interval of 0.
    cdef int magnitude = ~sample if sample < 0 else sample
    cdef int segment = 7
    magnitude = (ULAW_CLIP if magnitude > ULAW_CLIP else magnitude) + ULAW_BIAS
    while segment and not (magnitude & (1 << (segment + 7))):
        segment -= 1
    return ~((0x80 if sample < 0 else 0) | (segment << 4) | ((magnitude >> (segment + 3)) & 0x0F)) & 0xFF


cdef int _alaw_code(int sample) noexcept:
    cdef int magnitude = ~sample if sample < 0 else sample
    cdef int segment = 7
    while segment and not (magnitude & (1 << (segment + 7))):
        segment -= 1
    cdef int step = (magnitude >> (segment + 3 if segment else 4)) & 0x0F
    return ((0 if sample < 0 else 0x80) | (segment << 4) | step) ^ ALAW_EVEN_BITS


cdef void _fill_tables() noexcept:
    cdef int i, magnitude
    for i in range(256):
        ULAW_LINEAR[i] = <int16_t>_ulaw_linear(i)
        ALAW_LINEAR[i] = <int16_t>_alaw_linear(i)
    for i in range(16384):
        LINEAR_ULAW[i] = <uint8_t>_ulaw_code(<int16_t><uint16_t>(i << 2))
    for i in range(4096):
        LINEAR_ALAW[i] = <uint8_t>_alaw_code(<int16_t><uint16_t>(i << 4))
    # Across the laws the sign is carried over and the magnitude recoded, so both polarities keep the same steps
    # (decoding and encoding would not: mu-law values fall on A-law decision values).
    for i in range(256):
        magnitude = _ulaw_linear(i | 0x80)
        ULAW_ALAW[i] = <uint8_t>((_alaw_code(magnitude) & 0x7F) | (i & 0x80))
        magnitude = _alaw_linear(i | 0x80)
        ALAW_ULAW[i] = <uint8_t>((_ulaw_code(magnitude) & 0x7F) | (i & 0x80))


_fill_tables()


cdef void ulaw_decode(const uint8_t* src, int16_t* dst, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dst[i] = ULAW_LINEAR[src[i]]


cdef void alaw_decode(const uint8_t* src, int16_t* dst, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dst[i] = ALAW_LINEAR[src[i]]


cdef void ulaw_encode(const int16_t* src, uint8_t* dst, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dst[i] = LINEAR_ULAW[<uint16_t>src[i] >> 2]


cdef void alaw_encode(const int16_t* src, uint8_t* dst, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dst[i] = LINEAR_ALAW[<uint16_t>src[i] >> 4]


cdef void ulaw_to_alaw(const uint8_t* src, uint8_t* dst, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dst[i] = ULAW_ALAW[src[i]]


cdef void alaw_to_ulaw(const uint8_t* src, uint8_t* dst, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dst[i] = ALAW_ULAW[src[i]]


def decode_ulaw(const uint8_t[::1] data not None, int16_t[::1] out not None):
    """Decode `data` into `out`, which must be as long."""
    if out.shape[0] != data.shape[0]:
        raise ValueError("out must be as long as data")
    if data.shape[0]:
        ulaw_decode(&data[0], &out[0], data.shape[0])


def decode_alaw(const uint8_t[::1] data not None, int16_t[::1] out not None):
    """Decode `data` into `out`, which must be as long."""
    if out.shape[0] != data.shape[0]:
        raise ValueError("out must be as long as data")
    if data.shape[0]:
        alaw_decode(&data[0], &out[0], data.shape[0])


def encode_ulaw(const int16_t[::1] samples not None) -> bytes:
    """Return one mu-law byte for each sample."""
    cdef Py_ssize_t n = samples.shape[0]
    cdef bytes out = PyBytes_FromStringAndSize(NULL, n)
    if n:
        ulaw_encode(&samples[0], <uint8_t*>PyBytes_AS_STRING(out), n)
    return out


def encode_alaw(const int16_t[::1] samples not None) -> bytes:
    """Return one A-law byte for each sample."""
    cdef Py_ssize_t n = samples.shape[0]
    cdef bytes out = PyBytes_FromStringAndSize(NULL, n)
    if n:
        alaw_encode(&samples[0], <uint8_t*>PyBytes_AS_STRING(out), n)
    return out


def transcode_ulaw_to_alaw(const uint8_t[::1] data not None) -> bytes:
    """Return `data`, mu-law, as A-law."""
    cdef Py_ssize_t n = data.shape[0]
    cdef bytes out = PyBytes_FromStringAndSize(NULL, n)
    if n:
        ulaw_to_alaw(&data[0], <uint8_t*>PyBytes_AS_STRING(out), n)
    return out


def transcode_alaw_to_ulaw(const uint8_t[::1] data not None) -> bytes:
    """Return `data`, A-law, as mu-law."""
    cdef Py_ssize_t n = data.shape[0]
    cdef bytes out = PyBytes_FromStringAndSize(NULL, n)
    if n:
        alaw_to_ulaw(&data[0], <uint8_t*>PyBytes_AS_STRING(out), n)
    return out
