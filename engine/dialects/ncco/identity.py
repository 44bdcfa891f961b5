"""How the Voice API names calls, conversations and numbers (`dialects.md` §6.2, §6.3)."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

from engine.program import CallFacts

__all__ = (
    "call_id_of",
    "call_uuid",
    "conversation_of",
    "conversation_uuid",
    "direction_of",
    "named_conversation",
    "number_of",
    "timestamp",
)

_ROOMS = bytes.fromhex("6b4a3a522c0c4e0e9d5c5f0c4d3f7a11")
"Namespace of the conversations that have a name (RFC 9562 §5.5)."
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def call_uuid(call_id: str) -> str:
    """Return the ``uuid`` of a call, from the engine's 32 hexadecimal digits.

    >>> call_uuid("63f61863" "4a51" "4f0c" "8b21" "00a1b2c3d4e5")
    '63f61863-4a51-4f0c-8b21-00a1b2c3d4e5'
    """
    return "-".join((call_id[:8], call_id[8:12], call_id[12:16], call_id[16:20], call_id[20:]))


def call_id_of(text: str) -> str:
    """Return the engine's id of a call from its ``uuid``, in any case; empty for what is none."""
    text = text.lower()
    return text.replace("-", "") if _UUID.fullmatch(text) else ""


def conversation_uuid(call_id: str) -> str:
    """Return the conversation that a call begins: that of the call ``call_id``, and of those it connects to."""
    return f"CON-{call_uuid(call_id)}"


def conversation_of(facts: CallFacts) -> str:
    """Return the conversation in which a call begins: its own, or that of the call whose NCCO made it."""
    return conversation_uuid(facts.parent_id or facts.call_id)


def named_conversation(application_id: str, name: str) -> str:
    """Return the conversation of an application that has a name: the same whenever it is met."""
    name_of_room = f"{application_id}/{name}".encode(errors="replace")
    digest = bytearray(hashlib.sha1(_ROOMS + name_of_room, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50  # RFC 9562 §5.5: version 5
    digest[8] = digest[8] & 0x3F | 0x80  # and its variant
    return f"CON-{call_uuid(digest.hex())}"


def direction_of(facts: CallFacts) -> str:
    """Return ``inbound`` or ``outbound``."""
    return "inbound" if facts.direction == "in" else "outbound"


def number_of(text: str) -> str:
    """Return a number as events have it: without the plus.

    >>> number_of("+15551234567")
    '15551234567'
    """
    return text.removeprefix("+")


def timestamp(at: datetime) -> str:
    """Return a time as events have it: UTC with milliseconds (ISO 8601).

    >>> timestamp(datetime(2021, 6, 23, 15, 27, 46, 479000, tzinfo=UTC))
    '2021-06-23T15:27:46.479Z'
    """
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
