from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t

from dsp._comfort_noise cimport ComfortNoiseState
from dsp._plc cimport PLC_HISTORY, PlcState


cdef enum:
    PLAYOUT_TICK = 160          # samples of one tick: 20 ms at 8 kHz
    PLAYOUT_STEP = 80           # the grain of concealment
    PLAYOUT_FIFO = 800          # samples: 100 ms


cdef struct PlayoutState:
    PlcState plc
    ComfortNoiseState noise
    bint pausing                # nothing is left to play or to make up from: comfort noise
    int32_t pause_ticks         # ticks in which a hold is the pause that a comfort noise packet told of
    int32_t owed                # samples made up while media time stood still: as many missing ones are left out
    int32_t correcting          # 1: the FIFO is being shortened, -1: lengthened
    int32_t n                   # samples in the FIFO
    int32_t n_step              # samples in the step
    int32_t n_gap               # of them did not come
    float noise_gain            # of the comfort noise, now
    float floor                 # level of the background: mean square
    int64_t inserted            # samples, all of these
    int64_t removed
    int64_t concealed
    int64_t noise_samples
    uint8_t[PLAYOUT_STEP] step_valid
    int16_t[PLAYOUT_STEP] step  # media time that is no whole step yet
    int16_t[PLC_HISTORY] recent # the concealment's history, while nothing is lost
    int16_t[PLAYOUT_FIFO] fifo


cdef void playout_init(PlayoutState* p) noexcept nogil
# Another source: forget all audio, keep the counters.
cdef void playout_restart(PlayoutState* p) noexcept nogil
# One jitter frame, and each further one in a tick when it says JITTER_AGAIN.
cdef void playout_frame(
    PlayoutState* p, const int16_t* samples, const uint8_t* valid, int32_t n, uint32_t flags
) noexcept nogil
# An RFC 3389 packet came.
cdef void playout_noise(PlayoutState* p, const uint8_t* payload, int32_t n) noexcept nogil
# Exactly PLAYOUT_TICK samples, once a tick.
cdef void playout_take(PlayoutState* p, int16_t* out) noexcept nogil
