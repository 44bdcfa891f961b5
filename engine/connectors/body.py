"""Request bodies that hold card digits: built once, in place, and wiped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from engine.pay.secret import Secret

__all__ = ("json_body", "scrub", "wipe_body")


def json_body(members: Mapping[str, str | Secret | Mapping[str, str] | None]) -> bytearray:
    """Return the JSON object of ``members``, in their order, without white space, ASCII only (RFC 8259).

    A ``Secret`` becomes a string of its digits, ``None`` an empty string. The buffer is allocated once at its full
    length: one that grows is moved, and leaves the digits behind where it was.
    """
    pieces: list[bytes | memoryview] = []
    for name, value in members.items():
        pieces.append(b"," if pieces else b"{")
        pieces.append(json.dumps(name).encode() + b":")
        if isinstance(value, Secret):
            pieces += [b'"', value.view(), b'"']
        else:
            text = "" if value is None else value if isinstance(value, str) else dict(value)
            pieces.append(json.dumps(text, separators=(",", ":")).encode())
    pieces.append(b"}" if pieces else b"{}")
    return _joined(pieces)


def _joined(pieces: Sequence[bytes | memoryview]) -> bytearray:
    body = bytearray(sum(len(piece) for piece in pieces))
    end = 0
    with memoryview(body) as window:
        for piece in pieces:
            window[end : end + len(piece)] = piece
            end += len(piece)
            if isinstance(piece, memoryview):
                piece.release()
    return body


def wipe_body(body: bytearray) -> None:
    """Overwrite ``body`` with zeros, in place."""
    body[:] = bytes(len(body))


def scrub(text: str, secrets: Iterable[Secret | None]) -> str:
    """Return ``text`` with every occurrence of a secret starred out: a gateway may quote what it was sent."""
    data = bytearray(text.encode("utf-8", "replace"))
    for secret in secrets:
        if secret is None or not len(secret):
            continue
        with secret.view() as digits, memoryview(data) as window:
            for start in range(len(data) - len(digits) + 1):
                if window[start : start + len(digits)] == digits:
                    window[start : start + len(digits)] = b"*" * len(digits)
    return data.decode("utf-8", "replace")
