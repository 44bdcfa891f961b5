"""A jitter buffer in the domain of samples.

Samples are written where their RTP timestamp says, so that any ptime, reordering and duplicates are one case. Each
tick takes 160 samples, with a note for each whether it came. The laws:

- Media time only moves forward, and each sample is delivered at most once.
- The buffer holds (delivers nothing, media time stands still) while it fills, and when it has run dry: a peer with
  DTX sends nothing during silence, and a hold is not a loss.
- After a hold the next packet is played ``target`` samples later. ``target`` grows when packets come too late, and
  shrinks when for two seconds each came with a tick to spare: 20 to 200 ms.
- Catching up never throws audio away: the frame is delivered with ``JITTER_AGAIN``, so that a DTMF detector or a
  recorder hears all of it, and only a listener skips it.
- A timestamp more than half a second off needs a second packet that follows it, a marker, or a dry buffer
  (RFC 3550 §5.1 lets a sender jump; a damaged packet must not move the playout).
"""

cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

cdef enum:
    SAMPLE_NONE = 0
    SAMPLE_WAITING = 1
    SAMPLE_PLAYED = 2

    MASK = JITTER_RING - 1
    MIN_DELAY = 160             # 20 ms
    FIRST_DELAY = 320           # 40 ms: two packets of the usual ptime
    MAX_DELAY = 1600            # 200 ms: beyond, a caller hears an echo of the conversation
    GROWTH = 320                # the most that one late packet adds: a spike is not the rule
    MAX_BACKLOG = 2560          # 320 ms waiting: the peer's clock or a burst; catch up
    MAX_PACKET = 1920           # 240 ms, the longest ptime that RFC 3551 §4.2 lets one expect (200 ms), and some
    JUMP = 4000                 # 0.5 s
    LATE_RESYNC = 5             # late packets in a row that show a new time base
    FLUSH_TICKS = 3             # after this hold the tail of a talk spurt is played though it is no whole frame
    SILENCE_TICKS = 25          # 0.5 s: a peer whose timestamps stand still while it is silent; no network is so late
    WINDOW_TICKS = 100          # 2 s
    WINDOW_PACKETS = 10         # fewer packets tell nothing about the jitter
    NO_SLACK = 1 << 30


cdef void jitter_init(JitterBuffer* buffer) noexcept nogil:
    """Empty the buffer, wipe what it held, and forget what was learned."""
    memset(buffer, 0, sizeof(JitterBuffer))
    buffer.target = FIRST_DELAY
    buffer.window_slack = NO_SLACK


cdef void jitter_restart(JitterBuffer* buffer) noexcept nogil:
    """Empty the buffer for another source; keep the delay learned and the counters."""
    memset(buffer.state, SAMPLE_NONE, sizeof(buffer.state))
    memset(buffer.samples, 0, sizeof(buffer.samples))
    buffer.anchored = False
    buffer.jump_pending = False
    buffer.wait = 0
    buffer.shrink = 0
    buffer.held = 0
    buffer.late_run = 0
    buffer.window_ticks = 0
    buffer.window_packets = 0
    buffer.window_slack = NO_SLACK


cdef int32_t jitter_depth(const JitterBuffer* buffer) noexcept nogil:
    """Samples between the newest one and the playout: the delay at this moment."""
    if not buffer.anchored or buffer.newest <= buffer.play:
        return 0
    return <int32_t>(buffer.newest - buffer.play)


cdef void _grow(JitterBuffer* buffer, int64_t lateness) noexcept nogil:
    """Aim at a longer delay: a packet came `lateness` samples too late."""
    cdef int32_t growth = <int32_t>min(lateness, <int64_t>GROWTH)
    # Whole ticks: less would not change when a frame is played.
    growth = (growth + JITTER_TICK - 1) // JITTER_TICK * JITTER_TICK
    growth = min(growth, MAX_DELAY - buffer.target)
    buffer.target += growth
    buffer.shrink = 0
    if buffer.wait == 0:
        buffer.wait = growth


cdef int64_t _position(
    JitterBuffer* buffer, uint32_t timestamp, bint marker, bint in_order, bint dry
) noexcept nogil:
    """Return the media time of `timestamp`, or -1 for a jump that is not confirmed."""
    cdef int64_t position = buffer.last_position + <int32_t>(timestamp - buffer.last_timestamp)
    cdef bint ahead = position >= buffer.newest + JUMP
    cdef bint behind = position < buffer.play - JUMP or (in_order and buffer.late_run >= LATE_RESYNC)
    if not ahead and not behind:
        buffer.jump_pending = False
        return position
    if not in_order:
        return -1
    if ahead and dry:
        # RFC 3550 §5.1: timestamps run on through silence; a talk spurt begins far ahead.
        buffer.jump_pending = False
        return position
    if not marker and buffer.late_run < LATE_RESYNC:
        if not buffer.jump_pending or <uint32_t>(timestamp - buffer.jump_timestamp) > JUMP:
            buffer.jump_pending = True
            buffer.jump_timestamp = timestamp
            return -1
    # Another time base: it goes on where the old one ends, and what waits is still played.
    buffer.jump_pending = False
    buffer.resync += 1
    buffer.late_run = 0
    return max(buffer.newest, buffer.play)


cdef void _after_dry(JitterBuffer* buffer, int64_t position) noexcept nogil:
    """Set the playout so that `position` is heard one delay from now."""
    cdef int64_t gap = position - buffer.play
    if gap < JITTER_TICK and buffer.held < SILENCE_TICKS:
        # The very packet that was waited for: the network was late, the peer was not silent.
        _grow(buffer, <int64_t>buffer.held * JITTER_TICK)
    if gap >= buffer.target and buffer.newest <= buffer.play:
        buffer.play = position - buffer.target
        buffer.wait = 0
    else:
        buffer.wait = max(<int32_t>0, buffer.target - <int32_t>min(gap, <int64_t>MAX_DELAY))
    buffer.held = 0


cdef void _write(JitterBuffer* buffer, int64_t position, const int16_t* samples, int32_t n) noexcept nogil:
    """Store what is not there yet. `position` >= play, position + n <= play + JITTER_RING."""
    cdef int64_t at
    cdef int32_t i
    cdef int32_t slot
    # What lies between the newest sample and this packet is left from a turn of the ring ago.
    at = max(buffer.newest, buffer.play)
    while at < position + n:
        buffer.state[at & MASK] = SAMPLE_NONE
        at += 1
    for i in range(n):
        slot = <int32_t>((position + i) & MASK)
        if buffer.state[slot] != SAMPLE_WAITING:
            buffer.samples[slot] = samples[i]
            buffer.state[slot] = SAMPLE_WAITING
    buffer.newest = max(buffer.newest, position + n)


cdef bint _all_known(const JitterBuffer* buffer, int64_t position, int32_t n) noexcept nogil:
    """Tell whether each of these samples is here or was played."""
    cdef int32_t i
    if position + n > buffer.newest or position <= buffer.newest - JITTER_RING:
        return False
    for i in range(n):
        if buffer.state[(position + i) & MASK] == SAMPLE_NONE:
            return False
    return True


cdef int64_t _anchor(JitterBuffer* buffer) noexcept nogil:
    """Begin with a packet, one delay from now; return its media time."""
    # Away from 0, so that reordered packets before the first one have a place.
    cdef int64_t position = max(buffer.play, buffer.newest) + JITTER_RING
    buffer.anchored = True
    buffer.play = position
    buffer.newest = position
    buffer.wait = buffer.target
    buffer.held = 0
    return position


cdef JitterVerdict jitter_put(
    JitterBuffer* buffer, uint32_t timestamp, bint marker, bint in_order, const int16_t* samples, int32_t n
) noexcept nogil:
    """Take one packet's decoded samples.

    The marker is RFC 3551's: a talk spurt begins. `in_order` tells that its sequence number is the highest yet: what
    is replayed or comes round again never moves the time base, or its audio would be heard twice.
    """
    cdef int64_t position
    cdef int64_t skip
    cdef bint dry
    if n <= 0 or n > MAX_PACKET:
        buffer.overflow += 1
        return JITTER_OVERFLOW
    if not buffer.anchored:
        position = _anchor(buffer)
        dry = False
    else:
        dry = buffer.held > 0
        position = _position(buffer, timestamp, marker, in_order, dry)
        if position < 0:
            if in_order:
                return JITTER_JUMP
            buffer.late += 1
            return JITTER_LATE
    buffer.last_position = position
    buffer.last_timestamp = timestamp
    if _all_known(buffer, position, n):
        buffer.duplicate += 1
        if in_order and position < buffer.play:
            # A new sequence number in a place that was played: the peer set its clock back.
            buffer.late_run += 1
        return JITTER_DUPLICATE
    if position < buffer.play and buffer.wait > 0 and buffer.delivered_samples == 0:
        # Reordered before anything was played: begin with it.
        buffer.play = position
    if position + n <= buffer.play:
        buffer.late += 1
        if in_order:
            buffer.late_run += 1
        _grow(buffer, buffer.play - position)
        return JITTER_LATE
    buffer.late_run = 0
    if dry and position >= buffer.newest:
        _after_dry(buffer, position)
    skip = max(<int64_t>0, buffer.play - position)
    if position + n - buffer.play > JITTER_RING:
        buffer.overflow += 1
        return JITTER_OVERFLOW
    if skip:
        # Its beginning came too late, the rest is heard.
        buffer.late += 1
        _grow(buffer, skip)
    _write(buffer, position + skip, samples + skip, n - <int32_t>skip)
    buffer.window_packets += 1
    buffer.window_slack = min(buffer.window_slack, <int32_t>(position - buffer.play) + buffer.wait)
    return JITTER_OK


cdef void _adapt(JitterBuffer* buffer) noexcept nogil:
    """Each window: shorten the delay by a tick when every packet came with a tick to spare."""
    buffer.window_ticks += 1
    if buffer.window_ticks < WINDOW_TICKS:
        return
    if (
        buffer.window_packets >= WINDOW_PACKETS
        and buffer.window_slack >= 2 * JITTER_TICK
        and buffer.target > MIN_DELAY
    ):
        buffer.target -= JITTER_TICK
        buffer.shrink = JITTER_TICK
    buffer.window_ticks = 0
    buffer.window_packets = 0
    buffer.window_slack = NO_SLACK


cdef JitterFrame jitter_get(JitterBuffer* buffer, int16_t* out, uint8_t* valid) noexcept nogil:
    """Take the next frame: writes JITTER_TICK samples and as many 0/1 into `valid`. Wipes what it took."""
    cdef JitterFrame frame
    cdef int64_t available
    cdef int32_t i
    cdef int32_t slot
    cdef int32_t n_valid = 0
    frame.flags = JITTER_HELD
    frame.n = 0
    memset(out, 0, JITTER_TICK * sizeof(int16_t))
    memset(valid, 0, JITTER_TICK)
    if not buffer.anchored:
        return frame
    _adapt(buffer)
    if buffer.wait > 0:
        buffer.wait = max(<int32_t>0, buffer.wait - JITTER_TICK)
        return frame
    available = buffer.newest - buffer.play
    if available < JITTER_TICK:
        if buffer.held == 0:
            buffer.underruns += 1
        buffer.held = min(buffer.held + 1, <int32_t>10000)
        if available <= 0 or buffer.held <= FLUSH_TICKS:
            return frame
    frame.n = <int32_t>min(available, <int64_t>JITTER_TICK)
    slot = <int32_t>(buffer.play & MASK)
    for i in range(frame.n):
        if buffer.state[slot] == SAMPLE_WAITING:
            out[i] = buffer.samples[slot]
            valid[i] = 1
            n_valid += 1
            buffer.samples[slot] = 0
            buffer.state[slot] = SAMPLE_PLAYED
        slot = (slot + 1) & MASK
    buffer.play += frame.n
    if frame.n == JITTER_TICK:
        buffer.held = 0
    buffer.delivered_samples += n_valid
    buffer.missing_samples += frame.n - n_valid
    frame.flags = (JITTER_AUDIO if n_valid else 0) | (JITTER_MISSING if n_valid < frame.n else 0)
    available = buffer.newest - buffer.play
    if available >= JITTER_TICK and (buffer.shrink > 0 or available > MAX_BACKLOG):
        buffer.shrink = max(<int32_t>0, buffer.shrink - JITTER_TICK)
        frame.flags |= JITTER_AGAIN
    return frame


@cython.final
cdef class Jitter:
    """The kernel as an object, for tests and offline analysis."""

    cdef JitterBuffer _buffer

    def __cinit__(self):
        jitter_init(&self._buffer)

    def put(
        self, uint32_t timestamp, const int16_t[::1] samples not None, *, bint marker=False, bint in_order=True
    ):
        """Take one packet; return 0 taken, 1 late, 2 duplicate, 3 jump, 4 overflow."""
        cdef int32_t n = <int32_t>min(samples.shape[0], <Py_ssize_t>JITTER_RING)
        return int(jitter_put(&self._buffer, timestamp, marker, in_order, &samples[0] if n else NULL, n))

    def get(self):
        """Return ``(flags, samples, valid)`` of the next frame: native int16 bytes, and one byte 0 or 1 for each."""
        cdef int16_t out[JITTER_TICK]
        cdef uint8_t valid[JITTER_TICK]
        cdef JitterFrame frame = jitter_get(&self._buffer, out, valid)
        return int(frame.flags), (<char*>out)[:frame.n * 2], (<char*>valid)[:frame.n]

    def restart(self):
        """Follow another source."""
        jitter_restart(&self._buffer)

    @property
    def target(self):
        """Delay aimed at, in samples."""
        return self._buffer.target

    @property
    def depth(self):
        """Samples waiting."""
        return jitter_depth(&self._buffer)

    @property
    def counters(self):
        """Return late, duplicate and overflown packets, resyncs, underruns, delivered and missing samples."""
        return {
            "late": self._buffer.late,
            "duplicate": self._buffer.duplicate,
            "overflow": self._buffer.overflow,
            "resync": self._buffer.resync,
            "underruns": self._buffer.underruns,
            "delivered_samples": self._buffer.delivered_samples,
            "missing_samples": self._buffer.missing_samples,
        }
