# cython: boundscheck=False, wraparound=False, cdivision=True
# Safe without checks: tables of inverse quantisers are indexed by the bits of one octet, step sizes by a logarithm that
# is limited before use, decision counts by a quotient that is limited first; every loop runs over the caller's n.
"""ITU-T G.722: 7 kHz audio in 64 kbit/s, and its lower half alone as telephone audio.

Integer arithmetic of the standard, bit by bit: 16-bit words, sums that saturate, products of which the upper half is
kept (floor). Two quadrature mirror filters part 16 kHz into two bands of 8 kHz; each is ADPCM with a predictor of two
poles and six zeros, adapted from the signs of what the far end reconstructs too. The predictor of the lower band sees
only four of its six bits, so that the other two may be lost or replaced by data.

Who works at 8 kHz needs no filter: the lower band is what a 4 kHz channel holds, at half the amplitude.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int16_t, int32_t, uint8_t
from libc.string cimport memmove, memset

import numpy as np

cdef enum:
    # Clause 6.2.1.3 and 6.2.2.3: limits of the logarithmic step sizes (9 and 11 octaves), and the leak 127/128.
    NB_LOW_MAX = 18432
    NB_HIGH_MAX = 22528
    LEAK = 127
    NB_STEPS = 32  # of the table of 2**(i/32), in an octave
    A2_MAX = 12288  # 0.75
    A1_SPAN = 15360  # |a1| <= 1 - 2**-4 - a2
    BAND_MAX = 16383  # clause 6.2.1.6: a band has 15 bits
    LAST_LEVEL = 30  # intervals of the quantiser of the lower band, to a side
    TOP_DECISION = 2919
    HIGH_DECISION = 564
    SILENT_HIGH = 0xC0  # the higher band's least positive step, which dies away to 0

# Table 11: decision levels of the quantiser of the lower band, in 1/4096 of the step size.
cdef int16_t[30] DECISIONS = [
    0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650,
    714, 786, 858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
]
# Magnitudes of the inverse quantisers, in 1/32768 of the step size, by interval: 6, 5 and 4 bits.
cdef int16_t[30] STEPS_6 = [
    136, 432, 728, 1040, 1360, 1688, 2032, 2400, 2776, 3168, 3576, 4008, 4464, 4944, 5456, 6000,
    6576, 7192, 7856, 8576, 9360, 10232, 11192, 12280, 13512, 14984, 16704, 19008, 21904, 24808,
]
cdef int16_t[15] STEPS_5 = [
    280, 880, 1520, 2208, 2960, 3784, 4696, 5712, 6864, 8184, 9752, 11664, 14120, 17560, 23352,
]
cdef int16_t[8] STEPS_4 = [0, 1200, 2584, 4240, 6288, 8968, 12896, 20456]
cdef int16_t[2] STEPS_2 = [1616, 7408]
# What a code of that magnitude adds to the logarithm of the step size.
cdef int16_t[8] LOW_WEIGHTS = [-60, -30, 58, 172, 334, 538, 1198, 3042]
cdef int16_t[2] HIGH_WEIGHTS = [-214, 798]
# Table 3 (half of it: the filter is symmetric), in 1/8192.
cdef int32_t[12] MIRROR = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11]

# Filled while the module is imported.
cdef int16_t[3][64] LOW_OUTPUT  # by auxiliary bits and the octet's lower six
cdef int16_t[16] LOW_PREDICTED
cdef int16_t[16] LOW_LOGARITHM
cdef int16_t[4] HIGH_OUTPUT
cdef int16_t[4] HIGH_LOGARITHM
cdef int16_t[289] LOW_SCALE  # step size by its logarithm / 64
cdef int16_t[353] HIGH_SCALE
cdef uint8_t[2921] LEVEL  # interval of the lower band's quantiser, by the difference in 1/4096 of the step size
cdef uint8_t[62] LOW_CODE  # by interval, and 31 more where the difference is negative


cdef int _scale(int nb, int shift) noexcept:
    """Clause 6.2.1.3, SCALEL and SCALEH: the antilogarithm, 2**(nb / 2048 - shift) of 2048, times 4."""
    # The standard's table ILB is 2048 * 2**(i / 32), rounded.
    cdef int mantissa = <int>(2048 * 2.0 ** ((nb >> 6 & (NB_STEPS - 1)) / 32.0) + 0.5)
    cdef int octave = shift - (nb >> 11)
    return (mantissa << -octave if octave < 0 else mantissa >> octave) << 2


cdef void _fill_tables() noexcept:
    cdef int i, code, interval, level
    for code in range(16):
        # Below 8 the code is negative, as it is a complement of the interval above 7; 0 and 15 are the innermost.
        interval = 0 if code == 0 or code == 15 else (8 - code if code < 8 else 15 - code)
        LOW_PREDICTED[code] = -STEPS_4[interval] if code < 8 else STEPS_4[interval]
        LOW_LOGARITHM[code] = LOW_WEIGHTS[interval]
        LOW_OUTPUT[2][code << 2] = LOW_PREDICTED[code]
    for code in range(64):
        LOW_OUTPUT[2][code] = LOW_PREDICTED[code >> 2]
        # 5 bits: 0 and 1 do not occur, 30 and 31 are the innermost pair.
        i = code >> 1
        if i < 2 or i == 31:
            LOW_OUTPUT[1][code] = -STEPS_5[0]
        elif i < 16:
            LOW_OUTPUT[1][code] = -STEPS_5[16 - i]
        else:
            LOW_OUTPUT[1][code] = STEPS_5[30 - i]
        # 6 bits: 0 to 3 do not occur, 62 and 63 are negative.
        if code < 4:
            LOW_OUTPUT[0][code] = -STEPS_6[0]
        elif code < 32:
            LOW_OUTPUT[0][code] = -STEPS_6[33 - code]
        elif code < 62:
            LOW_OUTPUT[0][code] = STEPS_6[61 - code]
        else:
            LOW_OUTPUT[0][code] = -STEPS_6[63 - code]
    for i in range(LAST_LEVEL):
        LOW_CODE[i + 1] = <uint8_t>(61 - i)
        LOW_CODE[i + 32] = <uint8_t>(63 - i if i < 2 else 33 - i)
    for code in range(4):
        HIGH_OUTPUT[code] = STEPS_2[1 - (code & 1)] if code > 1 else -STEPS_2[1 - (code & 1)]
        HIGH_LOGARITHM[code] = HIGH_WEIGHTS[1 - (code & 1)]
    for i in range(289):
        LOW_SCALE[i] = <int16_t>_scale(i << 6, 8)
    for i in range(353):
        HIGH_SCALE[i] = <int16_t>_scale(i << 6, 10)
    level = 1
    for i in range(TOP_DECISION + 2):
        # Decision level DECISIONS[k] parts intervals k and k + 1; `i` lies in the first that ends at it or beyond.
        while level < LAST_LEVEL and i > DECISIONS[level]:
            level += 1
        LEVEL[i] = <uint8_t>level


_fill_tables()


cdef inline int _sat(int x) noexcept nogil:
    """Limit to 16 bits. Loud samples are rare: a branch that is always guessed is faster than two selections."""
    return x if x == <int16_t>x else 0x7FFF ^ (x >> 31)


cdef inline int _limit(int x) noexcept nogil:
    """Limit to the 15 bits of a band."""
    return BAND_MAX if x > BAND_MAX else (-BAND_MAX - 1 if x < -BAND_MAX - 1 else x)


cdef inline void _predict(G722Band* band, int d) noexcept nogil:
    """Take the quantised difference `d`: adapt the predictor and estimate the next sample (clause 6.2.1.4, 6.2.2.4).

    Signs are masks, -1 or 0, as they cannot be guessed. Where no limit is seen none can be passed: det is 16384 at the
    most, so that 2 * d has 16 bits; 255/256 of a coefficient and 128 have too.
    """
    cdef int r = _sat(2 * (band.s + d))
    cdef int sign = (band.sz + d) >> 31
    cdef int other1 = sign ^ band.sign1
    cdef int other2 = sign ^ band.sign2
    cdef int a1 = band.a1
    cdef int a2 = band.a2
    cdef int drive, span, i, b, sp, mask
    cdef int sz = 0
    cdef int doubled = 2 * d
    cdef int[6] products
    cdef unsigned int beyond = 0
    # UPPOL2: minus a1 * 4 where the signs agree; the sum of both limits is at most 32767 / 128.
    drive = _sat(4 * a1)
    drive = ((drive ^ ~other1) - ~other1) >> 7
    drive = 255 if drive > 255 else drive
    a2 = drive + 128 + (other2 & -256) + (a2 * 32512 >> 15)
    a2 = A2_MAX if a2 > A2_MAX else (-A2_MAX if a2 < -A2_MAX else a2)
    # UPPOL1
    a1 = 192 + (other1 & -384) + (a1 * 32640 >> 15)
    span = A1_SPAN - a2
    a1 = span if a1 > span else (-span if a1 < -span else a1)
    # UPZERO, DELAYA and FILTEZ, the oldest product first.
    drive = 128 if d else 0
    for i in range(5, -1, -1):
        mask = (d ^ band.d[i]) >> 31
        b = (band.b[i] * 32640 >> 15) + ((drive ^ mask) - mask)
        band.b[i] = <int16_t>b
        # What was the newest but i is the newest but i + 1 from here on.
        band.d[i] = <int16_t>(band.d[i - 1] if i else doubled)
        products[i] = b * band.d[i] >> 15
        sz += products[i]
        beyond |= <unsigned int>(sz + 32768)
    if beyond >> 16:
        # Some sum had to be limited, and all that follow begin from there.
        sz = 0
        for i in range(5, -1, -1):
            sz = _sat(sz + products[i])
    # FILTEP
    sp = (a1 * r >> 15) + (a2 * band.r1 >> 15)
    band.r1 = <int16_t>r
    band.sign2 = band.sign1
    band.sign1 = <int16_t>sign
    band.a1 = <int16_t>a1
    band.a2 = <int16_t>a2
    band.sz = <int16_t>sz
    band.s = <int16_t>_sat(_sat(sp) + sz)


cdef inline void _scale_low(G722Band* band, int code) noexcept nogil:
    cdef int nb = (band.nb * LEAK >> 7) + LOW_LOGARITHM[code]
    nb = 0 if nb < 0 else (NB_LOW_MAX if nb > NB_LOW_MAX else nb)
    band.nb = <int16_t>nb
    band.det = LOW_SCALE[nb >> 6]


cdef inline void _scale_high(G722Band* band, int code) noexcept nogil:
    cdef int nb = (band.nb * LEAK >> 7) + HIGH_LOGARITHM[code]
    nb = 0 if nb < 0 else (NB_HIGH_MAX if nb > NB_HIGH_MAX else nb)
    band.nb = <int16_t>nb
    band.det = HIGH_SCALE[nb >> 6]


cdef inline int _encode_low(G722Band* band, int x) noexcept nogil:
    """Code a sample of 15 bits; returns its 6 bits."""
    cdef int e = _sat(x - band.s)
    cdef int sign = e >> 31
    cdef unsigned int magnitude = e ^ sign
    # The interval is the first whose level * det >> 12 is above the magnitude: level * det >= (magnitude + 1) << 12.
    # det is 32 at the least, so that the quotient has 22 bits.
    cdef unsigned int quotient = (((magnitude + 1) << 12) + band.det - 1) // <unsigned int>band.det
    cdef int interval = LAST_LEVEL if quotient > TOP_DECISION else LEVEL[quotient]
    cdef int code = LOW_CODE[interval + (31 & sign)]
    cdef int d = band.det * LOW_PREDICTED[code >> 2] >> 15
    _scale_low(band, code >> 2)
    _predict(band, d)
    return code


cdef inline int _decode_low(G722Band* band, int code, const int16_t* outputs) noexcept nogil:
    """Return a sample of 15 bits."""
    cdef int x = _limit(band.s + (band.det * outputs[code] >> 15))
    cdef int d = band.det * LOW_PREDICTED[code >> 2] >> 15
    _scale_low(band, code >> 2)
    _predict(band, d)
    return x


cdef inline int _encode_high(G722Band* band, int x) noexcept nogil:
    """Code a sample of 15 bits; returns its 2 bits."""
    cdef int e = _sat(x - band.s)
    cdef int sign = e >> 31
    cdef int magnitude = e ^ sign
    cdef int code = (2 & ~sign) | (magnitude < HIGH_DECISION * band.det >> 12)
    cdef int d = band.det * HIGH_OUTPUT[code] >> 15
    _scale_high(band, code)
    _predict(band, d)
    return code


cdef inline int _decode_high(G722Band* band, int code) noexcept nogil:
    cdef int d = band.det * HIGH_OUTPUT[code] >> 15
    cdef int x = _limit(band.s + d)
    _scale_high(band, code)
    _predict(band, d)
    return x


cdef void g722_encoder_init(G722Encoder* encoder) noexcept nogil:
    memset(encoder, 0, sizeof(G722Encoder))
    encoder.low.det = 32
    encoder.high.det = 8


cdef void g722_decoder_init(G722Decoder* decoder) noexcept nogil:
    memset(decoder, 0, sizeof(G722Decoder))
    decoder.low.det = 32
    decoder.high.det = 8


cdef int g722_encode_8k(G722Encoder* encoder, const int16_t* samples, int n, uint8_t* out) noexcept nogil:
    cdef int i
    for i in range(n):
        out[i] = <uint8_t>(SILENT_HIGH | _encode_low(&encoder.low, samples[i] >> 1))
    return n


cdef int g722_decode_8k(G722Decoder* decoder, const uint8_t* data, int n, int16_t* out) noexcept nogil:
    cdef const int16_t* outputs = LOW_OUTPUT[decoder.auxiliary]
    cdef int i
    for i in range(n):
        out[i] = <int16_t>(2 * _decode_low(&decoder.low, data[i] & 0x3F, outputs))
    return n


cdef int g722_encode_16k(G722Encoder* encoder, const int16_t* samples, int n, uint8_t* out) noexcept nogil:
    """Part two samples into two bands (clause 6.2.1.1: 8192 is 1, and a band has one bit less), code each."""
    cdef int16_t* x = encoder.history
    cdef int32_t even, odd
    cdef int i, k
    for i in range(n // 2):
        memmove(x, x + 2, (G722_TAPS - 2) * sizeof(int16_t))
        x[G722_TAPS - 2] = samples[2 * i]
        x[G722_TAPS - 1] = samples[2 * i + 1]
        even = 0
        odd = 0
        for k in range(G722_TAPS // 2):
            odd += x[2 * k] * MIRROR[k]
            even += x[2 * k + 1] * MIRROR[G722_TAPS // 2 - 1 - k]
        out[i] = <uint8_t>(
            _encode_high(&encoder.high, _limit((even - odd) >> 14)) << 6
            | _encode_low(&encoder.low, _limit((even + odd) >> 14))
        )
    return n // 2


cdef int g722_decode_16k(G722Decoder* decoder, const uint8_t* data, int n, int16_t* out) noexcept nogil:
    """Decode both bands and put them together again (clause 6.2.2.1)."""
    cdef const int16_t* outputs = LOW_OUTPUT[decoder.auxiliary]
    cdef int16_t* x = decoder.history
    cdef int32_t first, second
    cdef int i, k, low, high
    for i in range(n):
        low = _decode_low(&decoder.low, data[i] & 0x3F, outputs)
        high = _decode_high(&decoder.high, data[i] >> 6)
        memmove(x, x + 2, (G722_TAPS - 2) * sizeof(int16_t))
        x[G722_TAPS - 2] = <int16_t>(low + high)
        x[G722_TAPS - 1] = <int16_t>(low - high)
        first = 0
        second = 0
        for k in range(G722_TAPS // 2):
            second += x[2 * k] * MIRROR[k]
            first += x[2 * k + 1] * MIRROR[G722_TAPS // 2 - 1 - k]
        out[2 * i] = <int16_t>_sat(first >> 11)
        out[2 * i + 1] = <int16_t>_sat(second >> 11)
    return 2 * n


@cython.auto_pickle(False)
@cython.final
cdef class Encoder:
    """The encoder on Python's side; `dsp.g722.G722Encoder` is its face."""

    cdef G722Encoder _state

    def __cinit__(self):
        g722_encoder_init(&self._state)

    def __dealloc__(self):
        memset(&self._state, 0, sizeof(self._state))

    def encode_8k(self, const int16_t[::1] samples not None) -> bytes:
        """Return an octet for each sample."""
        cdef Py_ssize_t n = _bounded(samples.shape[0])
        cdef bytes out = PyBytes_FromStringAndSize(NULL, n)
        if n:
            g722_encode_8k(&self._state, &samples[0], <int>n, <uint8_t*>PyBytes_AS_STRING(out))
        return out

    def encode_16k(self, const int16_t[::1] samples not None) -> bytes:
        """Return an octet for each two samples."""
        cdef Py_ssize_t n = _bounded(samples.shape[0])
        cdef bytes out = PyBytes_FromStringAndSize(NULL, n // 2)
        if n > 1:
            g722_encode_16k(&self._state, &samples[0], <int>n, <uint8_t*>PyBytes_AS_STRING(out))
        return out

    def reset(self):
        """Forget everything."""
        g722_encoder_init(&self._state)


@cython.auto_pickle(False)
@cython.final
cdef class Decoder:
    """The decoder on Python's side; `dsp.g722.G722Decoder` is its face."""

    cdef G722Decoder _state

    def __cinit__(self, int auxiliary=0):
        if not 0 <= auxiliary <= 2:
            raise ValueError("an octet has 0, 1 or 2 auxiliary bits")
        g722_decoder_init(&self._state)
        self._state.auxiliary = auxiliary

    def __dealloc__(self):
        memset(&self._state, 0, sizeof(self._state))

    def decode_8k(self, const uint8_t[::1] data not None):
        """Return a sample for each octet, int16."""
        cdef Py_ssize_t n = _bounded(data.shape[0])
        out = np.empty(n, dtype=np.int16)
        cdef int16_t[::1] view = out
        if n:
            g722_decode_8k(&self._state, &data[0], <int>n, &view[0])
        return out

    def decode_16k(self, const uint8_t[::1] data not None):
        """Return two samples for each octet, int16."""
        cdef Py_ssize_t n = _bounded(data.shape[0])
        out = np.empty(2 * n, dtype=np.int16)
        cdef int16_t[::1] view = out
        if n:
            g722_decode_16k(&self._state, &data[0], <int>n, &view[0])
        return out

    def reset(self):
        """Forget everything but the number of auxiliary bits."""
        cdef int auxiliary = self._state.auxiliary
        g722_decoder_init(&self._state)
        self._state.auxiliary = auxiliary


cdef Py_ssize_t _bounded(Py_ssize_t n) except -1:
    """Refuse what the kernels' int does not count: 16 hours of audio."""
    if n >= 1 << 30:
        raise ValueError("too many samples at once")
    return n
