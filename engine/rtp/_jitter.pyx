"""A jitter buffer in the domain of samples.

Samples are written where their RTP timestamp says, so that any ptime, reordering and duplicates are one case. Each
tick takes 160 samples, with a note for each whether it came. The laws:

- Media time only moves forward, and each sample is delivered at most once.
- The buffer holds (delivers nothing, media time stands still) while it fills, and when it has run dry: a peer with
  DTX sends nothing during silence, and a hold is not a loss.
- The delay is counted from the fastest packets, not from the first of a talk spurt, which may be late itself. The one
  aimed at, ``target``, is the quantile of all packets' delays that leaves ``late_ppm`` of them too late: 20 to 200 ms.
  It grows at once when a packet is late, and shrinks by a quarter of what it has too much each second.
- A stall longer than the longest delay teaches nothing: it is held, then caught up.
- Catching up never throws audio away: the frame is delivered with ``JITTER_AGAIN``, one in four ticks, so that a DTMF
  detector or a recorder hears all of it, and only a listener skips it. A frame without audio is never worth a wait.
- A timestamp more than half a second off needs a second packet that follows it, a marker, or a dry buffer
  (RFC 3550 §5.1 lets a sender jump; a damaged packet must not move the playout).
- More than 1.024 s waiting is refused and counted.
"""

cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

SIZE = sizeof(JitterBuffer)

cdef enum:
    MASK = JITTER_RING - 1
    MIN_DELAY = 160             # 20 ms
    FIRST_DELAY = 320           # 40 ms: two packets of the usual ptime
    MAX_DELAY = 1600            # 200 ms: beyond, a caller hears an echo of the conversation
    LATE_PPM = 5000             # 0.5 %
    GROWTH = 320                # the most that one late packet adds: a spike is not the rule
    MAX_BACKLOG = 2560          # 320 ms waiting: the peer's clock or a burst; catch up
    MAX_PACKET = 1920           # 240 ms, the longest ptime that RFC 3551 §4.2 lets one expect (200 ms), and some
    JUMP = 4000                 # 0.5 s
    EARLY = 400                 # 50 ms: earlier than the fastest packet by this is another path or another clock
    LATE_RESYNC = 5             # late packets in a row that show a new time base
    STALL_REBASE = 25           # packets in a row beyond the longest delay: the path has become longer
    FLUSH_TICKS = 3             # after this hold the tail of a talk spurt is played though it is no whole frame
    SILENCE_TICKS = 25          # 0.5 s: a peer whose timestamps stand still while it is silent; no network is so late
    CATCH_UP_TICKS = 4          # a frame too many in so many ticks: 300 ms are caught up in 1.2 s
    MOST_AGAIN = 3              # frames too many in one tick
    BIN = 40                    # samples, 5 ms
    PACKET_WEIGHT = 256
    WINDOW_TICKS = 50           # 1 s; after it all weights lose a sixteenth, so that the memory is 16 s
    WINDOW_PACKETS = 5          # fewer packets tell nothing about the jitter
    FASTEST_PART = 1024         # one packet in so many may be faster than the reference


cdef void jitter_init(JitterBuffer* buffer) noexcept nogil:
    """Empty the buffer, wipe what it held, and forget what was learned."""
    memset(buffer, 0, sizeof(JitterBuffer))
    buffer.target = FIRST_DELAY
    buffer.late_ppm = LATE_PPM


cdef void jitter_restart(JitterBuffer* buffer) noexcept nogil:
    """Empty the buffer for another source; keep the delay learned and the counters."""
    memset(buffer.state, 0, sizeof(buffer.state))
    memset(buffer.samples, 0, sizeof(buffer.samples))
    buffer.anchored = False
    buffer.jump_pending = False
    buffer.wait = 0
    buffer.again_run = 0
    buffer.held = 0
    buffer.late_run = 0
    buffer.stalled = 0
    buffer.window_ticks = 0
    buffer.window_packets = 0


cdef int32_t jitter_depth(const JitterBuffer* buffer) noexcept nogil:
    """Samples between the newest one and the playout: the delay at this moment."""
    if not buffer.anchored or buffer.newest <= buffer.play:
        return 0
    return <int32_t>(buffer.newest - buffer.play)


cdef int32_t _quantile(const JitterBuffer* buffer) noexcept nogil:
    """Return the delay from the reference, in samples, that no more than `late_ppm` of the packets exceed."""
    cdef uint32_t tail = <uint32_t>(<uint64_t>buffer.weight * buffer.late_ppm // 1000000)
    cdef uint32_t above = 0
    cdef int32_t i
    for i in range(JITTER_BINS - 1, 0, -1):
        above += buffer.histogram[i]
        if above > tail:
            return max(i * BIN, <int32_t>MIN_DELAY)
    return MIN_DELAY


cdef int64_t _short(const JitterBuffer* buffer) noexcept nogil:
    """Samples that the delay is shorter than the one aimed at; negative when it is longer."""
    return buffer.reference + buffer.target - (buffer.clock + buffer.wait - buffer.play)


cdef void _lengthen(JitterBuffer* buffer) noexcept nogil:
    """Hold until the delay is the one aimed at, in whole ticks."""
    cdef int64_t short = _short(buffer)
    if short > 0:
        buffer.wait += <int32_t>(min(short, <int64_t>MAX_DELAY) + JITTER_TICK - 1) // JITTER_TICK * JITTER_TICK


cdef void _grow(JitterBuffer* buffer) noexcept nogil:
    """A packet came too late, or the buffer ran dry: aim at a longer delay when that happens more often than it may."""
    cdef int32_t quantile = _quantile(buffer)
    if quantile <= buffer.target and _short(buffer) <= 0:
        return
    buffer.target = min(max(quantile, buffer.target), buffer.target + <int32_t>GROWTH)
    if buffer.wait == 0:
        _lengthen(buffer)


cdef void _move_reference(JitterBuffer* buffer, int32_t bins) noexcept nogil:
    """Count delays from a reference that is `bins` earlier, or later if negative."""
    cdef int32_t i
    cdef int32_t n = JITTER_BINS - (bins if bins > 0 else -bins)
    buffer.reference -= bins * BIN
    if bins > 0:
        memmove(&buffer.histogram[bins], &buffer.histogram[0], n * sizeof(uint32_t))
        memset(&buffer.histogram[0], 0, bins * sizeof(uint32_t))
    else:
        memmove(&buffer.histogram[0], &buffer.histogram[-bins], n * sizeof(uint32_t))
        memset(&buffer.histogram[n], 0, -bins * sizeof(uint32_t))
    buffer.weight = 0
    for i in range(JITTER_BINS):
        buffer.weight += buffer.histogram[i]


cdef void _learn(JitterBuffer* buffer, int64_t position) noexcept nogil:
    """Take a packet's delay into the histogram: the tick in which it can be heard, against its media time."""
    cdef int64_t delay = buffer.clock - position - buffer.reference
    buffer.window_packets += 1
    if delay < -EARLY or (delay > MAX_DELAY and buffer.stalled >= STALL_REBASE):
        buffer.reference += delay
        delay = 0
    if delay < 0:
        _move_reference(buffer, <int32_t>((BIN - 1 - delay) // BIN))
        delay = buffer.clock - position - buffer.reference
    if delay > MAX_DELAY:
        buffer.stalled += 1
        buffer.stall_to = position + delay
        return
    if position < buffer.stall_to:
        return
    buffer.stalled = 0
    buffer.stall_to = 0
    buffer.histogram[(delay + BIN - 1) // BIN] += PACKET_WEIGHT
    buffer.weight += PACKET_WEIGHT


cdef void _forget(JitterBuffer* buffer) noexcept nogil:
    """Let what was learned weigh less, and shorten the delay that is not needed any more."""
    cdef uint32_t below = 0
    cdef int32_t bins = 0
    cdef int32_t i
    cdef int32_t too_long
    buffer.weight = 0
    for i in range(JITTER_BINS):
        buffer.histogram[i] -= buffer.histogram[i] >> 4
        buffer.weight += buffer.histogram[i]
    for i in range(JITTER_BINS - 1):
        below += buffer.histogram[i]
        if below > buffer.weight // FASTEST_PART:
            break
        bins += 1
    if bins > 0 and buffer.weight > 0:
        _move_reference(buffer, -bins)
        buffer.target = max(buffer.target - bins * BIN, <int32_t>MIN_DELAY)
    too_long = buffer.target - _quantile(buffer)
    if too_long > 0:
        buffer.target -= min(too_long, max(too_long // 4, <int32_t>BIN))


cdef void _tick(JitterBuffer* buffer) noexcept nogil:
    buffer.clock += JITTER_TICK
    buffer.pace += 1
    buffer.window_ticks += 1
    if buffer.window_ticks < WINDOW_TICKS:
        return
    if buffer.window_packets >= WINDOW_PACKETS:
        _forget(buffer)
    buffer.window_ticks = 0
    buffer.window_packets = 0


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
    position = max(buffer.newest, buffer.play)
    buffer.reference = buffer.clock - position
    buffer.stall_to = 0
    return position


cdef int64_t _after_dry(JitterBuffer* buffer, int64_t position, bint marker) noexcept nogil:
    """Set the playout so that `position` is heard one delay after the fastest packets; return it, or its new place."""
    cdef int64_t gap = position - buffer.play
    cdef int64_t delay = buffer.clock - position - buffer.reference
    cdef int64_t lead
    if (
        delay < -EARLY
        or (delay > MAX_DELAY and buffer.held >= SILENCE_TICKS)
        or (marker and delay > 0 and gap < JITTER_TICK)
    ):
        # The peer's timestamps did not run on as ours: its silence is no delay.
        buffer.reference += delay
        buffer.stall_to = 0
    if gap > MAX_DELAY and buffer.newest > buffer.play:
        # The tail of the last spurt still waits, and is heard: the silence is shortened behind it.
        buffer.reference += position - (buffer.newest + JITTER_TICK)
        position = buffer.newest + JITTER_TICK
        buffer.spurt_from = position
        buffer.joined_from = position
    elif marker or gap > MAX_DELAY:
        buffer.spurt_from = position
    if position - buffer.play > MAX_DELAY:
        # Silence, of which a detector must hear a tick at least. Whole ticks: a lost packet is then a lost frame.
        lead = max(position - (buffer.clock - buffer.reference - buffer.target), <int64_t>JITTER_TICK)
        lead = min((lead + JITTER_TICK - 1) // JITTER_TICK * JITTER_TICK, <int64_t>MAX_DELAY)
        buffer.play = max(buffer.play, position - lead)
    buffer.wait = 0
    _lengthen(buffer)
    buffer.held = 0
    return position


cdef bint _bits(uint32_t* words, int64_t position, int32_t n, bint change, bint value) noexcept nogil:
    """Tell whether n bits are all set; with `change`, set or clear them. n <= JITTER_RING."""
    cdef int32_t bit
    cdef int32_t part
    cdef uint32_t mask
    cdef uint32_t* word
    while n > 0:
        word = &words[(position & MASK) >> 5]
        bit = <int32_t>(position & 31)
        part = min(32 - bit, n)
        mask = (<uint32_t>0xFFFFFFFF >> (32 - part)) << bit
        if not change:
            if word[0] & mask != mask:
                return False
        elif value:
            word[0] |= mask
        else:
            word[0] &= ~mask
        position += part
        n -= part
    return True


cdef void _write(JitterBuffer* buffer, int64_t position, const int16_t* samples, int32_t n) noexcept nogil:
    """Store what is not there yet. `position` >= play, position + n <= play + JITTER_RING."""
    cdef int32_t slot
    cdef int32_t part
    while n > 0 and position < buffer.newest:
        slot = <int32_t>(position & MASK)
        if not buffer.state[slot >> 5] >> (slot & 31) & 1:
            buffer.samples[slot] = samples[0]
            buffer.state[slot >> 5] |= <uint32_t>1 << (slot & 31)
        position += 1
        samples += 1
        n -= 1
    if n == 0:
        return
    # What lies between the newest sample and this packet is left from a turn of the ring ago.
    _bits(buffer.state, buffer.newest, <int32_t>min(position - buffer.newest, <int64_t>JITTER_RING), True, False)
    slot = <int32_t>(position & MASK)
    part = min(n, <int32_t>JITTER_RING - slot)
    memcpy(&buffer.samples[slot], samples, part * sizeof(int16_t))
    memcpy(&buffer.samples[0], samples + part, (n - part) * sizeof(int16_t))
    _bits(buffer.state, position, n, True, True)
    buffer.newest = position + n


cdef bint _all_known(JitterBuffer* buffer, int64_t position, int32_t n) noexcept nogil:
    """Tell whether each of these samples is here or was played."""
    if position + n > buffer.newest or position <= buffer.newest - JITTER_RING:
        return False
    return _bits(buffer.state, position, n, False, False)


cdef int64_t _anchor(JitterBuffer* buffer) noexcept nogil:
    """Begin with a packet, one delay from now; return its media time."""
    # Away from 0, so that reordered packets before the first one have a place.
    cdef int64_t position = max(buffer.play, buffer.newest) + 2 * JITTER_RING
    buffer.anchored = True
    buffer.fresh = True
    buffer.play = position
    buffer.newest = position
    buffer.reference = buffer.clock - position
    buffer.stall_to = 0
    buffer.spurt_from = 0
    buffer.joined_from = 0
    buffer.wait = buffer.target
    buffer.held = 0
    # For the first second the delay is learned before it is shortened.
    buffer.pace = CATCH_UP_TICKS - WINDOW_TICKS
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
        if not in_order and position < buffer.joined_from:
            # Overtaken by the packet that moved its spurt: its place is among what came before.
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
    if position < buffer.play and buffer.fresh and position > buffer.newest - JITTER_RING // 2:
        # Reordered before anything was played: begin with it.
        buffer.play = position
    if position + n <= buffer.play:
        buffer.late += 1
        if in_order:
            buffer.late_run += 1
        _learn(buffer, position)
        _grow(buffer)
        return JITTER_LATE
    buffer.late_run = 0
    if dry and position >= buffer.newest:
        position = _after_dry(buffer, position, marker)
        buffer.last_position = position
    if position + n - buffer.play > JITTER_RING:
        buffer.overflow += 1
        return JITTER_OVERFLOW
    skip = max(<int64_t>0, buffer.play - position)
    _write(buffer, position + skip, samples + skip, n - <int32_t>skip)
    _learn(buffer, position)
    if skip:
        # Its beginning came too late, the rest is heard.
        buffer.late += 1
    if skip or dry:
        _grow(buffer)
    return JITTER_OK


cdef void _take(JitterBuffer* buffer, JitterFrame* frame, int16_t* out, uint8_t* valid) noexcept nogil:
    """Deliver frame.n samples and wipe them."""
    cdef int32_t slot = <int32_t>(buffer.play & MASK)
    cdef int32_t part = min(frame.n, <int32_t>JITTER_RING - slot)
    cdef int32_t n_valid = frame.n
    cdef int32_t i
    if _bits(buffer.state, buffer.play, frame.n, False, False):
        memcpy(out, &buffer.samples[slot], part * sizeof(int16_t))
        memcpy(out + part, &buffer.samples[0], (frame.n - part) * sizeof(int16_t))
        memset(valid, 1, frame.n)
        memset(&buffer.samples[slot], 0, part * sizeof(int16_t))
        memset(&buffer.samples[0], 0, (frame.n - part) * sizeof(int16_t))
    else:
        n_valid = 0
        for i in range(frame.n):
            out[i] = 0
            valid[i] = buffer.state[slot >> 5] >> (slot & 31) & 1
            if valid[i]:
                out[i] = buffer.samples[slot]
                buffer.samples[slot] = 0
                n_valid += 1
            elif buffer.play + i >= buffer.spurt_from:
                buffer.missing_samples += 1
            slot = (slot + 1) & MASK
    if frame.n < JITTER_TICK:
        memset(out + frame.n, 0, (JITTER_TICK - frame.n) * sizeof(int16_t))
        memset(valid + frame.n, 0, JITTER_TICK - frame.n)
    buffer.play += frame.n
    buffer.delivered_samples += n_valid
    frame.flags = (JITTER_AUDIO if n_valid else 0) | (JITTER_MISSING if n_valid < frame.n else 0)


cdef bint _again(JitterBuffer* buffer, bint audio) noexcept nogil:
    """Tell whether another frame is due in this tick: the delay is a tick longer than the one aimed at."""
    cdef int64_t available = buffer.newest - buffer.play
    if available < JITTER_TICK or buffer.again_run >= MOST_AGAIN:
        return False
    if available <= MAX_BACKLOG and (_short(buffer) > -JITTER_TICK or (audio and buffer.pace < CATCH_UP_TICKS)):
        return False
    buffer.pace = min(buffer.pace, <int32_t>0)
    return True


cdef JitterFrame jitter_get(JitterBuffer* buffer, int16_t* out, uint8_t* valid) noexcept nogil:
    """Take the next frame: writes JITTER_TICK samples and as many 0/1 into `valid`. Wipes what it took.

    Call it once a tick, and again in the same tick while the flags say JITTER_AGAIN.
    """
    cdef JitterFrame frame
    cdef int64_t available
    if buffer.again_run == 0 and buffer.anchored:
        _tick(buffer)
    frame.flags = JITTER_HELD
    frame.n = 0
    if buffer.wait > 0:
        buffer.wait = max(<int32_t>0, buffer.wait - JITTER_TICK)
    elif buffer.anchored:
        available = buffer.newest - buffer.play
        if available < JITTER_TICK:
            if buffer.held == 0:
                buffer.underruns += 1
            buffer.held = min(buffer.held + 1, <int32_t>10000)
        if available >= JITTER_TICK or (available > 0 and buffer.held > FLUSH_TICKS):
            frame.n = <int32_t>min(available, <int64_t>JITTER_TICK)
    if frame.n == 0:
        buffer.again_run = 0
        memset(out, 0, JITTER_TICK * sizeof(int16_t))
        memset(valid, 0, JITTER_TICK)
        return frame
    _take(buffer, &frame, out, valid)
    buffer.fresh = False
    if frame.n == JITTER_TICK:
        buffer.held = 0
    if _again(buffer, frame.flags & JITTER_AUDIO != 0):
        buffer.again_run += 1
        frame.flags |= JITTER_AGAIN
    else:
        buffer.again_run = 0
    return frame


@cython.final
cdef class Jitter:
    """The kernel as an object, for tests and offline analysis. `late_ppm`: packets of a million that may be late."""

    cdef JitterBuffer _buffer

    def __cinit__(self, *, uint32_t late_ppm=LATE_PPM):
        jitter_init(&self._buffer)
        self._buffer.late_ppm = late_ppm

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

    def holds(self, bytes samples not None):
        """Tell whether these bytes are anywhere in the state: for tests of what is wiped."""
        return samples in (<char*>&self._buffer)[:sizeof(JitterBuffer)]

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
