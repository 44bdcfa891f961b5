# cython: boundscheck=False, wraparound=False, cdivision=True
# Safe without checks: ring rows are masked to the rings' length, bins come from loops over four.
"""Features of 25 ms of audio as two tones; `dsp._dtmf` decides on them."""

from libc.math cimport fabs, log10
from libc.stdint cimport int16_t, int64_t
from libc.string cimport memmove, memset

from dsp._tonefit cimport (
    BIN_GAIN,
    BIN_OMEGA,
    KEY_CODE,
    TONE_BINS,
    TONE_BLOCK,
    TONE_BLOCKS,
    TONE_HISTORY,
    TONE_RING,
    TONE_WINDOW,
    ToneMix,
    TonePair,
    tone_amplitudes,
    tone_block,
    tone_coarse,
    tone_fit,
    tone_flatness,
    tone_mix,
    tone_weaker_bin,
)

cdef enum:
    SAMPLE_ROWS = 8
    BEFORE_BLOCKS = 6
    BEFORE_MOST = 11  # all the ring has, where a loss lies among them
# No block with less than this share of it (a fifth would be perfectly flat): an edge of a tone lies in the window.
cdef double GATE_FLAT = 0.04
# A tone was there in a block that has this part of its amplitude.
cdef double THERE = 0.5
# In the 30 ms before a key its tones have, at some time, less power than this part of what they have in it.
cdef double WEAKER = 0.25


cdef void analysis_begin(ToneAnalysis* a, int64_t position, const int16_t* history, int cold) noexcept nogil:
    cdef int i
    a.done = position
    a.valid = 0
    a.rows = 0
    a.newest = TONE_RING - 1
    a.warm = not cold
    a.cold = cold
    for i in range(TONE_HISTORY):
        a.x[i] = history[i] if history else 0


cdef int analysis_block(ToneAnalysis* a, const int16_t* samples) noexcept nogil:
    cdef float[2] energy
    cdef int i, row, known = a.warm
    for i in range(TONE_BLOCK):
        a.x[TONE_HISTORY + i] = samples[i]
    a.done += TONE_BLOCK
    if known:
        a.newest = (a.newest + 1) & (TONE_RING - 1)
        row = (a.newest & (SAMPLE_ROWS - 1)) * TONE_BLOCK
        tone_block(a.x, &a.y[row], &a.bank[16 * a.newest], &a.power[TONE_BINS * a.newest], energy)
        a.energy[a.newest] = energy[0]
        a.energy_raw[a.newest] = energy[1]
        a.valid += a.valid < TONE_RING
        a.rows += a.rows < TONE_RING
    a.warm = 1
    memmove(&a.x[0], &a.x[TONE_BLOCK], TONE_HISTORY * sizeof(float))
    return known


cdef void analysis_lost(ToneAnalysis* a, int64_t position) noexcept nogil:
    a.done = position
    a.valid = 0
    a.warm = 0
    a.cold = 1


cdef int window_opens(const ToneAnalysis* a, const ToneLimits* limits, int even_old, int* bins) noexcept nogil:
    cdef float[8] power
    cdef float energy = 0, least = <float>3e38
    cdef double low, high, tones
    cdef int i, k, row
    if a.valid < TONE_BLOCKS:
        return 0
    memset(power, 0, sizeof(power))
    for i in range(TONE_BLOCKS):
        row = (a.newest - i) & (TONE_RING - 1)
        energy += a.energy[row]
        if a.energy[row] < least:
            least = a.energy[row]
        for k in range(TONE_BINS):
            power[k] += a.power[TONE_BINS * row + k]
    if least < GATE_FLAT * energy:
        return 0
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
    if low < 0.5 * limits.min_power or high < 0.5 * limits.min_power:
        return 0
    if 0.5 * TONE_WINDOW * (low + high) < limits.share * (energy - limits.floor):
        return 0
    if 0.5 * TONE_WINDOW * (low + high) <= limits.min_signal_to_floor * limits.floor:
        return 0
    # The stronger tone's side lobe can make a neighbour of the weaker one look stronger than it is.
    if low > high:
        bins[1] = tone_weaker_bin(a.bank, a.newest, bins[0])
    else:
        bins[0] = tone_weaker_bin(a.bank, a.newest, bins[1])
    if even_old or a.valid < TONE_BLOCKS + BEFORE_BLOCKS:
        return 1
    tones = (power[bins[0]] + power[bins[1]]) / TONE_BLOCKS
    for i in range(BEFORE_BLOCKS):
        row = TONE_BINS * ((a.newest - TONE_BLOCKS - i) & (TONE_RING - 1))
        if a.power[row + bins[0]] + a.power[row + bins[1]] < WEAKER * tones:
            return 1
    return 0


cdef double _offset(double omega, int first, int* bin) noexcept nogil:
    """Find the bin of the group that starts at `first` whose frequency is nearest by ratio; return the ratio less 1."""
    cdef double offset, best = 9
    cdef int k
    for k in range(first, first + 4):
        offset = omega / BIN_OMEGA[k] - 1
        if fabs(offset) < fabs(best):
            best = offset
            bin[0] = k
    return best


cdef int window_fit(
    const ToneAnalysis* a, const ToneLimits* limits, const int* bins, TonePair* pair, ToneWindow* out
) noexcept nogil:
    cdef float[200] y
    cdef double energy_raw = 0, low, high, tones
    cdef int i, row
    tone_coarse(a.bank, a.newest, bins[0], bins[1], pair)
    if fabs(_offset(pair.low_omega, 0, &out.low_bin)) > limits.coarse:
        return 0
    if fabs(_offset(pair.high_omega, 4, &out.high_bin)) > limits.coarse:
        return 0
    for i in range(TONE_BLOCKS):
        row = (a.newest - TONE_BLOCKS + 1 + i) & (TONE_RING - 1)
        energy_raw += a.energy_raw[row]
        memmove(&y[TONE_BLOCK * i], &a.y[(row & (SAMPLE_ROWS - 1)) * TONE_BLOCK], TONE_BLOCK * sizeof(float))
    if not tone_fit(y, pair):
        return 0
    memset(out, 0, sizeof(ToneWindow))
    out.low_offset = _offset(pair.low_omega, 0, &out.low_bin)
    out.high_offset = _offset(pair.high_omega, 4, &out.high_bin)
    out.digit = KEY_CODE[4 * out.low_bin + out.high_bin - 4]
    low = pair.low_peak / BIN_GAIN[out.low_bin]
    high = pair.high_peak / BIN_GAIN[out.high_bin]
    out.low_peak = low
    out.high_peak = high
    out.high_minus_low_db = 20 * log10((high + 1e-9) / (low + 1e-9))
    tones = pair.tone_energy + 1e-9
    out.residual = pair.residual_energy / tones
    out.floor = limits.floor / tones
    out.below = (energy_raw - 0.5 * TONE_WINDOW * (low * low + high * high) - pair.residual_energy) / tones
    out.below_floor = limits.below_floor / tones
    out.low_slope = pair.low_slope
    out.high_slope = pair.high_slope
    out.flat_min = 1
    out.flat_max = 1
    return 1


cdef void window_course(const ToneAnalysis* a, TonePair* pair, ToneWindow* out) noexcept nogil:
    cdef ToneMix* mix = &out.mix
    cdef double low, high, both
    cdef int i, row, running = 1, back = a.rows - TONE_BLOCKS, look = BEFORE_BLOCKS
    tone_mix(mix, pair.low_omega, pair.high_omega, out.low_bin, out.high_bin)
    tone_flatness(a.bank, a.newest, mix, out.low_bin, out.high_bin, pair)
    out.flat_min = pair.flat_min
    out.flat_max = pair.flat_max
    if a.valid < TONE_BLOCKS + BEFORE_BLOCKS:
        look = BEFORE_MOST
    out.both_before = 9
    row = (a.newest - TONE_BLOCKS + 1) & (TONE_RING - 1)
    tone_amplitudes(mix, &a.bank[16 * row], out.low_bin, out.high_bin, &low, &high)
    out.first = min(low / pair.low_peak, high / pair.high_peak)
    tone_amplitudes(mix, &a.bank[16 * a.newest], out.low_bin, out.high_bin, &low, &high)
    out.last = min(low / pair.low_peak, high / pair.high_peak)
    for i in range(back if back < BEFORE_MOST else BEFORE_MOST):
        row = (a.newest - TONE_BLOCKS - i) & (TONE_RING - 1)
        tone_amplitudes(mix, &a.bank[16 * row], out.low_bin, out.high_bin, &low, &high)
        low /= pair.low_peak
        high /= pair.high_peak
        if i < look:
            out.both_before = min(out.both_before, max(low, high))
        if running:
            both = min(low, high)
            if both > THERE and i < a.valid - TONE_BLOCKS:
                out.age += 1
                out.first = both
            else:
                out.before = both if i < a.valid - TONE_BLOCKS else 0
                running = 0
    if back < BEFORE_BLOCKS:
        out.both_before = 0
