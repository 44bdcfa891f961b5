from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t


cdef enum:
    JITTER_RING = 8192          # samples: 1.024 s at 8 kHz
    JITTER_TICK = 160           # samples of one tick: 20 ms at 8 kHz
    JITTER_WORDS = 256          # JITTER_RING bits
    JITTER_BINS = 41            # of 5 ms: relative delays of 0 to 200 ms


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
    JITTER_AGAIN = 8            # playout runs behind: take another frame in this tick; at most three times in one


cdef struct JitterFrame:
    uint32_t flags
    int32_t n                   # samples of media time in this frame; JITTER_TICK but for the tail of a talk spurt


cdef struct JitterBuffer:
    int64_t clock               # samples of local time, one tick a tick
    int64_t play                # media time of the next sample to deliver
    int64_t newest              # one past the last sample written
    int64_t last_position       # media time of last_timestamp: the mapping from RTP time
    int64_t reference           # clock minus media time of the fastest packets: relative delays count from here
    int64_t stall_to            # media time up to which packets waited in a stall that no delay would have covered
    int64_t spurt_from          # what is missing before it is silence and no loss
    int64_t joined_from         # where a spurt was moved up to the tail before it: nothing of it lies earlier
    uint32_t last_timestamp
    uint32_t jump_timestamp
    bint anchored
    bint fresh                  # nothing was delivered since the buffer was anchored
    bint jump_pending
    int32_t wait                # samples to hold before play starts
    int32_t target              # samples of delay aimed at, from the reference
    int32_t again_run           # frames in a row that said JITTER_AGAIN
    int32_t pace                # ticks since the last frame too many
    int32_t held                # ticks since the buffer ran dry
    int32_t late_run            # late packets in a row
    int32_t stalled             # packets in a row later than the longest delay
    int32_t window_ticks
    int32_t window_packets
    uint32_t late_ppm           # packets that may come too late, of a million
    uint32_t late
    uint32_t duplicate
    uint32_t overflow
    uint32_t resync
    uint32_t underruns
    int64_t delivered_samples
    int64_t missing_samples
    uint32_t weight             # sum of the histogram
    uint32_t[JITTER_BINS] histogram     # of relative delays; what is older weighs less
    uint32_t[JITTER_WORDS] state        # a bit per sample: came. Before `play` it was played, from there on it waits
    int16_t[JITTER_RING] samples


cdef void jitter_init(JitterBuffer* buffer) noexcept nogil
cdef void jitter_restart(JitterBuffer* buffer) noexcept nogil
cdef JitterVerdict jitter_put(
    JitterBuffer* buffer, uint32_t timestamp, bint marker, bint in_order, const int16_t* samples, int32_t n
) noexcept nogil
cdef JitterFrame jitter_get(JitterBuffer* buffer, int16_t* out, uint8_t* valid) noexcept nogil
cdef int32_t jitter_depth(const JitterBuffer* buffer) noexcept nogil
