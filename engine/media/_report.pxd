from libc.stdint cimport int64_t

from engine.media._leg cimport LegState, TickContext


cdef void leg_report(LegState* leg, TickContext* context, int64_t now_ns, bint bye) noexcept nogil
cdef void leg_new_ssrc(LegState* leg, TickContext* context, int64_t now_ns) noexcept nogil
