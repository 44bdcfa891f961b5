"""Request bodies that hold card digits: built once, in place, and wiped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from urllib.parse import quote_plus

from engine.pay.secret import Secret

__all__ = ("form_body", "json_body", "scrub", "wipe_body")


def json_body(members: Mapping[str, str | Secret | Decimal | Mapping[str, str] | None]) -> bytearray:
    """Return the JSON object of ``members``, in their order, without white space, ASCII only (RFC 8259).

    A ``Secret`` becomes a string of its digits, ``None`` an empty string, a ``Decimal`` a number as it is written. The
    buffer is allocated once at its full length: one that grows is moved, and leaves the digits behind where it was.
    """
    pieces: list[bytes | memoryview] = []
    for name, value in members.items():
        pieces.append(b"," if pieces else b"{")
        pieces.append(json.dumps(name).encode() + b":")
        if isinstance(value, Secret):
            pieces += [b'"', value.view(), b'"']
        elif isinstance(value, Decimal):
            pieces.append(f"{value:f}".encode())
        else:
            text = "" if value is None else value if isinstance(value, str) else dict(value)
            pieces.append(json.dumps(text, separators=(",", ":")).encode())
    pieces.append(b"}" if pieces else b"{}")
    return _joined(pieces)


def form_body(members: Mapping[str, str | Secret]) -> bytearray:
    """Return ``members`` as application/x-www-form-urlencoded, in their order (WHATWG URL §5.2, UTF-8).

    Brackets of names stay as they are. A ``Secret`` becomes its digits; the buffer is allocated once, as above.
    """
    pieces: list[bytes | memoryview] = []
    for name, value in members.items():
        pieces.append((b"&" if pieces else b"") + quote_plus(name, safe="[]").encode() + b"=")
        pieces.append(value.view() if isinstance(value, Secret) else quote_plus(value, errors="replace").encode())
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
        with secret.view() as digits:  # searched for where it stands: bytes of it would be a copy
            at = data.find(digits)
            while at >= 0:
                data[at : at + len(digits)] = b"*" * len(digits)
                at = data.find(digits, at + len(digits))
    return data.decode("utf-8", "replace")
