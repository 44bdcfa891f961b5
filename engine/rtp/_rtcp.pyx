"""RTCP compound packets: sender and receiver reports, SDES CNAME, XR and BYE (RFC 3550 §6, RFC 3611).

Reading validates a whole compound first (appendix A.2) and then takes what the media plane needs: the last sender
report, the reports about our own stream, and who leaves. SDES, APP and other packet types are skipped by their length:
nothing that they carry is read.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from engine.rtp._packet cimport get_u16, get_u32, put_u16, put_u32
from engine.rtp._xr cimport VoipMetrics, xr_build, xr_metrics_init, xr_read

cdef enum:
    TYPE_SR = 200
    TYPE_RR = 201
    TYPE_SDES = 202
    TYPE_BYE = 203
    TYPE_XR = 207
    SDES_CNAME = 1
    SENDER_INFO_SIZE = 20
    BLOCK_SIZE = 24
    LOST_MAX = 0x7FFFFF
    LOST_MIN = -0x800000


cdef int32_t _header(uint8_t* out, uint32_t count, uint32_t packet_type, int32_t size, uint32_t ssrc) noexcept nogil:
    out[0] = <uint8_t>(0x80 | count)
    out[1] = <uint8_t>packet_type
    put_u16(out + 2, <uint32_t>(size // 4 - 1))
    put_u32(out + 4, ssrc)
    return 8


cdef int32_t rtcp_build(
    uint8_t* out, uint32_t ssrc, const SenderInfo* sender, const ReceptionReport* reception,
    const uint8_t* cname, int32_t n_cname, bint bye, const ExtendedReport* extended=NULL
) noexcept nogil:
    """Write a compound into RTCP_MAX_REPORT bytes; return its length.

    SR when `sender` is given, else RR; with a report block when `reception` is; SDES always; XR; BYE last (§6.1).
    """
    cdef int32_t size = 8 + (SENDER_INFO_SIZE if sender != NULL else 0) + (BLOCK_SIZE if reception != NULL else 0)
    cdef int32_t n = _header(out, 1 if reception != NULL else 0, TYPE_SR if sender != NULL else TYPE_RR, size, ssrc)
    cdef int64_t lost
    if sender != NULL:
        put_u32(out + n, sender.ntp_seconds)
        put_u32(out + n + 4, sender.ntp_fraction)
        put_u32(out + n + 8, sender.timestamp)
        put_u32(out + n + 12, sender.packets)
        put_u32(out + n + 16, sender.octets)
        n += SENDER_INFO_SIZE
    if reception != NULL:
        lost = min(max(reception.lost, <int64_t>LOST_MIN), <int64_t>LOST_MAX)
        put_u32(out + n, reception.ssrc)
        put_u32(out + n + 4, <uint32_t>(lost & 0xFFFFFF) | (reception.fraction_lost << 24))
        put_u32(out + n + 8, reception.extended_sequence)
        put_u32(out + n + 12, reception.jitter)
        put_u32(out + n + 16, reception.last_sr)
        put_u32(out + n + 20, reception.delay_since_sr)
        n += BLOCK_SIZE
    n_cname = min(n_cname, <int32_t>RTCP_MAX_CNAME)
    # §6.5: the chunk ends with at least one null octet, and on a boundary of 32 bits.
    size = (8 + 2 + n_cname + 1 + 3) // 4 * 4
    memset(out + n, 0, size)
    _header(out + n, 1, TYPE_SDES, size, ssrc)
    out[n + 8] = SDES_CNAME
    out[n + 9] = <uint8_t>n_cname
    memcpy(out + n + 10, cname, n_cname)
    n += size
    if extended != NULL:
        n += xr_build(out + n, ssrc, extended)
    if bye:
        n += _header(out + n, 1, TYPE_BYE, 8, ssrc)
    return n


cdef inline bint _is_padding(uint8_t padding, Py_ssize_t size) noexcept nogil:
    """Tell whether the last octet of a packet can count its padding (§6.4.1: a multiple of four, itself included)."""
    return padding != 0 and padding & 3 == 0 and padding <= size - 4


cdef bint _is_compound(const uint8_t* data, Py_ssize_t n) noexcept nogil:
    """RFC 3550 A.2: versions, first type, no padding but in the last (and that possible), and lengths that add up."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t size
    if n < 8 or n & 3 or data[0] & 0x20 or not TYPE_SR <= data[1] <= TYPE_RR:
        return False
    while at < n:
        if n - at < 4 or data[at] >> 6 != 2:
            return False
        size = 4 * (<Py_ssize_t>get_u16(data + at + 2) + 1)
        if size > n - at:
            return False
        if data[at] & 0x20 and (at + size != n or not _is_padding(data[n - 1], size)):
            return False
        at += size
    return True


cdef void _read_blocks(const uint8_t* data, int32_t count, uint32_t about, RtcpSummary* summary) noexcept nogil:
    cdef int32_t i
    cdef uint32_t lost
    for i in range(count):
        if get_u32(data) == about:
            summary.has_reception = True
            summary.reception.ssrc = about
            lost = get_u32(data + 4)
            summary.reception.fraction_lost = lost >> 24
            lost &= 0xFFFFFF
            summary.reception.lost = <int64_t>lost - (0x1000000 if lost & 0x800000 else 0)
            summary.reception.extended_sequence = get_u32(data + 8)
            summary.reception.jitter = get_u32(data + 12)
            summary.reception.last_sr = get_u32(data + 16)
            summary.reception.delay_since_sr = get_u32(data + 20)
        data += BLOCK_SIZE


cdef void _read_bye(const uint8_t* data, Py_ssize_t size, int32_t count, RtcpSummary* summary) noexcept nogil:
    """Note who leaves; a reason (§6.6) may follow and is not read. A count of 0 is valid, and says nothing."""
    cdef int32_t i
    if size < 4 + 4 * count:
        return
    for i in range(count):
        if summary.n_leaving < RTCP_MAX_LEAVING:
            summary.leaving[summary.n_leaving] = get_u32(data + 4 + 4 * i)
            summary.n_leaving += 1
    summary.bye = summary.bye or count > 0


cdef bint rtcp_is_leaving(const RtcpSummary* summary, uint32_t ssrc) noexcept nogil:
    """Tell whether a BYE names this source: a mixer may say it for one of many."""
    cdef int32_t i
    for i in range(summary.n_leaving):
        if summary.leaving[i] == ssrc:
            return True
    return False


cdef int64_t rtcp_round_trip(uint32_t now_middle, uint32_t last, uint32_t delay) noexcept nogil:
    """Return the round-trip time in ns (§6.4.1, DLSR; RFC 3611 §4.5), or -1 when there is none.

    `now_middle` is the arrival of the report, `last` the time it answers, both the middle 32 bits of NTP time, and
    `delay` how long the peer held it (1/65536 s). Less than nothing is a clock that was set, or a peer that counts
    wrongly: none. More than nine hours cannot be told from that.
    """
    cdef uint32_t trip = now_middle - last - delay
    if last == 0 or <int32_t>trip < 0:
        return -1
    return (<int64_t>trip * 1000000000) >> 16


cdef bint rtcp_parse(const uint8_t* data, Py_ssize_t n, uint32_t about, RtcpSummary* summary) noexcept nogil:
    """Read a compound; `about` is our own SSRC. Returns False, and an empty summary, for what is none."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t size
    cdef Py_ssize_t blocks
    cdef int32_t count
    memset(summary, 0, sizeof(RtcpSummary))
    if not _is_compound(data, n):
        return False
    summary.ssrc = get_u32(data + 4)
    while at < n:
        size = 4 * (<Py_ssize_t>get_u16(data + at + 2) + 1)
        count = data[at] & 0x1F
        if data[at] & 0x20:
            size -= data[n - 1]
        if data[at + 1] == TYPE_BYE:
            _read_bye(data + at, size, count, summary)
        elif data[at + 1] == TYPE_XR:
            xr_read(data + at, size, about, &summary.extended)
        elif data[at + 1] == TYPE_SR or data[at + 1] == TYPE_RR:
            blocks = 8 + (SENDER_INFO_SIZE if data[at + 1] == TYPE_SR else 0)
            if size >= blocks + count * BLOCK_SIZE:
                if data[at + 1] == TYPE_SR:
                    summary.has_sender_info = True
                    summary.ssrc = get_u32(data + at + 4)
                    summary.sender.ntp_seconds = get_u32(data + at + 8)
                    summary.sender.ntp_fraction = get_u32(data + at + 12)
                    summary.sender.timestamp = get_u32(data + at + 16)
                    summary.sender.packets = get_u32(data + at + 20)
                    summary.sender.octets = get_u32(data + at + 24)
                _read_blocks(data + at + blocks, count, about, summary)
        # Padding stands in the last packet only, so that what is left of it ends the loop.
        at += size if not data[at] & 0x20 else n
    return True


_METRICS = (
    "ssrc", "loss_rate", "discard_rate", "burst_density", "gap_density", "burst_ms", "gap_ms", "round_trip_ms",
    "end_system_ms", "signal_dbm0", "noise_dbm0", "rerl_db", "gmin", "r_factor", "external_r_factor", "mos_lq",
    "mos_cq", "receiver_config", "jitter_nominal_ms", "jitter_maximum_ms", "jitter_absolute_ms",
)


cdef dict _metrics(VoipMetrics metrics):
    cdef dict fields = metrics
    return {name: fields[name] for name in _METRICS}


def parse(const uint8_t[::1] data not None, uint32_t about):
    """Return what a compound says, or None when it is none (A.2); `about` is the SSRC whose report block counts.

    Keys: ``ssrc``, ``bye``, ``leaving`` (the SSRCs that a BYE names), ``sender`` (ntp_seconds, ntp_fraction, timestamp,
    packets, octets) or None, ``reception`` (fraction_lost, lost, extended_sequence, jitter, last_sr, delay_since_sr) or
    None, and of extended reports ``metrics`` (the fields of VoipMetrics in ``_xr.pxd``), ``reference`` (ntp_seconds,
    ntp_fraction) and ``last_reference`` (last_reference, delay_since), each or None.
    """
    cdef RtcpSummary summary
    if not rtcp_parse(&data[0] if data.shape[0] else NULL, data.shape[0], about, &summary):
        return None
    return {
        "ssrc": summary.ssrc,
        "bye": bool(summary.bye),
        "leaving": [summary.leaving[i] for i in range(summary.n_leaving)],
        "sender": (
            summary.sender.ntp_seconds,
            summary.sender.ntp_fraction,
            summary.sender.timestamp,
            summary.sender.packets,
            summary.sender.octets,
        )
        if summary.has_sender_info
        else None,
        "reception": (
            summary.reception.fraction_lost,
            summary.reception.lost,
            summary.reception.extended_sequence,
            summary.reception.jitter,
            summary.reception.last_sr,
            summary.reception.delay_since_sr,
        )
        if summary.has_reception
        else None,
        "metrics": _metrics(summary.extended.metrics) if summary.extended.has_metrics else None,
        "reference": (summary.extended.ntp_seconds, summary.extended.ntp_fraction)
        if summary.extended.has_reference
        else None,
        "last_reference": (summary.extended.last_reference, summary.extended.delay_since)
        if summary.extended.has_last_reference
        else None,
    }


def build(
    uint32_t ssrc,
    const uint8_t[::1] cname not None,
    *,
    sender=None,
    reception=None,
    bint bye=False,
    metrics=None,
    reference=None,
    last_reference=None,
):
    """Return a compound; the arguments as `parse` gives them.

    `reception` and `last_reference` are preceded by the source's SSRC; of `metrics` (a dict with ``ssrc``) what is left
    out was not measured.
    """
    cdef uint8_t out[RTCP_MAX_REPORT]
    cdef SenderInfo info
    cdef ReceptionReport report
    cdef ExtendedReport extended
    cdef VoipMetrics measured
    cdef int32_t n
    memset(&extended, 0, sizeof(ExtendedReport))
    if sender is not None:
        info.ntp_seconds, info.ntp_fraction, info.timestamp, info.packets, info.octets = sender
    if reception is not None:
        report.ssrc, report.fraction_lost, report.lost, report.extended_sequence = reception[:4]
        report.jitter, report.last_sr, report.delay_since_sr = reception[4:]
    if metrics is not None:
        xr_metrics_init(&measured, metrics["ssrc"])
        extended.metrics = {**_metrics(measured), **metrics}
        extended.has_metrics = True
    if reference is not None:
        extended.ntp_seconds, extended.ntp_fraction = reference
        extended.has_reference = True
    if last_reference is not None:
        extended.dlrr_ssrc, extended.last_reference, extended.delay_since = last_reference
        extended.has_last_reference = True
    n = rtcp_build(
        out,
        ssrc,
        &info if sender is not None else NULL,
        &report if reception is not None else NULL,
        &cname[0] if cname.shape[0] else <const uint8_t*>b"",
        <int32_t>min(cname.shape[0], <Py_ssize_t>RTCP_MAX_CNAME),
        bye,
        &extended,
    )
    return bytes(out[:n])


def round_trip(uint32_t now_middle, uint32_t last, uint32_t delay):
    """Return the round-trip time in seconds out of three times in 1/65536 s, or None when there is none."""
    cdef int64_t trip = rtcp_round_trip(now_middle, last, delay)
    return None if trip < 0 else trip / 1e9
