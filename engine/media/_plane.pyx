"""The clock threads of the media plane: rings in, ticks, rings out.

A ``ClockThread`` owns the legs that it was given, in four lists, one for each phase of 5 ms. ``run`` is entered once by
a Python thread and keeps the GIL released until it is told to stop; ``tick`` does the same work by hand, with time as an
argument. Exactly one of both may be in use.

Who owns what: Python allocates legs and playlists and hands them over by a command; the thread hands a playlist back
with its PLAYED event, and a leg with its CLOSED event; Python frees them then. A tick allocates and frees nothing.

A leg changes its clock by two commands (``hand_over``): LEAVE to the one that has it, ARRIVE to the one that gets it. The
old clock parts the leg from all others, takes it off its list and counts ``LegState.moves`` up, with release: its last
touch. The new one obeys nothing from its ARRIVE on before it reads that count, with acquire; its legs tick on meanwhile.
Nothing is copied: jitter buffer, SRTP, detector and playlist stay where they lie. What the leg said before is in the old
clock's ring of events, and ``moves`` in each event puts it before what it says later.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

from dsp._dtmf cimport DtmfParams
from engine.media._bridge cimport bridge_link, bridge_mask, bridge_unlink
from engine.media._handles cimport LegCore, PlaylistCore, RoomCore
from engine.media._keys cimport keys_push
from engine.media._leg cimport (
    CARRIES_EVENT,
    EVENT_CLOSED,
    LegConfig,
    LegState,
    MediaEvent,
    Playlist,
    RoomState,
    TICK_NS,
    TickContext,
    leg_configure,
    leg_hear,
)
from engine.media._player cimport player_end, player_seek
from engine.media._recorder cimport RecorderTap, RecordingCore, recorder_pin, recorder_unpin
from engine.media._report cimport leg_report
from engine.media._ring cimport (
    Ring,
    load_acquire,
    ring_free,
    ring_has_room,
    ring_head,
    ring_init,
    ring_pop,
    ring_push,
    store_release,
)
from engine.media._room cimport room_close, room_join, room_part, room_sum
from engine.media._schedule cimport N_PHASES, PHASE_NS, Schedule, schedule_begin, schedule_next, schedule_start
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
    COMMAND_LEAVE = 15
    COMMAND_ARRIVE = 16
    COMMAND_JOIN = 17
    COMMAND_PART = 18
    COMMAND_ROOM_MUTE = 19
    COMMAND_ROOM_CLOSE = 20
    COMMAND_EARMUFF = 21


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
    RoomState* room
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
        """Let two legs of this thread hear each other; each leaves the room that it is in."""
        cdef Command command = _command(COMMAND_BRIDGE, leg.state)
        command.other = other.state
        command.flag = relay_keys
        return bool(ring_push(&self.commands, &command))

    def unbridge(self, LegCore leg not None):
        """Part a leg from the one it is bridged with."""
        cdef Command command = _command(COMMAND_UNBRIDGE, leg.state)
        return bool(ring_push(&self.commands, &command))

    def hand_over(self, LegCore leg not None, ClockThread to not None, LegCore beside, RoomCore room):
        """Give a leg to another clock, into the phase of a leg or of a room there; it is alone from then on.

        Commands before this one are this thread's, those after it the other one's. One more command is then sure to
        be taken there. False when either ring is full: the leg stays.
        """
        cdef Command leave = _command(COMMAND_LEAVE, leg.state)
        cdef Command arrive = _command(COMMAND_ARRIVE, leg.state)
        if to is self or not ring_has_room(&self.commands) or not ring_has_room(&to.commands, 2):
            return False
        leg.moves += 1
        arrive.position = leg.moves
        arrive.other = beside.state if beside is not None else NULL
        arrive.room = room.state if room is not None else NULL
        ring_push(&self.commands, &leave)
        ring_push(&to.commands, &arrive)
        return True

    def join(self, RoomCore room not None, LegCore leg not None, bint muted):
        """Let a leg of this thread and those of a room hear each other; it is parted from whom it heard before."""
        cdef Command command = _command(COMMAND_JOIN, leg.state)
        cdef bint pushed
        command.room = room.state
        command.flag = muted
        pushed = ring_push(&self.commands, &command)
        if pushed:
            room.used = True
        return bool(pushed)

    def part(self, LegCore leg not None):
        """Take a leg out of the room that it is in."""
        cdef Command command = _command(COMMAND_PART, leg.state)
        return bool(ring_push(&self.commands, &command))

    def mute_in_room(self, LegCore leg not None, bint muted):
        """Let the others of the room hear nothing of a leg, or all again."""
        cdef Command command = _command(COMMAND_ROOM_MUTE, leg.state)
        command.flag = muted
        return bool(ring_push(&self.commands, &command))

    def close_room(self, RoomCore room not None):
        """Take all legs out of a room, and let go of it."""
        cdef Command command = _command(COMMAND_ROOM_CLOSE, NULL)
        command.room = room.state
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

    def earmuff(self, LegCore leg not None, bint on):
        """Let a leg hear nothing of others, or all again."""
        cdef Command command = _command(COMMAND_EARMUFF, leg.state)
        command.flag = on
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
        completed, by_digit, moves)``."""
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
                    event.moves,
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
            self._obey(0, now_ns)
            for phase in range(N_PHASES):
                self._phase(phase, now_ns)
            self._wake()

    def turn(self, int phase, int64_t now_ns):
        """Obey, and tick the legs of one phase at `now_ns`, as the thread does each 5 ms; for tests."""
        if self.running:
            raise RuntimeError("the clock runs already")
        if not 0 <= phase < N_PHASES:
            raise ValueError("a phase is 0 to 3")
        with nogil:
            self._obey(phase, now_ns)
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
            self._obey(phase, now)
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
                if leg.room != NULL:
                    self._room(leg.room, now_ns)
                else:
                    self._hear(leg, now_ns)
                    if leg.other != NULL:
                        self._hear(leg.other, now_ns)
                        leg_speak(leg.other, &self.context, now_ns)
                    leg_speak(leg, &self.context, now_ns)
            leg = following

    cdef void _room(self, RoomState* room, int64_t now_ns) noexcept nogil:
        cdef int i
        for i in range(room.n_legs):
            self._hear(room.legs[i], now_ns)
        room_sum(room)
        for i in range(room.n_legs):
            leg_speak(room.legs[i], &self.context, now_ns)

    cdef inline void _hear(self, LegState* leg, int64_t now_ns) noexcept nogil:
        leg.cycle = self.context.cycle
        leg.ticked_ns = now_ns
        leg_hear(leg, &self.context, now_ns)
        leg.ticks += 1

    cdef bint _next(self, Command* command) noexcept nogil:
        """Take the next command, but for a leg that its old clock has not let go of: that comes first."""
        cdef const Command* head = <const Command*>ring_head(&self.commands)
        if head == NULL:
            return False
        # Never in a circle: the LEAVE that is waited for was given before this ARRIVE, and whatever its clock may
        # wait for was given before that.
        if head.kind == COMMAND_ARRIVE and load_acquire(&head.leg.moves) < <uint64_t>head.position:
            return False
        return ring_pop(&self.commands, command)

    cdef void _obey(self, int phase, int64_t now_ns) noexcept nogil:
        cdef Command command
        while self._next(&command):
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
            elif command.kind == COMMAND_EARMUFF:
                command.leg.earmuffed = command.flag
            elif command.kind == COMMAND_LEAVE:
                self._leave(command.leg)
            elif command.kind == COMMAND_ARRIVE:
                self._arrive(&command, phase, now_ns)
            elif command.kind == COMMAND_JOIN:
                self._join(command.room, command.leg, command.flag)
            elif command.kind == COMMAND_PART:
                room_part(command.leg)
            elif command.kind == COMMAND_ROOM_MUTE:
                command.leg.room_muted = command.flag
            elif command.kind == COMMAND_ROOM_CLOSE:
                room_close(command.room)
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
        room_part(leg)
        room_part(other)
        self._to_phase(other, leg.phase)
        bridge_link(leg, other)
        leg.relays_keys = relay_keys
        other.relays_keys = relay_keys

    cdef void _join(self, RoomState* room, LegState* leg, bint muted) noexcept nogil:
        """Put a leg into a room, and into the phase in which its legs tick."""
        if leg.closing:
            return
        bridge_unlink(leg)
        room_part(leg)
        if room.n_legs > 0:
            self._to_phase(leg, room.legs[0].phase)
        room_join(room, leg, muted)

    cdef void _to_phase(self, LegState* leg, int32_t phase) noexcept nogil:
        if leg.phase != phase:
            self._unlink(leg)
            leg.phase = phase
            self._link(leg)

    cdef void _leave(self, LegState* leg) noexcept nogil:
        """Let go of a leg that another clock waits for: all of it is that one's with the last line."""
        room_part(leg)
        bridge_unlink(leg)
        self._unlink(leg)
        store_release(&leg.moves, leg.moves + 1)

    cdef void _arrive(self, const Command* command, int phase, int64_t now_ns) noexcept nogil:
        """Take a leg that another clock let go of; it goes on as it was.

        Its turns come at other times here. Where the next one would come half a cycle late or later, it has one now;
        turns that it missed beyond that, because a clock stood still, are given up as a clock gives them up.
        """
        cdef LegState* leg = command.leg
        cdef int64_t next_ns
        cdef int64_t missed
        if command.other != NULL:
            leg.phase = command.other.phase
        elif command.room != NULL and command.room.n_legs > 0:
            leg.phase = command.room.legs[0].phase
        leg.cycle = 0
        leg.skipped = self.context.skipped
        self._link(leg)
        next_ns = now_ns + ((leg.phase - phase + N_PHASES) % N_PHASES) * <int64_t>PHASE_NS
        missed = (next_ns - leg.ticked_ns - TICK_NS // 2) // TICK_NS
        if leg.ticked_ns == 0 or missed <= 0:
            return
        leg.skipped -= <uint64_t>(missed - 1)
        self._hear(leg, now_ns)
        leg_speak(leg, &self.context, now_ns)

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
        room_part(leg)
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
        event.moves = <int32_t>leg.moves
        event.at_ns = now_ns
        ring_push(&self.events, &event)
