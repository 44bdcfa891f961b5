from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t


cdef enum:
    RTP_HEADER_SIZE = 12


cdef enum PacketFault:
    PACKET_OK = 0
    PACKET_SHORT = 1
    PACKET_VERSION = 2
    PACKET_STUN = 3
    PACKET_RTCP = 4
    PACKET_CSRC = 5
    PACKET_EXTENSION = 6
    PACKET_PADDING = 7


cdef struct RtpHeader:
    uint32_t timestamp
    uint32_t ssrc
    uint16_t sequence
    uint8_t payload_type
    uint8_t marker
    int32_t payload_offset
    int32_t payload_length


cdef inline uint16_t get_u16(const uint8_t* p) noexcept nogil:
    return <uint16_t>((<uint32_t>p[0] << 8) | p[1])


cdef inline uint32_t get_u32(const uint8_t* p) noexcept nogil:
    return (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 8) | p[3]


cdef inline void put_u16(uint8_t* p, uint32_t value) noexcept nogil:
    p[0] = <uint8_t>(value >> 8)
    p[1] = <uint8_t>value


cdef inline void put_u32(uint8_t* p, uint32_t value) noexcept nogil:
    p[0] = <uint8_t>(value >> 24)
    p[1] = <uint8_t>(value >> 16)
    p[2] = <uint8_t>(value >> 8)
    p[3] = <uint8_t>value


# Reads the header of one datagram; touches `header` only when the packet is whole.
cdef PacketFault rtp_parse(const uint8_t* data, Py_ssize_t n, RtpHeader* header) noexcept nogil
# Writes the 12 bytes of a header without CSRC, extension and padding.
cdef void rtp_build(
    uint8_t* out, uint8_t payload_type, bint marker, uint16_t sequence, uint32_t timestamp, uint32_t ssrc
) noexcept nogil
