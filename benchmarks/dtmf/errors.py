"""What can go wrong in the benchmark.

::

    BenchError
    ├── CorpusError      a corpus or a label file cannot be used; names the file and the line
    ├── DetectorError    a detector is not installed, or failed
    └── MissingExtra     a Python package of the extra `bench` is not installed
"""

from __future__ import annotations

__all__ = ("BenchError", "CorpusError", "DetectorError", "MissingExtra")


class BenchError(Exception):
    """Root of the benchmark's errors; ``remedy`` says what to do, when that is known."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), str(self), self.remedy)  # a worker process sends it home


class CorpusError(BenchError):
    """A corpus or a label file cannot be used."""


class DetectorError(BenchError):
    """A detector cannot be had, or failed."""


class MissingExtra(BenchError):  # noqa: N818 - says what is missing, not that something broke
    """A Python package is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(f"{package} is not installed", remedy="pip install 'paytone[bench]'")


def _rebuild(kind: type[BenchError], message: str, remedy: str) -> BenchError:
    error = kind.__new__(kind)
    BenchError.__init__(error, message, remedy=remedy)
    return error
