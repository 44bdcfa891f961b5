# cython: boundscheck=False, wraparound=False, cdivision=True
# Safe without checks: every array has COMFORT_NOISE_ORDER elements, or one more, and every order is clipped to it.
"""RFC 3389: white noise through an all-pole lattice, at the level and with the spectrum of the far end's background.

The sign of the coefficients is not in the RFC's text. The one in use among its implementations is that of
A(z) = 1 + a1 z^-1 + ... with a1 = k1: noise with more energy in the low frequencies has a negative k1.
"""

cimport cython
from libc.math cimport floor, log10, pow, sqrt
from libc.stdint cimport int16_t, int32_t, uint8_t, uint32_t
from libc.string cimport memset

ORDER = COMFORT_NOISE_ORDER

cdef enum:
    STEP = 80  # samples, 10 ms: parameters go on towards the last payload's once a step
    RESERVED = 255  # RFC 3389 §3.2: no coefficient
    ZERO = 127  # the index of a coefficient of 0
    SILENT = 127  # -dBov
    LEVEL_MASK = 0x7F  # RFC 3389 §3.1: the most significant bit is 0

cdef float FULL_SCALE = 32767.0  # dsp.levels: 0 dBov is a square wave of this amplitude
cdef float UNIT = 258.0 / 32768.0  # RFC 3389 §3.2: what one index step is worth
cdef float GLIDE = 0.25  # of the way in each step: within 5 % of the new spectrum after 100 ms
cdef float UNIFORM = 1.7320508  # peak over root mean square of the excitation


cdef void comfort_noise_init(ComfortNoiseState* state, uint32_t seed) noexcept nogil:
    memset(state, 0, sizeof(ComfortNoiseState))
    state.seed = seed


cdef int comfort_noise_update(ComfortNoiseState* state, const uint8_t* payload, int n) noexcept nogil:
    cdef int i
    if n < 1:
        return 0
    state.level = FULL_SCALE * <float>pow(10, -(payload[0] & LEVEL_MASK) / 20.0)
    memset(state.target, 0, sizeof(state.target))
    for i in range(min(n - 1, <int>COMFORT_NOISE_ORDER)):
        if payload[1 + i] == RESERVED:
            break
        state.target[i] = (<int>payload[1 + i] - ZERO) * UNIT
        if state.target[i] != 0:
            state.order = max(state.order, i + 1)
    if not state.known:
        state.reflection = state.target
        state.known = 1
    return 1


cdef void _glide(ComfortNoiseState* state) noexcept nogil:
    """Bring the spectrum nearer to the one aimed at; a lattice stays stable on the way."""
    cdef int i
    cdef int order = 0
    for i in range(state.order):
        state.reflection[i] += GLIDE * (state.target[i] - state.reflection[i])
        if -1e-3 < state.reflection[i] - state.target[i] < 1e-3:
            state.reflection[i] = state.target[i]
        if state.reflection[i] != 0 or state.target[i] != 0:
            order = i + 1
    state.order = order


cdef float _excitation(const ComfortNoiseState* state) noexcept nogil:
    """Return the peak of the excitation whose filtered noise has the level aimed at."""
    cdef float gain = 1
    cdef int i
    # The power of an all-pole filter's output is that of its excitation over the product of 1 - k^2.
    for i in range(state.order):
        gain *= 1 - state.reflection[i] * state.reflection[i]
    return UNIFORM * state.level * <float>sqrt(gain)


cdef void _step(ComfortNoiseState* state, int16_t* out, int n) noexcept nogil:
    # Copies on the stack: the compiler need not write them back at every sample.
    cdef float[12] reflection
    cdef float[12] delay
    cdef uint32_t seed = state.seed
    cdef float amplitude = state.amplitude * <float>(1.0 / 2147483648.0)
    cdef float slope
    cdef float forward
    cdef int last
    cdef int i, k
    _glide(state)
    state.amplitude = _excitation(state)
    slope = (state.amplitude * <float>(1.0 / 2147483648.0) - amplitude) / n
    last = state.order - 1
    reflection = state.reflection
    delay = state.delay
    for i in range(n):
        # A linear congruential generator; its upper bits are white enough for noise.
        seed = seed * <uint32_t>1664525 + <uint32_t>1013904223
        amplitude += slope
        forward = <float><int32_t>seed * amplitude
        if last >= 0:
            forward -= reflection[last] * delay[last]
            for k in range(last - 1, -1, -1):
                forward -= reflection[k] * delay[k]
                delay[k + 1] = delay[k] + reflection[k] * forward
            delay[0] = forward
        forward = max(<float>-32768, min(<float>32767, forward))
        out[i] = <int16_t>(forward + <float>0.5 if forward >= 0 else forward - <float>0.5)
    state.delay = delay
    state.seed = seed


cdef void comfort_noise_generate(ComfortNoiseState* state, int16_t* out, int n) noexcept nogil:
    cdef int at = 0
    cdef int part
    if not state.known:
        memset(out, 0, max(n, 0) * sizeof(int16_t))
        return
    while at < n:
        part = min(n - at, <int>STEP)
        _step(state, out + at, part)
        at += part


cdef int comfort_noise_analyse(const int16_t* samples, int n, int order, uint8_t* payload) noexcept nogil:
    cdef double[13] correlation
    cdef double[13] a
    cdef double[13] previous
    cdef double error, sum_, k
    cdef int level = SILENT
    cdef int index
    cdef int i, j
    order = max(0, min(order, <int>COMFORT_NOISE_ORDER))
    for i in range(order + 1):
        correlation[i] = 0
        for j in range(i, n):
            correlation[i] += <double>samples[j] * samples[j - i]
    if n > 0 and correlation[0] > 0:
        level = <int>floor(0.5 - 10 * log10(correlation[0] / n / (<double>FULL_SCALE * FULL_SCALE)))
    payload[0] = <uint8_t>max(0, min(level, <int>SILENT))
    # Levinson and Durbin; a white floor 50 dB below keeps a tone's coefficients away from 1.
    error = correlation[0] * 1.00001 + 1e-9
    memset(a, 0, sizeof(a))
    for i in range(1, order + 1):
        sum_ = correlation[i]
        for j in range(1, i):
            sum_ += a[j] * correlation[i - j]
        k = -sum_ / error
        index = <int>floor(k / UNIT + 0.5) + ZERO
        payload[i] = <uint8_t>max(0, min(index, 2 * <int>ZERO))
        previous = a
        for j in range(1, i):
            a[j] = previous[j] + k * previous[i - j]
        a[i] = k
        error *= 1 - k * k
        if error <= 0:
            error = 1e-9
    return order + 1


@cython.auto_pickle(False)
@cython.final
cdef class Noise:
    """The generator on Python's side; `dsp.comfort_noise.ComfortNoise` is its face."""

    cdef ComfortNoiseState _state

    def __cinit__(self, uint32_t seed):
        comfort_noise_init(&self._state, seed)

    def update(self, bytes payload not None):
        """Take a payload; tell whether there was anything in it."""
        return comfort_noise_update(&self._state, <const uint8_t*><const char*>payload, <int>len(payload)) != 0

    def generate(self, int16_t[::1] out not None):
        """Write noise to all of `out`."""
        if out.shape[0]:
            comfort_noise_generate(&self._state, &out[0], <int>out.shape[0])


def analyse(const int16_t[::1] samples not None, int order):
    """Return the payload that describes these samples."""
    cdef uint8_t[13] payload
    cdef int n = comfort_noise_analyse(
        &samples[0] if samples.shape[0] else NULL, <int>samples.shape[0], order, payload
    )
    return (<char*>payload)[:n]
