"""A receiver of RFC 4733 telephone-events that gives each key exactly once.

Its laws:

- A key is a code and a stretch of RTP time of one SSRC. Its name on the wire is (SSRC, timestamp) (RFC 4733 §2.3).
- Marker and sequence number decide nothing: the marker may be lost (§2.5.2.2), and the sequence says less than the
  timestamp.
- A packet whose stretch touches that of a remembered key of the same code belongs to that key. Peers move the
  timestamp inside one press; a real second press is at least a pause away.
- Where the SSRC changes, so does the base of the timestamps, and only the duration and our own clock tell a press that
  goes on from the next: it goes on when its duration grew by the time that passed, or when no pause fits in between.
- A press is reported with its first packet, whichever it is; its end with the E bit, the next key (§2.5.2.3) or a
  time-out, whichever is first. What comes for it afterwards is counted and dropped.
- Events 0 to 15 are digits (§3.2); 16 (flash) and all others are counted and dropped.

``now_ns`` is monotonic time in nanoseconds. No kernel allocates. The memory of codes is wiped when a key is a minute
old, and with the receiver.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset

cdef enum:
    NS_PER_MS = 1000000
    # Two stretches nearer than this are one press. More than one lost packet of a peer that moves its timestamp with
    # every packet (20 ms), less than the shortest pause that ITU-T Q.24 lets us rely on (40 ms).
    TOUCH_MS = 30
    # After the end was heard, a later timestamp begins a new press if it comes this long after the last packet, even
    # where the stretches touch: peers with durations in the wrong unit (SIPp writes milliseconds). The repeated end
    # packets of a peer that moves its timestamp follow each other faster.
    AGAIN_MARKED_MS = 40
    AGAIN_MS = 80
    # RFC 4733 §2.5.2.3 leaves the time-out to us: ten updates of 50 ms. The press is reported long before.
    TIMEOUT_MS = 500
    # How long a key is remembered, against peers that send nothing between start and end of a long press.
    MEMORY_MS = 60000
    # A packet this much older than the key that is pressed was overtaken; further off, the peer's clock was set anew.
    OVERTAKEN_MS = 5000
    # RFC 4733 §2.5.1.3: a segment ends at the longest duration that the field holds.
    SEGMENT = 0xFFFF
    # ... or at the last whole packet before it.
    SEGMENT_SLACK_MS = 200
    # How well the growth of a duration must agree with our clock to vouch for a press under another SSRC. A second press
    # lags by its own press and pause, 80 ms at the least (Q.24); a tick is 20 ms, and so is what the network adds.
    PACE_MS = 40
    LAST_DIGIT = 15             # D
    # How far back a key's start is dated by the duration in its first packet heard.
    BACKDATE_MS = 1000


cdef enum:  # states
    STATE_IDLE = 0              # no key yet
    STATE_PRESSED = 1
    STATE_ENDED = 2
    N_STATES = 3


cdef enum:  # inputs
    INPUT_NEW = 0               # first packet of a key
    INPUT_NEW_END = 1           # first packet of a key, and it carries the E bit
    INPUT_SAME = 2              # another packet of the current key
    INPUT_SAME_END = 3          # ... with the E bit
    INPUT_OLD = 4               # another packet of a key before the current one
    INPUT_OVERTAKEN = 5         # first packet of a key from before the current one
    INPUT_TIMEOUT = 6           # nothing came for the current key for TIMEOUT_MS
    N_INPUTS = 7


cdef enum:  # actions, as bits
    ACT_NONE = 0
    ACT_END_BEFORE = 1          # report the end of the key that was pressed until now
    ACT_START = 2               # report the start, make it the current key
    ACT_END = 4                 # report the end of the current key
    ACT_START_ASIDE = 8         # report start and end of a key that is not the current one
    ACT_COUNT = 16              # count a packet that told nothing new


cdef struct Transition:
    int32_t next
    int32_t action


cdef Transition[N_STATES][N_INPUTS] TABLE


cdef void _row(int state, int input_, int next_, int action) noexcept:
    TABLE[state][input_].next = next_
    TABLE[state][input_].action = action


# OLD and SAME need a key, OVERTAKEN a pressed one, and TIMEOUT too: those pairs do not arise, and do nothing.
_row(STATE_IDLE, INPUT_NEW, STATE_PRESSED, ACT_START)
_row(STATE_IDLE, INPUT_NEW_END, STATE_ENDED, ACT_START | ACT_END)
_row(STATE_IDLE, INPUT_SAME, STATE_IDLE, ACT_NONE)
_row(STATE_IDLE, INPUT_SAME_END, STATE_IDLE, ACT_NONE)
_row(STATE_IDLE, INPUT_OLD, STATE_IDLE, ACT_NONE)
_row(STATE_IDLE, INPUT_OVERTAKEN, STATE_IDLE, ACT_NONE)
_row(STATE_IDLE, INPUT_TIMEOUT, STATE_IDLE, ACT_NONE)
_row(STATE_PRESSED, INPUT_NEW, STATE_PRESSED, ACT_END_BEFORE | ACT_START)
_row(STATE_PRESSED, INPUT_NEW_END, STATE_ENDED, ACT_END_BEFORE | ACT_START | ACT_END)
_row(STATE_PRESSED, INPUT_SAME, STATE_PRESSED, ACT_NONE)
_row(STATE_PRESSED, INPUT_SAME_END, STATE_ENDED, ACT_END)
_row(STATE_PRESSED, INPUT_OLD, STATE_PRESSED, ACT_COUNT)
_row(STATE_PRESSED, INPUT_OVERTAKEN, STATE_PRESSED, ACT_START_ASIDE)
_row(STATE_PRESSED, INPUT_TIMEOUT, STATE_ENDED, ACT_END)
_row(STATE_ENDED, INPUT_NEW, STATE_PRESSED, ACT_START)
_row(STATE_ENDED, INPUT_NEW_END, STATE_ENDED, ACT_START | ACT_END)
_row(STATE_ENDED, INPUT_SAME, STATE_ENDED, ACT_COUNT)
_row(STATE_ENDED, INPUT_SAME_END, STATE_ENDED, ACT_COUNT)
_row(STATE_ENDED, INPUT_OLD, STATE_ENDED, ACT_COUNT)
_row(STATE_ENDED, INPUT_OVERTAKEN, STATE_ENDED, ACT_NONE)
_row(STATE_ENDED, INPUT_TIMEOUT, STATE_ENDED, ACT_NONE)


cdef void event_receiver_init(EventReceiver* receiver, uint32_t rate_hz) noexcept nogil:
    """Wipe the receiver; `rate_hz` is the clock of the telephone-event payload type (SDP, RFC 4733 §2.1)."""
    memset(receiver, 0, sizeof(EventReceiver))
    receiver.rate_hz = rate_hz if rate_hz else 8000
    receiver.current = -1
    receiver.state = STATE_IDLE


cdef uint32_t _units(const EventReceiver* receiver, uint32_t ms) noexcept nogil:
    return ms * (receiver.rate_hz // 1000)


cdef bint _is_segment(const EventReceiver* receiver, const EventKey* key, uint32_t timestamp, bint marker) noexcept nogil:
    """Tell whether `timestamp` begins a further segment of a press that is too long for one (§2.5.1.3)."""
    cdef uint32_t since_first = timestamp - key.first
    cdef int64_t since_newest = <int32_t>(timestamp - key.newest)
    if key.end_seen or marker:
        return False
    if since_first and since_first % SEGMENT == 0 and since_first // SEGMENT < 16:
        return True
    return (
        SEGMENT - <int64_t>_units(receiver, SEGMENT_SLACK_MS) <= since_newest <= SEGMENT + 1
        and key.newest_duration >= SEGMENT - <int64_t>_units(receiver, 1000)
    )


cdef bint _belongs(
    const EventReceiver* receiver, const EventKey* key, uint32_t ssrc, uint32_t timestamp, bint marker, uint8_t code,
    uint16_t duration, int64_t now_ns
) noexcept nogil:
    """Tell whether a packet is of this key."""
    cdef int32_t slack = <int32_t>_units(receiver, TOUCH_MS)
    cdef int32_t begins = <int32_t>(timestamp - key.first)
    cdef int64_t silent_ns = now_ns - key.heard_ns
    if not key.used or key.ssrc != ssrc or key.code != code:
        return False
    if timestamp == key.first or timestamp == key.newest:
        return True
    if begins >= 0 and <uint32_t>begins > key.end - key.first + slack:
        return _is_segment(receiver, key, timestamp, marker)
    if begins < 0 and begins + <int32_t>duration + slack < 0:
        return False
    if key.end_seen and <int32_t>(timestamp - key.newest) > 0:
        return silent_ns < (<int64_t>AGAIN_MARKED_MS if marker else <int64_t>AGAIN_MS) * NS_PER_MS
    return True


cdef void _forget(EventReceiver* receiver, int64_t now_ns) noexcept nogil:
    """Wipe keys that no packet can be of any more. A pressed one is not among them: its time-out came before."""
    cdef int i
    for i in range(EVENT_MEMORY):
        if receiver.keys[i].used and now_ns - receiver.keys[i].heard_ns > <int64_t>MEMORY_MS * NS_PER_MS:
            if receiver.current == i:
                if receiver.state == STATE_PRESSED:
                    continue
                receiver.current = -1
                receiver.state = STATE_IDLE
            memset(&receiver.keys[i], 0, sizeof(EventKey))


cdef int _find(
    EventReceiver* receiver, uint32_t ssrc, uint32_t timestamp, bint marker, uint8_t code, uint16_t duration,
    int64_t now_ns
) noexcept nogil:
    """Return the index of the key that a packet is of, or -1."""
    cdef int i
    cdef int index
    _forget(receiver, now_ns)
    # The newest first: it is the likely one.
    for i in range(EVENT_MEMORY):
        index = (receiver.current + EVENT_MEMORY - i) % EVENT_MEMORY if receiver.current >= 0 else i
        if _belongs(receiver, &receiver.keys[index], ssrc, timestamp, marker, code, duration, now_ns):
            return index
    return -1


cdef void _stretch(EventKey* key, uint32_t timestamp, uint16_t duration, bint end, int64_t now_ns) noexcept nogil:
    """Note what a packet of a known key adds."""
    if <int32_t>(timestamp - key.first) < 0:
        key.first = timestamp
    if <int32_t>(timestamp - key.newest) > 0:
        key.newest = timestamp
        key.newest_duration = duration
    elif timestamp == key.newest and duration > key.newest_duration:
        key.newest_duration = duration
    if <int32_t>(timestamp + duration - key.end) > 0:
        key.end = timestamp + duration
    key.end_seen = key.end_seen or end
    key.heard_ns = now_ns


cdef int _remember(
    EventReceiver* receiver, uint32_t ssrc, uint32_t timestamp, uint8_t code, uint16_t duration, bint end,
    int64_t now_ns
) noexcept nogil:
    """Put a new key in the place of the one heard longest ago, but never of one that is pressed."""
    cdef int i
    cdef int index = -1
    for i in range(EVENT_MEMORY):
        if i == receiver.current and receiver.state == STATE_PRESSED:
            continue
        if not receiver.keys[i].used:
            index = i
            break
        if index < 0 or receiver.keys[i].heard_ns < receiver.keys[index].heard_ns:
            index = i
    memset(&receiver.keys[index], 0, sizeof(EventKey))
    receiver.keys[index].used = True
    receiver.keys[index].code = code
    receiver.keys[index].ssrc = ssrc
    receiver.keys[index].first = timestamp
    receiver.keys[index].newest = timestamp
    receiver.keys[index].newest_duration = duration
    receiver.keys[index].end = timestamp + duration
    receiver.keys[index].end_seen = end
    receiver.keys[index].heard_ns = now_ns
    return index


cdef bint _goes_on(
    const EventReceiver* receiver, uint32_t ssrc, uint8_t code, uint16_t duration, bint end, int64_t now_ns
) noexcept nogil:
    """Tell whether a packet with an SSRC of its own is of the press that was heard last: a transfer in mid-press.

    The opposite happens as often: peers that take a new SSRC for each key (SIPp). Their next press begins with a short
    duration, after a pause.
    """
    cdef const EventKey* key
    cdef int64_t silent_ns
    cdef int64_t grown_ns
    if receiver.current < 0:
        return False
    key = &receiver.keys[receiver.current]
    if key.code != code or key.ssrc == ssrc:
        return False
    silent_ns = now_ns - key.heard_ns
    if silent_ns < <int64_t>AGAIN_MARKED_MS * NS_PER_MS:
        # Of a press that has ended only its end may come again.
        return not key.end_seen or (end and duration == key.newest_duration)
    if key.end_seen or silent_ns >= <int64_t>TIMEOUT_MS * NS_PER_MS or duration < key.newest_duration:
        return False
    grown_ns = <int64_t>(duration - key.newest_duration) * 1000000000 // receiver.rate_hz
    return -<int64_t>PACE_MS * NS_PER_MS <= silent_ns - grown_ns <= <int64_t>PACE_MS * NS_PER_MS


cdef int _carry_over(
    EventReceiver* receiver, uint32_t ssrc, uint32_t timestamp, uint8_t code, uint16_t duration, bint end,
    int64_t now_ns
) noexcept nogil:
    """Go on with the current press under another SSRC; what comes late of the old one still finds its key."""
    cdef EventKey before = receiver.keys[receiver.current]
    cdef int index = _remember(receiver, ssrc, timestamp, code, duration, end or before.end_seen, now_ns)
    receiver.keys[index].reported_end = before.reported_end
    # Either the duration goes on growing, then it counts all of the segment; or the other stream began at nothing.
    receiver.keys[index].carried = before.carried + (
        before.newest - before.first if duration >= before.newest_duration else before.end - before.first
    )
    receiver.current = index
    memset(&before, 0, sizeof(EventKey))
    return index


cdef int _report_start(
    EventReceiver* receiver, const EventKey* key, uint16_t duration, float level_dbm0, int64_t now_ns,
    EventReport* report
) noexcept nogil:
    cdef int64_t pressed_ms = <int64_t>duration * 1000 // receiver.rate_hz
    report.kind = EVENT_START
    report.code = key.code
    report.at_ns = now_ns - min(pressed_ms, <int64_t>BACKDATE_MS) * NS_PER_MS
    report.duration_ms = 0
    report.level_dbm0 = level_dbm0
    receiver.keys_started += 1
    return 1


cdef int _report_end(const EventReceiver* receiver, EventKey* key, int64_t now_ns, EventReport* report) noexcept nogil:
    report.kind = EVENT_END
    report.code = key.code
    report.at_ns = now_ns
    report.duration_ms = <uint32_t>((<int64_t>(key.end - key.first) + key.carried) * 1000 // receiver.rate_hz)
    report.level_dbm0 = 0.0
    key.reported_end = True
    return 1


cdef int event_receive(
    EventReceiver* receiver, uint32_t ssrc, uint32_t timestamp, bint marker, const uint8_t* payload, int32_t n,
    int64_t now_ns, EventReport* reports
) noexcept nogil:
    """Take one packet; write at most EVENT_REPORTS reports, return their number.

    Of a payload with several blocks only the first counts: one timestamp is one event.
    """
    cdef uint8_t code
    cdef bint end
    cdef float level
    cdef uint16_t duration
    cdef int index
    cdef int32_t before = receiver.current
    cdef int input_
    cdef int n_reports = 0
    cdef Transition step
    if n < EVENT_PAYLOAD_SIZE:
        receiver.malformed += 1
        return 0
    code = payload[0]
    if code > LAST_DIGIT:
        receiver.no_digit += 1
        return 0
    end = payload[1] >> 7
    # §2.3: 0 to 63, the power level in dBm0 with its sign dropped.
    level = -<float>(payload[1] & 0x3F)
    duration = <uint16_t>((payload[2] << 8) | payload[3])
    index = _find(receiver, ssrc, timestamp, marker, code, duration, now_ns)
    if index < 0 and _goes_on(receiver, ssrc, code, duration, end, now_ns):
        index = _carry_over(receiver, ssrc, timestamp, code, duration, end, now_ns)
    before = receiver.current
    if index >= 0:
        _stretch(&receiver.keys[index], timestamp, duration, end, now_ns)
        if index == receiver.current:
            input_ = INPUT_SAME_END if end else INPUT_SAME
        else:
            input_ = INPUT_OLD
    elif receiver.state == STATE_PRESSED and _is_overtaken(receiver, ssrc, timestamp):
        input_ = INPUT_OVERTAKEN
    else:
        input_ = INPUT_NEW_END if end else INPUT_NEW
    step = TABLE[receiver.state][input_]
    if step.action & ACT_COUNT:
        receiver.repeated += 1
    if step.action & ACT_END_BEFORE:
        n_reports += _report_end(receiver, &receiver.keys[before], now_ns, &reports[n_reports])
    if step.action & (ACT_START | ACT_START_ASIDE):
        if step.action & ACT_START:
            receiver.state = STATE_ENDED    # the key before is no longer to be spared
        index = _remember(receiver, ssrc, timestamp, code, duration, end, now_ns)
        n_reports += _report_start(receiver, &receiver.keys[index], duration, level, now_ns, &reports[n_reports])
        if step.action & ACT_START:
            receiver.current = index
    if step.action & (ACT_END | ACT_START_ASIDE):
        n_reports += _report_end(receiver, &receiver.keys[index], now_ns, &reports[n_reports])
    receiver.state = step.next
    return n_reports


cdef bint _is_overtaken(const EventReceiver* receiver, uint32_t ssrc, uint32_t timestamp) noexcept nogil:
    """Tell whether a new key lies shortly before the current one."""
    cdef const EventKey* key = &receiver.keys[receiver.current]
    cdef uint32_t behind = key.first - timestamp
    return key.ssrc == ssrc and 0 < behind < _units(receiver, OVERTAKEN_MS)


cdef int event_poll(EventReceiver* receiver, int64_t now_ns, EventReport* reports) noexcept nogil:
    """Apply the time-out; call it each tick. Writes at most one report, returns their number."""
    cdef Transition step
    if receiver.state != STATE_PRESSED:
        _forget(receiver, now_ns)
        return 0
    if now_ns - receiver.keys[receiver.current].heard_ns < <int64_t>TIMEOUT_MS * NS_PER_MS:
        return 0
    step = TABLE[STATE_PRESSED][INPUT_TIMEOUT]
    receiver.state = step.next
    return _report_end(receiver, &receiver.keys[receiver.current], now_ns, &reports[0])


def transitions():
    """Return the receiver's table as ``{(state, input): (next_state, action bits)}``, in the kernel's numbers."""
    cdef int state
    cdef int input_
    table = {}
    for state in range(N_STATES):
        for input_ in range(N_INPUTS):
            table[state, input_] = (int(TABLE[state][input_].next), int(TABLE[state][input_].action))
    return table


@cython.final
cdef class TelephoneEventReceiver:
    """The receiver as an object, for tests and offline analysis."""

    cdef EventReceiver _receiver

    def __cinit__(self, uint32_t rate_hz=8000):
        event_receiver_init(&self._receiver, rate_hz)

    def __dealloc__(self):
        memset(&self._receiver, 0, sizeof(EventReceiver))

    def receive(self, uint32_t ssrc, uint32_t timestamp, bint marker, const uint8_t[::1] payload not None, double now):
        """Take one packet at monotonic ``now`` (s); return reports ``(kind, code, at, duration_ms, level_dbm0)``.

        ``kind`` is 1 for a start and 2 for an end.
        """
        cdef EventReport reports[EVENT_REPORTS]
        cdef int n = event_receive(
            &self._receiver,
            ssrc,
            timestamp,
            marker,
            &payload[0] if payload.shape[0] else NULL,
            <int32_t>payload.shape[0],
            <int64_t>(now * 1e9),
            reports,
        )
        return [_report(&reports[i]) for i in range(n)]

    def poll(self, double now):
        """Apply the time-out at monotonic ``now`` (s); return reports as `receive` does."""
        cdef EventReport reports[EVENT_REPORTS]
        cdef int n = event_poll(&self._receiver, <int64_t>(now * 1e9), reports)
        return [_report(&reports[i]) for i in range(n)]

    @property
    def state(self):
        """Number of the state: 0 idle, 1 pressed, 2 ended."""
        return self._receiver.state

    @property
    def counters(self):
        """Return keys started, and packets that were no digit, malformed, or told nothing new."""
        return {
            "keys": self._receiver.keys_started,
            "no_digit": self._receiver.no_digit,
            "malformed": self._receiver.malformed,
            "repeated": self._receiver.repeated,
        }


cdef object _report(const EventReport* report):
    return (
        int(report.kind),
        int(report.code),
        report.at_ns / 1e9,
        int(report.duration_ms),
        float(report.level_dbm0),
    )
