"""A caller as the generator sees it."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


# Where SRTP is plugged in: protects a packet of n bytes in place, in a buffer of LOAD_ROOM bytes; returns its new
# length, or 0 when it refuses. `srtp_protect_packet` of engine.rtp has this shape.
ctypedef int32_t (*Protect)(void* state, uint8_t* packet, int32_t n) noexcept nogil


cdef struct Caller:
    uint16_t port               # the leg's
    uint16_t sequence
    uint32_t ssrc
    uint32_t timestamp
    int32_t place               # frame of the background
    bint started
    void* srtp                  # NULL: plain RTP

    # The key that is being pressed, and those to come.
    const uint8_t* clip
    int32_t clip_left           # frames of its tones
    int32_t event_frame         # -1: none
    int32_t event_code
    uint32_t event_timestamp
    int32_t next_key
    int32_t end_key
    uint32_t keys_sent

    # What came back.
    bint heard
    uint16_t last_sequence
    uint64_t packets_out
    uint64_t packets_in
    uint64_t missing            # numbers left out of the sequence
    uint64_t repeated           # numbers that came twice, or late
    uint64_t sounding           # packets that are not silence
