"""Two legs that hear each other: frames across, the mask between, keys relayed or swallowed.

What another leg (or a recorder) hears of a leg is its ``heard`` frame: one in each tick, 60 ms behind where the delay
line of the mask lies on the way. The line is there from the beginning of a bridge to its end, whether keys are taken
out or not: switching splices nothing. While the mask is on, no key goes across in any form.

Nothing here allocates, waits or touches a Python object.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t
from libc.string cimport memcpy, memset

from dsp._comfort_noise cimport comfort_noise_generate, comfort_noise_init, comfort_noise_update
from dsp._mask cimport mask_concealed, mask_enable, mask_hold, mask_init, mask_mark, mask_process
from engine.media._keys cimport keys_push
from engine.media._leg cimport SOURCE_TELEPHONE_EVENT, TICK_SAMPLES, LegState

cdef enum:
    SAMPLES_PER_MS = 8
    NOISE_DBOV = 65             # -65 dBov: heard as a line that is open, and below what any receiver takes for a key
    KEY_MIN_MS = 60             # a relayed key is one that every receiver takes (Q.24: 40 ms)
    KEY_MAX_MS = 8000           # and one segment of RFC 4733 at 8 kHz
    KEY_PAUSE_MS = 60
    # A gateway's tone beside its telephone-event: some ms before the event, and behind it for as long as the jitter
    # buffer can hold it back (200 ms), and some.
    MARK_BEFORE = 320
    MARK_AFTER = 2400


cdef void bridge_prepare_noise(LegState* leg) noexcept nogil:
    """Make ready what is heard in place of others: dead silence sounds like a call that is over."""
    cdef uint8_t level = NOISE_DBOV
    comfort_noise_init(&leg.noise, leg.ssrc)
    comfort_noise_update(&leg.noise, &level, 1)


cdef void bridge_link(LegState* leg, LegState* other) noexcept nogil:
    """Let two legs of one thread hear each other; whatever they were linked with before is let go."""
    bridge_unlink(leg)
    bridge_unlink(other)
    leg.other = other
    other.other = leg
    bridge_prepare_noise(leg)
    bridge_prepare_noise(other)


cdef void bridge_unlink(LegState* leg) noexcept nogil:
    """Part a leg from the other one, if there is one; both go on by themselves."""
    if leg.other == NULL:
        return
    leg.other.other = NULL
    leg.other.has_heard = False
    leg.other = NULL
    leg.has_heard = False
    memset(leg.heard, 0, sizeof(leg.heard))


cdef void bridge_mask(LegState* leg, bint on_the_way, bint masks, bint holds, double fill_dbm0) noexcept nogil:
    """Put the mask's delay line in the way or take it out, and say whether it takes keys out, or all there is."""
    if on_the_way and not leg.is_masked:
        mask_init(&leg.mask, fill_dbm0)
        leg.mask_key = -1
    elif not on_the_way and leg.is_masked:
        memset(&leg.mask, 0, sizeof(leg.mask))
    leg.is_masked = on_the_way
    leg.masks = on_the_way and (masks or holds)
    if on_the_way:
        mask_enable(&leg.mask, masks)
        mask_hold(&leg.mask, holds)


cdef void bridge_offer(LegState* leg, const int16_t* frame, int32_t made_up) noexcept nogil:
    """Take one frame of what came, and make of it what others hear.

    `made_up` samples, counted from the frame's first, may hold what concealment made of a key.
    """
    if leg.is_masked:
        if made_up:
            mask_concealed(&leg.mask, leg.mask.position, leg.mask.position + made_up)
        mask_process(&leg.mask, frame, leg.heard, TICK_SAMPLES)
    else:
        memcpy(leg.heard, frame, sizeof(leg.heard))
    leg.has_heard = True


cdef void _add(int16_t* samples, const int16_t* more) noexcept nogil:
    cdef int32_t i
    cdef int32_t sum_
    for i in range(TICK_SAMPLES):
        sum_ = <int32_t>samples[i] + more[i]
        samples[i] = <int16_t>min(max(sum_, -32768), 32767)


cdef void bridge_add_noise(LegState* leg, int16_t* samples) noexcept nogil:
    """Add the noise of an open line to TICK_SAMPLES."""
    cdef int16_t noise[TICK_SAMPLES]
    comfort_noise_generate(&leg.noise, noise, TICK_SAMPLES)
    _add(samples, noise)


cdef void bridge_mix(LegState* leg, int16_t* samples) noexcept nogil:
    """Add what the other leg, if there is one, has to say to TICK_SAMPLES."""
    cdef LegState* other = leg.other
    if other == NULL:
        return
    if other.muted or leg.earmuffed:
        bridge_add_noise(leg, samples)
    elif other.has_heard:
        _add(samples, other.heard)


cdef bint _keeps_keys(const LegState* leg) noexcept nogil:
    """Tell whether a key that is pressed now stays here: what is not to be heard goes across in no other form."""
    return leg.masks or leg.muted or (leg.other != NULL and leg.other.earmuffed)


cdef void bridge_key(LegState* leg, int64_t start) noexcept nogil:
    """A key was pressed that began at `start` of the mask's time: what is still in the line of it stays there."""
    leg.hides_key = _keeps_keys(leg)
    if not leg.is_masked:
        return
    leg.mask_key = max(start - MARK_BEFORE, <int64_t>0)
    mask_mark(&leg.mask, leg.mask_key, -1)


cdef void bridge_key_end(LegState* leg, int32_t source, int32_t code, int64_t duration_ms) noexcept nogil:
    """It was let go: end the mark, and relay the key where that is wanted."""
    cdef LegState* other = leg.other
    cdef int64_t after = MARK_AFTER if source == SOURCE_TELEPHONE_EVENT else 0
    if leg.is_masked and leg.mask_key >= 0:
        mask_mark(&leg.mask, leg.mask_key, leg.mask.position + after)
        leg.mask_key = -1
    # An application that has its last digit may take the mask off while the key is still held.
    if leg.hides_key or _keeps_keys(leg) or not leg.relays_keys or other == NULL or source != SOURCE_TELEPHONE_EVENT:
        return
    keys_push(
        other,
        <unsigned char>code,
        other.config.event_send_pt < 0,
        <int32_t>min(max(duration_ms, <int64_t>KEY_MIN_MS), <int64_t>KEY_MAX_MS) * SAMPLES_PER_MS,
        KEY_PAUSE_MS * SAMPLES_PER_MS,
    )
