"""Packets with our own SSRC: collisions and loops (RFC 3550 §8.2).

Ask for each packet, RTP or RTCP, that carries an SSRC. The rule for whoever asks:

- COLLISION_NEW: send BYE for the old SSRC (§8.2, §6.6), take `collision_other_ssrc`, count packets and octets sent from
  0 (§6.4.1), begin with a marker. The packet itself is the peer's; it may be heard.
- COLLISION_LOOP: drop the packet. Our own packets come back to us, or somebody repeats what he hears.

An address is forgotten ten report intervals after it was last heard so. With the memory full every further address is
a loop: whoever sends our SSRC from many addresses does not make us change it without end.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

cdef int64_t FORGET_NS = 50000000000    # §8.2: ten report intervals, of five seconds


cdef CollisionVerdict collision_check(
    CollisionGuard* guard, uint32_t own_ssrc, uint32_t ssrc, const uint8_t* address, int32_t n, int64_t now_ns
) noexcept nogil:
    """Tell what a packet with `ssrc` from `address` (1 to COLLISION_ADDRESS octets) is to us."""
    cdef int i
    cdef int free = -1
    cdef CollisionAddress* known
    if ssrc != own_ssrc:
        return COLLISION_NONE
    n = min(max(n, <int32_t>0), <int32_t>COLLISION_ADDRESS)
    for i in range(COLLISION_MEMORY):
        known = &guard.addresses[i]
        if known.n and now_ns - known.heard_ns > FORGET_NS:
            memset(known, 0, sizeof(CollisionAddress))
        if known.n == 0:
            free = i
        elif known.n == n and memcmp(known.octets, address, n) == 0:
            known.heard_ns = now_ns
            guard.loops += 1
            return COLLISION_LOOP
    if free < 0 or n == 0:
        guard.loops += 1
        return COLLISION_LOOP
    guard.addresses[free].n = n
    memcpy(guard.addresses[free].octets, address, n)
    guard.addresses[free].heard_ns = now_ns
    guard.collisions += 1
    return COLLISION_NEW


cdef uint32_t collision_other_ssrc(uint32_t random, uint32_t own_ssrc, uint32_t peer_ssrc) noexcept nogil:
    """Return an SSRC that is neither of these; `random` is 32 bits that nobody else draws (§8.1)."""
    while random == own_ssrc or random == peer_ssrc:
        random += 1
    return random


def other_ssrc(uint32_t random, uint32_t own_ssrc, uint32_t peer_ssrc):
    """Return an SSRC that is neither of the two given."""
    return collision_other_ssrc(random, own_ssrc, peer_ssrc)


@cython.final
cdef class Guard:
    """The kernel as an object, for tests."""

    cdef CollisionGuard _guard

    def __cinit__(self):
        memset(&self._guard, 0, sizeof(CollisionGuard))

    def check(self, uint32_t own_ssrc, uint32_t ssrc, bytes address not None, double now):
        """Return 0 for another's SSRC, 1 for a collision, 2 for a loop; ``now`` is monotonic (s)."""
        cdef const uint8_t* octets = address
        return int(
            collision_check(&self._guard, own_ssrc, ssrc, octets, <int32_t>min(len(address), 64), <int64_t>(now * 1e9))
        )

    @property
    def counters(self):
        """Return how often our SSRC was found to collide, and packets that came back."""
        return {"collisions": self._guard.collisions, "loops": self._guard.loops}
