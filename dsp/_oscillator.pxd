"""A DTMF oscillator for the media plane: a plain struct, no allocation, no Python object, no GIL."""

from libc.stdint cimport int16_t

# It keys one digit into audio, sample-continuous over any cut.
cdef struct ToneGenState:
    double[2] re  # amplitude included
    double[2] im
    double[2] step_re
    double[2] step_im
    int left  # samples still to come; 0: silent
    int done
    int ramp  # samples of raised cosine at each end

# code: RFC 4733 event, 0 to 15; level_dbm0 per tone; ramp: samples of raised cosine at each end, at most half of
# on_samples.
cdef void dtmf_tone_start(ToneGenState* tone, int code, double level_dbm0, int on_samples, int ramp) noexcept nogil
# The same with the high tone's level against the low one's, ratios by which the tones are off, and start phases.
cdef void dtmf_tone_start_as(
    ToneGenState* tone, int code, double level_dbm0, double high_minus_low_db, double low_offset, double high_offset,
    double low_phase, double high_phase, int on_samples, int ramp
) noexcept nogil
# Mix the tone into out, saturating; returns how many samples had tone in them.
cdef int dtmf_tone_fill(ToneGenState* tone, int16_t* out, int n) noexcept nogil
