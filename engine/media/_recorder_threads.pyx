"""Recordings on their way from the clock threads to the disk.

Three threads and no lock. A **clock thread** pushes a frame of 20 ms into the recording's ring (`RecorderTap`) and goes
on. The **mover** wakes every 100 ms and empties all rings into blocks of one second. The **writer** writes the blocks.
They are two because a write may take seconds and a ring holds 0.64: the mover never touches the disk, so a slow disk
costs no audio until a recording has `blocks_each` blocks under way, or all have `blocks`. Then the mover leaves the
frames in the ring, the ring fills, and the tick counts what it loses.

A slot carries its place in the file. What was lost, skipped or paused is a gap between two places and becomes silence
of the same length, so the file's timing is true; a free block is all zero, so silence costs nothing.

The file is a WAV file at every moment: after each block the sizes in its header are written again, after the audio that
they speak of. It is called NAME.part until it is complete.

Ownership: Python makes a recording and hands it over; mover, then writer let go of it; the writer's one event for it
(finished or failed) gives it back. Slots are wiped when they are moved, blocks when they are written.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from engine.media._recorder cimport (
    RECORDER_HEADER,
    RECORDER_SLOTS,
    Block,
    RecorderTap,
    RecordingCore,
    RecordingState,
)
from engine.media._recorder_file cimport record_close, record_header, record_open, record_rename, record_write
from engine.media._ring cimport Ring, load_acquire, ring_free, ring_has_room, ring_init, ring_pop, ring_push, store_release
from engine.media._system cimport monotonic_ns, sleep_until, wake

cdef enum:
    BLOCK_FRAMES = 50               # 1 s: 32,000 bytes in stereo, 16,000 in mono
    ROUND_NS = 100000000            # between two rounds of a thread; a ring lasts six of them
    OPENINGS = 4096
    EVENTS = 8192

cdef enum:                          # kinds of Job
    JOB_OPEN = 1
    JOB_DATA = 2
    JOB_FINISH = 3

cdef enum:                          # kinds of RecorderEvent
    EVENT_FINISHED = 1
    EVENT_FAILED = 2
    EVENT_LAGGING = 3


cdef struct Job:
    RecordingState* recording
    Block* block
    int32_t n
    int32_t kind


cdef struct RecorderEvent:
    int64_t serial
    int32_t kind
    int32_t error                   # errno


@cython.final
cdef class RecorderThreads:
    """Mover and writer: two loops for two threads, and the rings between them and Python."""

    cdef Ring openings              # Python to mover: RecordingState*
    cdef Ring jobs                  # mover to writer
    cdef Ring returned              # writer to mover: Block*
    cdef Ring events                # writer to Python
    cdef Ring warnings              # mover to Python
    cdef RecordingState* first
    cdef Block* free_blocks
    cdef Block* all_blocks
    cdef uint64_t n_blocks
    cdef uint64_t max_blocks
    cdef uint64_t max_blocks_each
    cdef uint64_t stopping          # complete what is closed, then return
    cdef uint64_t moved_out         # the mover has returned
    cdef uint64_t abandoned         # return at once
    cdef bint moving
    cdef bint writing
    cdef int wake_fd

    def __cinit__(self, int wake_fd, *, uint32_t blocks, uint32_t blocks_each):
        cdef uint32_t slots = 1024
        if not 1 <= blocks <= 1 << 20 or blocks_each < 1:
            raise ValueError("at least one block for all and one for each, and at most 2**20")
        # Room for every block, and for some openings and ends: those wait a round when there is none.
        while slots < 2 * blocks:
            slots *= 2
        self.wake_fd = wake_fd
        self.max_blocks = blocks
        self.max_blocks_each = blocks_each
        if not (
            ring_init(&self.openings, OPENINGS, sizeof(RecordingState*))
            and ring_init(&self.jobs, slots, sizeof(Job))
            and ring_init(&self.returned, slots, sizeof(Block*))
            and ring_init(&self.events, EVENTS, sizeof(RecorderEvent))
            and ring_init(&self.warnings, EVENTS, sizeof(RecorderEvent))
        ):
            raise MemoryError

    def __dealloc__(self):
        cdef Block* block = self.all_blocks
        cdef Block* following
        # A thread that runs holds a reference: here there is none.
        while block != NULL:
            following = block.next_all
            memset(block.data, 0, sizeof(block.data))
            free(block)
            block = following
        ring_free(&self.openings)
        ring_free(&self.jobs)
        ring_free(&self.returned)
        ring_free(&self.events)
        ring_free(&self.warnings)

    # Python's side.

    def add(self, RecordingCore recording not None):
        """Hand a recording over; return False when the mover takes none. It is given back by its last event."""
        cdef RecordingState* state = recording.state
        recording.released = False
        if not ring_push(&self.openings, &state):
            recording.released = True
            return False
        return True

    def drain(self):
        """Return the events so far: ``(serial, kind, errno)``; kind 1 is finished, 2 failed, 3 lagging."""
        cdef RecorderEvent event
        drained = []
        while ring_pop(&self.warnings, &event):
            drained.append((event.serial, event.kind, event.error))
        while ring_pop(&self.events, &event):
            drained.append((event.serial, event.kind, event.error))
        return drained

    def counters(self):
        """Return the bytes of the blocks allocated, at most what was allowed."""
        return {"buffer_bytes": self.n_blocks * sizeof(Block)}

    def stop(self):
        """Ask the loops to return when all that was handed over is in its file."""
        store_release(&self.stopping, 1)

    def abandon(self):
        """Ask the loops to return whatever is left."""
        store_release(&self.abandoned, 1)

    def run_mover(self):
        """Move until told to stop; the GIL is released for all of it."""
        if self.moving:
            raise RuntimeError("the mover runs already")
        self.moving = True
        try:
            with nogil:
                self._run_mover()
        finally:
            self.moving = False

    def run_writer(self):
        """Write until told to stop; the GIL is released for all of it."""
        if self.writing:
            raise RuntimeError("the writer runs already")
        self.writing = True
        try:
            with nogil:
                self._run_writer()
        finally:
            self.writing = False

    def move(self, int32_t rounds=1):
        """Do rounds of the mover by hand; only without threads."""
        cdef int32_t i
        if self.moving:
            raise RuntimeError("the mover runs already")
        with nogil:
            for i in range(rounds):
                self._move_all()

    def write(self, int64_t jobs):
        """Do up to so many of the writer's jobs by hand, and return how many were there; only without threads."""
        cdef int64_t done = 0
        if self.writing:
            raise RuntimeError("the writer runs already")
        with nogil:
            while done < jobs and self._write_one():
                done += 1
        return done

    # The mover.

    cdef void _run_mover(self) noexcept nogil:
        cdef int64_t due = monotonic_ns()
        cdef bint stopping
        while not load_acquire(&self.abandoned):
            # What was closed before the stop was closed before this round.
            stopping = load_acquire(&self.stopping) != 0
            self._move_all()
            if stopping and self.first == NULL and self.openings.read == load_acquire(&self.openings.written):
                break
            # After a stall no round is made up for: one empties everything.
            due = max(due + ROUND_NS, monotonic_ns())
            sleep_until(due)
        store_release(&self.moved_out, 1)

    cdef void _move_all(self) noexcept nogil:
        cdef RecordingState* recording
        cdef RecordingState** at
        cdef Block* block
        cdef Job job
        while ring_pop(&self.returned, &block):
            block.next_free = self.free_blocks
            self.free_blocks = block
        # A recording whose opening finds no room waits with Python's others.
        while ring_has_room(&self.jobs) and ring_pop(&self.openings, &recording):
            job.recording = recording
            job.block = NULL
            job.n = 0
            job.kind = JOB_OPEN
            ring_push(&self.jobs, &job)
            recording.next = self.first
            self.first = recording
        at = &self.first
        while at[0] != NULL:
            recording = at[0]
            if self._move(recording):
                at[0] = recording.next
                self._submit(recording, JOB_FINISH)
            else:
                at = &recording.next

    cdef bint _move(self, RecordingState* recording) noexcept nogil:
        """Empty a recording's ring as far as there are blocks; tell whether nothing more will come of it."""
        cdef RecorderTap* tap = &recording.tap
        # In this order: after the end was told no position is passed, and no slot lies behind the position.
        cdef bint ended = load_acquire(&tap.closing) != 0
        cdef bint pinned = load_acquire(&tap.pinned) != 0
        cdef uint64_t end = load_acquire(&tap.position)
        cdef bint settled = not pinned or recording.end_seen
        if load_acquire(&recording.failed):
            store_release(&tap.closing, 1)
            self._discard(recording)
            return ring_has_room(&self.jobs)
        while recording.moved < end and self._has_block(recording):
            self._fill(recording, end)
        self._judge_lag(recording, end)
        if recording.moved < end or not (ended or end >= tap.limit):
            return False
        # A leg that has the tap may be in the middle of a push: it gets one round to leave.
        recording.end_seen = True
        if not settled or self.jobs.slots - (self.jobs.written - load_acquire(&self.jobs.read)) < 2:
            return False
        if recording.filling != NULL:
            self._submit(recording, JOB_DATA)
        return True

    cdef bint _has_block(self, RecordingState* recording) noexcept nogil:
        """See to it that there is a block with room, within the bounds of this recording and of all."""
        cdef Block* block = self.free_blocks
        if recording.filling != NULL:
            if recording.filled < BLOCK_FRAMES:
                return True
            if not ring_has_room(&self.jobs):
                return False
            self._submit(recording, JOB_DATA)
        if recording.submitted - load_acquire(&recording.done) >= self.max_blocks_each:
            return False
        if block != NULL:
            self.free_blocks = block.next_free
        elif self.n_blocks < self.max_blocks:
            block = <Block*>calloc(1, sizeof(Block))
            if block == NULL:
                return False
            self.n_blocks += 1
            block.next_all = self.all_blocks
            self.all_blocks = block
        else:
            return False
        recording.filling = block
        recording.filled = 0
        return True

    cdef void _fill(self, RecordingState* recording, uint64_t end) noexcept nogil:
        """Put one frame, or the silence before the next one, into the block."""
        cdef RecorderTap* tap = &recording.tap
        cdef uint64_t read = tap.read
        cdef uint32_t slot = read & (RECORDER_SLOTS - 1)
        cdef int32_t size = recording.frame_bytes
        cdef uint8_t* at
        cdef uint64_t until = end
        if read != load_acquire(&tap.written):
            until = min(end, tap.positions[slot])
        if recording.moved < until:
            until = min(until - recording.moved, <uint64_t>(BLOCK_FRAMES - recording.filled))
            recording.moved += until
            recording.filled += <int32_t>until
            return
        at = <uint8_t*>tap.samples + <size_t>slot * size
        memcpy(recording.filling.data + <size_t>recording.filled * size, at, size)
        memset(at, 0, size)
        store_release(&tap.read, read + 1)
        recording.moved += 1
        recording.filled += 1

    cdef void _judge_lag(self, RecordingState* recording, uint64_t end) noexcept nogil:
        """Tell once that frames are lost, and again when it was over in between."""
        cdef uint64_t lost = load_acquire(&recording.tap.lost)
        cdef RecorderEvent event
        if lost == recording.lost_seen:
            if recording.moved >= end:
                store_release(&recording.lagging, 0)
            return
        recording.lost_seen = lost
        if recording.lagging:
            return
        store_release(&recording.lagging, 1)
        event.serial = recording.serial
        event.kind = EVENT_LAGGING
        event.error = 0
        # Told or not, it stands in the statistics.
        ring_push(&self.warnings, &event)
        wake(self.wake_fd)

    cdef void _discard(self, RecordingState* recording) noexcept nogil:
        """Wipe what will not be written."""
        cdef RecorderTap* tap = &recording.tap
        cdef uint64_t written = load_acquire(&tap.written)
        while tap.read != written:
            memset(tap.samples + (tap.read & (RECORDER_SLOTS - 1)) * (recording.frame_bytes // 2), 0, recording.frame_bytes)
            store_release(&tap.read, tap.read + 1)
        if recording.filling != NULL:
            memset(recording.filling.data, 0, sizeof(recording.filling.data))
            recording.filling.next_free = self.free_blocks
            self.free_blocks = recording.filling
            recording.filling = NULL

    cdef void _submit(self, RecordingState* recording, int32_t kind) noexcept nogil:
        """Give the writer a job; the caller has looked for room."""
        cdef Job job
        job.recording = recording
        job.block = NULL
        job.n = 0
        job.kind = kind
        if kind == JOB_DATA:
            job.block = recording.filling
            job.n = recording.filled * recording.frame_bytes
            recording.filling = NULL
            recording.submitted += 1
        ring_push(&self.jobs, &job)

    # The writer.

    cdef void _run_writer(self) noexcept nogil:
        cdef int64_t due = monotonic_ns()
        cdef bint last
        while not load_acquire(&self.abandoned):
            last = load_acquire(&self.moved_out) != 0
            while not load_acquire(&self.abandoned) and self._write_one():
                pass
            if last and self.jobs.read == load_acquire(&self.jobs.written):
                break
            due = max(due + ROUND_NS, monotonic_ns())
            sleep_until(due)

    cdef bint _write_one(self) noexcept nogil:
        """Do one job; tell whether there was one. The end of a recording needs room for its event."""
        cdef Job job
        cdef RecordingState* recording
        cdef int error = 0
        if not ring_has_room(&self.events) or not ring_pop(&self.jobs, &job):
            return False
        recording = job.recording
        if job.kind == JOB_FINISH:
            self._finish(recording)
            return True
        if recording.failed == 0:
            if job.kind == JOB_OPEN:
                if recording.is_file:
                    error = record_open(recording.part, &recording.fd)
                if error == 0:
                    error = record_write(recording.fd, recording.header, RECORDER_HEADER)
            else:
                error = record_write(recording.fd, job.block.data, job.n)
                if error == 0:
                    store_release(&recording.octets, recording.octets + job.n)
                    _put_sizes(recording)
                    error = record_header(recording.fd, recording.header, RECORDER_HEADER)
            store_release(&recording.failed, error)
        if job.block != NULL:
            memset(job.block.data, 0, sizeof(job.block.data))
            ring_push(&self.returned, &job.block)
            store_release(&recording.done, recording.done + 1)
        return True

    cdef void _finish(self, RecordingState* recording) noexcept nogil:
        """Close the file, give it its name, and give the recording back."""
        cdef RecorderEvent event
        cdef int error = 0
        if recording.fd >= 0:
            error = record_close(recording.fd)
            recording.fd = -1
        if error == 0 and recording.failed == 0 and recording.is_file:
            error = record_rename(recording.part, recording.name)
        if recording.failed == 0:
            store_release(&recording.failed, error)
        event.serial = recording.serial
        event.kind = EVENT_FAILED if recording.failed else EVENT_FINISHED
        event.error = <int32_t>recording.failed
        ring_push(&self.events, &event)
        wake(self.wake_fd)


cdef void _put_sizes(RecordingState* recording) noexcept nogil:
    """Write the sizes of RIFF and data into the header, little-endian (the audio is at most 4 GiB less a header)."""
    cdef uint64_t octets = recording.octets
    cdef uint64_t riff = octets + RECORDER_HEADER - 8
    cdef int i
    for i in range(4):
        recording.header[4 + i] = (riff >> (8 * i)) & 0xFF
        recording.header[40 + i] = (octets >> (8 * i)) & 0xFF
