"""Thousands of callers on one thread: each 20 ms one packet to every leg, and what the legs send counted.

Paced by the absolute clock, in phases: a part of the callers each 5 ms, or all at once each 20 ms. Sound is looked up,
not made: the callers share one recording, each from another place on, and the tones of the keys are cut into frames
beforehand. Packets go and come in batches.

Nothing in a tick allocates, waits or touches a Python object.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from benchmarks.load._generator cimport Caller, Protect
from benchmarks.load._wire cimport (
    LOAD_BATCH,
    LOAD_ROOM,
    Batch,
    batch_address,
    batch_data,
    batch_init,
    batch_length,
    batch_port,
    batch_receive,
    batch_send,
    monotonic_ns,
    sleep_until,
)
from engine.rtp._srtp cimport SrtpCore, srtp_protect_packet

cdef enum:
    FRAME = 160                 # samples, and bytes, of 20 ms
    HEADER = 12
    EVENT_SIZE = 4              # RFC 4733 §2.3
    EVENT_VOLUME = 10           # -10 dBm0
    ENDS = 3                    # RFC 4733 §2.5.1.4: the last packet three times
    CODES = 16
    MAX_SOCKETS = 8
    MAX_CALLERS = 8192
    MAX_CYCLES = 180000         # an hour
    MAX_READS = 256             # batches of a socket in a tick
    PORTS = 65536

cdef enum:                      # how keys are sent
    KEYS_NONE = 0
    KEYS_IN_BAND = 1
    KEYS_EVENT = 2

cdef int64_t CYCLE_NS = 20000000
cdef int64_t LATE_NS = 5000000


cdef void _put_16(uint8_t* out, uint32_t value) noexcept nogil:
    out[0] = <uint8_t>(value >> 8)
    out[1] = <uint8_t>value


cdef void _put_32(uint8_t* out, uint32_t value) noexcept nogil:
    _put_16(out, value >> 16)
    _put_16(out + 2, value & 0xFFFF)


cdef bint _sounds(const uint8_t* payload, int n) noexcept nogil:
    """Tell whether mu-law audio is more than the noise of a silent line: one of eight samples is loud."""
    cdef int i
    for i in range(8):
        # Inverted, the three bits below the sign number the chord (ITU-T G.711); the third begins at 396 of 32635.
        if i * 20 < n and (~payload[i * 20] & 0x7F) >= 0x20:
            return True
    return False


@cython.final
cdef class Generator:
    """Callers, their sockets and their keys. Build it, give it ports and plan, `run` it once; then ask."""

    cdef Caller* callers
    cdef int32_t* by_port
    cdef int32_t n_callers
    cdef int32_t phases
    cdef int n_sockets
    cdef int[MAX_SOCKETS] rtp_fds
    cdef int[MAX_SOCKETS] rtcp_fds
    cdef Batch* batch
    cdef Protect protect

    cdef int32_t mode
    cdef int32_t event_frames
    cdef int32_t clip_frames
    cdef int32_t clip_variants
    cdef int32_t n_background
    cdef const uint8_t[::1] background
    cdef const uint8_t[::1] clips
    cdef const int32_t[::1] key_cycle
    cdef const int32_t[::1] key_clip
    cdef list cores

    cdef bint stopping
    cdef bint ran
    cdef int32_t cycle
    cdef uint64_t ticks
    cdef uint64_t late_ticks
    cdef int64_t max_late_ns
    cdef uint64_t send_failed
    cdef uint64_t rtcp_in
    cdef uint64_t strangers

    def __cinit__(
        self,
        list rtp_fds not None,
        list rtcp_fds not None,
        list ports not None,
        *,
        const uint8_t[::1] background not None,
        const uint8_t[::1] clips not None,
        int clip_frames,
        int event_frames,
        int phases=4,
    ):
        cdef int32_t i
        if not 1 <= len(ports) <= MAX_CALLERS:
            raise ValueError(f"1 to {MAX_CALLERS} callers")
        if not 1 <= len(rtp_fds) <= MAX_SOCKETS or len(rtcp_fds) != len(rtp_fds):
            raise ValueError(f"1 to {MAX_SOCKETS} pairs of sockets")
        if phases not in (1, 4):
            raise ValueError("all at once (1), or in 4 phases")
        if not 1 <= event_frames <= 300:
            raise ValueError("an event lasts 1 to 300 frames")
        if background.shape[0] < FRAME or background.shape[0] % FRAME:
            raise ValueError("the background is whole frames")
        if clip_frames < 1 or clips.shape[0] == 0 or clips.shape[0] % (clip_frames * FRAME * CODES):
            raise ValueError("the clips are whole frames, for all 16 codes")
        if any(not 1 <= port < PORTS for port in ports) or len(set(ports)) != len(ports):
            raise ValueError("each leg has a port of its own")
        self.callers = <Caller*>calloc(len(ports), sizeof(Caller))
        self.by_port = <int32_t*>calloc(PORTS, sizeof(int32_t))
        self.batch = <Batch*>calloc(1, sizeof(Batch))
        if self.callers == NULL or self.by_port == NULL or self.batch == NULL:
            raise MemoryError
        batch_init(self.batch)
        self.n_callers = <int32_t>len(ports)
        self.n_sockets = <int>len(rtp_fds)
        self.phases = phases
        self.background = background
        self.n_background = <int32_t>(background.shape[0] // FRAME)
        self.clips = clips
        self.clip_frames = clip_frames
        self.clip_variants = <int32_t>(clips.shape[0] // (clip_frames * FRAME * CODES))
        self.event_frames = event_frames
        for i in range(self.n_sockets):
            self.rtp_fds[i] = rtp_fds[i]
            self.rtcp_fds[i] = rtcp_fds[i]
        for i in range(PORTS):
            self.by_port[i] = -1
        for i in range(self.n_callers):
            self.callers[i].port = ports[i]
            self.by_port[<int32_t>ports[i]] = i
            # Numbers of their own, and wraps of the sequence at different times.
            self.callers[i].ssrc = <uint32_t>(i + 1) * 2654435761u
            self.callers[i].sequence = <uint16_t>(i * 977)
            self.callers[i].timestamp = <uint32_t>(i + 1) * 40503u * 65537u
            self.callers[i].place = <int32_t>((<int64_t>i * 1009) % self.n_background)
            self.callers[i].event_frame = -1

    def __dealloc__(self):
        free(self.callers)
        free(self.by_port)
        free(self.batch)

    def plan(
        self,
        str mode not None,
        const int32_t[::1] first not None,
        const int32_t[::1] cycle not None,
        const int32_t[::1] clip not None,
    ):
        """Set the keys: those of caller i are ``first[i]`` to ``first[i + 1]``, in order, each at a cycle of 20 ms.

        `clip` is ``code * variants + variant``. Keys that fall into one another wait for the one before.
        """
        cdef int32_t i
        modes = {"none": KEYS_NONE, "in-band": KEYS_IN_BAND, "telephone-event": KEYS_EVENT}
        if mode not in modes:
            raise ValueError(f"no such mode: {mode}")
        if first.shape[0] != self.n_callers + 1 or cycle.shape[0] != clip.shape[0]:
            raise ValueError("a plan has one more bound than callers, and a clip for each cycle")
        for i in range(self.n_callers):
            if not 0 <= first[i] <= first[i + 1] <= cycle.shape[0]:
                raise ValueError("the bounds of a plan rise, and lie within it")
        for i in range(<int32_t>clip.shape[0]):
            if not 0 <= clip[i] < CODES * self.clip_variants:
                raise ValueError("there is no such clip")
        self.key_cycle = cycle
        self.key_clip = clip
        self.mode = modes[mode]
        for i in range(self.n_callers):
            self.callers[i].next_key = first[i]
            self.callers[i].end_key = first[i + 1]

    def secure(self, list cores not None):
        """Speak SRTP: one SrtpCore for each caller, which this keeps."""
        cdef int32_t i
        if self.ran or len(cores) != self.n_callers:
            raise ValueError("one core for each caller, before the run")
        self.cores = cores
        for i in range(self.n_callers):
            self.callers[i].srtp = &(<SrtpCore?>cores[i]).state
        self.protect = <Protect>srtp_protect_packet

    def run(self, int cycles):
        """Call for `cycles` of 20 ms, from now on; the GIL is released for all of it. Once."""
        if not 1 <= cycles <= MAX_CYCLES:
            raise ValueError(f"1 to {MAX_CYCLES} cycles")
        if self.ran:
            raise RuntimeError("a generator runs once")
        self.ran = True
        with nogil:
            self._run(cycles)

    def stop(self):
        """Ask `run` to return at the next tick; from another thread."""
        self.stopping = True

    def totals(self):
        """Return the generator's own figures, and the sums over its callers."""
        cdef int32_t i
        cdef uint64_t out = 0, into = 0, missing = 0, repeated = 0, sounding = 0, keys = 0, silent = 0
        for i in range(self.n_callers):
            out += self.callers[i].packets_out
            into += self.callers[i].packets_in
            missing += self.callers[i].missing
            repeated += self.callers[i].repeated
            sounding += self.callers[i].sounding
            keys += self.callers[i].keys_sent
            silent += self.callers[i].packets_in == 0
        return {
            "cycles": self.cycle,
            "ticks": self.ticks,
            "late_ticks": self.late_ticks,
            "max_late_us": self.max_late_ns // 1000,
            "send_failed": self.send_failed,
            "strangers": self.strangers,
            "rtcp_in": self.rtcp_in,
            "packets_out": out,
            "packets_in": into,
            "missing": missing,
            "repeated": repeated,
            "sounding": sounding,
            "keys_sent": keys,
            "callers_unanswered": silent,
        }

    def caller(self, int index):
        """Return ``(packets_out, packets_in, missing, repeated, sounding, keys_sent)`` of one caller."""
        if not 0 <= index < self.n_callers:
            raise IndexError("no such caller")
        cdef Caller* caller = &self.callers[index]
        return (
            caller.packets_out,
            caller.packets_in,
            caller.missing,
            caller.repeated,
            caller.sounding,
            caller.keys_sent,
        )

    cdef void _run(self, int32_t cycles) noexcept nogil:
        cdef int64_t due = monotonic_ns()
        cdef int64_t late
        cdef int32_t phase
        for self.cycle in range(cycles):
            for phase in range(self.phases):
                if self.stopping:
                    return
                sleep_until(due)
                late = monotonic_ns() - due
                self.ticks += 1
                self.late_ticks += late > LATE_NS
                self.max_late_ns = max(self.max_late_ns, late)
                self._receive(phase)
                self._send(phase)
                due += CYCLE_NS // self.phases
        self.cycle = cycles

    cdef void _send(self, int32_t phase) noexcept nogil:
        cdef int fd = self.rtp_fds[phase % self.n_sockets]
        cdef int32_t i = phase
        cdef int n = 0
        cdef int32_t length
        while i < self.n_callers:
            length = self._compose(&self.callers[i], batch_data(self.batch, n))
            if length > 0:
                batch_address(self.batch, n, self.callers[i].port, length)
                n += 1
            if n == LOAD_BATCH:
                self.send_failed += batch_send(fd, self.batch, n)
                n = 0
            i += self.phases
        self.send_failed += batch_send(fd, self.batch, n)

    # Places, keys and clips were checked when they were taken.
    @cython.boundscheck(False)
    @cython.wraparound(False)
    cdef int32_t _compose(self, Caller* caller, uint8_t* out) noexcept nogil:
        """Write the caller's next packet; return its length."""
        cdef bint marker = not caller.started
        cdef uint32_t timestamp = caller.timestamp
        cdef int32_t payload_type = 0
        cdef int32_t n = HEADER + FRAME
        cdef uint8_t* payload = out + HEADER
        if (
            caller.event_frame < 0
            and caller.clip_left == 0
            and caller.next_key < caller.end_key
            and self.key_cycle[caller.next_key] <= self.cycle
        ):
            self._press(caller)
        if caller.event_frame >= 0:
            marker = caller.event_frame == 0
            timestamp = caller.event_timestamp
            payload_type = 101
            n = HEADER + EVENT_SIZE
            payload[0] = <uint8_t>caller.event_code
            payload[1] = EVENT_VOLUME | (0x80 if caller.event_frame >= self.event_frames - 1 else 0)
            _put_16(payload + 2, <uint32_t>min(caller.event_frame + 1, self.event_frames) * FRAME)
            caller.event_frame += 1
            if caller.event_frame == self.event_frames + ENDS - 1:
                caller.event_frame = -1
        elif caller.clip_left > 0:
            memcpy(payload, caller.clip, FRAME)
            caller.clip += FRAME
            caller.clip_left -= 1
        else:
            memcpy(payload, &self.background[caller.place * FRAME], FRAME)
        out[0] = 0x80
        out[1] = <uint8_t>(payload_type | (0x80 if marker else 0))
        _put_16(out + 2, caller.sequence)
        _put_32(out + 4, timestamp)
        _put_32(out + 8, caller.ssrc)
        caller.started = True
        caller.sequence += 1
        caller.timestamp += FRAME
        caller.place = caller.place + 1 if caller.place + 1 < self.n_background else 0
        caller.packets_out += 1
        if self.protect != NULL and caller.srtp != NULL:
            n = self.protect(caller.srtp, out, n)
        return n if 0 < n <= LOAD_ROOM else 0

    @cython.boundscheck(False)
    @cython.wraparound(False)
    cdef void _press(self, Caller* caller) noexcept nogil:
        cdef int32_t clip = self.key_clip[caller.next_key]
        caller.next_key += 1
        if self.mode == KEYS_IN_BAND:
            caller.clip = &self.clips[<Py_ssize_t>clip * self.clip_frames * FRAME]
            caller.clip_left = self.clip_frames
        elif self.mode == KEYS_EVENT:
            caller.event_frame = 0
            caller.event_code = clip // self.clip_variants
            caller.event_timestamp = caller.timestamp
        else:
            return
        caller.keys_sent += 1

    cdef void _receive(self, int32_t phase) noexcept nogil:
        cdef int which = phase % self.n_sockets
        cdef int32_t index
        cdef int n, i, reads
        for reads in range(MAX_READS):
            n = batch_receive(self.rtp_fds[which], self.batch)
            for i in range(n):
                index = self.by_port[batch_port(self.batch, i)]
                if index < 0:
                    self.strangers += 1
                else:
                    self._count(&self.callers[index], batch_data(self.batch, i), batch_length(self.batch, i))
            if n < LOAD_BATCH:
                break
        for reads in range(MAX_READS):
            n = batch_receive(self.rtcp_fds[which], self.batch)
            self.rtcp_in += n
            if n < LOAD_BATCH:
                return

    cdef void _count(self, Caller* caller, const uint8_t* packet, int n) noexcept nogil:
        cdef uint16_t sequence
        cdef uint16_t ahead
        if n < HEADER or packet[0] >> 6 != 2:
            self.strangers += 1
            return
        sequence = <uint16_t>(packet[2] << 8 | packet[3])
        ahead = <uint16_t>(sequence - caller.last_sequence)
        if not caller.heard:
            caller.heard = True
            caller.last_sequence = sequence
        elif 0 < ahead < 0x8000:
            caller.missing += ahead - 1
            caller.last_sequence = sequence
        else:
            caller.repeated += 1
        caller.packets_in += 1
        caller.sounding += _sounds(packet + HEADER, n - HEADER)
