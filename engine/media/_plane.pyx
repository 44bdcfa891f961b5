"""The clock threads of the media plane: rings in, ticks, rings out.

A ``ClockThread`` owns the legs that it was given, in four lists, one for each phase of 5 ms. ``run`` is entered once by
a Python thread and keeps the GIL released until it is told to stop; ``tick`` does the same work by hand, with time as an
argument. Exactly one of both may be in use.

Who owns what: Python allocates legs and playlists and hands them over by a command; the thread hands a playlist back
with its PLAYED event, and a leg with its CLOSED event; Python frees them then. A tick allocates and frees nothing.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from dsp._dtmf cimport DtmfParams, dtmf_default_params
from engine.media._leg cimport (
    CARRIES_EVENT,
    EVENT_CLOSED,
    N_DROPS,
    TAP_FRAMES,
    TICK_SAMPLES,
    ClipRef,
    LegConfig,
    LegState,
    MediaEvent,
    Playlist,
    TickContext,
    leg_configure,
    leg_hear,
    playlist_end,
)
from engine.media._ring cimport Ring, load_acquire, ring_free, ring_has_room, ring_init, ring_pop, ring_push, store_release
from engine.media._schedule cimport N_PHASES, Schedule, schedule_begin, schedule_next, schedule_start
from engine.media._speak cimport leg_key, leg_report, leg_speak
from engine.media._system cimport Address, monotonic_ns, sleep_until, wake
from engine.rtp._jitter cimport jitter_depth
from engine.rtp._source cimport source_lost

cdef enum:
    COMMANDS = 4096
    EVENTS = 16384

cdef enum:  # kinds of command
    COMMAND_ADD = 1
    COMMAND_REMOVE = 2
    COMMAND_CONFIGURE = 3
    COMMAND_PLAY = 4
    COMMAND_STOP = 5
    COMMAND_KEY = 6


cdef struct Command:
    int32_t kind
    int32_t code
    int32_t in_band
    int32_t on_samples
    int32_t off_samples
    LegState* leg
    Playlist* playlist
    LegConfig config


@cython.final
cdef class LegCore:
    """A leg's memory. Freed when Python lets go of it, which it may only after the thread did."""

    cdef LegState* state
    cdef readonly bint released

    def __cinit__(self):
        self.state = <LegState*>calloc(1, sizeof(LegState))
        if self.state == NULL:
            raise MemoryError
        self.released = True

    def __init__(self, int64_t leg_id, int rtp_fd, int rtcp_fd, bytes entropy not None, *, bint record, bint detect_in_band):
        if len(entropy) < 16:
            raise ValueError("16 bytes of entropy: SSRC, sequence, timestamp, RTCP (RFC 3550 §5.1 wants them random)")
        cdef const uint8_t* random = entropy
        self.state.id = leg_id
        self.state.rtp_fd = rtp_fd
        self.state.rtcp_fd = rtcp_fd
        self.state.detect_in_band = detect_in_band
        memcpy(&self.state.ssrc, random, 4)
        memcpy(&self.state.timestamp, random + 4, 4)
        memcpy(&self.state.random, random + 8, 4)
        memcpy(&self.state.sequence, random + 12, 2)
        self.state.marker = True
        if record:
            if not ring_init(&self.state.tap, TAP_FRAMES, TICK_SAMPLES * 2):
                raise MemoryError
            self.state.has_tap = True

    def __dealloc__(self):
        if self.state == NULL:
            return
        if not self.released:
            # The thread may still hold it: to lose the memory is the lesser fault.
            return
        ring_free(&self.state.tap)
        # Keys, tones and audio of the caller.
        memset(self.state, 0, sizeof(LegState))
        free(self.state)

    def give_back(self):
        """Take the leg back from its thread, and wipe what the caller said and keyed; the counters stay readable."""
        cdef LegState* leg = self.state
        self.released = True
        memset(leg.jitter.samples, 0, sizeof(leg.jitter.samples))
        memset(leg.jitter.state, 0, sizeof(leg.jitter.state))
        memset(leg.events.keys, 0, sizeof(leg.events.keys))
        memset(&leg.detector, 0, sizeof(leg.detector))
        memset(&leg.sender, 0, sizeof(leg.sender))
        memset(&leg.tone, 0, sizeof(leg.tone))
        memset(leg.keys, 0, sizeof(leg.keys))
        memset(leg.fifo, 0, sizeof(leg.fifo))

    def read_tap(self):
        """Return the received audio since the last call as native int16 bytes, and the frames lost so far."""
        cdef uint8_t frame[TICK_SAMPLES * 2]
        parts = []
        while self.state.has_tap and ring_pop(&self.state.tap, frame):
            parts.append((<char*>frame)[:TICK_SAMPLES * 2])
        return b"".join(parts)

    def counters(self):
        """Return a snapshot of the counters; each is whole, together they may be a tick apart."""
        cdef LegState* leg = self.state
        cdef int i
        return {
            "packets_in": leg.counters.packets_in,
            "octets_in": leg.counters.octets_in,
            "packets_out": leg.counters.packets_out,
            "octets_out": leg.counters.octets_out,
            "send_failed": leg.counters.send_failed,
            "lost": source_lost(&leg.source),
            "late": leg.jitter.late,
            "duplicate": leg.jitter.duplicate,
            "jitter_ms": (leg.source.jitter >> 4) / 8.0,
            "delay_ms": jitter_depth(&leg.jitter) / 8.0,
            "missing_samples": leg.jitter.missing_samples,
            "underruns": leg.jitter.underruns,
            "resyncs": leg.jitter.resync,
            "ssrc_changes": leg.counters.ssrc_changes,
            "relatched": leg.counters.relatched,
            "event_packets_in": leg.counters.events_in,
            "keys_by_event": leg.events.keys_started,
            "rtcp_in": leg.counters.rtcp_in,
            "tap_lost": leg.counters.tap_lost,
            "peer_fraction_lost": leg.counters.peer_fraction_lost / 256.0,
            "peer_lost": leg.counters.peer_lost,
            "peer_jitter_ms": leg.counters.peer_jitter / 8.0,
            "peer_bye": bool(leg.counters.peer_bye),
            "dropped": tuple([leg.counters.dropped[i] for i in range(N_DROPS)]),
        }


@cython.final
cdef class PlaylistCore:
    """A playlist's memory, and the clips that it points into."""

    cdef Playlist list
    cdef object clips

    def __cinit__(self):
        memset(&self.list, 0, sizeof(Playlist))

    def __init__(self, uint64_t serial, int64_t token, list clips not None, *, bint interruptible, bint loop, int32_t gap_samples):
        cdef ClipRef* refs = <ClipRef*>calloc(len(clips) + 1, sizeof(ClipRef))
        cdef bytes pcmu
        cdef bytes pcma
        if refs == NULL:
            raise MemoryError
        self.list.clips = refs
        for index, (pcmu, pcma) in enumerate(clips):
            if len(pcmu) != len(pcma) or len(pcmu) > 0x7FFFFFFF:
                raise ValueError("a clip is as long in A-law as in mu-law")
            refs[<int>index].pcmu = <const uint8_t*>pcmu
            refs[<int>index].pcma = <const uint8_t*>pcma
            refs[<int>index].n = <int32_t>len(pcmu)
        # The bytes are immutable and stay where they are for as long as this list of them lives.
        self.clips = clips
        self.list.serial = serial
        self.list.token = token
        self.list.interruptible = interruptible
        self.list.loop = loop
        self.list.gap = gap_samples
        self.list.n_clips = <int32_t>len(clips)

    def __dealloc__(self):
        free(self.list.clips)


cdef object _fill_address(Address* out, int family, bytes packed, int port):
    memset(out, 0, sizeof(Address))
    out.family = family
    out.port = port
    cdef const uint8_t* at = packed
    memcpy(out.ip, at, min(<Py_ssize_t>16, len(packed)))


@cython.final
cdef class ClockThread:
    """One clock, its legs and its two rings. Commands come from Python only, under the GIL: one producer."""

    cdef LegState* first[N_PHASES]
    cdef int32_t n_legs[N_PHASES]
    cdef Ring commands
    cdef Ring events
    cdef TickContext context
    cdef int wake_fd
    cdef uint64_t stopping
    cdef Schedule schedule
    cdef bint running

    def __cinit__(self, int wake_fd, bytes cname not None):
        cdef const uint8_t* text = cname
        memset(&self.context, 0, sizeof(TickContext))
        if not ring_init(&self.commands, COMMANDS, sizeof(Command)):
            raise MemoryError
        if not ring_init(&self.events, EVENTS, sizeof(MediaEvent)):
            raise MemoryError
        self.wake_fd = wake_fd
        self.context.events = &self.events
        self.context.n_cname = <int32_t>min(<Py_ssize_t>64, len(cname))
        memcpy(self.context.cname, text, self.context.n_cname)
        dtmf_default_params(&self.context.detector_params)

    def __dealloc__(self):
        ring_free(&self.commands)
        ring_free(&self.events)

    # Commands: Python's side. Each returns False when the ring is full, which means that the thread stands still.

    def add(self, LegCore leg not None, int phase):
        """Hand a leg over; it belongs to the thread until its closed event is drained."""
        cdef Command command
        memset(&command, 0, sizeof(Command))
        command.kind = COMMAND_ADD
        command.leg = leg.state
        leg.state.phase = phase % N_PHASES
        leg.released = False
        if not ring_push(&self.commands, &command):
            leg.released = True
            return False
        return True

    def remove(self, LegCore leg not None):
        """Ask for a leg back."""
        cdef Command command
        memset(&command, 0, sizeof(Command))
        command.kind = COMMAND_REMOVE
        command.leg = leg.state
        return bool(ring_push(&self.commands, &command))

    def configure(
        self,
        LegCore leg not None,
        *,
        int family,
        tuple remote not None,
        tuple remote_rtcp not None,
        int codec,
        int send_pt,
        dict carries not None,
        int event_send_pt,
        int event_rate_hz,
        int packet_samples,
        bint sending,
        bint receiving,
        int64_t timeout_ms,
    ):
        """Set what SDP agreed on. Addresses are ``(packed, port)``; `carries` maps payload types to numbers."""
        cdef Command command
        cdef LegConfig* config = &command.config
        memset(&command, 0, sizeof(Command))
        command.kind = COMMAND_CONFIGURE
        command.leg = leg.state
        _fill_address(&config.remote, family, remote[0], remote[1])
        _fill_address(&config.remote_rtcp, family, remote_rtcp[0], remote_rtcp[1])
        config.codec = codec
        config.send_pt = send_pt
        config.event_send_pt = event_send_pt
        config.event_rate_hz = event_rate_hz
        config.packet = packet_samples
        config.sending = sending
        config.receiving = receiving
        config.timeout_ns = timeout_ms * 1000000
        for payload_type, kind in carries.items():
            config.carries[<int>payload_type & 0x7F] = kind
            if kind == CARRIES_EVENT:
                config.negotiated_event = True
        return bool(ring_push(&self.commands, &command))

    def play(self, LegCore leg not None, PlaylistCore playlist not None):
        """Play from the next tick on, in place of what plays now."""
        cdef Command command
        memset(&command, 0, sizeof(Command))
        command.kind = COMMAND_PLAY
        command.leg = leg.state
        command.playlist = &playlist.list
        return bool(ring_push(&self.commands, &command))

    def stop_playing(self, LegCore leg not None):
        """Stop at the next tick."""
        cdef Command command
        memset(&command, 0, sizeof(Command))
        command.kind = COMMAND_STOP
        command.leg = leg.state
        return bool(ring_push(&self.commands, &command))

    def key(self, LegCore leg not None, uint8_t code, *, bint in_band, int32_t on_samples, int32_t off_samples):
        """Queue one key to be sent."""
        cdef Command command
        cdef bint pushed
        memset(&command, 0, sizeof(Command))
        command.kind = COMMAND_KEY
        command.leg = leg.state
        command.code = code
        command.in_band = in_band
        command.on_samples = on_samples
        command.off_samples = off_samples
        pushed = ring_push(&self.commands, &command)
        command.code = 0
        return bool(pushed)

    def drain(self):
        """Return the events so far: ``(kind, leg_id, code, source, at_ns, duration_ms, level_dbm0, token, playlist,
        completed, by_digit)``."""
        cdef MediaEvent event
        drained = []
        while ring_pop(&self.events, &event):
            drained.append(
                (
                    event.kind,
                    event.leg_id,
                    event.code,
                    event.source,
                    event.at_ns,
                    event.duration_ms,
                    event.level_dbm0,
                    event.token,
                    event.playlist,
                    bool(event.completed),
                    bool(event.by_digit),
                )
            )
        memset(&event, 0, sizeof(MediaEvent))
        return drained

    def counters(self):
        """Return ticks of legs, late and skipped ones, the longest delay in µs, legs, events and commands lost."""
        cdef int phase
        cdef int32_t legs = 0
        for phase in range(N_PHASES):
            legs += self.n_legs[phase]
        return {
            "ticks": self.schedule.ticks,
            "late_ticks": self.schedule.late_ticks,
            "skipped_ticks": self.schedule.skipped_cycles,
            "max_late_us": self.schedule.max_late_ns // 1000,
            "legs": legs,
            "events_lost": load_acquire(&self.events.overflow),
            "commands_lost": load_acquire(&self.commands.overflow),
        }

    def stop(self):
        """Ask `run` to return."""
        store_release(&self.stopping, 1)

    def run(self):
        """Tick until told to stop; the GIL is released for all of it."""
        if self.running:
            raise RuntimeError("the clock runs already")
        self.running = True
        try:
            with nogil:
                self._run()
        finally:
            self.running = False

    def tick(self, int64_t now_ns):
        """Tick every leg once at `now_ns`, by hand; only for a plane without threads."""
        cdef int phase
        if self.running:
            raise RuntimeError("the clock runs already")
        with nogil:
            self._obey(now_ns)
            for phase in range(N_PHASES):
                self._phase(phase, now_ns)
            self._wake()

    # The thread's side.

    cdef void _run(self) noexcept nogil:
        cdef int64_t now
        cdef int phase
        schedule_start(&self.schedule, monotonic_ns())
        while not load_acquire(&self.stopping):
            sleep_until(schedule_next(&self.schedule))
            now = monotonic_ns()
            phase = schedule_begin(&self.schedule, now)
            self.context.skipped = self.schedule.skipped_cycles
            self._obey(now)
            self._phase(phase, now)
            self._wake()

    cdef void _wake(self) noexcept nogil:
        if self.context.woke:
            self.context.woke = False
            wake(self.wake_fd)

    cdef void _phase(self, int phase, int64_t now_ns) noexcept nogil:
        cdef LegState* leg = self.first[phase]
        cdef LegState* following
        while leg != NULL:
            following = leg.next
            if leg.closing:
                self._give_back(leg, now_ns)
            else:
                # First hear, then speak: a key stops a prompt before another packet of it is sent.
                leg_hear(leg, &self.context, now_ns)
                leg_speak(leg, &self.context, now_ns)
                leg.ticks += 1
            leg = following

    cdef void _obey(self, int64_t now_ns) noexcept nogil:
        cdef Command command
        while ring_pop(&self.commands, &command):
            if command.kind == COMMAND_ADD:
                self._add(command.leg, now_ns)
            elif command.kind == COMMAND_REMOVE:
                self._remove(command.leg, now_ns)
            elif command.kind == COMMAND_CONFIGURE:
                leg_configure(command.leg, &command.config, &self.context.detector_params, now_ns)
            elif command.kind == COMMAND_PLAY:
                playlist_end(command.leg, &self.context, False, False)
                command.leg.playlist = command.playlist
            elif command.kind == COMMAND_STOP:
                playlist_end(command.leg, &self.context, False, False)
            elif command.kind == COMMAND_KEY:
                leg_key(command.leg, <uint8_t>command.code, command.in_band != 0, command.on_samples, command.off_samples)
        memset(&command, 0, sizeof(Command))

    cdef void _link(self, LegState* leg) noexcept nogil:
        leg.previous = NULL
        leg.next = self.first[leg.phase]
        if leg.next != NULL:
            leg.next.previous = leg
        self.first[leg.phase] = leg
        self.n_legs[leg.phase] += 1

    cdef void _unlink(self, LegState* leg) noexcept nogil:
        if leg.previous != NULL:
            leg.previous.next = leg.next
        else:
            self.first[leg.phase] = leg.next
        if leg.next != NULL:
            leg.next.previous = leg.previous
        self.n_legs[leg.phase] -= 1

    cdef void _add(self, LegState* leg, int64_t now_ns) noexcept nogil:
        self._link(leg)
        leg.skipped = self.context.skipped
        leg.heard_ns = now_ns
        # The first report early, and each leg's at another time (RFC 3550 §6.2: half the interval at first).
        leg.report_at_ns = now_ns + 500000000 + <int64_t>(leg.random & 0x7FF) * 1000000

    cdef void _remove(self, LegState* leg, int64_t now_ns) noexcept nogil:
        leg_report(leg, &self.context, now_ns, True)
        playlist_end(leg, &self.context, False, False)
        leg.closing = True
        self._give_back(leg, now_ns)

    cdef void _give_back(self, LegState* leg, int64_t now_ns) noexcept nogil:
        """Let go of a leg and say so: from then on its memory is Python's. With a full ring, at a later tick."""
        cdef MediaEvent event
        self.context.woke = True
        if not ring_has_room(&self.events):
            return
        self._unlink(leg)
        memset(&event, 0, sizeof(event))
        event.kind = EVENT_CLOSED
        event.leg_id = leg.id
        event.at_ns = now_ns
        ring_push(&self.events, &event)
