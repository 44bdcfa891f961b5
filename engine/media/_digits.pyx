"""What a key does in the tick in which it is heard: Python is told, a prompt stops, the mask learns of it.

Nothing here allocates, waits or touches a Python object.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from engine.media._bridge cimport bridge_key, bridge_key_end
from engine.media._leg cimport EVENT_DIGIT, EVENT_DIGIT_END, LegState, MediaEvent, TickContext, emit
from engine.media._player cimport player_end


cdef void leg_digit(
    LegState* leg, TickContext* context, int32_t source, int32_t code, int64_t at_ns, float level_dbm0, int64_t start
) noexcept nogil:
    """A key was pressed: say so, and stop what may be interrupted before anything more of it is sent.

    `start` is where it began in the audio that goes to the mask.
    """
    cdef MediaEvent event
    memset(&event, 0, sizeof(event))
    event.kind = EVENT_DIGIT
    event.code = code
    event.source = source
    event.at_ns = at_ns
    event.level_dbm0 = level_dbm0
    emit(context, leg, &event)
    event.code = 0
    bridge_key(leg, start)
    if leg.playlist != NULL and leg.playlist.interruptible:
        player_end(leg, context, False, True)


cdef void leg_digit_end(
    LegState* leg, TickContext* context, int32_t source, int32_t code, int64_t at_ns, int64_t duration_ms
) noexcept nogil:
    """It was let go."""
    cdef MediaEvent event
    memset(&event, 0, sizeof(event))
    event.kind = EVENT_DIGIT_END
    event.code = code
    event.source = source
    event.at_ns = at_ns
    event.duration_ms = <int32_t>min(duration_ms, <int64_t>0x7FFFFFFF)
    emit(context, leg, &event)
    event.code = 0
    bridge_key_end(leg, source, code, duration_ms)
