# cython: boundscheck=False, wraparound=False, cdivision=True
# Safe without checks: rings are indexed modulo their length, `fill` stays below GATE_BLOCK, table rows come from enums.
"""DTMF detector. What a key is, and every threshold: `dsp.dtmf.DtmfProfile`.

The front end (`dsp._gate`) looks at every 10 ms. Where two blocks in a row could be the same key, the analysis
(`dsp._window`) begins some blocks before them and runs until all is quiet again: each 5 ms it looks at the last 25 ms,
fits two tones where that is worth it, and the window gets a verdict (which digit, or why none). The table of
`dsp.debounce`, copied into two arrays below, turns verdicts into one START and one END a key.
"""

from libc.math cimport exp, fabs, log10
from libc.stdint cimport int16_t, int64_t, uint8_t
from libc.string cimport memcpy, memset

from dsp._dtmf_model cimport dtmf_score
from dsp._gate cimport GATE_BLOCK, GATE_UNIT, GateBlock, gate_block
from dsp._plc cimport PLC_DELAY, PlcState, plc_good, plc_init, plc_lost
from dsp._tonefit cimport (
    KEY_CODE,
    TONE_BLOCK,
    TONE_BLOCKS,
    TONE_DELAY,
    TONE_WINDOW,
    TonePair,
    tone_amplitudes,
)
from dsp._window cimport (
    ToneAnalysis,
    ToneWindow,
    analysis_begin,
    analysis_block,
    analysis_lost,
    window_course,
    window_fit,
    window_opens,
)

from dsp.debounce import TRANSITIONS as _TRANSITIONS, Action as _Action, Input as _Input, State

cdef double FULL_SCALE_SINE_DBM0 = 3.14  # dsp.levels: a sine that peaks at 32767
cdef enum:
    HIST_BLOCKS = 8
    LEAD_BLOCKS = 6  # of 10 ms that the analysis looks back when it begins, the two that opened it included
    OLD_BLOCKS = 8  # tones that are not new are looked at once in so many blocks
    CLOSE_BLOCKS = 2  # of 10 ms without a candidate that end it
    FLOOR_SLOTS = 3
    FLOOR_SLOT_BLOCKS = 25  # 250 ms; three and the one that is being filled remember a second
    FLOOR_FIRST_BLOCKS = 5  # 50 ms of listening before the floor is believed
    WAITING = 4
    MAKE_UP_MOST = 160  # samples, 20 ms: a frame of RTP
    LOST_CAP = 1000000  # samples; far above any max_lost_samples
    # Hostile audio: a fit for every two blocks of 5 ms in the long run, eighteen at once. A key needs two to six.
    CREDIT_FIT = 2
    CREDIT_CAP = 36
# The minimum over a second lies below the mean of steady noise: 136 degrees of freedom, 100 draws.
cdef double FLOOR_TO_MEAN = 1.4
# Hum is a few cycles in a window, so its energy varies more than that of noise.
cdef double BELOW_TO_MEAN = 2.0
# A block opens the analysis with this much of its energy (above the floor) in its best low and its best high bin: a
# tone 1.9 % off keeps 0.73 in 10 ms.
cdef double GATE_SHARE = 0.65
cdef double GATE_MARGIN_DB = 3.0
# And a window of 25 ms is worth a fit with this much.
cdef double WINDOW_SHARE = 0.5
# The coarse frequencies are good to this (ratio), at an SNR of 4 dB.
cdef double COARSE_ERROR = 0.0125
# In the 60 ms before two blocks that could be a key its tones have, at some time, less power than this part.
cdef float WEAKER = <float>0.25
# From the front end's unit (a 128th of the block's sum of squares) to a window of TONE_WINDOW samples, from two blocks.
cdef double GATE_TO_WINDOW = 128.0 * 200.0 / 160.0
cdef double GATE_SINE = 0.3125  # a sine of peak 1 in the front end's unit
# A deviation (ratio) of less than this is none: keys come from quartzes, notes and voices do not.
cdef double EXACT = 0.005
# An amplitude of less than this before the tones began is noise.
cdef double BEFORE_NOISE = 0.15
# A held tone is there while both of its tones are above this part of their level, and explain that of the energy.
cdef double HELD_PEAK = 0.35
cdef double HELD_SHARE = 0.3

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

# Why a window is no key; the first limit it breaks. Names: dsp._detector.REASONS.
cdef enum:
    KEY, LEVEL, NOISE, RESIDUAL, LOW_FREQUENCY, HIGH_FREQUENCY, TWIST, NOT_FLAT, SCORE, TOO_SHORT
    STARTED


cdef void dtmf_default_params(DtmfParams* params) noexcept nogil:
    # The same figures, with their sources, are dsp.dtmf.ITU_Q24; a test compares them.
    params.min_level_dbm0 = -38.0
    params.min_high_minus_low_db = -12.0
    params.max_high_minus_low_db = 9.0
    params.frequency_tolerance = 0.0195
    params.max_residual = 1.0
    params.max_amplitude_step = 0.9
    params.min_signal_to_floor = 1.25
    params.min_score = 1.25
    params.strong_score = 4.0
    params.exact_score = -2.0
    params.exact_windows = 4
    params.windows_to_confirm = 2
    params.min_tone_samples = 208
    params.pause_blocks = 4
    params.max_lost_samples = 480
    params.provisional = 0
    params.near_misses = 0


cdef inline double _power(double db) noexcept nogil:
    return 10.0 ** (db / 10)


cdef void dtmf_init(DtmfState* state, const DtmfParams* params) noexcept nogil:
    cdef int i
    cdef double peak
    memset(state, 0, sizeof(DtmfState))
    state.params = params[0]
    peak = 32767.0 * 10.0 ** ((params.min_level_dbm0 - FULL_SCALE_SINE_DBM0) / 20)
    state.limits.min_power = peak * peak
    state.limits.min_signal_to_floor = params.min_signal_to_floor
    state.limits.share = WINDOW_SHARE
    state.limits.coarse = params.frequency_tolerance + COARSE_ERROR
    state.gate_twist[0] = <float>_power(params.min_high_minus_low_db - GATE_MARGIN_DB)
    state.gate_twist[1] = <float>_power(params.max_high_minus_low_db + GATE_MARGIN_DB)
    state.gate_least = <float>(0.5 * GATE_SINE * peak * peak) * GATE_UNIT
    state.gate_key = -1
    state.shown = -1
    state.made_to = -1
    state.credit = CREDIT_CAP
    state.floor_slot = state.floor_rest = <float>3e38
    state.below_slot = state.below_rest = <float>3e38
    for i in range(FLOOR_SLOTS):
        state.floor_slots[i] = <float>3e38
        state.below_slots[i] = <float>3e38


cdef inline double _dbm0(double peak) noexcept nogil:
    return 20 * log10(peak / 32767.0 + 1e-9) + FULL_SCALE_SINE_DBM0


cdef inline void _track_floor(DtmfState* state, float band, float below) noexcept nogil:
    """Follow the least energy of two blocks in the last second, in the band and below it."""
    cdef int i
    if state.slot_blocks == FLOOR_SLOT_BLOCKS:
        state.slot_blocks = 0
        state.floor_slots[state.slot] = state.floor_slot
        state.below_slots[state.slot] = state.below_slot
        state.slot = (state.slot + 1) % FLOOR_SLOTS
        state.floor_slot = band
        state.below_slot = below
        state.floor_rest = <float>3e38
        state.below_rest = <float>3e38
        for i in range(FLOOR_SLOTS):
            state.floor_rest = min(state.floor_rest, state.floor_slots[i])
            state.below_rest = min(state.below_rest, state.below_slots[i])
    state.slot_blocks += 1
    state.floor_slot = min(state.floor_slot, band)
    state.below_slot = min(state.below_slot, below)
    state.floor_known += state.floor_known < FLOOR_FIRST_BLOCKS
    if state.floor_known == FLOOR_FIRST_BLOCKS:
        state.gate_floor = <float>(0.5 * FLOOR_TO_MEAN) * min(state.floor_slot, state.floor_rest)


cdef void _take_floors(DtmfState* state) noexcept nogil:
    """Give the analysis the floors in its own units."""
    if state.floor_known == FLOOR_FIRST_BLOCKS:
        state.limits.floor = GATE_TO_WINDOW / GATE_UNIT * min(state.floor_slot, state.floor_rest)
        state.limits.below_floor = (
            BELOW_TO_MEAN * GATE_TO_WINDOW / GATE_UNIT * min(state.below_slot, state.below_rest)
        )


cdef int _strongest(const float* bins) noexcept nogil:
    cdef int k, best = 0
    for k in range(1, 4):
        if bins[k] > bins[best]:
            best = k
    return best


cdef inline int _gate_key(const DtmfState* state, const GateBlock* block, float band) noexcept nogil:
    """Say which key a block of 10 ms could be part of: row * 4 + column, or -1."""
    if (
        (block.low + block.high < <float>GATE_SHARE * (band - state.gate_floor))
        | (block.low < state.gate_least)
        | (block.high < state.gate_least)
        | (block.high < block.low * state.gate_twist[0])
        | (block.high > block.low * state.gate_twist[1])
    ):
        return -1
    return 4 * _strongest(&block.bins[0]) + _strongest(&block.bins[4])


cdef int _is_new(const DtmfState* state, int key) noexcept nogil:
    """Say whether the key's tones were weaker at some time before the last two blocks; true when too little is known."""
    cdef const float* now = &state.bins[8 * state.head]
    cdef const float* then
    cdef int i, low = key // 4, high = 4 + key % 4
    if state.known < HIST_BLOCKS:
        return 1
    for i in range(2, HIST_BLOCKS):
        then = &state.bins[8 * ((state.head - i) & (HIST_BLOCKS - 1))]
        if then[low] + then[high] < WEAKER * (now[low] + now[high]):
            return 1
    return 0


cdef int _verdict(
    const DtmfState* state, const ToneAnalysis* a, TonePair* pair, ToneWindow* w, double* score
) noexcept nogil:
    """Test a fitted window against the profile: wide limits first, then the learned score."""
    cdef const DtmfParams* p = &state.params
    if w.low_peak * w.low_peak < state.limits.min_power or w.high_peak * w.high_peak < state.limits.min_power:
        return LEVEL
    if w.floor * p.min_signal_to_floor > 1:
        return NOISE
    if w.residual > p.max_residual:
        return RESIDUAL
    if fabs(w.low_offset) > p.frequency_tolerance:
        return LOW_FREQUENCY
    if fabs(w.high_offset) > p.frequency_tolerance:
        return HIGH_FREQUENCY
    if w.high_minus_low_db < p.min_high_minus_low_db or w.high_minus_low_db > p.max_high_minus_low_db:
        return TWIST
    window_course(a, pair, w)
    if w.flat_min < 1 - p.max_amplitude_step or w.flat_max > 1 + p.max_amplitude_step:
        return NOT_FLAT
    score[0] = dtmf_score(w)
    return KEY if score[0] >= p.min_score else SCORE


cdef void _write_down(DtmfState* state, TonePair* pair, ToneWindow* w, int reason) noexcept nogil:
    cdef DtmfTrace* trace = state.trace
    cdef double* row = &trace.rows[trace.n * DTMF_TRACE_COLUMNS]
    if trace.n >= trace.max_rows:
        return
    trace.n += 1
    window_course(&state.analysis, pair, w)
    row[0] = state.analysis.done - TONE_DELAY
    row[1] = w.digit
    row[2] = reason
    row[3] = w.residual
    row[4] = w.floor
    row[5] = w.low_offset
    row[6] = w.high_offset
    row[7] = w.high_minus_low_db
    row[8] = w.flat_min
    row[9] = w.flat_max
    row[10] = w.low_slope
    row[11] = w.high_slope
    row[12] = w.below
    row[13] = w.below_floor
    row[14] = _dbm0(w.low_peak)
    row[15] = _dbm0(w.high_peak)
    row[16] = w.both_before


cdef int _window(DtmfState* state, TonePair* pair, ToneWindow* w) noexcept nogil:
    """Judge the last five blocks: a digit's code, or -1."""
    cdef int[2] bins
    cdef int reason, exact
    cdef double score = -99
    # A key whose beginning was disturbed is looked at again, now and then, for as long as it lasts.
    cdef int even_old = state.state == MAYBE or state.analysis.done // TONE_BLOCK % OLD_BLOCKS == 0
    if not window_opens(&state.analysis, &state.limits, even_old, bins):
        return -1
    if not state.trace:
        if state.credit < CREDIT_FIT:
            return -1
        state.credit -= CREDIT_FIT
    if not window_fit(&state.analysis, &state.limits, bins, pair, w):
        return -1
    reason = _verdict(state, &state.analysis, pair, w, &score)
    if w.digit != state.exact_digit or state.exact_at != state.analysis.done - TONE_BLOCK:
        state.exact_windows = 0
    state.exact_digit = w.digit
    state.exact_at = state.analysis.done
    exact = max(fabs(w.low_offset), fabs(w.high_offset)) < EXACT
    state.exact_windows = state.exact_windows + 1 if exact and score >= state.params.exact_score else 0
    if reason == SCORE and state.exact_windows >= state.params.exact_windows:
        reason = KEY
    if state.trace:
        _write_down(state, pair, w, reason)
        return -1  # no key is ever held, so that every window is seen
    if (TOO_SHORT if reason == KEY else reason) > state.missed_reason or (
        reason == state.missed_reason and score > state.missed_score
    ):
        state.missed_reason = TOO_SHORT if reason == KEY else reason
        state.missed_score = score
        state.missed_digit = w.digit
        state.missed_at = state.analysis.done - TONE_DELAY - TONE_WINDOW
    state.score = score
    return w.digit if reason == KEY else -1


cdef int _held(DtmfState* state) noexcept nogil:
    """Say what the newest block means for the key that is held: PRESENT, ABSENT or GAP."""
    cdef ToneAnalysis* a = &state.analysis
    cdef double low, high, energy = a.energy[a.newest] - state.limits.floor / TONE_BLOCKS, part
    cdef int there
    tone_amplitudes(&state.heard.mix, &a.bank[16 * a.newest], state.heard.low_bin, state.heard.high_bin, &low, &high)
    part = 0.5 * (low / state.low_peak + high / state.high_peak)
    there = (
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


cdef void _follow(DtmfState* state, const TonePair* pair, const ToneWindow* w, int64_t block_start) noexcept nogil:
    """Take down what the newest window shows of the candidate."""
    state.heard = w[0]
    state.low_peak = pair.low_peak
    state.high_peak = pair.high_peak
    state.end = block_start + TONE_BLOCK
    state.candidate_windows += 1
    state.candidate_score = min(state.candidate_score, state.score)


cdef void _arm(DtmfState* state, const TonePair* pair, const ToneWindow* w, int64_t block_start) noexcept nogil:
    """Follow a digit that one window has shown, and date its start by the blocks that hold its tones in part."""
    cdef double part = 1 - min(w.first, 1.0) - (w.before if w.before > BEFORE_NOISE else 0)
    state.candidate = w.digit
    state.candidate_windows = 0
    state.candidate_score = state.score
    state.candidate_start = block_start + <int64_t>(TONE_BLOCK * (1 - TONE_BLOCKS - w.age + part))
    if state.candidate_start < 0:
        state.candidate_start = 0
    state.absent = 0
    state.lost = 0
    _follow(state, pair, w, block_start)


cdef int _heard_enough(const DtmfState* state, int64_t end, int cut) noexcept nogil:
    """Say whether the windows so far, to sample `end`, confirm the candidate; cut: a loss follows. It needs less then."""
    cdef int needed = state.params.windows_to_confirm
    cdef int64_t made
    if cut or (state.analysis.cold and state.analysis.valid <= TONE_BLOCKS + 1):
        return state.candidate_windows + 1 >= needed
    end -= <int64_t>(TONE_BLOCK * (1 - min(state.heard.last, 1.0)))
    made = min(end, state.made_to) - max(state.candidate_start, state.made_from)
    if made > 0:  # what was made up is no evidence; the joint of what came before and behind it is some
        end -= made
    if state.candidate_score >= state.params.strong_score and needed > 1:
        needed -= 1
    return state.candidate_windows >= needed and end - state.candidate_start >= state.params.min_tone_samples


cdef void _emit(
    DtmfState* state, int kind, int digit, int64_t start, int64_t end, DtmfEvent* out, int max_out, int* count
) noexcept nogil:
    cdef DtmfEvent* event
    if count[0] >= max_out:
        state.overflow += 1
        return
    event = &out[count[0]]
    count[0] += 1
    memset(event, 0, sizeof(DtmfEvent))
    event.kind = kind
    event.digit = digit
    event.start = start
    event.end = end
    if kind == DTMF_NEAR_MISS:
        event.reason = state.missed_reason
        event.confidence = <float>(1 / (1 + exp(-state.missed_score)))
    if kind == DTMF_START or kind == DTMF_END:
        event.low_dbm0 = <float>_dbm0(state.heard.low_peak)
        event.high_dbm0 = <float>_dbm0(state.heard.high_peak)
        event.low_offset = <float>state.heard.low_offset
        event.high_offset = <float>state.heard.high_offset
        event.confidence = <float>(1 / (1 + exp(-state.candidate_score)))


cdef void _start(DtmfState* state, DtmfEvent* out, int max_out, int* count) noexcept nogil:
    """Tell that the candidate is a key."""
    if state.shown >= 0 and KEY_CODE[state.shown] != state.candidate:
        _emit(state, DTMF_WITHDRAWN, KEY_CODE[state.shown], state.candidate_start, -1, out, max_out, count)
    state.shown = -1
    state.missed_reason = STARTED
    state.digit = state.candidate
    state.start = state.candidate_start
    _emit(state, DTMF_START, state.digit, state.start, -1, out, max_out, count)


cdef void _block(DtmfState* state, const int16_t* samples, DtmfEvent* out, int max_out, int* count) noexcept nogil:
    """Take the next 40 samples into the analysis."""
    cdef TonePair pair
    cdef ToneWindow window
    cdef int64_t block_start
    cdef int digit = -1, what, action
    if not analysis_block(&state.analysis, samples):
        return
    # The first sample of the input that the filtered block belongs to.
    block_start = state.analysis.done - TONE_BLOCK - TONE_DELAY
    if state.state == HELD:
        what = _held(state)
    else:
        digit = _window(state, &pair, &window)
        if digit < 0:
            what = MISS
        else:
            if state.state == IDLE or digit != state.candidate:
                _arm(state, &pair, &window, block_start)
                what = HIT
            else:
                _follow(state, &pair, &window, block_start)
                what = HIT_AGAIN
            if _heard_enough(state, block_start + TONE_BLOCK, 0):
                what = HIT_ENOUGH
    action = ACTION[state.state][what]
    state.state = NEXT_STATE[state.state][what]
    if action == START:
        _start(state, out, max_out, count)
    elif action == HOLD:
        state.end = block_start + TONE_BLOCK
        state.absent = 0
    elif action == END:
        _emit(state, DTMF_END, state.digit, state.start, state.end, out, max_out, count)


cdef void _begin(DtmfState* state, DtmfEvent* out, int max_out, int* count) noexcept nogil:
    """Begin the analysis some blocks back."""
    cdef int i, row, blocks = LEAD_BLOCKS if state.known > LEAD_BLOCKS else state.known
    cdef const int16_t* history = NULL
    cdef int64_t start = state.position - GATE_BLOCK * blocks
    state.open = 1
    if state.analysis.rows and not state.analysis.cold and state.analysis.done >= start:
        blocks = <int>((state.position - state.analysis.done) // GATE_BLOCK)  # it ran a moment ago, and goes on
    else:
        if state.known > blocks:
            row = (state.head - blocks) & (HIST_BLOCKS - 1)
            history = &state.hist[GATE_BLOCK * row + TONE_BLOCK]
        analysis_begin(&state.analysis, start, history, history == NULL and state.gap)
    for i in range(blocks):
        row = (state.head + 1 - blocks + i) & (HIST_BLOCKS - 1)
        _block(state, &state.hist[GATE_BLOCK * row], out, max_out, count)
        _block(state, &state.hist[GATE_BLOCK * row + TONE_BLOCK], out, max_out, count)


cdef void _gate(DtmfState* state, const int16_t* samples, DtmfEvent* out, int max_out, int* count) noexcept nogil:
    """Take the 10 ms block that is complete; it lies at `head` of the ring, and in `samples`."""
    cdef GateBlock block
    cdef float band
    cdef int key, again, opens
    gate_block(samples, 2 * state.gate_least, &block)
    band = block.energy - block.below
    band = band if band > 0 else 0
    state.credit += 2 * (state.credit < CREDIT_CAP)
    state.known += state.known < HIST_BLOCKS
    key = _gate_key(state, &block, band)
    if state.state == IDLE and state.known > 1:
        _track_floor(state, band + state.last_band, block.below + state.last_below)
    state.last_band = band
    memcpy(&state.bins[8 * state.head], block.bins, 8 * sizeof(float))
    state.last_below = block.below
    again = key >= 0 and key == state.gate_key
    state.gate_run = state.gate_run + 1 if again else 0
    state.gate_key = key
    opens = again and not state.open and (_is_new(state, key) or state.gate_run % OLD_BLOCKS == 0)
    # Only where the analysis runs, which takes back what it does not confirm.
    if again and (state.open or opens) and state.shown < 0 and state.state != HELD and state.params.provisional:
        state.shown = key
        _emit(state, DTMF_PROVISIONAL, KEY_CODE[key], state.position - 2 * GATE_BLOCK, -1, out, max_out, count)
    if state.open:
        _take_floors(state)
        state.quiet = 0 if key >= 0 else state.quiet + 1
        _block(state, samples + TONE_BLOCK, out, max_out, count)
        if state.state == IDLE and state.quiet >= CLOSE_BLOCKS:
            state.open = 0
            if state.shown >= 0:
                _emit(state, DTMF_WITHDRAWN, KEY_CODE[state.shown], state.position, -1, out, max_out, count)
                state.shown = -1
            if state.params.near_misses and KEY < state.missed_reason <= TOO_SHORT:
                _emit(state, DTMF_NEAR_MISS, state.missed_digit, state.missed_at, -1, out, max_out, count)
    elif opens:
        state.quiet = 0
        state.missed_reason = KEY
        _take_floors(state)
        _begin(state, out, max_out, count)


cdef int _take(DtmfState* state, const int16_t* samples, int n, DtmfEvent* out, int max_out, int count) noexcept nogil:
    cdef int taken = 0, piece, until
    cdef int16_t* block
    while taken < n:
        block = &state.hist[GATE_BLOCK * state.head]
        until = TONE_BLOCK if state.open and state.fill < TONE_BLOCK else GATE_BLOCK
        piece = n - taken
        if piece > until - state.fill:
            piece = until - state.fill
        memcpy(block + state.fill, samples + taken, piece * sizeof(int16_t))
        taken += piece
        state.fill += piece
        state.position += piece
        if state.fill == GATE_BLOCK:
            state.fill = 0
            _gate(state, block, out, max_out, &count)
            state.head = (state.head + 1) & (HIST_BLOCKS - 1)
        elif state.fill == TONE_BLOCK and state.open:
            _block(state, block, out, max_out, &count)
    return count


cdef int dtmf_waiting(DtmfState* state, DtmfEvent* out, int max_out) noexcept nogil:
    cdef int count = 0
    while count < state.n_waiting and count < max_out:
        out[count] = state.waiting[count]
        count += 1
    state.n_waiting = 0
    return count


cdef int dtmf_process(DtmfState* state, const int16_t* samples, int n, DtmfEvent* out, int max_out) noexcept nogil:
    return _take(state, samples, n, out, max_out, dtmf_waiting(state, out, max_out) if state.n_waiting else 0)


cdef void _make_up(DtmfState* state, int n) noexcept nogil:
    """Go on as what came before did, as ITU-T G.711 Appendix I conceals a loss."""
    cdef PlcState plc
    cdef int16_t[400] before
    cdef int16_t[240] made
    cdef int i, at = GATE_BLOCK * state.head + state.fill - 400
    for i in range(400):
        before[i] = state.hist[(at + i + 640) % 640]
    plc_init(&plc)
    plc_good(&plc, before, before, 400)
    plc_lost(&plc, made, 240)
    state.made_from = state.position
    state.made_to = state.position + n
    # What a concealer gives out lies PLC_DELAY behind what came in.
    state.n_waiting = _take(state, &made[PLC_DELAY], n, state.waiting, WAITING, state.n_waiting)


cdef void dtmf_lost(DtmfState* state, int n) noexcept nogil:
    cdef int what
    if n <= 0:
        return
    if n <= MAKE_UP_MOST and state.known >= 5 and state.made_to != state.position:
        _make_up(state, n)
        return
    # The pending samples go with the lost ones, and the next 5 ms only fill the filter's history: both count as lost.
    state.position += n
    if state.lost < LOST_CAP:  # an idle leg may lose for days; nobody asks how much
        state.lost += (n if n < LOST_CAP else LOST_CAP) + state.fill + TONE_BLOCK
    state.fill = 0
    state.known = 0
    state.gap = 1
    state.gate_key = -1
    if state.state == MAYBE:
        what = HIT_ENOUGH if _heard_enough(state, 0, 1) else LOSS
        state.state = NEXT_STATE[MAYBE][what]
        if what == HIT_ENOUGH:
            _start(state, state.waiting, WAITING, &state.n_waiting)
    analysis_lost(&state.analysis, state.position)
