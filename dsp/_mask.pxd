"""Mask for the media plane: a delay line that takes keys out of 8 kHz audio. No allocation, no Python object, no GIL."""

from libc.stdint cimport int16_t, int64_t, uint8_t

cdef enum:
    MASK_DELAY = 480  # samples, 60 ms: output lies this far behind input
    MASK_GUARD = 80  # samples, 10 ms taken out before and after what was recognised or marked
    MASK_FADE = 40  # samples, 5 ms of raised cosine outside the guard
    MASK_LEAST = 800  # samples, 100 ms: no masked stretch is shorter, so a short key looks like any other
    MASK_RING = 1024
    MASK_FRAMES = 16

cdef struct MaskState:
    double peak  # of the flat tone; 0 is silence
    int64_t position  # samples taken
    int64_t out  # position of the next sample to go out
    # The line, by position modulo MASK_RING, and which of its samples must not be heard.
    int16_t[1024] line
    uint8_t[1024] secret
    int64_t[2] secret_to  # whatever comes before this position is secret, by kind
    int64_t off  # where masking was switched off
    # Marks from outside.
    int64_t mark_from
    int64_t mark_to
    int mark_open
    int holding  # everything that comes in is secret
    # The last loss: from, to; nothing before the first.
    int64_t made_from
    int64_t made_to
    int64_t isle_from  # between it and the one right before: what arrived
    int64_t isle_to
    int64_t edge_before  # where what came right before it is still to be looked at; 0: nowhere
    int edge_behind  # what comes right behind is still to be looked at
    # Output stage.
    int64_t masked_to
    int64_t begun  # where this masked stretch began
    int fade  # 0: flat tone only; MASK_FADE: audio only
    int rising
    double tone_re
    double tone_im
    int64_t masked  # samples that went out with less than all of their audio
    # Recogniser: frames of 80 filtered samples under a Hann window, 40 apart.
    int fill
    float[80] x
    float[80] y
    float[80] below
    int64_t frames
    float[128] re  # [MASK_FRAMES][8]
    float[128] im
    float[128] power
    float[16] energy
    float[16] energy_below
    int slot
    int slot_frames
    float[4] floor_slots
    # The key that is being masked.
    int low
    int high
    int hold  # frames that it is still waited for
    int64_t heard_to
    float heard_power

# tone_dbm0: level of the flat tone; below -100 it is silence.
cdef void mask_init(MaskState* state, double tone_dbm0) noexcept nogil
cdef void mask_enable(MaskState* state, int on) noexcept nogil
# Take n samples and give n, MASK_DELAY older. `samples` and `out` may be the same.
cdef void mask_process(MaskState* state, const int16_t* samples, int16_t* out, int n) noexcept nogil
# Something else knows of a key from position `start` to `end`; -1: not ended yet.
cdef void mask_mark(MaskState* state, int64_t start, int64_t end) noexcept nogil
# Samples from `start` to `end`, about to be taken, were made up in place of lost ones. Told before them.
cdef void mask_concealed(MaskState* state, int64_t start, int64_t end) noexcept nogil
# Replace everything: from what has not left yet, to what comes in before it is switched off.
cdef void mask_hold(MaskState* state, int on) noexcept nogil
