cimport cython
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t


cdef enum:
    # Room that a packet needs behind it for protection: 16 octets of tag and 128 of MKI, for RTCP 4 of index more.
    SRTP_TRAILER = 144
    SRTCP_TRAILER = 148
    # SSRCs that one key set may speak with: libsrtp keeps state for each, and any caller has keys.
    SRTP_MAX_SSRCS = 32


cdef enum SrtpFault:
    SRTP_AUTHENTICATION = -1    # the tag is wrong: another key, or tampered with
    SRTP_REPLAY = -2            # seen before, or older than the window
    SRTP_OTHER = -3             # too short, malformed, not aligned, too many SSRCs, closed


cdef struct SrtpState:
    bint active                 # false: plain RTP, packets stay as they are
    void* outbound              # srtp_t; NULL once closed, then every packet is refused
    void* inbound
    int32_t rtcp_tag_octets
    int32_t n_ssrcs
    uint32_t ssrcs[SRTP_MAX_SSRCS]  # of the authenticated packets
    uint64_t protected
    uint64_t unprotected
    uint64_t not_protected
    uint64_t authentication
    uint64_t replay
    uint64_t other


# All work in place on packets that begin at a multiple of 4 octets (libsrtp reads words). A NULL state is plain RTP.
# Protecting wants SRTP_TRAILER (SRTCP_TRAILER) octets of room behind the packet; it returns the new length or -1.
cdef int srtp_protect_packet(SrtpState* state, uint8_t* packet, int32_t n) noexcept nogil
cdef int srtcp_protect_packet(SrtpState* state, uint8_t* packet, int32_t n) noexcept nogil
# Unprotecting returns the new length or an SrtpFault.
cdef int srtp_unprotect_packet(SrtpState* state, uint8_t* packet, int32_t n) noexcept nogil
cdef int srtcp_unprotect_packet(SrtpState* state, uint8_t* packet, int32_t n) noexcept nogil


@cython.final
cdef class SrtpSession:
    cdef void* handle
    cdef readonly object keys


@cython.final
cdef class SrtpCore:
    cdef SrtpState state
    cdef SrtpSession _outbound
    cdef SrtpSession _inbound
