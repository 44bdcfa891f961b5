from libc.stdint cimport int32_t, uint8_t, uint32_t


cdef enum:
    REDUNDANCY_MAX_BLOCKS = 8   # the primary and seven before it: more than any sender in use keeps


cdef struct RedundantBlock:
    uint8_t payload_type
    bint primary                # the last one: what the packet would carry without redundancy
    uint32_t timestamp
    int32_t offset              # into the payload
    int32_t length


cdef int redundancy_parse(
    const uint8_t* payload, int32_t n, uint32_t timestamp, RedundantBlock* blocks
) noexcept nogil
