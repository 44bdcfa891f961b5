"""The tick's half of a recording: a ring that a clock thread pushes frames into and goes on.

A slot carries its place in the file. What was lost, skipped or paused is a gap between two places, and costs no slot.
"""

cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.stdlib cimport posix_memalign

from engine.media._recorder_file cimport record_close
from engine.media._ring cimport load_acquire, store_release

cdef enum:
    HOLD_CAPTURE = 0            # whoever calls recorder_pause
    HOLD_REQUEST = 1            # whoever calls Recording.pause

cdef int16_t[RECORDER_SAMPLES] SILENCE  # static, so zero


# The clock thread's side.


cdef void recorder_push(RecorderTap* tap, const int16_t* caller, const int16_t* played) noexcept nogil:
    cdef uint64_t written = tap.written
    cdef uint32_t slot = written & (RECORDER_SLOTS - 1)
    if load_acquire(&tap.closing) or tap.position >= tap.limit:
        return
    if _is_paused(tap):
        store_release(&tap.paused, tap.paused + 1)
        if not tap.leave_out:
            store_release(&tap.position, tap.position + 1)
        return
    if caller == NULL and played == NULL:
        store_release(&tap.position, tap.position + 1)
        return
    if written - tap.read_seen >= RECORDER_SLOTS:
        # Seldom looked at: it is the mover's cache line.
        tap.read_seen = load_acquire(&tap.read)
    if written - tap.read_seen >= RECORDER_SLOTS:
        store_release(&tap.lost, tap.lost + 1)
        store_release(&tap.position, tap.position + 1)
        return
    if caller == NULL:
        caller = SILENCE
    if played == NULL:
        played = SILENCE
    tap.positions[slot] = tap.position
    if tap.stereo:
        _interleave(tap.samples + slot * (2 * RECORDER_SAMPLES), caller, played)
    else:
        _mix(tap.samples + slot * RECORDER_SAMPLES, caller, played)
    # The slot first: whoever sees the position finds every slot before it.
    store_release(&tap.written, written + 1)
    store_release(&tap.position, tap.position + 1)


cdef bint _is_paused(RecorderTap* tap) noexcept nogil:
    cdef uint32_t changes
    cdef bint paused = False
    cdef int i
    for i in range(2):
        changes = <uint32_t>load_acquire(&tap.holds[i])
        if changes != tap.holds_seen[i]:
            # Even a pause that came and went between two ticks has its tail.
            tap.holds_seen[i] = changes
            tap.hold = tap.tail
        paused = paused or changes & 1
    if paused:
        return True
    if tap.hold == 0:
        return False
    tap.hold -= 1
    return True


cdef void _interleave(int16_t* out, const int16_t* left, const int16_t* right) noexcept nogil:
    cdef int i
    for i in range(RECORDER_SAMPLES):
        out[2 * i] = left[i]
        out[2 * i + 1] = right[i]


cdef void _mix(int16_t* out, const int16_t* one, const int16_t* other) noexcept nogil:
    """Add, so that nobody is quieter than in stereo; where both are loud it is limited."""
    cdef int i
    for i in range(RECORDER_SAMPLES):
        out[i] = <int16_t>max(-32768, min(32767, <int32_t>one[i] + <int32_t>other[i]))


cdef void recorder_skip(RecorderTap* tap, uint32_t frames) noexcept nogil:
    cdef uint64_t n = min(<uint64_t>frames, tap.limit - tap.position)
    if load_acquire(&tap.closing):
        return
    if _is_paused(tap):
        store_release(&tap.paused, tap.paused + n)
        if tap.leave_out:
            return
    else:
        store_release(&tap.skipped, tap.skipped + n)
    store_release(&tap.position, tap.position + n)


cdef void _hold(uint64_t* changes, bint paused) noexcept nogil:
    if (changes[0] & 1) != <uint64_t>paused:
        store_release(changes, changes[0] + 1)


cdef void recorder_pause(RecorderTap* tap, bint paused) noexcept nogil:
    _hold(&tap.holds[HOLD_CAPTURE], paused)


cdef void recorder_pin(RecorderTap* tap) noexcept nogil:
    store_release(&tap.pinned, 1)


cdef void recorder_unpin(RecorderTap* tap) noexcept nogil:
    store_release(&tap.pinned, 0)


@cython.final
cdef class RecordingCore:
    """A recording's memory. Freed when Python lets go of it, which it may only after the threads did."""

    def __cinit__(
        self,
        int64_t serial,
        bytes part not None,
        bytes name not None,
        bytes header not None,
        *,
        bint stereo,
        uint64_t limit_frames,
        bint leave_out,
        uint32_t tail_frames,
        int fd=-1,
    ):
        if len(header) != RECORDER_HEADER:
            raise ValueError("a header of RIFF, fmt and data has 44 bytes")
        self.released = True
        # On a cache line, so that the tap's parts are.
        if posix_memalign(<void**>&self.state, 64, sizeof(RecordingState)):
            raise MemoryError
        memset(self.state, 0, sizeof(RecordingState))
        self.tap = &self.state.tap
        self._part = part
        self._name = name
        self.state.serial = serial
        self.state.frame_bytes = RECORDER_SAMPLES * (4 if stereo else 2)
        self.state.fd = fd
        self.state.is_file = fd < 0
        self.state.part = self._part
        self.state.name = self._name
        memcpy(self.state.header, <const char*>header, RECORDER_HEADER)
        self.tap.stereo = stereo
        self.tap.limit = limit_frames
        self.tap.leave_out = leave_out
        self.tap.tail = tail_frames
        self.tap.positions = <uint64_t*>calloc(RECORDER_SLOTS, sizeof(uint64_t))
        self.tap.samples = <int16_t*>calloc(RECORDER_SLOTS, self.state.frame_bytes)
        if self.tap.positions == NULL or self.tap.samples == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.state == NULL:
            return
        if not self.released or load_acquire(&self.tap.pinned):
            # A thread may still hold it: to lose the memory is the lesser fault.
            return
        if self.state.fd >= 0:
            record_close(self.state.fd)
        if self.tap.samples != NULL:
            memset(self.tap.samples, 0, <size_t>RECORDER_SLOTS * self.state.frame_bytes)
        free(self.tap.samples)
        free(self.tap.positions)
        free(self.state)

    @property
    def serial(self):
        """By which the threads' events name it."""
        return self.state.serial

    def give_back(self):
        """Take the recording back from its threads."""
        self.released = True

    def pause(self):
        """Store nothing from the next push on."""
        _hold(&self.tap.holds[HOLD_REQUEST], True)

    def resume(self):
        """Store again, after the tail."""
        _hold(&self.tap.holds[HOLD_REQUEST], False)

    def close(self):
        """Take no more, and complete the file."""
        store_release(&self.tap.closing, 1)

    def counters(self):
        """Return a snapshot; each figure is whole, together they may be a tick apart."""
        return {
            "frames": load_acquire(&self.tap.position),
            "lost": load_acquire(&self.tap.lost),
            "skipped": load_acquire(&self.tap.skipped),
            "paused": load_acquire(&self.tap.paused),
            "octets": load_acquire(&self.state.octets),
            "lagging": bool(load_acquire(&self.state.lagging)),
        }

    # The clock thread's calls, for tests and benchmarks.

    def push(self, bytes caller, bytes played):
        """Push a frame of native int16; None is silence."""
        for side in (caller, played):
            if side is not None and len(side) != RECORDER_SAMPLES * 2:
                raise ValueError("a frame has 160 samples of 16 bits")
        cdef const char* left = NULL
        cdef const char* right = NULL
        if caller is not None:
            left = caller
        if played is not None:
            right = played
        recorder_push(self.tap, <const int16_t*>left, <const int16_t*>right)

    def skip(self, uint32_t frames):
        """Say that the clock gave up frames."""
        recorder_skip(self.tap, frames)

    def pause_capture(self, bint paused):
        """Pause or resume as a capture does."""
        recorder_pause(self.tap, paused)

    def pin(self, bint pinned):
        """Say whether a leg has the tap."""
        if pinned:
            recorder_pin(self.tap)
        else:
            recorder_unpin(self.tap)

    def memory(self):
        """Return a copy of the ring's memory, to show that moved slots are wiped."""
        return bytes((<char*>self.tap.samples)[:RECORDER_SLOTS * self.state.frame_bytes])


def push_all(list cores not None, const int16_t[::1] caller not None, const int16_t[::1] played not None):
    """Push one frame into each `RecordingCore` of a list, as a clock thread does; for benchmarks."""
    cdef RecordingCore core
    if caller.shape[0] != RECORDER_SAMPLES or played.shape[0] != RECORDER_SAMPLES:
        raise ValueError("a frame has 160 samples")
    for core in cores:
        recorder_push(core.tap, &caller[0], &played[0])
