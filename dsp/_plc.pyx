# cython: boundscheck=False, wraparound=False, cdivision=True
# Safe without checks: a period is 40 to 120 samples and at most three are used, so 390 - 30 - 360 >= 0.
"""ITU-T G.711 Appendix I: fill a gap with the last periods of what was heard, and fade."""

cimport cython
from libc.math cimport sqrt
from libc.stdint cimport int16_t
from libc.string cimport memcpy, memmove, memset

DELAY = PLC_DELAY
STEP = PLC_STEP

cdef enum:
    PITCH_MIN = 40  # samples, 200 Hz
    PITCH_MAX = 120  # 66 Hz
    MATCH = 160  # samples compared in the search, 20 ms
    MOST_PERIODS = 3  # one for the first 10 ms, two for the next, then three
    SILENT_STEPS = 6  # after 60 ms nothing is made up any more
    RETURN_PER_STEP = 32  # samples, 4 ms: each 10 ms of loss lengthens the overlap with the first good frame
cdef float FADE_PER_STEP = 0.2


cdef void plc_init(PlcState* state) noexcept nogil:
    memset(state, 0, sizeof(PlcState))
    state.pitch = PITCH_MIN


cdef int _pitch(const float* history) noexcept nogil:
    """Find the lag at which the last 20 ms agree most with what was before: normalised cross-correlation.

    Every lag at full rate; the text searches at half rate first, which only saves work.
    """
    cdef const float* recent = history + PLC_HISTORY - MATCH
    cdef const float* older
    cdef double dot, energy, score, best_score = -1e300
    cdef int lag, i, best = PITCH_MIN
    for lag in range(PITCH_MIN, PITCH_MAX + 1):
        older = recent - lag
        dot = 0
        energy = 0
        for i in range(MATCH):
            dot += <double>recent[i] * older[i]
            energy += <double>older[i] * older[i]
        score = dot / sqrt(energy) if energy > 0 else 0
        if score > best_score:
            best_score = score
            best = lag
    return best


cdef void _overlap(const float* leaving, const float* coming, float* out, int n) noexcept nogil:
    """Go from one signal to the other over n samples, in straight lines."""
    cdef float w
    cdef int i
    for i in range(n):
        w = <float>((i + 0.5) / n)
        out[i] = (1 - w) * leaving[i] + w * coming[i]


cdef void _shape(PlcState* state) noexcept nogil:
    """Bend the end of the source towards what precedes its repeated part."""
    cdef int quarter = state.pitch // 4
    cdef int end = PLC_HISTORY - quarter
    _overlap(state.tail, &state.source[end - state.periods * state.pitch], &state.source[end], quarter)


cdef void _repeat(PlcState* state, float* out, int n) noexcept nogil:
    """Write the next n samples of the repeated periods."""
    cdef int length = state.periods * state.pitch, i
    for i in range(n):
        out[i] = state.source[PLC_HISTORY - length + state.offset]
        state.offset += 1
        if state.offset == length:
            state.offset = 0


cdef void _fade(PlcState* state, float* out, int n) noexcept nogil:
    """Attenuate by what is due `state.lost` steps into the loss and later: 20 % in each 10 ms after the first."""
    cdef float gain = 1 - FADE_PER_STEP * (state.lost - 1)
    cdef int i
    if state.lost == 0:
        return
    for i in range(n):
        out[i] *= gain if gain > 0 else 0
        gain -= FADE_PER_STEP / PLC_STEP


cdef void _push(PlcState* state, const float* step, int16_t* out) noexcept nogil:
    """Append a step to the history and give the one PLC_DELAY older."""
    cdef const float* due = &state.history[PLC_HISTORY - PLC_DELAY - PLC_STEP]
    cdef float value
    cdef int i
    memmove(&state.history[0], &state.history[PLC_STEP], (PLC_HISTORY - PLC_STEP) * sizeof(float))
    memcpy(&state.history[PLC_HISTORY - PLC_STEP], step, PLC_STEP * sizeof(float))
    for i in range(PLC_STEP):
        # Every sample is a mean of int16 values, or less: it cannot overflow.
        value = due[i]
        out[i] = <int16_t>(value + 0.5 if value >= 0 else value - 0.5)


cdef void _good_step(PlcState* state, const int16_t* samples, int16_t* out) noexcept nogil:
    cdef float[80] step
    cdef float[80] made
    cdef int i, n
    for i in range(PLC_STEP):
        step[i] = samples[i]
    if state.lost:
        n = state.pitch // 4 + RETURN_PER_STEP * (state.lost - 1)
        if n > PLC_STEP:
            n = PLC_STEP
        _repeat(state, made, n)
        _fade(state, made, n)
        _overlap(made, step, step, n)
        state.lost = 0
    _push(state, step, out)


cdef void _lost_step(PlcState* state, int16_t* out) noexcept nogil:
    cdef float[80] step
    cdef float[30] before
    cdef int quarter
    if state.lost == 0:
        state.pitch = _pitch(state.history)
        quarter = state.pitch // 4
        state.periods = 1
        state.offset = 0
        memcpy(state.source, state.history, sizeof(state.history))
        memcpy(state.tail, &state.history[PLC_HISTORY - quarter], quarter * sizeof(float))
        _shape(state)
        # The end of what was heard has not gone out yet: that is what the delay is for.
        memcpy(&state.history[PLC_HISTORY - quarter], &state.source[PLC_HISTORY - quarter], quarter * sizeof(float))
        _repeat(state, step, PLC_STEP)
    elif state.lost >= SILENT_STEPS:
        memset(step, 0, sizeof(step))
    elif state.periods < MOST_PERIODS:
        quarter = state.pitch // 4
        _repeat(state, before, quarter)
        # The same phase, in the oldest of the periods.
        state.offset = (state.offset - quarter + state.periods * state.pitch) % state.pitch
        state.periods += 1
        _shape(state)
        _repeat(state, step, PLC_STEP)
        _overlap(before, step, step, quarter)
    else:
        _repeat(state, step, PLC_STEP)
    _fade(state, step, PLC_STEP)
    if state.lost < SILENT_STEPS:
        state.lost += 1
    _push(state, step, out)


cdef void plc_good(PlcState* state, const int16_t* samples, int16_t* out, int n) noexcept nogil:
    cdef int i
    for i in range(n // PLC_STEP):
        _good_step(state, samples + PLC_STEP * i, out + PLC_STEP * i)


cdef void plc_lost(PlcState* state, int16_t* out, int n) noexcept nogil:
    cdef int i
    for i in range(n // PLC_STEP):
        _lost_step(state, out + PLC_STEP * i)


@cython.auto_pickle(False)
@cython.final
cdef class Concealer:
    """The concealment on Python's side; `dsp.plc.PacketLossConcealer` is its face."""

    cdef PlcState _state

    def __cinit__(self):
        plc_init(&self._state)

    def good(self, const int16_t[::1] samples not None, int16_t[::1] out not None):
        """Take a frame; write as many samples, older ones, to `out`."""
        if samples.shape[0] != out.shape[0]:
            raise ValueError("samples and out differ in length")
        if samples.shape[0]:
            plc_good(&self._state, &samples[0], &out[0], <int>samples.shape[0])

    def lost(self, int16_t[::1] out not None):
        """Make up a frame in place of one that did not come."""
        if out.shape[0]:
            plc_lost(&self._state, &out[0], <int>out.shape[0])

    def reset(self):
        """Forget everything."""
        plc_init(&self._state)

    @property
    def pitch(self):
        """Period in samples that the last loss was filled with."""
        return self._state.pitch
