# cython: boundscheck=False, wraparound=False, cdivision=True
# Safe without checks: rings are indexed modulo their length, `fill` stays below TONE_BLOCK, table rows come from enums.
"""DTMF detector and oscillator. What a key is, and every threshold: `dsp.dtmf.DtmfProfile`.

A block is 5 ms, a window its last five. Each window gets a verdict (which digit, or none); the table of `dsp.debounce`,
copied into two arrays below, turns verdicts into one START and one END a key.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.math cimport cos, fabs, hypot, log10, sin
from libc.stdint cimport int16_t, int64_t, uint8_t
from libc.string cimport memmove, memset

from dsp._tonefit cimport (
    BIN_GAIN,
    BIN_OMEGA,
    TONE_BINS,
    TONE_BLOCK,
    TONE_BLOCKS,
    TONE_DELAY,
    TONE_HISTORY,
    TONE_WINDOW,
    TonePair,
    tone_block,
    tone_coarse,
    tone_fit,
    tone_mix,
)

from dsp.debounce import TRANSITIONS as _TRANSITIONS, Action as _Action, Input as _Input, State

cdef double PI = 3.141592653589793
cdef double FULL_SCALE_SINE_DBM0 = 3.14  # dsp.levels: a sine that peaks at 32767
cdef enum:
    ENERGY_RING = 8
    FLOOR_SLOTS = 4
    FLOOR_SLOT_HOPS = 50  # 250 ms; four of them remember a second
    FLOOR_FIRST_HOPS = 10  # 50 ms of listening before the floor is believed
    LOST_CAP = 1000000  # samples; far above any max_lost_samples
# The minimum over a second lies below the mean of steady noise: 192 degrees of freedom, 200 draws.
cdef double FLOOR_TO_MEAN = 1.4
# Hum is a few cycles in a window, so its energy varies more than that of noise.
cdef double BELOW_TO_MEAN = 2.0
# The cheap gate: this much of a window's energy (above the floor) in its best low and its best high bin.
cdef double GATE_SHARE = 0.7
# And no block with less than this share of it (a fifth would be perfectly flat): an edge of a tone lies in the window.
cdef double GATE_FLAT = 0.06
# Nor more energy below the band than this, the steady part apart; the filter's ripple alone may show as 0.2.
cdef double GATE_BELOW = 0.6
# Coarse frequencies further off than this (ratio) cannot end within any tolerance allowed by DtmfProfile.
cdef double COARSE_TOLERANCE = 0.045
# A held tone is there while both of its tones are above this part of their level, and explain that of the energy.
cdef double HELD_PEAK = 0.35
cdef double HELD_SHARE = 0.3

KEY_CODES = (1, 2, 3, 12, 4, 5, 6, 13, 7, 8, 9, 14, 10, 0, 11, 15)
cdef int[16] KEY_CODE = KEY_CODES  # RFC 4733 section 3.2 code of low row * 4 + high column
cdef int[16] CODE_KEY
for _key, _code in enumerate(KEY_CODES):
    CODE_KEY[_code] = _key


# The members of dsp.debounce, in their order.
cdef enum:
    IDLE, MAYBE, HELD
cdef enum:
    MISS, HIT, HIT_AGAIN, HIT_ENOUGH, PRESENT, ABSENT, GAP, LOSS
cdef enum:
    NONE, ARM, COUNT, DROP, START, HOLD, WAIT, END
cdef uint8_t[3][8] NEXT_STATE
cdef uint8_t[3][8] ACTION
if (
    [*State] != [IDLE, MAYBE, HELD]
    or [*_Input] != [MISS, HIT, HIT_AGAIN, HIT_ENOUGH, PRESENT, ABSENT, GAP, LOSS]
    or [*_Action] != [NONE, ARM, COUNT, DROP, START, HOLD, WAIT, END]
):
    raise ImportError("dsp._dtmf and dsp.debounce number their members differently")
for _state in State:
    for _input in _Input:
        NEXT_STATE[<int>_state][<int>_input] = _TRANSITIONS.get((_state, _input), (_state, _Action.NONE))[0]
        ACTION[<int>_state][<int>_input] = _TRANSITIONS.get((_state, _input), (_state, _Action.NONE))[1]


cdef void dtmf_default_params(DtmfParams* params) noexcept nogil:
    # The same figures, with their sources, are dsp.dtmf.ITU_Q24; a test compares them.
    params.min_level_dbm0 = -38.0
    params.min_high_minus_low_db = -9.0
    params.max_high_minus_low_db = 5.0
    params.pure_min_high_minus_low_db = -10.0
    params.pure_max_high_minus_low_db = 7.0
    params.frequency_tolerance = 0.017
    params.pure_frequency_tolerance = 0.0185
    params.pure_residual = 0.04
    params.max_residual = 0.08
    params.max_below_band = 0.1
    params.min_signal_to_floor = 1.6
    params.max_amplitude_step = 0.3
    params.windows_to_confirm = 2
    params.pause_blocks = 4
    params.max_lost_samples = 480


cdef void dtmf_init(DtmfState* state, const DtmfParams* params) noexcept nogil:
    cdef int i
    cdef double peak
    memset(state, 0, sizeof(DtmfState))
    state.params = params[0]
    peak = 32767.0 * 10.0 ** ((params.min_level_dbm0 - FULL_SCALE_SINE_DBM0) / 20)
    state.min_power = peak * peak
    state.twist_power[0] = 10.0 ** (params.min_high_minus_low_db / 10)
    state.twist_power[1] = 10.0 ** (params.max_high_minus_low_db / 10)
    state.twist_power[2] = 10.0 ** (params.pure_min_high_minus_low_db / 10)
    state.twist_power[3] = 10.0 ** (params.pure_max_high_minus_low_db / 10)
    # What came before the first sample was silence: the filter's history is right as it is, all zero.
    state.warm = 1
    state.newest = TONE_BLOCKS - 1
    state.newest_energy = ENERGY_RING - 1
    for i in range(FLOOR_SLOTS):
        state.floor_slots[i] = 3e38
        state.below_slots[i] = 3e38


cdef inline double _dbm0(double peak) noexcept nogil:
    return 20 * log10(peak / 32767.0 + 1e-9) + FULL_SCALE_SINE_DBM0


cdef void _track_floor(DtmfState* state, float energy, float energy_raw) noexcept nogil:
    """Follow the least energy of a window in the last second, in the band and below it."""
    cdef float below = energy_raw - energy if energy_raw > energy else 0
    cdef int i
    if state.slot_hops == FLOOR_SLOT_HOPS:
        state.slot_hops = 0
        state.slot = (state.slot + 1) % FLOOR_SLOTS
        state.floor_slots[state.slot] = energy
        state.below_slots[state.slot] = below
    state.slot_hops += 1
    if energy < state.floor_slots[state.slot]:
        state.floor_slots[state.slot] = energy
    if below < state.below_slots[state.slot]:
        state.below_slots[state.slot] = below
    if state.floor_known < FLOOR_FIRST_HOPS:
        state.floor_known += 1
        return
    state.floor = state.floor_slots[0]
    state.below_floor = state.below_slots[0]
    for i in range(1, FLOOR_SLOTS):
        if state.floor_slots[i] < state.floor:
            state.floor = state.floor_slots[i]
        if state.below_slots[i] < state.below_floor:
            state.below_floor = state.below_slots[i]


cdef int _nearest(double omega, int first, double* deviation) noexcept nogil:
    """Bin of the group that starts at `first` whose frequency is nearest by ratio, and the ratio less one."""
    cdef int i, best = first
    cdef double d
    deviation[0] = 9
    for i in range(first, first + 4):
        d = fabs(omega / BIN_OMEGA[i] - 1)
        if d < deviation[0]:
            deviation[0] = d
            best = i
    return best


cdef int _gate(DtmfState* state, double energy, int* bins) noexcept nogil:
    """Say whether the window is worth a fit; `bins` gets its strongest low and high bin."""
    cdef float[8] power
    cdef double low, high
    cdef int i, k
    for k in range(TONE_BINS):
        power[k] = state.power[k]
    for i in range(1, TONE_BLOCKS):
        for k in range(TONE_BINS):
            power[k] += state.power[TONE_BINS * i + k]
    bins[0] = 0
    bins[1] = 4
    for k in range(1, 4):
        if power[k] > power[bins[0]]:
            bins[0] = k
        if power[k + 4] > power[bins[1]]:
            bins[1] = k + 4
    # A tone on the bin gives (20 peak)^2 in each of the five blocks; half is left for one that is off and for noise.
    low = power[bins[0]] / 2000.0
    high = power[bins[1]] / 2000.0
    if low < 0.5 * state.min_power or high < 0.5 * state.min_power:
        return 0
    if 0.5 * TONE_WINDOW * (low + high) < GATE_SHARE * (energy - state.floor):
        return 0
    return 0.5 * TONE_WINDOW * (low + high) > state.params.min_signal_to_floor * state.floor


cdef int _judge(DtmfState* state, TonePair* pair, double energy_raw) noexcept nogil:
    """Test a fitted window against the profile: a digit's RFC 4733 code, or -1."""
    cdef DtmfParams* p = &state.params
    cdef double low_off, high_off, low, high, residual, below, share
    cdef int low_bin = _nearest(pair.low_omega, 0, &low_off)
    cdef int high_bin = _nearest(pair.high_omega, 4, &high_off)
    cdef int pure
    low = pair.low_peak / BIN_GAIN[low_bin]
    high = pair.high_peak / BIN_GAIN[high_bin]
    low *= low
    high *= high
    if low < state.min_power or high < state.min_power:
        return -1
    # Steady noise is forgiven, up to the floor it had before; a voice is not, for its floor is the pause before it.
    residual = pair.residual_energy - FLOOR_TO_MEAN * state.floor
    share = residual / pair.tone_energy
    pure = share < p.pure_residual
    if share > p.max_residual or pair.tone_energy < p.min_signal_to_floor * state.floor:
        return -1
    if low_off > (p.pure_frequency_tolerance if pure else p.frequency_tolerance):
        return -1
    if high_off > (p.pure_frequency_tolerance if pure else p.frequency_tolerance):
        return -1
    if high < low * state.twist_power[2 if pure else 0] or high > low * state.twist_power[3 if pure else 1]:
        return -1
    if pair.flat_min < 1 - p.max_amplitude_step or pair.flat_max > 1 + p.max_amplitude_step:
        return -1
    # A vowel has its strength below the band. Dial tone and mains have it there too, but steadily.
    below = energy_raw - 0.5 * TONE_WINDOW * (low + high) - pair.residual_energy - BELOW_TO_MEAN * state.below_floor
    if below > p.max_below_band * pair.tone_energy:
        return -1
    state.low_bin = low_bin
    state.high_bin = high_bin
    return KEY_CODE[4 * low_bin + high_bin - 4]


cdef int _window(DtmfState* state, TonePair* pair, int learn) noexcept nogil:
    """Judge the last five blocks: a digit's code, or -1."""
    cdef float[200] y
    cdef int[2] bins
    cdef double energy = 0, energy_raw = 0, least = 3e38, low_off, high_off
    cdef int i, row, verdict = -1
    for i in range(TONE_BLOCKS):
        row = (state.newest_energy - i) & (ENERGY_RING - 1)
        energy += state.energy[row]
        energy_raw += state.energy_raw[row]
        if state.energy[row] < least:
            least = state.energy[row]
    if (
        least > GATE_FLAT * energy
        and energy_raw - BELOW_TO_MEAN * state.below_floor < (1 + GATE_BELOW + state.params.max_below_band) * energy
        and _gate(state, energy, bins)
    ):
        row = (state.newest + 1) % TONE_BLOCKS
        tone_coarse(state.bank, row, bins[0], bins[1], pair)
        _nearest(pair.low_omega, 0, &low_off)
        _nearest(pair.high_omega, 4, &high_off)
        if low_off < COARSE_TOLERANCE and high_off < COARSE_TOLERANCE:
            for i in range(TONE_BLOCKS):
                memmove(&y[TONE_BLOCK * i], &state.y[TONE_BLOCK * row], TONE_BLOCK * sizeof(float))
                row = (row + 1) % TONE_BLOCKS
            if tone_fit(y, pair):
                verdict = _judge(state, pair, energy_raw)
    if verdict < 0 and learn:
        _track_floor(state, <float>energy, <float>energy_raw)
    return verdict


cdef int _held(DtmfState* state) noexcept nogil:
    """Say what the newest block means for the key that is held: PRESENT, ABSENT or GAP."""
    cdef const float* bank = &state.bank[16 * state.newest]
    cdef ToneMix* m = &state.mix
    cdef int i = state.low_bin, k = state.high_bin
    cdef double low = hypot(m.a * bank[i] + m.b * bank[k], m.a * bank[8 + i] + m.b * bank[8 + k])
    cdef double high = hypot(m.c * bank[i] + m.d * bank[k], m.c * bank[8 + i] + m.d * bank[8 + k])
    cdef double energy = state.energy[state.newest_energy] - state.floor / TONE_BLOCKS
    cdef double part = 0.5 * (low / state.low_peak + high / state.high_peak)
    cdef int there = (
        low > HELD_PEAK * state.low_peak
        and high > HELD_PEAK * state.high_peak
        and 0.5 * TONE_BLOCK * (low * low + high * high) > HELD_SHARE * energy
    )
    if state.lost > state.params.max_lost_samples:
        return GAP
    if there and state.absent == 0:
        state.lost = 0  # the tone on both sides of a short loss: it was there in between
    elif not there:
        if state.absent == 0:  # the tone reached into this block by about as much as is left of its level
            state.end += <int64_t>(TONE_BLOCK * (part if part < 1 else 1))
        state.absent += TONE_BLOCK + state.lost
        state.lost = 0
    else:
        state.absent += state.lost
        state.lost = 0
    if state.absent >= state.params.pause_blocks * TONE_BLOCK:
        return GAP
    return PRESENT if there else ABSENT


cdef void _arm(DtmfState* state, int digit, int64_t block_start) noexcept nogil:
    """Follow a digit that one window has shown, and date its start by the energies around the window's edge."""
    cdef int newest = state.newest_energy, i
    cdef double mean = 0, first, before
    for i in range(TONE_BLOCKS - 1):
        mean += state.energy[(newest - i) & (ENERGY_RING - 1)] / (TONE_BLOCKS - 1)
    first = state.energy[(newest - TONE_BLOCKS + 1) & (ENERGY_RING - 1)] / mean
    before = state.energy[(newest - TONE_BLOCKS) & (ENERGY_RING - 1)] / mean
    if state.valid == TONE_BLOCKS:  # nothing known before the window
        before = 0
    first = 1 if first > 1 else first
    before = 1 if before > 1 else before
    state.candidate = digit
    state.candidate_windows = 1
    state.candidate_start = block_start - (TONE_BLOCKS - 1) * TONE_BLOCK + <int64_t>(TONE_BLOCK * (1 - first - before))
    if state.candidate_start < 0:
        state.candidate_start = 0


cdef void _emit(
    DtmfState* state, int kind, DtmfEvent* out, int max_out, int* count
) noexcept nogil:
    cdef DtmfEvent* event
    if count[0] >= max_out:
        state.overflow += 1
        return
    event = &out[count[0]]
    count[0] += 1
    event.kind = kind
    event.digit = state.digit
    event.start = state.start
    event.end = -1 if kind == DTMF_START else state.end
    event.low_dbm0 = <float>_dbm0(state.low_peak / BIN_GAIN[state.low_bin])
    event.high_dbm0 = <float>_dbm0(state.high_peak / BIN_GAIN[state.high_bin])


cdef void _block(DtmfState* state, DtmfEvent* out, int max_out, int* count) noexcept nogil:
    """Take the block that is complete in state.x."""
    cdef float[2] energy
    cdef TonePair pair
    cdef int digit = -1, what, action
    # The first sample of the input that the filtered block belongs to.
    cdef int64_t block_start = state.position - TONE_BLOCK - TONE_DELAY
    state.newest = (state.newest + 1) % TONE_BLOCKS
    state.newest_energy = (state.newest_energy + 1) & (ENERGY_RING - 1)
    tone_block(
        state.x,
        &state.y[TONE_BLOCK * state.newest],
        &state.bank[16 * state.newest],
        &state.power[TONE_BINS * state.newest],
        energy,
    )
    state.energy[state.newest_energy] = energy[0]
    state.energy_raw[state.newest_energy] = energy[1]
    if state.valid <= TONE_BLOCKS:
        state.valid += 1
    if state.state == HELD:
        what = _held(state)
    elif state.valid < TONE_BLOCKS:
        what = MISS
    else:
        digit = _window(state, &pair, state.state == IDLE)
        if digit < 0:
            what = MISS
        elif state.state == IDLE or digit != state.candidate:
            what = HIT
        elif state.candidate_windows + 1 < state.params.windows_to_confirm:
            what = HIT_AGAIN
        else:
            what = HIT_ENOUGH
    action = ACTION[state.state][what]
    state.state = NEXT_STATE[state.state][what]
    if action == ARM:
        _arm(state, digit, block_start)
    elif action == COUNT:
        state.candidate_windows += 1
    elif action == START:
        state.digit = digit
        state.start = state.candidate_start
        state.end = block_start + TONE_BLOCK
        state.absent = 0
        state.lost = 0
        state.low_peak = pair.low_peak
        state.high_peak = pair.high_peak
        tone_mix(&state.mix, pair.low_omega, pair.high_omega, state.low_bin, state.high_bin)
        _emit(state, DTMF_START, out, max_out, count)
    elif action == HOLD:
        state.end = block_start + TONE_BLOCK
        state.absent = 0
    elif action == END:
        _emit(state, DTMF_END, out, max_out, count)


cdef int dtmf_process(DtmfState* state, const int16_t* samples, int n, DtmfEvent* out, int max_out) noexcept nogil:
    cdef int count = 0, taken = 0, piece, i
    while taken < n:
        piece = n - taken
        if piece > TONE_BLOCK - state.fill:
            piece = TONE_BLOCK - state.fill
        for i in range(piece):
            state.x[TONE_HISTORY + state.fill + i] = samples[taken + i]
        taken += piece
        state.fill += piece
        state.position += piece
        if state.fill == TONE_BLOCK:
            state.fill = 0
            if state.warm:
                _block(state, out, max_out, &count)
            state.warm = 1
            memmove(&state.x[0], &state.x[TONE_BLOCK], TONE_HISTORY * sizeof(float))
    return count


cdef void dtmf_lost(DtmfState* state, int n) noexcept nogil:
    cdef int action
    if n <= 0:
        return
    # The pending samples go with the lost ones, and the next block only fills the filter's history: both count as lost.
    state.position += n
    if state.lost < LOST_CAP:  # an idle leg may lose for days; nobody asks how much
        state.lost += (n if n < LOST_CAP else LOST_CAP) + state.fill + TONE_BLOCK
    state.fill = 0
    state.warm = 0
    state.valid = 0
    state.state = NEXT_STATE[state.state][LOSS]


cdef void dtmf_tone_start(ToneGenState* tone, int code, double level_dbm0, int on_samples, int ramp) noexcept nogil:
    cdef double peak = 32767.0 * 10.0 ** ((level_dbm0 - FULL_SCALE_SINE_DBM0) / 20)
    cdef int key = CODE_KEY[code & 15]
    cdef int i
    cdef double omega
    for i in range(2):
        omega = BIN_OMEGA[4 + key % 4 if i else key // 4]
        tone.re[i] = peak
        tone.im[i] = 0  # both sines start at zero: no click without a ramp
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
cdef class Detector:
    """The detector on Python's side; `dsp.dtmf.DtmfDetector` is its face."""

    cdef DtmfState* _state
    cdef DtmfParams _params

    def __cinit__(self, dict params not None):
        self._state = <DtmfState*>PyMem_Malloc(sizeof(DtmfState))
        if not self._state:
            raise MemoryError
        self._params = params
        dtmf_init(self._state, &self._params)

    def __dealloc__(self):
        PyMem_Free(self._state)

    def reset(self):
        """Forget everything; the next sample is number 0."""
        dtmf_init(self._state, &self._params)

    def lost(self, int n):
        """Count n samples as lost."""
        if n < 0:
            raise ValueError("a negative number of samples cannot be lost")
        dtmf_lost(self._state, n)

    def process(self, const int16_t[::1] samples not None):
        """Take samples; list (kind, code, start, end, low_dbm0, high_dbm0) for each event."""
        cdef DtmfEvent[64] events
        cdef Py_ssize_t taken = 0, n = samples.shape[0]
        cdef int piece, count, i
        cdef list out = []
        while taken < n:
            piece = <int>(n - taken if n - taken < 1000 else 1000)  # dtmf_max_events(1000) is 54
            count = dtmf_process(self._state, &samples[taken], piece, events, 64)
            taken += piece
            for i in range(count):
                out.append((
                    events[i].kind, events[i].digit, events[i].start, events[i].end,
                    events[i].low_dbm0, events[i].high_dbm0,
                ))
        return out

    @property
    def position(self):
        """Samples taken and lost since the last reset."""
        return self._state.position

    @property
    def state(self):
        """Where the debounce stands."""
        return State(self._state.state)


@cython.auto_pickle(False)
@cython.final
cdef class Oscillator:
    """One digit, mixed into buffers piece by piece."""

    cdef ToneGenState _tone

    def __cinit__(self, int code, double level_dbm0, int on_samples, int ramp):
        if not 0 <= code <= 15:
            raise ValueError("code must be an RFC 4733 event of a digit, 0 to 15")
        dtmf_tone_start(&self._tone, code, level_dbm0, on_samples, ramp)

    def fill(self, int16_t[::1] out not None):
        """Mix the next samples into `out`; return how many had tone in them."""
        if not out.shape[0]:
            return 0
        return dtmf_tone_fill(&self._tone, &out[0], <int>out.shape[0])


def default_params():
    """Return the kernel's own defaults."""
    cdef DtmfParams params
    dtmf_default_params(&params)
    return params


def max_events(int n):
    """Return how much room `dtmf_process` can need for n samples."""
    return dtmf_max_events(n)
