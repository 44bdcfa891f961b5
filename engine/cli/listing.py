"""How records are shown: a table for people, JSON lines, CSV (RFC 4180), to the terminal or into a file.

Rows are written as they come, however many there are. Nothing here unmasks anything: what comes in is shown, without
the characters that steer a terminal or make a spreadsheet calculate.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

from engine.errors import Error

__all__ = ("Layout", "age", "destination", "moment", "safe_cell", "write_rows")

TABLE_CHUNK = 200
"Rows whose widths are measured together; a longer table gets its widths anew."
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"What makes a spreadsheet take a cell for a formula."


class Layout(StrEnum):
    """What a listing is written as."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def moment(text: str) -> datetime:
    """Return the time of ``2026-11-21``, ``2026-11-21T18:30`` or ``2026-11-21T18:30+05:30``; without a zone it is UTC.

    Raise ``ValueError``.
    """
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is no time: write 2026-11-21, 2026-11-21T18:30 or 2026-11-21T18:30+05:30") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def age(now: datetime, then: datetime) -> str:
    """Return how long ago something was: ``45s``, ``12m``, ``3h20m``, ``4d06h``."""
    seconds = max(0, int((now - then).total_seconds()))
    if seconds < 60:
        return f"{seconds}s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours < 24 else f"{hours // 24}d{hours % 24:02}h"


def safe_cell(value: Any) -> str:
    """Return a CSV cell: no formula, nothing for nothing, times as ISO 8601."""
    text = _text(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


@contextmanager
def destination(path: Path | None) -> Iterator[TextIO]:
    """Yield where to write: standard output, or a new file that only its owner can read and that appears when whole.

    Raise ``Error`` when the file exists or cannot be written.
    """
    if path is None:
        yield sys.stdout
        return
    if path.exists():
        raise Error(f"{path} exists; give another name or remove it")
    part = path.with_name(f"{path.name}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            # Line ends are the layout's: RFC 4180 wants CRLF, JSON lines and tables LF.
            with os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="") as file:
                yield file
            part.rename(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Error(f"{path} cannot be written: {error.strerror}") from None


async def write_rows(
    rows: AsyncIterator[Mapping[str, Any]],
    file: TextIO,
    layout: Layout,
    *,
    columns: Sequence[str],
    table: Mapping[str, Callable[[Mapping[str, Any]], str]],
) -> int:
    """Write rows as they come; return how many.

    ``columns`` are those of CSV; JSON has what each row has; ``table`` gives the headings and what stands under them.
    """
    count = 0
    if layout is Layout.CSV:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(columns)
        async for row in rows:
            writer.writerow([safe_cell(row.get(name)) for name in columns])
            count += 1
        return count
    if layout is Layout.JSON:
        async for row in rows:
            file.write(json.dumps({name: _plain(value) for name, value in row.items()}) + "\n")
            count += 1
        return count
    chunk: list[list[str]] = []
    async for row in rows:
        chunk.append([_printable(show(row)) for show in table.values()])
        count += 1
        if len(chunk) == TABLE_CHUNK:
            _write_table(file, list(table), chunk, first=count == TABLE_CHUNK)
            chunk = []
    if chunk:
        _write_table(file, list(table), chunk, first=count <= TABLE_CHUNK)
    return count


def _write_table(file: TextIO, headings: list[str], chunk: list[list[str]], *, first: bool) -> None:
    lines = [headings, *chunk]
    widths = [max(len(line[index]) for line in lines) for index in range(len(headings))]
    for line in lines if first else chunk:
        file.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")


def _plain(value: Any) -> Any:
    return _text(value) if isinstance(value, datetime) else value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _printable(text: str) -> str:
    """Return text that no terminal takes for an order."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
