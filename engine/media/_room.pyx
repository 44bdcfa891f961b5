"""Legs that all hear each other: one sum a tick, and each leg hears it without its own part.

All legs of a room are of one clock and one phase: all hear, then the sum is made, then all speak. What a leg adds is its
``heard`` frame, as it goes to the other leg of a bridge: behind the mask where there is one. Telephone-events go to nobody.
Who is muted, held or silent adds nothing, and costs the sum nothing. Who has earmuffs on hears the noise of an open line.

Nothing here allocates, waits or touches a Python object.
"""

from libc.stdint cimport int16_t, int32_t, uint64_t
from libc.string cimport memcpy, memset

from engine.media._bridge cimport bridge_add_noise, bridge_prepare_noise
from engine.media._leg cimport ROOM_LEGS, TICK_SAMPLES, LegState, RoomState
from engine.media._ring cimport store_release

cdef enum:
    FRAME_WORDS = 40            # of 64 bits in TICK_SAMPLES


cdef void room_join(RoomState* room, LegState* leg, bint muted) noexcept nogil:
    """Put a leg in that is in no room; one too many stays outside (Python counts, and does not let it come to that)."""
    if room.n_legs >= ROOM_LEGS:
        return
    room.legs[room.n_legs] = leg
    room.n_legs += 1
    leg.room = room
    leg.room_muted = muted
    leg.in_sum = False
    bridge_prepare_noise(leg)


cdef void room_part(LegState* leg) noexcept nogil:
    """Take a leg out of its room, if it is in one; it goes on by itself."""
    cdef RoomState* room = leg.room
    cdef int32_t i
    if room == NULL:
        return
    for i in range(room.n_legs):
        if room.legs[i] == leg:
            room.n_legs -= 1
            room.legs[i] = room.legs[room.n_legs]
            room.legs[room.n_legs] = NULL
            break
    leg.room = NULL
    leg.room_muted = False
    leg.in_sum = False
    leg.has_heard = False
    memset(leg.heard, 0, sizeof(leg.heard))


cdef void room_close(RoomState* room) noexcept nogil:
    """Take all legs out; with the last line the room's memory is Python's."""
    while room.n_legs > 0:
        room_part(room.legs[room.n_legs - 1])
    memset(room.sum, 0, sizeof(room.sum))
    store_release(&room.released, 1)


cdef bint _is_silent(const int16_t* samples) noexcept nogil:
    cdef uint64_t words[FRAME_WORDS]
    cdef uint64_t any_ = 0
    cdef int i
    memcpy(words, samples, sizeof(words))
    for i in range(FRAME_WORDS):
        any_ |= words[i]
    return any_ == 0


cdef void room_sum(RoomState* room) noexcept nogil:
    """Add up what the legs have to say; all of them have heard this tick."""
    cdef LegState* leg
    cdef int32_t at
    cdef int i
    memset(room.sum, 0, sizeof(room.sum))
    room.n_open = 0
    room.n_heard = 0
    for at in range(room.n_legs):
        leg = room.legs[at]
        leg.in_sum = False
        if leg.muted or leg.room_muted:
            continue
        room.n_open += 1
        if not leg.has_heard or _is_silent(leg.heard):
            continue
        leg.in_sum = True
        room.n_heard += 1
        for i in range(TICK_SAMPLES):
            room.sum[i] += leg.heard[i]


cdef void room_mix(LegState* leg, int16_t* samples) noexcept nogil:
    """Add what the others of the leg's room say to TICK_SAMPLES; clipped once, when all is added."""
    cdef RoomState* room = leg.room
    cdef bint is_open = not (leg.muted or leg.room_muted)
    cdef int32_t sum_
    cdef int i
    if not leg.config.sending and leg.recorder == NULL:
        return
    if room.n_legs > 1 and (leg.earmuffed or room.n_open == is_open):
        # All others are muted, or not to be heard here. Dead silence sounds like a call that is over.
        bridge_add_noise(leg, samples)
    elif leg.earmuffed or room.n_heard == leg.in_sum:
        return
    elif leg.in_sum:
        for i in range(TICK_SAMPLES):
            sum_ = samples[i] + (room.sum[i] - leg.heard[i])
            samples[i] = <int16_t>min(max(sum_, -32768), 32767)
    else:
        for i in range(TICK_SAMPLES):
            sum_ = samples[i] + room.sum[i]
            samples[i] = <int16_t>min(max(sum_, -32768), 32767)
