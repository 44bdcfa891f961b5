"""What a leg is, as the clock threads see it: one block of memory, made before and freed after its time in a thread."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from dsp._comfort_noise cimport ComfortNoiseState
from dsp._dtmf cimport DtmfParams, DtmfState
from dsp._mask cimport MaskState
from dsp._oscillator cimport ToneGenState
from engine.media._recorder cimport RecorderTap
from engine.media._ring cimport Ring, ring_push
from engine.media._system cimport Address, Batch
from engine.rtp._burst cimport BurstMeter
from engine.rtp._codec cimport CodecState
from engine.rtp._collision cimport CollisionGuard
from engine.rtp._event_sender cimport EventSender
from engine.rtp._jitter cimport JITTER_TICK, JitterBuffer
from engine.rtp._playout cimport PlayoutState
from engine.rtp._source cimport RtpSource
from engine.rtp._srtp cimport SrtpState
from engine.rtp._telephone_event cimport EventReceiver


cdef enum:
    TICK_SAMPLES = JITTER_TICK
    TICK_NS = 20000000
    SAMPLE_NS = 125000          # 8 kHz
    MAX_KEYS = 64
    ROOM_LEGS = 16              # in one room
    FIFO_SAMPLES = 640          # a tick and a packet of 60 ms
    TAP_FRAMES = 512            # 10 s of received audio
    GAIN_ONE = 16384            # gains are 1/16384
    SILENCE_PCMU = 0xFF         # a sample of 0 in either law (ITU-T G.711)
    SILENCE_PCMA = 0xD5


cdef enum:                      # what a payload type carries; the codecs by the numbers of engine.rtp._codec
    CARRIES_NOTHING = 0
    CARRIES_PCMU = 1
    CARRIES_PCMA = 2
    CARRIES_EVENT = 3
    CARRIES_COMFORT_NOISE = 4
    CARRIES_REDUNDANCY = 8


cdef enum:                      # kinds of MediaEvent
    EVENT_DIGIT = 1
    EVENT_DIGIT_END = 2
    EVENT_PLAYED = 3
    EVENT_SILENT = 4
    EVENT_CLOSED = 5
    EVENT_POSITION = 6
    EVENT_UNREACHABLE = 7
    EVENT_CONFIGURED = 8


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
    DROP_OWN_SSRC = 12
    DROP_PAYLOAD = 13
    DROP_AUTHENTICATION = 14
    DROP_REPLAY = 15
    N_DROPS = 16


cdef struct MediaEvent:
    int32_t kind
    int32_t code
    int32_t source
    int32_t duration_ms
    int32_t moves               # how often the leg had changed its clock: by it events of two clocks are put in order
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
    bint paused
    int32_t gap                 # samples of silence between two clips
    int32_t gain
    int32_t n_clips
    int32_t clip
    int32_t offset
    int32_t gap_left
    int64_t position            # samples since the playlist began, gaps included; a loop begins anew
    int32_t report              # samples between two position events; 0: none
    ClipRef* clips


cdef struct LegConfig:
    int32_t codec               # that we send
    int32_t units               # of RTP time in a sample of it at 8 kHz
    void* opus_decoder          # lent by Python, or NULL
    void* opus_encoder
    int32_t send_pt
    int32_t event_send_pt       # -1: none
    int32_t event_rate_hz
    int32_t packet              # samples in a packet sent
    bint negotiated_event       # we may receive telephone-events
    bint sending
    bint receiving
    bint rtcp_mux               # RFC 5761: RTCP goes over the RTP port
    bint extended_reports       # RFC 3611 VoIP metrics are wanted
    SrtpState* srtp
    uint64_t serial             # by which Python learns that this is in force, and what was before is not
    int64_t timeout_ns          # 0: never
    Address remote
    uint8_t[128] carries        # by payload type received
    Address remote_rtcp


cdef struct LegCounters:
    uint64_t packets_in
    uint64_t octets_in
    uint64_t packets_out
    uint64_t octets_out
    uint64_t send_failed
    uint64_t ssrc_changes
    uint64_t ssrc_collisions
    uint64_t relatched
    uint64_t icmp_errors
    uint64_t events_in
    uint64_t rtcp_in
    uint64_t rtcp_out
    uint64_t tap_lost           # frames of the tap that nobody read in time
    uint64_t[N_DROPS] dropped
    uint32_t peer_fraction_lost # what the peer says of our stream: 1/256
    int64_t peer_lost
    uint32_t peer_jitter
    bint peer_bye
    int64_t lost                # of source_lost, as it was at the last packet: read from outside as a whole
    int32_t delay               # samples in the jitter buffer


cdef struct RoomState


cdef struct LegState:
    # Each tick reads and writes these: they lie together, and are fetched while the leg before is at work.
    LegState* next
    LegState* previous
    uint64_t cycle              # of the context, when it ticked last
    int rtp_fd
    int rtcp_fd
    bint configured
    bint closing                # Python asked for it back
    bint detect_in_band
    bint event_heard            # a telephone-event came: tones in the audio are no digits any more
    bint events_open            # the receiver of telephone-events has something to poll
    bint has_tap
    bint is_keying              # keys wait or are being sent
    bint silence_reported
    bint marker
    int32_t phase
    int32_t n_fifo
    int32_t n_keys
    int32_t held_ticks
    int32_t key_pause           # samples of pause still to come
    bint is_latched
    bint is_masked              # the delay line of the mask lies on the way
    bint has_candidate
    uint16_t sequence
    uint16_t candidate_sequence
    uint32_t ssrc
    uint32_t timestamp          # of the first sample in fifo, in samples
    uint64_t skipped            # cycles the thread had skipped when this leg ticked last
    uint64_t ticks
    int64_t id
    Playlist* playlist
    SrtpState* srtp             # NULL: plain RTP
    RecorderTap* recorder       # NULL: not recorded
    LegState* other             # the leg that this one is bridged with
    RoomState* room             # or the room that it is in
    uint64_t moves              # clocks that let go of it: written as the last touch of one, and read by the next
    int64_t ticked_ns
    int64_t heard_ns
    int64_t latched_heard_ns
    int64_t source_heard_ns
    int64_t report_at_ns
    int64_t detector_samples
    Address latched
    RtpSource source
    LegCounters counters
    BurstMeter bursts
    LegConfig config

    # Hearing.
    Address latched_rtcp
    bint is_rtcp_latched
    bint unreachable_reported
    uint32_t candidate_ssrc
    CollisionGuard collisions
    Address newcomer            # a source that may take the place of the latched one
    uint16_t newcomer_sequence  # that it sends next
    int32_t newcomer_packets
    int64_t flooded_ns          # when more came in a tick than is read in one, or 0
    int64_t event_packet_ns     # when the last telephone-event came
    uint32_t rtp_timestamp      # last one received, and the sample that it stands for
    int64_t rtp_units
    CodecState codec
    JitterBuffer jitter
    DtmfState detector
    EventReceiver events
    Ring tap

    # What others hear of this leg.
    bint is_listened_to
    PlayoutState playout
    bint muted                  # the other leg hears nothing of this one
    bint room_muted             # ... and the others of its room
    bint earmuffed              # this one hears nothing of the others
    bint in_sum                 # what its room hears in this tick has a part of it
    bint relays_keys            # telephone-events go to the other leg while the mask is off
    bint masks                  # the mask takes keys out
    bint hides_key              # the key that is pressed began under the mask: it stays there
    bint has_heard
    int64_t mask_key            # where the key began that is marked and has not ended, or -1
    MaskState mask
    int16_t[TICK_SAMPLES] heard # this tick's frame, as the other hears it
    ComfortNoiseState noise     # what this leg hears in place of the others

    # Speaking.
    uint8_t[2 * FIFO_SAMPLES] fifo  # bytes of G.711, or int16 for the other codecs
    ToneGenState tone
    EventSender sender
    int32_t key_first
    uint8_t[MAX_KEYS] keys
    uint8_t[MAX_KEYS] key_in_band
    int32_t[MAX_KEYS] key_on
    int32_t[MAX_KEYS] key_off

    # RTCP.
    uint64_t packets_reported
    uint32_t random
    uint32_t last_sr
    int64_t last_sr_ns
    int64_t round_trip_ns       # of the last report that told, or -1


cdef struct RoomState:          # legs of one clock and one phase that hear each other
    LegState* legs[ROOM_LEGS]
    int32_t n_legs
    int32_t n_open              # that are not muted
    int32_t n_heard             # that say something in this tick
    int32_t[TICK_SAMPLES] sum
    uint64_t released           # the clock knows it no more


cdef struct TickContext:
    Ring* events
    bint woke                   # something was put into `events`
    uint64_t skipped            # cycles skipped since the thread began
    uint64_t cycle              # phases begun
    int32_t n_cname
    uint8_t[64] cname
    DtmfParams detector_params
    Batch batch


cdef inline bint emit(TickContext* context, const LegState* leg, MediaEvent* event) noexcept nogil:
    """Tell Python something of a leg; what finds no room is counted by the ring."""
    context.woke = True
    event.leg_id = leg.id
    event.moves = <int32_t>leg.moves
    return ring_push(context.events, event)


cdef void leg_hear(LegState* leg, TickContext* context, int64_t now_ns) noexcept nogil
cdef void leg_configure(LegState* leg, TickContext* context, const LegConfig* config, int64_t now_ns) noexcept nogil
