"""Recording: the tick's half of a recording, and what the recorder's two threads know of it."""

cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    RECORDER_SAMPLES = 160      # a frame: 20 ms at 8 kHz
    RECORDER_SLOTS = 32         # 0.64 s, 20.5 KB in stereo; a power of two
    RECORDER_HEADER = 44        # RIFF, fmt and data as every reader knows them


cdef struct RecorderTap:        # between a clock thread and the mover; pinned by a leg while it records
    # The clock thread's cache line.
    uint64_t written            # slots
    uint64_t position           # frames of the file that were passed, stored or not
    uint64_t lost               # frames that found the ring full
    uint64_t skipped            # frames that the clock gave up
    uint64_t paused             # frames that were not to be stored
    uint64_t read_seen          # `read` as it was when last looked at
    uint32_t[2] holds_seen
    uint32_t hold               # frames that a pause still lasts
    uint32_t apart
    # A line that all read and hardly anyone writes. Set from outside; a hold counts pauses and resumptions: odd is paused.
    uint64_t[2] holds
    uint64_t closing
    uint64_t pinned
    # Fixed before the first tick.
    uint64_t limit              # frames
    uint32_t tail               # frames that stay paused after a resumption
    uint8_t leave_out           # paused frames take no time in the file
    uint8_t stereo
    uint64_t* positions         # by slot: which frame of the file it is
    int16_t* samples
    # The mover's.
    uint64_t read


# One tick of 160 samples a side, NULL for silence. Never waits; what finds the ring full is lost, counted, and silence in
# the file. After the limit or the end nothing happens.
cdef void recorder_push(RecorderTap* tap, const int16_t* caller, const int16_t* played) noexcept nogil
# The clock gave up cycles: as many frames of silence. In the clock thread, as recorder_push.
cdef void recorder_skip(RecorderTap* tap, uint32_t frames) noexcept nogil
# From the next push on. Apart from Recording.pause: nothing is stored while either wants it so.
cdef void recorder_pause(RecorderTap* tap, bint paused) noexcept nogil
# A leg has the tap (Python says so before the command), and has it no more (the clock thread's last touch).
cdef void recorder_pin(RecorderTap* tap) noexcept nogil
cdef void recorder_unpin(RecorderTap* tap) noexcept nogil


cdef struct Block:              # a second of audio on its way to the disk; all zero while it is free
    Block* next_free
    Block* next_all
    uint8_t[32000] data


cdef struct RecordingState:
    RecorderTap tap
    RecordingState* next
    int64_t serial
    int32_t frame_bytes
    # The mover's.
    uint64_t moved              # frames put into blocks
    Block* filling
    int32_t filled              # frames in it
    uint64_t submitted          # blocks
    uint64_t lost_seen
    uint64_t lagging            # audio is being lost: the disk is too slow, or the mover
    bint end_seen
    # The writer's.
    uint64_t done               # blocks
    uint64_t octets             # of audio, in the file
    uint64_t failed             # errno
    int fd
    bint is_file                # ours, with a name; else a descriptor that was given
    const char* part
    const char* name
    uint8_t[44] header


@cython.final
cdef class RecordingCore:
    cdef RecorderTap* tap       # what a leg pushes into
    cdef RecordingState* state
    cdef readonly bint released
    cdef bytes _part
    cdef bytes _name
