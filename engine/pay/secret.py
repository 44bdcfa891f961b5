"""Digits that must leave no trace: card numbers, security codes, account numbers.

A ``Secret`` keeps ASCII digits in a slot of one small arena of pages that are locked into memory, left out of core
dumps and empty in a forked child. A digit goes in as a small integer and comes out only through ``view()`` and
``digit()``: no Python string or long integer of the whole number is ever made, because neither can be erased.

Laws:

* A slot is zeroed by ``wipe()``, and by the finaliser of a secret that nobody wiped.
* A slot is handed out again only when the last view of it is gone, so a view that outlives its secret reads zeros
  for ever and never the next caller's digits.
* ``repr``, ``str`` and ``format`` say nothing, ``==``, ``hash``, ``pickle`` and ``copy`` refuse.

Not thread-safe: secrets belong to the asyncio thread.
"""

from __future__ import annotations

import ctypes
import hmac
import mmap
import weakref
from types import TracebackType
from typing import NoReturn, Self

from engine.errors import PayError

__all__ = ("MAX_CAPACITY", "Secret")

MAX_CAPACITY = 64
"Digits that one secret can hold at most: one slot of the arena."

_REDACTED = "Secret(<redacted>)"
_ZERO = ord("0")
_EMPTY_SLOT = bytes(MAX_CAPACITY)
_SHOWN_AT_MOST = 4
_HIDDEN_AT_LEAST = 8
_MADV_WIPEONFORK = 18  # Linux 4.14; the mmap module has no name for it

_Slot = ctypes.c_ubyte * MAX_CAPACITY


class _Page:
    """One page of slots, protected as far as the system allows."""

    __slots__ = ("locked", "memory")

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        address = ctypes.addressof(ctypes.c_ubyte.from_buffer(self.memory))
        libc = ctypes.CDLL(None, use_errno=True)
        # mlock fails beyond RLIMIT_MEMLOCK: the payment goes on, and ``locked`` tells the operator.
        self.locked: bool = libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE)) == 0
        self._advise(mmap.MADV_DONTDUMP)
        # Wiped rather than unmapped in a child: with MADV_DONTFORK a secret finalised in a forked child is a SIGSEGV.
        if not self._advise(_MADV_WIPEONFORK):
            self._advise(mmap.MADV_DONTFORK)

    def _advise(self, advice: int) -> bool:
        try:
            self.memory.madvise(advice)
        except OSError:
            return False
        return True


class _Arena:
    """The slots that are free, over as many pages as were ever needed at once."""

    __slots__ = ("_free", "pages")

    def __init__(self) -> None:
        self.pages: list[_Page] = []
        self._free: list[tuple[_Page, int]] = []

    @property
    def n_free(self) -> int:
        return len(self._free)

    def acquire(self) -> tuple[memoryview, bool]:
        """Return a zeroed slot as a writable view, and whether its page is locked."""
        if not self._free:
            page = _Page()
            self.pages.append(page)
            self._free.extend((page, offset) for offset in range(0, mmap.PAGESIZE, MAX_CAPACITY))
        page, offset = self._free.pop()
        slot = _Slot.from_buffer(page.memory, offset)
        # The array lives as long as any view of it does, so this is the moment from which nobody can read the slot.
        weakref.finalize(slot, self._release, page, offset)
        return memoryview(slot).cast("B"), page.locked

    def _release(self, page: _Page, offset: int) -> None:
        page.memory[offset : offset + MAX_CAPACITY] = _EMPTY_SLOT
        self._free.append((page, offset))


_ARENA = _Arena()


class Secret:
    """Up to ``capacity`` digits (1 to 64) in locked memory, wiped when left, finalised or told so."""

    __slots__ = ("__weakref__", "_capacity", "_length", "_locked", "_slot")

    def __init__(self, capacity: int = 19) -> None:
        self._slot: memoryview | None = None
        if not 1 <= capacity <= MAX_CAPACITY:
            raise PayError(f"a secret holds 1 to {MAX_CAPACITY} digits")
        self._capacity = capacity
        self._length = 0
        self._slot, self._locked = _ARENA.acquire()

    @property
    def capacity(self) -> int:
        """Digits that fit."""
        return self._capacity

    @property
    def locked(self) -> bool:
        """Whether the system keeps the memory from being swapped out."""
        return self._locked

    @property
    def wiped(self) -> bool:
        """Whether the secret was wiped: it is then empty and takes no digit any more."""
        return self._slot is None

    def append(self, digit: int) -> None:
        """Add a digit 0 to 9; raise `PayError` when wiped or full and ValueError for anything but a digit."""
        if self._slot is None:
            raise PayError("the secret was wiped")
        if self._length >= self._capacity:
            raise PayError("the secret is full")
        if not 0 <= digit <= 9:
            raise ValueError("a digit is 0 to 9")
        self._slot[self._length] = _ZERO + digit
        self._length += 1

    def digit(self, index: int) -> int:
        """Return the digit at an index, 0 to 9; raise IndexError outside the digits held."""
        if self._slot is None or not 0 <= index < self._length:
            raise IndexError("no such digit")
        return self._slot[index] - _ZERO

    def view(self) -> memoryview:
        """Return a read-only view of the ASCII digits held now; it reads zeros once the secret is wiped."""
        if self._slot is None:
            return memoryview(b"")
        return self._slot[: self._length].toreadonly()

    def last_four(self) -> str:
        """Return the last four digits for display, fewer when fewer than eight would stay hidden (PCI DSS 3.4.1).

        The figure suits card numbers of 12 to 19 digits; of anything with eight digits or less nothing is shown.
        """
        shown = max(0, min(_SHOWN_AT_MOST, self._length - _HIDDEN_AT_LEAST))
        return "".join(chr(byte) for byte in self.view()[self._length - shown :])

    def matches(self, other: Secret) -> bool:
        """Tell whether both hold the same digits, in time that depends on the length alone; wiped matches nothing."""
        if self._slot is None or other._slot is None:
            return False
        return hmac.compare_digest(self.view(), other.view())

    def clear(self) -> None:
        """Zero the digits and stay usable; a wiped secret stays wiped."""
        if self._slot is not None:
            self._slot[:] = _EMPTY_SLOT
        self._length = 0

    def wipe(self) -> None:
        """Zero the digits and give the slot back; again is harmless."""
        self.clear()
        self._slot = None

    def __len__(self) -> int:
        return self._length

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.wipe()

    def __del__(self) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return _REDACTED

    def __str__(self) -> str:
        return _REDACTED

    def __format__(self, spec: str) -> str:
        return _REDACTED

    def __eq__(self, other: object) -> bool:
        raise TypeError("secrets are compared with matches()")

    __hash__ = None  # type: ignore[assignment]  # a hash would be a fingerprint of the digits

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be copied or pickled")
