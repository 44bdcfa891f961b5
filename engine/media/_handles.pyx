"""What Python holds of a leg and of a playlist: their memory, made before and freed after their time in a thread."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from engine.media._leg cimport N_DROPS, TAP_FRAMES, TICK_SAMPLES, ClipRef, LegState, Playlist, RoomState
from engine.media._ring cimport load_acquire, ring_free, ring_init, ring_pop
from engine.rtp._burst cimport BurstSummary, burst_summary
from engine.rtp._codec cimport codec_wipe


@cython.final
cdef class LegCore:
    """A leg's memory. Freed when Python lets go of it, which it may only after the thread did."""

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
        # RFC 3711 §3.3.1: far enough from the wrap that losing the first packets does not lose the rollover counter.
        self.state.sequence &= 0x7FFF
        self.state.marker = True
        self.state.mask_key = -1
        self.state.round_trip_ns = -1
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

    @property
    def size(self):
        """Bytes that the leg takes, without its tap for Python and without what records it."""
        return sizeof(LegState)

    def give_back(self):
        """Take the leg back from its thread, and wipe what the caller said and keyed; the counters stay readable."""
        cdef LegState* leg = self.state
        self.released = True
        memset(leg.jitter.samples, 0, sizeof(leg.jitter.samples))
        memset(&leg.playout, 0, sizeof(leg.playout))
        memset(leg.events.keys, 0, sizeof(leg.events.keys))
        memset(&leg.detector, 0, sizeof(leg.detector))
        memset(&leg.sender, 0, sizeof(leg.sender))
        memset(&leg.tone, 0, sizeof(leg.tone))
        memset(leg.keys, 0, sizeof(leg.keys))
        memset(leg.fifo, 0, sizeof(leg.fifo))
        codec_wipe(&leg.codec)
        memset(&leg.mask, 0, sizeof(leg.mask))
        memset(leg.heard, 0, sizeof(leg.heard))

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
        cdef BurstSummary bursts
        burst_summary(&leg.bursts, max(<int32_t>1, leg.config.packet // 8), &bursts)
        return {
            "loss_share": bursts.loss_share,
            "burst_ratio": bursts.burst_ratio,
            "round_trip_ms": leg.round_trip_ns / 1e6 if leg.round_trip_ns >= 0 else None,
            "packets_in": leg.counters.packets_in,
            "octets_in": leg.counters.octets_in,
            "packets_out": leg.counters.packets_out,
            "octets_out": leg.counters.octets_out,
            "send_failed": leg.counters.send_failed,
            "lost": leg.counters.lost,
            "late": leg.jitter.late,
            "duplicate": leg.jitter.duplicate,
            "jitter_ms": (leg.source.jitter >> 4) / 8.0,
            "delay_ms": leg.counters.delay / 8.0,
            "missing_samples": leg.jitter.missing_samples,
            "underruns": leg.jitter.underruns,
            "resyncs": leg.jitter.resync,
            "ssrc_changes": leg.counters.ssrc_changes,
            "ssrc_collisions": leg.counters.ssrc_collisions,
            "relatched": leg.counters.relatched,
            "icmp_errors": leg.counters.icmp_errors,
            "event_packets_in": leg.counters.events_in,
            "keys_by_event": leg.events.keys_started,
            "rtcp_in": leg.counters.rtcp_in,
            "rtcp_out": leg.counters.rtcp_out,
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

    def __cinit__(self):
        memset(&self.list, 0, sizeof(Playlist))

    def __init__(self, uint64_t serial, int64_t token, list clips not None, *, bint interruptible, bint loop, int32_t gap_samples, int32_t gain,
                 int32_t report_samples, bint paused):
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
        self.list.gain = gain
        self.list.report = report_samples
        self.list.paused = paused
        self.list.n_clips = <int32_t>len(clips)

    def __dealloc__(self):
        free(self.list.clips)


@cython.final
cdef class RoomCore:
    """A room's memory. Freed when Python lets go of it, which it may only after the thread did."""

    def __cinit__(self):
        self.state = <RoomState*>calloc(1, sizeof(RoomState))
        if self.state == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.state == NULL or not self.released:
            return
        # What was said in it.
        memset(self.state, 0, sizeof(RoomState))
        free(self.state)

    @property
    def released(self):
        """Whether no clock thread knows the room (any more)."""
        return not self.used or load_acquire(&self.state.released) != 0

    def give_back(self):
        """Take the room back from a thread that has ended."""
        self.used = False
