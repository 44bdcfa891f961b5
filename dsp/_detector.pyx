# cython: boundscheck=False, wraparound=False, cdivision=True
# Safe without checks: rows of `frames` and of the arrays are indexed below their number, columns by their enums.
"""The DTMF detector on Python's side: one, and a bank of them. `dsp.dtmf` is their face, `dsp._dtmf` does the work."""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int16_t

from dsp._dtmf cimport (
    DTMF_TRACE_COLUMNS,
    DtmfEvent,
    DtmfParams,
    DtmfState,
    DtmfTrace,
    dtmf_default_params,
    dtmf_init,
    dtmf_lost,
    dtmf_max_events,
    dtmf_process,
    dtmf_waiting,
)

from dsp.debounce import State

# Why a window is no key, by the number that an event's `reason` and a trace's "reason" are.
REASONS = (
    "key", "level", "noise", "residual", "low frequency", "high frequency", "twist", "not flat", "score", "too short",
)
TRACE_FIELDS = (
    "position", "digit", "reason", "residual", "floor", "low_offset", "high_offset", "high_minus_low_db", "flat_min",
    "flat_max", "low_slope", "high_slope", "below", "below_floor", "low_dbm0", "high_dbm0", "both_before",
)
cdef enum:
    BANK_PIECE = 480  # samples of a channel at a time, 60 ms: all that a frame of RTP has
    BANK_EVENTS = 28  # dtmf_max_events(BANK_PIECE)


@cython.auto_pickle(False)
@cython.final
cdef class Detector:
    """The detector on Python's side; `dsp.dtmf.DtmfDetector` is its face."""

    cdef DtmfState _state
    cdef DtmfParams _params

    def __cinit__(self, dict params not None):
        self._params = params
        dtmf_init(&self._state, &self._params)

    def reset(self):
        """Forget everything; the next sample is number 0."""
        dtmf_init(&self._state, &self._params)

    def copy(self):
        """Return a detector that stands where this one stands."""
        cdef Detector other = Detector.__new__(Detector, self._params)
        other._state = self._state
        return other

    def lost(self, int n):
        """Count n samples as lost; list an event's fields for each event that this makes known."""
        cdef DtmfEvent[8] events
        cdef int i
        if n < 0:
            raise ValueError("a negative number of samples cannot be lost")
        dtmf_lost(&self._state, n)
        return [_fields(&events[i]) for i in range(dtmf_waiting(&self._state, events, 8))]

    def process(self, const int16_t[::1] samples not None):
        """Take samples; list an event's fields for each event."""
        return _process(&self._state, samples)

    def trace(self, const int16_t[::1] samples not None):
        """Take samples; return the bytes of float64 rows of TRACE_FIELDS, one for every window that was fitted."""
        cdef DtmfTrace trace
        cdef Py_ssize_t most = samples.shape[0] // 40 + 16
        cdef double* rows = <double*>PyMem_Malloc(most * DTMF_TRACE_COLUMNS * sizeof(double))
        if not rows:
            raise MemoryError
        trace.rows = rows
        trace.n = 0
        trace.max_rows = <int>most
        self._state.trace = &trace
        try:
            _process(&self._state, samples)
            return (<char*>rows)[:trace.n * DTMF_TRACE_COLUMNS * sizeof(double)]
        finally:
            self._state.trace = NULL
            PyMem_Free(rows)

    @property
    def position(self):
        """Samples taken and lost since the last reset."""
        return self._state.position

    @property
    def state(self):
        """Where the debounce stands."""
        return State(self._state.state)


cdef tuple _fields(const DtmfEvent* event):
    return (
        event.kind, event.digit, event.start, event.end, event.low_dbm0, event.high_dbm0, event.low_offset,
        event.high_offset, event.confidence, event.reason,
    )


cdef list _process(DtmfState* state, const int16_t[::1] samples):
    cdef DtmfEvent[64] events
    cdef Py_ssize_t taken = 0, n = samples.shape[0]
    cdef int piece, count, i
    cdef list out = []
    while taken < n:
        piece = <int>(n - taken if n - taken < 1000 else 1000)  # dtmf_max_events(1000) is 54
        count = dtmf_process(state, &samples[taken], piece, events, 64)
        taken += piece
        for i in range(count):
            out.append(_fields(&events[i]))
    return out


@cython.auto_pickle(False)
@cython.final
cdef class Bank:
    """Detectors for many channels in one array; `dsp.dtmf.DtmfBank` is its face."""

    cdef DtmfState* _states
    cdef DtmfEvent* _events
    cdef int* _counts
    cdef int _n
    cdef DtmfParams _params

    def __cinit__(self, int n, dict params not None):
        cdef int i
        if n < 1:
            raise ValueError("a bank has at least one channel")
        self._params = params
        self._n = n
        self._states = <DtmfState*>PyMem_Malloc(n * sizeof(DtmfState))
        self._events = <DtmfEvent*>PyMem_Malloc(n * BANK_EVENTS * sizeof(DtmfEvent))
        self._counts = <int*>PyMem_Malloc(n * sizeof(int))
        if not self._states or not self._events or not self._counts:
            raise MemoryError
        for i in range(n):
            dtmf_init(&self._states[i], &self._params)

    def __dealloc__(self):
        PyMem_Free(self._states)
        PyMem_Free(self._events)
        PyMem_Free(self._counts)

    def reset(self, int channel):
        """Forget everything about one channel."""
        dtmf_init(&self._states[self._channel(channel)], &self._params)

    def lost(self, int channel, int n):
        """Count n samples of one channel as lost."""
        if n < 0:
            raise ValueError("a negative number of samples cannot be lost")
        dtmf_lost(&self._states[self._channel(channel)], n)

    cdef int _channel(self, int channel) except -1:
        if not 0 <= channel < self._n:
            raise IndexError(f"channel must lie between 0 and {self._n - 1}, not {channel}")
        return channel

    def process(self, const int16_t[:, ::1] frames not None):
        """Take a frame of every channel, rows of one array; list (channel, an event's fields)."""
        cdef Py_ssize_t taken = 0, n = frames.shape[1]
        cdef int piece, c, i, any_found
        cdef list out = []
        if frames.shape[0] != self._n:
            raise ValueError(f"frames must have {self._n} rows, not {frames.shape[0]}")
        while taken < n:
            piece = <int>(n - taken if n - taken < BANK_PIECE else BANK_PIECE)
            any_found = 0
            with nogil:  # a frame of hundreds of channels takes longer than winning the GIL back
                for c in range(self._n):
                    self._counts[c] = dtmf_process(
                        &self._states[c], &frames[c, taken], piece, &self._events[c * BANK_EVENTS], BANK_EVENTS
                    )
                    any_found |= self._counts[c]
            taken += piece
            if any_found:
                for c in range(self._n):
                    for i in range(self._counts[c]):
                        out.append((c, _fields(&self._events[c * BANK_EVENTS + i])))
        return out


def default_params():
    """Return the kernel's own defaults."""
    cdef DtmfParams params
    dtmf_default_params(&params)
    return params


def max_events(int n):
    """Return how much room `dtmf_process` can need for n samples."""
    return dtmf_max_events(n)


def state_size():
    """Return the size of a detector's state in bytes."""
    return sizeof(DtmfState)
