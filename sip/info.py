"""DTMF in the body of an INFO request, in the two forms PBXes send.

Neither has a standard: ``application/dtmf-relay`` is a vendor's (``Signal=5``, ``Duration=160``), ``application/dtmf``
is the bare key. Bodies vary from peer to peer in spaces, case, line ends and further lines, and all of that is taken.
A digit never shows in a ``repr`` or an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ("DEFAULT_DURATION_MS", "InfoDigit", "parse_dtmf_info", "supported_content_types")

supported_content_types: tuple[str, ...] = ("application/dtmf-relay", "application/dtmf")
"What an INFO may carry for us; goes into Accept."

DEFAULT_DURATION_MS = 250
"Where the body names no duration: what Cisco gateways write."
_MAX_DURATION_MS = 8191  # as long as one RFC 4733 event can be at 8000 Hz (§2.3.5)
_MAX_BODY = 1024

# RFC 4733 §3.2 numbers: 10 is *, 11 is #, 12 to 15 are A to D. 16 (flash) is no digit.
_EVENTS = {
    **{str(number): number for number in range(16)},
    "*": 10,
    "#": 11,
    **dict(zip("ABCD", range(12, 16), strict=True)),
}
_SIGNAL = re.compile(r"[ \t]*+signal[ \t]*+=[ \t]*+([^ \t]*+)[ \t]*+", re.IGNORECASE)
_DURATION = re.compile(r"[ \t]*+duration[ \t]*+=[ \t]*+([0-9]{1,5}+)[ \t]*+", re.IGNORECASE)
_LINE_END = re.compile(r"[\r\n]++")


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoDigit:
    """A key pressed on the far end, as INFO reports it: once, when it was released."""

    event: int = field(repr=False)
    "RFC 4733 event number, 0 to 15."
    duration_ms: int = DEFAULT_DURATION_MS


def parse_dtmf_info(content_type: str, body: bytes) -> InfoDigit | None:
    """Read the digit out of an INFO body.

    ``content_type`` may carry parameters. None for a type that is not DTMF, for flash, and for a body that names no
    key: never raises.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in supported_content_types or len(body) > _MAX_BODY:
        return None
    lines = _LINE_END.split(body.decode("latin-1").strip("\r\n\0 \t"))
    signal: str | None = None
    duration_ms = DEFAULT_DURATION_MS
    for line in lines:
        if signal is None and (match := _SIGNAL.fullmatch(line)):
            signal = match.group(1)
        elif match := _DURATION.fullmatch(line):
            duration_ms = int(match.group(1))
    if signal is None and media_type == "application/dtmf":
        signal = lines[0].strip(" \t")
    event = None if signal is None else _EVENTS.get(signal.strip("\"'").upper())
    if event is None:
        return None
    if not 0 < duration_ms <= _MAX_DURATION_MS:
        duration_ms = DEFAULT_DURATION_MS
    return InfoDigit(event=event, duration_ms=duration_ms)
