"""Logging: one line an event, text or JSON, on standard error, every line through ``engine.redact``.

Call sites write ``log.info("call answered", extra=fields(call=sid, codec="PCMU"))``; the fields stand behind the
message. The formatter redacts the finished line, so that text from a peer or from a library cannot carry a number out.
The text of an exception is the least known of all: it repeats what could not be read, and that may be a security code
or half an entry, which look like any number. No three digits on end leave with it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Literal, TextIO

from engine.redact import redact_text

__all__ = ("fields", "place_of", "set_up")

_FIELDS = "paytone_fields"
_FRAME = re.compile(r'\s+File "[^"]*", line [0-9]+, in \S+')
_DIGITS = re.compile(r"[0-9]{3,}")


def fields(**values: object) -> dict[str, Mapping[str, object]]:
    """Return the ``extra`` argument that carries ``values`` to the formatter."""
    return {_FIELDS: values}


def place_of(error: BaseException) -> str:
    """Return where an exception was raised, as ``file.py:line``: for whoever must not log what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


class _Formatter(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802  (the base class's name)
        lines = super().formatException(ei).split("\n")
        return "\n".join(line if _FRAME.fullmatch(line) else _DIGITS.sub(_masked, line) for line in lines)


def _masked(match: re.Match[str]) -> str:
    return "*" * len(match[0])


class _TextFormatter(_Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the base class's name)
        values: Mapping[str, object] = getattr(record, _FIELDS, {})
        return super().formatMessage(record) + "".join(f" {key}={_quoted(value)}" for key, value in values.items())

    def format(self, record: logging.LogRecord) -> str:
        return redact_text(super().format(record))


class _JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return redact_text(json.dumps(entry, default=str, ensure_ascii=False))


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if text == "" or any(c in text for c in ' "=\n') else text


def set_up(
    level: Literal["debug", "info", "warning", "error"], style: Literal["text", "json"], stream: TextIO | None = None
) -> None:
    """Send all logging of the process to ``stream`` (default: standard error) at ``level`` and in ``style``."""
    handler = logging.StreamHandler(stream or sys.stderr)
    if style == "json":
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(_TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # Libraries speak only when something is wrong, whatever our own level: their debug lines quote statements and data.
    for noisy in ("sqlalchemy", "aiosqlite", "alembic", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
