from libc.stdint cimport int8_t, int32_t, uint8_t, uint16_t, uint32_t


cdef enum:
    XR_MAX_SIZE = 72            # what xr_build writes at most: header, one block of each kind
    XR_UNAVAILABLE = 127        # RFC 3611 §4.7.4 and §4.7.5: not measured


cdef struct VoipMetrics:        # RFC 3611 §4.7, in the units of the wire
    uint32_t ssrc               # of the stream that was received
    uint8_t loss_rate           # 1/256
    uint8_t discard_rate        # 1/256
    uint8_t burst_density       # 1/256
    uint8_t gap_density         # 1/256
    uint16_t burst_ms
    uint16_t gap_ms
    uint16_t round_trip_ms      # 0: not measured
    uint16_t end_system_ms      # 0: not measured
    int8_t signal_dbm0          # 127: not measured, as in the six below
    int8_t noise_dbm0
    uint8_t rerl_db
    uint8_t gmin
    uint8_t r_factor            # 0 to 100
    uint8_t external_r_factor
    uint8_t mos_lq              # 10 to 50: ten times the opinion score
    uint8_t mos_cq
    uint8_t receiver_config     # §4.7.6: concealment, jitter buffer
    uint16_t jitter_nominal_ms
    uint16_t jitter_maximum_ms
    uint16_t jitter_absolute_ms


cdef struct ExtendedReport:
    bint has_metrics
    bint has_reference          # a receiver reference time block (§4.4)
    bint has_last_reference     # a DLRR sub-block (§4.5)
    VoipMetrics metrics
    uint32_t ntp_seconds        # of the reference time
    uint32_t ntp_fraction
    uint32_t dlrr_ssrc          # whose reference time is answered
    uint32_t last_reference     # middle 32 bits of it, 0 for none
    uint32_t delay_since        # 1/65536 s


cdef int32_t xr_build(uint8_t* out, uint32_t ssrc, const ExtendedReport* report) noexcept nogil
cdef void xr_read(const uint8_t* data, Py_ssize_t n, uint32_t about, ExtendedReport* report) noexcept nogil
cdef void xr_metrics_init(VoipMetrics* metrics, uint32_t ssrc) noexcept nogil
