"""The frames between the engine and its worker process, on the worker's stdin and stdout.

A frame is two big-endian 32-bit lengths, a JSON object of strings and integers, and a body of bytes. Requests have the
``op`` ``speak`` (body: the text in UTF-8) or ``file``; an answer has ``ok`` 1 and a body of mu-law followed by as many
bytes of A-law, or ``ok`` 0 with ``message`` and ``remedy``. One answer follows each request, in order.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import TypeAlias

__all__ = ("PREFIX_SIZE", "Header", "WireError", "lengths", "pack", "unpack_header")

Header: TypeAlias = dict[str, str | int]

_PREFIX = struct.Struct("!II")
PREFIX_SIZE = _PREFIX.size
MAX_HEADER = 64 * 1024
MAX_BODY = 32 * 1024 * 1024
"Over half an hour of audio in both laws; nothing that is played to a caller comes near it."


class WireError(Exception):
    """The other side sent no frame: it is broken, and is ended."""


def pack(header: Mapping[str, str | int], body: bytes = b"") -> bytes:
    """Return one frame; raise WireError when it would be too long to be taken."""
    head = json.dumps(header, ensure_ascii=True).encode("ascii")
    if len(head) > MAX_HEADER or len(body) > MAX_BODY:
        raise WireError("frame too long")
    return _PREFIX.pack(len(head), len(body)) + head + body


def lengths(prefix: bytes) -> tuple[int, int]:
    """Return the lengths of header and body out of the first `PREFIX_SIZE` bytes."""
    if len(prefix) != PREFIX_SIZE:
        raise WireError("short prefix")
    head, body = _PREFIX.unpack(prefix)
    if head > MAX_HEADER or body > MAX_BODY:
        raise WireError("frame too long")
    return head, body


def unpack_header(data: bytes) -> Header:
    """Return the header; raise WireError when it is none."""
    try:
        header = json.loads(data)
    # A deeply nested document ends in RecursionError.
    except (ValueError, RecursionError):
        raise WireError("header is not JSON") from None
    if not isinstance(header, dict) or not all(isinstance(value, str | int) for value in header.values()):
        raise WireError("header is not an object of strings and integers")
    return header
