"""RTCP extended reports (RFC 3611): VoIP metrics, and the two blocks that give a receiver a round-trip time.

Three of the seven block types are written and read: receiver reference time (4), DLRR (5) and VoIP metrics (7). Others
are passed over by their length (§3). A block whose length cannot be ends the reading; what stood before it counts.
"""

from libc.stdint cimport int8_t, int32_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from engine.rtp._packet cimport get_u16, get_u32, put_u16, put_u32

cdef enum:
    TYPE_XR = 207
    BLOCK_REFERENCE = 4
    BLOCK_DLRR = 5
    BLOCK_METRICS = 7
    HEADER_SIZE = 8             # RTCP header and SSRC
    REFERENCE_SIZE = 12
    DLRR_SIZE = 16              # with one sub-block
    SUB_BLOCK_SIZE = 12
    METRICS_SIZE = 36


cdef void xr_metrics_init(VoipMetrics* metrics, uint32_t ssrc) noexcept nogil:
    """Say of everything that it was not measured."""
    memset(metrics, 0, sizeof(VoipMetrics))
    metrics.ssrc = ssrc
    metrics.signal_dbm0 = XR_UNAVAILABLE
    metrics.noise_dbm0 = XR_UNAVAILABLE
    metrics.rerl_db = XR_UNAVAILABLE
    metrics.r_factor = XR_UNAVAILABLE
    metrics.external_r_factor = XR_UNAVAILABLE
    metrics.mos_lq = XR_UNAVAILABLE
    metrics.mos_cq = XR_UNAVAILABLE


cdef void _block(uint8_t* out, uint32_t block_type, int32_t size) noexcept nogil:
    out[0] = <uint8_t>block_type
    out[1] = 0
    put_u16(out + 2, <uint32_t>(size // 4 - 1))


cdef void _write_metrics(uint8_t* out, const VoipMetrics* metrics) noexcept nogil:
    memset(out, 0, METRICS_SIZE)
    _block(out, BLOCK_METRICS, METRICS_SIZE)
    put_u32(out + 4, metrics.ssrc)
    out[8] = metrics.loss_rate
    out[9] = metrics.discard_rate
    out[10] = metrics.burst_density
    out[11] = metrics.gap_density
    put_u16(out + 12, metrics.burst_ms)
    put_u16(out + 14, metrics.gap_ms)
    put_u16(out + 16, metrics.round_trip_ms)
    put_u16(out + 18, metrics.end_system_ms)
    out[20] = <uint8_t>metrics.signal_dbm0
    out[21] = <uint8_t>metrics.noise_dbm0
    out[22] = metrics.rerl_db
    out[23] = metrics.gmin
    out[24] = metrics.r_factor
    out[25] = metrics.external_r_factor
    out[26] = metrics.mos_lq
    out[27] = metrics.mos_cq
    out[28] = metrics.receiver_config
    put_u16(out + 30, metrics.jitter_nominal_ms)
    put_u16(out + 32, metrics.jitter_maximum_ms)
    put_u16(out + 34, metrics.jitter_absolute_ms)


cdef void _read_metrics(const uint8_t* data, VoipMetrics* metrics) noexcept nogil:
    metrics.ssrc = get_u32(data + 4)
    metrics.loss_rate = data[8]
    metrics.discard_rate = data[9]
    metrics.burst_density = data[10]
    metrics.gap_density = data[11]
    metrics.burst_ms = get_u16(data + 12)
    metrics.gap_ms = get_u16(data + 14)
    metrics.round_trip_ms = get_u16(data + 16)
    metrics.end_system_ms = get_u16(data + 18)
    metrics.signal_dbm0 = <int8_t>data[20]
    metrics.noise_dbm0 = <int8_t>data[21]
    metrics.rerl_db = data[22]
    metrics.gmin = data[23]
    metrics.r_factor = data[24]
    metrics.external_r_factor = data[25]
    metrics.mos_lq = data[26]
    metrics.mos_cq = data[27]
    metrics.receiver_config = data[28]
    metrics.jitter_nominal_ms = get_u16(data + 30)
    metrics.jitter_maximum_ms = get_u16(data + 32)
    metrics.jitter_absolute_ms = get_u16(data + 34)


cdef int32_t xr_build(uint8_t* out, uint32_t ssrc, const ExtendedReport* report) noexcept nogil:
    """Write an XR packet into XR_MAX_SIZE bytes; return its length, 0 when there is nothing to say."""
    cdef int32_t n = HEADER_SIZE
    if report.has_reference:
        _block(out + n, BLOCK_REFERENCE, REFERENCE_SIZE)
        put_u32(out + n + 4, report.ntp_seconds)
        put_u32(out + n + 8, report.ntp_fraction)
        n += REFERENCE_SIZE
    if report.has_last_reference:
        _block(out + n, BLOCK_DLRR, DLRR_SIZE)
        put_u32(out + n + 4, report.dlrr_ssrc)
        put_u32(out + n + 8, report.last_reference)
        put_u32(out + n + 12, report.delay_since)
        n += DLRR_SIZE
    if report.has_metrics:
        _write_metrics(out + n, &report.metrics)
        n += METRICS_SIZE
    if n == HEADER_SIZE:
        return 0
    out[0] = 0x80
    out[1] = TYPE_XR
    put_u16(out + 2, <uint32_t>(n // 4 - 1))
    put_u32(out + 4, ssrc)
    return n


cdef void _read_dlrr(const uint8_t* data, Py_ssize_t n, uint32_t about, ExtendedReport* report) noexcept nogil:
    cdef Py_ssize_t at = 4
    while n - at >= SUB_BLOCK_SIZE:
        if get_u32(data + at) == about:
            report.has_last_reference = True
            report.dlrr_ssrc = about
            report.last_reference = get_u32(data + at + 4)
            report.delay_since = get_u32(data + at + 8)
        at += SUB_BLOCK_SIZE


cdef void xr_read(const uint8_t* data, Py_ssize_t n, uint32_t about, ExtendedReport* report) noexcept nogil:
    """Read one XR packet of `n` bytes, header included; take what is about our stream `about`."""
    cdef Py_ssize_t at = HEADER_SIZE
    cdef Py_ssize_t size
    while n - at >= 4:
        size = 4 * (<Py_ssize_t>get_u16(data + at + 2) + 1)
        if size > n - at:
            return
        if data[at] == BLOCK_REFERENCE and size == REFERENCE_SIZE:
            report.has_reference = True
            report.ntp_seconds = get_u32(data + at + 4)
            report.ntp_fraction = get_u32(data + at + 8)
        elif data[at] == BLOCK_DLRR:
            _read_dlrr(data + at, size, about, report)
        elif data[at] == BLOCK_METRICS and size == METRICS_SIZE and get_u32(data + at + 4) == about:
            report.has_metrics = True
            _read_metrics(data + at, &report.metrics)
        at += size
