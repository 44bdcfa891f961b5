"""SRTP and SRTCP (RFC 3711) by libsrtp, as the ``pylibsrtp`` wheel carries it, without the GIL.

The wheel's cffi module gives the addresses of libsrtp's C functions; sessions are made with the GIL when offer and
answer are done, packets are worked on in place by the media thread. One thread at a time may use a state.

libsrtp allocates for the first packet of each SSRC only; how many there may be is bounded here. Its replay window and
rollover counter advance only after the tag was verified (RFC 3711 §3.3).
"""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint32_t, uintptr_t
from libc.string cimport memcpy, memset

from engine.rtp._packet cimport get_u32

from pylibsrtp import _binding

from engine.rtp.srtp import SrtpKeys

cdef extern from *:
    """
    /* libsrtp 2: in place; the length goes in and comes out. */
    typedef int (*paytone_srtp_packet)(void *, void *, int *);
    typedef int (*paytone_srtp_dealloc)(void *);
    """
    ctypedef int (*paytone_srtp_packet)(void*, void*, int*) noexcept nogil
    ctypedef int (*paytone_srtp_dealloc)(void*) noexcept nogil

cdef enum:
    RTP_OCTETS = 12
    RTP_SSRC = 8
    RTCP_OCTETS = 8
    RTCP_SSRC = 4
    SRTCP_INDEX_OCTETS = 4
    MAX_PACKET = 65535
    FRONT_ROOM = 2048           # of the fronts for tests
    FRONT_WORDS = 512
    # srtp_err_status_t
    ERR_OK = 0
    ERR_AUTH_FAIL = 7
    ERR_REPLAY_FAIL = 9
    ERR_REPLAY_OLD = 10
    # srtp_cipher_type_id_t: AES counter mode with keys of 256 bits, which the wheel's profiles leave out
    AES_ICM_128 = 1
    AES_ICM_256 = 5
    ICM_128_OCTETS = 30
    ICM_256_OCTETS = 46
    # Packets; RFC 3711 §3.3.2 wants 64 at least. Ten seconds of 20 ms.
    REPLAY_WINDOW = 512

_ffi = _binding.ffi
_lib = _binding.lib

# libsrtp 3 takes other parameters; calling through the wrong type would corrupt memory.
for _name in ("srtp_protect", "srtp_unprotect", "srtp_protect_rtcp", "srtp_unprotect_rtcp"):
    _parameters = [of.kind for of in _ffi.typeof(getattr(_lib, _name)).args]
    if _parameters != ["pointer", "pointer", "pointer"]:
        raise ImportError("this pylibsrtp has another libsrtp than version 2; pylibsrtp 1.x is wanted")

cdef void* _address_of(str name) except NULL:
    return <void*><uintptr_t>int(_ffi.cast("uintptr_t", _ffi.addressof(_lib, name)))

cdef paytone_srtp_packet _protect = <paytone_srtp_packet>_address_of("srtp_protect")
cdef paytone_srtp_packet _unprotect = <paytone_srtp_packet>_address_of("srtp_unprotect")
cdef paytone_srtp_packet _protect_rtcp = <paytone_srtp_packet>_address_of("srtp_protect_rtcp")
cdef paytone_srtp_packet _unprotect_rtcp = <paytone_srtp_packet>_address_of("srtp_unprotect_rtcp")
cdef paytone_srtp_dealloc _dealloc = <paytone_srtp_dealloc>_address_of("srtp_dealloc")

# Suite: profile of libsrtp, whether its cipher is changed for AES-256 in counter mode (RFC 6188).
_PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": (_lib.srtp_profile_aes128_cm_sha1_80, False),
    "AES_CM_128_HMAC_SHA1_32": (_lib.srtp_profile_aes128_cm_sha1_32, False),
    "AES_256_CM_HMAC_SHA1_80": (_lib.srtp_profile_aes128_cm_sha1_80, True),
    "AES_256_CM_HMAC_SHA1_32": (_lib.srtp_profile_aes128_cm_sha1_32, True),
    "AEAD_AES_128_GCM": (_lib.srtp_profile_aead_aes_128_gcm, False),
    "AEAD_AES_256_GCM": (_lib.srtp_profile_aead_aes_256_gcm, False),
}


cdef bint _may_speak(const SrtpState* state, uint32_t ssrc) noexcept nogil:
    """Say whether a packet of this SSRC may go to libsrtp: a known one, or one for which there is a place."""
    cdef int i
    if state.n_ssrcs < SRTP_MAX_SSRCS:
        return True
    for i in range(SRTP_MAX_SSRCS):
        if state.ssrcs[i] == ssrc:
            return True
    return False


cdef void _spoke(SrtpState* state, uint32_t ssrc) noexcept nogil:
    """Note the SSRC of an authenticated packet."""
    cdef int i
    for i in range(state.n_ssrcs):
        if state.ssrcs[i] == ssrc:
            return
    if state.n_ssrcs < SRTP_MAX_SSRCS:
        state.ssrcs[state.n_ssrcs] = ssrc
        state.n_ssrcs += 1


cdef int _seal(SrtpState* state, paytone_srtp_packet work, uint8_t* packet, int32_t n, int32_t least) noexcept nogil:
    cdef int length = n
    if state == NULL or not state.active:
        return n
    if state.outbound == NULL or n < least or n > MAX_PACKET or <uintptr_t>packet & 3:
        state.not_protected += 1
        return -1
    if work(state.outbound, packet, &length) != ERR_OK:
        state.not_protected += 1
        return -1
    state.protected += 1
    return length


cdef int _open(
    SrtpState* state, paytone_srtp_packet work, uint8_t* packet, int32_t n, int32_t least, int32_t ssrc_at
) noexcept nogil:
    cdef int length = n
    cdef int status
    cdef uint32_t ssrc
    if state == NULL or not state.active:
        return n
    if state.inbound == NULL or n < least or n > MAX_PACKET or <uintptr_t>packet & 3:
        state.other += 1
        return SRTP_OTHER
    ssrc = get_u32(packet + ssrc_at)
    if not _may_speak(state, ssrc):
        state.other += 1
        return SRTP_OTHER
    status = work(state.inbound, packet, &length)
    if status == ERR_OK:
        _spoke(state, ssrc)
        state.unprotected += 1
        return length
    if status == ERR_AUTH_FAIL:
        state.authentication += 1
        return SRTP_AUTHENTICATION
    if status == ERR_REPLAY_FAIL or status == ERR_REPLAY_OLD:
        state.replay += 1
        return SRTP_REPLAY
    state.other += 1
    return SRTP_OTHER


cdef int srtp_protect_packet(SrtpState* state, uint8_t* packet, int32_t n) noexcept nogil:
    return _seal(state, _protect, packet, n, RTP_OCTETS)


cdef int srtcp_protect_packet(SrtpState* state, uint8_t* packet, int32_t n) noexcept nogil:
    return _seal(state, _protect_rtcp, packet, n, RTCP_OCTETS)


cdef int srtp_unprotect_packet(SrtpState* state, uint8_t* packet, int32_t n) noexcept nogil:
    return _open(state, _unprotect, packet, n, RTP_OCTETS, RTP_SSRC)


cdef int srtcp_unprotect_packet(SrtpState* state, uint8_t* packet, int32_t n) noexcept nogil:
    cdef int32_t least = RTCP_OCTETS
    if state != NULL:
        least += SRTCP_INDEX_OCTETS + state.rtcp_tag_octets
    return _open(state, _unprotect_rtcp, packet, n, least, RTCP_SSRC)


@cython.final
cdef class SrtpSession:
    """One direction's libsrtp session, for any SSRC, and a copy of the keys it was made of."""

    def __cinit__(self, keys, *, bint outbound):
        profile, is_aes_256 = _PROFILES[keys.suite.name]
        policy = _ffi.new("srtp_policy_t *")
        for part, fill in (
            (policy.rtp, _lib.srtp_crypto_policy_set_from_profile_for_rtp),
            (policy.rtcp, _lib.srtp_crypto_policy_set_from_profile_for_rtcp),
        ):
            if fill(_ffi.addressof(part), profile) != ERR_OK:
                raise ValueError(f"libsrtp does not have {keys.suite.name}")
            if is_aes_256:
                _use_aes_256(_ffi.addressof(part))
        policy.ssrc.type = _lib.ssrc_any_outbound if outbound else _lib.ssrc_any_inbound
        policy.window_size = REPLAY_WINDOW
        policy.allow_repeat_tx = 0
        master = keys.reveal()
        if len(master) != keys.suite.master_octets:
            raise ValueError("the keys were wiped")
        key = _ffi.new("unsigned char[]", len(master))
        session = _ffi.new("srtp_t *")
        octets = _ffi.buffer(key)
        octets[:] = master
        policy.key = key
        try:
            status = _lib.srtp_create(session, policy)
        finally:
            octets[:] = bytes(len(master))
        if status != ERR_OK:
            raise ValueError(f"libsrtp makes no session of {keys.suite.name} (status {status})")
        self.handle = <void*><uintptr_t>int(_ffi.cast("uintptr_t", session[0]))
        self.keys = SrtpKeys(keys.suite.name, master)

    def __dealloc__(self):
        if self.handle != NULL:
            _dealloc(self.handle)  # overwrites its session keys
            self.handle = NULL


def _use_aes_256(part):
    """Change a policy of AES-128 in counter mode to AES-256: its first two words are cipher and octets of key."""
    words = _ffi.cast("uint32_t *", part)
    if (words[0], words[1]) != (AES_ICM_128, ICM_128_OCTETS):
        raise ValueError("libsrtp's policy is laid out in another way than known here")
    words[0], words[1] = AES_ICM_256, ICM_256_OCTETS


@cython.final
cdef class SrtpCore:
    """The SRTP of a leg: made of the keys of both directions, used through its ``state``.

    With ``previous`` a direction whose keys did not change goes on with its session. It must: the same key with its
    rollover counter at zero again would encrypt two packets with one key stream (RFC 3711 §9.1), and let old packets be
    replayed. The previous core is not to be used any more.
    """

    def __cinit__(self, keys, *, SrtpCore previous=None):
        memset(&self.state, 0, sizeof(self.state))
        self.state.active = True
        if previous is not None and previous._outbound is not None and previous._outbound.keys == keys.local:
            self._outbound = previous._outbound
        else:
            self._outbound = SrtpSession(keys.local, outbound=True)
        if previous is not None and previous._inbound is not None and previous._inbound.keys == keys.remote:
            self._inbound = previous._inbound
            self.state.n_ssrcs = previous.state.n_ssrcs
            memcpy(self.state.ssrcs, previous.state.ssrcs, sizeof(self.state.ssrcs))
        else:
            self._inbound = SrtpSession(keys.remote, outbound=False)
        self.state.outbound = self._outbound.handle
        self.state.inbound = self._inbound.handle
        self.state.rtcp_tag_octets = keys.remote.suite.rtcp_tag_octets

    def close(self):
        """Let go of the sessions, which overwrite their keys; every packet is refused from then on.

        Only when the media thread has let go of the state. Safe to call twice.
        """
        self.state.outbound = NULL
        self.state.inbound = NULL
        self._outbound = None
        self._inbound = None

    def counters(self):
        """Return the packets by what became of them."""
        return {
            "protected": self.state.protected,
            "unprotected": self.state.unprotected,
            "not_protected": self.state.not_protected,
            "authentication": self.state.authentication,
            "replay": self.state.replay,
            "other": self.state.other,
        }

    def protect(self, bytes packet not None):
        """Return the new length or -1, and the SRTP packet."""
        return _front(&self.state, srtp_protect_packet, packet)

    def unprotect(self, bytes packet not None):
        """Return the new length or an SrtpFault, and the RTP packet."""
        return _front(&self.state, srtp_unprotect_packet, packet)

    def protect_rtcp(self, bytes packet not None):
        """Return the new length or -1, and the SRTCP packet."""
        return _front(&self.state, srtcp_protect_packet, packet)

    def unprotect_rtcp(self, bytes packet not None):
        """Return the new length or an SrtpFault, and the RTCP packet."""
        return _front(&self.state, srtcp_unprotect_packet, packet)


ctypedef int (*kernel)(SrtpState*, uint8_t*, int32_t) noexcept nogil


cdef tuple _front(SrtpState* state, kernel work, bytes packet):
    cdef uint32_t words[FRONT_WORDS]  # words: aligned as libsrtp wants it
    cdef uint8_t* buffer = <uint8_t*>words
    cdef const uint8_t* source = packet
    cdef int32_t n = <int32_t>min(len(packet), FRONT_ROOM)
    if n > FRONT_ROOM - SRTCP_TRAILER:
        raise ValueError(f"a packet of at most {FRONT_ROOM - SRTCP_TRAILER} octets is taken here")
    memcpy(buffer, source, n)
    with nogil:
        n = work(state, buffer, n)
    result = bytes(buffer[:n]) if n > 0 else b""
    memset(buffer, 0, FRONT_ROOM)
    return n, result
