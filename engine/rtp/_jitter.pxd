from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t


cdef enum:
    JITTER_RING = 8192          # samples: 1.024 s at 8 kHz
    JITTER_TICK = 160           # samples of one tick: 20 ms at 8 kHz


cdef enum JitterVerdict:
    JITTER_OK = 0
    JITTER_LATE = 1             # its place was played already
    JITTER_DUPLICATE = 2        # all of it is here, or was played
    JITTER_JUMP = 3             # timestamp far off: dropped, unless the next packet follows it
    JITTER_OVERFLOW = 4         # more than the ring holds, or an impossible length


cdef enum JitterFlags:
    JITTER_AUDIO = 1            # at least one sample of the frame is valid
    JITTER_MISSING = 2          # at least one sample of the frame is not
    JITTER_HELD = 4             # media time stood still: start-up, underrun or DTX
    JITTER_AGAIN = 8            # playout runs behind: take another frame in this tick, play only the last


cdef struct JitterFrame:
    uint32_t flags
    int32_t n                   # samples of media time in this frame; JITTER_TICK but for the tail of a talk spurt


cdef struct JitterBuffer:
    int64_t play                # media time of the next sample to deliver
    int64_t newest              # one past the last sample written
    int64_t last_position       # media time of last_timestamp: the mapping from RTP time
    uint32_t last_timestamp
    uint32_t jump_timestamp
    bint anchored
    bint jump_pending
    int32_t wait                # samples to hold before play starts
    int32_t target              # samples of delay aimed at
    int32_t shrink              # samples to catch up
    int32_t held                # ticks since the buffer ran dry
    int32_t late_run            # late packets in a row
    int32_t window_ticks
    int32_t window_packets
    int32_t window_slack        # least time before its playout that a packet came in this window
    uint32_t late
    uint32_t duplicate
    uint32_t overflow
    uint32_t resync
    uint32_t underruns
    int64_t delivered_samples
    int64_t missing_samples
    uint8_t state[JITTER_RING]      # SAMPLE_NONE, SAMPLE_WAITING or SAMPLE_PLAYED
    int16_t samples[JITTER_RING]


cdef void jitter_init(JitterBuffer* buffer) noexcept nogil
cdef void jitter_restart(JitterBuffer* buffer) noexcept nogil
cdef JitterVerdict jitter_put(
    JitterBuffer* buffer, uint32_t timestamp, bint marker, bint in_order, const int16_t* samples, int32_t n
) noexcept nogil
cdef JitterFrame jitter_get(JitterBuffer* buffer, int16_t* out, uint8_t* valid) noexcept nogil
cdef int32_t jitter_depth(const JitterBuffer* buffer) noexcept nogil
