"""The frames between the engine and its worker process, on the worker's stdin and stdout.

A frame is two big-endian 32-bit lengths, a JSON object of strings and integers, and a body of bytes. Requests have the
``op`` ``espeak`` or ``piper`` (body: `pack_speech`), ``audio`` (body: encoded audio) or ``file`` (body: the path). An
answer has ``ok`` 1 and a body of mu-law followed by as many bytes of A-law, or ``ok`` 0 with ``message`` and
``remedy``. One answer follows each request, in order.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import TypeAlias

from prompts.pieces import MAX_PAUSE_MS, MAX_RATE, MIN_RATE, Emphasis, Pause, Piece, Span, Speech

__all__ = (
    "PREFIX_SIZE",
    "Header",
    "WireError",
    "lengths",
    "pack",
    "pack_speech",
    "unpack_header",
    "unpack_speech",
)

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


def pack_speech(speech: Speech) -> bytes:
    """Return the body of a request to speak: a list of pieces, ``[text, rate, emphasis]`` or a pause in ms."""
    pieces = [
        piece.ms if isinstance(piece, Pause) else [piece.text, piece.rate, piece.emphasis or ""]
        for piece in speech.pieces
    ]
    return json.dumps(pieces, ensure_ascii=True).encode("ascii")


def unpack_speech(data: bytes) -> Speech:
    """Return what `pack_speech` wrote; raise WireError for anything else."""
    try:
        return Speech(tuple(_piece(item) for item in json.loads(data)))
    except (ValueError, TypeError, RecursionError):
        raise WireError("body is no list of pieces") from None


def _piece(item: object) -> Piece:
    match item:
        case bool():
            raise ValueError("a truth value is no piece")
        case int() if 0 < item <= MAX_PAUSE_MS:
            return Pause(item)
        case [str(text), int() | float() as rate, str(emphasis)] if (
            math.isfinite(rate) and MIN_RATE <= rate <= MAX_RATE
        ):
            return Span(text, float(rate), Emphasis(emphasis) if emphasis else None)
        case _:
            raise ValueError("no piece")
