from libc.stdint cimport int64_t

from engine.media._leg cimport LegState
from engine.media._system cimport Address
from engine.rtp._packet cimport RtpHeader


cdef bint same_address(const Address* a, const Address* b) noexcept nogil
cdef bint same_host(const Address* a, const Address* b) noexcept nogil
cdef bint from_our_peer(LegState* leg, const Address* source, const RtpHeader* header, int64_t now_ns) noexcept nogil
cdef bint follow_source(LegState* leg, const RtpHeader* header, int64_t now_ns) noexcept nogil
cdef bint rtcp_from_our_peer(const LegState* leg, const Address* source) noexcept nogil
