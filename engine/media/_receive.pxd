from libc.stdint cimport int64_t

from engine.media._leg cimport LegState, TickContext


cdef void receive_rtp(LegState* leg, TickContext* context, int64_t now_ns) noexcept nogil
cdef void receive_rtcp(LegState* leg, TickContext* context, int64_t now_ns) noexcept nogil
