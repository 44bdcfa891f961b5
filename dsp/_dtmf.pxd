"""DTMF detector and oscillator for the media plane: plain structs, no allocation, no Python object, no GIL.

A detector is one `DtmfState`, which may be embedded in another struct. Input is int16 at 8 kHz in pieces of any length;
the events do not depend on how it was cut.
"""

from libc.stdint cimport int16_t, int64_t

from dsp._tonefit cimport ToneMix

cdef enum:
    DTMF_START = 1  # a key is confirmed; `end` is -1
    DTMF_END = 2  # it was released; `end` is where

cdef struct DtmfParams:  # every field: dsp.dtmf.DtmfProfile
    double min_level_dbm0
    double max_high_minus_low_db
    double min_high_minus_low_db
    double pure_max_high_minus_low_db
    double pure_min_high_minus_low_db
    double frequency_tolerance
    double pure_frequency_tolerance
    double pure_residual
    double max_residual
    double max_below_band
    double min_signal_to_floor
    double max_amplitude_step
    int windows_to_confirm
    int pause_blocks
    int max_lost_samples

cdef struct DtmfEvent:
    int kind  # DTMF_START, DTMF_END
    int digit  # RFC 4733 event code: 0-9, 10 '*', 11 '#', 12-15 A-D
    int64_t start  # samples since dtmf_init, lost ones included
    int64_t end
    float low_dbm0  # level of each tone, of a START as measured at confirmation
    float high_dbm0

cdef struct DtmfState:
    DtmfParams params
    # What params says, in the units of the loop.
    double min_power
    double[4] twist_power  # high / low power: min, max, min when pure, max when pure
    # Input.
    int64_t position  # samples taken, of `x` the pending ones included
    int fill  # pending samples
    int warm  # 0 until the filter has a block of history after a loss
    float[80] x
    # The last blocks, as rings.
    int newest
    int valid  # blocks in the window that have no gap between them
    float[200] y
    float[80] bank
    float[40] power
    float[8] energy  # filtered; eight blocks, to date the start of a tone
    float[8] energy_raw  # unfiltered
    int newest_energy
    # Energy floors of a window by minimum statistics: four slots of 250 ms, filtered and below the band.
    int slot
    int slot_hops
    int floor_known
    float[4] floor_slots
    float[4] below_slots
    float floor
    float below_floor
    # Debounce.
    int state
    int candidate
    int candidate_windows
    int digit
    int64_t start
    int64_t end
    int64_t candidate_start
    int absent  # samples without the tone, up to now
    int lost  # samples lost since the last block that was heard
    int low_bin
    int high_bin
    ToneMix mix
    double low_peak
    double high_peak
    # Events that found no room in `out`; 0 when max_out >= dtmf_max_events(n).
    int overflow

cdef inline int dtmf_max_events(int n) noexcept nogil:
    """Room for events that n samples can need: an END and a START in each block."""
    return 2 * (n // 40 + 2)

cdef void dtmf_default_params(DtmfParams* params) noexcept nogil
cdef void dtmf_init(DtmfState* state, const DtmfParams* params) noexcept nogil
# Take n samples; returns the number of events written to out.
cdef int dtmf_process(DtmfState* state, const int16_t* samples, int n, DtmfEvent* out, int max_out) noexcept nogil
# n samples were lost: input of its own kind, not a block of zeros. A held key is held over a short loss, and ends with
# the next samples after a long one.
cdef void dtmf_lost(DtmfState* state, int n) noexcept nogil

# An oscillator that keys a digit into audio, sample-continuous over any cut.
cdef struct ToneGenState:
    double[2] re  # amplitude included
    double[2] im
    double[2] step_re
    double[2] step_im
    int left  # samples still to come; 0: silent
    int done
    int ramp  # samples of raised cosine at each end

# level_dbm0 per tone; ramp: samples of raised cosine at each end, at most half of on_samples.
cdef void dtmf_tone_start(ToneGenState* tone, int code, double level_dbm0, int on_samples, int ramp) noexcept nogil
# Mix the tone into out, saturating; returns how many samples had tone in them.
cdef int dtmf_tone_fill(ToneGenState* tone, int16_t* out, int n) noexcept nogil
