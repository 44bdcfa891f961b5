"""Rendered audio on disk: one file a clip, named by the hash of what it was rendered from.

Laws, whatever happens to the machine and whoever else writes to the same directory:

- Files are written aside and renamed, so a reader sees a whole file or none; a digest inside finds what a disk or a
  crash has damaged, and such a file is removed and rendered again.
- What was not used for longest goes first when the directory grows beyond its bound. A clip that plays is in memory:
  removing its file does not touch it.
- What cannot be stored (full disk, no permission) is counted and not raised: the caller has the audio already.
- What a crash left half written goes an hour later.

No text and no address is stored. Everything here blocks; the store calls it in a thread.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ("PARTIAL_AGE_S", "CacheStats", "DiskCache", "content_key")

_MAGIC = b"PTCLIP1\n"
_DIGEST_BYTES = 32
_CLIP = ".clip"
_NOTE = ".note"
_PARTIAL = ".part"
_KEEP_SHARE = 0.9  # evict down to this, so that not each write has to
_RESCAN_SHARE = 1 / 16  # a neighbour on the same directory writes too: count again after this much of our own
_MAX_ENTRY_BYTES = 32 * 1024 * 1024  # above the longest file that is played, in both laws
PARTIAL_AGE_S = 3600.0
"A file that has been half written for so long will not be finished: its writer was killed."


@dataclass(slots=True)
class CacheStats:
    """What the cache has done so far."""

    hits: int = 0
    misses: int = 0
    corrupt: int = 0
    "Damaged files that were removed."
    write_errors: int = 0
    "Clips that could not be stored (disk full, no permission); they were played all the same."
    evicted: int = 0


def content_key(*parts: str) -> str:
    """Return a name for what ``parts`` describe; no two lists of parts share one."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


class DiskCache:
    """Clips in a directory; safe to use from several threads and several processes."""

    def __init__(self, directory: Path, *, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        """Touch nothing yet: the directory is made when the first clip is stored. ``clock`` gives file time, in s."""
        self.directory = directory
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._used_bytes: int | None = None
        self._written_bytes = 0  # by us, since the directory was looked through
        self.stats = CacheStats()

    def get(self, key: str) -> tuple[bytes, bytes] | None:
        """Return (mu-law, A-law), or None when it is not there or damaged."""
        path = self._path(key, _CLIP)
        audio = self._read(path)
        if audio is None:
            return None
        if len(audio) % 2:
            self._damaged(path)
            return None
        self.stats.hits += 1
        half = len(audio) // 2
        return audio[:half], audio[half:]

    def put(self, key: str, pcmu: bytes, pcma: bytes) -> None:
        """Store a clip; what fails is counted."""
        self._store(self._path(key, _CLIP), pcmu + pcma)

    def note(self, key: str) -> bytes | None:
        """Return what was noted under ``key``, or None when it is not there or damaged."""
        return self._read(self._path(key, _NOTE))

    def put_note(self, key: str, data: bytes) -> None:
        """Note a few bytes beside the clips (not empty); what fails is counted."""
        self._store(self._path(key, _NOTE), data)

    def forget_note(self, key: str) -> None:
        """Remove a note, if it is there."""
        self._remove(self._path(key, _NOTE))

    def _path(self, key: str, suffix: str) -> Path:
        return self.directory / f"{key}{suffix}"

    def _read(self, path: Path) -> bytes | None:
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_ENTRY_BYTES + 1)
        except OSError:
            self.stats.misses += 1
            return None
        content = data[len(_MAGIC) + _DIGEST_BYTES :]
        if not content or len(data) > _MAX_ENTRY_BYTES or data != _sealed(content):
            self._damaged(path)
            return None
        try:
            os.utime(path)  # the order of eviction
        except OSError:
            pass  # read-only, or evicted by a neighbour: we have the audio
        return content

    def _damaged(self, path: Path) -> None:
        self.stats.corrupt += 1
        self._remove(path)

    def _store(self, path: Path, content: bytes) -> None:
        data = _sealed(content)
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(path, data)
        except OSError:
            self.stats.write_errors += 1
            return
        with self._lock:
            self._written_bytes += len(data)
            if self._used_bytes is None or self._written_bytes > self._max_bytes * _RESCAN_SHARE:
                self._used_bytes = self._scan()
            else:
                self._used_bytes += len(data)
            if self._used_bytes > self._max_bytes:
                self._evict()

    def _write(self, path: Path, data: bytes) -> None:
        # mkstemp: mode 0600, and a name that no neighbour writes to.
        handle, partial = tempfile.mkstemp(prefix=path.stem, suffix=_PARTIAL, dir=self.directory)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(partial).replace(path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            pass  # it stays damaged, and is rendered again each time

    def _entries(self) -> list[tuple[float, int, Path]]:
        """Return (time of use, bytes, path) of all there is, the oldest first; sweep what was left half written."""
        found = []
        stale = self._clock() - PARTIAL_AGE_S
        for path in self.directory.iterdir():
            try:
                status = path.stat()
            except OSError:
                continue  # a neighbour evicted it
            if path.suffix in (_CLIP, _NOTE):
                found.append((status.st_mtime, status.st_size, path))
            elif path.suffix == _PARTIAL and status.st_mtime < stale:
                self._remove(path)
        return sorted(found, key=lambda entry: entry[0])

    def _scan(self) -> int:
        self._written_bytes = 0
        try:
            return sum(size for _, size, _ in self._entries())
        except OSError:
            return 0  # the directory went away; the next write makes it again

    def _evict(self) -> None:
        try:
            entries = self._entries()
        except OSError:
            return
        used = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if used <= self._max_bytes * _KEEP_SHARE:
                break
            self._remove(path)
            self.stats.evicted += 1
            used -= size
        self._used_bytes = used


def _sealed(content: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(content).digest() + content
