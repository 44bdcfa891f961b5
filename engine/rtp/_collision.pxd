from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t


cdef enum:
    COLLISION_MEMORY = 4        # addresses that were heard with our own SSRC
    COLLISION_ADDRESS = 32      # octets of an address, in any form that tells two apart


cdef enum CollisionVerdict:
    COLLISION_NONE = 0          # another's SSRC
    COLLISION_NEW = 1           # ours, from an address not known for it: BYE for it, and choose another
    COLLISION_LOOP = 2          # ours, from an address known for it: drop the packet and keep our SSRC


cdef struct CollisionAddress:
    int32_t n                   # 0: free
    uint8_t[COLLISION_ADDRESS] octets
    int64_t heard_ns


cdef struct CollisionGuard:
    uint32_t collisions
    uint32_t loops
    CollisionAddress addresses[COLLISION_MEMORY]


cdef CollisionVerdict collision_check(
    CollisionGuard* guard, uint32_t own_ssrc, uint32_t ssrc, const uint8_t* address, int32_t n, int64_t now_ns
) noexcept nogil
cdef uint32_t collision_other_ssrc(uint32_t random, uint32_t own_ssrc, uint32_t peer_ssrc) noexcept nogil
