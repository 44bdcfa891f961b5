from libc.stdint cimport int32_t, uint8_t, uint32_t


cdef enum EventSenderFlags:
    SENDER_PACKET = 1           # the payload is to be sent
    SENDER_MARKER = 2
    SENDER_DONE = 4             # the last packet of the key


cdef struct EventSender:
    bint active
    uint8_t code
    uint8_t volume
    int32_t ends_left
    bint first
    uint32_t timestamp          # of the segment
    uint32_t elapsed            # units since the segment began; over 65535 the next segment is due
    uint32_t left               # units of the key still to come


cdef void event_sender_start(
    EventSender* sender, uint8_t code, uint8_t volume, uint32_t timestamp, uint32_t duration
) noexcept nogil
cdef int event_sender_step(
    EventSender* sender, uint32_t step, uint8_t* payload, uint32_t* timestamp
) noexcept nogil
