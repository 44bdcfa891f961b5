from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef extern from *:
    """
    #include <stdint.h>
    static inline uint64_t paytone_load(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void paytone_store(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
    """
    # Acquire and release: what was written before a store is seen after the load that reads it.
    uint64_t load_acquire "paytone_load"(const uint64_t* p) noexcept nogil
    void store_release "paytone_store"(uint64_t* p, uint64_t value) noexcept nogil


cdef struct Ring:
    uint64_t written            # the producer's, on a cache line of its own
    uint64_t overflow           # the producer's: pushes that found no room
    uint8_t[48] apart
    uint64_t read               # the consumer's
    uint8_t[56] apart_too
    uint8_t* memory
    uint32_t slots              # a power of two
    uint32_t slot_size


cdef bint ring_init(Ring* ring, uint32_t slots, uint32_t slot_size) noexcept nogil
cdef void ring_free(Ring* ring) noexcept nogil
cdef bint ring_push(Ring* ring, const void* slot) noexcept nogil
cdef const void* ring_head(const Ring* ring) noexcept nogil
cdef bint ring_pop(Ring* ring, void* slot) noexcept nogil


cdef inline bint ring_has_room(const Ring* ring, uint32_t slots = 1) noexcept nogil:
    """Tell the producer whether its next pushes will be taken."""
    return ring.written - load_acquire(&ring.read) + slots <= ring.slots
