"""One RTP source: sequence numbers, loss and jitter as RFC 3550 appendix A has them.

One deviation from A.1: a source is valid from its first packet, without the probation of MIN_SEQUENTIAL packets. The
media plane only asks for packets from the latched address with a negotiated payload type, and the first packet of a
stream may be the only one of a key that is ever heard.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t
from libc.string cimport memset

cdef enum:
    # RFC 3550 A.1, with the values that it suggests.
    MAX_DROPOUT = 3000
    MAX_MISORDER = 100
    SEQUENCE_MODULUS = 1 << 16
    NO_BAD_SEQUENCE = SEQUENCE_MODULUS + 1
    DEFAULT_RATE_HZ = 8000


cdef void _init_sequence(RtpSource* source, uint16_t sequence) noexcept nogil:
    source.base_sequence = sequence
    source.max_sequence = sequence
    source.bad_sequence = NO_BAD_SEQUENCE
    source.cycles = 0
    source.received = 0
    source.received_prior = 0
    source.expected_prior = 0
    source.transit_known = False


cdef void source_start(RtpSource* source, uint32_t ssrc, uint16_t sequence) noexcept nogil:
    """Forget all and follow `ssrc`; its first packet must then be passed to source_sequence as well."""
    memset(source, 0, sizeof(RtpSource))
    source.ssrc = ssrc
    source.valid = True
    source_clock(source, DEFAULT_RATE_HZ)
    _init_sequence(source, sequence)


cdef void source_clock(RtpSource* source, uint32_t rate_hz) noexcept nogil:
    """Say at which rate timestamps count, when that is not 8000 Hz; after each source_start."""
    # A timestamp that jumps (DTX, hold, a new base) is no jitter: half a second is more than a network does.
    source.jitter_limit = <int32_t>min(rate_hz // 2, <uint32_t>0x7FFFFF)


cdef SequenceVerdict source_sequence(RtpSource* source, uint16_t sequence) noexcept nogil:
    """RFC 3550 A.1, update_seq."""
    cdef uint16_t delta = <uint16_t>(sequence - source.max_sequence)
    cdef SequenceVerdict verdict = SEQUENCE_OK
    cdef int64_t lost
    if delta < MAX_DROPOUT:
        if sequence < source.max_sequence:
            source.cycles += SEQUENCE_MODULUS
        if delta == 0 and source.received:
            verdict = SEQUENCE_OLD
        source.max_sequence = sequence
    elif delta <= SEQUENCE_MODULUS - MAX_MISORDER:
        if sequence != source.bad_sequence:
            source.bad_sequence = (sequence + 1) & (SEQUENCE_MODULUS - 1)
            return SEQUENCE_JUMP
        lost = source_lost(source)
        _init_sequence(source, sequence)
        source.lost_before = lost
        verdict = SEQUENCE_RESTART
    else:
        verdict = SEQUENCE_OLD
    source.received += 1
    return verdict


cdef void source_arrival(RtpSource* source, uint32_t arrival, uint32_t timestamp) noexcept nogil:
    """RFC 3550 A.8: `arrival` is local time in the units of the stream's timestamps."""
    cdef int32_t transit = <int32_t>(arrival - timestamp)
    cdef int32_t difference
    if source.transit_known:
        difference = transit - source.transit
        if difference < 0:
            difference = -difference
        if 0 <= difference < source.jitter_limit:
            source.jitter += <uint32_t>difference - ((source.jitter + 8) >> 4)
    source.transit = transit
    source.transit_known = True


cdef uint32_t source_extended(const RtpSource* source) noexcept nogil:
    """Extended highest sequence number received."""
    return source.cycles + source.max_sequence


cdef int64_t source_lost(const RtpSource* source) noexcept nogil:
    """RFC 3550 A.3: expected less received; duplicates may make it negative."""
    cdef int64_t expected
    if not source.valid or source.received == 0:
        return source.lost_before
    expected = <int64_t>source_extended(source) - <int64_t>source.base_sequence + 1
    return source.lost_before + expected - <int64_t>source.received


cdef uint32_t source_fraction(RtpSource* source) noexcept nogil:
    """RFC 3550 A.3: the fraction lost since the last report, in 1/256; begins a new interval."""
    cdef uint32_t expected = source_extended(source) - source.base_sequence + 1
    cdef uint32_t expected_interval = expected - source.expected_prior
    cdef uint32_t received_interval = source.received - source.received_prior
    cdef int32_t lost_interval = <int32_t>(expected_interval - received_interval)
    source.expected_prior = expected
    source.received_prior = source.received
    if expected_interval == 0 or lost_interval <= 0:
        return 0
    return min((<uint32_t>lost_interval << 8) // expected_interval, <uint32_t>255)


@cython.final
cdef class Source:
    """The kernel as an object, for tests and offline analysis."""

    cdef RtpSource _source

    def __cinit__(self, uint32_t ssrc, uint16_t first_sequence, *, uint32_t rate_hz=DEFAULT_RATE_HZ):
        source_start(&self._source, ssrc, first_sequence)
        source_clock(&self._source, rate_hz)

    def receive(self, uint16_t sequence, arrival=None, timestamp=None):
        """Take one packet; return 0 in order, 1 old or duplicate, 2 jump (dropped), 3 restart.

        ``arrival`` and ``timestamp`` (both in timestamp units) feed the jitter when both are given.
        """
        cdef SequenceVerdict verdict = source_sequence(&self._source, sequence)
        if arrival is not None and timestamp is not None and verdict != SEQUENCE_JUMP:
            source_arrival(&self._source, <uint32_t>(arrival & 0xFFFFFFFF), <uint32_t>(timestamp & 0xFFFFFFFF))
        return int(verdict)

    @property
    def extended_sequence(self):
        """Highest sequence number with its cycles."""
        return source_extended(&self._source)

    @property
    def lost(self):
        """Packets expected less packets received, since the start."""
        return source_lost(&self._source)

    @property
    def jitter(self):
        """Interarrival jitter in timestamp units (A.8, the value a report carries)."""
        return self._source.jitter >> 4

    def fraction_lost(self):
        """Return the loss since the last call in 1/256, as a report carries it."""
        return source_fraction(&self._source)
