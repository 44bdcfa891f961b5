"""When the next RTCP report is due: RFC 3550 §6.3 and appendix A.7.

A call has two members and a bandwidth that makes the minimum of five seconds decide; the whole rule is kept because a
bridge behind the far end may show us more. Randomness is an argument: the caller's 32 bits, uniform.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t

cdef double MIN_S = 5.0                 # §6.2
cdef double SENDER_SHARE = 0.25         # §6.2: senders share a quarter of the bandwidth while they are few
# §6.3.1: timer reconsideration converges below the interval meant; e - 3/2 makes up for it.
cdef double COMPENSATION = 2.718281828459045 - 1.5
cdef double LONGEST_S = 3600.0          # whatever a bandwidth of next to nothing says


cdef int64_t rtcp_interval_ns(
    int32_t members, int32_t senders, bint we_sent, double average, double bandwidth, bint initial, uint32_t random
) noexcept nogil:
    """Return the time to the next report (A.7): the calculated interval, 0.5 to 1.5 times, over e - 1.5.

    `average` is the size of compounds in octets, `bandwidth` octets per second; `initial` halves the minimum (§6.2).
    """
    cdef int32_t sharing = members
    cdef double seconds
    if senders <= members * SENDER_SHARE:
        if we_sent:
            bandwidth *= SENDER_SHARE
            sharing = senders
        else:
            bandwidth *= 1.0 - SENDER_SHARE
            sharing -= senders
    seconds = average * sharing / bandwidth if bandwidth > 0.0 else LONGEST_S
    seconds = min(max(seconds, 0.5 * MIN_S if initial else MIN_S), LONGEST_S)
    seconds *= random / 4294967296.0 + 0.5
    return <int64_t>(seconds / COMPENSATION * 1e9)


cdef int64_t _interval(const RtcpTimer* timer, uint32_t random) noexcept nogil:
    return rtcp_interval_ns(
        timer.members, timer.senders, timer.we_sent, timer.average, timer.bandwidth, timer.initial, random
    )


cdef void rtcp_timer_start(
    RtcpTimer* timer, double bandwidth, double average, int64_t now_ns, uint32_t random
) noexcept nogil:
    """Begin a session (§6.3.2): we are its only member; `average` is the size that the first report will have."""
    timer.members = 1
    timer.members_before = 1
    timer.senders = 0
    timer.we_sent = False
    timer.initial = True
    timer.average = average
    timer.bandwidth = bandwidth
    timer.last_ns = now_ns
    timer.next_ns = now_ns + _interval(timer, random)


cdef bint rtcp_timer_due(RtcpTimer* timer, int64_t now_ns, uint32_t random) noexcept nogil:
    """Tell whether a report is to be sent now; reconsiders the time when it has come (§6.3.6)."""
    cdef int64_t due
    if now_ns < timer.next_ns:
        return False
    due = timer.last_ns + _interval(timer, random)
    timer.members_before = timer.members
    if due <= now_ns:
        return True
    timer.next_ns = due
    return False


cdef void rtcp_timer_sent(RtcpTimer* timer, int32_t octets, int64_t now_ns, uint32_t random) noexcept nogil:
    """Note a report that was sent, and plan the next (§6.3.6)."""
    rtcp_timer_heard(timer, octets)
    timer.initial = False
    timer.last_ns = now_ns
    timer.next_ns = now_ns + _interval(timer, random)
    timer.members_before = timer.members


cdef void rtcp_timer_heard(RtcpTimer* timer, int32_t octets) noexcept nogil:
    """Count a compound that came (§6.3.3), UDP and IP headers included."""
    timer.average += (octets - timer.average) / 16.0


cdef void rtcp_timer_members(RtcpTimer* timer, int32_t members, int32_t senders, int64_t now_ns) noexcept nogil:
    """Take new counts of members and senders; fewer members than planned for bring the report forward (§6.3.4)."""
    cdef double share
    timer.members = max(members, <int32_t>1)
    timer.senders = max(senders, <int32_t>0)
    if timer.members < timer.members_before:
        share = <double>timer.members / timer.members_before
        timer.next_ns = now_ns + <int64_t>(share * (timer.next_ns - now_ns))
        timer.last_ns = now_ns - <int64_t>(share * (now_ns - timer.last_ns))
        timer.members_before = timer.members


def interval(
    int32_t members, int32_t senders, bint we_sent, double average, double bandwidth, bint initial, uint32_t random
):
    """Return A.7's interval in seconds; `average` in octets, `bandwidth` in octets per second."""
    return rtcp_interval_ns(members, senders, we_sent, average, bandwidth, initial, random) / 1e9


@cython.final
cdef class Timer:
    """The kernel as an object, for tests; times in seconds."""

    cdef RtcpTimer _timer

    def __cinit__(self, *, double bandwidth, double average, double now, uint32_t random):
        rtcp_timer_start(&self._timer, bandwidth, average, <int64_t>(now * 1e9), random)

    def due(self, double now, uint32_t random):
        """Tell whether a report is to be sent now."""
        return bool(rtcp_timer_due(&self._timer, <int64_t>(now * 1e9), random))

    def sent(self, int32_t octets, double now, uint32_t random):
        """Note a report that was sent."""
        rtcp_timer_sent(&self._timer, octets, <int64_t>(now * 1e9), random)

    def heard(self, int32_t octets):
        """Count a compound that came."""
        rtcp_timer_heard(&self._timer, octets)

    def count(self, int32_t members, int32_t senders, double now, *, bint we_sent=False):
        """Take new counts of members and senders."""
        self._timer.we_sent = we_sent
        rtcp_timer_members(&self._timer, members, senders, <int64_t>(now * 1e9))

    @property
    def next(self):
        """When the next report is planned."""
        return self._timer.next_ns / 1e9

    @property
    def average(self):
        """Mean size of a compound in octets."""
        return self._timer.average
