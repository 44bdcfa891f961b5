"""Search the memory of a living process for digits that must not be there.

Reads ``/proc/PID/mem`` over every readable mapping. A process that made itself undumpable can be read by root
(CAP_SYS_PTRACE) only; ``scan`` raises ``PermissionError`` otherwise, so that a test cannot pass by not looking.

Patterns of fewer than eight digits are refused: three digits of a security code stand in any memory by chance. Search
for what surrounds them instead (``'"cvv":"123"'``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ("Hit", "Scan", "encodings", "scan", "search")

CHUNK = 4 << 20
SHORTEST = 8
UNREADABLE = ("[vvar]", "[vsyscall]", "[vvar_vclock]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One occurrence, described without its digits."""

    address: int
    mapping: str
    "Line of the mapping, without address: permissions and name."
    encoding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What a search found, and how much it read."""

    hits: tuple[Hit, ...]
    n_bytes: int


def encodings(text: str) -> Mapping[str, bytes]:
    """Return ``text`` as it may lie in memory: as text of each width, and digits as small integers."""
    forms = {
        "ascii": text.encode("ascii"),
        "utf-16": text.encode("utf-16-le"),
        "utf-32": text.encode("utf-32-le"),
    }
    if text.isdigit():
        if len(text) < SHORTEST:
            raise ValueError(f"{SHORTEST} digits at least: fewer stand anywhere by chance")
        forms["raw digits"] = bytes(int(digit) for digit in text)
        forms["raw digits, 32 bit"] = b"".join(int(digit).to_bytes(4, "little") for digit in text)
    return forms


def scan(pid: int, texts: Iterable[str]) -> list[Hit]:
    """Return every occurrence of any of ``texts`` in any encoding, in the memory of process ``pid``."""
    return [*search(pid, texts).hits]


def search(pid: int, texts: Iterable[str]) -> Scan:
    """Return every occurrence of any of ``texts`` in any encoding in process ``pid``, and how much was read."""
    patterns = [(name, form) for text in texts for name, form in encodings(text).items()]
    overlap = max(len(form) for _, form in patterns) - 1
    hits: list[Hit] = []
    n_bytes = 0
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, permissions, *rest = line.split(maxsplit=5)
            name = rest[3] if len(rest) == 4 else ""
            if "r" not in permissions or name in UNREADABLE:
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            mapping = f"{permissions} {name}".strip()
            tail = b""
            for offset in range(start, end, CHUNK):
                try:
                    memory.seek(offset)
                    data = memory.read(min(CHUNK, end - offset))
                except (OSError, OverflowError):
                    break  # gone since it was listed, or a guard page
                n_bytes += len(data)
                window = tail + data
                base = offset - len(tail)
                hits += [
                    Hit(address=base + at, mapping=mapping, encoding=encoding)
                    for encoding, form in patterns
                    for at in _occurrences(window, form, len(tail))
                ]
                tail = window[-overlap:]
    return Scan(hits=tuple(hits), n_bytes=n_bytes)


def _occurrences(window: bytes, form: bytes, seen: int) -> list[int]:
    """Return where ``form`` begins in ``window``, without those that lie wholly in the first ``seen`` bytes."""
    found = []
    at = window.find(form)
    while at >= 0:
        if at + len(form) > seen:
            found.append(at)
        at = window.find(form, at + 1)
    return found
