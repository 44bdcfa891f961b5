# cython: boundscheck=False, wraparound=False, cdivision=True
# Safe without checks: the two-element arrays are indexed by loops over two, `out` by its own length.
"""Two rotating phasors in double precision: no table, no drift, the same samples however the output is cut."""

cimport cython
from libc.math cimport cos, sin
from libc.stdint cimport int16_t

from dsp._tonefit cimport BIN_OMEGA, CODE_KEY

cdef double PI = 3.141592653589793
cdef double FULL_SCALE_SINE_DBM0 = 3.14  # dsp.levels: a sine that peaks at 32767


cdef void dtmf_tone_start(ToneGenState* tone, int code, double level_dbm0, int on_samples, int ramp) noexcept nogil:
    # Both sines start at zero: no click without a ramp.
    dtmf_tone_start_as(tone, code, level_dbm0, 0, 0, 0, 0, 0, on_samples, ramp)


cdef void dtmf_tone_start_as(
    ToneGenState* tone, int code, double level_dbm0, double high_minus_low_db, double low_offset, double high_offset,
    double low_phase, double high_phase, int on_samples, int ramp
) noexcept nogil:
    cdef int key = CODE_KEY[code & 15]
    cdef int i
    cdef double omega, peak, phase
    for i in range(2):
        omega = BIN_OMEGA[4 + key % 4] * (1 + high_offset) if i else BIN_OMEGA[key // 4] * (1 + low_offset)
        peak = 32767.0 * 10.0 ** ((level_dbm0 + (high_minus_low_db if i else 0) - FULL_SCALE_SINE_DBM0) / 20)
        phase = high_phase if i else low_phase
        tone.re[i] = peak * cos(phase)
        tone.im[i] = peak * sin(phase)
        tone.step_re[i] = cos(omega)
        tone.step_im[i] = sin(omega)
    tone.left = on_samples if on_samples > 0 else 0
    tone.done = 0
    tone.ramp = ramp if ramp > 0 else 0
    if tone.ramp > tone.left // 2:
        tone.ramp = tone.left // 2


cdef int dtmf_tone_fill(ToneGenState* tone, int16_t* out, int n) noexcept nogil:
    cdef int i, t, edge, count = n if n < tone.left else tone.left
    cdef double value, re
    for i in range(count):
        value = tone.im[0] + tone.im[1]
        for t in range(2):
            re = tone.re[t] * tone.step_re[t] - tone.im[t] * tone.step_im[t]
            tone.im[t] = tone.im[t] * tone.step_re[t] + tone.re[t] * tone.step_im[t]
            tone.re[t] = re
        edge = tone.done if tone.done < tone.left - 1 else tone.left - 1
        if edge < tone.ramp:
            value *= 0.5 - 0.5 * cos(PI * (edge + 0.5) / tone.ramp)
        tone.done += 1
        tone.left -= 1
        value += out[i]
        if value > 32767:
            value = 32767
        elif value < -32768:
            value = -32768
        out[i] = <int16_t>(value + 0.5 if value >= 0 else value - 0.5)
    return count


@cython.auto_pickle(False)
@cython.final
cdef class Oscillator:
    """One digit, mixed into buffers piece by piece."""

    cdef ToneGenState _tone

    def __cinit__(
        self, int code, double level_dbm0, int on_samples, int ramp, double high_minus_low_db=0, double low_offset=0,
        double high_offset=0, double low_phase=0, double high_phase=0,
    ):
        if not 0 <= code <= 15:
            raise ValueError("code must be an RFC 4733 event of a digit, 0 to 15")
        dtmf_tone_start_as(
            &self._tone, code, level_dbm0, high_minus_low_db, low_offset, high_offset, low_phase, high_phase,
            on_samples, ramp,
        )

    def fill(self, int16_t[::1] out not None):
        """Mix the next samples into `out`; return how many had tone in them."""
        if not out.shape[0]:
            return 0
        return dtmf_tone_fill(&self._tone, &out[0], <int>out.shape[0])
