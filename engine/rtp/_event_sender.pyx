"""A sender of RFC 4733 telephone-events (§2.5.1): one timestamp, a growing duration, three end packets.

Timestamps and durations are in the clock of the telephone-event payload type, which is the codec's (§2.1). A key longer
than the duration field holds (8.2 s at 8 kHz, 1.4 s at 48 kHz) goes in segments, each but the last up to 65535.

The caller decides how much time lies between two packets, and sends them. No kernel allocates.
"""

from libc.stdint cimport int32_t, uint8_t, uint32_t

from engine.rtp._telephone_event cimport EVENT_PAYLOAD_SIZE

cdef enum:
    SEGMENT = 0xFFFF            # §2.5.1.3: the longest duration that the field holds
    END_PACKETS = 3             # §2.5.1.4
    LAST_DIGIT = 15             # D
    LARGEST_VOLUME = 63


cdef void event_sender_start(
    EventSender* sender, uint8_t code, uint8_t volume, uint32_t timestamp, uint32_t duration
) noexcept nogil:
    """Begin a key: `volume` 0 to 63 (dBm0 without its sign), `duration` in timestamp units."""
    sender.active = True
    sender.code = code
    sender.volume = volume & 0x3F
    sender.first = True
    sender.ends_left = END_PACKETS
    sender.timestamp = timestamp
    sender.elapsed = 0
    sender.left = duration if duration else 1


cdef int event_sender_step(
    EventSender* sender, uint32_t step, uint8_t* payload, uint32_t* timestamp
) noexcept nogil:
    """Let `step` units pass; return EventSenderFlags, with the packet's payload and timestamp where there is one."""
    cdef uint32_t passed
    cdef uint32_t duration
    cdef int flags = SENDER_PACKET
    cdef bint ended = False
    if not sender.active:
        return 0
    if sender.elapsed > SEGMENT:
        # §2.5.1.3: the last segment was reported whole; the next begins where it ends.
        sender.timestamp += SEGMENT
        sender.elapsed -= SEGMENT
    passed = min(step, sender.left)
    sender.elapsed += passed
    sender.left -= passed
    duration = min(sender.elapsed, <uint32_t>SEGMENT)
    if sender.left == 0 and sender.elapsed <= SEGMENT:
        ended = True
        sender.ends_left -= 1
        if sender.ends_left == 0:
            sender.active = False
            flags |= SENDER_DONE
    if sender.first:
        flags |= SENDER_MARKER
        sender.first = False
    payload[0] = sender.code
    payload[1] = <uint8_t>((0x80 if ended else 0) | sender.volume)
    payload[2] = <uint8_t>(duration >> 8)
    payload[3] = <uint8_t>duration
    timestamp[0] = sender.timestamp
    return flags


def sender_packets(uint8_t code, uint32_t timestamp, uint32_t duration, *, uint32_t step=160, uint8_t volume=10):
    """Return the packets of one key as ``(marker, timestamp, payload)``, one for each `step` units, three ends."""
    cdef EventSender sender
    cdef uint8_t payload[EVENT_PAYLOAD_SIZE]
    cdef uint32_t at = 0
    cdef int flags
    if code > LAST_DIGIT or volume > LARGEST_VOLUME or step == 0:
        raise ValueError("a digit is 0 to 15, a volume 0 to 63, a step more than 0")
    event_sender_start(&sender, code, volume, timestamp, duration)
    packets = []
    while sender.active:
        flags = event_sender_step(&sender, step, payload, &at)
        packets.append((bool(flags & SENDER_MARKER), int(at), bytes(payload[:EVENT_PAYLOAD_SIZE])))
    return packets
