from libc.stdint cimport int32_t, int64_t, uint64_t


cdef enum:
    N_PHASES = 4
    PHASE_NS = 5000000          # a tick of 20 ms over N_PHASES


cdef struct Schedule:
    int64_t due_ns              # when the next phase should begin
    int64_t paced_ns            # when the last one began, or was to begin: the next keeps its distance from it
    int64_t max_late_ns
    int32_t phase
    uint64_t ticks
    uint64_t late_ticks
    uint64_t skipped_cycles


cdef void schedule_start(Schedule* schedule, int64_t now_ns) noexcept nogil
cdef int64_t schedule_next(const Schedule* schedule) noexcept nogil
cdef int schedule_begin(Schedule* schedule, int64_t now_ns) noexcept nogil
