"""When a clock thread ticks which phase. Pure: time is an argument.

A cycle of 20 ms has four phases. A phase that begins a whole phase late is counted. After a stall the clock catches up
at twice its pace, so that no peer sees a burst; what lies further behind than 200 ms is given up by whole cycles, and
the legs' timestamps jump by as much.
"""

cimport cython
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

cdef enum:
    CYCLE_NS = 20000000
    LATE_NS = 5000000
    CATCH_UP_NS = 2500000
    GIVE_UP_NS = 200000000


cdef void schedule_start(Schedule* schedule, int64_t now_ns) noexcept nogil:
    """Begin with phase 0 at once."""
    memset(schedule, 0, sizeof(Schedule))
    schedule.due_ns = now_ns
    schedule.paced_ns = now_ns - CYCLE_NS


cdef int64_t schedule_next(const Schedule* schedule) noexcept nogil:
    """Return when the next phase may begin."""
    return max(schedule.due_ns, schedule.paced_ns + CATCH_UP_NS)


cdef int schedule_begin(Schedule* schedule, int64_t now_ns) noexcept nogil:
    """Begin a phase at `now_ns`, which is `schedule_next` or later; return its number."""
    cdef int phase = schedule.phase
    cdef int64_t late = now_ns - schedule.due_ns
    cdef int64_t planned = schedule_next(schedule)
    cdef int64_t behind
    # A thread that always wakes a little late keeps the pace; one that was stopped does not make up for it at once.
    schedule.paced_ns = planned if now_ns - planned <= LATE_NS else now_ns
    schedule.ticks += 1
    if late > LATE_NS:
        schedule.late_ticks += 1
    schedule.max_late_ns = max(schedule.max_late_ns, late)
    if late > GIVE_UP_NS:
        behind = late // CYCLE_NS
        schedule.due_ns += behind * CYCLE_NS
        schedule.skipped_cycles += <uint64_t>behind
    schedule.due_ns += PHASE_NS
    schedule.phase = (phase + 1) % N_PHASES
    return phase


@cython.final
cdef class ClockSchedule:
    """The schedule as an object, for tests."""

    cdef Schedule _schedule

    def __cinit__(self, int64_t now_ns):
        schedule_start(&self._schedule, now_ns)

    def next(self):
        """Return when the next phase may begin, in ns."""
        return schedule_next(&self._schedule)

    def begin(self, int64_t now_ns):
        """Begin a phase; return its number."""
        return schedule_begin(&self._schedule, now_ns)

    @property
    def counters(self):
        """Return ticks, late ticks, cycles given up, and the longest delay in ns."""
        return (
            self._schedule.ticks,
            self._schedule.late_ticks,
            self._schedule.skipped_cycles,
            self._schedule.max_late_ns,
        )
