from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t


cdef enum:
    RTCP_MAX_REPORT = 256       # room that rtcp_build needs: SR with one block, SDES with the longest CNAME, BYE
    RTCP_MAX_CNAME = 128


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


cdef int32_t rtcp_build(
    uint8_t* out, uint32_t ssrc, const SenderInfo* sender, const ReceptionReport* reception,
    const uint8_t* cname, int32_t n_cname, bint bye
) noexcept nogil
cdef bint rtcp_parse(const uint8_t* data, Py_ssize_t n, uint32_t about, RtcpSummary* summary) noexcept nogil
