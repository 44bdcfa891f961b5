"""What a leg is, as the clock threads see it: one block of memory, made before and freed after its time in a thread."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from dsp._dtmf cimport DtmfParams, DtmfState
from dsp._oscillator cimport ToneGenState
from engine.media._ring cimport Ring
from engine.media._system cimport Address, Batch
from engine.rtp._event_sender cimport EventSender
from engine.rtp._jitter cimport JITTER_TICK, JitterBuffer
from engine.rtp._source cimport RtpSource
from engine.rtp._telephone_event cimport EventReceiver


cdef enum:
    TICK_SAMPLES = JITTER_TICK
    TICK_NS = 20000000
    SAMPLE_NS = 125000          # 8 kHz
    MAX_KEYS = 64
    FIFO_SIZE = 1024            # a tick and a packet of 60 ms, and some
    TAP_FRAMES = 512            # 10 s of received audio


cdef enum:                      # what a payload type carries
    CARRIES_NOTHING = 0
    CARRIES_PCMU = 1
    CARRIES_PCMA = 2
    CARRIES_EVENT = 3
    CARRIES_COMFORT_NOISE = 4


cdef enum:                      # kinds of MediaEvent
    EVENT_DIGIT = 1
    EVENT_DIGIT_END = 2
    EVENT_PLAYED = 3
    EVENT_SILENT = 4
    EVENT_CLOSED = 5


cdef enum:                      # sources of a digit
    SOURCE_TELEPHONE_EVENT = 0
    SOURCE_IN_BAND = 1


cdef enum:                      # why a packet was dropped; engine.media.statistics names them in this order
    DROP_MALFORMED = 0
    DROP_STUN = 1
    DROP_RTCP_MALFORMED = 2
    DROP_PAYLOAD_TYPE = 3
    DROP_SOURCE = 4
    DROP_SSRC = 5
    DROP_SEQUENCE = 6
    DROP_JUMP = 7
    DROP_OVERFLOW = 8
    DROP_NOT_RECEIVING = 9
    DROP_NOT_CONFIGURED = 10
    DROP_EVENT = 11
    N_DROPS = 12


cdef struct MediaEvent:
    int32_t kind
    int32_t code
    int32_t source
    int32_t duration_ms
    int64_t leg_id
    int64_t at_ns
    int64_t token
    uint64_t playlist
    float level_dbm0
    int32_t completed
    int32_t by_digit


cdef struct ClipRef:
    const uint8_t* pcmu
    const uint8_t* pcma
    int32_t n


cdef struct Playlist:
    uint64_t serial             # by which Python finds it again
    int64_t token
    bint interruptible
    bint loop
    int32_t gap                 # samples of silence between two clips
    int32_t n_clips
    int32_t clip
    int32_t offset
    int32_t gap_left
    ClipRef* clips


cdef struct LegConfig:
    Address remote
    Address remote_rtcp
    int32_t codec               # CARRIES_PCMU or CARRIES_PCMA
    int32_t send_pt
    int32_t event_send_pt       # -1: none
    int32_t event_rate_hz
    int32_t packet              # samples in a packet sent
    bint negotiated_event       # we may receive telephone-events
    bint sending
    bint receiving
    int64_t timeout_ns          # 0: never
    uint8_t[128] carries        # by payload type received


cdef struct LegCounters:
    uint64_t packets_in
    uint64_t octets_in
    uint64_t packets_out
    uint64_t octets_out
    uint64_t send_failed
    uint64_t ssrc_changes
    uint64_t relatched
    uint64_t events_in
    uint64_t rtcp_in
    uint64_t tap_lost           # frames of the tap that nobody read in time
    uint64_t[N_DROPS] dropped
    uint32_t peer_fraction_lost # what the peer says of our stream: 1/256
    int64_t peer_lost
    uint32_t peer_jitter
    bint peer_bye


cdef struct LegState:
    LegState* previous
    LegState* next
    int64_t id
    int32_t phase
    int rtp_fd
    int rtcp_fd
    bint configured
    bint closing                # Python asked for it back
    bint detect_in_band
    uint64_t skipped            # cycles the thread had skipped when this leg ticked last
    uint64_t ticks
    LegConfig config
    LegCounters counters

    # Hearing.
    Address latched
    bint is_latched
    int64_t latched_heard_ns
    int64_t heard_ns
    bint silence_reported
    RtpSource source
    uint32_t candidate_ssrc
    uint16_t candidate_sequence
    bint has_candidate
    int64_t source_heard_ns
    JitterBuffer jitter
    EventReceiver events
    bint event_heard            # a telephone-event came: tones in the audio are no digits any more
    DtmfState detector
    int64_t detector_samples
    bint tone_reported
    int32_t held_ticks
    bint has_tap
    Ring tap

    # Speaking.
    uint32_t ssrc
    uint16_t sequence
    uint32_t timestamp          # of the first sample in fifo
    bint marker
    int32_t n_fifo
    uint8_t[FIFO_SIZE] fifo
    Playlist* playlist
    uint8_t[MAX_KEYS] keys
    uint8_t[MAX_KEYS] key_in_band
    int32_t[MAX_KEYS] key_on
    int32_t[MAX_KEYS] key_off
    int32_t key_first
    int32_t n_keys
    int32_t key_pause           # samples of pause still to come
    EventSender sender
    ToneGenState tone

    # RTCP.
    int64_t report_at_ns
    uint64_t packets_reported
    uint32_t random
    uint32_t last_sr
    int64_t last_sr_ns


cdef struct TickContext:
    Ring* events
    bint woke                   # something was put into `events`
    uint64_t skipped            # cycles skipped since the thread began
    int32_t n_cname
    uint8_t[64] cname
    DtmfParams detector_params
    Batch batch


cdef bint emit(TickContext* context, const MediaEvent* event) noexcept nogil
cdef void leg_hear(LegState* leg, TickContext* context, int64_t now_ns) noexcept nogil
cdef void leg_configure(LegState* leg, const LegConfig* config, const DtmfParams* params, int64_t now_ns) noexcept nogil
cdef void playlist_end(LegState* leg, TickContext* context, bint completed, bint by_digit) noexcept nogil
