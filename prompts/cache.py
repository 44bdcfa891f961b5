"""Rendered audio on disk: one file a clip, named by the hash of what it was rendered from.

Files are written aside and renamed, so a reader sees a whole file or none; a digest inside finds what a disk or a
crash has damaged. What was not used for longest goes first when the directory grows beyond its bound. No text is
stored. Everything here blocks; the store calls it in a thread.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

__all__ = ("CacheStats", "DiskCache", "content_key")

_MAGIC = b"PTCLIP1\n"
_DIGEST_BYTES = 32
_SUFFIX = ".clip"
_PARTIAL = ".part"
_KEEP_SHARE = 0.9  # evict down to this, so that not each write has to


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
    """Clips in a directory; safe to use from several threads and, for reading and writing, several processes."""

    def __init__(self, directory: Path, *, max_bytes: int) -> None:
        """Touch nothing yet: the directory is made when the first clip is stored."""
        self._directory = directory
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._used_bytes: int | None = None
        self.stats = CacheStats()

    def get(self, key: str) -> tuple[bytes, bytes] | None:
        """Return (mu-law, A-law), or None when it is not there or damaged."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            self.stats.misses += 1
            return None
        audio = data[len(_MAGIC) + _DIGEST_BYTES :]
        if data != _sealed(audio) or not audio or len(audio) % 2:
            self.stats.corrupt += 1
            self._remove(path)
            return None
        self.stats.hits += 1
        try:
            os.utime(path)  # the order of eviction
        except OSError:
            pass  # read-only, or evicted by a neighbour: we have the audio
        half = len(audio) // 2
        return audio[:half], audio[half:]

    def put(self, key: str, pcmu: bytes, pcma: bytes) -> None:
        """Store a clip. What fails is counted and not raised: the caller has the audio already."""
        data = _sealed(pcmu + pcma)
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(self._path(key), data)
        except OSError:
            self.stats.write_errors += 1
            return
        with self._lock:
            if self._used_bytes is None:
                self._used_bytes = self._scan()
            else:
                self._used_bytes += len(data)
            if self._used_bytes > self._max_bytes:
                self._evict()

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}{_SUFFIX}"

    def _write(self, path: Path, data: bytes) -> None:
        # mkstemp: mode 0600, and a name that no neighbour writes to.
        handle, partial = tempfile.mkstemp(prefix=path.stem, suffix=_PARTIAL, dir=self._directory)
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
        found = []
        for path in self._directory.glob(f"*{_SUFFIX}"):
            try:
                status = path.stat()
            except OSError:
                continue
            found.append((status.st_mtime, status.st_size, path))
        return sorted(found, key=lambda entry: entry[0])

    def _scan(self) -> int:
        return sum(size for _, size, _ in self._entries())

    def _evict(self) -> None:
        entries = self._entries()
        used = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if used <= self._max_bytes * _KEEP_SHARE:
                break
            self._remove(path)
            self.stats.evicted += 1
            used -= size
        self._used_bytes = used


def _sealed(audio: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(audio).digest() + audio
