# cython: boundscheck=False, wraparound=False, cdivision=True
# Safe without checks: positions are taken modulo MASK_RING, frames modulo MASK_FRAMES, all else runs over fixed lengths.
"""Look-ahead mask: recognise keys far too readily, and take them out before they leave a delay line.

A frame is 10 ms of high-passed audio under a Hann window, taken each 5 ms. Several frames in a row decide: how much of
their energy two tones explain, how steadily their phases advance, and how little lies below the band.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.math cimport atan2, cos, fabs, sin, sqrt
from libc.stdint cimport int16_t, int64_t, uint8_t
from libc.string cimport memcpy, memmove, memset

from dsp._tonefit cimport BIN_OMEGA, TONE_BINS, TONE_BLOCK, TONE_DELAY, TONE_HISTORY, tone_block

cdef extern from *:
    """
    #include <string.h>
    #if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
    #define PAYTONE_CLONES __attribute__((target_clones("default", "avx2")))
    #else
    #define PAYTONE_CLONES
    #endif
    typedef float paytone_v8 __attribute__((vector_size(32)));

    static float PAYTONE_COS[40][8], PAYTONE_SIN[40][8]; /* at (i + 1/2) samples from the middle, under the window */
    static float PAYTONE_WEIGHT[80];                     /* the window squared */

    static inline float paytone_sum(const paytone_v8 *v) {
        const float *f = (const float *)v;
        return ((f[0] + f[4]) + (f[1] + f[5])) + ((f[2] + f[6]) + (f[3] + f[7]));
    }

    /* Eight lanes by hand and no reassociation: every clone gives the same bits. */
    PAYTONE_CLONES
    static void paytone_mask_frame(const float *y, const float *below, float *re, float *im, float *energy) {
        paytone_v8 c = {0}, s = {0}, e = {0}, b = {0}, table, v;
        int i;
        for (i = 0; i < 40; i++) {
            float sum = y[40 + i] + y[39 - i], difference = y[40 + i] - y[39 - i];
            memcpy(&table, PAYTONE_COS[i], sizeof table);
            c += table * sum;
            memcpy(&table, PAYTONE_SIN[i], sizeof table);
            s -= table * difference;
        }
        for (i = 0; i < 80; i += 8) {
            memcpy(&table, PAYTONE_WEIGHT + i, sizeof table);
            memcpy(&v, y + i, sizeof v);
            e += table * v * v;
            memcpy(&v, below + i, sizeof v);
            b += table * v;
        }
        memcpy(re, &c, sizeof c);
        memcpy(im, &s, sizeof s);
        energy[0] = paytone_sum(&e);
        energy[1] = paytone_sum(&b);
    }
    """
    float[8] PAYTONE_COS[40]
    float[8] PAYTONE_SIN[40]
    float[80] PAYTONE_WEIGHT
    void paytone_mask_frame(const float* y, const float* below, float* re, float* im, float* energy) noexcept nogil

DELAY = MASK_DELAY
FADE = MASK_FADE
GUARD = MASK_GUARD
LEAST = MASK_LEAST

cdef double PI = 3.141592653589793
cdef double FULL_SCALE_SINE_DBM0 = 3.14  # dsp.levels: a sine that peaks at 32767
# Outside the band of every receiver: their filters stop 440 Hz with the dial tones.
cdef double FLAT_TONE_HZ = 440.0
cdef double TONE_STEP_RE = cos(2 * PI * FLAT_TONE_HZ / 8000)
cdef double TONE_STEP_IM = sin(2 * PI * FLAT_TONE_HZ / 8000)
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef enum:
    FRAME = 80
    # What a sample in the line is, when it must not be heard.
    KEY = 1
    SPLINTER = 2  # beside a loss; a stretch of nothing else may be shorter than MASK_LEAST
    HOP = 40
    RING_MASK = MASK_RING - 1
    FRAME_MASK = MASK_FRAMES - 1
    RULES = 7
    LOSS_RULES = 3
    LONGEST = 8  # frames that a rule looks at
    HOLD_FRAMES = 8  # 40 ms: an echo or what follows a dropout still belongs to the key
    BACK_GAP = 2  # frames without the tones that the way back to the first sample steps over
    LOSS_BEFORE = 60  # samples by which a frame may end before a loss and still touches it
    LOSS_BEHIND = 100  # and how far into it: what is made up begins late by the concealment's own delay
    LOSS_ISLE = 200  # what arrived between two losses that are no further apart goes with them
    LOSS_JOIN = 120  # samples behind a loss that still hold what was made up: that delay, and the way back
    EDGE_LOOK = 80  # samples on either side of a loss in which something must be heard for the edge to be hidden
    EDGE_HIDE = 120  # and that are hidden then: what is longer than these 15 ms has a rule of its own
    FLOOR_WIDTH = 4  # frames whose energy below the band is one draw of its floor
    FLOOR_SLOTS = 4
    FLOOR_SLOT_FRAMES = 50  # 250 ms; four of them remember a second

# The rules, each by itself enough: frames in a row, least share of energy that the two tones explain, least coherence
# of phase from frame to frame of the steadier and of the other tone, most unsteady energy below the band as a share of
# that in it, most deviation of frequency of the steadier and of the other (1: only MAX_DEVIATION counts).
# 20 ms of tone that stands alone; 25 ms among other sound; 35 ms in noise; 35 ms of a key's very frequencies in more
# noise; 45 ms of tone, perfectly steady, with strong products of distortion; 35 ms under a voice, which disturbs one
# tone and not both, twice. The longest, its filter and a block's wait are 419 samples: within MASK_DELAY.
# Then those for what touches a loss, where a key may be cut to any length: 10, 15 and 25 ms.
cdef int[10] RULE_FRAMES = [3, 4, 6, 6, 8, 6, 6, 1, 2, 4]
cdef double[10] RULE_SHARE = [0.92, 0.80, 0.60, 0.42, 0.42, 0.55, 0.85, 0.5, 0.5, 0.5]
cdef double[10] RULE_STEADIER = [0.95, 0.90, 0.88, 0.80, 0.98, 0.98, 0.98, 0, 0, 0.85]
cdef double[10] RULE_OTHER = [0.95, 0.90, 0.88, 0.80, 0.98, 0.55, 0.75, 0, 0, 0.85]
cdef double[10] RULE_BELOW = [0.4, 0.3, 0.25, 0.25, 0.5, 3, 1, 0.5, 0.5, 0.5]
cdef double[10] RULE_DEVIATION = [1, 0.028, 0.028, 0.02, 0.02, 0.017, 0.017, 1, 1, 1]
cdef double[10] RULE_OTHER_DEVIATION = [1, 0.028, 0.028, 0.02, 0.02, 0.017, 0.027, 1, 1, 1]
cdef double MIN_DBM0 = -47.0  # each tone; a key at -36 dBm0 with 6 dB of twist has one at -42
cdef double MIN_LOSS_DBM0 = -57.0  # beside a loss, whose concealment fades over the first 10 ms that arrive
cdef double MAX_DEVIATION = 0.032  # ratio; detectors take 0.0185
cdef double WIDE_TWIST_DEVIATION = 0.045  # the weaker of two tones 5 dB and more apart is measured less well
cdef double MIN_TWIST = 0.0398  # high over low power: -14 dB; detectors take -10
cdef double MAX_TWIST = 14.1  # +11.5 dB; detectors take +7
cdef double BELOW_TO_MEAN = 2.0  # energy of hum in a frame, over the least of the last second
# What follows or precedes a recognised key belongs to it with this share of a frame's energy in its two bins, and with
# this much of its power.
cdef double HELD_SHARE = 0.35
cdef double HELD_POWER = 0.001
cdef double HELD_DBM0 = -56.0

cdef double EDGE_LEAST = 200.0  # mean square of neighbours' difference: an idle line's noise at -65 dBm0 has as much

cdef double[41] GAIN
# |X|^2 of a tone of peak a on the bin is (20 a)^2, its weighted energy 15 a^2.
cdef double SHARE_OF_POWER = 0.0375


cdef void _fill_tables() noexcept:
    cdef int i, k
    cdef double w
    for i in range(FRAME):
        w = 0.5 - 0.5 * cos(2 * PI * (i + 0.5) / FRAME)
        PAYTONE_WEIGHT[i] = <float>(w * w)
        for k in range(TONE_BINS if i >= HOP else 0):
            PAYTONE_COS[i - HOP][k] = <float>(w * cos(BIN_OMEGA[k] * (i - 39.5)))
            PAYTONE_SIN[i - HOP][k] = <float>(w * sin(BIN_OMEGA[k] * (i - 39.5)))
    for i in range(MASK_FADE + 1):
        GAIN[i] = 0.5 - 0.5 * cos(PI * i / MASK_FADE)


_fill_tables()


cdef inline double _power_of_dbm0(double level_dbm0) noexcept nogil:
    """|X|^2 in a frame of a tone of this level."""
    return 400.0 * 32767.0 * 32767.0 * 10.0 ** ((level_dbm0 - FULL_SCALE_SINE_DBM0) / 10)


cdef double HELD_LEAST = _power_of_dbm0(HELD_DBM0)
cdef double MIN_POWER = _power_of_dbm0(MIN_DBM0)
cdef double MIN_LOSS_POWER = _power_of_dbm0(MIN_LOSS_DBM0)


cdef void mask_init(MaskState* state, double tone_dbm0) noexcept nogil:
    cdef int i
    memset(state, 0, sizeof(MaskState))
    if tone_dbm0 >= -100:
        state.peak = 32767.0 * 10.0 ** ((tone_dbm0 - FULL_SCALE_SINE_DBM0) / 20)
    state.out = -MASK_DELAY
    state.off = NEVER
    state.fade = MASK_FADE
    state.rising = 1
    state.masked_to = -MASK_DELAY
    state.isle_from = state.isle_to = -MASK_RING
    for i in range(FLOOR_SLOTS):
        state.floor_slots[i] = 3e38


cdef void mask_enable(MaskState* state, int on) noexcept nogil:
    if on:
        state.off = NEVER
    elif state.off == NEVER:
        state.off = state.position


cdef void _cover(MaskState* state, int64_t start, int64_t end, int kind) noexcept nogil:
    """Make secret what lies in the line or is still to come from start to end."""
    cdef int64_t i, stop = end if end < state.position else state.position
    if start < state.out:
        start = state.out  # the rest has gone
    if end <= start:
        return
    for i in range(start, stop):
        if state.secret[i & RING_MASK] != KEY:
            state.secret[i & RING_MASK] = <uint8_t>kind
    if end > state.secret_to[kind - 1]:
        state.secret_to[kind - 1] = end
    if start < state.out + MASK_FADE:
        # The output stage has looked past it: no time for a whole fade. Too late is a click, never a leak.
        stop = state.out + MASK_FADE
        if end < stop:
            stop = end
        if stop > state.masked_to:
            state.masked_to = stop
        if start - state.out < state.fade:
            if state.rising:
                _begin(state, start)
            state.fade = <int>(start - state.out)
        if kind == KEY and state.begun + MASK_LEAST > state.masked_to:
            state.masked_to = state.begun + MASK_LEAST


cdef void _begin(MaskState* state, int64_t start) noexcept nogil:
    """A masked stretch begins: the flat tone starts anew."""
    state.rising = 0
    state.tone_re = state.peak
    state.tone_im = 0
    state.begun = start


cdef void _frame(MaskState* state, int row) noexcept nogil:
    cdef float[2] energy
    cdef int k
    paytone_mask_frame(state.y, state.below, &state.re[TONE_BINS * row], &state.im[TONE_BINS * row], energy)
    for k in range(TONE_BINS * row, TONE_BINS * row + TONE_BINS):
        state.power[k] = state.re[k] * state.re[k] + state.im[k] * state.im[k]
    state.energy[row] = energy[0]
    state.energy_below[row] = energy[1] - energy[0] if energy[1] > energy[0] else 0


cdef double _track_floor(MaskState* state, double below) noexcept nogil:
    """Least energy below the band of FLOOR_WIDTH frames in the last second."""
    cdef int i
    cdef double least
    if state.slot_frames == FLOOR_SLOT_FRAMES:
        state.slot_frames = 0
        state.slot = (state.slot + 1) % FLOOR_SLOTS
        state.floor_slots[state.slot] = 3e38
    state.slot_frames += 1
    if below < state.floor_slots[state.slot]:
        state.floor_slots[state.slot] = <float>below
    least = state.floor_slots[0]
    for i in range(1, FLOOR_SLOTS):
        if state.floor_slots[i] < least:
            least = state.floor_slots[i]
    return least


cdef double _steady(MaskState* state, int n, int k, double* power, double* deviation) noexcept nogil:
    """Return the square of the coherence of bin k over the last n frames; correct its power by how far it is off."""
    cdef double x = 0, y = 0, before = 0, after = 0, c, s, gain
    cdef int i, new, old
    deviation[0] = 0
    if n == 1:
        return 1
    for i in range(n - 1):
        new = TONE_BINS * ((state.frames - 1 - i) & FRAME_MASK) + k
        old = TONE_BINS * ((state.frames - 2 - i) & FRAME_MASK) + k
        x += state.re[new] * state.re[old] + state.im[new] * state.im[old]
        y += state.im[new] * state.re[old] - state.re[new] * state.im[old]
        after += state.power[new]
        before += state.power[old]
    if before <= 0 or after <= 0:
        return 0
    c = cos(HOP * BIN_OMEGA[k])
    s = sin(HOP * BIN_OMEGA[k])
    deviation[0] = atan2(y * c - x * s, x * c + y * s) / HOP  # rad a sample
    gain = fabs(deviation[0]) if fabs(deviation[0]) < 0.05 else 0.05
    gain = 1 - 104.6 * gain * gain  # half the variance of the window: its main lobe, to second order
    power[0] /= gain * gain
    deviation[0] = fabs(deviation[0]) / BIN_OMEGA[k]
    return (x * x + y * y) / (before * after)


cdef void _gather(MaskState* state, double* power, double* energy, double* below) noexcept nogil:
    """Sum over the last 1, 2 ... LONGEST frames."""
    cdef int n, k, row
    for n in range(LONGEST):
        row = (state.frames - 1 - n) & FRAME_MASK
        energy[n] = state.energy[row] + (energy[n - 1] if n else 0)
        below[n] = state.energy_below[row] + (below[n - 1] if n else 0)
        for k in range(TONE_BINS):
            power[TONE_BINS * n + k] = state.power[TONE_BINS * row + k]
            if n:
                power[TONE_BINS * n + k] += power[TONE_BINS * (n - 1) + k]


cdef int _recognise(
    MaskState* state, int rule, double floor, const double* power, double energy, double below
) noexcept nogil:
    """Apply one rule to the last frames and their sums; 1 leaves the pair in state.low, state.high."""
    cdef double low, high, low_off, high_off, most, steadier, other, least
    cdef int n = RULE_FRAMES[rule], k, low_bin = 0, high_bin = 4
    least = n * (MIN_POWER if rule < RULES else MIN_LOSS_POWER)
    if energy < least * SHARE_OF_POWER:
        return 0
    below -= BELOW_TO_MEAN * floor * n / FLOOR_WIDTH
    if below > RULE_BELOW[rule] * energy:
        return 0
    for k in range(1, 4):
        if power[k] > power[low_bin]:
            low_bin = k
        if power[k + 4] > power[high_bin]:
            high_bin = k + 4
    low = power[low_bin]
    high = power[high_bin]
    if low + high < 0.5 * RULE_SHARE[rule] * energy / SHARE_OF_POWER:
        return 0  # the correction for tones off the bin is less than 3 dB
    steadier = _steady(state, n, low_bin, &low, &low_off)
    other = _steady(state, n, high_bin, &high, &high_off)
    if other > steadier:
        steadier, other = other, steadier
        low_off, high_off = high_off, low_off
    if steadier < RULE_STEADIER[rule] * RULE_STEADIER[rule] or other < RULE_OTHER[rule] * RULE_OTHER[rule]:
        return 0
    if low + high < RULE_SHARE[rule] * energy / SHARE_OF_POWER:
        return 0
    if low < least or high < least or high < MIN_TWIST * low or high > MAX_TWIST * low:
        return 0
    most = MAX_DEVIATION if 0.2 * low < high < 3.2 * low else WIDE_TWIST_DEVIATION
    if low_off > most or high_off > most or low_off > RULE_DEVIATION[rule] or high_off > RULE_OTHER_DEVIATION[rule]:
        return 0
    state.low = low_bin
    state.high = high_bin
    state.heard_power = <float>((low + high) / n)
    return 1


cdef int _loud(MaskState* state, int64_t frame) noexcept nogil:
    """Say whether the pair's bins hold in a frame what could still be heard of the key."""
    cdef int row = frame & FRAME_MASK
    cdef double pair = state.power[TONE_BINS * row + state.low] + state.power[TONE_BINS * row + state.high]
    return pair > HELD_LEAST and pair > HELD_POWER * state.heard_power


cdef int _belongs(MaskState* state, int64_t frame) noexcept nogil:
    """Say whether a frame has something of the pair in it."""
    cdef int row = frame & FRAME_MASK
    cdef double pair = state.power[TONE_BINS * row + state.low] + state.power[TONE_BINS * row + state.high]
    return _loud(state, frame) and SHARE_OF_POWER * pair > HELD_SHARE * state.energy[row]


cdef int _touches(MaskState* state, int64_t end, int n) noexcept nogil:
    """Say whether n frames that end at `end` begin or end where a loss does."""
    cdef int64_t start = end - FRAME - HOP * (n - 1)
    return state.made_to > 0 and (
        state.made_from - LOSS_BEFORE < end <= state.made_from + LOSS_BEHIND
        or state.made_to - LOSS_BEHIND <= start < state.made_to + LOSS_JOIN
        or (end > state.isle_from and start < state.isle_to)
    )


cdef double _change(MaskState* state, int64_t start, int step, int n) noexcept nogil:
    """Mean square of the difference between neighbours: hum and the low end of voices have little."""
    cdef double total = 0, d
    cdef int i
    for i in range(n):
        d = state.line[(start + step * i) & RING_MASK] - state.line[(start + step * (i + 1)) & RING_MASK]
        total += d * d
    return total / n


cdef int _splinter(MaskState* state, int64_t edge, int step) noexcept nogil:
    """Say whether anything is heard from the edge of a loss on: it may be all that came of a key.

    How it compares with what lies further in tells nothing: that may be the key, too.
    """
    return (
        _change(state, edge, step, 8) > EDGE_LEAST
        or _change(state, edge, step, 24) > EDGE_LEAST
        or _change(state, edge, step, EDGE_LOOK) > EDGE_LEAST
    )


cdef void _edges(MaskState* state) noexcept nogil:
    """Look beside the last loss, once the samples are there."""
    cdef int before = 0, behind = 0
    if state.edge_before and state.position >= state.edge_before:
        before = _splinter(state, state.edge_before - 1, -1)
        state.edge_before = 0
    if state.edge_behind and state.position > state.made_to + EDGE_LOOK:
        state.edge_behind = 0
        behind = _splinter(state, state.made_to, 1)
    if (before or behind) and state.made_from < state.off:
        _cover(state, state.made_from - EDGE_HIDE, state.made_to + EDGE_HIDE, SPLINTER)


cdef void _block(MaskState* state) noexcept nogil:
    """Take the block that is complete in state.x."""
    cdef float[16] bank
    cdef float[8] power
    cdef float[2] energy
    cdef int64_t last, first, start = 0, end
    cdef double[64] sums  # [LONGEST][8]
    cdef double[8] energies
    cdef double[8] belows
    cdef double below = 0, floor
    cdef int i, n, gap = 0, heard = 0
    memmove(&state.y[0], &state.y[HOP], HOP * sizeof(float))
    memmove(&state.below[0], &state.below[HOP], HOP * sizeof(float))
    tone_block(state.x, &state.y[HOP], bank, power, energy)
    for i in range(HOP):
        state.below[HOP + i] = state.x[TONE_DELAY + i] * state.x[TONE_DELAY + i]
    _frame(state, state.frames & FRAME_MASK)
    state.frames += 1
    for i in range(FLOOR_WIDTH):
        below += state.energy_below[(state.frames - 1 - i) & FRAME_MASK]
    floor = _track_floor(state, below)
    last = state.frames - 1
    end = state.position - TONE_DELAY  # of the last frame
    if state.edge_before or state.edge_behind:
        _edges(state)
    _gather(state, sums, energies, belows)
    for i in range(RULES + LOSS_RULES):
        n = RULE_FRAMES[i]
        if i >= RULES and (heard or not _touches(state, end, n)):
            continue
        if _recognise(state, i, floor, &sums[TONE_BINS * (n - 1)], energies[n - 1], belows[n - 1]):
            heard = n
    if heard:
        first = last - heard + 1
        # A window may be partly empty: what is silent belongs to no key.
        while first < last and not _loud(state, first):
            first += 1
        while first < last and not _loud(state, last):
            last -= 1
            end -= HOP
        # Back to the first sample: over all that may belong to it, as far as the line goes.
        while state.frames - first < MASK_FRAMES - 2 and gap <= BACK_GAP:
            gap += 1
            if _belongs(state, first - gap):
                first -= gap
                gap = 0
        start = end - FRAME - HOP * (last - first)
        if state.made_to > 0 and end > state.made_from - LOSS_BEHIND and start < state.made_to + LOSS_JOIN:
            # It was cut by a loss, or what was made up for the loss was made of it.
            if start > state.made_from:
                start = state.made_from
            if end < state.made_to + LOSS_JOIN:
                end = state.made_to + LOSS_JOIN
        start -= MASK_GUARD
    if heard and start < state.off:
        _cover(state, start, end + MASK_GUARD, KEY)
    elif state.hold and _belongs(state, last):
        _cover(state, state.heard_to, end + MASK_GUARD, KEY)
    else:
        if state.hold:
            state.hold -= 1
        return
    state.hold = HOLD_FRAMES
    state.heard_to = end


cdef inline int16_t _emit(MaskState* state) noexcept nogil:
    cdef int64_t p = state.out
    cdef double value, re, gain
    cdef int secret = state.secret[(p + MASK_FADE) & RING_MASK]
    if secret and p + MASK_FADE >= state.masked_to:
        state.masked_to = p + MASK_FADE + 1
    if p < state.masked_to:
        if state.rising:
            _begin(state, p + MASK_FADE)
        if secret == KEY and state.begun + MASK_LEAST > state.masked_to:
            state.masked_to = state.begun + MASK_LEAST
        if state.fade:
            state.fade -= 1
    elif state.fade < MASK_FADE:
        state.rising = 1
        state.fade += 1
    state.out += 1
    value = state.line[p & RING_MASK]
    state.line[p & RING_MASK] = 0  # it may be a key's
    if state.fade == MASK_FADE:
        return <int16_t>value
    state.masked += 1
    gain = GAIN[state.fade]
    value = gain * value + (1 - gain) * state.tone_im
    re = state.tone_re * TONE_STEP_RE - state.tone_im * TONE_STEP_IM
    state.tone_im = state.tone_im * TONE_STEP_RE + state.tone_re * TONE_STEP_IM
    state.tone_re = re
    return <int16_t>(value + 0.5 if value >= 0 else value - 0.5)


cdef inline int _clear(MaskState* state, int at, int n) noexcept nogil:
    """Say whether the next n samples, at `at` in the line, go out as they are."""
    cdef int i, secret = 0
    if state.fade < MASK_FADE or state.out < state.masked_to:
        return 0
    for i in range(n):
        secret |= state.secret[at + MASK_FADE + i]
    return not secret


cdef void _give(MaskState* state, int16_t* out, int n) noexcept nogil:
    cdef int i, at = <int>(state.out & RING_MASK)
    if at + MASK_FADE + n > MASK_RING or not _clear(state, at, n):
        for i in range(n):
            out[i] = _emit(state)
        return
    memcpy(out, &state.line[at], n * sizeof(int16_t))
    memset(&state.line[at], 0, n * sizeof(int16_t))  # it may be a key's
    state.out += n


cdef inline uint8_t _kind(MaskState* state, int64_t q) noexcept nogil:
    """Return what the sample at q, which has just come, is."""
    if (
        state.holding
        or q < state.secret_to[KEY - 1]
        or (q >= state.mark_from and (state.mark_open or q < state.mark_to))
    ):
        return KEY
    return SPLINTER if q < state.secret_to[SPLINTER - 1] else 0


cdef inline int _nothing_known(MaskState* state, int64_t q, int n) noexcept nogil:
    """Say whether n samples from q on come with nothing that makes them secret already."""
    return (
        not state.holding
        and q >= state.secret_to[0]
        and q >= state.secret_to[1]
        and not state.mark_open
        and (q >= state.mark_to or q + n <= state.mark_from)
    )


cdef void mask_process(MaskState* state, const int16_t* samples, int16_t* out, int n) noexcept nogil:
    cdef int i, m, whole, at
    cdef int64_t q
    while n > 0:
        m = TONE_BLOCK - state.fill
        whole = m <= n
        if not whole:
            m = n
        q = state.position
        for i in range(m):
            state.x[TONE_HISTORY + state.fill + i] = samples[i]
        at = <int>(q & RING_MASK)
        if _nothing_known(state, q, m) and at + m <= MASK_RING:
            memcpy(&state.line[at], samples, m * sizeof(int16_t))
            memset(&state.secret[at], 0, m)
        else:
            for i in range(m):
                state.line[(q + i) & RING_MASK] = samples[i]
                state.secret[(q + i) & RING_MASK] = _kind(state, q + i)
        state.position += m
        state.fill += m
        # The block that its last sample completes decides on what goes out with that sample.
        _give(state, out, m - whole)
        if whole:
            state.fill = 0
            _block(state)
            memmove(&state.x[0], &state.x[TONE_BLOCK], TONE_HISTORY * sizeof(float))
            _give(state, &out[m - 1], 1)
        samples += m
        out += m
        n -= m


cdef void mask_mark(MaskState* state, int64_t start, int64_t end) noexcept nogil:
    if start >= state.off and not state.mark_open:
        return
    start -= MASK_GUARD
    if not state.mark_open and state.mark_to <= state.position:
        state.mark_from = start  # what was marked before is in the line already
    elif start < state.mark_from:
        state.mark_from = start
    if end < 0:
        state.mark_open = 1
    else:
        state.mark_open = 0
        if end + MASK_GUARD > state.mark_to:
            state.mark_to = end + MASK_GUARD
    end = state.position if state.mark_open or state.mark_to > state.position else state.mark_to
    _cover(state, start, end, KEY)


cdef void mask_concealed(MaskState* state, int64_t start, int64_t end) noexcept nogil:
    if start < 0 or end <= start:
        return
    if state.made_to == 0 or start > state.made_to + LOSS_ISLE:
        state.made_from = start
    elif start > state.made_to:
        state.isle_from = state.made_to
        state.isle_to = start
    if start != state.made_to:
        state.edge_before = start
    state.made_to = end
    state.edge_behind = 1
    if state.hold and start < state.off:
        # A key was heard a moment ago: what is made up may be made of it.
        state.hold = HOLD_FRAMES + 4
        _cover(state, state.heard_to, end + LOSS_JOIN + MASK_GUARD, KEY)
        state.heard_to = end + LOSS_JOIN


cdef void mask_hold(MaskState* state, int on) noexcept nogil:
    state.holding = on
    if on:
        _cover(state, state.out, state.position, KEY)


def state_size():
    """Return the bytes of one mask."""
    return sizeof(MaskState)


@cython.auto_pickle(False)
@cython.final
cdef class Mask:
    """The mask on Python's side; `dsp.mask.ToneMask` is its face."""

    cdef MaskState* _state
    cdef double _tone_dbm0

    def __cinit__(self, double tone_dbm0):
        self._state = <MaskState*>PyMem_Malloc(sizeof(MaskState))
        if not self._state:
            raise MemoryError
        self._tone_dbm0 = tone_dbm0
        mask_init(self._state, tone_dbm0)

    def __dealloc__(self):
        if self._state:
            memset(self._state, 0, sizeof(MaskState))
        PyMem_Free(self._state)

    def process(self, const int16_t[::1] samples not None, int16_t[::1] out not None):
        """Take samples; write as many, older ones, to `out`."""
        if samples.shape[0] != out.shape[0]:
            raise ValueError("samples and out differ in length")
        if samples.shape[0]:
            mask_process(self._state, &samples[0], &out[0], <int>samples.shape[0])

    def enable(self, bint on):
        """Switch masking on or off for what is still to come."""
        mask_enable(self._state, on)

    def mark(self, int64_t start, int64_t end):
        """Mask from start to end; -1: until further notice."""
        mask_mark(self._state, start, end)

    def concealed(self, int64_t start, int64_t end):
        """Say that what comes from start to end was made up in place of what was lost."""
        mask_concealed(self._state, start, end)

    def hold(self, bint on):
        """Replace everything, from what has not left yet on; or no longer what is still to come."""
        mask_hold(self._state, on)

    def reset(self):
        """Forget everything; masking is on."""
        mask_init(self._state, self._tone_dbm0)

    @property
    def enabled(self):
        """Whether keys that begin now are masked."""
        return self._state.off == NEVER

    @property
    def holding(self):
        """Whether everything that comes in is replaced."""
        return self._state.holding != 0

    @property
    def masking(self):
        """Whether the last sample that went out was masked."""
        return self._state.fade < MASK_FADE

    @property
    def masked(self):
        """Samples that went out with less than all of their audio."""
        return self._state.masked

    @property
    def position(self):
        """Samples taken."""
        return self._state.position
