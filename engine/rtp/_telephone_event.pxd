from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t


cdef enum:
    EVENT_PAYLOAD_SIZE = 4
    EVENT_MEMORY = 4            # keys remembered: a duplicate or reordered packet is of one of them
    EVENT_REPORTS = 4           # the most that one packet or one poll makes


cdef enum EventReportKind:
    EVENT_START = 1
    EVENT_END = 2


cdef struct EventReport:
    int32_t kind
    int32_t code
    int64_t at_ns               # START: when the key was pressed, as best known
    uint32_t duration_ms
    float level_dbm0


cdef struct EventKey:
    bint used
    bint end_seen               # a packet with the E bit came
    bint reported_end
    uint8_t code
    uint32_t ssrc
    uint32_t first              # lowest timestamp heard
    uint32_t newest             # highest timestamp heard
    uint32_t end                # furthest timestamp + duration heard
    uint16_t newest_duration
    uint32_t carried            # units of this press that were heard under another SSRC
    int64_t heard_ns


cdef struct EventReceiver:
    uint32_t rate_hz
    int32_t state
    int32_t current             # index into keys, of the key that state speaks of
    uint32_t keys_started
    uint32_t no_digit           # flash, data tones and the rest
    uint32_t malformed
    uint32_t repeated           # packets that told nothing new
    EventKey keys[EVENT_MEMORY]


cdef void event_receiver_init(EventReceiver* receiver, uint32_t rate_hz) noexcept nogil
cdef int event_receive(
    EventReceiver* receiver, uint32_t ssrc, uint32_t timestamp, bint marker, const uint8_t* payload, int32_t n,
    int64_t now_ns, EventReport* reports
) noexcept nogil
cdef int event_poll(EventReceiver* receiver, int64_t now_ns, EventReport* reports) noexcept nogil
