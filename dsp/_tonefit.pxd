"""Numeric kernels under the DTMF detector: filter, eight-frequency bank, least-squares fit of two tones."""

cdef enum:
    TONE_BLOCK = 40  # samples, 5 ms
    TONE_BLOCKS = 5  # blocks in a window, 25 ms
    TONE_WINDOW = 200  # samples
    TONE_HISTORY = 40  # older input samples the filter looks at
    TONE_DELAY = 20  # samples that the filter's output lies behind its input
    TONE_RING = 16  # rows that a ring of block spectra has
    TONE_BINS = 8  # 697 770 852 941 1209 1336 1477 1633 Hz

cdef struct TonePair:
    # Angular frequencies in radians a sample, then amplitudes (peak) of the filtered signal.
    double low_omega
    double high_omega
    double low_peak
    double high_peak
    # Relative growth of the amplitude over half a window (100 samples).
    double low_slope
    double high_slope
    # Energies summed over the window: of the two tones, and what they leave.
    double tone_energy
    double residual_energy
    # Smallest and largest amplitude in a block, as a ratio to the amplitude over the window.
    double flat_min
    double flat_max

cdef struct ToneMix:
    # Inverses of the 2 x 2 matrices that say how much of each tone shows in each bin of a 40-sample block: for the
    # even (re) and the odd part (im), which differ by what the negative frequencies add.
    double[4] re
    double[4] im

cdef int KEY_CODE[16]  # RFC 4733 section 3.2 code of low row * 4 + high column
cdef int CODE_KEY[16]
cdef double BIN_OMEGA[8]
cdef float BIN_GAIN[8]  # the filter's amplitude gain at each of the eight frequencies

# x: TONE_HISTORY older samples, then TONE_BLOCK new ones. y: TONE_BLOCK filtered samples, TONE_DELAY behind x.
# bank: 8 real then 8 imaginary parts, phase zero at the block's centre; power: their squared magnitudes.
# energy: of y, then of the samples of x that y belongs to.
cdef void tone_block(const float* x, float* y, float* bank, float* power, float* energy) noexcept nogil
cdef void tone_mix(ToneMix* mix, double low_omega, double high_omega, int low_bin, int high_bin) noexcept nogil
# The amplitudes of two tones in one block of the bank.
cdef void tone_amplitudes(
    const ToneMix* mix, const float* row, int low_bin, int high_bin, double* low, double* high
) noexcept nogil
# Choose, among the four bins of the weaker tone's group, the one that is strongest without the stronger tone's share.
cdef int tone_weaker_bin(const float* ring, int newest, int strong_bin) noexcept nogil
# Coarse frequencies from the phase steps between blocks; ring is [TONE_RING][16], newest the last row of the window.
cdef void tone_coarse(const float* ring, int newest, int low_bin, int high_bin, TonePair* pair) noexcept nogil
# Fit two tones near pair.low_omega, pair.high_omega to TONE_WINDOW samples; 0 when they cannot be told apart.
cdef int tone_fit(const float* y, TonePair* pair) noexcept nogil
# Fill flat_min and flat_max of a fitted pair from the blocks of its window; mix is that of its frequencies.
cdef void tone_flatness(
    const float* ring, int newest, const ToneMix* mix, int low_bin, int high_bin, TonePair* pair
) noexcept nogil
