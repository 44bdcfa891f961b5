"""RTP headers: read and written (RFC 3550 §5.1), RTCP (RFC 5761 §4) and STUN (RFC 8489 §5) told apart.

The kernels work on the caller's bytes, allocate nothing and raise nothing: what a peer sends wrong is a fault code,
in the order of ``engine.rtp.packet.PacketFault``.
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t

cdef enum:
    STUN_MAGIC_COOKIE = 0x2112A442
    STUN_HEADER_SIZE = 20
    # RFC 5761 §4: with payload type and marker in one byte, 192 to 223 is RTCP, and RTP keeps clear of it.
    RTCP_FIRST = 192
    RTCP_LAST = 223


cdef PacketFault rtp_parse(const uint8_t* data, Py_ssize_t n, RtpHeader* header) noexcept nogil:
    cdef Py_ssize_t offset = RTP_HEADER_SIZE
    cdef Py_ssize_t end = n
    cdef uint8_t first
    if n < 2:
        return PACKET_SHORT
    first = data[0]
    if first >> 6 != 2:
        # RFC 8489 §5: the two top bits of STUN are 0, and the cookie stands at byte 4.
        if first >> 6 == 0 and n >= STUN_HEADER_SIZE and get_u32(data + 4) == STUN_MAGIC_COOKIE:
            return PACKET_STUN
        return PACKET_VERSION
    if RTCP_FIRST <= data[1] <= RTCP_LAST:
        return PACKET_RTCP
    if n < RTP_HEADER_SIZE:
        return PACKET_SHORT
    offset += 4 * (first & 0x0F)
    if offset > end:
        return PACKET_CSRC
    if first & 0x10:
        # RFC 3550 §5.3.1: 16 bits of profile, 16 bits of length in words of 32 bits.
        if offset + 4 > end:
            return PACKET_EXTENSION
        offset += 4 + 4 * <Py_ssize_t>get_u16(data + offset + 2)
        if offset > end:
            return PACKET_EXTENSION
    if first & 0x20:
        # RFC 3550 §5.1: the last octet counts the padding, itself included.
        if end == offset or data[end - 1] == 0 or data[end - 1] > end - offset:
            return PACKET_PADDING
        end -= data[end - 1]
    header.payload_type = data[1] & 0x7F
    header.marker = data[1] >> 7
    header.sequence = get_u16(data + 2)
    header.timestamp = get_u32(data + 4)
    header.ssrc = get_u32(data + 8)
    header.payload_offset = <int32_t>offset
    header.payload_length = <int32_t>(end - offset)
    return PACKET_OK


cdef void rtp_build(
    uint8_t* out, uint8_t payload_type, bint marker, uint16_t sequence, uint32_t timestamp, uint32_t ssrc
) noexcept nogil:
    out[0] = 0x80
    out[1] = <uint8_t>((0x80 if marker else 0) | (payload_type & 0x7F))
    put_u16(out + 2, sequence)
    put_u32(out + 4, timestamp)
    put_u32(out + 8, ssrc)


def parse(const uint8_t[::1] data not None):
    """Return ``(fault, payload_type, marker, sequence, timestamp, ssrc, payload_offset, payload_length)``.

    ``fault`` is 0 for a whole RTP packet; with any other the rest is 0.
    """
    cdef RtpHeader header
    cdef PacketFault fault
    cdef const uint8_t* start = &data[0] if data.shape[0] else NULL
    fault = rtp_parse(start, data.shape[0], &header)
    if fault != PACKET_OK:
        return int(fault), 0, False, 0, 0, 0, 0, 0
    return (
        0,
        header.payload_type,
        header.marker != 0,
        header.sequence,
        header.timestamp,
        header.ssrc,
        header.payload_offset,
        header.payload_length,
    )


def build_header(uint8_t payload_type, bint marker, uint16_t sequence, uint32_t timestamp, uint32_t ssrc):
    """Return the 12 bytes of an RTP header without CSRC, extension and padding."""
    cdef uint8_t out[RTP_HEADER_SIZE]
    rtp_build(out, payload_type, marker, sequence, timestamp, ssrc)
    return bytes(out[:RTP_HEADER_SIZE])
