"""What 25 ms of audio look like as two tones: the analysis that the detector runs where its front end hears a key."""

from libc.stdint cimport int16_t, int64_t

from dsp._tonefit cimport ToneMix, TonePair

cdef struct ToneAnalysis:  # of 5 ms blocks; rings are indexed by block
    int64_t done  # samples of input up to the end of the newest block
    int warm  # 0 until the filter has a block of history
    int cold  # 1: what came before the valid blocks was lost
    int newest
    int valid  # blocks that have no gap between them, at most TONE_RING
    int rows  # blocks in the rings, those before a gap included
    float[80] x  # unfiltered: history, then the newest block
    float[320] y  # eight blocks, filtered
    float[256] bank
    float[128] power
    float[16] energy  # filtered
    float[16] energy_raw  # unfiltered

# Energies of steady sound in a window, and the limits within which a window is worth a fit.
cdef struct ToneLimits:
    double floor
    double below_floor
    double min_power  # squared peak that each tone needs
    double min_signal_to_floor
    double share  # of the energy that the strongest low and the strongest high bin must have
    double coarse  # deviation (ratio) beyond which no fit is tried

# A window of 25 ms once two tones are fitted to it. Energies are shares of the tones' energy.
cdef struct ToneWindow:
    int digit  # RFC 4733 event code of the nearest key
    int low_bin
    int high_bin
    ToneMix mix  # of its frequencies
    double low_peak  # of the unfiltered signal
    double high_peak
    double low_offset  # deviation of the frequency, a ratio
    double high_offset
    double high_minus_low_db
    double residual  # what the tones leave
    double floor  # of the steady noise: the least in a window of the last second
    double below  # below the band
    double below_floor  # the steady part of that
    double flat_min  # a tone's least and largest amplitude in 5 ms, over its amplitude in the window
    double flat_max
    double low_slope  # growth of the amplitude over half a window
    double high_slope
    # Over the 30 ms before the window, the least that a block had of the stronger tone's amplitude, over that in the
    # window. Near 0 when a pause came before; 0 when nothing is known.
    double both_before
    # Where the tones begin and end: whole blocks before the window that hold both; amplitude in the first of all these
    # blocks, in the one before it and in the window's last, over that in the window.
    int age
    double first
    double before
    double last

# Begin at sample `position` of the input. history: 40 samples before it, NULL where nothing is known; cold: they were
# lost, and the first block only becomes history. Otherwise they were silence.
cdef void analysis_begin(ToneAnalysis* a, int64_t position, const int16_t* history, int cold) noexcept nogil
# Take a block of 40 samples; 0 while it only becomes history.
cdef int analysis_block(ToneAnalysis* a, const int16_t* samples) noexcept nogil
# Samples were lost up to `position`.
cdef void analysis_lost(ToneAnalysis* a, int64_t position) noexcept nogil
# Say whether the last five blocks are worth a fit: strongest low and high bin in bins. Unless `even_old`, only tones
# that were weaker some time in the 30 ms before are.
cdef int window_opens(const ToneAnalysis* a, const ToneLimits* limits, int even_old, int* bins) noexcept nogil
# Fit two tones to the last five blocks; 0 when they are none. Fills the features that are cheap.
cdef int window_fit(
    const ToneAnalysis* a, const ToneLimits* limits, const int* bins, TonePair* pair, ToneWindow* out
) noexcept nogil
# Fill flat_min, flat_max, both_before, mix, age, first, before, last.
cdef void window_course(const ToneAnalysis* a, TonePair* pair, ToneWindow* out) noexcept nogil
