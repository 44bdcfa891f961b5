"""The player: clips out of memory that thousands of legs share, without a gap, a copy or a click between them.

A playlist is clips one after the other, a pause between two, looped or not. It can be paused, moved within, and made
softer; it tells its position on request, and that it ended, once.

Nothing here allocates, waits or touches a Python object.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t
from libc.string cimport memcpy, memset

from engine.media._leg cimport (
    EVENT_PLAYED,
    EVENT_POSITION,
    GAIN_ONE,
    SILENCE_PCMA,
    SILENCE_PCMU,
    TICK_SAMPLES,
    LegState,
    MediaEvent,
    Playlist,
    TickContext,
    emit,
)

cdef enum:
    SAMPLES_PER_MS = 8


cdef void _tell(LegState* leg, TickContext* context, int32_t kind, bint completed, bint by_digit) noexcept nogil:
    cdef MediaEvent event
    memset(&event, 0, sizeof(event))
    event.kind = kind
    event.token = leg.playlist.token
    event.playlist = leg.playlist.serial
    event.duration_ms = <int32_t>min(leg.playlist.position // SAMPLES_PER_MS, <int64_t>0x7FFFFFFF)
    event.completed = completed
    event.by_digit = by_digit
    if kind == EVENT_PLAYED:
        leg.playlist = NULL
    emit(context, leg, &event)


cdef void player_end(LegState* leg, TickContext* context, bint completed, bint by_digit) noexcept nogil:
    """Let go of what plays, if anything does, and say so: one event for each play."""
    if leg.playlist != NULL:
        _tell(leg, context, EVENT_PLAYED, completed, by_digit)


cdef void player_fill(LegState* leg, TickContext* context, bint a_law, uint8_t* out) noexcept nogil:
    """Write TICK_SAMPLES bytes of the playlist, of which there is one; end it when its last sample was written."""
    cdef Playlist* playlist = leg.playlist
    cdef const uint8_t* source
    cdef uint8_t silence = SILENCE_PCMA if a_law else SILENCE_PCMU
    cdef int64_t before = playlist.position
    cdef int32_t at = 0
    cdef int32_t n
    cdef int32_t empty = 0
    if playlist.paused:
        memset(out, silence, TICK_SAMPLES)
        return
    while at < TICK_SAMPLES:
        if playlist.gap_left:
            n = min(playlist.gap_left, <int32_t>(TICK_SAMPLES - at))
            memset(out + at, silence, n)
            playlist.gap_left -= n
            playlist.position += n
            at += n
            continue
        if playlist.clip >= playlist.n_clips:
            # A loop of clips without a sample would never leave this tick.
            if not playlist.loop or empty > playlist.n_clips or playlist.n_clips == 0:
                memset(out + at, silence, TICK_SAMPLES - at)
                player_end(leg, context, True, False)
                return
            playlist.clip = 0
            playlist.gap_left = playlist.gap
            playlist.position = 0
            before = 0
            continue
        n = min(playlist.clips[playlist.clip].n - playlist.offset, <int32_t>(TICK_SAMPLES - at))
        source = playlist.clips[playlist.clip].pcma if a_law else playlist.clips[playlist.clip].pcmu
        memcpy(out + at, source + playlist.offset, n)
        playlist.offset += n
        playlist.position += n
        at += n
        empty = 0 if n else empty + 1
        if playlist.offset >= playlist.clips[playlist.clip].n:
            playlist.offset = 0
            playlist.clip += 1
            if playlist.clip < playlist.n_clips:
                playlist.gap_left = playlist.gap
    if playlist.report > 0 and playlist.position // playlist.report != before // playlist.report:
        _tell(leg, context, EVENT_POSITION, False, False)
    if playlist.clip >= playlist.n_clips and not playlist.loop:
        player_end(leg, context, True, False)


cdef void player_seek(Playlist* playlist, int64_t position) noexcept nogil:
    """Go on at `position`, in samples from the beginning; beyond the end is the end."""
    cdef int32_t clip
    playlist.position = 0
    playlist.gap_left = 0
    playlist.offset = 0
    playlist.clip = 0
    position = max(position, <int64_t>0)
    for clip in range(playlist.n_clips):
        if clip and position < playlist.gap:
            playlist.gap_left = <int32_t>(playlist.gap - position)
            playlist.position += position
            return
        if clip:
            position -= playlist.gap
            playlist.position += playlist.gap
        if position < playlist.clips[clip].n:
            playlist.offset = <int32_t>position
            playlist.position += position
            return
        position -= playlist.clips[clip].n
        playlist.position += playlist.clips[clip].n
        playlist.clip = clip + 1


cdef void scale(int16_t* samples, int32_t n, int32_t gain) noexcept nogil:
    """Multiply by gain / GAIN_ONE, saturating; a gain is 0 to 4 * GAIN_ONE (+12 dB)."""
    cdef int32_t i
    cdef int32_t scaled
    for i in range(n):
        scaled = (samples[i] * gain) // GAIN_ONE
        samples[i] = <int16_t>min(max(scaled, -32768), 32767)
