"""The clock threads of the media plane: rings in, ticks, rings out.

A ``ClockThread`` owns the legs that it was given, in four lists, one for each phase of 5 ms. ``run`` is entered once by
a Python thread and keeps the GIL released until it is told to stop; ``tick`` does the same work by hand, with time as an
argument. Exactly one of both may be in use.

Who owns what: Python allocates legs and playlists and hands them over by a command; the thread hands a playlist back
with its PLAYED event, and a leg with its CLOSED event; Python frees them then. A tick allocates and frees nothing.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

from dsp._dtmf cimport DtmfParams
from engine.media._bridge cimport bridge_link, bridge_mask, bridge_unlink
from engine.media._handles cimport LegCore, PlaylistCore
from engine.media._keys cimport keys_push
from engine.media._leg cimport (
    CARRIES_EVENT,
    EVENT_CLOSED,
    LegConfig,
    LegState,
    MediaEvent,
    Playlist,
    TickContext,
    leg_configure,
    leg_hear,
)
from engine.media._player cimport player_end, player_seek
from engine.media._recorder cimport RecorderTap, RecordingCore, recorder_pin, recorder_unpin
from engine.media._report cimport leg_report
from engine.media._ring cimport Ring, load_acquire, ring_free, ring_has_room, ring_init, ring_pop, ring_push, store_release
from engine.media._schedule cimport N_PHASES, Schedule, schedule_begin, schedule_next, schedule_start
from engine.media._speak cimport leg_speak
from engine.rtp._codec cimport codec_timestamp_divisor
from engine.rtp._opus cimport OpusPair
from engine.rtp._srtp cimport SrtpCore
from engine.media._system cimport Address, batch_prepare, fetch, monotonic_ns, sleep_until, wake

cdef enum:
    COMMANDS = 4096
    EVENTS = 16384
    FETCH = 1088                # bytes of a leg that each tick touches, of its jitter buffer and of its detector
    FETCH_JITTER = 192
    FETCH_DETECTOR = 192

cdef enum:  # kinds of command
    COMMAND_ADD = 1
    COMMAND_REMOVE = 2
    COMMAND_CONFIGURE = 3
    COMMAND_PLAY = 4
    COMMAND_STOP = 5
    COMMAND_KEY = 6
    COMMAND_PAUSE = 7
    COMMAND_SEEK = 8
    COMMAND_GAIN = 9
    COMMAND_BRIDGE = 10
    COMMAND_UNBRIDGE = 11
    COMMAND_MASK = 12
    COMMAND_MUTE = 13
    COMMAND_RECORD = 14


cdef struct Command:
    int32_t kind
    int32_t code
    int32_t in_band
    int32_t on_samples
    int32_t off_samples
    int32_t gain
    bint flag
    bint other_flag
    bint third_flag
    int64_t position
    double level_dbm0
    LegState* leg
    LegState* other
    Playlist* playlist
    RecorderTap* recorder
    LegConfig config


cdef object _fill_address(Address* out, int family, bytes packed, int port):
    memset(out, 0, sizeof(Address))
    out.family = family
    out.port = port
    cdef const uint8_t* at = packed
    memcpy(out.ip, at, min(<Py_ssize_t>16, len(packed)))


cdef Command _command(int32_t kind, LegState* leg) noexcept:
    cdef Command command
    memset(&command, 0, sizeof(Command))
    command.kind = kind
    command.leg = leg
    return command


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

    def __cinit__(self, int wake_fd, bytes cname not None, dict detector not None):
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
        self.context.detector_params = detector
        batch_prepare(&self.context.batch)

    def __dealloc__(self):
        ring_free(&self.commands)
        ring_free(&self.events)

    # Commands: Python's side. Each returns False when the ring is full, which means that the thread stands still.

    def add(self, LegCore leg not None, int phase):
        """Hand a leg over; it belongs to the thread until its closed event is drained."""
        cdef Command command = _command(COMMAND_ADD, leg.state)
        leg.state.phase = phase % N_PHASES
        leg.released = False
        if not ring_push(&self.commands, &command):
            leg.released = True
            return False
        return True

    def remove(self, LegCore leg not None):
        """Ask for a leg back."""
        cdef Command command = _command(COMMAND_REMOVE, leg.state)
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
        bint rtcp_mux,
        bint extended_reports,
        int64_t timeout_ms,
        SrtpCore srtp,
        OpusPair opus,
        uint64_t serial,
    ):
        """Set what SDP agreed on. Addresses are ``(packed, port)``; `carries` maps payload types to numbers."""
        cdef Command command = _command(COMMAND_CONFIGURE, leg.state)
        cdef LegConfig* config = &command.config
        _fill_address(&config.remote, family, remote[0], remote[1])
        _fill_address(&config.remote_rtcp, family, remote_rtcp[0], remote_rtcp[1])
        config.codec = codec
        config.send_pt = send_pt
        config.event_send_pt = event_send_pt
        config.event_rate_hz = event_rate_hz
        config.packet = packet_samples
        config.sending = sending
        config.receiving = receiving
        config.rtcp_mux = rtcp_mux
        config.extended_reports = extended_reports
        config.srtp = &srtp.state if srtp is not None else NULL
        config.serial = serial
        config.units = codec_timestamp_divisor(codec)
        if opus is not None:
            config.opus_decoder = opus.decoder
            config.opus_encoder = opus.encoder
        config.timeout_ns = timeout_ms * 1000000
        for payload_type, kind in carries.items():
            config.carries[<int>payload_type & 0x7F] = kind
            if kind == CARRIES_EVENT:
                config.negotiated_event = True
        return bool(ring_push(&self.commands, &command))

    def play(self, LegCore leg not None, PlaylistCore playlist not None):
        """Play from the next tick on, in place of what plays now."""
        cdef Command command = _command(COMMAND_PLAY, leg.state)
        command.playlist = &playlist.list
        return bool(ring_push(&self.commands, &command))

    def stop_playing(self, LegCore leg not None):
        """Stop at the next tick."""
        cdef Command command = _command(COMMAND_STOP, leg.state)
        return bool(ring_push(&self.commands, &command))

    def pause_playing(self, LegCore leg not None, bint paused):
        """Hold what plays, or let it go on."""
        cdef Command command = _command(COMMAND_PAUSE, leg.state)
        command.flag = paused
        return bool(ring_push(&self.commands, &command))

    def seek(self, LegCore leg not None, int64_t position):
        """Let what plays go on at `position`, in samples."""
        cdef Command command = _command(COMMAND_SEEK, leg.state)
        command.position = position
        return bool(ring_push(&self.commands, &command))

    def gain(self, LegCore leg not None, int32_t gain):
        """Make what plays louder or softer: `gain` in 1/16384."""
        cdef Command command = _command(COMMAND_GAIN, leg.state)
        command.gain = gain
        return bool(ring_push(&self.commands, &command))

    def bridge(self, LegCore leg not None, LegCore other not None, *, bint relay_keys):
        """Let two legs of this thread hear each other."""
        cdef Command command = _command(COMMAND_BRIDGE, leg.state)
        command.other = other.state
        command.flag = relay_keys
        return bool(ring_push(&self.commands, &command))

    def unbridge(self, LegCore leg not None):
        """Part a leg from the one it is bridged with."""
        cdef Command command = _command(COMMAND_UNBRIDGE, leg.state)
        return bool(ring_push(&self.commands, &command))

    def mask(self, LegCore leg not None, *, bint on_the_way, bint masks, bint holds, double fill_dbm0):
        """Put the mask in the way of what others hear of a leg; `masks`: it takes keys out; `holds`: all."""
        cdef Command command = _command(COMMAND_MASK, leg.state)
        command.flag = on_the_way
        command.other_flag = masks
        command.third_flag = holds
        command.level_dbm0 = fill_dbm0
        return bool(ring_push(&self.commands, &command))

    def mute(self, LegCore leg not None, bint muted):
        """Let others hear nothing of a leg, or all again."""
        cdef Command command = _command(COMMAND_MUTE, leg.state)
        command.flag = muted
        return bool(ring_push(&self.commands, &command))

    def record(self, LegCore leg not None, RecordingCore recording):
        """Record a leg from its next tick on, in place of what records it now; None ends it."""
        cdef Command command = _command(COMMAND_RECORD, leg.state)
        cdef bint pushed
        if recording is not None:
            # Pinned before the thread can see it: Python frees no tap that a leg still has.
            command.recorder = recording.tap
            recorder_pin(command.recorder)
        pushed = ring_push(&self.commands, &command)
        if not pushed and recording is not None:
            recorder_unpin(recording.tap)
        return bool(pushed)

    def key(self, LegCore leg not None, uint8_t code, *, bint in_band, int32_t on_samples, int32_t off_samples):
        """Queue one key to be sent."""
        cdef Command command = _command(COMMAND_KEY, leg.state)
        cdef bint pushed
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
        self.context.cycle += 1
        while leg != NULL:
            following = leg.next
            if following != NULL:
                fetch(following, FETCH)
                fetch(&following.jitter, FETCH_JITTER)
                fetch(&following.detector.position, FETCH_DETECTOR)
                fetch(&following.detector.open, FETCH_DETECTOR)
            if leg.closing:
                self._give_back(leg, now_ns)
            elif leg.cycle != self.context.cycle:
                # First hear, then speak: a key stops a prompt before another packet of it is sent, and of two that
                # hear each other both hear this tick.
                self._hear(leg, now_ns)
                if leg.other != NULL:
                    self._hear(leg.other, now_ns)
                    leg_speak(leg.other, &self.context, now_ns)
                leg_speak(leg, &self.context, now_ns)
            leg = following

    cdef inline void _hear(self, LegState* leg, int64_t now_ns) noexcept nogil:
        leg.cycle = self.context.cycle
        leg_hear(leg, &self.context, now_ns)
        leg.ticks += 1

    cdef void _obey(self, int64_t now_ns) noexcept nogil:
        cdef Command command
        while ring_pop(&self.commands, &command):
            if command.kind == COMMAND_ADD:
                self._add(command.leg, now_ns)
            elif command.kind == COMMAND_REMOVE:
                self._remove(command.leg, now_ns)
            elif command.kind == COMMAND_CONFIGURE:
                leg_configure(command.leg, &self.context, &command.config, now_ns)
            elif command.kind == COMMAND_PLAY:
                player_end(command.leg, &self.context, False, False)
                command.leg.playlist = command.playlist
            elif command.kind == COMMAND_STOP:
                player_end(command.leg, &self.context, False, False)
            elif command.kind == COMMAND_KEY:
                keys_push(command.leg, <uint8_t>command.code, command.in_band != 0, command.on_samples, command.off_samples)
            elif command.kind == COMMAND_BRIDGE:
                self._bridge(command.leg, command.other, command.flag)
            elif command.kind == COMMAND_UNBRIDGE:
                bridge_unlink(command.leg)
            elif command.kind == COMMAND_MASK:
                bridge_mask(command.leg, command.flag, command.other_flag, command.third_flag, command.level_dbm0)
            elif command.kind == COMMAND_RECORD:
                self._record(command.leg, command.recorder)
            elif command.kind == COMMAND_MUTE:
                command.leg.muted = command.flag
            elif command.leg.playlist != NULL:
                self._move_playlist(command.leg.playlist, &command)
        memset(&command, 0, sizeof(Command))

    cdef void _move_playlist(self, Playlist* playlist, const Command* command) noexcept nogil:
        if command.kind == COMMAND_PAUSE:
            playlist.paused = command.flag
        elif command.kind == COMMAND_SEEK:
            player_seek(playlist, command.position)
        elif command.kind == COMMAND_GAIN:
            playlist.gain = command.gain

    cdef void _bridge(self, LegState* leg, LegState* other, bint relay_keys) noexcept nogil:
        """Link two legs; they tick in one phase from then on, so that no frame waits for the other leg's turn."""
        if leg.closing or other.closing:
            return
        if other.phase != leg.phase:
            self._unlink(other)
            other.phase = leg.phase
            self._link(other)
        bridge_link(leg, other)
        leg.relays_keys = relay_keys
        other.relays_keys = relay_keys

    cdef void _record(self, LegState* leg, RecorderTap* recorder) noexcept nogil:
        if leg.closing and recorder != NULL:
            recorder_unpin(recorder)
            return
        if leg.recorder != NULL:
            recorder_unpin(leg.recorder)
        leg.recorder = recorder

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
        player_end(leg, &self.context, False, False)
        bridge_unlink(leg)
        self._record(leg, NULL)
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
