# cython: boundscheck=False, wraparound=False, cdivision=True
# Safe without checks: frames are clipped to PLAYOUT_TICK, a step is pushed only after _make_room, and every read of the
# FIFO is preceded by a comparison with p.n.
"""What a listener hears: one frame a tick out of the jitter buffer's media time, without holes and at our clock.

The laws:

- Each tick gives exactly 160 samples, whatever came.
- A gap in media time is made up by G.711 Appendix I, in steps of 10 ms; in a step that came in part, what came is
  kept and joined over 2 ms to what is made up.
- When media time stands still, the last periods are repeated and fade; after 60 ms, or at once when a comfort noise
  packet (RFC 3389) told of the pause, there is comfort noise, or silence where no such packet ever came. What was
  made up then is not made up again when the same gap comes as missing samples.
- A talk spurt begins with one frame in reserve. The reserve takes up the frame more, or less, that another clock
  brings; it is restored by a few samples at a time, where the audio is no louder than the background. Only above a
  reserve of 60 ms something is taken out of speech: one period of it, at the best match, with a cross-fade.
- The stage delays by PLC_DELAY (3.75 ms) and the reserve: one frame in the steady state.
"""

cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memmove, memset

from dsp._comfort_noise cimport comfort_noise_generate, comfort_noise_init, comfort_noise_update
from dsp._plc cimport PLC_DELAY, PLC_HISTORY, PlcState, plc_good, plc_init, plc_lost
from engine.rtp._jitter cimport JITTER_AUDIO, JITTER_HELD, JITTER_MISSING

SIZE = sizeof(PlayoutState)

cdef enum:
    TICK = PLAYOUT_TICK
    STEP = PLAYOUT_STEP
    RESERVE = 160               # samples left in the FIFO after a tick: one frame
    MOST_RESERVE = 480          # 60 ms: from here on speech is shortened too
    TOLERANCE = 40              # 5 ms more or less of a reserve is not corrected
    FEW = 8                     # samples inserted or removed in a quiet frame, 5 % of it
    MANY = 32                   # removed, when there is more than a frame too much
    LONG = 160
    FADE_FROM = 40              # where in a frame the cross-fade begins; longer than any insertion
    FADE = 80                   # 10 ms
    LAG_MIN = 40                # 5 to 15 ms: the periods of speech, as in G.711 Appendix I
    LAG_MAX = 120
    SILENT_STEPS = 6            # of concealment, after which nothing is left of it
    GAP_FADE = 16               # 2 ms
    PAUSE_TICKS = 15            # 300 ms: more than the jitter buffer holds when a comfort noise packet comes
    SEED = 0x2545F491

cdef float NOISE_RISE = 0.2     # a step: as concealment fades
cdef float FLOOR_FIRST = 100.0  # -70 dBov
cdef float FLOOR_MOST = 1.07e6  # -30 dBov: steady music is no silence
cdef float FLOOR_RISE = 1.01    # 2 dB/s
cdef float FLOOR_FALL = 0.25
cdef float QUIET = 4.0          # 6 dB above the floor
cdef float SILENCE = 64.0       # -72 dBov is quiet beside any floor


cdef void playout_init(PlayoutState* p) noexcept nogil:
    memset(p, 0, sizeof(PlayoutState))
    comfort_noise_init(&p.noise, SEED)
    playout_restart(p)


cdef void playout_restart(PlayoutState* p) noexcept nogil:
    plc_init(&p.plc)
    comfort_noise_init(&p.noise, p.noise.seed)
    memset(p.step, 0, sizeof(p.step))
    memset(p.fifo, 0, sizeof(p.fifo))
    memset(p.recent, 0, sizeof(p.recent))
    p.pausing = True
    p.pause_ticks = 0
    p.owed = 0
    p.correcting = 0
    p.n = 0
    p.n_step = 0
    p.n_gap = 0
    p.noise_gain = 1
    p.floor = FLOOR_FIRST


cdef void _drop(PlayoutState* p, int32_t n) noexcept nogil:
    """Take n samples off the FIFO's beginning and wipe their place. n <= p.n."""
    memmove(&p.fifo[0], &p.fifo[n], (p.n - n) * sizeof(int16_t))
    memset(&p.fifo[p.n - n], 0, n * sizeof(int16_t))
    p.n -= n


cdef int32_t _best_lag(const int16_t* x) noexcept nogil:
    """Return how far the stretch that is faded out agrees best with one to come. Reads LAG_MAX + FADE samples."""
    cdef int32_t best = LAG_MIN
    cdef float best_score = -1e30
    cdef float score
    cdef int64_t dot, energy
    cdef int32_t lag, i
    for lag in range(LAG_MIN, LAG_MAX + 1):
        dot = 0
        energy = 1
        for i in range(FADE):
            dot += <int32_t>x[i] * x[lag + i]
            energy += <int32_t>x[lag + i] * x[lag + i]
        # Squared cosine with its sign: no root is needed to compare.
        score = <float>dot * <float>(dot if dot >= 0 else -dot) / <float>energy
        if score > best_score:
            best_score = score
            best = lag
    return best


cdef void _resize(const int16_t* x, int16_t* out, int32_t n, int32_t removed) noexcept nogil:
    """Write n samples out of n + `removed` (negative: inserted), joined by a cross-fade. n >= FADE_FROM + FADE."""
    cdef float w
    cdef int32_t i
    memmove(out, x, FADE_FROM * sizeof(int16_t))
    for i in range(FADE_FROM, FADE_FROM + FADE):
        w = <float>((i - FADE_FROM + 0.5) / FADE)
        out[i] = <int16_t>((1 - w) * x[i] + w * x[i + removed])
    memmove(&out[FADE_FROM + FADE], &x[FADE_FROM + FADE + removed], (n - FADE_FROM - FADE) * sizeof(int16_t))


cdef void _make_room(PlayoutState* p, int32_t n) noexcept nogil:
    """Shorten what waits until n samples have room, one or two steps."""
    cdef int16_t[TICK] joined
    cdef int32_t lag
    while p.n > PLAYOUT_FIFO - n:
        lag = _best_lag(&p.fifo[FADE_FROM])
        _resize(p.fifo, joined, TICK, lag)
        _drop(p, lag)
        memcpy(p.fifo, joined, TICK * sizeof(int16_t))
        memset(joined, 0, sizeof(joined))
        p.removed += lag


cdef void _add_noise(PlayoutState* p, int16_t* step, float gain_after, float audio_from, float audio_to) noexcept nogil:
    """Mix a step with comfort noise, from the present gain to another; the audio's gain goes its own way."""
    cdef int16_t[STEP] noise
    cdef float noise_gain = p.noise_gain
    cdef float noise_slope = (gain_after - noise_gain) / STEP
    cdef float audio_slope = (audio_to - audio_from) / STEP
    cdef float mixed
    cdef int32_t i
    comfort_noise_generate(&p.noise, noise, STEP)
    for i in range(STEP):
        noise_gain += noise_slope
        audio_from += audio_slope
        mixed = audio_from * step[i] + noise_gain * noise[i]
        step[i] = <int16_t>max(<float>-32768, min(<float>32767, mixed))
    p.noise_gain = gain_after


cdef void _push_whole(PlayoutState* p, const int16_t* samples, int32_t n) noexcept nogil:
    """What plc_good does where nothing was lost, without its floats: a delay. n is one step or two."""
    _make_room(p, n)
    memcpy(&p.fifo[p.n], &p.recent[PLC_HISTORY - PLC_DELAY], PLC_DELAY * sizeof(int16_t))
    memcpy(&p.fifo[p.n + PLC_DELAY], samples, (n - PLC_DELAY) * sizeof(int16_t))
    memmove(&p.recent[0], &p.recent[n], (PLC_HISTORY - n) * sizeof(int16_t))
    memcpy(&p.recent[PLC_HISTORY - n], samples, n * sizeof(int16_t))
    if p.noise_gain > 0:
        if p.noise.known:
            _add_noise(p, &p.fifo[p.n], 0, 1, 1)
        p.noise_gain = 0
    p.n += n


cdef void _load_history(PlayoutState* p) noexcept nogil:
    """Before a loss: give the concealment what was heard."""
    cdef int32_t i
    if p.plc.lost == 0:
        for i in range(PLC_HISTORY):
            p.plc.history[i] = p.recent[i]


cdef void _store_history(PlayoutState* p) noexcept nogil:
    """After a loss: take what was heard and made up out of the concealment, and wipe it there."""
    cdef float value
    cdef int32_t i
    for i in range(PLC_HISTORY):
        value = p.plc.history[i]
        p.recent[i] = <int16_t>(value + <float>0.5 if value >= 0 else value - <float>0.5)
    plc_init(&p.plc)


cdef void _push_good(PlayoutState* p, const int16_t* samples) noexcept nogil:
    if p.plc.lost == 0:
        _push_whole(p, samples, STEP)
        return
    _make_room(p, STEP)
    plc_good(&p.plc, samples, &p.fifo[p.n], STEP)
    _store_history(p)
    if p.noise_gain > 0:
        if p.noise.known:
            _add_noise(p, &p.fifo[p.n], 0, 1, 1)
        p.noise_gain = 0
    p.n += STEP


cdef void _push_lost(PlayoutState* p) noexcept nogil:
    _make_room(p, STEP)
    _load_history(p)
    plc_lost(&p.plc, &p.fifo[p.n], STEP)
    # The first 10 ms are made up at their full level: the background is in them.
    if p.noise.known and p.plc.lost > 1:
        _add_noise(p, &p.fifo[p.n], min(<float>1, p.noise_gain + NOISE_RISE), 1, 1)
    p.concealed += STEP
    p.n += STEP


cdef void _push_noise(PlayoutState* p) noexcept nogil:
    _make_room(p, STEP)
    comfort_noise_generate(&p.noise, &p.fifo[p.n], STEP)
    p.noise_gain = 1
    p.noise_samples += STEP
    p.n += STEP


cdef void _push_pause(PlayoutState* p) noexcept nogil:
    """Go over to comfort noise within one step."""
    _make_room(p, STEP)
    _load_history(p)
    plc_lost(&p.plc, &p.fifo[p.n], STEP)
    _add_noise(p, &p.fifo[p.n], 1, 1, 0)
    # Nothing of it may come back with the next good frame, not even what has not gone out yet.
    p.plc.lost = SILENT_STEPS
    memset(&p.plc.history[PLC_HISTORY - PLC_DELAY], 0, PLC_DELAY * sizeof(float))
    p.concealed += STEP
    p.n += STEP
    p.pausing = True


cdef void _push_mixed(PlayoutState* p) noexcept nogil:
    """Play a step of which some came: made up where it did not, and joined on both sides."""
    cdef PlcState ahead
    cdef int16_t[STEP] made_before
    cdef int32_t[STEP] from_gap
    cdef float* made
    cdef float w
    cdef int32_t distance = GAP_FADE
    cdef int32_t i
    _load_history(p)
    ahead = p.plc
    _make_room(p, STEP)
    plc_lost(&ahead, made_before, STEP)
    made = &ahead.history[PLC_HISTORY - STEP]
    for i in range(STEP):
        distance = distance + 1 if p.step_valid[i] else 0
        from_gap[i] = distance
    distance = GAP_FADE
    for i in range(STEP - 1, -1, -1):
        distance = distance + 1 if p.step_valid[i] else 0
        w = <float>min(min(distance, from_gap[i]), <int32_t>GAP_FADE) / GAP_FADE
        p.step[i] = <int16_t>((1 - w) * made[i] + w * p.step[i])
    # Where the gap is near the step's beginning, the joint reaches into what has not gone out yet.
    if p.plc.lost == 0:
        for i in range(1, PLC_DELAY + 1):
            w = <float>min(distance + i, <int32_t>GAP_FADE) / GAP_FADE
            p.recent[PLC_HISTORY - i] = <int16_t>((1 - w) * made[-i] + w * p.recent[PLC_HISTORY - i])
            made[-i] = p.recent[PLC_HISTORY - i]
    if p.step_valid[STEP - 1]:
        _push_good(p, p.step)
    else:
        # The gap reaches the next step: the concealment goes on in it, or is overlapped with what comes.
        for i in range(STEP):
            made[i] = p.step[i]
        for i in range(STEP):
            p.fifo[p.n + i] = <int16_t>made[i - PLC_DELAY]
        p.n += STEP
        p.plc = ahead
    p.concealed += p.n_gap
    memset(&ahead, 0, sizeof(ahead))
    memset(made_before, 0, sizeof(made_before))


cdef void _push_step(PlayoutState* p) noexcept nogil:
    """Play the step that is full: what came, what has to be made up, or some of both."""
    cdef int32_t i = STEP
    while i > 0 and p.step_valid[i - 1]:
        i -= 1
    if 0 < i and STEP - i < GAP_FADE:
        # Too little came behind the gap to be joined in this step.
        p.n_gap += STEP - i
        memset(&p.step_valid[i], 0, STEP - i)
    if p.n_gap == 0:
        _push_good(p, p.step)
    elif p.n_gap == STEP:
        _push_lost(p)
    else:
        _push_mixed(p)
    memset(p.step, 0, sizeof(p.step))
    p.n_step = 0
    p.n_gap = 0


cdef void _resume(PlayoutState* p) noexcept nogil:
    """A talk spurt begins: put the reserve before it."""
    while p.n < RESERVE:
        _push_noise(p)
    p.pausing = False
    # A packet that told of the pause that ends here says nothing of the next one.
    p.pause_ticks = 0


cdef void playout_frame(
    PlayoutState* p, const int16_t* samples, const uint8_t* valid, int32_t n, uint32_t flags
) noexcept nogil:
    cdef int32_t skipped = 0
    cdef int32_t i
    n = min(n, <int32_t>TICK)
    if flags & JITTER_HELD or n <= 0:
        return
    if flags & JITTER_AUDIO:
        p.owed = 0
        p.pause_ticks = max(p.pause_ticks - 1, <int32_t>0)
        if p.pausing:
            _resume(p)
    elif p.pausing:
        return
    else:
        skipped = min(p.owed, n)
        p.owed -= skipped
    if p.n_step == 0 and n == TICK and not flags & JITTER_MISSING:
        if p.plc.lost == 0:
            _push_whole(p, samples, TICK)
        else:
            _push_good(p, samples)
            _push_good(p, samples + STEP)
        return
    for i in range(skipped, n):
        p.step[p.n_step] = samples[i] if valid[i] else 0
        p.step_valid[p.n_step] = valid[i]
        p.n_step += 1
        p.n_gap += not valid[i]
        if p.n_step == STEP:
            _push_step(p)


cdef void playout_noise(PlayoutState* p, const uint8_t* payload, int32_t n) noexcept nogil:
    if comfort_noise_update(&p.noise, payload, n):
        p.pause_ticks = PAUSE_TICKS


cdef void _fill(PlayoutState* p) noexcept nogil:
    """Nothing came: make up a step."""
    if p.pausing:
        _push_noise(p)
    elif p.n_step > 0:
        memset(&p.step_valid[p.n_step], 0, STEP - p.n_step)
        p.n_gap += STEP - p.n_step
        p.owed += STEP - p.n_step
        p.n_step = STEP
        _push_step(p)
    elif p.pause_ticks > 0:
        _push_pause(p)
    else:
        _push_lost(p)
        p.owed += STEP
        p.pausing = p.plc.lost >= SILENT_STEPS


cdef bint _is_quiet(PlayoutState* p) noexcept nogil:
    """Tell whether the frame that is due is no louder than the background, and learn how loud that is."""
    cdef uint32_t energy = 0
    cdef float power
    cdef int32_t i
    for i in range(TICK):
        # 160 squares less 6 bits: they fit into 32.
        energy += <uint32_t>(<int32_t>p.fifo[i] * p.fifo[i]) >> 6
    power = <float>energy * (<float>64.0 / TICK)
    if power < p.floor:
        p.floor += FLOOR_FALL * (power - p.floor)
    else:
        p.floor = min(p.floor * FLOOR_RISE, FLOOR_MOST)
    return power < SILENCE or power < QUIET * p.floor


cdef int32_t _correction(PlayoutState* p, bint quiet) noexcept nogil:
    """Return how many samples to remove from this frame; negative: to insert."""
    cdef int32_t reserve = p.n + p.n_step - TICK
    cdef int32_t too_much = reserve - RESERVE
    if too_much * p.correcting <= 0:
        p.correcting = 1 if too_much > TOLERANCE else -1 if too_much < -TOLERANCE else 0
    if p.correcting > 0 and quiet:
        return min(p.n - TICK, min(too_much, <int32_t>MANY if too_much > LONG else <int32_t>FEW))
    if p.correcting < 0 and quiet:
        return max(too_much, -<int32_t>FEW)
    if reserve > MOST_RESERVE and p.n >= TICK + LAG_MAX + FADE:
        return _best_lag(&p.fifo[FADE_FROM])
    return 0


cdef void playout_take(PlayoutState* p, int16_t* out) noexcept nogil:
    cdef int32_t removed = 0
    cdef bint quiet
    while p.n < TICK:
        _fill(p)
    if not p.pausing:
        quiet = _is_quiet(p)
        removed = _correction(p, quiet)
    if removed == 0:
        memcpy(out, p.fifo, TICK * sizeof(int16_t))
    else:
        _resize(p.fifo, out, TICK, removed)
        if removed > 0:
            p.removed += removed
        else:
            p.inserted -= removed
    _drop(p, TICK + removed)


@cython.auto_pickle(False)
@cython.final
cdef class Playout:
    """The kernel as an object, for tests and offline analysis."""

    cdef PlayoutState _state

    def __cinit__(self):
        playout_init(&self._state)

    def frame(self, const int16_t[::1] samples not None, const uint8_t[::1] valid not None, uint32_t flags):
        """Take a frame of the jitter buffer: samples, and one octet 0 or 1 for each."""
        cdef int32_t n = <int32_t>min(min(samples.shape[0], valid.shape[0]), <Py_ssize_t>TICK)
        playout_frame(&self._state, &samples[0] if n else NULL, &valid[0] if n else NULL, n, flags)

    def noise(self, bytes payload not None):
        """Take the payload of a comfort noise packet."""
        playout_noise(&self._state, <const uint8_t*><const char*>payload, <int32_t>min(len(payload), 1000))

    def take(self):
        """Return the tick's 160 samples as native int16 bytes."""
        cdef int16_t out[TICK]
        playout_take(&self._state, out)
        return (<char*>out)[:TICK * 2]

    def restart(self):
        """Follow another source."""
        playout_restart(&self._state)

    def holds(self, bytes samples not None):
        """Tell whether these bytes are anywhere in the state: for tests of what is wiped."""
        return samples in (<char*>&self._state)[:sizeof(PlayoutState)]

    @property
    def waiting(self):
        """Samples in the FIFO and in the step that is being filled."""
        return self._state.n + self._state.n_step

    @property
    def counters(self):
        """Return inserted, removed, concealed and comfort noise samples."""
        return {
            "inserted": self._state.inserted,
            "removed": self._state.removed,
            "concealed": self._state.concealed,
            "noise": self._state.noise_samples,
        }
