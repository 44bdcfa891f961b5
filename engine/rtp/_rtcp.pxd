from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from engine.rtp._xr cimport ExtendedReport


cdef enum:
    # Room that rtcp_build needs: SR with one block, SDES with the longest CNAME, XR, BYE.
    RTCP_MAX_REPORT = 288
    RTCP_MAX_CNAME = 128
    RTCP_MAX_LEAVING = 31       # the count of a BYE has five bits


cdef struct SenderInfo:
    uint32_t ntp_seconds
    uint32_t ntp_fraction
    uint32_t timestamp
    uint32_t packets
    uint32_t octets


cdef struct ReceptionReport:
    uint32_t ssrc
    uint32_t fraction_lost      # 1/256
    int64_t lost                # clamped to 24 bits, signed, on the wire
    uint32_t extended_sequence
    uint32_t jitter
    uint32_t last_sr            # middle 32 bits of the NTP time of the last SR, 0 for none
    uint32_t delay_since_sr     # 1/65536 s


cdef struct RtcpSummary:
    bint has_sender_info
    bint has_reception          # a report block about `about`
    bint bye
    uint32_t ssrc               # of the sender of the first report
    SenderInfo sender
    ReceptionReport reception
    int32_t n_leaving           # sources that a BYE names
    uint32_t[RTCP_MAX_LEAVING] leaving
    ExtendedReport extended


cdef int32_t rtcp_build(
    uint8_t* out, uint32_t ssrc, const SenderInfo* sender, const ReceptionReport* reception,
    const uint8_t* cname, int32_t n_cname, bint bye, const ExtendedReport* extended=*
) noexcept nogil
cdef bint rtcp_parse(const uint8_t* data, Py_ssize_t n, uint32_t about, RtcpSummary* summary) noexcept nogil
cdef bint rtcp_is_leaving(const RtcpSummary* summary, uint32_t ssrc) noexcept nogil
cdef int64_t rtcp_round_trip(uint32_t now_middle, uint32_t last, uint32_t delay) noexcept nogil


cdef inline uint32_t ntp_middle(uint32_t seconds, uint32_t fraction) noexcept nogil:
    """The middle 32 of the 64 bits of an NTP time (RFC 3550 §4)."""
    return (seconds << 16) | (fraction >> 16)
