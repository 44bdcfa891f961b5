"""Redundant data in one RTP payload (RFC 2198): audio, and telephone-events as RFC 4733 §2.6.2 recommends them.

A payload is a list of headers and the blocks in the same order, the oldest first. A block says its payload type and how
much earlier than the packet it was; the primary, last, has neither offset nor length. The kernel cuts a payload into
its blocks and touches nothing of them: whoever takes them knows which it has heard already.
"""

from libc.stdint cimport int32_t, uint8_t, uint32_t

from engine.rtp._packet cimport get_u32, put_u32

cdef enum:
    HEADER_SIZE = 4             # of a redundant block; the primary's is one octet
    MAX_OFFSET = 0x3FFF
    MAX_LENGTH = 0x3FF


cdef int redundancy_parse(
    const uint8_t* payload, int32_t n, uint32_t timestamp, RedundantBlock* blocks
) noexcept nogil:
    """Cut a payload into at most REDUNDANCY_MAX_BLOCKS `blocks`, the oldest first; return their number.

    0 for what is cut short or has more blocks: then the packet is to be dropped. A block may be empty (§3).
    """
    cdef int32_t at = 0
    cdef int n_blocks = 0
    cdef int i
    cdef uint32_t header
    while True:
        if at >= n or n_blocks == REDUNDANCY_MAX_BLOCKS:
            return 0
        blocks[n_blocks].payload_type = payload[at] & 0x7F
        blocks[n_blocks].primary = payload[at] & 0x80 == 0
        if blocks[n_blocks].primary:
            blocks[n_blocks].timestamp = timestamp
            blocks[n_blocks].length = 0
            at += 1
            n_blocks += 1
            break
        if n - at < HEADER_SIZE:
            return 0
        header = get_u32(payload + at)
        blocks[n_blocks].timestamp = timestamp - ((header >> 10) & MAX_OFFSET)
        blocks[n_blocks].length = <int32_t>(header & MAX_LENGTH)
        at += HEADER_SIZE
        n_blocks += 1
    for i in range(n_blocks):
        blocks[i].offset = at
        if blocks[i].primary:
            blocks[i].length = n - at
        elif blocks[i].length > n - at:
            return 0
        at += blocks[i].length
    return n_blocks


def parse(const uint8_t[::1] payload not None, uint32_t timestamp):
    """Return ``(payload type, timestamp, block)`` for each block, the primary last; None for what is none."""
    cdef RedundantBlock blocks[REDUNDANCY_MAX_BLOCKS]
    cdef const uint8_t* start = &payload[0] if payload.shape[0] else NULL
    cdef int n = redundancy_parse(start, <int32_t>min(payload.shape[0], <Py_ssize_t>0xFFFF), timestamp, blocks)
    if n == 0:
        return None
    return [
        (
            int(blocks[i].payload_type),
            int(blocks[i].timestamp),
            <bytes>(<const char*>start)[blocks[i].offset : blocks[i].offset + blocks[i].length],
        )
        for i in range(n)
    ]


def build(blocks):
    """Return the payload of ``(payload type, how much earlier in timestamp units, block)``, the primary last.

    For tests and load generators. Raises ValueError for what the headers cannot say.
    """
    cdef uint8_t header[HEADER_SIZE]
    if not 1 <= len(blocks) <= REDUNDANCY_MAX_BLOCKS or blocks[-1][1] != 0:
        raise ValueError("one to eight blocks, the last of them now")
    headers = b""
    for payload_type, earlier, block in blocks[:-1]:
        if not 0 <= payload_type <= 127 or not 0 <= earlier <= MAX_OFFSET or len(block) > MAX_LENGTH:
            raise ValueError("a block is of payload type 0 to 127, 0 to 16383 units earlier, and has up to 1023 octets")
        put_u32(header, <uint32_t>(0x80000000 | <uint32_t>payload_type << 24 | <uint32_t>earlier << 10 | len(block)))
        headers += bytes(header[:HEADER_SIZE])
    return headers + bytes([blocks[-1][0] & 0x7F]) + b"".join(bytes(block) for _, _, block in blocks)
