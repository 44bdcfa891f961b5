"""DTMF detector for the media plane: a plain struct, no allocation, no Python object, no GIL.

A detector is one `DtmfState`, which may be embedded in another struct. Input is int16 at 8 kHz in pieces of any length;
the events do not depend on how it was cut.
"""

from libc.stdint cimport int16_t, int64_t

from dsp._window cimport ToneAnalysis, ToneLimits, ToneWindow

cdef enum:
    DTMF_START = 1  # a key is confirmed; `end` is -1
    DTMF_END = 2  # it was released; `end` is where
    DTMF_PROVISIONAL = 3  # the front end hears one, not yet confirmed; only with params.provisional
    DTMF_WITHDRAWN = 4  # and it was none
    DTMF_NEAR_MISS = 5  # the analysis ran and confirmed nothing: `reason` says why; only with params.near_misses

cdef struct DtmfParams:  # every field: dsp.dtmf.DtmfProfile
    double min_level_dbm0
    double min_high_minus_low_db
    double max_high_minus_low_db
    double frequency_tolerance
    double max_residual
    double max_amplitude_step
    double min_signal_to_floor
    double min_score
    double strong_score
    double exact_score
    int exact_windows
    int windows_to_confirm
    int min_tone_samples
    int pause_blocks
    int max_lost_samples
    int provisional
    int near_misses

cdef struct DtmfEvent:
    int kind  # DTMF_…
    int digit  # RFC 4733 event code: 0-9, 10 '*', 11 '#', 12-15 A-D
    int64_t start  # samples since dtmf_init, lost ones included
    int64_t end
    float low_dbm0  # level of each tone, as measured at confirmation
    float high_dbm0
    float low_offset  # deviation of its frequency, a ratio
    float high_offset
    float confidence  # 0 to 1
    int reason  # of a near miss: index into REASONS

cdef enum:
    DTMF_TRACE_COLUMNS = 17  # names: dsp._detector.TRACE_FIELDS

cdef struct DtmfTrace:
    double* rows
    int n
    int max_rows

cdef struct DtmfState:
    DtmfParams params
    # What params says, in the units of the loop.
    float[2] gate_twist
    float gate_least
    # Input: a ring of 10 ms blocks, the one being filled included.
    int64_t position  # samples taken, pending ones included
    int fill
    int head
    int known  # whole blocks in the ring that have no gap between them
    int gap  # 1: what came before them was lost; 0: it was silence
    int16_t[640] hist
    # Front end: every block.
    int open  # the analysis runs
    int quiet  # blocks since one passed
    int gate_key  # of the last block when it passed, else -1
    int gate_run  # blocks in a row that were the same key as the one before
    int shown  # provisional key, or -1
    int credit  # fits that hostile audio may still have, in halves
    float[64] bins  # eight of each block in the ring
    float last_band
    float last_below
    # Energy floors by minimum statistics, of two blocks, in the band and below it: the slot of 250 ms that is being
    # filled, the three before it, and the least of those.
    int slot
    int slot_blocks
    int floor_known
    float floor_slot
    float below_slot
    float[3] floor_slots
    float[3] below_slots
    float floor_rest
    float below_rest
    float gate_floor
    ToneLimits limits
    ToneAnalysis analysis  # only while it runs
    DtmfTrace* trace  # where windows are written down; NULL but in tuning
    # Debounce.
    int state
    int candidate
    int candidate_windows
    double candidate_score  # the least of its windows
    int digit
    int64_t start
    int64_t end
    int64_t candidate_start
    int absent  # samples without the tone, up to now
    int lost  # samples lost since the last block that was heard
    # Made up for a short loss: from, to; and the events of that, until the next samples come.
    int64_t made_from
    int64_t made_to
    int n_waiting
    DtmfEvent[4] waiting
    double low_peak
    double high_peak
    ToneWindow heard  # the window that confirmed the key
    double score
    # Windows in a row, 5 ms apart, that were right on the frequencies of one digit, if nothing more.
    int exact_digit
    int exact_windows
    int64_t exact_at
    # The best that the analysis saw since it began and that became no key.
    int missed_reason  # 0: nothing
    int missed_digit
    double missed_score
    int64_t missed_at
    # Events that found no room in `out`; 0 when max_out >= dtmf_max_events(n).
    int overflow

cdef inline int dtmf_max_events(int n) noexcept nogil:
    """Room for events that n samples can need: an END and a START in each block."""
    return 2 * (n // 40 + 2)

cdef void dtmf_default_params(DtmfParams* params) noexcept nogil
cdef void dtmf_init(DtmfState* state, const DtmfParams* params) noexcept nogil
# Take n samples; returns the number of events written to out.
cdef int dtmf_process(DtmfState* state, const int16_t* samples, int n, DtmfEvent* out, int max_out) noexcept nogil
# n samples were lost: input of its own kind, not a block of zeros. Up to 20 ms are made up from what came before, and
# count for nothing but the joint of what is heard on both sides. A held key is held over a longer loss, and ends with
# the next samples after a long one. What becomes known is told by dtmf_waiting, or else with the next samples.
cdef void dtmf_lost(DtmfState* state, int n) noexcept nogil
cdef int dtmf_waiting(DtmfState* state, DtmfEvent* out, int max_out) noexcept nogil
