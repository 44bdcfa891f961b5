"""A lock-free ring between two threads: one writes, one reads, no one waits.

Slots have a fixed size and are copied. A push into a full ring is refused and counted. A slot is wiped when it is read:
an event may be a digit.
"""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset


cdef bint ring_init(Ring* ring, uint32_t slots, uint32_t slot_size) noexcept nogil:
    """Allocate; `slots` is a power of two. Returns False when there is no memory."""
    memset(ring, 0, sizeof(Ring))
    ring.memory = <uint8_t*>calloc(slots, slot_size)
    ring.slots = slots
    ring.slot_size = slot_size
    return ring.memory != NULL


cdef void ring_free(Ring* ring) noexcept nogil:
    """Wipe and free; neither thread may use the ring any more."""
    if ring.memory != NULL:
        memset(ring.memory, 0, <size_t>ring.slots * ring.slot_size)
        free(ring.memory)
        ring.memory = NULL


cdef bint ring_push(Ring* ring, const void* slot) noexcept nogil:
    """Copy one slot in (the producer only); returns False, and counts, when the ring is full."""
    cdef uint64_t written = ring.written
    if written - load_acquire(&ring.read) >= ring.slots:
        store_release(&ring.overflow, ring.overflow + 1)
        return False
    memcpy(ring.memory + (written & (ring.slots - 1)) * ring.slot_size, slot, ring.slot_size)
    store_release(&ring.written, written + 1)
    return True


cdef const void* ring_head(const Ring* ring) noexcept nogil:
    """Return the oldest slot as it lies there (the consumer only), or NULL when the ring is empty."""
    if ring.read == load_acquire(&ring.written):
        return NULL
    return ring.memory + (ring.read & (ring.slots - 1)) * ring.slot_size


cdef bint ring_pop(Ring* ring, void* slot) noexcept nogil:
    """Copy one slot out and wipe it (the consumer only); returns False when the ring is empty."""
    cdef uint64_t read = ring.read
    cdef uint8_t* at
    if read == load_acquire(&ring.written):
        return False
    at = ring.memory + (read & (ring.slots - 1)) * ring.slot_size
    memcpy(slot, at, ring.slot_size)
    memset(at, 0, ring.slot_size)
    store_release(&ring.read, read + 1)
    return True


@cython.final
cdef class SlotRing:
    """The ring as an object, for tests."""

    cdef Ring _ring

    def __cinit__(self, uint32_t slots, uint32_t slot_size):
        if slots == 0 or slots & (slots - 1) or slot_size == 0:
            raise ValueError("slots is a power of two, a slot has at least one byte")
        if not ring_init(&self._ring, slots, slot_size):
            raise MemoryError

    def __dealloc__(self):
        ring_free(&self._ring)

    def push(self, bytes slot not None):
        """Copy one slot in; return False when the ring is full."""
        if len(slot) != self._ring.slot_size:
            raise ValueError("a slot has another size")
        return bool(ring_push(&self._ring, <const char*>slot))

    def pop(self):
        """Return the oldest slot, or None."""
        out = bytearray(self._ring.slot_size)
        if not ring_pop(&self._ring, <char*>out):
            return None
        return bytes(out)

    @property
    def overflow(self):
        """Pushes refused."""
        return load_acquire(&self._ring.overflow)

    def memory(self):
        """Return a copy of the ring's memory, to show that read slots are wiped."""
        return bytes((<char*>self._ring.memory)[:self._ring.slots * self._ring.slot_size])
